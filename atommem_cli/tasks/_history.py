"""What happens in one `stream` world: the statements of its documents, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import NamedTuple

from atommem_cli.core.stream_facts import Key
from atommem_cli.core.stream_words import PERSONAL, RELATIONS
from atommem_cli.core.types import Event
from atommem_cli.tasks._style import Replacement, Style

REPEATABLE = frozenset({"state", "change", "correct", "retract"})
"""What may be said twice: a statement with a day in it would be out of date the second time."""
ENDS = frozenset({"retract", "expire"})
"""What ends the history of a fact."""


class Rates(NamedTuple):
    """Chances of what becomes of a fact; see `stream.Options`."""

    change: float
    retract: float
    expire: float


class Budget(NamedTuple):
    """How many documents of each sort a world has."""

    core: int
    distractors: int
    similar: int
    repeated: int
    noise: int
    cascades: int
    """Beside those that questions are to hinge on, which come from the core."""


class World:
    """The changes of one world, placed in time.

    A fact's values are all different, a retraction or expiry ends its history, and nothing names a value after a
    cascade has taken it away, so that no statement can mean two things.
    """

    def __init__(self, rng: Random, style: Style, people: int, relations: int, rates: Rates, budget: Budget) -> None:
        self._rng = rng
        self._style = style
        self._rates = rates
        self._budget = budget
        self._relations = RELATIONS[:relations]
        pairs = style.people(rng, min(style.MOST_PAIRS, people + 1 + sum(budget) // 2))
        self.cast: list[str] = [first for first, _ in pairs[:people]]
        """The people who are asked about."""
        self._twins = dict(pairs[:people])
        self._others = [name for pair in pairs[people:] for name in pair]
        self._expiries = 0
        self._timed: list[tuple[float, int, Replacement | None]] = []

    def happen(self, hinges: Iterable[str]) -> list[Replacement | None]:
        """Decide what happens, one item per document; None is noise.

        What the cast's facts cannot fill goes to people nobody asks about, and then to noise.

        Args:
            hinges: there shall be a fact for each of them, whatever the rates, as far as the budget goes.
        """
        budget, wished = self._budget, list(hinges)
        ends = min(wished.count("cascade"), budget.core // 2)
        keys = self._keys(self.cast)
        # Some facts stay unsaid, for the questions whose answer was never stated.
        said = keys[: max(1, len(keys) - max(1, len(keys) // 6))]
        core = self._histories(said, self.cast, budget.core - ends, [self._ending(hinge) for hinge in wished])

        room = budget.distractors + budget.core - ends - sum(map(len, core))
        others = self._others[: max(2, -(-room // len(self._relations)))]
        beside = self._histories(self._keys(others), others, room, [])
        for history in core + beside:
            self._place(history)
        self._look_alikes(core)
        self._repeat(core)
        changed = {(one.relation, one.value) for h in core + beside if len(h) > 1 for one in h}
        self._cascade(core, ends, changed)
        self._cascade(beside + core, budget.cascades, changed)
        while len(self._timed) < sum(budget):
            self._timed.append((self._rng.random(), len(self._timed), None))
        return self._dated()

    def _keys(self, people: Iterable[str]) -> list[Key]:
        keys = [(person, relation) for person in people for relation in self._relations]
        self._rng.shuffle(keys)
        return keys

    def _histories(
        self, keys: Sequence[Key], circle: Sequence[str], room: int, forced: list[tuple[str, ...]]
    ) -> list[list[Replacement]]:
        """Histories of the facts, one after the other, until the room (documents) is used up.

        Args:
            circle: the people whom a personal relation may name.
            forced: histories that the first facts shall have.
        """
        histories: list[list[Replacement]] = []
        for key in keys:
            values = self._values(key, circle)
            if room <= 0:
                break
            if not values:
                continue
            fits = forced and len(values) > forced[0].count("change")
            history = self._history(key, (forced.pop(0) if fits else self._random())[:room], values)
            room -= len(history)
            histories.append(history)
        return histories

    def _values(self, key: Key, circle: Sequence[str]) -> list[str]:
        """The values a fact may take, in random order."""
        subject, relation = key
        if relation in PERSONAL:
            return self._rng.sample([p for p in circle if p != subject], k=len(circle) - 1)
        pool = self._style.values(relation)
        return self._rng.sample(pool, k=min(len(pool), 12))

    def _random(self) -> tuple[str, ...]:
        if self._rng.random() < self._rates.expire:
            return ("until", "expire")
        kinds = ["state"]
        while self._rng.random() < self._rates.change:
            kinds.append("change")
        if self._rng.random() < self._rates.retract:
            kinds.append("retract")
        return tuple(kinds)

    def _ending(self, hinge: str) -> tuple[str, ...]:
        if hinge == "update":
            return ("state", "change")
        if hinge == "supersede":
            return ("state", "change", "change")
        if hinge == "delete":
            return self._rng.choice((("state", "retract"), ("until", "expire")))
        return ("state",)

    def _history(self, key: Key, kinds: Sequence[str], values: Sequence[str]) -> list[Replacement]:
        if "expire" in kinds and self._expiries < self._style.LAST_DAY - 1:
            self._expiries += 1
        else:  # cut short for want of room, or the style has no more days to name
            kinds = [{"until": "state", "expire": "retract"}.get(kind, kind) for kind in kinds]
        history: list[Replacement] = []
        used = -1
        for kind in kinds:
            if kind in ("state", "until", "change"):
                if used + 1 == len(values):
                    continue
                used += 1
            old = values[used - 1] if kind == "change" else ""
            said = "correct" if kind == "change" and self._rng.random() < 0.3 else kind
            history.append(Replacement(said, *key, values[used], old))
        return history

    def _place(self, history: list[Replacement]) -> None:
        times = sorted(self._rng.random() for _ in history)
        for time, change in zip(times, history, strict=True):
            self._timed.append((time, len(self._timed), change))

    def _look_alikes(self, core: list[list[Replacement]]) -> None:
        """The same relation of somebody with a similar name, with a value that the original never has."""
        for history in self._rng.sample(core, k=min(self._budget.similar, len(core))):
            first = history[0]
            taken = {change.value for change in history}
            values = [v for v in self._values((first.subject, first.relation), self.cast) if v not in taken]
            if values:
                self._place([Replacement("state", self._twins[first.subject], first.relation, values[0])])

    def _repeat(self, core: list[list[Replacement]]) -> None:
        """The same sentence again, while it still holds."""
        when = {change: time for time, _, change in self._timed if change}
        spans = [
            (change, when[change], when[after] if after else 1.0)
            for history in core
            for change, after in zip(history, [*history[1:], None], strict=True)
            if change.kind in REPEATABLE
        ]
        for change, start, end in self._rng.sample(spans, k=min(self._budget.repeated, len(spans))):
            self._timed.append((self._rng.uniform(start, end), len(self._timed), change))

    def _cascade(self, histories: list[list[Replacement]], count: int, spared: set[Key]) -> None:
        """So many values go, each with every fact that has it, once nothing names it any more.

        Args:
            histories: of facts that may go, if they never change, so that an answer hinges on this alone.
            spared: relations with values that stay; those that go are added.
        """
        ends = dict.fromkeys((h[0].relation, h[0].value) for h in histories if len(h) == 1)
        fit = [end for end in ends if end not in spared]
        for relation, value in self._rng.sample(fit, k=min(count, len(fit))):
            spared.add((relation, value))
            named = (
                time
                for time, _, change in self._timed
                if change and change.relation == relation and value in (change.value, change.old)
            )
            when = self._rng.uniform(max(named), 1.0)
            self._timed.append((when, len(self._timed), Replacement("cascade", "", relation, value)))

    def _dated(self) -> list[Replacement | None]:
        """Everything in order; each expiry has a day of its own, the one after the last that holds."""
        ordered = [change for _, _, change in sorted(self._timed, key=lambda item: item[:2])]
        expiries = [change for change in ordered if change and change.kind == "expire"]
        days = {(change.subject, change.relation): day for day, change in enumerate(expiries, start=2)}
        dated: list[Replacement | None] = []
        for change in ordered:
            if change and change.kind in ("until", "expire"):
                day = days[change.subject, change.relation] - (change.kind == "until")
                dated.append(change._replace(day=day))
            else:
                dated.append(change)
        return dated


def event(change: Replacement) -> Event:
    """What a statement means."""
    return Event(change.subject, change.relation, None if change.kind in ENDS else change.value)
