"""Hoarder, amnesiac and wiper are each told for what they are, by their causes and by the hygiene of their runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from builders import Says
from commands import atommem
from raw_records import SHARED, real_data

from atommem_cli.config import recipe as recipes
from atommem_cli.core.calls import Expects
from atommem_cli.core.episode import Call
from atommem_cli.core.types import MemoryOp, OpKind, Task
from atommem_cli.data import preparation
from atommem_cli.explain import cause_counts, memory_quality, miss_causes
from atommem_cli.explain.causes import Cause
from atommem_cli.explain.signatures import Signatures
from atommem_cli.reporting import publish
from atommem_cli.running.build import assemble
from atommem_cli.running.evaluation import evaluate
from atommem_cli.runs.reader import Run

SCRIPTS = ("oracle", "append_only", "amnesiac", "wiper", "mute")


def content(script: str, data: Path, **changes: Any) -> dict[str, Any]:
    return {
        "name": script,
        "task": {"folder": str(data)},
        "chunk": {"tokens": 8, "overlap": 0, "by": "documents", "most": None},
        "memory": {"retrieve_k": 4},
        "limits": {"reply": 400, "answer": 100, "reads": 4},
        "agent": {"name": "agemem"},
        "policy": {"name": "scripted", **({"script": script} if script in SCRIPTS else {})},
        "store": {"name": "exact"},
        "embedder": {"name": "hashing"},
        **changes,
    }


def play(out: Path, data: Path, script: str, **changes: Any) -> Run:
    evaluate(recipes.resolve(content(script, data, **changes), [], origin=script), out)
    return Run(out)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("signatures")
    preparation.prepare("stream", out=folder / "data", split="validation", distractors=3, limit=40)
    return {name: play(folder / name, folder / "data", name) for name in SCRIPTS}


def score(run: Run) -> float:
    mean: float = json.loads((run.path / "summary.json").read_text())["scores"]["em"]["mean"]
    return mean


def signed(run: Run) -> Signatures:
    found = memory_quality.inspect(run).signatures
    assert found is not None
    return found


def test_between_the_oracle_and_silence_each_script_misses_for_its_own_cause(runs: dict[str, Run]) -> None:
    scores = {name: score(run) for name, run in runs.items()}
    assert scores["oracle"] == 1.0
    assert scores["mute"] == 0.0
    assert 0.0 < scores["amnesiac"] == scores["wiper"] < scores["append_only"] < 1.0
    counted = {name: cause_counts.summarize(run)["all"].causes for name, run in runs.items()}
    causes = {name: {cause for cause, count in found.items() if count} for name, found in counted.items()}
    assert causes["oracle"] == set()
    assert causes["amnesiac"] == {Cause.NOT_STORED}
    assert causes["wiper"] == {Cause.FILTERED, Cause.SUMMARISED}
    assert causes["append_only"] <= {Cause.NOT_RETRIEVED, Cause.NOT_USED}


def test_signatures_are_counts_of_the_journal(runs: dict[str, Run]) -> None:
    told = {name: signed(run) for name, run in runs.items()}
    facts = sum(len(e.facts) for _, _, found in miss_causes.explain_run(runs["oracle"]) for e in found)
    for name, one in told.items():
        assert one.shown == facts, name
    oracle, hoarder, amnesiac, wiper = (told[name] for name in ("oracle", "append_only", "amnesiac", "wiper"))
    tasks = list(preparation.read_tasks(Path(runs["oracle"].recipe.task.folder) / "validation"))
    assert hoarder.created == sum(len({document.text for document in task.documents}) for task in tasks)
    assert (oracle.unwritten, oracle.wiped, hoarder.unwritten, hoarder.wiped) == (0, 0, 0, 0)
    assert hoarder.idle / hoarder.created > 0.7 > oracle.idle / oracle.created
    assert (amnesiac.created, amnesiac.wiped, wiper.created) == (0, 0, 0)
    # What nobody knows any more is held by silence; all else is lost.
    ended = sum(
        run_fact.written is not None
        for _, _, found in miss_causes.explain_run(runs["amnesiac"])
        for explanation in found
        for run_fact in explanation.facts
    )
    assert amnesiac.unwritten == wiper.unwritten == wiper.wiped == facts - ended
    late = sum(document.distractor for task in tasks for document in task.documents)
    assert (hoarder.tempted, hoarder.distracted) == (hoarder.created, late)
    assert (oracle.tempted, oracle.distracted) == (oracle.created, 0)
    assert Signatures(1, 1, 2, 2, 3, 3, 4, 4) + Signatures(1) == Signatures(2, 1, 2, 2, 3, 3, 4, 4)


def test_tables_have_them_where_there_is_a_context(runs: dict[str, Run], tmp_path: Path) -> None:
    table = memory_quality.table({name: memory_quality.inspect(runs[name]) for name in ("append_only", "wiper")})
    rows = {row[0].partition(":")[0]: row[1:] for row in table.rows}
    assert rows["hoarded"][1] == "-"
    assert rows["wiped out"][0].startswith("0.0 %")
    told = json.loads(atommem("why", str(runs["wiper"].path), "--json", cwd=tmp_path).stdout)["wiper"]["hygiene"]
    assert told["signatures"]["wiped"] == signed(runs["wiper"]).wiped
    beside = publish.findings([runs[name] for name in ("append_only", "wiper")], ["append_only", "wiper"])
    (compared,) = (table for table in beside.tables if "memory and context" in table.title)
    names = [header.partition(":")[0] for header in compared.headers]
    assert names == ["run", "hoarded", "forgotten", "wiped out", "distracted"]
    for number, (label, *cells) in enumerate(compared.rows):
        assert cells == [rows[name][number] for name in names[1:]], label
    assert beside.values["hygiene"]["wiper"]["wiped"] == signed(runs["wiper"]).wiped
    data = runs["wiper"].recipe.task.folder
    few = {"agent": {"name": "atommem"}, "task": {"folder": data, "limit": 3}}
    plain, mute = (play(tmp_path / name, Path(data), name, **few) for name in ("oracle", "mute"))
    clean = memory_quality.inspect(plain)
    assert clean.signatures is None
    assert "hoarded" not in {row[0].partition(":")[0] for row in memory_quality.table({"plain": clean}).rows}
    assert "hygiene" not in publish.findings([plain, mute], ["plain", "mute"]).values


@real_data
@pytest.mark.parametrize("name", ["hotpotqa", "2wikimultihopqa", "musique"])
def test_on_real_records_the_oracle_uses_all_tools_of_the_context_and_is_always_right(
    name: str, tmp_path: Path
) -> None:
    options = {"docs": 30, "questions": 1}
    preparation.prepare(name, source=str(SHARED / name), out=tmp_path / "d", options=options, distractors=5, limit=5)
    chunk = {"tokens": 500, "overlap": 0, "by": "documents", "most": None}
    long = {"reply": 2000, "answer": 1000, "reads": 4}
    agent = {"name": "agemem", "context_tokens": 4000}
    run = play(tmp_path / "oracle", tmp_path / "d", "oracle", chunk=chunk, limits=long, agent=agent)
    assert score(run) == 1.0
    done = json.loads((run.path / "summary.json").read_text())["operations"]
    for kind in (OpKind.CREATE, OpKind.READ, OpKind.FILTER, OpKind.SUMMARIZE, OpKind.CLEAR):
        assert done[kind]["ok"] > 0, kind
    assert score(play(tmp_path / "mute", tmp_path / "d", "mute", chunk=chunk, limits=long, agent=agent)) == 0.0


def test_an_answer_that_a_distractor_alone_gives_was_believed(tmp_path: Path) -> None:
    """Each question is answered with a word of a distractor: of one that stands nowhere else, or of one that does."""
    preparation.prepare("stream", out=tmp_path / "data", split="validation", distractors=3, limit=12)

    def told(task: Task, *, late: bool) -> set[str]:
        return {word for d in task.documents if d.distractor is late for word in d.text.split() if word.isalpha()}

    def say(call: Call) -> str:
        assert call.episode is not None
        task = call.episode.task
        if call.observation.question is None:
            facts = task.documents if call.observation.chunk == 0 else ()
            return call.episode.agent.write(Expects.OPERATIONS, [MemoryOp(OpKind.CREATE, d.text) for d in facts])
        if call.observation.reads_left == 4:
            return call.episode.agent.write(Expects.ANSWER, [MemoryOp(OpKind.READ, "all", meta=(("top_k", "99"),))])
        late, early = told(task, late=True), told(task, late=False)
        words = late - early if call.episode.sample == 0 else late & early
        return call.episode.agent.write(Expects.ANSWER, [], min(words - {*task.questions[0].answers}))

    recipe = recipes.resolve(content("believed", tmp_path / "data", eval={"repeats": 2}), [], origin="believed")
    evaluate(recipe, tmp_path / "run", parts=assemble(recipe, tmp_path / "run", playing=Says(say)))
    for line, _, (explanation,) in miss_causes.explain_run(Run(tmp_path / "run")):
        assert explanation.cause is (Cause.BELIEVED if line["sample"] == 0 else Cause.NOT_USED)
