"""Why an agent that keeps a conversation missed questions: a policy that loses one fact on purpose, in each way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from builders import Says
from commands import atommem

from atommem_cli.config import recipe as recipes
from atommem_cli.core.calls import Expects, Generation
from atommem_cli.core.chunking import WordTokenizer, chunk_documents
from atommem_cli.core.episode import Call
from atommem_cli.core.types import Document, Event, MemoryOp, OpKind, Question, Support, Task
from atommem_cli.data import preparation
from atommem_cli.explain import cause_counts, memory_quality, miss_causes
from atommem_cli.explain.causes import Cause
from atommem_cli.explain.miss_causes import Explanation, Fact
from atommem_cli.replay import replay
from atommem_cli.reporting import run_statistics
from atommem_cli.running.build import assemble
from atommem_cli.running.evaluation import evaluate
from atommem_cli.runs.layout import Line
from atommem_cli.runs.reader import Run

GROWING = Path(__file__).parents[1] / "support" / "growing.py"
WRONG = "zzz"
FAULTS = {
    "misread": Cause.NOT_USED,
    "filtered": Cause.FILTERED,
    "summarised away": Cause.SUMMARISED,
    "summarised": Cause.NOT_USED,
    "summary filtered": Cause.FILTERED,
    "summary summarised away": Cause.SUMMARISED,
    "written": Cause.NOT_RETRIEVED,
    "written, then deleted": Cause.LOST,
    "deleted, then filtered": Cause.FILTERED,
    "filtered, then heard again": Cause.NOT_USED,
    "format": Cause.FORMAT,
}
MODES = tuple(FAULTS)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    preparation.prepare("stream", out=folder, split="validation", options={"questions": 2}, limit=60, seed=5)
    return folder


def play(out: Path, data: Path, say: Callable[[Call], str | Generation], **changes: Any) -> Run:
    """A run folder of the real evaluation; each document is a message, and one entry is retrieved for a question."""
    content: dict[str, Any] = {
        "name": "talk",
        "task": {"folder": str(data)},
        "chunk": {"tokens": 1, "overlap": 0, "by": "documents", "most": None},
        "memory": {"retrieve_k": 1},
        "limits": {"reply": 400, "answer": 50, "reads": 2},
        "agent": {"name": str(GROWING)},
        "policy": {"name": "scripted"},
        "store": {"name": "exact"},
        "embedder": {"name": "hashing"},
        **changes,
    }
    recipe = recipes.resolve(content, [], origin="talk")
    evaluate(recipe, out, parts=assemble(recipe, out, playing=Says(say)))
    return Run(out)


def explained(run: Run) -> Iterator[tuple[Line, Task, Explanation]]:
    for line, task, explanations in miss_causes.explain_run(run):
        for explanation in explanations:
            yield line, task, explanation


def same(task: Task, document: int) -> list[int]:
    """The document and later ones that say the same again."""
    event = task.documents[document].event
    return [i for i in range(document, len(task.documents)) if task.documents[i].event == event]


def aim(task: Task, episode: str) -> int:
    """The document of the fact that the fault is about; -1: no question needs one."""
    facts = [support.document for question in task.questions for support in question.supporting]
    return Random(episode).choice(facts) if facts else -1


def failing(call: Call) -> str:
    """The fault is the episode's sample; every question is answered wrongly."""
    episode, observation = call.episode, call.observation
    assert episode is not None
    mode, write = MODES[episode.sample], episode.agent.write
    if observation.question is not None:
        gold = episode.task.questions[observation.question].answers[0]
        return write(Expects.ANSWER, [], f"{gold} , or so" if mode == "format" else WRONG)
    assert observation.chunk is not None
    (document,) = episode.chunks[observation.chunk].documents
    ops = []
    if observation.chunk == 0:
        ops = [MemoryOp(OpKind.CREATE, question.text.removesuffix(" ?")) for question in episode.task.questions]
    target = aim(episode.task, episode.id)
    if target >= 0 and document in same(episode.task, target):
        earlier = same(episode.task, target).index(document)
        ops += fault(mode, episode.task.documents[document].text, episode.context.next_id, 3 + earlier)
    return write(Expects.OPERATIONS, ops)


def fault(mode: str, fact: str, coming: int, entry: int) -> list[MemoryOp]:
    """Operations on a fact that the last message shows; `coming` is the id of the reply itself."""

    def take_out(*messages: int) -> MemoryOp:
        return MemoryOp(OpKind.FILTER, targets=messages)

    def sum_up(text: str, *messages: int) -> MemoryOp:
        return MemoryOp(OpKind.SUMMARIZE, text, targets=messages)

    chunk, summary = coming - 1, coming + 1
    keep, drop = MemoryOp(OpKind.CREATE, fact), MemoryOp(OpKind.DELETE, target=entry)
    return {
        "filtered": [take_out(chunk)],
        "summarised away": [sum_up("nothing of note", chunk)],
        "summarised": [sum_up(f"so far : {fact}", chunk)],
        "summary filtered": [sum_up(fact, chunk, coming), take_out(summary)],
        "summary summarised away": [sum_up(fact, chunk, coming), sum_up("nothing of note", summary)],
        "written": [keep, take_out(chunk, coming)],
        "written, then deleted": [keep, take_out(chunk, coming), drop],
        "deleted, then filtered": [keep, drop, take_out(chunk, coming)],
        "filtered, then heard again": [take_out(chunk), keep],
    }.get(mode, [])


def test_every_fault_is_told_from_every_other(data: Path, tmp_path: Path) -> None:
    run = play(tmp_path / "run", data, failing, eval={"repeats": len(MODES)})
    prompts = {
        (played.episode, t.observation.question): [message.content for message in t.observation.messages]
        for _, played in replay.play(run)
        for t in played.transitions
    }
    hit = dict.fromkeys(MODES, 0)
    for line, task, explanation in explained(run):
        mode, target = MODES[line["sample"]], aim(task, line["episode"])
        where = f"{line['episode']} {mode}"
        final = Cause.FORMAT if mode == "format" else Cause.NOT_USED
        wanted = []
        for fact in explanation.facts:
            aimed = same(task, fact.document) == same(task, target)
            wanted.append(FAULTS[mode] if aimed else final)
            hit[mode] += aimed
            assert fact.shown is not None, where
            assert (fact.retrieved is not None) == stands_in(prompts[line["episode"], explanation.question], task, fact)
            if aimed:
                assert_steps(run, line["episode"], task, fact)
        assert [fact.cause for fact in explanation.facts] == wanted, where
        assert explanation.cause is min(wanted, key=list(Cause).index, default=final), where
    assert min(hit.values()) > 40
    assert {fact for _, _, e in explained(run) for fact in [e.cause]} == set(FAULTS.values())


def stands_in(prompt: list[str], task: Task, fact: Fact) -> bool:
    """Whether the prompt itself holds the fact: a document that says it; or if it is gone, none of another value."""
    event = task.documents[fact.document].event
    assert event is not None
    said = [d.event for d in task.documents if any(d.text in message for message in prompt)]
    later = [task.documents[i].text for i in same(task, fact.document)]
    if any(text in message for text in later for message in prompt):
        return True
    key = (event.subject, event.relation)
    return event.value is None and not any(e and (e.subject, e.relation) == key and e.value for e in said)


def assert_steps(run: Run, episode: str, task: Task, fact: Fact) -> None:
    """A fact is heard, and goes, at the step whose chunk is its document."""
    steps = {step["chunk"]: step["step"] for step in run.steps(episode) if step["chunk"] is not None}
    shown = [steps[document] for document in same(task, fact.document)]
    assert (fact.heard, fact.written) == (shown[0], fact.written)
    if fact.cause in (Cause.FILTERED, Cause.SUMMARISED, Cause.LOST, Cause.NOT_RETRIEVED):
        assert fact.taken == shown[-1]
    else:
        assert fact.taken is None


@pytest.mark.parametrize("drop", [None, 0, 2])
def test_a_fact_split_over_messages_is_in_the_conversation_as_long_as_all_of_them_are(
    drop: int | None, data: Path, tmp_path: Path
) -> None:
    """The first chunk is taken out at a step: before, or after, what it lacks of a document has come."""

    def say(call: Call) -> str:
        assert call.episode is not None
        if call.observation.question is not None:
            return call.episode.agent.write(Expects.ANSWER, [], WRONG)
        gone = [MemoryOp(OpKind.FILTER, targets=(2,))] if call.observation.chunk == drop else []
        return call.episode.agent.write(Expects.OPERATIONS, gone)

    pieces = {"tokens": 3, "overlap": 0, "by": "tokens", "most": None}
    run = play(tmp_path / "run", data, say, chunk=pieces, task={"folder": str(data), "limit": 40})
    found = set()
    for _, task, explanation in explained(run):
        chunks = run.chunks(task)
        left = {i for i in range(len(task.documents)) if drop is None or i not in chunks[0].documents}
        for fact in explanation.facts:
            event = task.documents[fact.document].event
            assert event is not None
            later = same(task, fact.document)
            others = [
                i for i, d in enumerate(task.documents) if d.event and d.event.subject == event.subject
                and d.event.relation == event.relation and d.event.value not in (None, event.value)
            ]  # fmt: skip
            whole = max(chunk.index for chunk in chunks if fact.document in chunk.documents)
            wanted = Cause.FILTERED if drop is not None and whole <= drop else Cause.NOT_WRITTEN
            if left & set(later) or (event.value is None and not left & set(others)):
                wanted = Cause.NOT_USED
            assert fact.cause is wanted
            assert fact.contradicted == bool(left & set(others))
            found.add(wanted)
    split = {None: set(), 0: {Cause.NOT_WRITTEN}, 2: {Cause.FILTERED}}
    assert found == {Cause.NOT_USED, *split[drop]}


def test_what_an_episode_that_stopped_still_had_counts_under_what_stopped_it(data: Path, tmp_path: Path) -> None:
    repeats, limit = {"repeats": len(MODES)}, {"folder": str(data), "limit": 20}
    run = play(tmp_path / "run", data, failing, eval=repeats, task=limit, budget={"calls": 6})
    found = []
    for line, task, explanation in explained(run):
        cause = FAULTS[MODES[line["sample"]]]
        gone = cause in (Cause.FILTERED, Cause.SUMMARISED, Cause.LOST)
        read = {step["chunk"] for step in run.steps(line["episode"])} - {None}
        if line["stop"] != "step_limit" or len(read) < 6:
            continue
        for fact in explanation.facts:
            met = read & set(same(task, fact.document))
            aimed = met and same(task, fact.document) == same(task, aim(task, line["episode"]))
            wanted = (cause if aimed and gone else Cause.BUDGET) if met else Cause.NOT_SHOWN
            event = task.documents[fact.document].event
            if event is not None and (event.value is not None or not met):
                assert fact.cause is wanted, f"{line['episode']} {MODES[line['sample']]}"
                found.append(wanted)
    assert set(found) == {Cause.BUDGET, Cause.NOT_SHOWN, Cause.FILTERED, Cause.SUMMARISED, Cause.LOST}


def test_tables_and_the_command_line_name_them_where_there_are_any(data: Path, tmp_path: Path) -> None:
    limit, ours = {"folder": str(data), "limit": 10}, {Cause.FILTERED, Cause.SUMMARISED}
    run = play(tmp_path / "run", data, failing, eval={"repeats": len(MODES)}, task=limit)
    told = json.loads(atommem("why", str(run.path), "--json", cwd=tmp_path).stdout)["run"]
    tally = cause_counts.summarize(run)["all"]
    assert told["causes"]["all"]["causes"] == tally.causes
    absent = (Cause.OUTDATED, Cause.BELIEVED, Cause.NOT_STORED, Cause.MADE_UP, Cause.CROWDED, Cause.MISLED)
    assert list(tally.causes) == [cause for cause in Cause if cause not in absent]
    assert min(tally.causes[cause] for cause in ours) > 0
    assert sum(tally.causes.values()) == tally.missed == 20 * len(MODES)
    headers = cause_counts.table({"all": tally}).headers
    rare = (Cause.WITHHELD, Cause.FAILED, Cause.UNTOLD, *absent)
    assert [name for name in headers if name in list(Cause)] == [cause for cause in Cause if cause not in rare]
    without = cause_counts.tally(e for line, _, e in explained(run) if line["sample"] == 0)
    assert ours.isdisjoint(without.causes)
    assert ours.isdisjoint(without.broken)
    assert ours.isdisjoint(cause_counts.table({"all": without}).headers)


def test_operations_on_the_conversation_are_none_on_the_memory(data: Path, tmp_path: Path) -> None:
    run = play(tmp_path / "run", data, failing, eval={"repeats": len(MODES)}, task={"folder": str(data), "limit": 10})
    clean = memory_quality.inspect(run)
    done = json.loads((run.path / "summary.json").read_text())["operations"]
    assert min(done["filter"]["ok"], done["summarize"]["ok"]) > 10
    assert (clean.created, clean.updates) == (done["create"]["ok"], 0)
    assert clean.live == clean.created - done["delete"]["ok"]
    counted = run_statistics.take(run, "talk", 1).operations
    for kind in (OpKind.FILTER, OpKind.SUMMARIZE):
        tried = {good: sum(n for (_, k, g), n in counted.items() if (k, g) == (kind, good)) for good in (True, False)}
        assert tried[True] == done[kind]["ok"]
        assert tried[False] == sum(n for outcome, n in done[kind].items() if outcome != "ok")


# --- single journals ---------------------------------------------------------------------------------------


def step(number: int, *heard: str, chunk: int | None = None, ops: tuple[Line, ...] = (), **more: Any) -> Line:
    """Its new messages get the ids that follow, three a step."""
    context = [[3 * number + i, "user", text] for i, text in enumerate(heard, start=1)]
    line = {"step": number, "chunk": chunk, "question": None if chunk is not None else 0, "shown": [], "finish": "stop"}
    return {**line, "ops": list(ops), "context": context, **more}


def edit(kind: str, *targets: int, text: str = "", entry: int | None = None) -> Line:
    return {"kind": kind, "text": text, "entry": entry, "outcome": "ok", "targets": list(targets)}


def tell(task: Task, *steps: Line) -> Fact:
    chunks, _ = chunk_documents(task.documents, WordTokenizer(), size=1, overlap=0, by="documents")
    line = {
        "episode": "t#0", "stop": "answered", "answers": [{"text": WRONG, "tagged": True}], "scores": {"em": [0.0]},
    }  # fmt: skip
    (explanation,) = miss_causes.explain(task, chunks, line, steps, "em")
    (fact,) = explanation.facts
    return fact


def test_a_question_that_is_said_again_states_nothing_and_silence_is_broken_by_any_other_value() -> None:
    said = [("velt", "ada home velt ."), (None, "ada no home .")]
    documents = tuple(Document("", text, Event("ada", "home", value)) for value, text in said)
    question = Question("q", "ada home ?", ("unknown",), (Support(1, said[1][1]),), path=("ada", "home"))
    task = Task("t", "stream", documents, (question,))
    old, new = step(0, said[0][1], chunk=0), step(1, said[1][1], chunk=1)
    both, late = {**new, "ops": [edit("filter", 1, 4)]}, {**new, "ops": [edit("filter", 4)]}
    ask = step(2, "You will be asked: ada home ?")
    assert (tell(task, old, both, ask).cause, tell(task, old, late, ask).cause) == (Cause.NOT_USED, Cause.FILTERED)
    assert tell(task, old, new, ask).contradicted
    again = step(2, '[{"tool": "create", "text": "ada home velt"}]', "ada home ?")
    assert (tell(task, old, both, again).cause, tell(task, old, both, again).contradicted) == (Cause.LOST, True)
    kept = step(2, '[{"tool": "create", "text": "ada no home"}]', "ada home ?")
    assert (tell(task, old, late, kept).cause, tell(task, old, late, kept).taken) == (Cause.NOT_USED, None)


def test_replies_in_json_are_read_as_what_they_say_and_documents_by_nothing_but_their_words() -> None:
    fact = 'Zoë wrote "The Mill" in 1950.'
    other = "Zoë wrote her memoirs in Velt; The Mill was never reprinted in 1950."
    documents = (Document("The Mill", fact), Document("Velt", other))
    question = Question("q", "Who wrote The Mill?", ("Zoë",), (Support(0, fact),))
    task = Task("t", "own", documents, (question,))
    gone = {**step(0, f"chunk 0:\nThe Mill\n{fact}", chunk=0), "ops": [edit("filter", 1)]}
    beside = step(1, f"chunk 1:\nVelt\n{other}", chunk=1)
    assert tell(task, gone, beside, step(2, question.text)).cause is Cause.FILTERED
    for text in (fact, "The Mill\nby Zoë", "Zoë wrote The Mill"):
        reply = json.dumps([{"tool": "create", "text": text}])
        assert tell(task, gone, beside, step(2, reply, question.text)).cause is Cause.NOT_USED, text
    escaped = json.dumps({"result": f"The Mill\n{fact}"})
    assert tell(task, step(0, escaped, chunk=0), beside, step(2, question.text)).cause is Cause.NOT_USED
    quoted = 'Her first book was the "last" there.'  # known by its words alone: it names neither title nor answer
    source = Document("The Mill", quoted)
    asked = Question("q", "Who wrote The Mill?", ("Zoë",), (Support(0, quoted),))
    summed = {**step(0, f"The Mill\n{quoted}", chunk=0), "ops": [edit("summarize", 1, text=f"So: {quoted}", entry=3)]}
    assert tell(Task("t", "own", (source,), (asked,)), summed, step(1, asked.text)).cause is Cause.NOT_USED
    unseen = tell(task, step(0, escaped, chunk=0, finish="error"))
    assert (unseen.cause, unseen.heard) == (Cause.NOT_SHOWN, None)


def test_a_chunk_that_two_messages_show_goes_with_the_second_of_them() -> None:
    document = Document("", "ada home velt .", Event("ada", "home", "velt"))
    question = Question("q", "ada home ?", ("velt",), (Support(0, document.text),), path=("ada", "home"))
    task = Task("t", "stream", (document,), (question,))
    first, second = step(0, document.text, chunk=0), step(1, document.text, chunk=0)
    once = {**second, "ops": [edit("filter", 1)]}
    twice = {**second, "ops": [edit("filter", 1), edit("summarize", 4, text="-", entry=6)]}
    assert tell(task, first, once, step(2, "ada home ?")).cause is Cause.NOT_USED
    fact = tell(task, first, twice, step(2, "ada home ?"))
    assert (fact.cause, fact.heard, fact.taken) == (Cause.SUMMARISED, 0, 1)
    assert tell(task, {**first, "context": []}, step(1, "ada home ?")).cause is Cause.NOT_WRITTEN
    unheard = {**first, "ops": [edit("filter", 2)]}  # its own reply, which no prompt ever showed
    assert tell(task, unheard, step(1, "ada home ?")).cause is Cause.NOT_USED


def test_a_number_of_the_conversation_supports_an_update() -> None:
    documents = (Document("", "The mill has 12 wheels."), Document("", "It rained."))
    task = Task("t", "own", documents, (Question("q", "How many wheels?", ("12",)),))
    chunks, _ = chunk_documents(task.documents, WordTokenizer(), size=1, overlap=0, by="documents")
    made = {"kind": "create", "text": "The mill has 11 wheels.", "entry": 1, "outcome": "ok"}
    mended = {"kind": "update", "text": "The mill has 12 wheels.", "entry": 1, "outcome": "ok", "target": 1}
    for taken, unsupported in (((), 0), ((edit("filter", 1),), 1)):
        first = step(0, documents[0].text, chunk=0, ops=(made, *taken))
        found = memory_quality.inspect_episode(task, chunks, [first, step(1, "It rained.", chunk=1, ops=(mended,))])
        assert (found.updates, found.unsupported, found.created) == (1, unsupported, 1)
