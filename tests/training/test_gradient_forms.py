"""The gradient of a whole update, in every form of training: that of the published objective, computed by itself."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from ranks import together
from training_recipes import recipe
from transformers import LlamaConfig, LlamaForCausalLM

from atommem_cli.config.recipe import Recipe
from atommem_cli.core.stream_words import VOCABULARY
from atommem_cli.core.types import Trajectory
from atommem_cli.models import tiny
from atommem_cli.training import learners
from training.test_trainer import trained, trained_tokens

Weights = Mapping[str, torch.Tensor]
LORA = "grpo.lora={r: 4, lora_alpha: 16, target_modules: [q_proj, v_proj]}"
BETA = 0.5


def llama(folder: Path) -> str:
    tokenizer = tiny.build_tokenizer((*tiny.MARKS, *VOCABULARY))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, initializer_range=0.05, bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    tiny.save(folder, LlamaForCausalLM(config), tokenizer)
    return f"policy.model={folder}"


def spread(folder: Path) -> str:
    """A reward that noise has spread in, whatever it has learned."""
    file = folder / "spread.py"
    file.write_text(
        "import hashlib\n"
        "from atommem_cli import Section as Options\n"
        "def build(options):\n"
        "    said = lambda trajectory: repr([step.generation.token_ids for step in trajectory.transitions])\n"
        "    return lambda pairs: [hashlib.sha256(said(t).encode()).digest()[0] / 255 for _, t in pairs]\n"
    )
    return f"grpo.rewards={{{file}: 1.0}}"


class Truth:
    """Of the mean over tokens of - advantage x log-probability + beta x KL, one unpadded row at a time, in float64.

    At the first inner iteration the ratio is 1, so clipping plays no part. KL is TRL's estimator times the ratio (its
    `use_bias_correction_kl`, DeepSeek-V3.2, arXiv 2512.02556), from the reference that the training began with.
    """

    def __init__(self, given: Recipe, weights: Weights, first: Weights) -> None:
        self._adapted = given.grpo.lora is not None
        self._beta: float = given.grpo.trainer.get("beta", 0.0)
        self._model, self._first = self._made(given, weights), self._made(given, first)

    def _made(self, given: Recipe, weights: Weights) -> Any:
        model = learners.load(given).model
        if self._adapted:
            import peft

            model = peft.get_peft_model(model, learners.adapters(given.grpo.lora, "grpo.lora"))
        model.load_state_dict(weights)
        return model.double()

    def gradient(self, trajectories: list[Trajectory], advantages: list[float]) -> dict[str, torch.Tensor]:
        tokens = sum(map(trained_tokens, trajectories))
        for trajectory, advantage in zip(trajectories, advantages, strict=True):
            for step in trajectory.transitions:
                logps = self._logps(self._model, step.generation)
                loss = -advantage * logps
                if self._beta:
                    with torch.no_grad():
                        apart = self._reference(step.generation) - logps.detach()
                        kl = apart.exp() - apart - 1
                    loss = (
                        loss + self._beta * (1 - apart.exp() + kl) * logps
                    )  # with the derivative of ratio x estimator
                (loss.sum() / tokens).backward()
        return {name: part.grad for name, part in self._model.named_parameters() if part.grad is not None}

    def _reference(self, reply: Any) -> torch.Tensor:
        if not self._adapted:
            return self._logps(self._first, reply)
        with self._model.disable_adapter():
            return self._logps(self._model, reply)

    @staticmethod
    def _logps(model: Any, reply: Any) -> torch.Tensor:
        ids = torch.tensor([[*reply.prompt_ids, *reply.token_ids]])
        logits = model(input_ids=ids).logits[0, len(reply.prompt_ids) - 1 : -1].log_softmax(-1)
        return logits[torch.arange(len(reply.token_ids)), torch.tensor(reply.token_ids)]


def far(found: Weights, truth: Weights) -> float:
    """The largest difference, for the largest part of the gradient."""
    assert found.keys() == truth.keys()
    scale = max(float(part.abs().max()) for part in truth.values())
    return max(float((found[name].double() - part).abs().max()) for name, part in truth.items()) / scale


FORMS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "sliding first layer": ([], {}),
    "llama": ([], {}),
    "checkpointing": ([], {"gradient_checkpointing": True}),
    "kl": ([], {"beta": BETA}),
    "lora": ([LORA], {}),
    "lora and kl": ([LORA], {"beta": BETA}),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_second_update_is_that_of_the_published_objective(form: str, tmp_path: Path) -> None:
    changes, keywords = FORMS[form]
    model = [llama(tmp_path / "llama")] if form == "llama" else []
    changes = [*changes, *model, spread(tmp_path)]
    given = recipe(*changes, "grpo.micro_batch_tokens=150", max_steps=2, learning_rate=1e-2, **keywords)
    done = trained(given, tmp_path / "run")
    assert done.scorers.share
    played, advantages = done.seen[1]
    assert sum(advantage != 0 for advantage in advantages) >= 3
    truth = Truth(given, done.starts[1], done.starts[0])
    assert far(done.gradients[1], truth.gradient(played.trajectories, advantages)) < 5e-6
    if "beta" in keywords:
        without = Truth(given.changed(["grpo.trainer.beta=0.0"]), done.starts[1], done.starts[0])
        assert far(done.gradients[1], without.gradient(played.trajectories, advantages)) > 1e-3


RANK = """
import pickle, sys
from pathlib import Path
sys.path[:0] = {path}
import torch
torch.set_num_threads(1)
from atommem_cli.config import recipe as recipes
from atommem_cli.training import distributed
from training.test_trainer import trained
out = Path({out!r})
given = recipes.load(str(out / "given.yaml"))
done = trained(given, out / "run")
rank = distributed.own()
(out / f"{{rank}}.pickle").write_bytes(pickle.dumps((done.seen, done.starts, done.gradients)))
"""


def test_two_ranks_have_the_gradient_of_both_their_trajectories(tmp_path: Path) -> None:
    keywords = {"max_steps": 2, "learning_rate": 1e-2, "gradient_accumulation_steps": 1}
    given = recipe("grpo.micro_batch_tokens=150", spread(tmp_path), **keywords)
    (tmp_path / "given.yaml").write_text(given.dump())
    tests = Path(__file__).parents[1]
    code = RANK.format(path=[str(tests), str(tests / "support"), *sys.path], out=str(tmp_path))
    together([], tmp_path / "said", code=code)
    ranks = [pickle.loads((tmp_path / f"{rank}.pickle").read_bytes()) for rank in (0, 1)]
    parts = [seen[1] for seen, _, _ in ranks]
    trajectories = [trajectory for played, _ in parts for trajectory in played.trajectories]
    advantages = [advantage for _, own in parts for advantage in own]
    assert len(trajectories) == 8
    _, starts, gradients = ranks[0]
    truth = Truth(given, starts[1], starts[0]).gradient(trajectories, advantages)
    assert far(gradients[1], truth) < 5e-6
    assert far(ranks[1][2][1], truth) < 5e-6
