"""One episode of an agent whose prompts grow: its conversation, told from the journal, is that of the prompts."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import report_runs

from atommem_cli.core.types import OpKind, Outcome
from atommem_cli.replay import episode_text, episode_view, replay
from atommem_cli.runs.reader import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    home = tmp_path_factory.mktemp("home")
    return Run(report_runs.conversation(report_runs.tasks(home, 8), home / "run"))


def test_what_each_step_adds_and_takes_away_makes_the_prompts(run: Run) -> None:
    edited = Counter()
    for _, trajectory in replay.play(run):
        said: dict[str, str] = {}
        pages = episode_view.book(run, trajectory.episode).pages
        for page, transition in zip(pages, trajectory.transitions, strict=True):
            said |= {f"message {one.id}": one.text for one in page.heard}
            prompt = transition.observation.messages
            assert page.context == len(prompt)
            assert sorted(said.values()) == sorted(message.content.strip() for message in prompt)
            assert [(one.role, one.text) for one in page.heard] == [
                (message.role, message.content) for message in prompt[len(prompt) - len(page.heard) :]
            ]
            for change in (change for change in page.changes if change.place.startswith("message ")):
                edited[change.sign] += 1
                if change.sign == "+":
                    said[change.place] = change.new
                else:
                    assert said.pop(change.place) == change.old
    assert set(edited) == {"+", "-"}


def test_the_terminal_shows_messages_with_their_ids_and_what_became_of_them(run: Run) -> None:
    books = [episode_view.book(run, name) for name in run.episodes]
    text = "\n".join(line for shown in books for line in episode_text.lines(shown, 100, full=True))
    pages = [page for shown in books for page in shown.pages]
    assert re.findall(r"^  context     (\d+) messages, (\d+) of them new$", text, re.MULTILINE) == [
        (str(page.context), str(len(page.heard))) for page in pages if page.context
    ]
    heard = [one for page in pages for one in page.heard]
    assert re.findall(r"^  message (\d+) +(\w+): ", text, re.MULTILINE) == [(str(one.id), one.role) for one in heard]
    removed = [c.place for page in pages for c in page.changes if c.sign == "-" and "message" in c.place]
    assert re.findall(r"^  - (message \d+) ", text, re.MULTILINE) == removed
    done = [one for shown in books for one in shown.operations if one.kind is OpKind.SUMMARIZE]
    for one in (one for one in done if one.outcome is Outcome.OK):
        assert f"summarize [ok, message {one.entry}] messages {', '.join(map(str, one.targets))}: In short" in text
    assert {Outcome.OK, Outcome.INVALID_TARGET} <= {one.outcome for one in done}


def test_without_a_conversation_none_is_shown(tmp_path: Path) -> None:
    run = Run(report_runs.run(report_runs.tasks(tmp_path, 1), tmp_path / "run"))
    text = "\n".join(episode_text.lines(episode_view.book(run, next(iter(run.episodes)))))
    assert "reply" in text
    assert not re.search("context|message", text)


def test_entries_that_are_named_by_their_ids_are_called_by_these(tmp_path: Path) -> None:
    run = Run(report_runs.corrected(report_runs.tasks(tmp_path, 1), tmp_path / "run"))
    shown = episode_view.book(run, next(iter(run.episodes)))
    text = "\n".join(episode_text.lines(shown, 100, full=True))
    assert "update [ok, entry 2] entry 2: two and more\n" in text
    assert "delete [ok, entry 1] entry 1\n" in text
    assert "delete [refused: invalid target] entry 12\n" in text
    assert re.search(r"^  entry 2 +two$", text, re.MULTILINE)
    assert "Memory" not in text
    assert [one.addressed for one in shown.operations[3:6]] == ["entry 2", "entry 1", "entry 12"]
    numbered = Run(report_runs.run(report_runs.tasks(tmp_path, 1), tmp_path / "other", "careful"))
    shown = episode_view.book(numbered, next(iter(numbered.episodes)))
    text = "\n".join(episode_text.lines(shown, 100, full=True))
    for one in (one for one in shown.operations if one.kind is OpKind.UPDATE):
        assert f"update [ok, entry {one.entry}] Memory {one.target}: " in text
    assert re.search(r"^  Memory 1 +.*\(entry \d+\)$", text, re.MULTILINE)
