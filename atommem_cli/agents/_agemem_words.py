"""What AgeMem is told and may say: the file of its wording, and the messages that are made of it.

`agent.dialect` names it, as the dialects of other agents; AgeMem's has other prompts and a grammar of its own.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from atommem_cli.agents import _prompts
from atommem_cli.core.calls import Tool
from atommem_cli.core.context import ContextMessage
from atommem_cli.core.errors import UsageError
from atommem_cli.core.headings import Headings
from atommem_cli.core.types import MemoryEntry, OpKind, OpResult, Outcome
from atommem_cli.core.yaml_file import read_yaml
from atommem_cli.dialects.wording import pieces, shipped, template

SHIPPED = ("paper", "tiny")
FAULT = "fault"
"""Key in the metadata of an operation: what is wrong with the call."""
_COMPOSED = frozenset({"results", "memories", "reads_left", "messages"})
"""Fields of our own making; all others hold foreign text."""

Parts = dict[str, str]


class Wording(BaseModel):
    """A file of wording, checked. Parts of a message stand in the order of the file; one whose field is not given is
    left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    grammar: Literal["json", "tags"]
    tags: dict[str, str]
    """json: `calls` and `answer`; tags: one for each operation, and `answer`."""
    names: dict[OpKind, str] = {}
    """json: what the tools are called."""
    spaced: bool = False
    """Whether parts stand on single lines, and tags apart from what is in them (closed vocabularies)."""
    memory: str
    """One shown entry; fields number (its id) and text."""
    nothing: str
    system: str
    """Fields known and tools; empty for none."""
    known: str
    """Where the questions are known beforehand; field questions."""
    tools: dict[OpKind, str]
    """The manual, a part for each tool; field name."""
    first: Parts
    """A message of stage 1; fields results, memories, chunk; likewise below."""
    second: Parts
    third: Parts
    """A question, in stage 3; question in place of chunk, and reads_left: further replies that may hold calls."""
    again: Parts
    """After calls of which the policy sees the results before anything else comes."""
    results: dict[str, str]
    """What became of a call, by its outcome, and `created` and `found`; fields name, number, text, memories, fault."""
    summary: Parts
    """The call that writes a summary; field messages."""
    filter: Parts
    """The call of a model that is asked which messages to remove; fields messages and criteria."""


class Schema(BaseModel):
    """What a model is told of one tool, where tools are told apart from the messages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str
    parameters: dict[str, dict[str, str]]
    required: list[str]

    def tool(self, name: str) -> Tool:
        """The tool under a name."""
        schema = {"type": "object", "properties": self.parameters, "required": self.required}
        return Tool(name, self.description, json.dumps(schema, ensure_ascii=False))


class Native(BaseModel):
    """The file for such models, checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str
    """Field known."""
    tools: dict[OpKind, Schema]


class Words:
    """One wording, ready to make messages."""

    def __init__(self, name: str, wording: Wording, digest: str, coded: bool, native: Native | None) -> None:
        """
        Args:
            digest: sha256 of the file, 16 hexadecimal digits.
            coded: whether Filter is called Clear_context, as in the authors' code.
            native: of tools that are told apart from the messages; None where the instructions tell them.
        """
        self.name, self.digest = name, digest
        self.wording = wording
        self._native = native
        self.names = {**wording.names, **({OpKind.FILTER: "Clear_context"} if coded and wording.names else {})}
        texts = (wording.first, wording.second, wording.third, wording.again)
        entry = pieces(wording.memory)
        begins, number = [pieces(text)[0] for parts in texts for text in parts.values()], (entry[0], entry[2])
        results = [f"{name}:" for name in self.names.values()]
        self._headings = Headings([*begins, *results], number)
        turns = [f"{role}:" for role in ("system", "user", "assistant", "tool")]
        self._turns, self._numbers = Headings([*begins, *turns], number), Headings([], ("", "."))
        """Of messages that are shown as the text of one."""

    def system(self, dropped: frozenset[OpKind], questions: Sequence[str]) -> str:
        """The instructions; empty where there are none.

        Args:
            dropped: tools that are left out.
            questions: those that are known beforehand.
        """
        tools = "".join(
            template(text).substitute(name=self.names.get(kind, "")).rstrip("\n") + "\n"
            for kind, text in self.wording.tools.items()
            if kind not in dropped
        )
        asked = "\n".join(self._quoted(" ".join(text.splitlines())) for text in questions)
        known = template(self.wording.known).substitute(questions=asked).rstrip("\n") if questions else ""
        told = self._native.system if self._native else self.wording.system
        made = template(told).substitute(known=known, tools=tools)
        return "\n".join(line for line in made.splitlines() if line.strip())

    def tools(self, dropped: frozenset[OpKind]) -> tuple[Tool, ...]:
        """The tools that are told apart from the messages; none where the instructions tell them."""
        schemas = self._native.tools.items() if self._native else ()
        return tuple(schema.tool(self.names[kind]) for kind, schema in schemas if kind not in dropped)

    def message(self, section: str, fields: Mapping[str, str]) -> str:
        """A message of one section of the file; parts whose field is not given are left out."""
        parts: Parts = getattr(self.wording, section)
        made = []
        for text in parts.values():
            parsed = template(text)
            if all(field in fields for field in parsed.get_identifiers()):
                filled = {key: self._filled(key, fields[key]) for key in parsed.get_identifiers()}
                made.append(parsed.substitute(filled).rstrip("\n"))
        return ("\n" if self.wording.spaced else "\n\n").join(made)

    def _filled(self, key: str, text: str) -> str:
        return (text if key in _COMPOSED else self._quoted(text)) or self.wording.nothing

    def _quoted(self, text: str) -> str:
        return self._headings.quoted(text, inline=False)

    def memories(self, entries: Sequence[MemoryEntry]) -> str:
        """Entries as they are shown, with their ids."""
        return "\n".join(self.entry(entry.id, self._headings.quoted(entry.text, inline=True)) for entry in entries)

    def entry(self, number: int, text: str) -> str:
        """One of them."""
        return template(self.wording.memory).substitute(number=number, text=text)

    def conversation(self, messages: Sequence[ContextMessage], *, numbered: bool = False) -> str:
        """Messages as the text of one."""
        made = []
        for said in messages:
            text = self._turns.quoted(said.message.content, inline=True)
            text = self._numbers.quoted(text, inline=True) if numbered else text
            made.append(f"{f'{said.id}. ' if numbered else ''}{said.message.role}: {text}")
        return "\n".join(made)

    def result(self, result: OpResult, found: Sequence[MemoryEntry] | None) -> str:
        """What became of a call, or nothing where nothing is to be told.

        Args:
            found: what a Retrieve has found.
        """
        op = result.op
        key = "created" if (op.kind, result.outcome) == (OpKind.CREATE, Outcome.OK) else result.outcome.value
        text = self.wording.results.get("found" if found is not None else key)
        if text is None:
            return ""
        fault = dict(op.meta).get(FAULT, "")
        memories = self.memories(found or ()) or self.wording.nothing
        fields = {"name": self.names.get(op.kind, op.kind.value), "number": result.entry, "memories": memories}
        said = self._headings.quoted(op.text.strip(), inline=True)
        made = template(text).safe_substitute(fields, text=said, fault=f"({fault})" if fault else "")
        return made.rstrip()


def load(name: str, *, coded: bool = False, native: bool = False) -> Words:
    """The wording of that name, or in the file of that path; `paper` for a dialect that other agents alone speak.

    Raises:
        UsageError: there is none, or the file is no wording; names the file and the key. Or it is native, and writes
            calls as tags.
    """
    own = name if name.endswith((".yaml", ".yml")) or name in SHIPPED else "paper" if name in shipped() else None
    if own is None:
        raise UsageError(
            f"agent.dialect: agemem speaks {' and '.join(SHIPPED)}, or what a file of one's own says (given: {name})"
        )
    wording, digest = _read(own)
    if not native:
        return Words(own, wording, digest, coded, None)
    if wording.grammar != "json":
        raise UsageError(f"agent.calling=native: calls are JSON there, and agent.dialect={name} writes them as tags")
    schemas, told = _native()
    return Words(own, wording, hashlib.sha256(f"{digest} {told}".encode()).hexdigest()[:16], coded, schemas)


@functools.cache
def _native() -> tuple[Native, str]:
    path = _shipped("native")
    return Native.model_validate(read_yaml(path)), hashlib.sha256(path.read_bytes()).hexdigest()


def _shipped(name: str) -> Path:
    return Path(str(resources.files("atommem_cli") / "agents" / f"_agemem_{name}.yaml"))


@functools.cache
def _read(name: str) -> tuple[Wording, str]:
    path = Path(name) if name.endswith((".yaml", ".yml")) else _shipped(name)
    wording, digest = _prompts.read(Wording, path, name, "_agemem_paper.yaml")
    for kind in _missing(wording):
        raise UsageError(f"{name}: nothing says how {kind} is written (tags, or names of a grammar in JSON)")
    return wording, digest


def _missing(wording: Wording) -> list[str]:
    tools = (OpKind.CREATE, OpKind.READ, OpKind.UPDATE, OpKind.DELETE, OpKind.SUMMARIZE, OpKind.FILTER)
    there: Mapping[Any, str] = wording.names if wording.grammar == "json" else wording.tags
    wanted = ["calls", "answer"] if wording.grammar == "json" else ["answer"]
    return [kind.value for kind in tools if kind not in there] + [tag for tag in wanted if tag not in wording.tags]
