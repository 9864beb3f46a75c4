"""The closed-book filter drops what a policy knows without reading, and is recorded."""

from __future__ import annotations

import pytest
from policies._server import Server, completion, error

from atommem_cli import recipe as recipes
from atommem_cli.contamination import ClosedBookFilter
from atommem_cli.errors import BackendError
from atommem_cli.types import Question


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


def test_a_question_that_could_not_be_asked_is_no_verdict() -> None:
    with Server(*(error(500, "out of order") for _ in range(9))) as server, pytest.raises(BackendError, match="q0"):
        filtering(server)(QUESTIONS)


def test_the_manifest_can_say_which_policy_filtered() -> None:
    with Server() as server:
        described = filtering(server).describe()
    assert described["filter"] == "closed book"
    assert "openai_server" in described["policy"]
