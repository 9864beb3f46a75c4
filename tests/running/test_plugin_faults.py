"""An agent of the user's own that fails in the middle of a run: one sentence, and what had finished is kept."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from commands import atommem, complaint

from atommem_cli.config import recipe as recipes
from atommem_cli.core.errors import PluginError
from atommem_cli.data import preparation
from atommem_cli.running import evaluation

AGENT = '''
"""Answers at once; in the second task there is a bug."""
from atommem_cli import AgentOptions as Options, Speaker


class Mine(Speaker):
    name = "mine"

    def play(self, episode):
        yield from self.read_answer(episode, 0, {})
        if episode.task.id.endswith("1"):
            yield from self.read_answer(episode, 0, {})
            episode.give(0, {}["when"])


build = Mine
'''


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "mine.py").write_text(AGENT)
    preparation.prepare("stream", out="data/stream", limit=3)
    return tmp_path


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_what_finished_before_is_not_lost(batch: int, there: Path) -> None:
    """Episodes of an earlier wave, and of the same one."""
    changes = ["agent.name=./mine.py", f"policy={{name: scripted, script: mute, batch: {batch}}}"]
    told = r"^mine\.py, line 13: the plug-in fails, at the episode stream-validation-00001#0: KeyError: 'when'$"
    with pytest.raises(PluginError, match=told):
        evaluation.evaluate(recipes.load("smoke", changes), there / "run")
    lines = (there / "run/episodes.jsonl").read_text().splitlines()
    finished = ["stream-validation-00000#0", "stream-validation-00002#0"]
    assert [json.loads(line)["episode"] for line in lines] == finished[: 2 if batch == 64 else 1]


def test_a_run_of_a_plug_in_that_was_edited_says_what_to_undo_and_how_long_it_is(there: Path) -> None:
    sound = AGENT.replace("{}[", '{"when": Answer("x")}[').replace("import AgentOptions", "import Answer, AgentOptions")
    (there / "mine.py").write_text(sound)
    played = ("eval", "--agent", "./mine.py", "--policy", "scripted:mute")
    assert "mine" in json.loads(atommem(*played, "--plan", "--json", cwd=there).stdout)["agent"]
    atommem(*played, "--out", "run", cwd=there)
    assert "3 of 3 planned" in atommem("replay", "run", cwd=there).stdout
    (there / "mine.py").write_text(f"{sound}# edited\n")
    told = atommem("replay", "run", cwd=there, status=1).stdout
    assert "sources.agents/mine.py" in told
    assert "that file was edited since; undo the edit" in told
    assert "0 of 3 planned" in told


def test_the_command_says_it_in_one_sentence(there: Path) -> None:
    told = complaint("eval", "--agent", "./mine.py", "--policy", "scripted:mute", "--out", "run", cwd=there)
    assert told == (
        "atommem: mine.py, line 13: the plug-in fails, at the episode stream-validation-00001#0: KeyError: 'when'"
    )
