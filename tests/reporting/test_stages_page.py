"""The page of a run in three stages, in a real browser: context and store side by side, and what became of messages."""

from __future__ import annotations

import re
from typing import Any

import pytest
import report_runs

from atommem_cli.core.safe_text import visible
from atommem_cli.replay import replay
from atommem_cli.reporting.report import report
from atommem_cli.runs import stages
from atommem_cli.runs.reader import Run

VERBS = {"filter": "filtered", "summarize": "summarised", "clear": "cleared"}
pytestmark = pytest.mark.usefixtures("bare")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = report_runs.staged(tmp_path_factory.mktemp("home"))
    report([out])
    return Run(out)


def to(page: Any, name: str, step: int) -> None:
    page.tab.goto(page.tab.url.split("#")[0] + f"#{name.replace('#', '%23')}/{step}")


def rows(page: Any, heading: str) -> list[tuple[str, str]]:
    """Names and contents of the rows under a heading of what a step made of the state."""
    found = page.tab.locator(".state h4", has_text=heading).locator("+ .box li").all()
    return [(row.locator("b").inner_text(), row.locator(".t").text_content()) for row in found]


def fates(run: Run, name: str, before: int) -> dict[int, str]:
    """What the journal says of the messages that earlier steps took out."""
    found = {}
    for step in run.steps(name):
        for op in step["ops"] if step["step"] < before else []:
            if op["kind"] in VERBS and op["outcome"] == "ok":
                into = "" if op["entry"] is None else f" into #{op['entry']}"
                found |= dict.fromkeys(op["targets"], f"{VERBS[op['kind']]}{into} at step {step['step']}")
    return found


def test_context_and_store_stand_side_by_side_as_prompts_and_journal_have_them(run: Run, opened: Any) -> None:
    page = opened(run.path / "report.html")
    for task, trajectory in replay.play(run):
        held: dict[int, str] = {}
        for number, transition in enumerate(trajectory.transitions):
            to(page, trajectory.episode, number)
            state = page.tab.locator(".state")
            assert state.locator("> div").count() == 2
            told = rows(page, "Context after the step")
            prompt = [visible(message.content) for message in transition.observation.messages]
            assert [text for name, text in told if not name.startswith(("+", "±"))] == prompt
            earlier, later = (fates(run, trajectory.episode, number + more) for more in (0, 1))
            now = {f"− #{i}": fate for i, fate in later.items() if i not in earlier}
            for row in page.tab.locator(".state .removed").all():
                name = " ".join(row.locator("b").inner_text().split()[:2])
                assert row.locator(".chip").inner_text() == now[name.replace("±", "−")]
            gone = page.tab.locator(".state details.gone li")
            shown = {int(re.findall(r"#(\d+)", row.locator("b").text_content())[0]): row for row in gone.all()}
            assert {i: row.locator(".chip").text_content() for i, row in shown.items()} == {
                i: fate for i, fate in earlier.items() if i in shown
            }
            heard = {i for step in run.steps(trajectory.episode)[: number + 1] for i, *_ in step.get("context", ())}
            assert heard & earlier.keys() <= shown.keys()
            for result in transition.results:
                if result.op.kind == "create" and result.outcome == "ok":
                    assert result.entry is not None
                    held[result.entry] = visible(result.op.text)
            store = [(name.lstrip("+ "), text) for name, text in rows(page, "Store after the step")]
            assert store == [(f"#{entry}", text) for entry, text in held.items()]
        assert held
        assert task.documents[-1].distractor


def test_borders_of_stages_are_seen_and_distractors_are_called_so(run: Run, opened: Any) -> None:
    page = opened(run.path / "report.html")
    for name in run.episodes:
        steps = run.steps(name)
        told = dict(zip((step["step"] for step in steps), stages.numbered(steps, ()), strict=True))
        to(page, name, 0)
        ticks = page.tab.locator("#strip span")
        begins = [at for at in range(ticks.count()) if "begins" in (ticks.nth(at).get_attribute("class") or "").split()]
        wanted = [[*told.values()].index(stage) for stage in (2, 3)]
        assert begins == wanted
        for at, step in enumerate(steps):
            to(page, name, step["step"])
            heading = page.text(".step > h3")
            assert ticks.nth(at).get_attribute("title") == heading
            if step["step"] >= 0:
                assert heading.startswith(f"Step {step['step']} · stage {told[step['step']]} · ")
                assert heading.endswith(", a distractor") == (told[step["step"]] == 2)


def test_what_the_agent_did_by_itself_is_told_from_the_policy_s(run: Run, opened: Any) -> None:
    page = opened(run.path / "report.html")
    name = min(run.episodes)
    kinds = set()
    for step in run.steps(name):
        to(page, name, step["step"])
        listed = page.tab.locator(".panes h4", has_text="Operations").locator("+ .box li b").all_inner_texts()
        for op, text in zip(step["ops"], listed, strict=True):
            assert ("(agent)" in text) == (op["kind"] == "clear" or ["automatic", "true"] in op.get("meta", ()))
            kinds.add((op["kind"], "(agent)" in text))
    assert {("clear", True), ("read", True), ("create", False), ("filter", False), ("summarize", False)} == kinds


def test_hostile_words_of_summaries_and_entries_stay_words(run: Run, opened: Any) -> None:
    page = opened(run.path / "report.html")
    seen = 0
    for name in run.episodes:
        for step in run.steps(name):
            to(page, name, step["step"])
            seen += page.tab.locator("#steps").text_content().count("<script>window.hacked=1</script>")
    assert seen > 10
    assert page.tab.evaluate("typeof window.hacked") == "undefined"
    assert page.tab.locator("#episodes :is(script, img, svg, iframe)").count() == 0
