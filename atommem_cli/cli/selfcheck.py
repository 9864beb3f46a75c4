"""`atommem check`: is this installation fit to produce numbers? No weights, no network, about ten seconds. Or: does one
plug-in keep the contract of its room?"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from atommem_cli.config import plugins
from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.core import seeds
from atommem_cli.core.errors import AtommemError, UsageError
from atommem_cli.core.store import Change
from atommem_cli.core.types import Answer, MemoryEntry, Question, StopReason, Task, Trajectory
from atommem_cli.dialects import dialect
from atommem_cli.running.build import assemble
from atommem_cli.runs import provenance
from atommem_cli.runs.digests import prompt_hash
from atommem_cli.scoring import metrics

_FUZZED = 20_000
_ENTRIES = 1_000
_GOLDEN = (
    # answer, gold, em, f1, boxed_em, sub_em: official scripts and MemAgent's (papers.md 4, "Checked")
    ("The Beatles", "Beatles", 1.0, 1.0, 0.0, 1.0),
    ("Yes.", "yes", 1.0, 1.0, 0.0, 1.0),
    ("U.S.", "US", 1.0, 1.0, 0.0, 1.0),
    ("3,677 seated", "3,677", 0.0, 2 / 3, 0.0, 1.0),
    ("new york new york", "new york", 0.0, 2 / 3, 0.0, 1.0),
    ("NewYork City", "New York City", 0.0, 0.4, 1.0, 0.0),
    ("", "no", 0.0, 0.0, 0.0, 0.0),
)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's result."""

    name: str
    ok: bool
    text: str
    """What was seen; where it is not ok, what to do."""


class _Wrong(Exception):
    """A check failed; the message says what to do."""


def run(recipe: Recipe) -> Iterator[CheckResult]:
    """Run every check; each finding comes as soon as it is known.

    Args:
        recipe: whose plug-ins are looked up and whose server, if it has one, is asked whether it is there.
    """
    checks: dict[str, Callable[[], str]] = {
        "packages": _packages,
        "plug-ins": _plugins,
        f"recipe {recipe.name}": lambda: _recipe(recipe),
        "scorers": _scorers,
        "parser": _parser,
        "retrieval": _retrieval,
        "isolation": lambda: _isolation(_tasks(4)),
        "determinism": lambda: _determinism(_tasks(4)),
        "oracle": lambda: _level(_tasks(8), "oracle", 1.0),
        "mute": lambda: _level(_tasks(8), "mute", 0.0),
    }
    for name, check in checks.items():
        try:
            yield CheckResult(name, True, check())
        except (_Wrong, AtommemError) as wrong:
            yield CheckResult(name, False, str(wrong))


def plugin(
    room: str, name: str | None, recipe: str | None, changes: Sequence[str], source: str | None
) -> Iterator[CheckResult]:
    """Look whether a plug-in keeps the contract of its room; each promise as soon as it is known.

    Args:
        recipe, changes, source: see `contracts.plugin.look`.

    Raises:
        UsageError, MissingExtra, BackendError: there is no such plug-in, a key is wrong, or something outside fails.
    """
    from atommem_cli.contracts import plugin as contract

    room = contract.meant(room)
    if name is None:
        raise UsageError(f"check {room}: name one of them, or a file (there are: {', '.join(contract.names(room))})")
    for verdict in contract.look(room, name, recipe=recipe, changes=changes, source=source):
        yield CheckResult(verdict.name, not verdict.broken, verdict.broken or verdict.promise)


def _packages() -> str:
    return ", ".join(f"{name} {version}" for name, version in provenance.versions().items())


def _plugins() -> str:
    counts = []
    for room in plugins.ROOMS:
        names = plugins.available(room)
        for name in names:
            plugins.load(room, name)
        given = {point.name: f"{point.name} ({plugins.origin(point)})" for point in plugins.outside(room)}
        counts.append(f"{room}: {', '.join(given.get(name, name) for name in names)}")
        counts += [f"{one}: not used, atommem has one of that name" for one in plugins.hidden(room)]
    return "; ".join(counts)


def _recipe(recipe: Recipe) -> str:
    module, options = recipe.plugin("policy")
    probe = getattr(module, "probe", None)
    return f"digest {recipe.digest[:8]}" + (f"; {probe(options)}" if probe else "")


def _scorers() -> str:
    for text, gold, *expected in _GOLDEN:
        answer = Answer(text, rf"\boxed{{{text}}}" if text else "")
        question = Question("", "", (gold,))
        scores = [metrics.SCORERS[name](answer, question) for name in ("em", "f1", "boxed_em", "sub_em")]
        if any(abs(a - b) > 1e-9 for a, b in zip(scores, expected, strict=True)):
            raise _Wrong(f"{text!r} against {gold!r} scores {scores}, the official scripts say {expected}: reinstall")
    return f"{len(_GOLDEN)} golden pairs equal the official scripts"


def _parser() -> str:
    spoken = dialect.load("paper")
    dice = random.Random(0)
    pieces = ["<create_memory>", "</create_memory>", "<delete_memory>", "Memory 1", "<think>", "</think>", "<", "\x00"]
    for _ in range(_FUZZED):
        reply = "".join(dice.choices(pieces, k=dice.randint(0, 8)))
        ops = spoken.parse(reply)
        if len(ops) > reply.count("<"):
            raise _Wrong(f"{reply!r} was read as {len(ops)} operations: reinstall")
        spoken.answer(reply)
    return f"{_FUZZED:,} hostile replies without an exception"


def _retrieval() -> str:
    import numpy as np

    vectors = np.random.default_rng(0).standard_normal((_ENTRIES, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    module = plugins.load("stores", "chroma")
    store = module.build(module.Options())
    try:
        store.begin(["check"])
        store.write([Change("check", MemoryEntry(i, str(i)), v) for i, v in enumerate(vectors)])
        for query in vectors[:50] + 0.5 * vectors[50:100]:
            exact = np.argsort(-(vectors @ query), kind="stable")[:6].tolist()
            if store.nearest("check", query / np.linalg.norm(query), 6) != exact:
                raise _Wrong("the Chroma store does not retrieve exactly: report this with `atommem check --json`")
        if len(store.entries("check")) != _ENTRIES:
            raise _Wrong("Chroma lost entries: check `ulimit -n` and the chromadb version")
    finally:
        store.close()
    return f"recall@6 = 1.000 on {_ENTRIES:,} entries in Chroma"


def _isolation(tasks: list[Task]) -> str:
    """The same task under several names, together and alone: identical texts everywhere."""
    twins = [Task(f"twin-{i}", tasks[0].source, tasks[0].documents, tasks[0].questions) for i in range(4)]
    together = _play(twins, "random", batch=4)
    alone = [played for twin in twins for played in _play([twin], "random", batch=1)]
    if list(map(_essence, together)) != list(map(_essence, alone)):
        raise _Wrong("interleaved episodes differ from the same episodes alone: do not use this installation")
    return f"{len(twins)} interleaved twins equal the same episodes alone"


def _determinism(tasks: list[Task]) -> str:
    first, second = (_play(tasks, "chaotic") for _ in range(2))
    if list(map(_essence, first)) != list(map(_essence, second)):
        raise _Wrong("the same run twice gave two results: do not use this installation")
    return f"{len(tasks)} chaotic episodes twice, {sum(t.usage.calls for t in first)} calls, the same digests"


def _level(tasks: list[Task], script: str, level: float) -> str:
    played = _play(tasks, script)
    scores = [
        metrics.em(answer, question.answers)
        for task, trajectory in zip(tasks, played, strict=True)
        for answer, question in zip(trajectory.answers, task.questions, strict=True)
    ]
    if scores != [level] * len(scores) or any(t.stop is not StopReason.ANSWERED for t in played):
        raise _Wrong(f"the {script} policy scores {sum(scores)} of {len(scores)}: do not use this installation")
    return f"{100 * level:.0f}.0 on {len(scores)} questions"


def _tasks(count: int) -> list[Task]:
    stream = plugins.load("tasks", "stream")
    return [stream.generate(stream.Options(), 0, "validation", index) for index in range(count)]


def _play(tasks: list[Task], script: str, batch: int = 64) -> list[Trajectory]:
    changes = [f"policy={{name: scripted, script: {script}, batch: {batch}}}"]
    parts = assemble(recipes.load(recipes.DEFAULT, changes))
    try:
        return list(parts.play(parts.episodes(tasks)))
    finally:
        parts.close()


def _essence(trajectory: Trajectory) -> tuple[object, ...]:
    """What must be the same when an episode is played again."""
    steps = [(prompt_hash(t.observation), t.generation.text, t.results) for t in trajectory.transitions]
    return trajectory.answers, trajectory.stop, trajectory.digest, seeds.derive(0, repr(steps))
