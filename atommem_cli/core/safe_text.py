"""What a model or a server wrote, made safe to look at: nothing invisible, nothing that turns the text around."""

from __future__ import annotations

import json
import re
from typing import Any

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, but for tab and line feed
    "\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # of no width, or of direction
    "\ud800-\udfff"  # halves of a pair
    "\U000e0000-\U000e007f]"  # tags
)
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def visible(text: str) -> str:
    """The text with every control, direction and zero-width character spelled out, as in `<U+202E>`."""
    return _UNSEEN.sub(lambda found: f"<U+{ord(found[0]):04X}>", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """The text, visible, as one line."""
    return visible(text).replace("\n", " ")


def json_text(value: Any) -> str:
    """Indented JSON, of which every character can be seen: the others are escaped, the value is the same."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return _UNSEEN.sub(lambda found: json.dumps(found[0])[1:-1], text)


def cut(text: str, most: int) -> str:
    """The text, or its first `most` characters and how many more there are."""
    left = len(text) - most
    return text if left <= 0 else f"{text[:most]} … [{left:,} more characters are left out here]"


def has_halves(text: str) -> bool:
    """Whether it holds halves of surrogate pairs, as undecodable bytes of a command line become; UTF-8 has none."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def paired(text: str) -> str:
    """The text with the character in place of the two halves that make it, as JSON reads it; lone halves stay."""
    return _PAIR.sub(lambda found: found[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)


def shown(value: object) -> str:
    """A value for a sentence, short and safe to look at."""
    return visible(cut(repr(value), 80))
