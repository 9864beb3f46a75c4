"""What a contract is made of: promises, and the one sentence about a promise that is broken."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from atommem_cli.config import credentials
from atommem_cli.core.errors import AtommemError, PluginError
from atommem_cli.core.safe_text import cut, shown, visible

T = TypeVar("T")

Promise = Callable[[T], None]
"""Looks whether a plug-in keeps a promise, which its docstring says, and raises ContractBroken where it does not."""

_SECRET = 8
"""Characters: shorter values of the environment are common words."""


class ContractBroken(AtommemError, AssertionError):
    """A plug-in breaks a promise of its room. The message is one sentence: which, and how to mend it."""


class Verdict(NamedTuple):
    """What became of one promise."""

    name: str
    """In a few words."""
    promise: str
    broken: str = ""
    """How it is broken, and how to mend it; empty where it is kept."""


def check(promises: Sequence[Promise[T]], plugin: T) -> None:
    """Insist on every promise.

    Raises:
        ContractBroken: the first one that is broken.
        UsageError, BackendError: the plug-in said so of what is outside of it: a server, a file.
    """
    for promise in promises:
        _insist(promise, plugin)


def look(promises: Sequence[Promise[T]], plugin: T) -> Iterator[Verdict]:
    """Look at every promise, broken or not; each verdict comes as soon as it is known.

    Raises:
        UsageError, BackendError: as `check`.
    """
    for promise in promises:
        try:
            _insist(promise, plugin)
        except ContractBroken as broken:
            yield Verdict(title(promise), said(promise), str(broken))
        else:
            yield Verdict(title(promise), said(promise))


def said(promise: Promise[Any]) -> str:
    """A promise in words: the first paragraph of its docstring."""
    return " ".join((promise.__doc__ or promise.__name__).partition("\n\n")[0].split())


def title(promise: Promise[Any]) -> str:
    """A promise in a few words: the name of its function."""
    return promise.__name__.replace("_", " ")


def insist(kept: bool, sentence: str) -> None:
    """
    Raises:
        ContractBroken: it is not kept; with this sentence.
    """
    if not kept:
        raise ContractBroken(sentence)


def raised(error: Exception) -> str:
    """An exception in words: what, and in which line of which file."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return visible(f"{cut(said, 200)} ({Path(frame.filename).name}, line {frame.lineno})")


def _insist(promise: Promise[T], plugin: T) -> None:
    try:
        promise(plugin)
    except Exception as error:
        cause = error.__cause__ if isinstance(error, PluginError) else error
        if isinstance(cause, AtommemError) or not isinstance(cause, Exception):
            raise
        raise ContractBroken(f"it raises {raised(cause)} where this is promised: {said(promise)}") from cause


def describes_itself(plugin: Any) -> None:
    """`describe()` gives what a run records: texts by name, `name` among them, the same ones every time, and no key."""
    told = plugin.describe()
    insist(
        isinstance(told, Mapping) and all(isinstance(text, str) for pair in told.items() for text in pair),
        f"describe() gives {shown(told)}: a mapping of text to text is wanted, as run.json holds it",
    )
    insist(bool(told.get("name")), f"describe() gives no name: add one, as {{'name': 'mine'}} (there is {shown(told)})")
    insist(
        plugin.describe() == told,
        "describe() says something else when it is called again: leave out what changes, or no run can be continued",
    )
    insist_no_secret(told)


def insist_no_secret(told: Mapping[str, str]) -> None:
    """
    Raises:
        ContractBroken: a value is a key by its looks, by its name, or because the environment holds it as one.
    """
    long = {name: value for name, value in os.environ.items() if len(value) >= _SECRET}
    held = [value for name, value in long.items() if any(credentials.secrets({name: value}))]
    named = {*credentials.secrets(dict(told)), *(key for key, text in told.items() if any(one in text for one in held))}
    insist(
        not named,
        f"describe() tells a secret under {', '.join(map(repr, sorted(named)))}: leave it out, others read run folders",
    )
