"""Named rewards: what each is worth, on trajectories that were really played."""

from __future__ import annotations

from pathlib import Path

import builders
import pytest

from atommem_cli.core.errors import UsageError
from atommem_cli.core.types import Task, Trajectory
from atommem_cli.running.player import Budget
from atommem_cli.scoring import metrics, rewards


def played(*replies: str, budget: Budget | None = None) -> tuple[Task, Trajectory]:
    """Two questions (Velt., Dorn.), one chunk each; the last reply is given for ever."""
    task = builders.task()
    store = builders.store()
    rollout = builders.rollout(store, budget=budget or Budget())
    [trajectory] = rollout.play(builders.Says(builders.script(*replies)), [builders.episode(task, store)])
    return task, trajectory


def test_scorers_are_means_over_the_questions_of_the_task() -> None:
    task, trajectory = played("", "<answer>Velt</answer>")
    assert [answer.text for answer in trajectory.answers] == ["Velt", "Velt"]
    assert rewards.REWARDS["em"](task, trajectory) == 0.5
    assert rewards.REWARDS["f1"](task, trajectory) == 0.5
    assert rewards.REWARDS["tagged"](task, trajectory) == 1.0


def test_form_is_the_share_of_calls_without_a_defect() -> None:
    task, trajectory = played("<create_memory>Ada", "<delete_memory>Memory 7</delete_memory>", "well", "said")
    assert len(trajectory.transitions) == 4
    assert rewards.REWARDS["format"](task, trajectory) == 0.5
    assert rewards.REWARDS["tagged"](task, trajectory) == 0.0


@pytest.mark.parametrize("reply", ["", "  ", "<think>so many words</think>", "<think>cut"])
def test_a_reply_that_does_nothing_has_no_form(reply: str) -> None:
    assert rewards.REWARDS["format"](*played(reply)) == 0.0
    assert rewards.REWARDS["format"](*played("nothing to note", reply)) == 0.0


def test_form_wants_operations_while_reading_and_an_answer_to_a_question() -> None:
    create, answer = "<create_memory>Ada</create_memory>", "<answer>Velt</answer>"
    assert rewards.REWARDS["format"](*played(create, create, answer)) == 1.0
    assert rewards.REWARDS["format"](*played(create, "well", answer)) == 0.75
    assert rewards.REWARDS["format"](*played(create, create, "")) == 0.5


def test_budgets_and_windows_cost_what_agemem_charges() -> None:
    task, whole = played("")
    assert rewards.REWARDS["budget"](task, whole) == 0
    task, cut = played("", budget=Budget(calls=1))
    assert cut.stop == "step_limit"
    assert rewards.REWARDS["budget"](task, cut) == -1


def test_the_total_is_the_weighted_sum() -> None:
    task, trajectory = played("", "<answer>Velt</answer>")
    assert rewards.total({"em": 1.0, "tagged": 0.25})(task, trajectory) == 0.75


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ({"exact": 1.0}, "no 'exact' in rewards"),
        ({"em": 0.0}, "at least one reward"),
        ({}, "at least one reward"),
        ({"em": 1.0, "format": -1e39}, r"format weighs -1e\+39, and a training's sums hold no more than 1e\+18"),
    ],
)
def test_unknown_and_empty_rewards_are_refused(weights: dict[str, float], sentence: str) -> None:
    with pytest.raises(UsageError, match=f"grpo.rewards: .*{sentence}"):
        rewards.check(weights, "grpo.rewards", {})


def test_a_reward_that_can_never_come_is_refused() -> None:
    never = metrics.never({"dialect": "tiny"})
    with pytest.raises(UsageError, match=r"grpo.rewards: boxed_em is 0 for every answer in the dialect tiny"):
        rewards.check({"boxed_em": 0.5, "em": 1.0}, "grpo.rewards", never)
    rewards.check({"boxed_em": 0.0, "em": 1.0}, "grpo.rewards", never)
    rewards.check({"boxed_em": 1.0}, "grpo.rewards", metrics.never({"dialect": "released"}))
    assert metrics.never({"dialect": "./gone.yaml"}) == metrics.never({"name": "outside"}) == metrics.never(None) == {}


MINE = """
from pydantic import BaseModel


class Options(BaseModel):
    {option}


def build(options):
    return lambda pairs: {value}
"""


def mine(folder: Path, value: str, option: str = "pass") -> str:
    (folder / "mine.py").write_text(MINE.format(value=value, option=option))
    return str(folder / "mine.py")


def test_a_reward_from_a_file_is_called_once_a_batch(tmp_path: Path) -> None:
    pairs = [played("", "<answer>Velt</answer>"), played("")]
    name = mine(tmp_path, "[len(pairs) + len(trajectory.transitions) for _, trajectory in pairs]")
    assert rewards.of(name)(pairs) == [2.0 + len(trajectory.transitions) for _, trajectory in pairs]
    rewards.check({name: 0.5}, "grpo.rewards", {})


@pytest.mark.parametrize("value", ["[]", "[float('nan')] * len(pairs)", "['much'] * len(pairs)", "[None] * len(pairs)"])
def test_a_reward_that_gives_no_number_is_one_sentence(value: str, tmp_path: Path) -> None:
    reward = rewards.of(mine(tmp_path, value))
    with pytest.raises(UsageError, match=r"the reward .*mine.py gives .* for 1 trajectories"):
        reward([played("")])


def test_a_reward_whose_options_need_a_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"grpo.rewards: the reward .*: its Options need a key"):
        rewards.check({mine(tmp_path, "[]", "scale: float"): 1.0}, "grpo.rewards", {})


def test_the_likelihood_is_of_the_model_that_learns_and_of_no_other() -> None:
    pair = played("<answer>Velt</answer>")
    assert rewards.of("likelihood", gold=lambda pairs: [-0.5] * len(pairs))([pair]) == [-0.5]
    rewards.check({"likelihood": 1.0}, "grpo.rewards", {})
    for refused in (
        lambda: rewards.check({"likelihood": 1.0}, "sft.rewards", {}),
        lambda: rewards.of("likelihood")([pair]),
    ):
        with pytest.raises(UsageError, match=r"likelihood asks the model that learns: it is for grpo\.rewards alone"):
            refused()
