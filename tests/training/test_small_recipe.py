"""Recipe `small-cpu-grpo`, from demonstrations to a trained policy, with a little stand-in for the pretrained model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import little_tokenizers
import pytest
from commands import atommem
from transformers import LlamaConfig, LlamaForCausalLM

from atommem_cli.config import recipe as recipes
from atommem_cli.core.calls import Message
from atommem_cli.dialects import dialect

DEFAULT = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant<|im_end|>\n{% endif %}"
)
"""What the templates of some pretrained models begin with."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the model in it, and the tasks and demonstrations of the recipe's header."""
    where = tmp_path_factory.mktemp("small")
    tokenizer = little_tokenizers.bpe()
    tokenizer.chat_template = DEFAULT + tokenizer.chat_template
    tokenizer.save_pretrained(where / "model")
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(where / "model")
    prepare, sloppy, careful = commands()[:3]
    atommem(*smaller(prepare, "--limit", "16"), cwd=where)
    for script in (sloppy, careful):
        atommem(*smaller(script, "--limit", "4"), cwd=where)
    return where


def commands() -> list[list[str]]:
    """The commands in the recipe's header, as words."""
    text = Path(recipes.shipped()["small-cpu-grpo"]).read_text()
    header = "\n".join(line[1:].strip() for line in text.splitlines() if line.startswith("#"))
    lines = re.findall(r"^atommem (?:.*\\\n)*.*", header, re.MULTILINE)
    return [[word.strip("'") for word in re.findall(r"'[^']*'|\S+", line.replace("\\\n", " "))][1:] for line in lines]


def smaller(words: list[str], option: str, value: str) -> list[str]:
    at = words.index(option) + 1
    return [*words[:at], value, *words[at + 1 :]]


LITTLE = (
    "chunk.tokens=150", "limits={reply: 6, answer: 4, reads: 1}", "sft.trainer.max_steps=2", "sft.trainer.save_steps=1",
    "sft.holdout=0.25", "grpo.trainer.max_steps=1", "grpo.trainer.save_steps=1", "grpo.validation=2",
    "grpo.rewards={em: 1.0, format: 1.0}", "grpo.trainer.num_generations=2",
    "grpo.trainer.per_device_train_batch_size=4",
)  # fmt: skip


def test_the_commands_of_its_header_run(folder: Path) -> None:
    """Noise has no exact match to speak of: the reward of form gives the groups spread."""
    changes = [part for change in LITTLE for part in ("--set", change)]
    sft, grpo, *evals = commands()[3:7]
    sft = [*sft, "--set", "policy.model=model"]
    rows = json.loads(atommem(*sft, *changes, "--plan", "--json", cwd=folder).stdout)["rows"]
    assert rows > 4
    atommem(*sft, *changes, cwd=folder)
    plan = json.loads(atommem(*grpo, *changes, "--plan", "--json", cwd=folder).stdout)
    assert plan["memory"]["parameters"] > 0
    done = json.loads(atommem(*grpo, *changes, "--json", cwd=folder).stdout)
    assert done["updates"] == 1
    (line,) = (
        line
        for line in map(json.loads, (folder / "results/small-grpo/metrics.jsonl").read_text().splitlines())
        if line["kind"] == "train"
    )
    assert line["batch/shared"] > 1
    for words in evals:
        atommem(*smaller(words, "--limit", "2"), cwd=folder)
    assert {path.name for path in (folder / "results").glob("*-eval")} == {"small-sft-eval", "small-grpo-eval"}


def test_its_dialect_leaves_the_template_no_sentence_of_its_own() -> None:
    words = dialect.load("small")
    given = {"chunk": "c", "questions": "q", "question": "q", "scratchpad": "", "query": "", "memories": ""}
    for section in ("reading", "reader"):
        shown = words.messages(section, given, operating=True)
        assert shown[0] == Message("system", "You keep a memory.")
        assert shown[1:] == dialect.load("tiny").messages(section, given, operating=True)
