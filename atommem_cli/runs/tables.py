"""Tables of evaluations, as plain headers and rows; `terminal` draws them, here they become Markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from atommem_cli.core.safe_text import one_line, visible

if TYPE_CHECKING:
    from atommem_cli.data.files import Manifest, Spread


@dataclass(frozen=True, slots=True)
class Cost:
    """What an evaluation will take, as far as that can be known without a model."""

    tasks: int
    questions: int
    episodes: int
    chunks: int
    """Of one repeat, summed over tasks; likewise the tokens."""
    tokens: int
    calls_low: int
    """One call per chunk and question (for `atommem`: no reply reads again)."""
    calls_high: int
    """Every read limit used up."""
    new_tokens_high: int
    """Every reply as long as it may be, at `calls_high`."""
    prompt_tokens_low: int = 0
    """Estimated, at `calls_low`, of prompts that show no memory (see `costing`)."""
    prompt_tokens_high: int = 0
    """At `calls_high`, with two whole replies of memory in each prompt."""
    embedded_low: int = 0
    """Tokens of texts for the embedder: what the agent stores itself."""
    embedded_high: int = 0
    """And everything that the policy writes."""
    retrievals_low: int = 0
    """Queries to the store."""
    retrievals_high: int = 0


@dataclass(frozen=True, slots=True)
class Rates:
    """What a user knows about a machine or a price list; None is not known."""

    speed: tuple[float, float] | None = None
    """Prompt and new tokens per second, of all requests together; above 0."""
    price: tuple[float, float] | None = None
    """Of a million prompt and new tokens."""

    def hours(self, prompt: float, new: float) -> float:
        """Hours of so many tokens."""
        assert self.speed is not None
        return (prompt / self.speed[0] + new / self.speed[1]) / 3600

    def money(self, prompt: int, new: int) -> float:
        """Price of so many tokens."""
        assert self.price is not None
        return (prompt * self.price[0] + new * self.price[1]) / 1e6


@dataclass(frozen=True, slots=True)
class Table:
    """One table; whatever a server, a model or a file's name put into it can be seen, and does nothing."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", one_line(self.title))
        object.__setattr__(self, "headers", tuple(map(visible, self.headers)))
        object.__setattr__(self, "rows", tuple(tuple(map(visible, row)) for row in self.rows))

    def markdown(self) -> str:
        """The table in Markdown, with its title as a bold line."""
        lines = [self.headers, tuple("---" for _ in self.headers), *self.rows]
        body = "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)
        return f"**{self.title}**\n\n{body}\n"

    def latex(self) -> str:
        """The table in LaTeX, with booktabs' rules; the title is a comment above it."""
        from pandas import DataFrame

        body: str = DataFrame(self.rows, columns=self.headers).to_latex(index=False, escape=True)
        body = body.replace("< ", "$<$ ")  # in text mode it is another character
        return f"% {' '.join(self.title.split())}\n{body}"


_MARKUP = re.compile(r"<(?=[A-Za-z/!?])")
"""What begins an element; a p < 0.0001 stays as it is."""
ROWS = 50
"""Of a table that is read; a run may have ten thousand failed episodes."""


def bounded(table: Table, whole: str) -> Table:
    """A table of at most `ROWS` rows, and of one more that counts the rest.

    Args:
        whole: where all of them are.
    """
    left = len(table.rows) - ROWS
    if left <= 0:
        return table
    more = (f"… and {left:,} more: {whole}", *[""] * (len(table.headers) - 1))
    return replace(table, rows=(*table.rows[:ROWS], more))


def costs(planned: Sequence[tuple[str, Cost]], what: str = "agent", rates: Rates | None = None) -> Table:
    """One row per agent, or whatever `what` says: what an evaluation would take."""
    rates = rates or Rates()
    headers = [what, "tasks", "questions", "episodes", "chunks", "tokens", "calls", "retrievals"]
    headers += ["prompt tokens", "new tokens"]
    headers += ["embedded tokens", *(["hours"] if rates.speed else []), *(["price"] if rates.price else [])]
    rows = []
    for name, cost in planned:
        low, high = (cost.prompt_tokens_low, 0), (cost.prompt_tokens_high, cost.new_tokens_high)
        row = [name, *map(number, (cost.tasks, cost.questions, cost.episodes, cost.chunks, cost.tokens))]
        row += [_between(cost.calls_low, cost.calls_high), _between(cost.retrievals_low, cost.retrievals_high)]
        row += [_between(cost.prompt_tokens_low, cost.prompt_tokens_high)]
        row += [f"up to {number(cost.new_tokens_high)}", _between(cost.embedded_low, cost.embedded_high)]
        row += [f"{rates.hours(*low):,.2f} to {rates.hours(*high):,.2f}"] if rates.speed else []
        row += [f"{rates.money(*low):,.2f} to {rates.money(*high):,.2f}"] if rates.price else []
        rows.append(tuple(row))
    title = (
        "What it would take; chunks and tokens are those of one repeat, calls and new tokens are bounds, "
        "prompt tokens an estimate (from an empty memory to two whole replies of it in each prompt)"
    )
    return Table(title, tuple(headers), tuple(rows))


def _between(low: int, high: int) -> str:
    return f"{number(low)} to {number(high)}" if low != high else number(low)


def prepared(manifests: Sequence[Manifest]) -> Table:
    """One row per prepared split."""
    swapped = any(manifest.swapped for manifest in manifests)
    names = ("names invented in",) if swapped else ()
    lost = ("gold facts not in the text",) if any(manifest.supporting_lost for manifest in manifests) else ()
    train = ("kept apart from",) if any(manifest.split == "train" for manifest in manifests) else ()
    headers = ("split", "tasks", "questions", "documents", "tokens", "skipped", *names, *lost, *train, "sha256")
    rows = tuple(
        (
            manifest.split,
            number(manifest.tasks),
            number(manifest.questions_used),
            spread(manifest.documents),
            spread(manifest.tokens),
            counted(manifest.questions_skipped),
            *([counted(manifest.swapped)] if swapped else []),
            *([number(manifest.supporting_lost)] if lost else []),
            *([_apart(manifest)] if train else []),
            manifest.sha256[:16],
        )
        for manifest in manifests
    )
    first = manifests[0]
    counter = first.options["tokenizer"]
    return Table(f"{first.source} ({first.licence}); tokens counted by {counter}, per task", headers, rows)


def _apart(manifest: Manifest) -> str:
    """Where the questions are from that a training split was made without."""
    if manifest.split != "train":
        return "-"
    if manifest.source in manifest.checked:
        return "validation, by its seeds"
    return ", ".join(manifest.checked) or "nothing: not checked"


def counted(counts: Mapping[str, int]) -> str:
    """Names with how many there are of each."""
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def spread(of: Spread) -> str:
    """Least, median and most."""
    return f"{number(of.min)} / {number(of.median)} / {number(of.max)}"


def sized(n: int, tasks: int) -> str:
    """Of how many questions or episodes, in how many tasks."""
    return f"{n:,} in {tasks:,} {'task' if tasks == 1 else 'tasks'}"


def ratio(part: float, whole: float, form: str = ".3f") -> str:
    """One number over another, or "-" where there is nothing to divide by."""
    return format(part / whole, form) if whole else "-"


def percent(mean: float, low: float, high: float) -> str:
    """A score with its interval, in %."""
    return f"{100 * mean:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def points(delta: float, low: float, high: float) -> str:
    """A difference with its interval, in points of %."""
    return f"{100 * delta:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def number(value: float | None) -> str:
    """With separators; one digit behind the point unless it is whole. None is a dash: there is nothing to count."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def _cell(text: str) -> str:
    """A cell that cannot break the table, nor be markup: it may hold what a server or a model said."""
    return _MARKUP.sub(r"\\<", " ".join(text.split()).replace("|", "\\|"))
