"""Stand-ins for parts that a play does without: a policy without a model, a store and an embedder without vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from atommem_cli.config.recipe import Recipe
from atommem_cli.core.calls import Generation
from atommem_cli.core.chunking import Tokenizer
from atommem_cli.core.episode import Agent, Call, embeds_of
from atommem_cli.core.store import Change
from atommem_cli.core.types import MemoryEntry
from atommem_cli.models.embedding_cache import CachedEmbedder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from atommem_cli.core.store import Vector


def _never(calls: Sequence[Call]) -> list[Generation]:
    raise AssertionError(f"{len(calls)} calls of a policy that is never asked")


@dataclass(slots=True)
class StubPolicy:
    """A local policy without a model."""

    tokenizer: Tokenizer
    window: int | None = None
    on_calls: Callable[[Sequence[Call]], list[Generation]] = _never
    """What it replies; by default it is never asked."""
    batch: int = 1

    def generate(self, calls: Sequence[Call]) -> list[Generation]:
        return self.on_calls(calls)

    def describe(self) -> dict[str, str]:
        return {"name": "stub"}


class StubStore:
    """A store that keeps nothing; subclasses know otherwise what `nearest` finds."""

    def begin(self, episodes: Sequence[str]) -> None:
        pass

    def write(self, changes: Sequence[Change]) -> None:
        pass

    def nearest(self, episode: str, query: Vector, k: int) -> list[int]:
        raise NotImplementedError

    def entries(self, episode: str) -> list[MemoryEntry]:
        return []

    def end(self, episodes: Sequence[str]) -> None:
        pass

    def describe(self) -> dict[str, str]:
        return {"name": "stub"}

    def close(self) -> None:
        pass


class _Blind:
    """An embedder that does not look at texts."""

    dimension = 1

    def embed(self, texts: Sequence[str], *, is_query: bool) -> NDArray[np.float32]:
        import numpy as np

        return np.zeros((len(texts), 1), np.float32)

    def describe(self) -> dict[str, str]:
        return {"name": "stub"}


def blind() -> CachedEmbedder:
    """Vectors for a store that does not look at them."""
    return CachedEmbedder(_Blind())


def vectors_for(recipe: Recipe, agent: Agent) -> CachedEmbedder:
    """Vectors where the store does not look at them: those of the recipe for an agent that does itself.

    Raises:
        MissingExtra, BackendError: the recipe's embedder cannot be built.
    """
    return CachedEmbedder(recipe.build("embedder")) if embeds_of(agent) else blind()
