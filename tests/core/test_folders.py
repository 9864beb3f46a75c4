"""No folder is taken over, and no name leaves its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import atommem, complaint

from atommem_cli.core import folders
from atommem_cli.core.errors import RunMismatch, UsageError
from atommem_cli.data import preparation

ORACLE = ("eval", "--policy", "scripted:oracle", "--limit", "2")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tasks and one finished run."""
    folder = tmp_path_factory.mktemp("home")
    preparation.prepare("stream", out=folder / "data" / "stream", limit=3)
    atommem(*ORACLE, "--out", "run", cwd=folder)
    atommem(*ORACLE, "--agent", "rag", "--out", "other", cwd=folder)
    return folder


def test_missing_empty_and_own_folders_may_be_written(tmp_path: Path) -> None:
    folders.claim(tmp_path / "missing")
    (tmp_path / ".lock").touch()
    (tmp_path / ".run.json.draft").touch()
    folders.claim(tmp_path)  # what a kill left before the first file
    (tmp_path / "notes.txt").touch()
    with pytest.raises(RunMismatch, match=r"holds notes\.txt, which this command did not write"):
        folders.claim(tmp_path)
    (tmp_path / "run.json").write_text('{"command": "eval"}')
    folders.claim(tmp_path)
    with pytest.raises(RunMismatch, match="the folder of a run of eval"):
        folders.claim(tmp_path, ("report.html",))


FOREIGN = {
    "a model": ("config.json", "model.safetensors", "recipe.yaml"),
    "a user's recipe": ("recipe.yaml",),
    "tables": ("table.md", "table.json"),
    "prepared tasks": ("manifest.json", "tasks.jsonl"),
    "another journal": ("sessions.jsonl",),
    "folders": ("deep/er.txt",),
}


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("command", ["eval", "ablate", "report", "compare", "sft", "grpo"])
def test_what_is_not_ours_is_left_alone(home: Path, tmp_path: Path, what: str, command: str) -> None:
    for name in FOREIGN[what]:
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text("precious")
    words = {
        "eval": (*ORACLE, "--out"),
        "ablate": ("ablate", "--policy", "scripted:oracle", "--limit", "2", "--drop", "update", "--out"),
        "report": ("report", "run", "--out"),
        "compare": ("compare", "run", "other", "--out"),
        "sft": ("sft", "--recipe", "smoke", "--from", "run", "--out"),
        "grpo": ("grpo", "--recipe", "smoke", "--out"),
    }[command]
    before = contents(tmp_path)
    if command in ("report", "compare") and what == "tables":
        return  # theirs
    said = complaint(*words, str(tmp_path / "mine"), cwd=home)
    assert said.startswith(f"atommem: {tmp_path / 'mine'}: holds ")
    assert contents(tmp_path) == before


def test_a_folder_of_another_command_is_named_and_left_alone(home: Path) -> None:
    before = contents(home / "run")
    said = complaint("compare", "run", "other", "--out", "run", cwd=home)
    assert said == "atommem: run: the folder of a run of eval: choose another --out"
    assert "run of eval" in complaint("grpo", "--recipe", "smoke", "--out", "run/inside", cwd=home)
    inside = complaint(*ORACLE, "--agent", "rag", "--agent", "atommem", "--out", "run", cwd=home)
    assert inside.startswith("atommem: run/rag: lies in the folder of a run of eval")
    assert contents(home / "run") == before


def test_a_report_and_tables_may_be_written_again(home: Path) -> None:
    for command in (
        ("compare", "run", "other", "--out", "shown"),
        ("report", "run", "--out", "shown"),
        ("compare", "run", "other", "--out", "shown"),
        ("report", "run", "--out", "run"),
        ("report", "run", "--out", "run"),
    ):
        atommem(*command, cwd=home)


@pytest.mark.parametrize(
    "name", ["../../x", "/tmp/x", "a/b", "a\nb", "a\x1b[2J", "..", "", " ", "x" * 200, "\u202e", "a\\b"]
)
def test_names_stay_in_their_folder(name: str) -> None:
    assert folders.fault_of_name(name) is not None


@pytest.mark.parametrize("name", ["tiny", "0.6b", "Übung (2)", "実験", "a b", "x'y", "-x"])
def test_plain_names_are_taken(name: str) -> None:
    assert folders.fault_of_name(name) is None


def test_a_folder_inside_a_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"command": "grpo"}')
    with pytest.raises(UsageError, match="lies in the folder of a run of grpo"):
        folders.insist_apart(tmp_path / "a" / "b")
    folders.insist_apart(tmp_path)
