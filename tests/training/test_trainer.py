"""Is it right: the gradient of the published objective, tokens in = tokens trained, nothing dropped."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from training_recipes import recipe
from transformers import TrainerCallback

from atommem_cli.config.recipe import Recipe
from atommem_cli.core.types import Trajectory
from atommem_cli.data.files import TaskFile
from atommem_cli.running.build import assemble
from atommem_cli.scoring import rewards
from atommem_cli.training import grpo_rows, learners, loop, trainer, trl_config
from atommem_cli.training.grpo_rows import TrainingRow
from atommem_cli.training.importance import importance_ratio
from atommem_cli.training.rollouts import LearningPolicy, PlayedBatch
from atommem_cli.training.trainer import TrajectoryGRPOTrainer


class Watched(TrajectoryGRPOTrainer):
    """Keeps what each generation played and made of it, and the gradient of each update."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.seen: list[tuple[PlayedBatch, list[float]]] = []
        self.dealt: list[list[list[dict[str, torch.Tensor]]]] = []
        self.gradients: list[dict[str, torch.Tensor]] = []
        self.starts: list[Any] = []
        super().__init__(*args, **kwargs)
        watch = self

        class Gradients(TrainerCallback):  # type: ignore[misc]
            def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
                model = watch.accelerator.unwrap_model(watch.model)
                watch.gradients.append(
                    {n: p.grad.cpu().clone() for n, p in model.named_parameters() if p.grad is not None}
                )

        self.add_callback(Gradients())

    def _expand(self, played: PlayedBatch, advantages: Sequence[float]) -> list[list[dict[str, torch.Tensor]]]:
        self.seen.append((played, list(advantages)))
        self.starts.append(copy.deepcopy(self.accelerator.unwrap_model(self.model).state_dict()))
        self.dealt.append(super()._expand(played, advantages))
        return self.dealt[-1]


def made(
    given: Recipe,
    out: Path,
    kind: type[TrajectoryGRPOTrainer] = Watched,
    limit: int | None = None,
    playing: type[LearningPolicy] = LearningPolicy,
) -> Any:
    from datasets import Dataset

    learner = learners.load(given)
    policy = playing(learner)
    folder = Path(given.task.folder)
    tasks = TaskFile(folder / "train", limit), TaskFile(folder / "validation", 4)
    return kind(
        assemble(given, out, policy),
        policy,
        *tasks,
        model=loop.rooted(learner, out),
        args=trl_config.grpo(given, out, validated=4, processes=1),
        processing_class=learner.words.tokenizer,
        peft_config=learners.adapters(given.grpo.lora, "grpo.lora"),
        train_dataset=Dataset.from_dict({"prompt": [str(i) for i in range(len(tasks[0]))]}),
        eval_dataset=Dataset.from_dict({"prompt": [str(i) for i in range(4)]}),
    )


def trained(given: Recipe, out: Path, kind: type[TrajectoryGRPOTrainer] = Watched, limit: int | None = None) -> Any:
    done = made(given, out, kind, limit)
    done.train()
    return done


def trained_tokens(trajectory: Trajectory) -> int:
    return sum(len(step.generation.token_ids) for step in trajectory.transitions)


def published_gradient(
    weights: Any,
    played: PlayedBatch,
    advantages: Sequence[float],
    unit: str,
    credits: Sequence[Mapping[int, Sequence[float]]] = (),
) -> dict[str, torch.Tensor]:
    """Of - mean over the units of advantage x log-probability, one unpadded row at a time, in float64.

    At the first inner iteration the ratio is 1, so clipping plays no part.

    Args:
        credits: of each trajectory what tokens have beside its advantage, by the number of their call.
    """
    model = learners.load(recipe()).model.double().train()
    model.load_state_dict(weights)  # on the CPU, whatever trained them
    steps = sum(len(t.transitions) for t in played.trajectories)
    tokens = sum(map(trained_tokens, played.trajectories))
    for at, (trajectory, advantage) in enumerate(zip(played.trajectories, advantages, strict=True)):
        for number, step in enumerate(trajectory.transitions):
            prompt, reply = step.generation.prompt_ids, step.generation.token_ids
            logits = model(input_ids=torch.tensor([[*prompt, *reply]])).logits[0, len(prompt) - 1 : -1]
            chosen = logits.log_softmax(-1)[torch.arange(len(reply)), torch.tensor(reply)]
            share = {
                "token": 1 / tokens,
                "step": 1 / (steps * len(reply)),
                "trajectory": 1 / (len(played.trajectories) * trained_tokens(trajectory)),
            }[unit]
            own = credits[at].get(number) if credits else None
            each = advantage + torch.tensor(own or [0.0] * len(reply), dtype=torch.float64)
            (-share * (each * chosen).sum()).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("unit", "share"), [("token", True), ("step", True), ("trajectory", True), ("token", False)])
def test_the_gradient_is_that_of_the_published_objective(tmp_path: Path, unit: str, share: bool) -> None:
    small = "grpo.micro_batch_tokens=150" if share else "grpo.share_prefixes=false"
    done = trained(recipe(f"grpo.unit={unit}", small, max_steps=1), tmp_path)
    (played, advantages), gradient = done.seen[0], done.gradients[0]
    assert max(len(slot) for slot in done.dealt[0]) > 1  # several micro-batches in a slot
    assert sum(advantage != 0 for advantage in advantages) >= 4
    assert len({len(t.transitions) for t in played.trajectories}) > 1  # trajectories of unequal length
    truth = published_gradient(done.starts[0], played, advantages, unit)
    scale = max(g.abs().max() for g in truth.values())
    precision = 5e-2 if done.args.bf16 else 2e-6  # a GPU multiplies in bf16
    for name, expected in truth.items():
        assert (gradient[name].double() - expected).abs().max() < precision * scale, name


def test_std_scaled_advantages_are_per_trajectory(tmp_path: Path) -> None:
    done = trained(recipe(max_steps=1, scale_rewards="group"), tmp_path)
    played, advantages = done.seen[0]
    pairs = zip(played.tasks, played.trajectories, strict=True)
    paid = torch.tensor([rewards.REWARDS["format"](*pair) for pair in pairs])
    groups = paid.view(-1, 4)
    expected = (groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + 1e-4)
    assert torch.allclose(torch.tensor(advantages), expected.flatten(), atol=1e-5)


def test_tokens_in_are_tokens_trained(tmp_path: Path) -> None:
    done = trained(recipe(max_steps=1, beta=0.01), tmp_path)  # with KL every row is trained
    played, advantages = done.seen[0]
    said = Counter(
        (step.generation.prompt_ids, step.generation.token_ids, round(advantage, 6))
        for trajectory, advantage in zip(played.trajectories, advantages, strict=True)
        for step in trajectory.transitions
    )
    learned: Counter[Any] = Counter()
    for batch in (batch for slot in done.dealt[0] for batch in slot):
        for row in range(len(batch["advantages"])):
            prompt = batch["prompt_ids"][row][batch["prompt_mask"][row].bool()].tolist()
            reply = batch["completion_ids"][row][batch["completion_mask"][row].bool()].tolist()
            learned[tuple(prompt), tuple(reply), round(batch["advantages"][row].item(), 6)] += 1
    assert learned == said
    tokens = sum(map(trained_tokens, played.trajectories))
    assert all(batch["num_items_in_batch"] == tokens for slot in done.dealt[0] for batch in slot)
    chat = done._policy._student.words.chat
    for step in (step for trajectory in played.trajectories for step in trajectory.transitions):
        assert tuple(chat.prompt(step.observation.messages)) == step.generation.prompt_ids


def test_the_ratio_is_one_at_the_first_inner_iteration(tmp_path: Path) -> None:
    done = made(recipe("grpo.micro_batch_tokens=150", max_steps=2, save_steps=2, num_iterations=2), tmp_path)
    off: dict[int, list[float]] = {0: [], 1: []}
    plain = done._get_per_token_logps_and_entropies

    def watched(model: Any, ids: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        found = plain(model, ids, *args, **kwargs)
        if found[0].requires_grad:
            for batch in (batch for slot in done._slots for batch in slot):
                if torch.equal(torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1), ids):
                    ratio = torch.exp(found[0].detach() - batch["old_per_token_logps"])
                    off[done.state.global_step].append((ratio - 1).abs().max().item())
        return found

    done._get_per_token_logps_and_entropies = watched
    done.train()
    assert len(off[0]) == len(off[1]) > 2
    assert max(off[0]) == 0.0
    assert max(off[1]) > 1e-4


def test_fillers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = trained(recipe(max_steps=1), tmp_path / "plain")

    def more(shapes: Any) -> list[list[int]]:
        return [[size + 2 for size in sizes] + [3] for sizes in shape(shapes)]

    shape = grpo_rows.common_shape
    monkeypatch.setattr(grpo_rows, "common_shape", more)
    filled = trained(recipe(max_steps=1), tmp_path / "filled")
    rows = [sum(len(batch["advantages"]) for slot in done.dealt[0] for batch in slot) for done in (plain, filled)]
    assert rows[1] > rows[0] + 6
    for name, gradient in plain.gradients[0].items():
        scale = gradient.abs().max()
        assert torch.allclose(filled.gradients[0][name], gradient, rtol=0, atol=1e-6 * float(scale)), name


def test_permuting_the_trajectories_of_a_group_permutes_their_advantages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = trained(recipe(max_steps=1), tmp_path / "plain")
    play = trainer.play

    def reversed_groups(*args: Any) -> PlayedBatch:
        played = play(*args)
        order = [at - at % 4 + 3 - at % 4 for at in range(len(played.trajectories))]
        played.trajectories = [played.trajectories[at] for at in order]
        return played

    monkeypatch.setattr(trainer, "play", reversed_groups)
    turned = trained(recipe(max_steps=1), tmp_path / "turned")

    def by_name(done: Any) -> dict[str, float]:
        played, advantages = done.seen[0]
        return dict(zip((t.episode for t in played.trajectories), advantages, strict=True))

    assert by_name(turned) == pytest.approx(by_name(plain), abs=1e-7)
    assert len(set(by_name(plain).values())) > 2


def test_optimiser_steps_do_not_depend_on_the_number_of_contexts(tmp_path: Path) -> None:
    few, many = (
        trained(recipe(f"chunk.tokens={size}", num_train_epochs=1, max_steps=-1), tmp_path / str(size), limit=4)
        for size in (60, 4)
    )
    rows = [sum(len(t.transitions) for t in done.seen[0][0].trajectories) for done in (few, many)]
    assert rows[1] > 2 * rows[0]
    assert few.state.global_step == many.state.global_step == 2  # 4 tasks, 2 an update
    assert len(few.gradients) == len(many.gradients) == 2


def test_the_reference_starts_where_the_policy_does(tmp_path: Path) -> None:
    done = trained(recipe(max_steps=2, beta=0.1), tmp_path)
    kl = [line["kl"] for line in done.state.log_history if "kl" in line]
    assert kl[0] == pytest.approx(0, abs=1e-7)
    assert kl[1] > 1e-7


def test_truncated_replies_are_left_out_on_request(tmp_path: Path) -> None:
    done = trained(recipe(max_steps=1, mask_truncated_completions=True, beta=0.01), tmp_path)
    played, _ = done.seen[0]
    whole = [s for t in played.trajectories for s in t.transitions if s.generation.finish == "stop"]
    cut = sum(len(t.transitions) for t in played.trajectories) - len(whole)
    assert cut > 0
    batches = [batch for slot in done.dealt[0] for batch in slot]
    real = sum(int((batch["tool_mask"].sum(1) > 0).sum()) for batch in batches)
    assert real == len(whole)
    assert batches[0]["num_items_in_batch"] == sum(s.generation.new_tokens for s in whole)


def test_an_update_without_any_spread_changes_nothing(tmp_path: Path) -> None:
    done = trained(recipe("grpo.rewards={em: 1.0}", max_steps=1), tmp_path)  # noise answers nothing
    assert all(not gradient.any() for gradient in done.gradients[0].values())
    line = next(line for line in done.state.log_history if "frac_reward_zero_std" in line)
    assert line["frac_reward_zero_std"] == 1
    assert line["batch/skipped"] == 1
    assert "batch/padding" not in line  # there was no batch


# --- packing, without a model


def rows(*sizes: tuple[int, int]) -> list[TrainingRow]:
    return [TrainingRow((0,) * prompt, (1,) * completion, 1.0) for prompt, completion in sizes]


@pytest.mark.parametrize("share", [True, False])
def test_every_row_lies_in_one_micro_batch_within_the_budget(share: bool) -> None:
    mine = rows(*[(prompt, 1 + prompt % 7) for prompt in range(1, 90)])
    batches = grpo_rows.micro_batches(mine, 200, share=share)
    assert Counter(row.tokens for batch in batches for row in batch) == Counter(row.tokens for row in mine)
    assert all(grpo_rows.cost(batch, share=share) <= 200 for batch in batches)
    naive = len(mine) * (max(len(r.prompt) for r in mine) + max(len(r.completion) for r in mine))
    assert sum(grpo_rows.cost(batch, share=share) for batch in batches) < 0.6 * naive


def test_ranks_agree_on_the_shape_of_every_slot() -> None:
    first, _ = grpo_rows.slots([rows((5, 2)), rows((9, 3), (4, 4))], 1, 2, 12)
    second, _ = grpo_rows.slots([rows((5, 2))], 1, 2, 12)
    shape = grpo_rows.common_shape([[[len(b) for b in slot] for slot in dealt] for dealt in (first, second)])
    filler = TrainingRow((0,), (1,), 0.0, weight=0.0)
    shapes = [
        [[len(batch) for batch in slot] for slot in grpo_rows.level(dealt, shape, filler)] for dealt in (first, second)
    ]
    assert shapes[0] == shapes[1] == shape
    assert all(slot for slot in shape)


def test_weights_make_every_unit_weigh_the_same() -> None:
    trajectories = [rows((3, 4), (3, 2)), rows((3, 10))]
    counts = grpo_rows.Counts(tokens=16, steps=3, trajectories=2)
    for unit, shares in (("token", [[4, 2], [10]]), ("step", [[1, 1], [1]]), ("trajectory", [[2, 1], [3]])):
        made = [grpo_rows.weighted(t, unit, counts) for t in trajectories]  # type: ignore[arg-type]
        mass = [[row.weight * len(row.completion) for row in t] for t in made]
        total = sum(map(sum, mass))
        assert total == pytest.approx(16)
        whole = sum(map(sum, shares))
        assert [[m / total for m in t] for t in mass] == [pytest.approx([s / whole for s in t]) for t in shares]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("token_truncate", [[2.0, 0.5, 1.0]]),
        ("token_mask", [[0.0, 0.5, 1.0]]),
        ("sequence_truncate", [[2.0]]),
        ("sequence_mask", [[2.0]]),
    ],
)
def test_the_correction_for_the_sampler_is_trls(mode: str, expected: list[list[float]]) -> None:
    trained_ = torch.log(torch.tensor([[0.8, 0.2, 0.5]]))
    sampled = torch.log(torch.tensor([[0.2, 0.4, 0.3]]))
    sampled[0, 2] = float("nan")  # not known: no correction
    ratio = importance_ratio(trained_, sampled, torch.ones(1, 3), mode, None, 2.0 + 1e-6)
    assert torch.allclose(ratio, torch.tensor(expected), atol=1e-5)
