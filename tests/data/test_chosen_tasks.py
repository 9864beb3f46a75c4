"""Fewer distractors than were prepared: the same tasks otherwise, wherever they are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atommem_cli.config import recipe as recipes
from atommem_cli.core.errors import UsageError
from atommem_cli.data import preparation
from atommem_cli.data.chosen_tasks import ChosenTasks, read
from atommem_cli.replay import replay
from atommem_cli.running.evaluation import evaluate
from atommem_cli.runs.reader import Run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("home") / "data"
    preparation.prepare("stream", out=out, split="validation", limit=3, distractors=4)
    return out


def asking(folder: Path, most: int | None) -> recipes.Recipe:
    return recipes.load("tiny", [f"task.folder={folder}", f"task.distractors={json.dumps(most)}"])


@pytest.mark.parametrize("most", [None, 4, 2, 0])
def test_the_first_distractors_stay_and_all_else_is_as_it_was(folder: Path, most: int | None) -> None:
    whole = list(preparation.read_tasks(folder / "validation"))
    given = list(read(asking(folder, most), "validation", 2))
    for was, now in zip(whole[:2], given, strict=True):
        own = [document for document in was.documents if not document.distractor]
        late = [document for document in was.documents if document.distractor]
        assert now.documents == (*own, *(late if most is None else late[:most]))
        assert (now.id, now.questions) == (was.id, was.questions)
    file = ChosenTasks(asking(folder, most), "validation", 2)
    assert [file[number] for number in range(len(file))] == given


def test_more_than_were_prepared_is_one_sentence(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"task\.distractors: 5 are asked for, and stream-.* was prepared with 4"):
        next(read(asking(folder, 5), "validation", None))


def test_a_run_on_fewer_is_another_run_and_replays(folder: Path, tmp_path: Path) -> None:
    def given(*changes: str) -> recipes.Recipe:
        fixed = ("policy={name: scripted, script: append_only}", "agent.name=agemem", "limits.reply=400")
        return recipes.load("tiny", [*fixed, "store.name=exact", f"task.folder={folder}", *changes])

    assert given("task.distractors=null").digest == given().digest != given("task.distractors=4").digest
    assert "distractors" not in given().dump()
    evaluate(given("task.distractors=1"), tmp_path / "run")
    run = Run(tmp_path / "run")
    assert {line["chunks"] for line in run.episodes.values()} == {9}  # eight statements and one distractor
    assert {len(run.task(line["task"]).documents) for line in run.episodes.values()} == {9}
    assert replay.verify(run, retrieve=True).findings == ()
