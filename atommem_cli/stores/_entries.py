"""An entry of the memory as Chroma holds it."""

from __future__ import annotations

from typing import Any

from atommem_cli.core.memory import Change


def name(episode: str, entry: int) -> str:
    return f"{episode}/{entry}"


def metadata(change: Change) -> dict[str, str | int | bool]:
    metadata: dict[str, str | int | bool] = {"episode": change.episode, "entry": change.entry.id}
    return metadata if _encodable(change.entry.text) else {**metadata, "escaped": True}


def document(text: str) -> str:
    """Chroma takes no lone surrogates; models write them as JSON escapes."""
    return text if _encodable(text) else text.encode("unicode_escape").decode("ascii")


def text(document: str, metadata: dict[str, Any]) -> str:
    return document.encode("ascii").decode("unicode_escape") if metadata.get("escaped") else document


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
