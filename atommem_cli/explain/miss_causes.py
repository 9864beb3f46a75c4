"""Why a question was missed, from the gold supporting facts and the journal alone: no judge, no model.

A question is missed if its leading score is below 0.5 (of `em`: if it is not 1). For the answer to come about,
each of its supporting facts must get through a chain of stages, and **the earliest stage at which one of
them broke is the cause**:

    never shown          no prompt showed all of it: it was cut out of the middle, or the episode stopped (or
                         its call failed) before the chunk that completes it
    shown, not written   neither an entry nor the scratchpad ever held it
    never stored in stage 1
                         likewise, and the agent itself cleared the conversation that had it: between two stages, for
                         AgeMem
    in the context, then filtered, in the context, then summarised away
                         of agents that keep a conversation: no prompt of the question had it in its conversation,
                         and the memory did not hold it; an operation took out the message that had it, or put a
                         summary without it in its place, and nothing had it any more
    written, then lost   none held it any more when the question was last asked: deleted, overwritten by an
                         Update, the scratchpad rewritten; a retraction also by a value that was invented after it
    kept, not retrieved  the memory held it, but no prompt of the question showed it
    crowded out by noise likewise, and the last prompt showed noise (`store.noise`) in its place

What stands in the conversation (in a chunk's message, a reply, a tool's result, a summary) is in the prompt of every
step until an operation takes it out; a fact that came in parts, of which one had gone before the last one came, never
stood there. Of a fact that memory and conversation both had, the last loss counts.

If every fact was in view in some call for the question, or the question needs none, the answer itself failed:

    budget               the episode stopped (step_limit, budget, context_overflow) without an answer to it
    withheld             likewise, because the provider withheld a reply (filtered)
    call failed          likewise, because a call failed for good (error)
    format               there is no text in the answer; or the reply was cut off (finish length) before its
                         answer tag or within the gold; or a gold answer stands in the answer (its words in a row
                         after `normalise`; yes, no, unknown and what the question names itself: as its
                         first words), without tags or among other words
    stale value believed the answer names what was true once and is no more (`Question.stale`)
    distractor believed  the answer stands in a distractor and in no other document of the task
    noise believed       the answer stands in noise that the last prompt showed, and in no other entry of it; also where
                         noise crowded the fact out
    made up              nothing tells it (`Question.unanswerable`), and the answer does not say so
    retrieved, not used  anything else: it had what it needed and answered otherwise; `stream`: or made something up

Facts that were kept until the episode stopped count under what stopped it, too.

Where nothing says which facts a question needs (none are marked, or one that is marked does not stand in its
document), no stage can be told from another, and none of the rest from what may have gone wrong before:

    no gold facts: cannot tell

A later stage proves the earlier ones: a fact in view of the question is not held against the chunks.
Facts that are "nothing is known any more" (`stream`: retracted or expired) are held, and in view, where
they are stated, or where no value is stated after they were shown, but by noise; so an outdated entry that was not
deleted is "shown, not written". An outdated entry beside the current one does not break the chain. A fact that the
memory held before it was shown (guessed, or known beforehand) counts as written.

`rag`: its documents are shown and written at step -1. `full_context`: chunks are shown by the question's own
prompt; there is no memory. `closed_book`: nothing is ever shown.

On `stream` this is exact. On question sets it is as good as `fact_matcher.Passage`: in 2Wiki's own evidence triples it
sees 90 % of the facts that are there and 5 % that are not (figures and weak spots there), so "shown, not written" is
rather too large. It says where the chain broke, not that mending it would have been enough.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from atommem_cli.core.calls import UNANSWERED, Finish
from atommem_cli.core.errors import SourceError, UsageError
from atommem_cli.core.types import Chunk, OpKind, Question, Shows, StopReason, Task
from atommem_cli.explain import noise
from atommem_cli.explain.causes import OF_CONTEXT, STOPPED, Cause
from atommem_cli.explain.fact_trails import Traced, followed, trace
from atommem_cli.explain.trail import Standing, Trail
from atommem_cli.runs.layout import Line
from atommem_cli.runs.memory_states import noise_of
from atommem_cli.runs.reader import Run
from atommem_cli.scoring import llm_judge, staleness
from atommem_cli.scoring.gold_facts import has_gold
from atommem_cli.scoring.normal import normalise

MISSED_BELOW = 0.5
"""A question is missed if its score is below."""
_FIRST_WORD = frozenset({"yes", "no", "unknown"})


@dataclass(frozen=True, slots=True)
class Fact:
    """The way of one gold supporting fact through one episode. Steps are those of `steps.jsonl`."""

    document: int
    """Index into `Task.documents`."""
    text: str
    cause: Cause | None
    """None: it was before the policy's eyes when the question was answered, and that was answered right."""
    shown: int | None
    """First step whose chunk showed it, with the chunks before."""
    written: int | None
    """First step after which the memory (an entry or the scratchpad) held it."""
    lost: int | None
    """Step at which the memory's last holder lost it, before the question was last asked; None: held then, or never."""
    retrieved: int | None
    """First call for this question whose prompt showed it, the conversation in it included."""
    holders: tuple[int, ...]
    """Ids of the entries that held it when the question was last asked (at the end, if it never was)."""
    contradicted: bool = False
    """`stream`: the last call for the question showed another value of it, an outdated one as a rule."""
    heard: int | None = None
    """First step at which the conversation carried it; None: never, or the agent keeps none."""
    taken: int | None = None
    """Step at which the conversation ceased to carry it, before the question was last asked; None: it still did, or
    never had."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One question of one episode."""

    question: int
    """Index into `Task.questions`."""
    score: float
    missed: bool
    cause: Cause | None
    """None: it was not missed."""
    facts: tuple[Fact, ...]
    outdated: bool = False
    """Whether it was missed with an answer that was true once (`Question.stale`), whatever broke first."""


def explain(
    task: Task,
    chunks: Sequence[Chunk],
    line: Line,
    steps: Sequence[Line],
    scorer: str,
    *,
    shows: Shows = Shows.CHUNKS,
) -> tuple[Explanation, ...]:
    """Every question of one episode.

    Args:
        chunks: what the agent read (`Run.chunks`); of an agent that shows everything at once, what it showed.
        line: of `episodes.jsonl`.
        steps: `Run.steps(episode)`.
        shows: what the agent declares; journals of agents that show everything and nothing look alike.

    Raises:
        SourceError: the episode has no such score.
    """
    return explain_traced(followed(task, chunks, steps, shows), line, scorer)


def explain_traced(traced: Traced, line: Line, scorer: str) -> tuple[Explanation, ...]:
    """`explain` of an episode that was followed already."""
    if scorer not in line["scores"]:
        raise SourceError(f"{line['episode']} has no score {scorer!r}")
    by_question: dict[int, list[Trail]] = defaultdict(list)
    for trail in traced.trails:
        by_question[trail.question].append(trail)
    return tuple(
        _explanation(
            traced.task, question, number, by_question[number], line, traced.steps, line["scores"][scorer][number]
        )
        for number, question in enumerate(traced.task.questions)
    )


def _explanation(
    task: Task,
    question: Question,
    number: int,
    trails: Sequence[Trail],
    line: Line,
    steps: Sequence[Line],
    score: float,
) -> Explanation:
    missed = score < MISSED_BELOW
    outdated = missed and staleness.outdated(line["answers"][number]["text"], question)
    if not has_gold(task, question):
        return Explanation(number, score, missed, Cause.UNTOLD if missed else None, (), outdated)
    last = _last_call(number, line, steps)
    stopped = STOPPED.get(line["stop"]) if missed and last is None else None
    given, answer = noise_of(steps), line["answers"][number]
    misled = missed and last is not None and noise.believed(answer["text"], last, given)
    final = (stopped or _at_the_answer(task, question, answer, last, misled)) if missed else None
    hidden = Cause.MISLED if misled else Cause.CROWDED if noise.shown(last, given) else Cause.NOT_RETRIEVED
    facts = tuple(_fact(trail, final, final if stopped else hidden) for trail in trails)
    broken = [fact.cause for fact in facts if fact.cause is not None]
    cause = min(broken, key=list(Cause).index, default=final) if missed else None
    return Explanation(number, score, missed, cause, facts, outdated)


def _fact(trail: Trail, final: Cause | None, hidden: Cause | None) -> Fact:
    """`hidden`: what it counts as where the memory held it and no prompt showed it."""
    then = trail.answered or Standing(known=False, ever=False, last=None)
    if trail.retrieved is not None:
        cause = final
    elif then.known:
        cause = hidden
    elif then.ever:
        cause = Cause.LOST if then.last is None else OF_CONTEXT.get(then.last, Cause.LOST)
        if then.last is OpKind.CLEAR and trail.written is None:
            cause = Cause.NOT_STORED
    else:
        cause = Cause.NOT_SHOWN if trail.shown is None else Cause.NOT_WRITTEN
    support = trail.support
    way = (trail.shown, trail.written, then.lost, trail.retrieved, then.holders, trail.contradicted)
    return Fact(support.document, support.text, cause, *way, trail.context.heard, then.taken)


def _last_call(number: int, line: Line, steps: Sequence[Line]) -> Line | None:
    """The call that the question was answered in; None where there is none, or the episode stopped at it."""
    asked = [step for step in steps if step.get("question") == number]
    if not asked or asked[-1]["finish"] in UNANSWERED:
        return None
    went_on = line["stop"] == StopReason.ANSWERED or any((step.get("question") or 0) > number for step in steps)
    return asked[-1] if went_on or line["answers"][number]["text"].strip() else None


def _at_the_answer(task: Task, question: Question, answer: Line, last: Line | None, misled: bool) -> Cause:
    given, golds = normalise(answer["text"]), [normalise(gold) for gold in question.answers]
    cut = last is not None and last["finish"] == Finish.LENGTH
    cut = cut and (not answer["tagged"] or any(gold.startswith(given) for gold in golds))
    if not given or cut or any(_stands_in(gold, given, question.text) for gold in golds if gold):
        return Cause.FORMAT
    if misled:
        return Cause.MISLED
    if staleness.outdated(answer["text"], question):
        return Cause.OUTDATED
    told = [one for one in task.documents if f" {given} " in f" {normalise(f'{one.title} {one.text}')} "]
    if told and all(one.distractor for one in told):
        return Cause.BELIEVED
    return Cause.MADE_UP if question.unanswerable else Cause.NOT_USED


def _stands_in(gold: str, given: str, question: str) -> bool:
    """Answers that also stand in sentences which mean something else must come first."""
    if gold in _FIRST_WORD or f" {gold} " in f" {normalise(question)} ":
        return f"{given} ".startswith(f"{gold} ")
    return f" {gold} " in f" {given} "


# --- whole runs ----------------------------------------------------------------------------------------------


def explain_episode(run: Run, episode: str) -> tuple[Explanation, ...]:
    """`explain` with everything taken from the run.

    Raises:
        UsageError: the run has no such episode, or no scorer but the judge.
        SourceError, RunMismatch: the tasks are not those that were played; as `Run`.
    """
    if episode not in run.episodes:
        raise UsageError(f"{run.path}: there is no episode {episode}")
    line = run.episodes[episode]
    return explain_traced(trace(run, line), line, leading(run))


def explain_run(run: Run) -> Iterator[tuple[Line, Task, tuple[Explanation, ...]]]:
    """Every episode of a run that has a line, failed ones too: the line, its task, its questions.

    Raises:
        UsageError, SourceError, RunMismatch: as `explain_episode`.
    """
    scorer = leading(run)
    for line in run.episodes.values():
        traced = trace(run, line)
        yield line, traced.task, explain_traced(traced, line, scorer)


def leading(run: Run) -> str:
    """`Run.leading`, where its scores stand in the episodes' lines: the judge's do not.

    Raises:
        UsageError: the judge alone scores the run.
    """
    if run.leading == llm_judge.NAME:
        raise UsageError(f"{run.path}: misses are told by a scorer other than the judge, and the run has none")
    return run.leading
