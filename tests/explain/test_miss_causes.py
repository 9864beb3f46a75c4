"""Why questions were missed: policies that fail on purpose, and what is told about them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from builders import Says
from raw_records import SHARED

from atommem_cli.config import recipe as recipes
from atommem_cli.core.calls import Expects, Finish, Generation
from atommem_cli.core.chunking import WordTokenizer, chunk_documents, render
from atommem_cli.core.episode import Call
from atommem_cli.core.errors import RunMismatch, SourceError, UsageError
from atommem_cli.core.stream_facts import UNKNOWN
from atommem_cli.core.types import Document, Event, MemoryOp, OpKind, Question, Shows, StopReason, Support, Task
from atommem_cli.data import preparation
from atommem_cli.data.files import adapter
from atommem_cli.explain import cause_counts, fact_trails, miss_causes
from atommem_cli.explain.causes import Cause
from atommem_cli.explain.miss_causes import Explanation
from atommem_cli.replay import replay
from atommem_cli.running.build import assemble
from atommem_cli.running.evaluation import evaluate
from atommem_cli.runs.layout import Line
from atommem_cli.runs.reader import Run
from atommem_cli.scoring import fact_matcher
from atommem_cli.scoring.fact_matcher import Passage
from atommem_cli.scoring.stream_reader import Statements

WRONG = "zzz"
MODES = ("skip", "delete", "overwrite", "unread", "otherwise", "format", "empty", "cut")
Reply = str | Generation


def stream(folder: Path, limit: int, **options: Any) -> Path:
    preparation.prepare("stream", out=folder, split="validation", options=options, limit=limit, seed=5)
    return folder


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stream(tmp_path_factory.mktemp("closed"), 60, questions=2)


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = {"docs": 16, "people": 4, "relations": 6, "hops": {1: 0.4, 2: 0.4, 3: 0.2}}
    return stream(tmp_path_factory.mktemp("rich"), 45, style="rich", **options)


def play(
    out: Path, data: Path, say: Callable[[Call], Reply], agent: str | dict[str, Any] = "atommem", **changes: Any
) -> Run:
    """A run folder of the real evaluation, with a policy that is a function."""
    content: dict[str, Any] = {
        "name": "causes",
        "task": {"folder": str(data)},
        "chunk": {"tokens": 1, "overlap": 0, "by": "documents", "most": None},  # one document each
        "memory": {"retrieve_k": 50},
        "limits": {"reply": 200, "answer": 50, "reads": 2},
        "agent": {"dialect": "tiny", **(agent if isinstance(agent, dict) else {"name": agent})},
        "policy": {"name": "scripted"},
        "store": {"name": "exact"},
        "embedder": {"name": "hashing"},
    }
    for key, value in changes.items():
        content[key] = {**content.get(key, {}), **value}
    recipe = recipes.resolve(content, [], origin="causes")
    evaluate(recipe, out, parts=assemble(recipe, out, playing=Says(say)))
    return Run(out)


def explained(run: Run) -> Iterator[tuple[Line, Task, Explanation]]:
    for line, task, explanations in miss_causes.explain_run(run):
        assert [e.question for e in explanations] == list(range(len(task.questions)))
        for explanation in explanations:
            yield line, task, explanation


def earliest(found: list[Cause], final: Cause) -> Cause:
    return min(found, key=list(Cause).index, default=final)


# --- a keeper of the truth with one fault ---------------------------------------------------------------


class Keeper:
    """Writes every fact that the questions need, and fails one of them, the target, in one way."""

    def __init__(self, task: Task, dice: Random) -> None:
        self.task = task
        self.explicit = dice.random() < 0.5  # a retraction is written down, or its entry deleted
        self.plain = dice.random() < 0.5  # `subject relation value` instead of the sentence
        self.needed = {self.key(s.document) for q in task.questions for s in q.supporting}
        facts = [s for q in task.questions for s in q.supporting]
        self.target = dice.choice(facts).document if facts else -1

    def event(self, document: int) -> Event | None:
        return self.task.documents[document].event

    def key(self, document: int) -> tuple[str, str] | None:
        event = self.event(document)
        return (event.subject, event.relation) if event else None

    def form(self, document: int) -> str:
        event = self.event(document)
        assert event is not None
        if self.plain and event.value is not None:
            return f"{event.subject} {event.relation} {event.value}"
        return self.task.documents[document].text

    def said(self, key: tuple[str, str] | None) -> set[str]:
        return {self.form(i) for i in range(len(self.task.documents)) if self.key(i) == key and key}

    def stale(self) -> str | None:
        """What was said about the target before it."""
        return next((self.form(i) for i in range(self.target) if self.key(i) == self.key(self.target)), None)

    def hit(self, mode: str) -> bool:
        """Whether there is room for the fault: something to lose, and a step to lose it in."""
        if self.target < 0:
            return False
        if self.event(self.target).value is None:  # type: ignore[union-attr]
            return self.stale() is not None and (mode == "skip" or self.target + 1 < len(self.task.documents))
        return mode == "skip" or self.target + 1 < len(self.task.documents)

    def read(self, call: Call, mode: str) -> list[MemoryOp]:
        episode, chunk = call.episode, call.observation.chunk
        assert episode is not None
        assert chunk is not None
        (document,) = episode.chunks[chunk].documents
        ops = [] if episode.memory.query or mode == "unread" else [MemoryOp(OpKind.READ, "everything")]
        shown = {entry.text: number for number, entry in enumerate(episode.memory.shown, start=1)}
        about = [shown[text] for text in self.said(self.key(self.target)) if text in shown]
        event, same = self.event(document), self.event(document) == self.event(self.target)
        if mode in ("delete", "overwrite") and document == self.target + 1 and self.hit(mode):
            ops = [*ops, *self.lose(mode, about)]
        if event is None or self.key(document) not in self.needed:
            return ops
        if same and (mode == "skip" or (mode in ("delete", "overwrite") and document > self.target)):
            return ops
        if mode == "unread":
            final = all(self.key(i) != self.key(document) for i in range(document + 1, len(self.task.documents)))
            kept = event.value is not None or self.explicit
            return [MemoryOp(OpKind.CREATE, self.form(document))] if final and kept else ops
        return [*ops, *self.write(document, [shown[t] for t in self.said(self.key(document)) if t in shown])]

    def write(self, document: int, held: list[int]) -> list[MemoryOp]:
        event = self.event(document)
        assert event is not None
        if event.value is None and not self.explicit:
            return [MemoryOp(OpKind.DELETE, target=number) for number in held]
        if held:
            return [MemoryOp(OpKind.UPDATE, self.form(document), held[0])]
        return [MemoryOp(OpKind.CREATE, self.form(document))]

    def lose(self, mode: str, about: list[int]) -> list[MemoryOp]:
        stale = self.stale()
        if self.event(self.target).value is None:  # type: ignore[union-attr]
            assert stale is not None
            if about:  # the written retraction becomes the old value again
                return [MemoryOp(OpKind.UPDATE, stale, about[0])]
            return [MemoryOp(OpKind.CREATE, stale)]
        assert len(about) == 1
        if mode == "delete":
            return [MemoryOp(OpKind.DELETE, target=about[0])]
        return [MemoryOp(OpKind.UPDATE, "nothing of note", about[0])]

    def expected(self, mode: str, document: int) -> Cause:
        final = Cause.FORMAT if mode in ("format", "empty", "cut") else Cause.NOT_USED
        event = self.event(document)
        assert event is not None
        if mode == "unread":
            return final if event.value is None else Cause.NOT_RETRIEVED
        if event == self.event(self.target) and self.hit(mode):
            return {"skip": Cause.NOT_WRITTEN, "delete": Cause.LOST, "overwrite": Cause.LOST}.get(mode, final)
        return final


def failing(call: Call) -> Reply:
    """Which fault is the episode's sample; questions are answered wrongly in every one of them."""
    episode, observation = call.episode, call.observation
    assert episode is not None
    mode, keeper = MODES[episode.sample], Keeper(episode.task, Random(episode.id))
    write = episode.agent.write
    if observation.question is None:
        return write(Expects.OPERATIONS, keeper.read(call, mode))
    gold = episode.task.questions[observation.question].answers[0]
    if mode == "format":
        return f"{gold} it is , surely" if gold == UNKNOWN else f"it must be {gold} ."
    if mode == "empty":
        return ""
    if mode == "cut":
        return Generation("well , it may be that", Finish.LENGTH, 10, 5)
    return write(Expects.ANSWER, [], WRONG)


@pytest.mark.parametrize("style", ["closed", "rich"])
def test_every_fault_is_told_from_every_other(style: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    run = play(tmp_path / "run", request.getfixturevalue(style), failing, eval={"repeats": len(MODES)})
    seen: dict[str, int] = dict.fromkeys(MODES, 0)
    causes_seen = set()
    for line, task, explanation in explained(run):
        mode, keeper = MODES[line["sample"]], Keeper(task, Random(line["episode"]))
        where = f"{line['episode']} {mode}"
        assert explanation.missed, where
        final = Cause.FORMAT if mode in ("format", "empty", "cut") else Cause.NOT_USED
        wanted = [keeper.expected(mode, fact.document) for fact in explanation.facts]
        assert [fact.cause for fact in explanation.facts] == wanted, where
        assert explanation.cause is earliest(wanted, final), where
        causes_seen.add(explanation.cause)
        seen[mode] += keeper.hit(mode)
        for fact in explanation.facts:
            assert fact.shown is not None, where
            assert (fact.lost is not None) == (fact.cause is Cause.LOST), where
            if fact.cause is Cause.LOST:
                chunk = {step["step"]: step["chunk"] for step in run.steps(line["episode"])}
                assert chunk[fact.lost] == keeper.target + 1, where
                assert fact.holders == (), where
            if fact.cause is Cause.NOT_RETRIEVED:
                assert len(fact.holders) == 1, where
    assert min(seen.values()) > 20
    assert causes_seen == {Cause.NOT_WRITTEN, Cause.LOST, Cause.NOT_RETRIEVED, Cause.NOT_USED, Cause.FORMAT}


def faultless(call: Call) -> Reply:
    assert call.episode is not None
    if call.observation.question is None:
        keeper = Keeper(call.episode.task, Random(call.episode.id))
        return call.episode.agent.write(Expects.OPERATIONS, keeper.read(call, "otherwise"))
    return call.episode.agent.write(Expects.ANSWER, [], WRONG)


def documents_of(task: Task, document: int) -> list[int]:
    """The document and those that say the same again."""
    event = task.documents[document].event
    return [i for i in range(document, len(task.documents)) if task.documents[i].event == event]


@pytest.mark.parametrize("calls", [3, 8])
def test_a_budget_that_ends_while_reading_or_before_the_question(calls: int, closed: Path, tmp_path: Path) -> None:
    run = play(tmp_path / "run", closed, faultless, budget={"calls": calls})
    kinds = set()
    for line, task, explanation in explained(run):
        assert line["stop"] == "step_limit"
        read = {step["chunk"] for step in run.steps(line["episode"])}
        wanted = [
            Cause.BUDGET if read & set(documents_of(task, fact.document)) else Cause.NOT_SHOWN
            for fact in explanation.facts
        ]
        assert [fact.cause for fact in explanation.facts] == wanted
        assert explanation.cause is earliest(wanted, Cause.BUDGET)
        kinds |= set(wanted)
    assert kinds == {Cause.BUDGET, Cause.NOT_SHOWN}


def test_what_was_cut_out_of_the_middle_was_never_shown(rich: Path, tmp_path: Path) -> None:
    run = play(tmp_path / "run", rich, faultless, chunk={"most": 9})
    kinds = set()
    for line, task, explanation in explained(run):
        assert line["truncated_tokens"] > 0
        kept = set(range(5)) | set(range(len(task.documents) - 4, len(task.documents)))
        wanted = [
            Cause.NOT_USED if kept & set(documents_of(task, fact.document)) else Cause.NOT_SHOWN
            for fact in explanation.facts
        ]
        assert [fact.cause for fact in explanation.facts] == wanted
        assert explanation.cause is earliest(wanted, Cause.NOT_USED)
        kinds |= set(wanted)
    assert kinds == {Cause.NOT_USED, Cause.NOT_SHOWN}


@pytest.mark.parametrize(("size", "overlap", "most"), [(3, 0, None), (5, 1, 4), (2, 3, 5), (1, 0, 20)])
def test_a_fact_split_over_chunks_is_shown_by_the_last_piece(
    size: int, overlap: int, most: int | None, closed: Path, tmp_path: Path
) -> None:
    chunk = {"tokens": size, "overlap": overlap, "by": "tokens", "most": most}
    run = play(tmp_path / "run", closed, lambda _: "", chunk=chunk, task={"limit": 40})
    hidden = 0
    for _, task, explanation in explained(run):
        text, spans = render(task.documents)
        tokens = WordTokenizer().spans(text)
        windows = [
            range(max(0, at - overlap), min(len(tokens), at + size + overlap)) for at in range(0, len(tokens), size)
        ]
        if most is not None and len(windows) > most:
            windows = windows[: most - most // 2] + windows[len(windows) - most // 2 :]
        for fact in explanation.facts:
            steps = []
            for document in documents_of(task, fact.document):
                start, end = spans[document]
                wanted = {n for n, (a, b) in enumerate(tokens) if a >= start and b <= end}
                seen = [set().union(*windows[: n + 1]) for n in range(len(windows))]
                steps += [n for n, tokens_seen in enumerate(seen) if wanted <= tokens_seen][:1]
            assert fact.shown == min(steps, default=None)
            hidden += fact.shown is None
    assert (hidden > 0) == (most is not None)


def test_memagent_loses_by_rewriting(closed: Path, tmp_path: Path) -> None:
    modes = ("skip", "forget", "otherwise")

    def say(call: Call) -> Reply:
        episode = call.episode
        assert episode is not None
        if call.observation.question is not None:
            return episode.agent.write(Expects.ANSWER, [], WRONG)
        mode, keeper = modes[episode.sample], Keeper(episode.task, Random(episode.id))
        chunk = call.observation.chunk
        assert chunk is not None
        state: dict[Any, str] = {}
        for i in range(chunk + 1):
            event, same = keeper.event(i), keeper.event(i) == keeper.event(keeper.target)
            if event is None or (same and (mode == "skip" or (mode == "forget" and i > keeper.target))):
                continue
            state[keeper.key(i)] = keeper.form(i)
            if event.value is None:
                del state[keeper.key(i)]
        if mode == "forget" and chunk > keeper.target >= 0 and keeper.hit("delete"):
            state.pop(keeper.key(keeper.target), None)
            if keeper.event(keeper.target).value is None:  # type: ignore[union-attr]
                state[keeper.key(keeper.target)] = str(keeper.stale())
        return episode.agent.write(Expects.NOTES, [MemoryOp(OpKind.SCRATCHPAD, "\n".join(state.values()))])

    run = play(tmp_path / "run", closed, say, "memagent", eval={"repeats": 3})
    found = []
    for line, task, explanation in explained(run):
        mode, keeper = modes[line["sample"]], Keeper(task, Random(line["episode"]))
        as_entries = {"skip": "skip", "forget": "delete", "otherwise": "otherwise"}[mode]
        wanted = [keeper.expected(as_entries, fact.document) for fact in explanation.facts]
        assert [fact.cause for fact in explanation.facts] == wanted, line["episode"]
        assert all(fact.holders == () for fact in explanation.facts)
        found += wanted
    assert {Cause.NOT_WRITTEN, Cause.LOST, Cause.NOT_USED} == set(found)


@pytest.mark.parametrize("style", ["closed", "rich"])
def test_rag_either_retrieves_or_not(style: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    run = play(tmp_path / "run", request.getfixturevalue(style), lambda _: WRONG, "rag", memory={"retrieve_k": 3})
    kinds = set()
    for line, task, explanation in explained(run):
        (asked,) = [s for s in run.steps(line["episode"]) if s.get("question") == explanation.question]
        shown = {text for _, text in asked["shown"]}
        for fact in explanation.facts:
            event = task.documents[fact.document].event
            assert event is not None
            key = (event.subject, event.relation)
            events = [d.event for d in task.documents if d.event and d.text in shown]
            in_view = event in events or (
                event.value is None and all((e.subject, e.relation) != key for e in events)
            )  # fmt: skip
            assert fact.cause is (Cause.NOT_USED if in_view else Cause.NOT_RETRIEVED)
            assert (fact.shown, fact.written) == (-1, -1)
            kinds.add(fact.cause)
            stale = [e for e in events if (e.subject, e.relation) == key and e != event and e.value is not None]
            assert fact.contradicted == bool(stale)
    assert len(kinds) == 2


def test_full_context_and_closed_book(closed: Path, tmp_path: Path) -> None:
    full = play(tmp_path / "full", closed, lambda _: WRONG, "full_context")
    book = play(tmp_path / "book", closed, lambda _: WRONG, "closed_book")
    for _, _, explanation in explained(full):
        assert explanation.cause is Cause.NOT_USED
        assert all((f.shown, f.written, f.retrieved) == (explanation.question, None, explanation.question)
                   for f in explanation.facts)  # fmt: skip
    for _, _, explanation in explained(book):
        assert explanation.cause is (Cause.NOT_SHOWN if explanation.facts else Cause.NOT_USED)
    assert cause_counts.summarize(book)["all"].broken[Cause.NOT_SHOWN] == cause_counts.summarize(book)["all"].facts > 0


def test_what_is_stored_before_the_first_call_is_what_was_read_by_then(closed: Path, tmp_path: Path) -> None:
    """A-MEM's library asks about no first note, and about every further one before it keeps it."""
    unasked = {"name": "a_mem", "variant": "library", "analysis": False}
    run = play(tmp_path / "run", closed, lambda _: WRONG, unasked, task={"limit": 12})
    places = []
    for line in run.episodes.values():
        traced = fact_trails.trace(run, line)
        asked = {step["chunk"]: step["step"] for step in traced.steps if step.get("chunk") is not None}
        assert [*asked] == [chunk.index for chunk in traced.chunks[1:]]  # chunks are documents
        for trail in traced.trails:
            assert trail.shown == min(asked.get(number, -1) for number in trail.documents)
            places += trail.documents
    assert {0, 1} < {*places}


def test_full_context_in_a_window_too_small_for_it(tmp_path: Path) -> None:
    """The prompts themselves, played again, are the truth."""
    closed = stream(tmp_path / "data", 40)
    content = {
        "name": "window",
        "task": {"folder": str(closed), "limit": 40},
        "agent": {"name": "full_context", "dialect": "tiny"},
        "policy": {"name": "hf", "model": "tiny", "window": 100, "temperature": 0.0},
        "limits": {"reply": 5, "answer": 5},
        "store": {"name": "exact"},
        "embedder": {"name": "hashing"},
    }
    recipe = recipes.resolve(content, [], origin="window")
    evaluate(recipe, tmp_path / "run")
    run = Run(tmp_path / "run")
    prompts = {
        (played.episode, t.observation.question): t.observation.messages[0].content
        for _, played in replay.play(run)
        for t in played.transitions
    }
    shown, hidden = 0, 0
    for line, task, explanation in explained(run):
        assert line["truncated_tokens"] > 0
        for fact in explanation.facts:
            prompt = prompts[line["episode"], explanation.question]
            there = any(task.documents[i].text in prompt for i in documents_of(task, fact.document))
            assert (fact.retrieved is not None) == there
            assert (fact.cause is Cause.NOT_SHOWN) != there
            shown += there
            hidden += not there
    assert shown > 5
    assert hidden > 5


# --- single journals ---------------------------------------------------------------------------------------

HOME = Task(
    "t",
    "stream",
    (
        Document("", "ada home velt .", Event("ada", "home", "velt")),
        Document("", "rain falls .", None),
        Document("", "ada no home .", Event("ada", "home", None)),
    ),
    (Question("q", "ada home ?", (UNKNOWN,), (Support(2, "ada no home ."),), path=("ada", "home")),),
)


def op(kind: str, text: str = "", entry: int | None = None, outcome: str = "ok", target: int | None = None) -> Line:
    return {"kind": kind, "text": text, "entry": entry, "outcome": outcome, "target": target}


def step(number: int, *ops: Line, chunk: int | None = None, **more: Any) -> Line:
    question = None if chunk is not None else 0
    return {
        "step": number, "chunk": chunk, "question": question, "shown": [], "finish": "stop", "ops": list(ops), **more,
    }  # fmt: skip


def tell(
    task: Task, steps: list[Line], answer: str = WRONG, stop: str = "answered", tagged: bool = True
) -> Explanation:
    chunks, _ = chunk_documents(task.documents, WordTokenizer(), size=1, overlap=0, by="documents")
    line = {
        "episode": "t#0",
        "stop": stop,
        "answers": [{"text": answer, "tagged": tagged}] * len(task.questions),
        "scores": {"em": [0.0] * len(task.questions)},
    }
    return miss_causes.explain(task, chunks, line, steps, "em", shows=Shows.CHUNKS)[0]


READ = [step(0, op("create", "ada home velt", 1), chunk=0), step(1, chunk=1)]


def test_a_retraction_is_kept_by_silence_or_by_its_own_words() -> None:
    gone = [*READ, step(2, op("delete", entry=1, target=1), chunk=2), step(3)]
    kept = [*READ, step(2, chunk=2), step(3, shown=[[1, "ada home velt"]])]
    beside = [*READ, step(2, op("create", "ada no home .", 2), chunk=2), step(3, shown=[[1, "ada home velt"]])]
    both = [*beside[:3], step(3, shown=[[1, "ada home velt"], [2, "ada no home ."]])]
    for steps, cause, written in (
        (gone, Cause.NOT_USED, 2),
        (kept, Cause.NOT_WRITTEN, None),
        (beside, Cause.NOT_RETRIEVED, 2),
        (both, Cause.NOT_USED, 2),
    ):
        told = tell(HOME, steps)
        assert (told.cause, told.facts[0].written, told.facts[0].shown) == (cause, written, 2)
    assert tell(HOME, both).facts[0].contradicted
    assert not tell(HOME, gone).facts[0].contradicted


def test_what_only_the_reply_to_its_question_writes_was_not_written_in_time() -> None:
    question = replace(HOME.questions[0], answers=("velt",), supporting=(Support(0, "ada home velt ."),))
    task = Task("t", "stream", HOME.documents[:1], (question,))
    told = tell(task, [step(0, chunk=0), step(1, op("create", "ada home velt", 1))])
    assert (told.cause, told.facts[0].written, told.facts[0].lost) == (Cause.NOT_WRITTEN, 1, None)


def test_a_prompt_without_a_reply_showed_nothing() -> None:
    for finish, stop in (("overflow", "context_overflow"), ("filtered", "filtered"), ("error", "error")):
        told = tell(HOME, [*READ, step(2, chunk=2, finish=finish)], "", stop)
        assert (told.cause, told.facts[0].shown) == (Cause.NOT_SHOWN, None)
        deleted = [*READ, step(2, op("delete", entry=1, target=1), chunk=2), step(3, finish=finish)]
        assert tell(HOME, deleted, "", stop).cause is miss_causes.STOPPED[StopReason(stop)]
    assert tell(HOME, [], "", "error").cause is Cause.NOT_SHOWN


def test_every_end_of_an_episode_has_its_cause() -> None:
    wanted = {
        StopReason.ANSWERED: Cause.NOT_RETRIEVED,
        StopReason.STEP_LIMIT: Cause.BUDGET,
        StopReason.BUDGET: Cause.BUDGET,
        StopReason.CONTEXT_OVERFLOW: Cause.BUDGET,
        StopReason.FILTERED: Cause.WITHHELD,
        StopReason.ERROR: Cause.FAILED,
    }
    assert list(wanted) == list(StopReason)
    kept = [*READ, step(2, op("update", "ada no home .", 1), chunk=2)]
    for stop, cause in wanted.items():  # the question was never asked
        told = tell(HOME, kept, "", stop)
        assert (told.cause, told.facts[0].cause) == (cause, cause)
        shown = cause_counts.table({"all": cause_counts.tally([told])})
        assert dict(zip(shown.headers, shown.rows[0], strict=True))[cause] == "1 (100 %)"
        rare = {Cause.WITHHELD, Cause.FAILED}
        assert rare & set(shown.headers) == rare & {cause}


def test_refused_operations_write_nothing() -> None:
    asked = Task("t", "stream", HOME.documents[:1], (replace(HOME.questions[0], answers=("velt",),
                 supporting=(Support(0, "ada home velt ."),)),))  # fmt: skip
    for outcome in ("noop", "forbidden", "over_budget", "malformed", "unclosed", "invalid_target", "stale_target"):
        told = tell(asked, [step(0, op("create", "ada home velt", None, outcome), chunk=0), step(1)])
        assert told.cause is Cause.NOT_WRITTEN
    again = [
        step(0, op("scratchpad", "ada home velt"), op("scratchpad", "x"), op("scratchpad", "ada home velt"), chunk=0),
        step(1),
    ]
    fact = tell(asked, again).facts[0]
    assert (fact.cause, fact.written, fact.lost, fact.retrieved) == (Cause.NOT_USED, 0, None, 1)


@pytest.mark.parametrize(
    ("gold", "answer", "tagged", "finish", "cause"),
    [
        ("Free Range Films", "The Free Range Films, I think.", True, "stop", Cause.FORMAT),
        ("Free Range Films", "It was free range films", False, "stop", Cause.FORMAT),
        ("Free Range Films", "Free Range", True, "stop", Cause.NOT_USED),
        ("Free Range Films", "Free Ran", True, "length", Cause.FORMAT),
        ("Free Range Films", "Warner, so", False, "length", Cause.FORMAT),
        ("Free Range Films", "Warner", True, "length", Cause.NOT_USED),
        ("Free Range Films", " ", False, "stop", Cause.FORMAT),
        ("Free Range Films", "The...", True, "stop", Cause.FORMAT),
        ("no", "There is no way to know", True, "stop", Cause.NOT_USED),
        ("no", "No, they are not", True, "stop", Cause.FORMAT),
        ("Bo", "Bo is older than Ada", True, "stop", Cause.FORMAT),
        ("Bo", "Ada is older than Bo", True, "stop", Cause.NOT_USED),
        ("art", "the party", True, "stop", Cause.NOT_USED),
    ],
)
def test_what_counts_as_format(gold: str, answer: str, tagged: bool, finish: str, cause: Cause) -> None:
    task = Task("t", "x", (Document("", "x"),), (Question("q", "Who is older, Ada or Bo?", (gold,), path=("ada",)),))
    assert tell(task, [step(0, finish=finish)], answer, tagged=tagged).cause is cause


def test_each_question_is_judged_when_it_is_asked() -> None:
    """The second question deletes what the first one still had; and the first one stays right."""
    question = replace(HOME.questions[0], answers=("velt",), supporting=(Support(0, "ada home velt ."),))
    task = Task("t", "stream", HOME.documents[:1], (question, replace(question, id="q2")))
    chunks, _ = chunk_documents(task.documents, WordTokenizer(), size=1, overlap=0, by="documents")
    shown = [[1, "ada home velt"]]
    steps = [
        step(0, op("create", "ada home velt", 1), chunk=0),
        step(1, shown=shown),
        {**step(2, op("delete", entry=1, target=1), op("read", "x")), "question": 1},
        {**step(3), "question": 1},
    ]
    line = {
        "episode": "t#0", "stop": "answered", "scores": {"em": [1.0, 0.0]},
        "answers": [{"text": "velt", "tagged": True}, {"text": WRONG, "tagged": True}],
    }  # fmt: skip
    first, second = miss_causes.explain(task, chunks, line, steps, "em", shows=Shows.CHUNKS)
    assert (first.missed, first.cause, first.facts[0].cause, first.facts[0].retrieved) == (False, None, None, 1)
    assert first.facts[0].holders == (1,)
    assert (second.cause, second.facts[0].lost, second.facts[0].holders) == (Cause.LOST, 2, ())
    with pytest.raises(SourceError, match="no score 'f1'"):
        miss_causes.explain(task, chunks, line, steps, "f1")


# --- reading texts -----------------------------------------------------------------------------------------


def test_every_sentence_and_its_plain_form_is_read_as_its_event(closed: Path, rich: Path) -> None:
    read = 0
    for folder in (closed, rich):
        for line in (folder / "validation" / "tasks.jsonl").read_text().splitlines():
            task = adapter().validate_json(line)
            said = Statements(task.documents)
            for document in task.documents:
                if document.event is None:
                    assert said.of(document.text) == frozenset()
                    continue
                event = document.event
                statement = (event.subject.lower(), event.relation, event.value and event.value.lower())
                assert said.of(document.text) == {statement}
                assert said.of(f"Note. {document.text} Done") == {statement}
                if event.value is not None:
                    plain = f"{event.subject} {event.relation} {event.value}"
                    for text in (plain, f"- {plain}", f"{plain}.", f"{plain}; and so on", plain.upper()):
                        assert statement in said.of(text), text
                    read += 1
    assert read > 1000


def test_a_text_means_what_it_says() -> None:
    homes = {"ada": "velt", "bo": "dorn", "cy": "quill"}
    documents = [
        *(Document("", f"{name} home {value} .", Event(name, "home", value)) for name, value in homes.items()),
        Document("", "ada now home dorn .", Event("ada", "home", "dorn")),
        Document("", "ada boss bo .", Event("ada", "boss", "bo")),
        Document("", "ada friend cy .", Event("ada", "friend", "cy")),
    ]  # fmt: skip
    said = Statements(documents)
    for text, meaning in {
        "": set(),
        "ada": set(),
        "ada home": set(),
        "velt": set(),
        "ada velt": {("ada", "home", "velt")},
        "ada lives in dorn, not in velt": {("ada", "home", "dorn"), ("ada", "home", None)},
        "ada not velt but home dorn": {("ada", "home", "dorn")},
        "ada no longer lives in velt": {("ada", "home", None)},
        "it is not true that ada lives in dorn": {("ada", "home", None)},
        "ada no home": {("ada", "home", None)},
        "ada home unknown": {("ada", "home", None)},
        "ada home nowhereville": {("ada", "home", "nowhereville")},
        "bo home dorn\nada boss bo": {("bo", "home", "dorn"), ("ada", "boss", "bo")},
        "ada works for bo": {("ada", "boss", "bo")},
        "bo works for ada": set(),
        "ada and bo": set(),
        "ada is best friends with cy": {("ada", "friend", "cy")},
        "adam home velt": set(),
        "\x00\ud83d<script>ada</script>": set(),
    }.items():
        assert said.of(text) == meaning, text
    for long in (
        "ada home velt . " * 12_000,
        "ada velt " * 20_000,
        "ada " + "velt " * 40_000,
        "not ada " * 24_000,
    ):
        assert said.of(long) <= {("ada", "home", "velt"), ("ada", "home", None)}


GOLDEN = Path(__file__).parents[1] / "golden" / "hotpotqa_facts.jsonl"


def _agreement(held_out: bool) -> dict[str, float]:
    """Of the matcher with the labels."""
    counts = {(a, b): 0 for a in (True, False) for b in (True, False)}
    for case in map(json.loads, GOLDEN.read_text(encoding="utf-8").splitlines()):
        if case["held_out"] == held_out:
            question = Question(case["record"], case["question"], (case["answer"],))
            passage = Passage(Support(0, case["fact"]), case["title"], question, case["others"])
            counts[passage.carried(case["memory"]), case["holds"]] += 1
    n = sum(counts.values())
    right, found, held = counts[True, True], counts[True, True] + counts[True, False], 0
    held = counts[True, True] + counts[False, True]
    accuracy = (counts[True, True] + counts[False, False]) / n
    chance = (found * held + (n - found) * (n - held)) / n**2
    return {
        "n": n, "accuracy": accuracy, "precision": right / found, "recall": right / held,
        "kappa": (accuracy - chance) / (1 - chance),
    }  # fmt: skip


def test_the_matcher_agrees_with_a_reader() -> None:
    """Measured: 0.97 (kappa 0.93) on the 30 cases it was fitted to, 0.95 (kappa 0.90) on the 20 others; the same hand
    wrote all of them and the rule."""
    made, held_out = _agreement(False), _agreement(True)
    print({"made with": made, "held out": held_out})
    assert (made["n"], held_out["n"]) == (30, 20)
    assert min(made["accuracy"], held_out["accuracy"]) >= 0.95
    assert min(made["kappa"], held_out["kappa"]) >= 0.89
    assert min(made["precision"], held_out["precision"]) >= 0.95
    assert min(made["recall"], held_out["recall"]) >= 0.91


def test_a_question_said_again_carries_nothing() -> None:
    fact = "The 2012 Gujarat legislative assembly elections were held in the Indian state of Gujarat."
    question = Question("q", "What country is the member of Gujarat Legislative Assembly representing?", ("Jamnagar",))
    passage = Passage(Support(0, fact), "Gujarat legislative assembly election, 2012", question, [])
    assert not passage.carried(f"1. {question.text} India.")
    assert passage.carried(f"{question.text} {fact}")


def test_without_a_title_the_words_decide() -> None:
    question = Question("q", "Where was she born?", ("Velt",))
    passage = Passage(Support(0, "Ada was born in Velt in 1950."), "", question, [])
    assert passage.carried("born in Velt: Ada")
    assert not passage.carried("Velt is a town.")


def in_full(passage: Passage, text: str) -> bool:
    """The rule of `fact_matcher` without its short cuts."""
    sentences = [s for s in map(fact_matcher._Sentence, fact_matcher._SENTENCE.split(text)) if not passage._echo(s)]
    for last, sentence in enumerate(sentences):
        said = set().union(*(s.stems for s in sentences[max(0, last - 2) : last + 1]))
        if passage._told(said) and (passage._denied or not fact_matcher._DENIES.search(sentence.text)):
            return True
    return passage.quoted(text)


def test_short_cuts_change_nothing() -> None:
    dice, seen = Random(3), {True: 0, False: 0}
    odd = ["not", "never", "&amp;", "&#39;", "&am", "ΑΣ", "²", "1,950", "1950", "\u2003", "\x00", "İ", "\n"]
    for case in map(json.loads, GOLDEN.read_text(encoding="utf-8").splitlines()):
        answers = (case["answer"] if dice.random() < 0.7 else "yes",)
        question = Question("q", case["question"], answers)
        title = case["title"] if dice.random() < 0.8 else ""
        passage = Passage(Support(0, case["fact"]), title, question, case["others"])
        pool = [case["fact"], case["memory"], case["question"], f"{case['title']}: {case['answer']}", *case["others"]]
        for _ in range(50):
            parts = []
            for _ in range(dice.choice((1, 2, 3, 6, 12))):
                words = [word for word in dice.choice(pool).split() if dice.random() < 0.85]
                words.insert(dice.randint(0, len(words)), dice.choice((*odd, "", "", "")))
                parts.append(" ".join(words))
            text = dice.choice((" ", "\n", ". ", "! ")).join(parts)
            assert passage.carried(text) == in_full(passage, text), text
            seen[passage.carried(text)] += 1
    assert min(seen.values()) > 500


REAL = SHARED / "hotpotqa" / "validation.jsonl"


@pytest.mark.skipif(not REAL.exists(), reason="the real records are not here")
def test_other_sentences_of_real_records_seldom_carry_a_fact() -> None:
    """Measured on 300 records: 7.0 % of the other sentences of the same paragraph, 1.1 % of those of others;
    an upper bound of the false positives, because some of these do say the same."""
    hits = {True: [0, 0], False: [0, 0]}
    records = [json.loads(line) for line in REAL.read_text(encoding="utf-8").splitlines()[:60]]
    for record in records:
        context = dict(zip(record["context"]["title"], record["context"]["sentences"], strict=True))
        gold = list(zip(record["supporting_facts"]["title"], record["supporting_facts"]["sent_id"], strict=True))
        question = Question("q", record["question"], (record["answer"],))
        for title, number in gold:
            if number >= len(context.get(title, ())):
                continue
            others = [t for t in dict.fromkeys(t for t, _ in gold) if t != title]
            passage = Passage(Support(0, context[title][number]), title, question, others)
            assert passage.carried(f"As I read: {context[title][number].strip()}")
            for other, sentences in context.items():
                for index, sentence in enumerate(sentences):
                    if (other, index) not in gold:
                        count = hits[other == title]
                        count[0] += passage.carried(f"{other}: {sentence.strip()}")
                        count[1] += 1
    assert hits[True][0] < 0.12 * hits[True][1]
    assert hits[False][0] < 0.02 * hits[False][1]


TRIPLES = SHARED / "2wikimultihopqa" / "validation.jsonl"


@pytest.mark.skipif(not TRIPLES.exists(), reason="the real records are not here")
def test_the_matcher_reads_triples_that_others_wrote() -> None:
    """2Wiki's evidence triples, as they are and with another record's object.

    Measured: 805 of 898 count as carrying their sentence, 47 of 896 of those with the object exchanged.
    """
    records = [json.loads(line) for line in TRIPLES.read_text(encoding="utf-8").splitlines()]
    objects: dict[str, set[str]] = {}
    for record in records:
        for _, relation, value in record["evidences"]:
            objects.setdefault(relation, set()).add(value)
    dice, right, exchanged = Random(0), [], []
    for record in records:
        context = dict(zip(record["context"]["title"], record["context"]["sentences"], strict=True))
        gold = list(zip(record["supporting_facts"]["title"], record["supporting_facts"]["sent_id"], strict=True))
        question = Question("q", record["question"], (record["answer"],))
        for subject, relation, value in record["evidences"]:
            facts = [context[t][i] for t, i in gold if t == subject and i < len(context.get(t, ()))]
            if len(facts) != 1 or value.lower() not in facts[0].lower():
                continue
            others = [title for title in dict.fromkeys(t for t, _ in gold) if title != subject]
            passage = Passage(Support(0, facts[0].strip()), subject, question, others)
            right.append(passage.carried(f"{subject}: {relation} {value}"))
            if wrong := sorted(o for o in objects[relation] if o.lower() not in facts[0].lower()):
                exchanged.append(passage.carried(f"{subject}: {relation} {dice.choice(wrong)}"))
    assert min(len(right), len(exchanged)) > 800
    assert sum(right) >= 0.88 * len(right)
    assert sum(exchanged) <= 0.07 * len(exchanged)


@pytest.mark.parametrize("supporting", [(), (Support(0, "y"),), (Support(0, "x"), Support(0, "y")), (Support(0, ""),)])
def test_without_gold_facts_no_cause_is_made_up(supporting: tuple[Support, ...]) -> None:
    task = Task("t", "own", (Document("", "x"),), (Question("q", "x?", ("g",), supporting, kind="k"),))
    for answer, steps in ((WRONG, [step(0)]), ("the g", [step(0)]), ("", [])):
        told = tell(task, steps, answer, stop="answered" if steps else "budget")
        assert (told.missed, told.cause, told.facts) == (True, Cause.UNTOLD, ())
    counted = cause_counts.tally([told])
    assert (counted.missed, counted.causes[Cause.UNTOLD], counted.facts, sum(counted.broken.values())) == (1, 1, 0, 0)
    shown = cause_counts.table({"all": counted})
    assert dict(zip(shown.headers, shown.rows[0], strict=True))["no gold facts: cannot tell"] == "1 (100 %)"
    assert "no gold facts: cannot tell" not in cause_counts.table({"all": cause_counts.tally([])}).headers
    known = replace(task, questions=(replace(task.questions[0], supporting=(Support(0, "x"),)),))
    assert tell(known, [step(0)]).cause is Cause.NOT_SHOWN


# --- runs ----------------------------------------------------------------------------------------------------


def test_a_table_of_a_run_and_what_may_go_wrong(closed: Path, tmp_path: Path) -> None:
    run = play(tmp_path / "run", closed, failing, eval={"repeats": 8}, task={"limit": 10})
    kinds = cause_counts.summarize(run)
    everything = kinds.pop("all")
    hops = {kind for kind in kinds if kind.endswith(("hop", "hops"))}
    assert kinds.keys() - hops <= {"create", "update", "delete", "none"}
    for group in (hops, kinds.keys() - hops):  # each question under its hinge, and again under its hops
        assert everything.questions == everything.missed == 160 == sum(kinds[kind].questions for kind in group)
    assert sum(everything.causes.values()) == 160
    assert everything == cause_counts.tally(e for _, _, e in explained(run))
    table = cause_counts.table({"all": everything}).markdown()
    assert f"| all | 160 | 160 | 0 | {everything.causes[Cause.NOT_WRITTEN]} (" in table
    name = next(iter(run.episodes))
    assert miss_causes.explain_episode(run, name) == next(e for line, _, e in miss_causes.explain_run(run))
    with pytest.raises(UsageError, match="there is no episode nobody#0"):
        miss_causes.explain_episode(run, "nobody#0")


def test_a_run_that_is_torn_or_only_judged(closed: Path, tmp_path: Path) -> None:
    run = play(tmp_path / "run", closed, failing, task={"limit": 3})
    whole = [e for _, _, e in explained(run)]
    with (run.path / "steps.jsonl").open("ab") as file:
        file.write(b'{"episode":"stream-validation-00000#0","step":0,"re')
    assert [e for _, _, e in explained(Run(run.path))] == whole
    lines = (run.path / "episodes.jsonl").read_bytes().splitlines(keepends=True)
    (run.path / "episodes.jsonl").write_bytes(lines[0])
    assert [e for _, _, e in explained(Run(run.path))] == whole[:2]
    identity = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**identity, "scorers": ["judge"]}))
    with pytest.raises(UsageError, match="a scorer other than the judge"):
        miss_causes.leading(Run(run.path))
    (run.path / "run.json").write_text(json.dumps(identity))
    (run.path / "episodes.jsonl").write_bytes(lines[0].replace(b'"task":"stream-validation-00000"', b'"task":"x"'))
    with pytest.raises(RunMismatch, match="holds no task x"):
        list(miss_causes.explain_run(Run(run.path)))


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("episodes.jsonl", "[]"),
        ("episodes.jsonl", "{}"),
        ("episodes.jsonl", '{"episode":[]}'),
        ("episodes.jsonl", '{"episode":"x#0","task":"x"}'),
        ("steps.jsonl", "3"),
        ("steps.jsonl", "{}"),
        ("steps.jsonl", '{"episode":[],"step":0,"ops":[]}'),
        ("steps.jsonl", '{"episode":"x#0","step":"0","ops":[]}'),
        ("steps.jsonl", '{"episode":"x#0","step":0,"ops":[]}'),
    ],
)
def test_a_line_of_another_shape_is_named(file: str, line: str, closed: Path, tmp_path: Path) -> None:
    run = play(tmp_path / "run", closed, failing, task={"limit": 2})
    with (run.path / file).open("a") as end:
        end.write(f"{line}\n")
    number = len((run.path / file).read_bytes().splitlines())
    with pytest.raises(SourceError, match=rf"{file}: line {number} is damaged"):
        list(miss_causes.explain_run(Run(run.path)))


def test_what_an_agent_did_before_its_first_call_is_a_line_of_its_own_shape(closed: Path, tmp_path: Path) -> None:
    run = play(tmp_path / "run", closed, lambda _: WRONG, "rag", task={"limit": 2})
    assert run.steps(next(iter(run.episodes)))[0].keys() == {"episode", "step", "ops"}
