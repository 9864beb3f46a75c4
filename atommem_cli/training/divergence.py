"""A training stops at the first value that is not finite: a loss, a gradient, a weight, a logit.

What is found before an optimiser step leaves the weights as they were; no checkpoint is written after it. All ranks
stop together. The fact is a line of `metrics.jsonl`, and the same command reads it there instead of trying again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from atommem_cli.core.errors import Diverged
from atommem_cli.core.files import Lines, whole_lines
from atommem_cli.models.loading import LARGEST, not_finite
from atommem_cli.runs.layout import METRICS
from atommem_cli.training import distributed
from atommem_cli.training.checkpoints import number, whole


class FoundError(Exception):
    """Something is not finite; caught by `stopping`."""

    def __init__(self, update: int, what: str, sound: int) -> None:
        """
        Args:
            update: the update that made or met it; 0 is before the first.
            sound: updates after which the weights are known to be good.
        """
        super().__init__(what)
        self.update, self.what, self.sound = update, what, sound


def agree(update: int, what: str | None, sound: int) -> None:
    """Stop on every rank if one has found something.

    Args:
        what: what this rank found; None is nothing.

    Raises:
        FoundError: one has.
    """
    found = next((one for one in distributed.gather([what]) if one), None)
    if found is not None:
        raise FoundError(update, found, max(0, sound))


def watch(trainer: Any) -> None:
    """Have a trainer of TRL look at every loss, gradient and weight."""
    from transformers import TrainerCallback

    step, losses = trainer.training_step, [True]

    def training_step(*args: Any, **keywords: Any) -> Any:
        loss = step(*args, **keywords)
        losses[0] &= math.isfinite(loss.item())  # the Trainer asks for its value, too
        return loss

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
            agree(state.global_step, _weights(model), state.global_step - 1)

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
            update = state.global_step + 1
            agree(update, None if losses[0] else "the loss", update - 2)  # weights of the update before gave it
            # Under a scaler (fp16) infinite gradients are part of the search for its scale: the step is left out.
            scaled = trainer.accelerator.scaler is not None
            agree(update, None if scaled else _gradients(model), update - 2)

        def on_optimizer_step(self, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
            agree(state.global_step + 1, _weights(model), state.global_step)

        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any) -> None:
            finite = math.isfinite(metrics.get("eval_loss", 0.0))
            agree(state.global_step, None if finite else "the validation loss", state.global_step - 1)

    trainer.training_step = training_step
    trainer.add_callback(Watch())


def _weights(model: Any) -> str | None:
    bad = not_finite(model.named_parameters())
    return f"the weight {bad}" if bad else None


def _gradients(model: Any) -> str | None:
    def all_of_them() -> Iterator[tuple[str, Any]]:
        return ((name, one.grad) for name, one in model.named_parameters() if one.grad is not None)

    bad = not_finite(all_of_them())
    return f"the gradient of {bad}" if bad else None


def record(out: Path, found: FoundError) -> None:
    """Write the fact as the last line of the metrics."""
    lines = Lines(out / METRICS)
    seconds = max((line["seconds"] for line in lines.read()), default=0.0)
    fact = {"what": found.what, "sound": found.sound}
    lines.append({"step": found.update, "kind": "train", "seconds": seconds, "diverged": fact})
    lines.close()


def refuse(out: Path, key: str) -> None:
    """Refuse to go on with a training that has diverged.

    Args:
        key: where in the recipe the trainer's keywords stand, for the advice.

    Raises:
        Diverged: it has; names the update and the last good checkpoint.
    """
    path = out / METRICS
    facts = [line for _, line in whole_lines(path) if "diverged" in line] if path.exists() else []
    if not facts:
        return
    update, what, sound = facts[-1]["step"], facts[-1]["diverged"]["what"], facts[-1]["diverged"]["sound"]
    good = [folder for folder in whole(out) if number(folder) <= sound]
    when = f"at update {update}" if update else "before its first update"
    kept = f"the last good checkpoint is {good[-1]} (--policy takes it)" if good else "there is no good checkpoint"
    raise Diverged(
        f"{out}: the training diverged {when}: {what} is not finite (or beyond {LARGEST:g}); {kept}; "
        f"lower {key}.learning_rate or {key}.max_grad_norm, which makes a training of its own, or remove this folder"
    )
