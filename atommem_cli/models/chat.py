"""Messages to prompt tokens."""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from atommem_cli.core.calls import Message, Tool
from atommem_cli.core.chunking import Span
from atommem_cli.core.errors import UsageError
from atommem_cli.models import templates
from atommem_cli.models.templates import ToolTemplate

_SURROGATE = re.compile("[\ud800-\udfff]")


def whole(text: str) -> str:
    """The text with U+FFFD for lone surrogates, which no tokenizer and no server takes; lengths stay."""
    return _SURROGATE.sub("\ufffd", text)


class Contents:
    """Text that holds the names of control tokens, as text: no document, memory or reply can end a turn."""

    def __init__(self, tokenizer: Any, marks: Sequence[int]) -> None:
        """
        Args:
            marks: ids that no content may become.
        """
        self._tokenizer = tokenizer
        self.marks = frozenset(marks)
        """Ids that no content becomes."""
        names = sorted(filter(None, map(str, tokenizer.convert_ids_to_tokens(list(marks)))), key=len, reverse=True)
        # Normalisers may ignore case; what is found too much is encoded as it always was.
        self.named = re.compile("|".join(map(re.escape, names)) or r"(?!)", re.IGNORECASE)

    def ids(self, text: str, inside: Sequence[Span]) -> list[int]:
        """Token ids of a text in which these spans are contents; elsewhere control tokens are what they are."""
        made: list[int] = []
        at = 0
        for token, (start, end) in zip(*self._encoded(text), strict=True):
            while at < len(inside) and inside[at][1] <= start:
                at += 1
            content = at < len(inside) and inside[at][0] < end
            made += [one for one, _ in self._plain(text, start, end)] if content and token in self.marks else [token]
        return made

    def spans(self, text: str) -> Sequence[Span]:
        """Character span of each token of a text that is a content as a whole."""
        found, spans = self._encoded(text)
        if self.marks.isdisjoint(found):
            return spans
        made: list[Span] = []
        for token, span in zip(found, spans, strict=True):
            made += [one for _, one in self._plain(text, *span)] if token in self.marks else [span]
        return made

    def _plain(self, text: str, start: int, end: int) -> list[tuple[int, Span]]:
        """Tokens of a part of a text, none of them a control token, and where they are in the text."""
        found, spans = self._encoded(text[start:end], split_special_tokens=True)
        if self.marks.isdisjoint(found):
            return [(token, (start + a, start + b)) for token, (a, b) in zip(found, spans, strict=True)]
        if end - start > 1:  # a vocabulary of whole words knows it as a word
            return [*self._plain(text, start, start + 1), *self._plain(text, start + 1, end)]
        unknown = self._tokenizer.unk_token_id
        return [(unknown, (start, end))] if unknown is not None else []

    def _encoded(self, text: str, **how: bool) -> tuple[list[int], Sequence[Span]]:
        encoded = self._tokenizer(
            text,
            add_special_tokens=False,
            return_attention_mask=False,
            return_offsets_mapping=True,
            verbose=False,  # a stream is longer than the window, that is the point
            **how,
        )
        return encoded["input_ids"], encoded["offset_mapping"]


def _special(tokenizer: Any) -> list[int]:
    """Ids that end turns, pad or mark, whatever template there is; an unknown word is none."""
    added = {token for token, one in tokenizer.added_tokens_decoder.items() if one.special}
    return sorted({*tokenizer.all_special_ids, *added} - {tokenizer.unk_token_id})


class OffsetTokenizer:
    """A model's tokenizer as the chunker and the budgets want it (`chunking.Tokenizer`): all that it sees are
    contents."""

    def __init__(self, tokenizer: Any, name: str, contents: Contents | None = None) -> None:
        """
        Args:
            contents: those of the model's `Chat`, where it has one.
        """
        self.name = name
        self._contents = contents or Contents(tokenizer, _special(tokenizer))

    def spans(self, text: str) -> Sequence[Span]:
        return self._contents.spans(whole(text))


class Chat:
    """A model's chat template."""

    def __init__(self, tokenizer: Any, name: str, *, thinking: bool) -> None:
        """
        Args:
            thinking: passed on as `enable_thinking`; templates that do not know it ignore it.

        Raises:
            UsageError: the tokenizer has no chat template.
        """
        if not tokenizer.chat_template:
            raise UsageError(
                f"the tokenizer of {name} has no chat template: "
                "name an instruct model, or put its template into the folder as chat_template.jinja"
            )
        template: str = tokenizer.get_chat_template()
        self.digest = hashlib.sha256(template.encode()).hexdigest()[:16]
        """sha256 of the template, 16 hexadecimal digits."""
        self._template = templates.dated(template)
        self._tokenizer = tokenizer
        self._name = name
        self._thinking = thinking
        self._takes_system = self._shows_system()
        special = _special(tokenizer)
        added = set(tokenizer.added_tokens_decoder)
        self._special = frozenset(special)
        own = [token for token in self._encoded(self._render([{"role": "user", "content": "x"}])) if token in added]
        self._replies = Contents(tokenizer, special)
        self.contents = Contents(tokenizer, sorted({*special, *own} - {tokenizer.unk_token_id}))
        """What documents, memories and questions become."""

    @functools.cached_property
    def tools(self) -> ToolTemplate:
        """How the model is told of tools.

        Raises:
            UsageError: see `ToolTemplate`.
        """
        return ToolTemplate(self._tokenizer, self._name, thinking=self._thinking)

    @functools.cached_property
    def _with_tools(self) -> Contents:
        """What contents become where tools are told: the marks of tools are no content either."""
        return Contents(self._tokenizer, sorted({*self.contents.marks, *self.tools.marks}))

    def reply(self, text: str) -> list[int]:
        """Token ids of a reply's text, without its end; what it says of special tokens is text."""
        clean = whole(text)
        spans = [match.span() for match in self._replies.named.finditer(clean)]
        return self._replies.ids(clean, spans) if spans else self._encoded(clean)

    def prompt(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> list[int]:
        """Token ids of the whole prompt, up to where the reply begins.

        Replies that a conversation has kept with their tokens stand there as these very tokens: a prompt begins with
        the prompt and the reply before it, whatever the template would make of an old reply. Where the template does
        not take the messages as they are (two of one role in a row, say), those are joined and all is text.

        Args:
            tools: what the template tells the model of; results of calls are messages of the role `tool`.

        Raises:
            UsageError: the template shows no tools.
        """
        from jinja2 import TemplateError

        try:
            return self._grown(messages, tools)
        except TemplateError:
            plain = [replace(m, role="user") if m.role == "tool" else m for m in messages] if tools else messages
            return self._written(joined(plain), tools)

    def _grown(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[int]:
        at = max((i for i, message in enumerate(messages) if message.tokens), default=None)
        if at is None:
            return self._written(messages, tools)
        reply = messages[at].tokens
        after = self._written(messages, tools, after=at)
        if reply[-1] in self._special and after[:1] and after[0] in self._special:
            after = after[1:]  # the turn has its end already
        before = self._grown(messages[:at], tools) if at else self._encoded(self._opening(tools))
        return [*before, *reply, *after]

    def _opening(self, tools: Sequence[Tool]) -> str:
        """What stands before a reply that begins a conversation, once the messages before it were taken out."""
        cut = "\ue000"
        return self._render([{"role": "assistant", "content": cut}], tools).partition(cut)[0]

    def _written(self, messages: Sequence[Message], tools: Sequence[Tool], after: int | None = None) -> list[int]:
        """Token ids of what the template writes; of what it writes after one of the messages alone."""
        contents = self._with_tools if tools else self.contents
        turns = [{"role": m.role, "content": whole(m.content)} for m in messages]
        text = "".join(turn["content"] for turn in turns)
        free = (chr(code) for code in range(0xE000, 0xF8FF) if chr(code) not in text)
        name, cut = next(free), next(free)
        if after is not None:
            turns[after]["content"] = cut
        if not self._takes_system:
            turns = without_system(turns)
        if not any(contents.named.search(turn["content"]) for turn in turns):
            return self._encoded(self._render(turns, tools).rpartition(cut)[2])
        rendered, spans = self._located(turns, tools, contents.named, name)
        start = rendered.rindex(cut) + 1 if after is not None else 0
        return contents.ids(rendered[start:], [(a - start, b - start) for a, b in spans if a >= start])

    def _located(
        self, turns: Sequence[dict[str, str]], tools: Sequence[Tool], named: re.Pattern[str], sign: str
    ) -> tuple[str, list[Span]]:
        """The rendered conversation, and where contents name control tokens in it.

        Args:
            sign: a character that is in no content.
        """
        names: list[str] = []

        def hide(match: re.Match[str]) -> str:
            names.append(match[0])
            return f"{sign}{len(names) - 1}{sign}"

        hidden = [{**turn, "content": named.sub(hide, turn["content"])} for turn in turns]
        parts = re.split(f"{sign}([0-9]+){sign}", self._render(hidden, tools))
        text, spans = parts[0], []
        for number, rest in zip(parts[1::2], parts[2::2], strict=True):
            spans.append((len(text), len(text) + len(names[int(number)])))
            text += names[int(number)] + rest
        return text, spans

    def _encoded(self, text: str) -> list[int]:
        encoded = self._tokenizer(text, add_special_tokens=False, return_attention_mask=False, verbose=False)
        ids: list[int] = encoded["input_ids"]
        return ids

    def _render(self, turns: Sequence[dict[str, str]], tools: Sequence[Tool] = ()) -> str:
        if tools:
            return self.tools.render(turns, tools)
        return templates.rendered(self._tokenizer, self._template, self._thinking, turns)

    def _shows_system(self) -> bool:
        """Whether a system message arrives: some templates refuse it (Gemma 2), others drop it."""
        from jinja2 import TemplateError

        try:
            return "shown" in self._render([{"role": "system", "content": "shown"}, {"role": "user", "content": "x"}])
        except TemplateError:
            return False


def joined(messages: Sequence[Message]) -> list[Message]:
    """Neighbours of one role as one message."""
    return [
        Message(role, "\n\n".join(message.content for message in group))
        for role, group in itertools.groupby(messages, key=lambda message: message.role)
    ]


def without_system(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A leading system message becomes the beginning of the message after it."""
    if len(turns) < 2 or turns[0]["role"] != "system":
        return turns
    first, second, *rest = turns
    return [{"role": second["role"], "content": f"{first['content']}\n\n{second['content']}"}, *rest]
