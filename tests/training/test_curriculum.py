"""`grpo.curriculum`: which stages are played when, what they are rewarded by, and the gradient of an edited context."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import warm
from commands import atommem
from ranks import together
from training_recipes import AGEMEM, recipe, staged

from atommem_cli.config.recipe import Recipe
from atommem_cli.core.calls import Expects
from atommem_cli.core.errors import UsageError
from atommem_cli.core.types import OpKind, Outcome, StopReason, Trajectory
from atommem_cli.training import curriculum, grpo, learners, plan_grpo
from training.test_gradient_forms import Truth, far, spread
from training.test_grpo import command, metrics, wait_for
from training.test_trainer import trained, trained_tokens

WHOLE = "{stages: [1, 2, 3]}"
STORE = "rewards: {agemem_paper: 1.0}"


def phases(*said: str, **trainer: Any) -> Recipe:
    listed = f"grpo.curriculum=[{', '.join(said)}]"
    return recipe(f"task.folder={staged()}", *AGEMEM, listed, **trainer)


def stages_of(trajectory: Trajectory) -> list[int]:
    """Those that its calls are of; the tasks have documents 0 to 3, then distractors."""
    late = {chunk.index for chunk in trajectory.chunks if min(chunk.documents) >= 4}
    found = set()
    for step in trajectory.transitions:
        asked = step.observation
        found.add(3 if asked.expects is Expects.ANSWER else 2 if asked.chunk in late else 1)
    return sorted(found)


# --- which phase an update is of


def test_phases_come_one_after_another_and_the_last_one_may_last_or_they_begin_anew() -> None:
    def at(*said: str) -> list[Sequence[int]]:
        section = phases(*said).grpo
        found = (curriculum.phase_at(section, update) for update in range(7))
        return [phase.stages for phase in found if phase]

    progressive = at("{stages: [1, 3], updates: 2}", "{stages: [1, 2, 3], updates: 1}", "{stages: [2, 3]}")
    assert progressive == [(1, 3), (1, 3), (1, 2, 3), (2, 3), (2, 3), (2, 3), (2, 3)]
    mixed = at("{stages: [1, 3], updates: 1}", "{stages: [1, 2, 3], updates: 2}")
    assert mixed == [(1, 3), (1, 2, 3), (1, 2, 3), (1, 3), (1, 2, 3), (1, 2, 3), (1, 3)]
    assert at(WHOLE) == [(1, 2, 3)] * 7
    assert curriculum.phase_at(phases().grpo, 0) is None


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("{stages: []}", r"curriculum\[0\].stages: name stages from 1 to 3"),
        ("{stages: [2, 1, 3]}", "each once and in order"),
        ("{stages: [1, 3]}, {stages: [3]}", r"\[0\].updates: say how many; only the last phase"),
        ("{stages: [1]}", r"\[0\]: without stage 3 there is no answer, and nothing else is rewarded"),
        ("{stages: [1], rewards: {em: 1.0, tagged: 1.0}}", "without stage 3 there is no answer"),
        ("{stages: [1], rewards: {nonsense: 1.0}}", r"curriculum\[0\].rewards: .*nonsense"),
    ],
)
def test_phases_in_which_nothing_could_be_learned_are_refused(said: str, why: str, tmp_path: Path) -> None:
    answers = phases(said).changed(["grpo.rewards={em: 1.0}"])
    for refuse in (lambda: grpo.train(answers, tmp_path / "run"), lambda: plan_grpo.grpo(answers)):
        with pytest.raises(UsageError, match=why):
            refuse()


def test_agents_without_stages_are_refused() -> None:
    with pytest.raises(UsageError, match="the agent atommem has no stages that could be left out; agemem has"):
        curriculum.check(recipe(f"grpo.curriculum=[{WHOLE}]"))


def test_it_is_part_of_what_a_training_is_and_none_of_it_changes_nothing() -> None:
    plain, empty = recipe(f"task.folder={staged()}", *AGEMEM), phases()
    assert plain.training("grpo") == empty.training("grpo")
    assert "curriculum" not in plain.dump()
    digests = {phases(one).training_digest("grpo") for one in (WHOLE, "{stages: [1, 2, 3], updates: 1}")}
    assert len({*digests, plain.training_digest("grpo")}) == 3


def test_a_plan_says_the_phases() -> None:
    told = plan_grpo.grpo(phases(f"{{stages: [1], updates: 10, {STORE}}}", "{stages: [1, 3], updates: 20}", WHOLE))
    assert told.phases == "10 updates of stage 1; 20 updates of stages 1, 3; stages 1, 2, 3"
    assert curriculum.told(phases("{stages: [3], updates: 5}").grpo) == "5 updates of stage 3; then anew"


# --- what is played


def test_only_the_stages_of_a_phase_are_played_and_validation_plays_them_all(tmp_path: Path) -> None:
    parts = [f"{{stages: [1], updates: 1, {STORE}}}", f"{{stages: [1, 2], updates: 1, {STORE}}}"]
    given = phases(*parts, "{stages: [2, 3], updates: 1}", WHOLE, max_steps=4, save_steps=4, eval_steps=4)
    done = trained(given, tmp_path / "run")
    played = [[stages_of(one) for one in seen.trajectories if one.stop is StopReason.ANSWERED] for seen, _ in done.seen]
    for found, wanted in zip(played, ([1], [1, 2], [2, 3], [1, 2, 3]), strict=True):
        assert found
        assert all(one == wanted for one in found)
    for seen, _ in done.seen:
        assert all(
            len(one.answers) == len(task.questions) for one, task in zip(seen.trajectories, seen.tasks, strict=True)
        )
        assert all(task.questions for task in seen.tasks)
    done.evaluate()
    assert {tuple(stages_of(one)) for one in done._played.trajectories} == {(1, 2, 3)}
    assert done.reward_weights.tolist()[done._names.index("format")] == 1.0
    assert done.reward_weights.sum() == 1.0


def test_the_reward_of_a_phase_is_its_own(tmp_path: Path) -> None:
    given = phases(f"{{stages: [1], updates: 1, {STORE}}}", WHOLE, max_steps=2, save_steps=2)
    grpo.train(given, tmp_path / "run")
    first, second = (line for line in metrics(tmp_path / "run") if line["kind"] == "train")
    assert first["reward"] == pytest.approx(first["rewards/agemem_paper/mean"], abs=1e-6)
    assert second["reward"] == pytest.approx(second["rewards/format/mean"], abs=1e-6)
    assert first["reward"] != pytest.approx(first["rewards/format/mean"], abs=1e-3)


@pytest.mark.timeout(300)
def test_killed_in_two_phases_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    given = phases(
        f"{{stages: [1], updates: 2, {STORE}}}", "{stages: [1, 3], updates: 2}", WHOLE, max_steps=6, save_steps=1
    )
    calm, rough = grpo.train(given, tmp_path / "calm"), tmp_path / "rough"
    for updates in (1, 3):
        process = warm.start(command(given, rough))
        wait_for(rough, updates, process)
        process.kill()
        process.join()
    resumed = json.loads(atommem(*command(given, rough), cwd=tmp_path).stdout)
    assert resumed["weights"] == calm["weights"]


RANK = """
import sys
from pathlib import Path
sys.path[:0] = {path}
import torch
torch.set_num_threads(1)
from atommem_cli.config import recipe as recipes
from atommem_cli.training import distributed
from training.test_curriculum import stages_of
from training.test_trainer import trained
out = Path({out!r})
done = trained(recipes.load(str(out / "given.yaml")), out / "run")
found = [sorted({{tuple(stages_of(one)) for one in seen.trajectories}}) for seen, _ in done.seen]
(out / f"{{distributed.own()}}.txt").write_text(repr(found))
"""


def test_every_rank_plays_the_same_phase(tmp_path: Path) -> None:
    given = phases(f"{{stages: [1], updates: 1, {STORE}}}", "{stages: [3]}", max_steps=2, gradient_accumulation_steps=1)
    (tmp_path / "given.yaml").write_text(given.dump())
    tests = Path(__file__).parents[1]
    code = RANK.format(path=[str(tests), str(tests / "support"), *sys.path], out=str(tmp_path))
    together([], tmp_path / "said", code=code)
    assert [(tmp_path / f"{rank}.txt").read_text() for rank in (0, 1)] == [repr([[(1,)], [(3,)]])] * 2


# --- the gradient of an edited context

EDITING = """
from atommem_cli import Expects, MemoryOp, OpKind
from atommem_cli.agents import agemem
from atommem_cli.agents.agemem import Options
from atommem_cli.core.thoughts import MARKS


KINDS = (OpKind.SUMMARIZE, OpKind.FILTER, OpKind.CREATE)


class Editing(agemem.AgeMem):
    def parse(self, expects, reply, marks=MARKS):
        said = reply.split()
        if expects is not Expects.OPERATIONS or not said:
            return super().parse(expects, reply, marks)
        text = [said[0], "chunk", said[0]]
        return (MemoryOp(KINDS[len(said) % 3], text[len(said) % 3]),)


def build(options):
    return Editing(options)
"""
"""AgeMem, which takes what noise says for an edit: of a policy that has learned nothing few replies are one."""


def test_the_update_of_an_edited_context_is_that_of_the_published_objective(tmp_path: Path) -> None:
    (tmp_path / "editing.py").write_text(EDITING)
    agent = f"agent={{name: {tmp_path}/editing.py, dialect: tiny, retrieval: never, filter_threshold: 0.3}}"
    changes = [f"task.folder={staged()}", "policy.model=tiny_agemem", agent, spread(tmp_path)]
    given = recipe(*changes, "grpo.micro_batch_tokens=150", max_steps=2, learning_rate=1e-2)
    done = trained(given, tmp_path / "run")
    assert done.scorers.share
    seen, advantages = done.seen[1]
    assert sum(advantage != 0 for advantage in advantages) >= 3
    done_ops = [r for t in seen.trajectories for step in t.transitions for r in step.results if r.outcome is Outcome.OK]
    assert {OpKind.SUMMARIZE, OpKind.FILTER, OpKind.CLEAR} <= {result.op.kind for result in done_ops}
    chat = learners.load(given).words.chat
    cut = 0
    for trajectory in seen.trajectories:
        steps = trajectory.transitions
        for before, after in itertools.pairwise(steps):
            shown = before.generation.prompt_ids + before.generation.token_ids
            cut += after.generation.prompt_ids[: len(shown)] != shown
        for step in steps:
            assert tuple(chat.prompt(step.observation.messages)) == step.generation.prompt_ids, "tokens in"
    assert cut >= 4, "an edit begins another branch"
    batches = [batch for slot in done.dealt[1] for batch in slot]
    learning = [one for one, advantage in zip(seen.trajectories, advantages, strict=True) if abs(advantage) > 1e-6]
    assert sum(int(batch["completion_mask"].sum()) for batch in batches) == sum(map(trained_tokens, learning))
    truth = Truth(given, done.starts[1], done.starts[0])
    assert far(done.gradients[1], truth.gradient(seen.trajectories, advantages)) < 5e-6
