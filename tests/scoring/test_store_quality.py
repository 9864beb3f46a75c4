"""How well texts keep what questions need: counts worked out by hand, on plain facts and on a `stream` world."""

from __future__ import annotations

import builders
import pytest

from atommem_cli.core.types import Document, Event, Question, Support, Task
from atommem_cli.scoring import gold_facts, store_quality

ADA, BO = "Ada was born in Velt.", "Bo lives in Dorn."
PLAIN = builders.task(facts=(ADA, BO))


def quality(task: Task, *texts: str) -> tuple[int, int, int, int, float]:
    found = store_quality.of(texts, gold_facts.of(task))
    return (*found, found.value)


@pytest.mark.parametrize(
    ("texts", "held", "useful", "value"),
    [
        ((), 0, 0, 0.0),
        ((ADA,), 1, 1, 1 / 2),
        ((ADA, BO), 2, 2, 1.0),
        ((f"{ADA} {BO}",), 2, 1, 1.0),
        ((ADA, ADA, BO), 2, 2, 2 / 3),
        ((ADA, "Rain falls.", "Snow lies.", "Rain falls."), 1, 1, 1 / 2 * 1 / 4),
        (("Ada was born in Dorn.",), 0, 0, 0.0),
    ],
)
def test_of_plain_facts(texts: tuple[str, ...], held: int, useful: int, value: float) -> None:
    assert quality(PLAIN, *texts) == (held, 2, useful, len(texts), pytest.approx(value))


def world(*values: str | None, ask: int) -> Task:
    """Where Mara lives, one value after the other; a question about statement number `ask`."""
    documents = tuple(Document("", f"mara home {value or 'unknown'}", Event("mara", "home", value)) for value in values)
    support = Support(ask, documents[ask].text)
    asked = Question("q", "where does mara live?", (values[ask] or "unknown",), (support,), path=("mara", "home"))
    return Task("t", "stream", documents, (asked,))


def test_an_old_value_is_worth_nothing() -> None:
    moved = world("dorn", "velt", ask=1)
    assert quality(moved, "mara home velt") == (1, 1, 1, 1, 1.0)
    assert quality(moved, "mara home dorn") == (0, 1, 0, 1, 0.0)
    assert quality(moved, "mara home dorn", "mara home velt") == (1, 1, 1, 2, 0.5)


def test_what_nobody_knows_any_more_is_held_by_silence() -> None:
    gone = world("dorn", None, ask=1)
    assert quality(gone) == (1, 1, 0, 0, 0.0)
    assert quality(gone, "mara home unknown") == (1, 1, 1, 1, 1.0)
    assert quality(gone, "mara home dorn") == (0, 1, 0, 1, 0.0)
    assert quality(gone, "rain") == (1, 1, 0, 1, 0.0)


def test_without_gold_facts_nothing_is_worth_anything() -> None:
    silent = Task("t", "test", (Document("", ADA),), (Question("q", "?", ("Velt",)),))
    assert quality(silent, ADA) == (0, 0, 0, 1, 0.0)
    assert quality(silent) == (0, 0, 0, 0, 0.0)
