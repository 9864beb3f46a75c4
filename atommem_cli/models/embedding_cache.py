"""An embedder that remembers: rollouts embed the same texts again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from atommem_cli.core.memory import Embedder, Text

if TYPE_CHECKING:
    from atommem_cli.core.store import Vector


class CachedEmbedder:
    """Embeds each text once, as long as it is among the last `most` used ones."""

    def __init__(self, inner: Embedder, most: int = 20_000) -> None:
        """
        Args:
            most: vectors kept, at least 1; the default takes 80 MB at 1,024 dimensions.
        """
        self.dimension = inner.dimension
        self.embedded = 0
        """Texts embedded so far, those found in the cache apart."""
        self._inner = inner
        self._most = most
        self._vectors: OrderedDict[Text, Vector] = OrderedDict()

    def vectors_for(self, texts: Iterable[Text]) -> dict[Text, Vector]:
        """The vector of each text; they are shared, and read-only.

        Raises:
            BackendError: the embedder failed; what it had embedded before is kept.
        """
        wanted = dict.fromkeys(texts)
        found = {text: self._vectors[text] for text in wanted if text in self._vectors}
        missing = sorted(wanted.keys() - found.keys())
        for is_query in (False, True):
            found |= self._embed([text for text in missing if text.is_query is is_query])
        for text in wanted:
            self._vectors[text] = found[text]
            self._vectors.move_to_end(text)
        while len(self._vectors) > self._most:
            self._vectors.popitem(last=False)
        return found

    def describe(self) -> dict[str, str]:
        """See `memory.Embedder`."""
        return self._inner.describe()

    def _embed(self, texts: list[Text]) -> dict[Text, Vector]:
        if not texts:
            return {}
        vectors = self._inner.embed([text.text for text in texts], is_query=texts[0].is_query)
        self.embedded += len(texts)
        embedded = {}
        for text, row in zip(texts, vectors, strict=True):
            embedded[text] = row.copy()  # a view would keep its whole batch alive
            embedded[text].flags.writeable = False
        return embedded
