"""The wording of agents whose calls are fixed beforehand (Mem0, A-MEM, ...): one file with the prompt of each call.

`agents/_NAME_PROMPTS.yaml` holds what an agent says in the calls that are its own; how a question is put to the reader
is the business of the dialect, which all agents of a comparison share.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from atommem_cli.core.calls import Message
from atommem_cli.core.errors import UsageError, did_you_mean
from atommem_cli.core.headings import Headings
from atommem_cli.core.yaml_file import read_yaml
from atommem_cli.dialects.wording import pieces

SYSTEM = "system"
"""The part of a prompt that is a message of its own, before the other parts."""
LISTS = frozenset({"memories", "items"})
"""Fields of our own making, from `Prompts.listed`; all others hold foreign text."""
Calls = Mapping[str, frozenset[str]]
"""The calls of an agent by name, each with the fields that its prompt may show."""


class Wording(BaseModel):
    """A file of prompts, checked. Parts of a prompt stand in the order of the file, without those whose field is not
    given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spaced: bool = False
    """Whether parts stand on single lines, and tags apart from what is in them (closed vocabularies)."""
    item: str
    """One of several that are shown, as entries or triples; fields number and text."""
    nothing: str
    """Stands for an empty field."""
    reply: Literal["json", "dialect"] = "json"
    """What replies are written in: JSON, or the tags of the agent's dialect."""
    calls: dict[str, dict[str, str]]
    """The prompt of each call in parts; `system` is a message of its own."""


class Prompts:
    """The prompts of one agent, ready to be filled."""

    def __init__(self, name: str, wording: Wording, digest: str) -> None:
        self.name = name
        self.digest = digest
        """sha256 of the file, 16 hexadecimal digits."""
        self.in_dialect = wording.reply == "dialect"
        self.spaced = wording.spaced
        self._wording = wording
        entry = pieces(wording.item)
        texts = [text for parts in wording.calls.values() for name, text in parts.items() if name != SYSTEM]
        self._headings = Headings([pieces(text)[0] for text in texts], (entry[0], entry[2]))

    def messages(self, call: str, fields: Mapping[str, str]) -> tuple[Message, ...]:
        """The prompt of one call; parts whose field is not given are left out."""
        told, parts = list[Message](), list[str]()
        for name, text in self._wording.calls[call].items():
            before, *rest = pieces(text)
            if any(field not in fields for field in rest[::2]):
                continue
            filled = self._filled(before, rest, fields).rstrip("\n")
            if name == SYSTEM:
                told.append(Message("system", filled))
            else:
                parts.append(filled)
        return (*told, Message("user", ("\n" if self.spaced else "\n\n").join(parts)))

    def listed(self, texts: Sequence[str], first: int = 1) -> str:
        """Texts as the prompt shows them, each with its number.

        Args:
            first: number of the first.
        """
        quoted = (self._headings.quoted(text, inline=True) for text in texts)
        return "\n".join(
            _template(self._wording.item).substitute(number=number, text=text)
            for number, text in enumerate(quoted, start=first)
        )

    def _filled(self, before: str, rest: Sequence[str], fields: Mapping[str, str]) -> str:
        filled = [before]
        for field, after in zip(rest[::2], rest[1::2], strict=True):
            text = fields[field] or self._wording.nothing
            inline = not (before == "" or before.endswith("\n"))
            filled += (text if field in LISTS else self._headings.quoted(text, inline=inline), after)
            before = after
        return "".join(filled)


def load(agent: str, name: str, calls: Calls) -> Prompts:
    """The prompts of that name, or in the file of that path.

    Args:
        agent: whose they are.
        calls: those that a file must have, and no other.

    Raises:
        UsageError: there are none, or the file does not have what the agent needs; names the file and the key.
    """
    return Prompts(name, *_read(agent, name, tuple(calls.items())))


def shipped(agent: str) -> list[str]:
    """Names of the prompts that come with an agent, sorted."""
    start = f"_{agent}_"
    found = (path.name for path in resources.files("atommem_cli").joinpath("agents").iterdir())
    return sorted(name[len(start) : -5] for name in found if name.startswith(start) and name.endswith(".yaml"))


@functools.cache
def _read(agent: str, name: str, calls: tuple[tuple[str, frozenset[str]], ...]) -> tuple[Wording, str]:
    known = shipped(agent)
    if name in known:
        path = Path(str(resources.files("atommem_cli") / "agents" / f"_{agent}_{name}.yaml"))
    elif name.endswith((".yaml", ".yml")):
        path = Path(name)
    else:
        raise UsageError(f"agent.prompts: {agent} has {' and '.join(known)}, or a file of yours (given: {name})")
    content = read_yaml(path, name)
    try:
        wording = Wording.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(
            f"{name}: {where}: {first['msg']}; `_{agent}_{known[0]}.yaml` beside the agent is one"
        ) from None
    for key, text, fields in _templates(wording, dict(calls), name):
        template = _template(text)
        if not template.is_valid():
            raise UsageError(f"{name}: {key}: a $ that begins no field; write $$ for the sign")
        for field in template.get_identifiers():
            if field not in fields:
                raise UsageError(f"{name}: {key}: no field ${{{field}}}{did_you_mean(field, fields)}")
    return wording, hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _templates(wording: Wording, calls: Calls, name: str) -> list[tuple[str, str, frozenset[str]]]:
    """Every text of a file with its key and the fields that it may show."""
    if odd := sorted(calls.keys() ^ wording.calls.keys()):
        raise UsageError(f"{name}: calls: one prompt for each of {', '.join(calls)}, and no other (see {odd[0]})")
    found = [("item", wording.item, frozenset({"number", "text"}))]
    if sorted(_template(wording.item).get_identifiers()) != ["number", "text"]:
        raise UsageError(f"{name}: item: shows one of several, so it needs ${{number}} and ${{text}}")
    for call, parts in wording.calls.items():
        if parts.keys() <= {SYSTEM}:
            raise UsageError(f"{name}: calls.{call}: a part beside `system` is needed")
        found += [(f"calls.{call}.{part}", text, calls[call]) for part, text in parts.items()]
    return found


@functools.cache
def _template(text: str) -> Template:
    return Template(text)
