"""MemoryAgentBench (Hu et al. 2026), conflict resolution: numbered facts, of which later ones override earlier ones.

The split `Conflict_Resolution` of ai-hyz/MemoryAgentBench (arXiv 2507.05257): eight contexts of 6k to 262k tokens, with
questions about single facts (`sh`) or chains of them (`mh`), 100 each. A fact is a document, with its number. There are
no gold facts. The score of the field is `substring_em`. What older facts said of the same subject is `stale` in
questions about single facts; for a chain it would take the relations between them, which the records do not give.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator

from atommem_cli.core.errors import SourceError, UsageError
from atommem_cli.core.types import Document, Question
from atommem_cli.data.files import Plan, Request
from atommem_cli.tasks import _overridden, _own, _published
from atommem_cli.tasks._files import files, suffix
from atommem_cli.tasks._own import Told
from atommem_cli.tasks._published import Published, splits
from atommem_cli.tasks._schema import Mismatch, conform

__all__ = ["Options", "build", "inputs", "splits"]

NAME = "memory_agent_bench"
SPLIT = "Conflict_Resolution"
_RECORD = {"context": str, "questions": [str], "answers": [[str]], "metadata": {"source": str}}
_FACT = re.compile(r"^\d+\. .*\S", re.MULTILINE)
_SOURCE = re.compile(r"factconsolidation_(mh|sh)_(\w+)")
RULE = (
    "Go by the facts that were read, not by what you know; where they conflict, the one with the larger number holds."
)
"""What the benchmark's own prompts say with each question, in our words."""
Subset = Literal["sh", "mh", "6k", "32k", "64k", "262k"]


class Options(_own.Options):
    """What a recipe may set."""

    subsets: tuple[Subset, ...] = ()
    """Contexts of these kinds and lengths alone; empty: all."""
    rule: bool = True
    """Whether each question says what holds where facts conflict, as the benchmark's own prompts do."""

    @field_validator("subsets", mode="before")
    @classmethod
    def _one(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


def _told(raw: Any, number: int, options: Options, seed: int) -> Told:
    row = conform(raw, _RECORD)
    found = _SOURCE.fullmatch(row["metadata"]["source"])
    if found is None:
        raise Mismatch(
            f"the field metadata.source is {row['metadata']['source']!r}: of MemoryAgentBench the split {SPLIT} is "
            "read, whose sources are factconsolidation_*"
        )
    facts = tuple(Document("", line) for line in _FACT.findall(row["context"]))
    if not facts:
        raise Mismatch("the field context has no line with a numbered fact, as `0. ...`")
    texts, answers = row["questions"], row["answers"]
    if len(texts) != len(answers):
        raise Mismatch(f"there are {len(texts)} questions, and answers to {len(answers)}")
    ids = raw["metadata"].get("qa_pair_ids") or [f"{number}-{at}" for at in range(len(texts))]
    kind, length = found.groups()
    if not _wanted(options.subsets, kind, length):
        return Told(facts, (), ("other_subset",) * len(texts))
    lines = [fact.text for fact in facts]
    questions = tuple(
        Question(
            conform(name, str),
            _asked(text, options.rule),
            tuple(accepted) or ("",),
            kind=f"{kind} {length}",
            stale=_overridden.stale(lines, text, accepted) if kind == "sh" else (),
        )
        for name, text, accepted in zip(ids, texts, answers, strict=True)
    )
    return Told(facts, questions)


def _asked(text: str, rule: bool) -> str:
    """A question as it is asked; a blank one stays blank, and is left out."""
    return f"{text.strip()} {RULE if rule else ''}".strip() if text.strip() else ""


def _wanted(subsets: tuple[str, ...], kind: str, length: str) -> bool:
    """Whether kind and length are among those that are named, as far as any is."""
    return all(not {*subsets} & group or one in subsets for one, group in ((kind, _KINDS), (length, _LENGTHS)))


def _local(source: str, split: str) -> list[Path]:
    """A file as it is; of a folder, or its folder `data`, those of the split."""
    path = Path(source)
    for folder in (path, path / "data"):
        found = [one for one in sorted(folder.glob(f"{SPLIT}*")) if suffix(one)] if folder.is_dir() else []
        if found:
            return found
    if path.is_dir():
        raise SourceError(f"{path}: no file of the split {SPLIT} ({SPLIT}-00000-of-00001.parquet, or json or jsonl)")
    return files(source, split)


def _hub(_: Options, split: str) -> tuple[str, str]:
    if split == "train":
        raise UsageError(f"{NAME}: it is for evaluation and has no questions to train on; prepare --split validation")
    return "ai-hyz/MemoryAgentBench", f"data/{SPLIT}-00000-of-00001.parquet"


_KINDS, _LENGTHS = frozenset({"sh", "mh"}), frozenset({"6k", "32k", "64k", "262k"})
PUBLISHED = Published(
    name=NAME,
    licence="MIT",
    hub=_hub,
    options=Options(),
    told=_told,
    local=_local,
)
inputs = partial(_published.inputs, PUBLISHED)


def build(options: Options, request: Request) -> Plan:
    """The plan of one split; see `_published.build`."""
    return _published.build(PUBLISHED, options, request)
