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
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from atommem_cli.core.calls import Message
from atommem_cli.core.errors import UsageError
from atommem_cli.core.headings import Headings
from atommem_cli.core.yaml_file import read_yaml
from atommem_cli.dialects.wording import insist_fields, pieces, template

SYSTEM = "system"
"""The part of a prompt that is a message of its own, before the other parts."""
LISTS = frozenset({"memories", "items"})
"""Fields of our own making, from `Prompts.listed`; all others hold foreign text."""
M = TypeVar("M", bound=BaseModel)
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
            fixed = pieces(text)
            if any(field not in fields for field in fixed[1::2]):
                continue
            given = {field: fields[field] or self._wording.nothing for field in fixed[1::2]}
            filled = self._headings.filled(fixed, given, LISTS).rstrip("\n")
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
            template(self._wording.item).substitute(number=number, text=text)
            for number, text in enumerate(quoted, start=first)
        )


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
    wording, digest = read(Wording, path, name, f"_{agent}_{known[0]}.yaml")
    try:
        _insist_whole(wording, dict(calls))
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None
    return wording, digest


def _insist_whole(wording: Wording, calls: Calls) -> None:
    """
    Raises:
        ValueError: begins with the key.
    """
    if odd := sorted(calls.keys() ^ wording.calls.keys()):
        raise ValueError(f"calls: one prompt for each of {', '.join(calls)}, and no other (see {odd[0]})")
    insist_fields("item", wording.item, {"number", "text"})
    if sorted(template(wording.item).get_identifiers()) != ["number", "text"]:
        raise ValueError("item: shows one of several, so it needs ${number} and ${text}")
    for call, parts in wording.calls.items():
        if parts.keys() <= {SYSTEM}:
            raise ValueError(f"calls.{call}: a part beside `system` is needed")
        for part, text in parts.items():
            insist_fields(f"calls.{call}.{part}", text, calls[call])


def read(kind: type[M], path: Path, name: str, example: str) -> tuple[M, str]:
    """A file of wording, checked, and its sha256 (16 hexadecimal digits).

    Args:
        name: what the user calls it.
        example: the name of a file that is whole.

    Raises:
        UsageError: it is none of its kind; names the file and the key.
    """
    content = read_yaml(path, name)
    try:
        wording = kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(f"{name}: {where}: {first['msg']}; `{example}` beside the agent is one") from None
    return wording, hashlib.sha256(path.read_bytes()).hexdigest()[:16]
