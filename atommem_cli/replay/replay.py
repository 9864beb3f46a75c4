"""A finished run played again without a model.

Agents are deterministic, so the recorded replies lead through the same prompts, which the run folder holds as hashes
alone; each is compared with its hash. What a Read showed is on the tape too, so that neither embedder nor store is
needed. Nothing is written into the run folder, and a run that is still going on can be read.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from atommem_cli.config.schema import chunks_of
from atommem_cli.core.chunking import Span
from atommem_cli.core.errors import MissingExtra
from atommem_cli.core.types import Progress, Question, Task, Trajectory
from atommem_cli.explain.coverage import needs_tokenizer
from atommem_cli.replay import checks
from atommem_cli.replay.checks import Audit
from atommem_cli.replay.recorded import Shown, Tape, without_end
from atommem_cli.running.build import Parts, asked_by, assemble
from atommem_cli.running.evaluation import planned_tasks
from atommem_cli.running.helpers import Models
from atommem_cli.running.stubs import StubPolicy, vectors_for
from atommem_cli.runs.layout import CHUNKS, RUN, SUMMARY
from atommem_cli.runs.reader import Run
from atommem_cli.runs.strict_reader import Finding, Journal
from atommem_cli.runs.tables import Table


@dataclass
class _TokenizerOf:
    """That of a run's policy, loaded when something asks it."""

    run: Run
    name: str = "replay"

    def spans(self, text: str) -> Sequence[Span]:
        return self.run.tokenizer.spans(text)


def silent(run: Run) -> StubPolicy:
    """In place of the policy of a run: it is never asked, since the tape has every reply, or refuses.

    Loads no weights, and a tokenizer only where something counts with it.

    Raises:
        MissingExtra: the model's folder is not there any more, and the agent showed what its window has room for.
    """
    try:
        window = run.recipe.window()
    except MissingExtra:
        if needs_tokenizer(run):
            raise
        window = None  # nothing was cut to fit it
    return StubPolicy(_TokenizerOf(run), window)


def retrieving(run: Run, policy: StubPolicy) -> Parts:
    """The parts of a run with its embedder and its kind of store, in memory: nothing of it stays anywhere.

    Raises:
        MissingExtra, BackendError: a part cannot be built.
    """
    recipe = run.recipe.changed([f"store={json.dumps(run.recipe.content['store'])}"])
    return assemble(recipe, playing=policy, helping=_helping(run, policy))


def _showing(run: Run, policy: StubPolicy, store: Shown) -> Parts:
    """The parts of a run that retrieve what it retrieved."""
    vectors = vectors_for(run.recipe, run.agent)
    return Parts(run.recipe, run.agent, policy, store, vectors, helpers=_helping(run, policy))


def _helping(run: Run, policy: StubPolicy) -> Models:
    return dict.fromkeys(asked_by(run.agent), policy)


def play(run: Run) -> Iterator[tuple[Task, Trajectory]]:
    """Every episode that came to its end, failed ones left out, one task after another.

    Raises:
        RunMismatch: the run cannot be played again as it was.
    """
    tape = Tape(run)
    parts = _showing(run, silent(run), Shown(tape.retrievals, tape.begin))
    drawn: list[Task] = []

    def tasks() -> Iterator[Task]:
        for task in planned_tasks(run.recipe):
            if task.id in tape.tasks:
                drawn[:] = [task]  # the others need not stay in memory
                yield task

    for played in parts.play(parts.episodes(tasks(), run.cut), tape):
        trajectory = without_end(played) if played.episode in tape.cut else played
        tape.compare(trajectory)
        yield drawn[0], trajectory


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay found."""

    findings: tuple[Finding, ...]
    """Everything that is not as it was written; of each play of an episode the first step that differs, alone."""
    retrieved: bool
    """Whether retrieval was recomputed, too."""
    recut: bool = False
    """Whether the streams were cut into chunks again; else they are taken as the run wrote them down."""
    summed_up: bool = False
    """Whether `summary.json` was compared: it is there, and everything else is sound."""
    planned: int = 0
    """Episodes of the whole run."""
    episodes: int = 0
    """That came to an end and were played again to it; failed ones apart."""
    failed: int = 0
    """Episodes that ended in a failed call, and were played again up to it."""
    retried: int = 0
    """Failed plays of episodes that the run played again; replayed likewise."""
    unfinished: int = 0
    """Episodes, or retries of failed ones, that have steps but no end; replayed as far as they go."""
    steps: int = 0
    """Model calls, over all of these."""
    operations: int = 0
    loose: int = 0
    """Failed calls that no episode's line covers, since the process was killed before it wrote one: not replayed."""


def _can_cut(run: Run) -> bool:
    try:
        return bool(run.tokenizer)
    except MissingExtra:
        return False


def table(found: Replayed) -> Table:
    """What came out as it was written, and what did not."""
    rows = [
        ("episodes played again", f"{found.episodes} of {found.planned} planned"),
        ("failed / retried / unfinished", f"{found.failed} / {found.retried} / {found.unfinished}"),
        ("model calls, operations", f"{found.steps}, {found.operations}"),
        ("failed calls that were made again", str(found.loose)),
        ("retrieval", "recomputed" if found.retrieved else "as the journal shows it (--retrieve recomputes it)"),
        ("chunks", "cut again" if found.recut else "as the run kept them: the policy's tokenizer is not here"),
        (SUMMARY, "compared" if found.summed_up else "not compared"),
        *(("FINDING", str(finding)) for finding in found.findings),
    ]
    verdict = f"{len(found.findings)} findings" if found.findings else "everything comes out as it is written"
    if found.episodes + found.failed < found.planned:
        verdict += f", as far as the run is: {found.episodes + found.failed} of {found.planned} episodes"
    return Table(f"Replay: {verdict}", ("what", "value"), tuple(rows))


def verify(run: Run, *, retrieve: bool = False, progress: Progress | None = None) -> Replayed:
    """Play a run again and compare everything with its files: each operation, prompt, digest and score.

    A changed byte that changes a JSON value of `steps.jsonl`, `episodes.jsonl`, `chunks.jsonl`, `verdicts.jsonl`,
    `run.json` or `summary.json`, or what `recipe.yaml` says about playing, is a finding, or an error that names the
    file: so are 97 % of the bytes of the journal of a small run, 95 % of `summary.json` and 60 % of `recipe.yaml`
    (measured on 840 changes by tests/replay/test_replay.py, which finds every one of them; the others change no
    value, or one of those below). Lines of different episodes may stand in any order. What nothing proves:

    * times: `seconds` of a step, `time` of `summary.json`, all of `sessions.jsonl`; `table.md` is not read.
    * `name`, `eval.max_failed` and the sections of other commands in `recipe.yaml`, and the folder's name in
      `summary.json`: they have no part in playing.
    * without a `summary.json` (a run that goes on): verdicts, and what `run.json` says about policy and embedder.
    * without the policy's tokenizer (`recut`): how many tokens a chunk has, and how many are in none.
    * that the next prompt of an episode was too long for `budget.prompt_tokens`, unless `retrieve`.
    * failed calls that were made again (`loose`), and verdicts on plays that were played again.
    * a value that was changed together with every digest over it: this guards against damage, not forgery.

    Args:
        retrieve: also embed every text again, and compare what each Read finds, by ids. The last bits of vectors may
            differ between machines; two entries of nearly the same distance may then change places.
        progress: called with episodes done, planned, and a remark.

    Raises:
        UsageError: there is nothing to play.
        SourceError: a line is no JSON, or the prepared tasks are gone or damaged.
        MissingExtra: the embedder is not there, or the policy's tokenizer, and the run's own record of its chunks
            does not do without.
    """
    run.insist_begun()
    found = list(checks.identity(run))
    if found:  # nothing below can come out the same
        return Replayed(tuple(found), retrieve, planned=run.planned)
    recut = _can_cut(run)
    journal, checked, policy = Journal(run.path), Audit(run, blind=not retrieve), silent(run)
    parts = retrieving(run, policy) if retrieve else _showing(run, policy, Shown(checked.retrievals))
    questions: dict[str, tuple[Question, ...]] = {}
    kept = run.identity["command"] == "grpo"
    names, missing, ended, done = journal.names, 0, Counter[str](), 0
    if retrieve and parts.vectors.describe() != run.identity["embedder"]:
        found.append(Finding(RUN, "the embedder is another one now", field="embedder"))
    try:
        for task in planned_tasks(run.recipe):
            if kept and not journal.lines(f"{task.id}#0"):
                continue  # of an update's tasks alone
            questions[task.id] = task.questions
            chunks, left_out = chunks_of(run.recipe.chunk, task.documents, run.tokenizer) if recut else run.cut(task)
            found += checks.cut(run, task, chunks, left_out)
            for sample in range(run.recipe.eval.repeats):
                name = f"{task.id}#{sample}"
                attempts = list(journal.attempts(name))
                for attempt in attempts:
                    episode = parts.episode(task, sample, chunks, left_out)
                    checked.begin_attempt(attempt, episode)
                    if retrieve:
                        parts.vectors.vectors_for(checked.texts())  # in one batch
                    for trajectory in parts.play([episode], checked, checked):
                        checked.end_attempt(trajectory, task)
                found += checks.verdicts(attempts, journal.verdicts.get(name, ()))
                ended.update(attempt.end for attempt in attempts)
                names.discard(name)
                missing += not journal.lines(name)
                done += 1
                if progress:
                    progress(done, run.planned, f"({len(checked.findings)} differ)" if checked.findings else "")
    finally:
        parts.close()
    found = [*journal.findings, *checked.findings, *found]
    found += [Finding(journal.file(name), "no such episode was planned", name) for name in sorted(names)]
    found += [Finding(CHUNKS, f"holds {task}, of no episode") for task in run.cuts.lines.keys() - questions.keys()]
    summed_up = (run.path / SUMMARY).exists()
    if summed_up:
        found += checks.completeness(run, journal, missing)
        summed_up = not found
    if summed_up:
        found += checks.summing_up(run, questions)
    return Replayed(
        tuple(found), retrieve, recut, summed_up, run.planned, ended["ended"], ended["failed"], ended["retried"],
        ended["unfinished"], checked.steps, checked.operations, journal.loose,
    )  # fmt: skip
