"""A conversation that grows, and is edited by its own policy: what was sampled is shown, journaled and resumed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import Says, episode, rollout, script, store, task

from atommem_cli.config import plugins
from atommem_cli.config import recipe as recipes
from atommem_cli.core.calls import Expects, Generation, Observation
from atommem_cli.core.episode import Agent
from atommem_cli.core.types import MemoryOp, OpKind, Outcome, StopReason, Trajectory, Transition
from atommem_cli.data import preparation
from atommem_cli.models import words
from atommem_cli.running.build import assemble
from atommem_cli.running.evaluation import evaluate, planned_tasks
from atommem_cli.training.grpo_rows import rows_of

GROWING = Path(__file__).parents[1] / "support" / "growing.py"


def growing() -> Agent:
    module = plugins.load("agents", str(GROWING))
    built: Agent = module.build(module.Options())
    return built


def played(*replies: str, by: Agent | None = None) -> Trajectory:
    where = store()
    about = episode(task(facts=("Ada was born in Velt.", "Bo lives in Dorn.")), where, by=by or growing(), size=6)
    (trajectory,) = rollout(where).play(Says(script(*replies)), [about])
    assert trajectory.stop is StopReason.ANSWERED
    return trajectory


def texts(step: Transition) -> list[str]:
    return [message.content for message in step.observation.messages]


def test_edits_of_the_context_are_operations_and_later_prompts_show_it() -> None:
    keep = '[{"tool": "create", "text": "Ada was born in Velt.", "meta": {"who": "Ada"}}]'
    whole = '{"tool": "summarize", "messages": [2, 3], "text": "Ada: see the memory."}'
    tidy = f'[{whole}, {{"tool": "filter", "messages": [4]}}]'
    trajectory = played(keep, tidy, '{"answer": "Velt"}', '{"answer": "Dorn"}')
    first, second, asked, _ = trajectory.transitions
    assert first.results[0].op.meta == (("who", "Ada"),)
    assert [(r.op.kind, r.outcome, r.entry) for r in second.results][:2] == [
        (OpKind.SUMMARIZE, Outcome.OK, 6),
        (OpKind.FILTER, Outcome.OK, None),
    ]
    assert len(texts(second)) == 4
    assert texts(asked)[1:3] == ["Ada: see the memory.", tidy]
    assert not any("Bo lives" in text for text in texts(asked))
    assert "entry 1: Ada was born in Velt." in texts(asked)[-1]
    assert [new for new, _ in asked.context] == [5, 7]
    assert trajectory.context
    assert [answer.text for answer in trajectory.answers] == ["Velt", "Dorn"]


def test_prompts_that_leave_the_conversation_out_show_nothing_of_it() -> None:
    agent: Any = growing()
    whole = agent.observation

    def last(*asked: Any, **where: Any) -> Observation:
        told: Observation = whole(*asked, **where)
        return replace(told, messages=told.messages[-1:])

    agent.observation = last
    steps = played("[]", "[]", '{"answer": "Velt"}', by=agent).transitions
    assert [[new for new, _ in step.context] for step in steps] == [[2], [4], [6], [8]]


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ('[{"tool": "filter", "messages": [99]}]', Outcome.INVALID_TARGET),
        ('[{"tool": "filter", "messages": [1]}]', Outcome.INVALID_TARGET),
        ('[{"tool": "filter"}]', Outcome.NOOP),
        ('[{"tool": "filter", "messages": ["2"]}]', Outcome.MALFORMED),
        ('[{"tool": "update", "entry": 4, "text": "x"}]', Outcome.INVALID_TARGET),
        ('[{"tool": "fly"}]', Outcome.MALFORMED),
        ('[{"tool": "create", "te', Outcome.MALFORMED),
        ("[7]", Outcome.MALFORMED),
    ],
)
def test_a_bad_call_is_an_outcome(reply: str, outcome: Outcome) -> None:
    trajectory = played(reply, "[]", '{"answer": "Velt"}')
    assert [result.outcome for result in trajectory.transitions[0].results] == [outcome]


def test_parse_is_the_inverse_of_write() -> None:
    ops = (
        MemoryOp(OpKind.CREATE, "a", meta=(("k", "v"),)),
        MemoryOp(OpKind.UPDATE, "b", 3),
        MemoryOp(OpKind.DELETE, target=2),
        MemoryOp(OpKind.SUMMARIZE, "c", targets=(2, 4)),
        MemoryOp(OpKind.FILTER, targets=(5,)),
    )
    assert growing().parse(Expects.OPERATIONS, growing().write(Expects.OPERATIONS, ops)) == ops


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> recipes.Recipe:
    """A model that talks nonsense, over several chunks."""
    folder = tmp_path_factory.mktemp("tasks")
    options = {"docs": 6, "people": 2, "relations": 3, "questions": 2}
    preparation.prepare("stream", out=folder, split="validation", options=options, limit=4, seed=1)
    changes = [
        f"task.folder={folder}",
        "task.limit=4",
        f"agent={{name: {GROWING}}}",
        "chunk.tokens=9",
        "policy.temperature=1.0",
        "policy.batch=2",
    ]
    return recipes.load("smoke", changes)


def test_a_prompt_begins_with_the_prompt_before_it_and_the_very_tokens_of_its_reply(recipe: recipes.Recipe) -> None:
    parts = assemble(recipe)
    model = words.outline(recipe.plugin("policy")[1])
    joints = 0
    for trajectory in parts.play(parts.episodes(planned_tasks(recipe))):
        shown = [model.chat.prompt(step.observation.messages) for step in trajectory.transitions]
        for before, after, step in zip(shown, shown[1:], trajectory.transitions, strict=False):
            grown = [*before, *step.generation.token_ids]
            assert step.generation.token_ids
            assert step.generation.prompt_tokens == len(before)
            assert after[: len(grown)] == grown
            joints += 1
    assert joints > 12


def test_a_killed_run_goes_on_with_the_same_tokens_and_ends_with_the_same_digest(
    recipe: recipes.Recipe, tmp_path: Path
) -> None:
    whole = evaluate(recipe, tmp_path / "whole")
    lines = (tmp_path / "whole" / "steps.jsonl").read_text().splitlines(keepends=True)
    assert all(json.loads(line)["tokens"] for line in lines)
    killed = tmp_path / "killed"
    killed.mkdir()
    for name in ("run.json", "recipe.yaml"):
        (killed / name).write_bytes((tmp_path / "whole" / name).read_bytes())
    (killed / "steps.jsonl").write_text("".join(lines[:7]) + lines[7][:50])
    assert evaluate(recipe, killed)["digest"] == whole["digest"]


def test_a_call_that_is_not_for_training_gives_no_row() -> None:
    said = Generation("x", prompt_ids=(1, 2), token_ids=(3,))
    kept = Transition(Observation((), 5, Expects.OPERATIONS), said, (), (), 0)
    aside = replace(kept, observation=replace(kept.observation, trained=False))
    helped = replace(kept, to="notes")
    made = replace(played("[]"), transitions=(kept, aside, helped, kept))
    assert len(rows_of(made, 1.0, mask_truncated=False)) == 2
