"""Stages of an agent that clears its context in between: told from the journal, and shown in the terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import report_runs

from atommem_cli.core.chunking import distracting
from atommem_cli.core.types import OpKind
from atommem_cli.explain.miss_causes import explain_run
from atommem_cli.replay import episode_text, episode_view, replay
from atommem_cli.reporting import run_statistics
from atommem_cli.runs import stages
from atommem_cli.runs.reader import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(report_runs.staged(tmp_path_factory.mktemp("home")))


def test_a_step_is_of_the_stage_that_its_chunk_or_question_is_of(run: Run) -> None:
    assert stages.staged(run.agent)
    for line in run.episodes.values():
        task = run.task(line["task"])
        late = [number for number, document in enumerate(task.documents) if document.distractor]
        steps = run.steps(line["episode"])
        wanted = [
            3 if step.get("question") is not None else 2 if step.get("chunk", -1) in late else 1 for step in steps
        ]
        assert list(stages.numbered(steps, late)) == list(stages.numbered(steps, ())) == wanted  # a document is a chunk
        alone = [{**step, "ops": []} for step in steps if step.get("chunk") in late]
        assert set(stages.numbered(alone, late)) == {2}, "a training may play the second stage alone"
        assert set(wanted) == {1, 2, 3}
        assert distracting(task.documents, run.chunks(task)) == {*late}


def test_the_terminal_says_stage_distractor_and_what_the_agent_did_by_itself(run: Run) -> None:
    for name, line in run.episodes.items():
        shown = episode_view.book(run, name)
        text = "\n".join(episode_text.lines(shown, 100, full=True))
        found = re.findall(
            r"^--- step (\d+): stage (\d), (chunk|question) .*?(, a distractor)? -+$", text, re.MULTILINE
        )
        steps = [step for step in run.steps(name) if step["step"] >= 0]
        assert [int(step) for step, *_ in found] == [step["step"] for step in steps]
        assert [int(stage) for _, stage, *_ in found] == [page.stage for page in shown.pages if page.step >= 0]
        assert [bool(late) for *_, late in found] == [stage == "2" for _, stage, *_ in found]
        mine = [one for one in shown.operations if one.automatic]
        assert {one.kind for one in mine} == {OpKind.READ, OpKind.CLEAR}
        assert text.count("[ok, by the agent]") == len(mine)
        assert len([one for one in mine if one.kind is OpKind.READ]) == line["chunks"] - 2, "one for each of stage 1"


def test_a_fact_is_shown_when_its_chunk_is_whatever_was_looked_up_before_the_first_call(run: Run) -> None:
    told = 0
    for line, task, explanations in explain_run(run):
        steps = run.steps(line["episode"])
        assert steps[0]["step"] == -1
        read = {step["chunk"]: step["step"] for step in steps if step.get("chunk") is not None}
        for fact in (fact for one in explanations for fact in one.facts):
            event = task.documents[fact.document].event
            assert fact.shown == min(read[i] for i, one in enumerate(task.documents) if one.event == event)
            told += 1
    assert told


def test_agents_without_stages_have_none(tmp_path: Path) -> None:
    run = Run(report_runs.run(report_runs.tasks(tmp_path, 1), tmp_path / "run"))
    assert not stages.staged(run.agent)
    (name,) = run.episodes
    assert {page.stage for page in episode_view.book(run, name).pages} == {0}
    assert "stage" not in "\n".join(episode_text.lines(episode_view.book(run, name)))


def test_it_replays(run: Run) -> None:
    assert replay.verify(run, retrieve=True).findings == ()


def test_a_call_that_shows_no_chunk_belongs_to_the_last_one_until_the_first_question() -> None:
    places = [None, 0, None, None, 1, None]
    lines = [{"chunk": chunk, "question": None, "ops": []} for chunk in places]
    asked = [{"chunk": None, "question": 0, "ops": []}, {"chunk": None, "question": None, "ops": []}]
    assert list(stages.chunks([{"ops": []}, *lines, *asked])) == [None, None, 0, 0, 0, 1, 1, None, None]


def test_what_mem0_decides_on_the_facts_of_a_chunk_is_of_that_chunk(tmp_path: Path) -> None:
    run = Run(report_runs.run(report_runs.tasks(tmp_path, 2), tmp_path / "run", "oracle", "agent={name: mem0}"))
    for name in run.episodes:
        pages = episode_view.book(run, name).pages
        wrote = [page for page in pages if any(one.kind is OpKind.CREATE for one in page.operations)]
        assert wrote
        for page in wrote:
            read = pages[pages.index(page) - 1]
            assert page.heading == f"after {read.heading}"
            assert (page.shown, read.shown != "") == ("", True)
    found = run_statistics.take(run, "run")
    assert {at for at, kind, _ in found.operations if kind is OpKind.CREATE} <= set(range(99))
    rag = Run(report_runs.run(tmp_path / "data" / "stream", tmp_path / "rag", "oracle", "agent={name: rag}"))
    counted = run_statistics.take(rag, "rag").operations
    assert {at for at, kind, _ in counted if kind is OpKind.CREATE} == {run_statistics.BEFORE}
