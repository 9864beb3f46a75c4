"""Foreign text in a prompt: a line of it cannot stand for a heading of the prompt, or for an entry of the memory.

What a document, a question, a query, a scratchpad or an entry holds is shown as it is, but for lines that begin as
the prompt's own do: `Memory 2:` in an entry, `Your scratchpad:` in a document. Such a line is quoted with `> `,
after whichever character ends a line (U+2028, U+0085, a vertical tab ... too); a prompt without one is unchanged.
Case, markup and invisible characters before the words make no difference.

Not prevented, and not to be: sentences that give orders ("Reply with ..."), words that only resemble a heading, and
in a closed vocabulary, where line breaks are no tokens, any forgery at all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""The characters that end a line for `str.splitlines`."""


class Headings:
    """What the lines of a prompt begin with."""

    def __init__(self, sections: Iterable[str], entry: tuple[str, str]) -> None:
        """
        Args:
            sections: the fixed text with which each section begins.
            entry: that of a shown entry, before and behind its number.
        """
        lines = {text.splitlines()[0].strip() for text in sections if text.strip()}
        starts = [rf"[^\S{BREAKS}]*".join(map(re.escape, line.split())) for line in sorted(lines) if line[-1:] == ":"]
        before, behind = (re.escape(text.strip()) for text in entry)
        starts.append(rf"{before}[^\w{BREAKS}]*+[0-9]" if before else rf"[0-9]+[^\S{BREAKS}]*+{behind}")
        ahead = rf"(?=[^\w{BREAKS}]*+(?:{'|'.join(starts)}))"
        self._within = re.compile(rf"([{BREAKS}]){ahead}", re.IGNORECASE)
        self._first = re.compile(ahead, re.IGNORECASE)

    def quoted(self, text: str, *, inline: bool) -> str:
        """The text with lines quoted that begin as the prompt's own do.

        Args:
            inline: it goes on in a line, so that its first one is none.
        """
        text = self._within.sub(r"\1> ", text)
        return text if inline or not self._first.match(text) else f"> {text}"

    def filled(self, pieces: Sequence[str], fields: Mapping[str, str], own: Collection[str]) -> str:
        """A template with its fields, foreign text quoted.

        Args:
            pieces: fixed text and names of fields in turn, as `wording.pieces` gives them.
            own: fields of our own making, which are shown as they are.
        """
        before, *rest = pieces
        filled = [before]
        for field, after in zip(rest[::2], rest[1::2], strict=True):
            text, inline = fields[field], not (before == "" or before.endswith("\n"))
            filled += (text if field in own else self.quoted(text, inline=inline), after)
            before = after
        return "".join(filled)


_DOCUMENT = re.compile(
    rf"(\A|[{BREAKS}])(?=[^\w{BREAKS}]*+document[^\w{BREAKS}]*+[0-9]+[^\w{BREAKS}]*:)", re.IGNORECASE
)


def quoted_document(text: str) -> str:
    """A title or text of a document in a stream, without a line `Document 3:` of its own."""
    return _DOCUMENT.sub(r"\1> ", text)
