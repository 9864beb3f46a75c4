"""AgeMem between the oracle and silence, on every source: each script misses for its own cause, with an example."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import raw_records
from commands import atommem
from raw_records import Row

from atommem_cli.config import recipe as recipes
from atommem_cli.data import preparation
from atommem_cli.explain import cause_counts, memory_quality, miss_causes
from atommem_cli.explain.causes import Cause
from atommem_cli.replay import replay
from atommem_cli.running.evaluation import evaluate
from atommem_cli.runs.reader import Run

SCRIPTS = ("oracle", "append_only", "amnesiac", "wiper", "mute")
THINGS = ("mill", "tower", "bridge", "canal", "museum", "theatre", "harbour", "station", "library", "garden")
PLACES = ("Velt", "Dorn", "Corva", "Nesk", "Istra", "Holm", "Fenn", "Marn", "Quill", "Drell", "Luz", "Arno")


def sentences(number: int, at: int) -> list[str]:
    """Two sentences about a thing that no other record has."""
    thing, place = THINGS[at % len(THINGS)], PLACES[number % len(PLACES)]
    name = f"The {place} {thing}"
    return [f"{name} was opened in {1800 + 10 * number + at}.", f"{name} has {100 + 7 * number + at} windows."]


def asked(number: int) -> str:
    place = PLACES[number % len(PLACES)]
    return f"When was The {place} mill opened, and how many windows has The {place} tower?"


def hotpot(number: int) -> Row:
    titles = [f"The {PLACES[number % len(PLACES)]} {thing}" for thing in THINGS[:5]]
    first, second = sentences(number, 0), sentences(number, 1)
    answer = f"{first[0].split()[-1].rstrip('.')} and {second[1].split()[-2]}"
    context = {"title": titles, "sentences": [[f"{s} " for s in sentences(number, at)] for at in range(5)]}
    return raw_records.hotpot(number, question=asked(number), answer=answer, context=context,
                              supporting_facts={"title": titles[:2], "sent_id": [0, 1]})  # fmt: skip


def wiki(number: int) -> Row:
    row = raw_records.wiki(number) | {key: hotpot(number)[key] for key in ("question", "answer", "supporting_facts")}
    context = hotpot(number)["context"]
    return row | {"context": {**context, "sentences": [[s.strip() for s in one] for one in context["sentences"]]}}


def musique(number: int) -> Row:
    paragraphs = [
        {
            "idx": at,
            "title": title,
            "paragraph_text": " ".join(sentences(number, at)),
            "is_supporting": at < 2,
        }
        for at, title in enumerate(hotpot(number)["context"]["title"])
    ]
    changes = {key: hotpot(number)[key] for key in ("question", "answer")}
    return raw_records.musique(number) | changes | {"paragraphs": paragraphs}


RECORDS: dict[str, Callable[[int], Row]] = {"hotpotqa": hotpot, "2wikimultihopqa": wiki, "musique": musique}


@pytest.fixture(scope="module", params=["stream", *RECORDS])
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Runs by script on small tasks of the source, with distractors."""
    home, name = tmp_path_factory.mktemp("home"), request.param
    source, options = None, {}
    if name in RECORDS:
        raw_records.write(home / "raw" / "validation.jsonl", [RECORDS[name](number) for number in range(10)])
        source, options = str(home / "raw"), {"docs": 5, "questions": 1}
    preparation.prepare(
        name, source=source, out=home / "data", split="validation", options=options, distractors=2,
        limit=8 if source else 20,
    )  # fmt: skip
    found = {}
    for script in SCRIPTS:
        content: dict[str, Any] = {
            "name": script,
            "task": {"folder": str(home / "data")},
            "chunk": {"tokens": 1, "overlap": 0, "by": "documents", "most": None},
            "memory": {"retrieve_k": 1},
            "limits": {"reply": 400, "answer": 100, "reads": 4},
            "agent": {"name": "agemem"},
            "policy": {"name": "scripted", "script": script},
            "store": {"name": "exact"},
            "embedder": {"name": "hashing"},
        }
        evaluate(recipes.resolve(content, [], origin=script), home / script)
        found[script] = Run(home / script)
    return found


def test_the_oracle_has_all_silence_has_nothing_and_the_others_lie_between(runs: dict[str, Run]) -> None:
    summaries = {name: json.loads((run.path / "summary.json").read_text()) for name, run in runs.items()}
    scores = {name: summary["scores"]["em"]["mean"] for name, summary in summaries.items()}
    assert (scores["oracle"], scores["mute"]) == (1.0, 0.0)
    assert scores["mute"] <= scores["amnesiac"] == scores["wiper"] <= scores["append_only"] < 1.0
    assert {summary["stops"] == {"answered": summary["evaluated"]} for summary in summaries.values()} == {True}


def test_each_is_named_for_what_it_is(runs: dict[str, Run]) -> None:
    told = {name: memory_quality.why(run) for name, run in runs.items()}
    causes = {name: {cause for cause, n in one.causes["all"].causes.items() if n} for name, one in told.items()}
    assert causes["oracle"] == set()
    assert causes["amnesiac"] == {Cause.NOT_STORED}
    assert causes["wiper"]
    assert causes["wiper"] <= {Cause.FILTERED, Cause.SUMMARISED}
    assert causes["append_only"] <= {Cause.NOT_RETRIEVED, Cause.NOT_USED, Cause.FORMAT}
    assert causes["append_only"]
    assert causes["mute"] <= {Cause.NOT_STORED, Cause.FORMAT}
    signs = {name: one.hygiene.signatures for name, one in told.items()}
    oracle, hoarder, amnesiac, wiper = (signs[name] for name in SCRIPTS[:4])
    assert oracle is not None
    assert hoarder is not None
    assert amnesiac is not None
    assert wiper is not None
    assert hoarder.idle > hoarder.created / 2
    assert oracle.idle < hoarder.idle
    assert (oracle.distracted, hoarder.distracted > 0) == (0, True)
    assert (oracle.unwritten, hoarder.unwritten) == (0, 0)
    assert 0 < amnesiac.unwritten == wiper.unwritten == wiper.wiped
    assert (amnesiac.wiped, oracle.wiped, hoarder.wiped) == (0, 0, 0)


def test_an_example_of_each_cause_is_a_question_that_was_missed_for_it(runs: dict[str, Run], tmp_path: Path) -> None:
    for name, run in runs.items():
        found = memory_quality.why(run).examples
        assert set(found) == {cause for cause, n in cause_counts.summarize(run)["all"].causes.items() if n}, name
        for cause, one in found.items():
            task = run.task(run.episodes[one.episode]["task"])
            explained = miss_causes.explain_episode(run, one.episode)
            (question,) = (e for e in explained if task.questions[e.question].text == one.question)
            assert question.cause is cause
            assert one.fact in {fact.text for fact in question.facts if fact.cause is cause} | {""}
            assert one.gold == " | ".join(task.questions[question.question].answers)
    run = runs["wiper"]
    said = atommem("why", str(run.path), cwd=tmp_path).stdout
    for cause, one in memory_quality.why(run).examples.items():
        (row,) = (line for line in said.splitlines() if line.startswith(f"| {cause} |"))
        facts = (fact for e in miss_causes.explain_episode(run, one.episode) for fact in e.facts)
        (fact, *_) = (fact for fact in facts if fact.cause is cause)
        assert one.episode in row
        assert f"shown at step {fact.shown}, in the context at step {fact.heard}, taken out at step {fact.taken}" in row


def test_all_of_them_replay(runs: dict[str, Run]) -> None:
    for name, run in runs.items():
        assert replay.verify(run, retrieve=True).findings == (), name
