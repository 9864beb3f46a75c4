"""What prompts show of the noise in a store (`store.noise`): entries that nobody wrote, and nobody has changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from atommem_cli.explain.counts import Counts
from atommem_cli.explain.signatures import share
from atommem_cli.runs.layout import Line
from atommem_cli.runs.memory_states import noise_of
from atommem_cli.scoring.normal import normalise


def shown(line: Line | None, noise: Mapping[int, str]) -> list[str]:
    """The noise among the entries that the prompt of a step showed; of no step, none."""
    entries = line.get("shown", ()) if line is not None else ()
    return [text for entry, text in entries if noise.get(entry) == text]


def believed(answer: str, line: Line, noise: Mapping[int, str]) -> bool:
    """Whether an answer stands in noise that a prompt showed, and in no other entry of it."""
    given = normalise(answer)
    misleading = shown(line, noise)
    others = [text for entry, text in line.get("shown", ()) if noise.get(entry) != text]
    return bool(given) and _stands(given, misleading) and not _stands(given, others)


def _stands(given: str, texts: list[str]) -> bool:
    return any(f" {given} " in f" {normalise(text)} " for text in texts)


@dataclass(frozen=True, slots=True)
class NoiseShown(Counts):
    """How much of it prompts showed; counts over episodes."""

    noise: int = 0
    entries: int = 0
    """In all prompts; `noise` of them are noise."""
    answered_noise: int = 0
    answered: int = 0
    """Likewise of the last call for each question."""


def count(steps: Sequence[Line]) -> NoiseShown | None:
    """Of the steps of an episode that got a reply; None where there was no noise in its store."""
    noise = noise_of(steps)
    if not noise:
        return None
    calls = [line for line in steps if line["step"] >= 0]
    last = {line["question"]: line for line in calls if line.get("question") is not None}.values()
    parts = (sum(len(shown(line, noise)) for line in lines) for lines in (calls, last))
    wholes = (sum(len(line["shown"]) for line in lines) for lines in (calls, last))
    (noisy, answered_noise), (entries, answered) = parts, wholes
    return NoiseShown(noisy, entries, answered_noise, answered)


def rows(found: Iterable[NoiseShown | None]) -> list[tuple[str, ...]]:
    """Rows of the table of hygiene with a column for each run; none where no run has any."""
    columns = [one or NoiseShown() for one in found]
    if not any(one.entries for one in columns):
        return []
    everywhere = (share(one.noise, one.entries) for one in columns)
    at_the_end = (share(one.answered_noise, one.answered) for one in columns)
    return [
        ("noise, of entries in all prompts", *everywhere),
        ("noise, of entries that answers were given from", *at_the_end),
    ]
