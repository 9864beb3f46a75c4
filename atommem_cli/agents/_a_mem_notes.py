"""A-MEM's notes: what is kept with a document, and what the replies about it mean."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any, NamedTuple

from atommem_cli.agents import _json_reply as replies
from atommem_cli.core.types import Meta

GENERAL = "General"
"""The context of a note that has none (`note.context or "General"`)."""


class Note(NamedTuple):
    """What is kept with a document."""

    context: str = GENERAL
    keywords: str = ""
    tags: str = ""
    links: tuple[int, ...] = ()
    """Ids of entries."""

    @classmethod
    def of(cls, meta: Meta) -> Note:
        """As the metadata of an entry has it; of none, an empty note."""
        kept = dict(meta)
        links = tuple(map(int, kept.get("links", "").split()))
        return cls(kept.get("context", GENERAL), kept.get("keywords", ""), kept.get("tags", ""), links)

    @property
    def meta(self) -> Meta:
        links = {"links": " ".join(map(str, self.links))} if self.links else {}
        return tuple(
            {"context": self.context, "keywords": self.keywords, "tags": self.tags, **links}.items(),
        )

    def told(self, text: str) -> str:
        """The note of a document as prompts show it."""
        return f"{text}\nContext: {self.context}\nKeywords: {self.keywords}\nTags: {self.tags}"


class Evolution(NamedTuple):
    """What a reply makes of a new note and of those that were shown with it."""

    links: tuple[int, ...] = ()
    """Numbers of those shown."""
    tags: str | None = None
    """Of the new note, where it was strengthened."""
    neighbours: tuple[tuple[str | None, str], ...] = ()
    """Context and tags of those shown, in order; None keeps the context."""
    evolved: bool = False


STRENGTHEN, REWRITE = "strengthen", "update_neighbor"
"""What an evolution may do, in the words of both sources; so are the keys of its reply."""


def analysis(said: str) -> Note:
    """The note that a reply means; an empty one where it cannot be read."""
    found = replies.value(said)
    if not isinstance(found, dict):
        return Note()
    return Note(_text(found.get("context")) or GENERAL, _joined(found, "keywords"), _joined(found, "tags"))


def evolution(said: str) -> Evolution:
    """The evolution that a reply means; none where it cannot be read."""
    found = replies.value(said)
    if not isinstance(found, dict) or str(found.get("should_evolve")).lower() != "true":
        return Evolution()
    actions = _list(found, "actions")
    change = Evolution(evolved=True)
    if STRENGTHEN in actions:
        links = tuple(op.target for op in replies.choice(_list(found, "suggested_connections")) if op.target)
        change = change._replace(links=links, tags=_joined(found, "tags_to_update"))
    if REWRITE in actions:
        contexts = _list(found, "new_context_neighborhood")
        tags = [one if isinstance(one, list) else [one] for one in _list(found, "new_tags_neighborhood")]
        pairs = zip_longest(contexts[: len(tags)], tags)
        told = tuple((_text(context) or None, ", ".join(replies.texts(one))) for context, one in pairs)
        change = change._replace(neighbours=told)
    return change


def _list(found: Mapping[str, Any], key: str) -> list[Any]:
    value = found.get(key)
    return value if isinstance(value, list) else [value]


def _joined(found: Mapping[str, Any], key: str) -> str:
    return ", ".join(replies.texts(_list(found, key)))


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
