"""The page of a run whose agent keeps a conversation, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import report_runs

from atommem_cli.core.safe_text import visible
from atommem_cli.explain.miss_causes import explain_episode
from atommem_cli.replay import replay
from atommem_cli.reporting.report import report
from atommem_cli.runs.reader import Run

EDITS = ("filter", "summarize")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Six episodes with their page."""
    home = tmp_path_factory.mktemp("home")
    out = report_runs.conversation(report_runs.tasks(home, 6), home / "run")
    report([out])
    return Run(out)


def test_the_page_comes_to_the_conversation_of_every_prompt(run: Run, opened: Any) -> None:
    page = opened(run.path / "report.html")
    states = """current.ledger.map(({ before }) => [...before.context.values()]
        .sort((one, other) => one.place - other.place).map(({ role, text }) => [role, text]))"""
    for _, trajectory in replay.play(run):
        page.tab.goto(page.tab.url.split("#")[0] + f"#{trajectory.episode.replace('#', '%23')}/0")
        assert page.text("#name") == trajectory.episode
        assert page.tab.evaluate(states) == [
            [[message.role, visible(message.content)] for message in transition.observation.messages]
            for transition in trajectory.transitions
        ]


def test_messages_that_a_step_took_out_or_put_in_are_marked_and_hostile_ones_do_nothing(run: Run, opened: Any) -> None:
    page = opened(run.path / "report.html")
    marked = 0
    for name in sorted(run.episodes):
        for step in run.steps(name):
            done = [op for op in step["ops"] if op["outcome"] == "ok" and op["kind"] in EDITS]
            if "summarize" not in {op["kind"] for op in done}:
                continue
            page.tab.goto(page.tab.url.split("#")[0] + f"#{name.replace('#', '%23')}/{step['step']}")
            rows = page.tab.locator(".state > div:nth-child(1) h4", has_text="Context after").locator("+ .box li")
            gone = {f"− #{target}" for op in done for target in op["targets"]} - {f"− #{step['context'][-1][0] + 1}"}
            come = {f"+ #{op['entry']}" for op in done if op["kind"] == "summarize"}
            found = {kind: rows.and_(page.tab.locator(kind)).all_inner_texts() for kind in (".removed", ".added")}
            assert {" ".join(text.split()[:2]) for text in found[".removed"]} == gone
            assert {" ".join(text.split()[:2]) for text in found[".added"]} == come
            assert all("In short: <script>window.hacked=1</script>" in text for text in found[".added"])
            new = page.tab.locator(".panes > div:nth-child(1) h4", has_text="New in the context")
            assert new.inner_text().upper().startswith(f"NEW IN THE CONTEXT ({len(step['context'])} OF ")
            assert new.locator("+ .box li").count() == len(step["context"])
            marked += 1
    assert marked > 3
    assert page.tab.evaluate("typeof window.hacked") == "undefined"
    assert page.tab.locator("#episodes :is(script, img, svg, iframe)").count() == 0


def test_words_of_a_message_are_found_and_lead_to_its_step(run: Run, opened: Any) -> None:
    page = opened(run.path / "report.html")
    name = sorted(run.episodes)[2]
    words = f"message {run.steps(name)[2]['context'][-1][0]}, chunk 2:"
    page.tab.locator("#search").fill(words)
    page.tab.locator("#list a", has_text=name).click()
    assert page.text(".step > h3").startswith("Step 2 · ")
    page.tab.locator("#search").fill("")
    page.tab.locator("#kind").select_option("summarize")
    edited = [n for n in run.episodes if any(op["kind"] == "summarize" for s in run.steps(n) for op in s["ops"])]
    assert page.names() == sorted(edited)


def test_on_paper_the_whole_conversation_stands_at_the_last_step_alone(run: Run, opened: Any) -> None:
    name = min(run.episodes)
    page = opened(run.path / "report.html", f"#{name.replace('#', '%23')}/0")
    page.tab.emulate_media(media="print")
    page.tab.locator(".step").nth(len(run.steps(name)) - 1).wait_for()
    heading = page.tab.locator("h4", has_text="Context after")
    assert heading.count() == len(run.steps(name))
    before = page.tab.locator(".step:not(:last-child)").locator(heading).locator("+ .box li")
    assert before.count() == before.and_(page.tab.locator(".added, .removed")).count() > 0
    at_last = page.tab.locator(".step:last-child").locator(heading)
    assert at_last.inner_text().upper() == f"CONTEXT AFTER THE STEP ({at_last.locator('+ .box li').count()})"


def test_entries_that_are_named_by_their_ids_are_called_by_these(tmp_path: Path, opened: Any) -> None:
    out = report_runs.corrected(report_runs.tasks(tmp_path, 1), tmp_path / "run")
    report([out])
    page = opened(out / "report.html", f"#{next(iter(Run(out).episodes)).replace('#', '%23')}/1")
    done = page.tab.locator(".panes h4", has_text="Operations (3)").locator("+ .box li b")
    assert done.all_inner_texts() == ["update #2", "delete #1", "delete #12"]
    shown = page.tab.locator(".panes h4", has_text="Memories shown (2)").locator("+ .box li b")
    assert sorted(shown.all_inner_texts()) == ["#1", "#2"]


def test_a_fact_shows_when_it_was_heard_and_when_it_was_taken_out(run: Run, opened: Any) -> None:
    page = opened(run.path / "report.html")
    lamps = 0
    for name in sorted(run.episodes):
        page.tab.goto(page.tab.url.split("#")[0] + f"#{name.replace('#', '%23')}/0")
        facts = [fact for one in explain_episode(run, name) for fact in one.facts]
        for fact, item in zip(facts, page.tab.locator(".facts > li").all(), strict=True):
            told = item.locator("button.lamp").all_inner_texts()
            assert [text for text in told if text.startswith(("heard", "taken"))] == [
                *([f"heard at step {fact.heard}"] if fact.heard is not None else []),
                *([f"taken out at step {fact.taken}"] if fact.taken is not None else []),
            ]
            lamps += fact.taken is not None
    assert lamps > 0
