"""The module of a task source: what it must hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from atommem_cli.config.modules import PluginModule
from atommem_cli.data.files import Plan, Request


class SourceModule(PluginModule, Protocol):
    """A module of `tasks`. Its `Options` have a default for every key."""

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
