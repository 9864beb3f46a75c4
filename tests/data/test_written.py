"""Distractors that a model writes: proved, asked again, filled up, kept in a file that does without the model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import atommem
from fake_server import Answer, Server, completion, error

from atommem_cli.core.errors import BackendError, UsageError
from atommem_cli.core.types import Task
from atommem_cli.data.preparation import prepare, read_tasks
from atommem_cli.data.unrelated import names
from atommem_cli.data.written import TRIES, WRITTEN, passage_of, told
from atommem_cli.running import distractor_writer

TASKS, WANTED = 5, 3


class Writing(Server):
    """Replies what a function makes of the prompt."""

    def __init__(self, say: Callable[[str], Answer]) -> None:
        super().__init__()
        self._say = say

    def _right(self, request: str, body: dict[str, Any]) -> Answer:
        return self._say(body["messages"][-1]["content"])


def invented(prompt: str) -> Answer:
    """A passage of its own for each prompt."""
    name = f"Zork{sum(map(ord, prompt))} Blip"
    return completion(f"<think>hm</think>{name} is a river. It flows past {name.lower()} hill.")


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def writing(folder: Path, server: Server, **policy: Any) -> Any:
    """The writer of a recipe that asks a server."""
    path = folder / "writer.yaml"
    section = {"name": "openai_server", "url": server.url, "model": "m", "retries": 0, "concurrency": 1, **policy}
    path.write_text(json.dumps({"policy": section, "embedder": {"name": "hashing"}}))
    return distractor_writer.of(str(path))


def made(out: Path, writer: Any, **settings: Any) -> list[Task]:
    options = {"style": "rich", "docs": 8}
    settings = {"limit": TASKS, "distractors": WANTED, "options": options, **settings}
    prepare("stream", out=out, split="validation", writer=writer, **settings)
    return list(read_tasks(out / "validation"))


def late(task: Task) -> list[str]:
    return [document.text for document in task.documents if document.distractor]


def said(tmp_path: Path, folder: str = "out") -> str:
    return told(tmp_path / folder / "validation", TASKS * WANTED)


def test_every_passage_is_written_and_the_thoughts_are_left_out(tmp_path: Path) -> None:
    with Writing(invented) as server:
        tasks = made(tmp_path / "out", writing(tmp_path, server))
    plain = made(tmp_path / "plain", None)
    for task, other in zip(tasks, plain, strict=True):
        assert len(late(task)) == WANTED
        assert all(
            re.fullmatch(r"(Zork\d+ Blip) is a river\. It flows past zork\d+ blip hill\.", t) for t in late(task)
        )
        own = [[d for d in one.documents if not d.distractor] for one in (task, other)]
        assert own[0] == own[1]
    assert len({text for task in tasks for text in late(task)}) == TASKS * WANTED
    assert said(tmp_path) == "distractors: 15 written, 0 from other questions"
    asked = server.bodies[0]["messages"][0]["content"]
    assert tasks[0].questions[0].text in asked
    assert "passage 1 of 3" in asked
    assert len(server.bodies) == TASKS * WANTED


def test_what_touches_the_question_is_refused_asked_again_and_filled_from_the_bank(tmp_path: Path) -> None:
    with Server() as server:  # it repeats the question
        tasks = made(tmp_path / "out", writing(tmp_path, server))
        assert all(not names(task).search(text) for task in tasks for text in late(task))
        assert all(len(late(task)) == WANTED for task in tasks)
        assert len(server.bodies) == TASKS * WANTED * TRIES
        prompts = [body["messages"][0]["content"] for body in server.bodies]
    assert said(tmp_path) == "distractors: 0 written (45 replies were refused), 15 from other questions"
    assert tasks == made(tmp_path / "plain", None)
    again = [re.findall(r"It must not say: (.*)\.", prompt) for prompt in prompts]
    assert sum(map(bool, again)) == TASKS * WANTED * (TRIES - 1)
    line = json.loads((tmp_path / "out/validation" / WRITTEN).read_text().splitlines()[-1])
    assert line["fault"] in line["reply"]


def test_the_same_passage_twice_stands_once(tmp_path: Path) -> None:
    with Writing(lambda _: completion("Rain falls on Zork.")) as server:
        tasks = made(tmp_path / "out", writing(tmp_path, server))
    assert all(late(task).count("Rain falls on Zork.") == 1 for task in tasks)
    assert all(len(late(task)) == WANTED for task in tasks)


@pytest.mark.parametrize("answer", [completion(""), completion("Zork is", "length"), completion("", "content_filter")])
def test_a_reply_without_a_passage_is_left_to_the_bank(tmp_path: Path, answer: Answer) -> None:
    with Writing(lambda _: answer) as server:
        assert all(len(late(task)) == WANTED for task in made(tmp_path / "out", writing(tmp_path, server)))
    assert "0 written (45 replies were refused), 15 from other questions" in said(tmp_path)


def test_the_file_does_without_the_model_and_the_folder_is_the_same(tmp_path: Path) -> None:
    with Writing(invented) as server:
        writer = writing(tmp_path, server)
        made(tmp_path / "out", writer)
        first = len(server.bodies)
        made(tmp_path / "out", writer)  # prepared already
        (tmp_path / "copy/validation").mkdir(parents=True)
        (tmp_path / "copy/validation" / WRITTEN).write_bytes((tmp_path / "out/validation" / WRITTEN).read_bytes())
        made(tmp_path / "copy", writer, workers=2)
        assert len(server.bodies) == first
    files = [sorted(p.read_bytes() for p in (tmp_path / name / "validation").iterdir()) for name in ("out", "copy")]
    assert files[0] == files[1]
    manifest = json.loads((tmp_path / "out/validation/manifest.json").read_text())
    assert WRITTEN in manifest["inputs"]
    assert "m" in manifest["options"]["distractors_by"]["policy"]


def test_an_edited_file_and_another_writer_are_refused(tmp_path: Path) -> None:
    with Writing(invented) as server:
        writer = writing(tmp_path, server)
        made(tmp_path / "out", writer)
        with pytest.raises(UsageError, match="distractors_by"):
            made(tmp_path / "out", writing(tmp_path, server, temperature=0.1))
        with pytest.raises(UsageError, match="distractors_by"):
            made(tmp_path / "out", None)
        with (tmp_path / "out/validation" / WRITTEN).open("a") as file:
            file.write("{}\n")
        with pytest.raises(UsageError, match=re.escape(WRITTEN)):
            made(tmp_path / "out", writer)


def test_a_fault_is_one_sentence_and_what_was_written_is_not_asked_again(tmp_path: Path) -> None:
    left = iter(range(7))

    def failing(prompt: str) -> Answer:
        return invented(prompt) if next(left, None) is not None else error(500, "out of luck")

    with Writing(failing) as server:
        writer = writing(tmp_path, server)
        with pytest.raises(BackendError, match=r"--distractors-by: passage \d of stream-\S+: .*out of luck") as fault:
            made(tmp_path / "out", writer)
        assert "\n" not in str(fault.value)
        lines = (tmp_path / "out/validation" / WRITTEN).read_text().splitlines()
        assert len(lines) == 7
        assert not (tmp_path / "out/validation/manifest.json").exists()
        with (tmp_path / "out/validation" / WRITTEN).open("a") as file:
            file.write('{"key": "torn')  # as a kill leaves it
        server._say, before = invented, len(server.bodies)
        tasks = made(tmp_path / "out", writer)
        assert len(server.bodies) - before == TASKS * WANTED - 7
    with Writing(invented) as other:  # at another address
        assert made(tmp_path / "out", writing(tmp_path, other)) == tasks
        assert other.bodies == []
        assert tasks == made(tmp_path / "whole", writing(tmp_path, other))


def test_titled_tasks_get_titled_passages() -> None:
    told = passage_of('**Title: "The Zork River"**\n\nIt flows.\nTo the sea.', titled=True)
    assert told is not None
    assert (told.title, told.text, told.distractor) == ("The Zork River", "It flows. To the sea.", True)
    assert passage_of("Only one line.", titled=True) is None
    assert passage_of(" \n", titled=False) is None
    assert passage_of(f"{'long ' * 40}\ntext", titled=True) is None


def test_it_needs_a_number(tmp_path: Path) -> None:
    with Writing(invented) as server, pytest.raises(UsageError, match="--distractors says how many"):
        made(tmp_path / "out", writing(tmp_path, server), distractors=0)


def test_the_command_says_how_many(tmp_path: Path) -> None:
    with Writing(invented) as server:
        writing(tmp_path, server)
        words = ("--split", "dev", "--limit", "2", "--distractors", "2", "--distractors-by", "writer.yaml")
        done = atommem("prepare", "stream", *words, "--set", "style=rich", cwd=tmp_path)
        assert "distractors: 4 written, 0 from other questions" in done.stderr
        missing = atommem("prepare", "stream", "--distractors-by", "writer.yaml", "--out", "x", cwd=tmp_path, status=2)
    assert "--distractors says how many passages it writes" in missing.stderr
