"""How clean a memory was kept: known policies, and a journal with every fault once."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import pytest

from atommem_cli.config import recipe as recipes
from atommem_cli.core.chunking import WordTokenizer, chunk_documents
from atommem_cli.core.types import Document, Event, Question, Support, Task
from atommem_cli.data import preparation
from atommem_cli.explain import cause_counts, memory_quality
from atommem_cli.explain.memory_quality import inspect, inspect_episode
from atommem_cli.running.evaluation import evaluate
from atommem_cli.runs.layout import Line
from atommem_cli.runs.reader import Run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    preparation.prepare("stream", out=folder, split="validation", options={"questions": 2}, limit=80, seed=3)
    return folder


def play(out: Path, data: Path, script: str, agent: str = "atommem", k: int = 4, **changes: Any) -> Run:
    content: dict[str, Any] = {
        "name": "hygiene",
        "task": {"folder": str(data)},
        "chunk": {"tokens": 8, "overlap": 0, "by": "documents", "most": None},
        "memory": {"retrieve_k": k},
        "limits": {"reply": 60, "answer": 20, "reads": 2},
        "agent": {"name": agent, "dialect": "tiny"},
        "policy": {"name": "scripted", "script": script},
        "store": {"name": "exact"},
        "embedder": {"name": "hashing"},
        **changes,
    }
    evaluate(recipes.resolve(content, [], origin="hygiene"), out)
    return Run(out)


def test_the_oracle_keeps_everything_and_answers_from_nothing_old(data: Path, tmp_path: Path) -> None:
    run = play(tmp_path / "run", data, "oracle", k=20)
    found = inspect(run)
    assert (found.episodes, found.kept_facts, found.answered_stale) == (80, found.written_facts, 0)
    assert found.written_facts > 80
    assert (found.duplicates, found.near_duplicates, found.never_read) == (0, 0, 0)
    operations = json.loads((run.path / "summary.json").read_text())["operations"]
    assert found.created == operations["create"]["ok"]
    assert found.updates == operations["update"]["ok"] == sum(n * count for n, count in enumerate(found.chains))
    assert found.live == found.created - operations["delete"]["ok"]
    assert sum(found.chains) == found.created
    assert all(looked == held for looked, held in found.survival)
    assert found.survival[0][0] == found.written_facts
    json.dumps(asdict(found))


def test_what_is_never_corrected_is_outdated(data: Path, tmp_path: Path) -> None:
    """Without Update and Delete an entry is outdated exactly if a later document has its key and another value."""
    run = play(tmp_path / "run", data, "append_only", k=20)
    found = inspect(run)
    shown = stale = 0
    for name, line in run.episodes.items():
        task = run.task(line["task"])
        last = {step["question"]: step for step in run.steps(name) if step["question"] is not None}
        final = {(d.event.subject, d.event.relation): d.event.value for d in task.documents if d.event}
        by_text = {d.text: d.event for d in task.documents}
        for step in last.values():
            events = [by_text[text] for _, text in step["shown"]]
            shown += len(events)
            stale += sum(bool(e and e.value and final[e.subject, e.relation] != e.value) for e in events)
    assert (found.answered_from, found.answered_stale) == (shown, stale)
    assert stale > 100
    assert (found.updates, found.live, found.chains) == (0, found.created, (found.created,))
    assert found.kept_facts == found.written_facts > 0


def test_the_careful_reader_is_cleaner_than_the_sloppy_one(data: Path, tmp_path: Path) -> None:
    careful = inspect(play(tmp_path / "careful", data, "careful", k=20))
    sloppy = inspect(play(tmp_path / "sloppy", data, "sloppy", k=20))
    assert careful.answered_stale is not None
    assert sloppy.answered_stale is not None
    assert careful.answered_stale / careful.answered_from < 0.1 < sloppy.answered_stale / sloppy.answered_from
    assert careful.written_facts > sloppy.written_facts
    assert careful.updates > sloppy.updates


@pytest.mark.parametrize("agent", ["memagent", "rag", "full_context", "closed_book"])
def test_other_agents(agent: str, data: Path, tmp_path: Path) -> None:
    found = inspect(play(tmp_path / "run", data, "oracle", agent, task={"folder": str(data), "limit": 20}))
    if agent == "memagent":
        assert found.kept_facts == found.written_facts > 0
    if agent == "rag":
        assert found.created == found.live > 0
        assert found.retrieved == found.answered_from == 4 * 2 * 20
        assert found.never_read > 0
        assert found.stale is not None
        assert found.stale > 0
    else:
        assert (found.created, found.retrieved) == (0, 0)
    if agent in ("full_context", "closed_book"):
        assert (found.written_facts, found.survival) == (0, ())


def test_hostile_replies_and_repeats(data: Path, tmp_path: Path) -> None:
    run = play(tmp_path / "run", data, "chaotic", eval={"repeats": 3}, task={"folder": str(data), "limit": 20})
    found = inspect(run)
    assert found.episodes == 60
    assert found.created > 0
    assert 0 <= found.never_read <= found.created
    assert len(memory_quality.table({"a|b\n": found}).markdown().splitlines()) > 10


# --- a journal with every fault once ------------------------------------------------------------------------

SENTENCES = (
    "Ada was born in Velt in 1950.",
    "Bo moved to Dorn on 3 May 1999.",
    "The mill at Corva has 12 wheels.",
    "It rained.",
)
TASK = Task(
    "t",
    "hotpotqa",
    tuple(Document("", sentence) for sentence in SENTENCES),
    tuple(
        Question(f"q{i}", f"Tell me: {word}?", (word,), (Support(i, SENTENCES[i]),))
        for i, word in enumerate(("Velt", "Dorn"))
    ),
)


def op(kind: str, text: str = "", entry: int | None = None, outcome: str = "ok") -> Line:
    return {"kind": kind, "text": text, "entry": entry, "outcome": outcome}


def step(number: int, *ops: Line, shown: tuple[int, ...] = (), finish: str = "stop", question: int = 0) -> Line:
    chunk = number if number < len(SENTENCES) else None
    return {
        "step": number, "chunk": chunk, "question": None if chunk is not None else question,
        "shown": [[i, ENTRIES[i]] for i in shown], "finish": finish, "ops": list(ops),
    }  # fmt: skip


ENTRIES = {
    1: SENTENCES[0],
    2: SENTENCES[1],
    3: "the mill at corva has 12 wheels",
    4: "The mill at Corva has 12 wheels.",
}


def journal() -> list[Line]:
    return [
        step(0, op("create", SENTENCES[0], 1)),
        step(1, op("create", SENTENCES[1], 2), op("create", "x", None, "over_budget")),
        step(2, op("create", ENTRIES[3], 3), op("create", ENTRIES[4], 4)),  # a duplicate
        step(
            3,
            op("update", "Ada was born in Velt in 1951.", 1),  # unsupported: nobody said 1951
            op("update", "Bo moved to Dorn.", 2),  # unsupported: the date is dropped
            op("create", "Ada was born in Velt in 1950, people say who knew her well", 5),  # never read
            op("create", "Ada was born in Velt in 1950, they say who knew her well", 6),  # never read, nearly the same
            op("create", "as people who knew her well say, Ada was born in Velt in 1950", 7),  # likewise
            shown=(1, 2),
        ),
        step(4, op("delete", entry=2), op("read", "x"), shown=(2, 3)),
        step(5, shown=(4,), question=1),
    ]


def of(steps: list[Line]) -> memory_quality.Hygiene:
    chunks, _ = chunk_documents(TASK.documents, WordTokenizer(), size=1, overlap=0, by="documents")
    return inspect_episode(TASK, chunks, steps)


def test_every_fault_once() -> None:
    found = of(journal())
    assert found == memory_quality.Hygiene(
        episodes=1,
        created=7,
        live=6,
        never_read=3,
        duplicates=1,
        near_duplicates=1,  # entry 7 has the words of 5 and one more; 6 has one word of 14 exchanged
        updates=2,
        chains=(5, 2),
        unsupported=2,
        written_facts=2,
        kept_facts=1,  # Velt is still told; Dorn is deleted
        survival=((2, 2), (2, 2), (2, 2), (2, 1), (2, 1), (1, 1)),
        retrieved=5,
        stale=None,
        answered_from=3,
        answered_stale=None,
    )
    assert of([]) == memory_quality.Hygiene(1, 0, 0, 0, 0, 0, 0, (), 0, 0, 0, (), 0, None, 0, None)


def test_near_duplicates_are_those_of_a_comparison_of_all_with_all() -> None:
    dice, alike = Random(1), 0
    for _ in range(300):
        words = [f"w{i}" for i in range(dice.choice((12, 30)))]
        bases = [dice.choices(words, k=dice.randint(3, 25)) for _ in range(3)]
        steps, live = [], []
        for number in range(1, 9):
            text = list(dice.choice(bases))
            text[dice.randrange(len(text))] = dice.choice(words)
            live.append(" ".join(text))
            steps.append(op("create", live[-1], number))
        unlike = list(dict.fromkeys(live))
        sets = [frozenset(text.split()) for text in unlike]
        near = sum(
            len(text.split()) >= 5 and any(len(sets[i] & other) / len(sets[i] | other) >= 0.9 for other in sets[:i])
            for i, text in enumerate(unlike)
        )
        found = of([step(0, *steps)])
        assert (found.duplicates, found.near_duplicates) == (len(live) - len(unlike), near)
        alike += near
    assert alike > 100
    order = [step(0, op("create", "mara boss selin", 1), op("create", "selin boss mara", 2))]
    assert (of(order).duplicates, of(order).near_duplicates) == (0, 0)


@pytest.mark.parametrize(
    ("old", "new", "unsupported"),
    [
        ("Ada is 40.", "Ada is 41.", True),
        ("Ada is 40.", "Ada is 12.", False),  # the chunk says 12
        ("Ada is 40.", "Ada is 1999.", False),  # another entry of the prompt says 1999
        ("Ada is 40.", "Ada has 12 of 41.", True),
        ("Ada is 40.", "Ada is old.", True),
        ("Ada is 40.", "Ada is 40 and rich.", False),
        ("Ada came.", "Ada came in 1800.", False),  # added, not changed
        ("Ada came in May.", "Ada came in June.", True),
        ("12,000 wheels", "12.000 wheels", True),
    ],
)
def test_a_number_must_come_from_somewhere(old: str, new: str, unsupported: bool) -> None:
    steps = [
        step(0, op("create", SENTENCES[1], 2)),
        step(1, op("create", old, 3)),
        step(2, op("update", new, 3), shown=(2, 3)),
    ]
    assert of(steps).unsupported == unsupported


def test_a_prompt_without_a_reply_showed_no_entry() -> None:
    steps = [step(0, op("create", SENTENCES[0], 1)), step(1, shown=(1,), finish="error")]
    assert (of(steps).never_read, of(steps).retrieved) == (1, 0)
    steps[1]["finish"] = "stop"
    assert (of(steps).never_read, of(steps).retrieved) == (0, 1)


def test_outdated_is_what_an_earlier_prompt_has_overturned() -> None:
    said = [("velt", "ada home velt ."), ("dorn", "ada now home dorn ."), (None, "ada no home .")]
    task = Task("t", "stream", tuple(Document("", text, Event("ada", "home", value)) for value, text in said),
                (Question("q", "ada home ?", ("unknown",), (Support(2, "ada no home ."),)),))  # fmt: skip
    chunks, _ = chunk_documents(task.documents, WordTokenizer(), size=1, overlap=0, by="documents")

    def stale(shown: str, at: int) -> int | None:
        steps = [{**step(n, shown=()), "chunk": n if n < 3 else None} for n in range(4)]
        steps[at]["shown"] = [[1, shown]]
        return inspect_episode(task, chunks, steps).stale

    assert [stale("ada home velt", at) for at in range(4)] == [0, 0, 1, 1]
    assert [stale("ada home dorn", at) for at in range(4)] == [0, 0, 0, 1]
    assert [stale("ada home nowhere", at) for at in range(4)] == [0, 0, 0, 0]
    assert [stale("ada no home .", at) for at in range(4)] == [0, 0, 0, 0]


def test_a_run_that_still_goes_on(data: Path, tmp_path: Path) -> None:
    run = play(tmp_path / "run", data, "oracle", task={"folder": str(data), "limit": 4})
    with (run.path / "steps.jsonl").open("ab") as file:
        file.write(b'{"episode":"x#0","step":0')
    before = inspect(run)
    assert inspect(Run(run.path)) == before
    lines = (run.path / "episodes.jsonl").read_bytes().splitlines(keepends=True)
    (run.path / "episodes.jsonl").write_bytes(b"".join(lines[:2]) + b'{"episode"')
    assert inspect(Run(run.path)).episodes == 2


@pytest.mark.parametrize("agent", ["atommem", "memagent", "rag", "full_context", "closed_book"])
def test_one_pass_tells_causes_and_hygiene(agent: str, data: Path, tmp_path: Path) -> None:
    run = play(tmp_path / "run", data, "sloppy", agent, eval={"repeats": 2}, task={"folder": str(data), "limit": 20})
    missed, found, _ = memory_quality.why(run)
    assert missed == cause_counts.summarize(run)
    assert next(iter(missed)) == "all"
    assert missed["all"].missed > 0
    assert found == inspect(run)
    assert found.episodes == 40
