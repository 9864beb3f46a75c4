"""HippoRAG 2: its graph, its walk, and what a question finds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from builders import Says, agent, episode, rollout, store, task

from atommem_cli.agents import _hipporag_graph as graphs
from atommem_cli.core.calls import Expects, Generation
from atommem_cli.core.episode import Agent, Call
from atommem_cli.core.types import Trajectory

FACTS = ["Ada was born in Velt.", "Velt lies in Dorn.", "Bo keeps bees.", "What ends well is good."]
TRIPLES = {
    "Ada was": [["Ada", "was born in", "Velt"]],
    "Velt lies": [["Velt", "lies in", "Dorn"]],
    "Bo keeps": [["Bo", "keeps", "bees"]],
    "What ends": [["wells", "run", "deep"]],
}


def played(by: Agent, keep: object = (1,)) -> Trajectory:
    def say(call: Call) -> str:
        asked = call.observation
        if asked.expects is Expects.ANSWER:
            return by.write(Expects.ANSWER, [], "velt")
        if asked.expects is Expects.CHOICE:
            return json.dumps({"facts": keep})
        text = asked.messages[-1].content
        return json.dumps({"triples": next(found for start, found in TRIPLES.items() if start in text)})

    where = store()
    (trajectory,) = rollout(where).play(Says(say), [episode(task(facts=FACTS), where, by=by, k=2)])
    return trajectory


def documents(trajectory: Trajectory) -> list[list[str]]:
    """Of each answer prompt, the documents that it shows, in order."""
    prompts = [
        step.observation.messages[-1].content
        for step in trajectory.transitions
        if step.observation.expects is Expects.ANSWER
    ]
    return [sorted((fact for fact in FACTS if fact in text), key=text.index) for text in prompts]


def test_a_walk_from_a_kept_fact_finds_what_hangs_together_with_it() -> None:
    trajectory = played(agent("hipporag"))
    assert documents(trajectory)[0] == ["Ada was born in Velt.", "Velt lies in Dorn."]
    assert trajectory.usage.calls == 2 * 4 + 2 * 4
    (filtering, _), *_ = zip(trajectory.transitions[8:], trajectory.transitions[9:], strict=False)
    assert "1. ada, was born in, velt" in filtering.observation.messages[-1].content
    assert "Ada was born in Velt." in filtering.observation.items[0]


@pytest.mark.parametrize("keep", [(), (9,), "nothing"])
def test_without_a_fact_that_helps_the_nearest_documents_are_shown(keep: object) -> None:
    nearest = documents(played(agent("rag")))
    assert documents(played(agent("hipporag"), keep)) == nearest
    assert "Velt lies in Dorn." not in nearest[0]


def test_the_edges_are_those_of_the_code() -> None:
    passages = [[("a", "r", "b"), ("a", "s", "b")], [("b", "r", "a"), ("c", "r", "c")], []]
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)  # c and b: cosine .8, but too short for synonyms
    graph = graphs.build(passages, ["a", "b", "c"], vectors)
    # a-b: three triples, from both ends; each phrase with its passages once; c with itself not at all
    weights = np.zeros((6, 6))
    weights[0, 1] = 6
    for phrase, passage in ((0, 3), (1, 3), (0, 4), (1, 4), (2, 4)):
        weights[phrase, passage] = 1
    weights += weights.T
    sums = weights.sum(axis=0)
    assert np.allclose(graph.steps.toarray() * sums, weights)
    assert sums[5] == 0


def test_synonyms_take_the_place_of_what_triples_said_of_them() -> None:
    vectors = np.array([[1, 0], [0.6, 0.8], [0.9, np.sqrt(0.19)]], np.float32)
    graph = graphs.build([[("north", "r", "south"), ("north", "r", "arctic")]], ["north", "south", "arctic"], vectors)
    weights = graph.steps.toarray()
    near = float(vectors[1] @ vectors[2])
    assert near > graphs.SYNONYM
    columns = [1 + 2 * 0.9 + 2.0, 1 + 2 * near + 2.0, 1 + 2 * 0.9 + 2 * near]
    assert np.allclose(weights[2, 0], 2 * 0.9 / columns[0], atol=1e-6)  # the cosine, from both ends
    assert np.allclose(weights[1, 0], 2.0 / columns[0], atol=1e-6)  # the triple
    assert np.allclose(weights[1, 2], 2 * near / columns[2], atol=1e-6)


def test_the_walk_solves_the_equation_of_pagerank() -> None:
    dice = np.random.default_rng(7)
    passages = [[(f"n{a}", "r", f"n{b}") for a, b in dice.integers(0, 6, (3, 2))] for _ in range(4)] + [[]]
    phrases = [*dict.fromkeys(t for p in passages for s, _, o in p for t in (s, o))]
    graph = graphs.build(passages, phrases, np.eye(len(phrases), dtype=np.float32))
    weights = dice.random(len(phrases) + 5)
    begin = weights / weights.sum()
    steps = graph.steps.toarray()
    steps[:, steps.sum(axis=0) == 0] = begin[:, None]
    solved = np.linalg.solve(np.eye(len(begin)) - graphs.DAMPING * steps, (1 - graphs.DAMPING) * begin)
    assert np.allclose(graphs.walk(graph, weights), solved[len(phrases) :], atol=1e-11)


def test_a_walk_starts_at_the_phrases_of_facts_and_a_little_at_every_passage() -> None:
    passages = [[("a", "r", "b")], [("a", "r", "c")]]
    graph = graphs.build(passages, ["a", "b", "c"], np.eye(3, dtype=np.float32))
    facts = [(("a", "r", "b"), 1.0), (("a", "r", "c"), 0.5)]
    found = graphs.start(graph, facts, np.array([1.0, 0.0]), most=2)
    # a stands in two passages: (1/2 + .5/2) / 2; b: 1; c: .5, and the two best are kept
    assert np.allclose(found, [0.0, 1.0, 0.5, 0.05, 0.0])
    assert np.allclose(graphs.start(graph, facts, np.zeros(2), most=3), [0.375, 1.0, 0.5, 0.0, 0.0])


def test_phrases_keep_the_letters_of_every_alphabet_unless_the_code_is_followed() -> None:
    assert graphs.phrase(" Łódź-Ost_2 ", latin=False) == "łódź ost 2"
    assert graphs.phrase("Łódź-Ost", latin=True) == "d  ost"


def test_a_triple_that_a_reply_has_twice_counts_once_and_in_two_spellings_twice() -> None:
    by = agent("hipporag")
    where = store()
    (one,) = [episode(task(facts=["Bo is in Velt."]), where, by=by)]
    extracting = by._extracted(one, 0, "Bo is in Velt.")  # type: ignore[attr-defined]
    next(extracting)
    extracting.send(Generation("{}"))
    triples = [["Bo", "is in", "Velt"], ["Bo", "is in", "Velt"], ["bo", "is in", "velt"]]
    with pytest.raises(StopIteration) as ended:
        extracting.send(Generation(json.dumps({"triples": triples})))
    assert ended.value.value == [("bo", "is in", "velt")] * 2
