"""An entry of the memory as Chroma holds it."""

from __future__ import annotations

import json
from typing import Any

from atommem_cli.core.store import Change
from atommem_cli.core.types import MemoryEntry


def name(episode: str, entry: int) -> str:
    return f"{episode}/{entry}"


def metadata(change: Change) -> dict[str, str | int | bool]:
    entry = change.entry
    metadata: dict[str, str | int | bool] = {"episode": change.episode, "entry": entry.id}
    if entry.meta:
        metadata["meta"] = json.dumps(entry.meta)
    return metadata if _encodable(entry.text) else {**metadata, "escaped": True}


def document(text: str) -> str:
    """Chroma takes no lone surrogates; models write them as JSON escapes."""
    return text if _encodable(text) else text.encode("unicode_escape").decode("ascii")


def entry(document: str, metadata: dict[str, Any]) -> MemoryEntry:
    """The entry that these are of."""
    text = document.encode("ascii").decode("unicode_escape") if metadata.get("escaped") else document
    meta = tuple((key, value) for key, value in json.loads(metadata.get("meta", "[]")))
    return MemoryEntry(metadata["entry"], text, meta)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
