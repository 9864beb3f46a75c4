"""The closed-book filter drops what a policy knows without reading, and is recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import atommem
from fake_server import Server, choice, completion, error
from raw_records import hotpot, write

from atommem_cli.config import recipe as recipes
from atommem_cli.core.errors import BackendError
from atommem_cli.core.types import Question
from atommem_cli.running.contamination import ClosedBookFilter


def filtering(server: Server) -> ClosedBookFilter:
    policy = f"policy={{name: openai_server, url: '{server.url}', model: m, retries: 0, concurrency: 1}}"
    return ClosedBookFilter(recipes.load("tiny", [policy]))


QUESTIONS = [
    Question(f"q{i}", f"Capital {i}?", gold) for i, gold in enumerate([("Paris", "Paname"), ("Rome",), ("Bern",)])
]


def test_a_question_goes_if_either_sample_knows_it() -> None:
    replies = ["no idea", "<answer>The Paname</answer>", "Rome is not it... Rome!", "x", "Berlin", "<answer></answer>"]
    with Server(*map(completion, replies)) as server:
        assert filtering(server)(QUESTIONS) == [False, False, True]
        prompts = [body["messages"][-1]["content"] for body in server.bodies]
    assert len(prompts) == 6
    assert all("Capital" in prompt and "material" not in prompt for prompt in prompts)


def test_what_nothing_tells_is_known_to_nobody() -> None:
    nothing = Question("n", "Capital of nowhere?", ("unknown",), unanswerable=True)
    with Server(*map(completion, ["unknown", "Bern"])) as server:
        assert filtering(server)([nothing, QUESTIONS[2]]) == [True, False]
        assert len(server.bodies) == 2


def test_a_question_that_could_not_be_asked_is_no_verdict() -> None:
    with Server(*(error(500, "out of order") for _ in range(9))) as server, pytest.raises(BackendError, match="q0"):
        filtering(server)(QUESTIONS)


def test_a_withheld_reply_is_no_answer_and_is_counted() -> None:
    nothing = choice("content_filter", content="")
    refused = error(400, "The response was filtered", code="content_filter")
    with Server(nothing, completion("Paris"), refused, completion("no idea"), *[completion("Berlin")] * 2) as server:
        keep = filtering(server)
        assert keep(QUESTIONS) == [False, True, True]
        assert keep.withheld == {"q1"}
        assert "withheld replies to 1 question (q1, for one)" in keep.remark
        assert keep(QUESTIONS[2:]) == [True]
    assert keep.withheld == {"q1"}


def test_what_was_withheld_is_told_by_the_command(tmp_path: Path) -> None:
    write(tmp_path / "validation.jsonl", [hotpot(n) for n in range(2)])
    with Server(*[choice("content_filter", content="")] * 4) as server:
        policy = f"{{name: openai_server, url: '{server.url}', model: m, retries: 0}}"
        (tmp_path / "asked.yaml").write_text(f"policy: {policy}\nembedder: {{name: hashing}}\n")
        asked = ("--split", "validation", "--docs", "4", "--questions", "1", "--closed-book-filter", "asked.yaml")
        done = atommem("prepare", "hotpotqa", "--source", ".", *asked, "--out", "out", cwd=tmp_path)
    assert "withheld replies to 2 questions (h0, for one)" in done.stderr


def test_the_manifest_can_say_which_policy_filtered() -> None:
    with Server() as server:
        described = filtering(server).describe()
    assert described["filter"] == "closed book"
    assert "openai_server" in described["policy"]
