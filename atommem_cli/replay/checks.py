"""What a replay compares with the files of a run: its identity, each step, each episode, its summary."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from atommem_cli.core.calls import Generation, Observation
from atommem_cli.core.episode import Episode
from atommem_cli.core.files import read_json
from atommem_cli.core.memory import Memory, Text
from atommem_cli.core.types import Chunk, MemoryEntry, OpKind, OpResult, Question, Task, Trajectory, Transition
from atommem_cli.data import files
from atommem_cli.replay.recorded import END, Retrievals, ids, unasked, without_end
from atommem_cli.running import evaluation
from atommem_cli.runs.chunk_bounds import cut_line
from atommem_cli.runs.digests import prompt_hash
from atommem_cli.runs.identity import HELPERS, SOURCES, planned, settled, sources
from atommem_cli.runs.layout import (
    CHUNKS,
    EPISODES,
    RECIPE,
    RUN,
    STEPS,
    SUMMARY,
    VERDICTS,
    Line,
    episode_line,
    opening_line,
    recorded_reply,
    step_line,
)
from atommem_cli.runs.reader import Run
from atommem_cli.runs.strict_reader import NOTHING, Attempt, Finding, Journal, differences, digest
from atommem_cli.runs.summary import JUDGED, renamed, summarize
from atommem_cli.scoring import llm_judge, metrics


def identity(run: Run) -> Iterator[Finding]:
    """Compare `run.json` with the recipe, the prepared tasks and this program.

    Raises:
        SourceError: the tasks are gone or damaged.
    """
    known = run.identity
    if missing := [key for key in _IDENTITY if key not in known]:
        yield Finding(RUN, "it is missing", field=missing[0])
        return
    if strange := sorted({*known} - {*_IDENTITY, *_OPTIONAL}):
        yield Finding(RUN, "no atommem wrote it", field=strange[0])
        return
    written = settled(known)["recipe"]
    changed = [
        Finding(RECIPE, f"says {_shown(now)}, and {RUN} {_shown(was)}", field=path)
        for path, was, now in differences(written, settled({**known, "recipe": run.recipe.content})["recipe"])
    ]
    yield from changed
    if changed:
        return
    manifest = files.verify(run.folder)
    if manifest.sha256 != known["tasks"]:
        yield Finding(RUN, f"it is not the digest of the tasks that are in {run.folder} now", field="tasks")
        return
    scorers = run.recipe.eval.scorers or metrics.default_scorers(manifest.source)
    judging = llm_judge.instructions(run.recipe.eval.judging, manifest.source)
    whole = known["command"] == "eval"  # kept rollouts are of a few tasks
    expected = {
        **({"episodes": planned(run.recipe, manifest)} if whole else {}),
        **({SOURCES: sources(run.recipe)} if SOURCES in known else {}),
        "scorers": list(scorers),
        "agent": run.recipe.build("agent").describe(),
        **({"judge": llm_judge.prompt_digest(judging)} if llm_judge.NAME in scorers else {}),
    }
    for path, was, now in differences({key: known.get(key) for key in expected}, expected):
        what = f"is {_shown(was)}, and comes out as {_shown(now)} now"
        if path.startswith(f"{SOURCES}."):
            what += ": that file was edited since; undo the edit"
        yield Finding(RUN, what, field=path)


def cut(run: Run, task: Task, chunks: Sequence[Chunk], left_out: int) -> Iterator[Finding]:
    """Compare the record of a task's chunks with chunks that were cut again.

    Raises:
        SourceError: a line of the record is damaged.
    """
    kept = run.cuts.lines.get(task.id)
    if kept is not None:
        for path, was, now in differences(kept, cut_line(task.id, chunks, left_out)):
            yield Finding(CHUNKS, f"of {task.id} is {_shown(was)}, and comes out as {_shown(now)} now", field=path)


_IDENTITY = ("schema", "command", "recipe", "tasks", "episodes", "scorers", "agent", "policy", "embedder")
_OPTIONAL = (SOURCES, HELPERS, "judge")


class Audit:
    """A rollout's journal that has the recorded replies and compares everything else."""

    def __init__(self, run: Run, *, blind: bool) -> None:
        """
        Args:
            blind: whether what is shown comes from the recording.
        """
        self.findings: list[Finding] = []
        self.retrievals = Retrievals()
        """Those of the attempt in play up to its coming prompt."""
        self.steps = self.operations = 0
        """Compared so far."""
        self._run = run
        self._blind = blind
        self._cut = False
        """Whether the attempt ended before a prompt was asked; see `recorded.unasked`."""
        self._attempt = Attempt("", None, "unfinished", {})
        self._memory: Memory | None = None
        self._left: dict[int, Line] = {}
        """Steps that are still to come."""
        self._over = False
        """Whether the rest of this attempt is not played: something differs, or there are no more steps."""
        self._sound = True
        """Whether nothing has differed in this attempt."""

    def begin_attempt(self, attempt: Attempt, episode: Episode) -> None:
        """An attempt starts to play."""
        self._attempt, self._memory = attempt, episode.memory
        self._left = dict(attempt.steps)
        self._over, self._sound, self._cut = False, True, False
        self.retrievals.before(self._left.get(0))

    def texts(self) -> Iterator[Text]:
        """What the attempt will want embedded."""
        for line in self._left.values():
            for op in line["ops"]:
                if isinstance(op, dict) and isinstance(text := op.get("text"), str) and op.get("outcome") == "ok":
                    yield Text(text.strip(), op.get("kind") == OpKind.READ)

    def finished(self, _: str) -> bool:
        """Whether it need not be played: all must be."""
        return False

    def recorded(self, _: str, step: int, observation: Observation) -> Generation:
        """The recorded reply, or an error, which ends the episode, where there is none to this prompt."""
        line = self._left.get(step)
        if self._over:
            return END
        if line is None:
            played = self._attempt.line
            self._cut = played is not None and self._blind and unasked(self._run, played, step)
            if played is not None and not self._cut:
                self._find(STEPS, "it is missing", step)
            self._over = True
            return END
        assert self._memory is not None
        found = [entry.id for entry in self._memory.shown]
        if found != (shown := ids(line)):
            self._find(STEPS, f"entries {_shown(shown)} stand there, and {_shown(found)} come out", step, "shown")
        elif line["prompt"] != prompt_hash(observation):
            self._find(STEPS, "another prompt comes out", step, "prompt")
        if self._over:
            return END
        self.retrievals.before(self._left.get(step + 1))
        return recorded_reply(line)

    def opening(self, episode: str, noise: Sequence[MemoryEntry], results: Sequence[OpResult]) -> None:
        """Compare what lay in the store, and what the agent did before its first call."""
        self._compare(-1, self._left.pop(-1, None), opening_line(episode, noise, results))

    def step(self, episode: str, step: int, transition: Transition) -> None:
        """Compare one step."""
        if self._over:
            return
        line = self._left.pop(step)
        self.steps += 1
        # The hash was compared when the reply was looked up; times are not compared.
        again = {**step_line(episode, step, line["prompt"], transition), "seconds": line["seconds"]}
        self._compare(step, line, again)

    def end_attempt(self, trajectory: Trajectory, task: Task) -> None:
        """Compare the end."""
        if self._sound and self._left:
            self._find(STEPS, "no other step leads to it", min(self._left))
        line = self._attempt.line
        if line is None or not self._sound:
            return
        again = self._episode_line(without_end(trajectory) if self._cut else trajectory, task)
        for path, was, now in differences(line, again):
            self._find(EPISODES, f"is {_shown(was)}, and comes out as {_shown(now)}", None, path)
        if digest(self._attempt.steps) != line["steps"]:
            what = f"a reply, its end, its tokens or an error text was changed in {STEPS}, or this digest of its steps"
            self._find(EPISODES, what, None, "steps")

    def _compare(self, step: int, line: Line | None, again: Line) -> None:
        self.operations += len(again["ops"])
        if line is None:
            self._find(STEPS, "it is missing", step)
            return
        if json.dumps(line) == json.dumps(again):
            return
        for path, was, now in differences(line, again):
            self._find(STEPS, f"is {_shown(was)}, and comes out as {_shown(now)}", step, path)
            return

    def _episode_line(self, trajectory: Trajectory, task: Task) -> Line:
        line = self._attempt.line
        assert line is not None
        scores = evaluation.score(task.questions, trajectory.answers, self._run.identity["scorers"])
        return episode_line(trajectory, scores, line["steps"])

    def _find(self, file: str, text: str, step: int | None, field: str = "") -> None:
        self.findings.append(Finding(file, text, self._attempt.episode, step, field))
        self._over, self._sound = True, False


def verdicts(attempts: Sequence[Attempt], lines: Sequence[Line]) -> Iterator[Finding]:
    """Compare the judge's verdicts on one episode with what they are about."""
    plays = {attempt.line["steps"]: attempt.line for attempt in attempts if attempt.line}
    for number, line in enumerate(lines, start=1):
        name, play = line["episode"], plays.get(line["steps"])
        last = [attempt.line["steps"] for attempt in attempts if attempt.line][-1:]
        if play is None or (number == len(lines) and line["steps"] not in last):
            yield Finding(VERDICTS, "the verdict is about another play of it", name, None, "steps")
            continue
        empty = [isinstance(answer, dict) and not answer.get("text") for answer in play["answers"]]
        scores = line["correct"]
        if len(scores) != len(empty) or any(
            type(score) is not float or score not in (0.0, 1.0) or (score and nothing)
            for score, nothing in zip(scores, empty, strict=False)
        ):
            yield Finding(VERDICTS, f"{_shown(scores)} is not one verdict per answer", name, None, "correct")


def completeness(run: Run, journal: Journal, missing: int) -> Iterator[Finding]:
    """What a run that was summed up must have.

    Args:
        missing: planned episodes without a line.
    """
    for file in journal.torn:
        yield Finding(file, "its last line is torn: the run's own command cuts it off and goes on")
    if missing:
        yield Finding(EPISODES, f"{missing} of {run.planned} planned episodes are missing")
    if llm_judge.NAME in run.identity["scorers"]:
        for episode in sorted(name for name in journal.names if journal.lines(name) and name not in journal.verdicts):
            yield Finding(VERDICTS, "there is no verdict on it", episode)


def summing_up(run: Run, questions: Mapping[str, Sequence[Question]]) -> Iterator[Finding]:
    """Compare `summary.json`, and with it the digest of the run, with what its lines sum up to.

    Raises:
        SourceError: it is damaged.
    """
    again = json.loads(json.dumps(summarize(run.path, questions)))
    written = renamed(read_json(run.path / SUMMARY))
    for key in {"judge", JUDGED} - written.keys():  # an older atommem did not write them
        again.pop(key, None)
    for path, was, now in differences(written, again):
        if path.partition(".")[0] in ("time", "recipe"):  # times, and the name of the folder
            continue
        text = f"is {_shown(was)}, and comes out as {_shown(now)}"
        top = path.partition(".")[0]
        if top in ("digest", "scores", "by_kind", JUDGED):
            text += f": this, or a line of {EPISODES} or {VERDICTS}, was changed"
        elif top in ("agent", "policy", "embedder"):
            text += f": this, or {RUN}, was changed"
        if isinstance(was, float) and isinstance(now, float) and abs(was - now) < 1e-9:
            text += " (or another version of scipy computes the interval)"
        yield Finding(SUMMARY, text, field=path)


def _shown(value: object) -> str:
    """A value of a file, whatever it is, on one line."""
    text = repr(value) if value is NOTHING else json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:60]} ... {text[-15:]}"
