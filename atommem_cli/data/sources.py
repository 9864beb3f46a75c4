"""Task sources: their names, and what the module of one must hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from pydantic import ValidationError

from atommem_cli.config import plugins
from atommem_cli.config.modules import PluginModule
from atommem_cli.config.validation import meant, taken_for_numbers
from atommem_cli.core.errors import UsageError, did_you_mean
from atommem_cli.data.files import SPLITS, Plan, Request

MODULES = {"2wikimultihopqa": "twowiki"}
"""Sources whose name cannot be the name of a module."""
_OWN = ("seed", "limit", "workers", "split", "source", "validation", "out")


class SourceModule(PluginModule, Protocol):
    """A module of `tasks`. Its `Options` have a default for every key.

    It may have a function more. `splits(source)`: the splits that are prepared where the user names none; without it
    train and validation. It raises UsageError or SourceError, in one sentence, where they cannot be told.
    """

    def inputs(self, source: str | None, split: str, validation: str | None, /) -> Mapping[str, str]:
        """The files that it reads, name -> sha256; empty for the hub and for generated tasks.

        Called before anything else, so that what is wrong with the files is said at once, and once more when the
        tasks are written: files that have changed meanwhile are an error.

        Args:
            source: a file or folder; None is the hub.
            split: train or validation.
            validation: a file or folder of the questions that training must not ask.

        Raises:
            UsageError, SourceError: they cannot be read; one sentence.
        """

    def build(self, options: Any, request: Request, /) -> Plan:
        """Which tasks there will be, in order, and how to make one. The same request gives the same tasks.

        Raises:
            UsageError, SourceError: the records or the options are wrong; one sentence.
            BackendError: the hub does not answer.
        """


def canonical(name: str) -> str:
    """The one name of a source, from which comes that of its folder under `data/`.

    Raises:
        UsageError: there is no such source.
    """
    if plugins.is_file(name):
        return name
    typed = {module: name for name, module in MODULES.items()}
    known = sorted(typed.get(module, module) for module in plugins.available("tasks"))
    found = typed.get(name, name)
    if found not in known:
        near = did_you_mean(name, [*known, *typed])
        for module, shown in typed.items():
            near = near.replace(module, shown)
        raise UsageError(f"{name}: no such source{near} (there are: {', '.join(known)})")
    return found


def is_outside(name: str) -> bool:
    """Whether a source is a plug-in of the user's own."""
    return plugins.is_file(name) or any(point.name == name for point in plugins.outside("tasks"))


def splits(name: str, source: str | None) -> Sequence[str]:
    """The splits that are prepared where none is named.

    Raises:
        UsageError, SourceError: the file does not say which one it is.
    """
    module = module_of(name)
    if hasattr(module, "splits"):
        found: Sequence[str] = module.splits(source)
        return found
    if source is not None and Path(source).is_file() and hasattr(module, "LAYOUT"):
        raise UsageError(f"{source} is one file: say which --split it is, train or validation")
    return SPLITS


def module_of(name: str) -> SourceModule:
    """The module of a source.

    Raises:
        UsageError: there is no such source.
    """
    return cast("SourceModule", plugins.load("tasks", MODULES.get(canonical(name), canonical(name))))


def source_of(name: str, options: Mapping[str, Any]) -> tuple[SourceModule, Any]:
    """The module of a source, and its checked options.

    Raises:
        UsageError: an unknown source or option.
    """
    module = module_of(name)
    return module, _options(module, canonical(name), options)


def _options(module: SourceModule, name: str, options: Mapping[str, Any]) -> Any:
    try:
        found = module.Options(**options)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "extra_forbidden" and key in _OWN:
            raise UsageError(f"{name}: {key} is an option of the command: --{key}") from None
        if first["type"] == "extra_forbidden":
            known = list(module.Options.model_fields)
            hint = did_you_mean(key, known)
            raise UsageError(f"{name} has no option {key!r}{hint} (there are: {', '.join(known)})") from None
        # Where several types are allowed there is one error for each.
        said = " or ".join(
            dict.fromkeys(
                e["msg"].removeprefix("Value error, ").removesuffix(", unable to parse string as an integer")
                for e in error.errors()
                if e["loc"][:1] == first["loc"][:1]
            )
        ).replace(" or Input should be ", " or ")
        raise UsageError(f"{name}: {f'option {key!r}: ' if key else ''}{said}{meant(first)}") from None
    for place, truth in taken_for_numbers(dict(options), found):
        raise UsageError(f"{name}: option {place[0]!r}: a number is wanted here (given: {truth})")
    return found
