"""What the module of a plug-in holds, room by room; those of task sources and rewards stand beside what they make."""

from __future__ import annotations

from typing import Any, Protocol

from pydantic import BaseModel

from atommem_cli.core.chunking import Tokenizer
from atommem_cli.core.episode import Agent, Policy, ServerPolicy
from atommem_cli.core.memory import Embedder
from atommem_cli.core.store import Store


class PluginModule(Protocol):
    """A module of any room, as far as they are alike; each also has a function `build`."""

    @property
    def Options(self) -> type[BaseModel]:
        """The keys that a recipe may set, each with its type, its default and, in the text below it, its meaning."""


class AgentModule(PluginModule, Protocol):
    """A module of `agents`."""

    def build(self, options: Any, /) -> Agent:
        """The agent, for any number of episodes.

        Raises:
            UsageError: an option is wrong; one sentence.
        """


class PolicyModule(PluginModule, Protocol):
    """A module of `policies`.

    It may have two functions more. `probe(options)`: one sentence about the server, from one request, for
    `atommem check --recipe`; it raises BackendError where there is no answer. `insist_tools(options)`: raises
    UsageError, in one sentence, where the model cannot be told of tools apart from the messages; no weights load.
    """

    def build(self, options: Any, /) -> Policy | ServerPolicy:
        """The policy; weights load here.

        Raises:
            UsageError, MissingExtra, BackendError: it cannot be built; one sentence.
        """

    def tokenizer(self, options: Any, /) -> Tokenizer:
        """What counts its tokens and cuts its chunks, without weights: it finds the tokens that the policy's own does.

        Raises:
            MissingExtra: the model is not there.
        """

    def window(self, options: Any, /) -> int | None:
        """Tokens of prompt and reply together that it takes, without weights; None is no limit, or not known."""


class StoreModule(PluginModule, Protocol):
    """A module of `stores`. Where `Options` has a key `run`, the run's stamp is set there."""

    def build(self, options: Any, /) -> Store:
        """The store, connected, with nothing of this run in it.

        Raises:
            MissingExtra, BackendError: it does not serve; one sentence.
        """


class EmbedderModule(PluginModule, Protocol):
    """A module of `embedders`."""

    def build(self, options: Any, /) -> Embedder:
        """The embedder; weights load here.

        Raises:
            UsageError, MissingExtra, BackendError: it cannot be built; one sentence.
        """


FUNCTIONS = {"policies": ("build", "tokenizer", "window"), "tasks": ("inputs", "build")}
"""The functions that a module must have; in the other rooms `build` alone."""
