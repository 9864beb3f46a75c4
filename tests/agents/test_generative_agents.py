"""Generative Agents: importance, reflections, and what is looked up."""

from __future__ import annotations

import json

import numpy as np
import pytest
from builders import Says, agent, episode, prompt, rollout, script, store, task

from atommem_cli.agents import generative_agents
from atommem_cli.agents.generative_agents import Insight
from atommem_cli.config import recipe as recipes
from atommem_cli.core.calls import Expects
from atommem_cli.core.episode import Agent
from atommem_cli.core.errors import RecipeError
from atommem_cli.core.types import Trajectory
from atommem_cli.core.workload import Shape, workload_of

THREE = task(facts=["Ada was born in Velt.", "Bo lives in Dorn.", "Cy plays the lute."])
ANSWER = agent().write(Expects.ANSWER, [], "velt")


def played(by: Agent, *replies: str, k: int = 3) -> Trajectory:
    where = store()
    (trajectory,) = rollout(where).play(Says(script(*replies)), [episode(THREE, where, by=by, k=k)])
    return trajectory


def kept(trajectory: Trajectory) -> list[tuple[str, dict[str, str]]]:
    results = [result for step in trajectory.transitions for result in step.results if result.op.meta]
    return [(result.op.text, dict(result.op.meta)) for result in results]


@pytest.mark.parametrize(
    "weights", ["[0, 0, 0]", "[0.0, -0.0, 0]", "[1, -1, 1]", "[.nan, 1, 1]", "[1, .inf, 1]", "[1, 1]", "[]"]
)
def test_weights_that_weigh_nothing_are_refused_in_one_sentence(weights: str) -> None:
    policy = "policy={name: scripted, script: mute}"
    with pytest.raises(RecipeError) as caught:
        recipes.load("tiny", [policy, "agent={name: generative_agents}", f"agent.weights={weights}"])
    assert str(caught.value).startswith("--set agent.weights: ")
    assert "Value error" not in str(caught.value)
    one = recipes.load("tiny", [policy, "agent={name: generative_agents, weights: [0, 0, 1]}"])
    assert one.plugin("agent")[1].weights == (0, 0, 1)


def test_documents_are_rated_and_kept_with_their_importance() -> None:
    trajectory = played(agent("generative_agents"), "7", "I would say 12.", "no idea", ANSWER)
    assert kept(trajectory) == [
        ("Ada was born in Velt.", {"importance": "7"}),
        ("Bo lives in Dorn.", {"importance": "10"}),
        ("Cy plays the lute.", {"importance": "4"}),
    ]
    assert [step.observation.expects for step in trajectory.transitions[:4]] == [*[Expects.RATING] * 3, Expects.ANSWER]
    assert (trajectory.usage.calls, trajectory.usage.reads) == (3 + 3, 3)


def test_enough_importance_makes_it_reflect_and_insights_are_entries() -> None:
    told = [{"insight": "Towns matter.", "because_of": [2, 1, 9]}, "Velt is a town.", {"insight": "Towns matter."}]
    trajectory = played(
        agent("generative_agents", threshold=12),
        *("6", "6"),  # two documents: 12
        json.dumps(["Who lives where?", "Who was born where?", "Why?", "A fourth one?"]),
        *(json.dumps(told), "9", "2"),
        *("nothing to say", "[]"),
        *("6", ANSWER),  # the third document, and the first question
    )
    assert "Statement 1: Ada was born in Velt.\nStatement 2: Bo lives in Dorn." in prompt(trajectory, 2)
    looked_up = [entry.text for entry in trajectory.transitions[3].shown]
    assert sorted(looked_up) == ["Ada was born in Velt.", "Bo lives in Dorn."]
    evidence = " ".join(str(trajectory.transitions[3].shown[n - 1].id) for n in (2, 1))
    assert kept(trajectory)[2:] == [
        ("Towns matter.", {"importance": "9", "evidence": evidence}),
        ("Velt is a town.", {"importance": "2", "evidence": ""}),
        ("Cy plays the lute.", {"importance": "6"}),
    ]
    assert trajectory.usage.reads == 3 + 3
    assert trajectory.usage.calls == 3 + 1 + 3 + 2 + 3
    bounds = workload_of(agent("generative_agents", threshold=12), Shape(3, 3, 3), 100)
    assert (bounds.calls, bounds.retrievals) == ((6, 6 + 19), (3, 3 + 3))


def test_a_plan_bounds_reflections_by_what_ratings_can_sum_up_to() -> None:
    bounds = workload_of(agent("generative_agents"), Shape(8, 200, 1), 100)
    assert bounds.calls == (200 + 200 // 150 + 1, 200 + (200 * 10 // 150) * 19 + 1)
    assert bounds.retrievals == (1, 1 + 3 * (200 * 10 // 150))


@pytest.mark.parametrize(
    ("options", "best"),
    [
        ({"weights": (1, 0, 0)}, "Cy plays"),
        ({"weights": (1, 0, 0), "recency": "oldest"}, "Ada was"),
        ({"weights": (0, 1, 0)}, "Bo lives"),
        ({"weights": (0, 0, 1)}, "Ada was"),  # the question is: What ends: Ada?
        ({"weights": (0, 1, 0.1)}, "Bo lives"),
    ],
)
def test_what_is_looked_up_is_recent_important_and_relevant(options: dict[str, object], best: str) -> None:
    trajectory = played(agent("generative_agents", k=1, **options), "1", "9", "2", ANSWER)
    assert [entry.text[: len(best)] for entry in trajectory.transitions[3].shown] == [best]


def test_what_was_looked_up_counts_as_new() -> None:
    by = agent("generative_agents", k=1, weights=(1, 0, 0), threshold=12, recency="oldest")
    trajectory = played(by, "6", "6", '["Who?"]', "[]", "1", ANSWER)
    first, second = (trajectory.transitions[call].shown[0].text for call in (3, 5))
    assert (first, second) == ("Ada was born in Velt.", "Ada was born in Velt.")
    later = trajectory.transitions[6].shown[0].text  # after the first question, Ada's is the newest one
    assert later == "Bo lives in Dorn."


def test_scores_are_the_weighted_sum_of_scaled_parts() -> None:
    by = generative_agents.build(generative_agents.Options(decay=0.5))
    scores = by._scores(np.array([1.0, 10.0, 4.0]), np.array([0.2, 0.2, 0.8]))
    recency = [0.0, (0.25 - 0.125) / (0.5 - 0.125), 1.0]  # 0.5 to the power of 3, 2 and 1
    expected = [0.5 * r + 2 * i + 3 * c for r, i, c in zip(recency, (0, 1, 3 / 9), (0, 0, 1), strict=True)]
    assert scores == pytest.approx(expected)
    assert list(generative_agents.scaled(np.array([3.0, 3.0]))) == [0.5, 0.5]


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("", []),
        ('{"insights": [{"insight": "a", "because_of": 2}]}', [Insight("a", (2,))]),
        ('["a", " ", 3, {"because_of": [1]}, {"insight": "b", "because_of": ["1", 0, 1]}, "a"]', None),
    ],
)
def test_insights_are_read_out_of_whatever_a_model_writes(reply: str, found: list[Insight] | None) -> None:
    assert generative_agents.insights(reply) == ([Insight("a"), Insight("b", (1,))] if found is None else found)
