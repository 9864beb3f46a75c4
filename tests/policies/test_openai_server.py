"""The server policy against a real server that does everything wrong once."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policies._server import Answer, Server, completion, error
from pydantic import ValidationError

from atommem_cli import servers
from atommem_cli.episode import Call, ServerPolicy
from atommem_cli.errors import BackendError
from atommem_cli.policies import _completions as completions
from atommem_cli.policies import openai_server
from atommem_cli.policies.openai_server import OpenAIServer, Options
from atommem_cli.types import Expects, Finish, Generation, Message, Observation

KEY = "sk-very-secret"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def call(text: str = "hello", *, most: int = 20, seed: int = 5) -> Call:
    messages = (Message("system", "be brief"), Message("user", text))
    return Call(None, Observation(messages, most, Expects.ANSWER), seed)


def policy(server: Server, **options: object) -> OpenAIServer:
    given = {"url": server.url, "model": "m", "retries": 1, "timeout_s": 0.5} | options
    return openai_server.build(Options.model_validate(given))


def replies(asked: OpenAIServer, calls: Sequence[Call]) -> list[Generation]:
    """In an event loop of their own, all at once."""

    async def play() -> list[Generation]:
        try:
            return await asyncio.gather(*map(asked.reply, calls))
        finally:
            await asked.close()

    return asyncio.run(play())


def reply(asked: OpenAIServer, asking: Call | None = None) -> Generation:
    return replies(asked, [asking or call()])[0]


def free_url() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


# --- what is sent and what is read


def test_a_request_and_its_reply() -> None:
    with Server() as server:
        asked = policy(server)
        assert isinstance(asked, ServerPolicy)
        assert reply(asked, call(seed=2**31 + 9)) == Generation("echo: hello", prompt_tokens=7, new_tokens=3)
    assert server.bodies == [
        {
            "model": "m",
            "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}],
            "max_tokens": 20,
            "temperature": 0.7,
            "top_p": 1.0,
            "seed": 9,
        }
    ]
    assert "authorization" not in server.headers[0]


def test_greedy_requests_carry_no_seed_and_options_are_sent_only_when_set() -> None:
    with Server() as server:
        reply(policy(server, temperature=0))
        reply(policy(server, thinking=False, extra={"top_k": 20, "temperature": 1}))
    assert "seed" not in server.bodies[0]
    assert "chat_template_kwargs" not in server.bodies[0]
    assert server.bodies[1]["chat_template_kwargs"] == {"enable_thinking": False}
    assert (server.bodies[1]["top_k"], server.bodies[1]["temperature"]) == (20, 1)


def test_lone_surrogates_reach_the_server_as_replacement_characters() -> None:
    with Server() as server:
        assert reply(policy(server), call("a\ud83db")).text == "echo: a\ufffdb"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (completion("cut of", "length"), Generation("cut of", Finish.LENGTH, prompt_tokens=3, new_tokens=2)),
        (completion(None, "length"), Generation("", Finish.LENGTH, prompt_tokens=3)),
        (completion("", "stop"), Generation("", prompt_tokens=3)),
        (completion("x", None, usage=None), Generation("x", prompt_tokens=3, new_tokens=1)),
        (
            completion("x", usage={"prompt_tokens": 11, "completion_tokens": "many"}),
            Generation("x", prompt_tokens=11, new_tokens=1),
        ),
    ],
)
def test_lengths_and_missing_usage(answer: Answer, expected: Generation) -> None:
    with Server(answer) as server:
        assert reply(policy(server)) == expected


def test_reasoning_that_comes_apart_is_left_out() -> None:
    choice = {"message": {"content": "4", "reasoning_content": "2 + 2 ..."}, "finish_reason": "stop"}
    with Server(Answer(body=json.dumps({"choices": [choice]}))) as server:
        assert reply(policy(server)).text == "4"


def test_a_server_that_wants_max_completion_tokens_gets_it_from_then_on() -> None:
    refusal = error(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
    with Server(refusal) as server:
        asked = policy(server, retries=0)
        assert [reply(asked).finish, reply(asked).finish] == [Finish.STOP] * 2
    assert [[key for key in body if key.startswith("max")] for body in server.bodies] == [
        ["max_tokens"],
        ["max_completion_tokens"],
        ["max_completion_tokens"],
    ]


# --- what goes wrong

PASSING = {
    "500": error(500, "out of luck"),
    "503": Answer(503, "loading"),
    "408": error(408, "too slow"),
    "429": error(429, "slow down"),
    "cut": Answer(body=completion("never arrives").body, cut=True),
    "garbage": Answer(body="<html>Bad gateway</html>"),
    "no choices": Answer(body='{"choices": []}'),
    "no message": Answer(body='{"choices": [{"text": "old style"}]}'),
    "error with 200": Answer(body='{"error": "overloaded"}'),
    "hang": Answer(hang=True),
}


@pytest.mark.parametrize("answer", PASSING.values(), ids=PASSING)
def test_a_failure_that_passes_is_not_seen(answer: Answer) -> None:
    with Server(answer) as server:
        assert reply(policy(server)).text == "echo: hello"
    assert len(server.bodies) == 2


def test_failures_that_stay_end_one_call_each_with_a_sentence() -> None:
    # Without retries, in one loop: the policy goes on after each of them.
    with Server(*PASSING.values()) as server:
        asked = policy(server, retries=0)
        failed = [reply(asked) for _ in PASSING]
        assert reply(asked).finish is Finish.STOP
    assert {f.finish for f in failed} == {Finish.ERROR}
    assert all(f.text == "" and server.url in f.error and "\n" not in f.error for f in failed)
    assert failed[0].error == f"{server.url} answered 500: out of luck"


def test_retry_after_is_honoured() -> None:
    with Server(Answer(429, "", {"Retry-After": "1"})) as server:
        start = time.perf_counter()
        assert reply(policy(server)).finish is Finish.STOP
        assert time.perf_counter() - start >= 1.0


def test_retry_after_in_every_form() -> None:
    assert servers.retry_after("2.5") == 2.5
    assert servers.retry_after("86400") == 60
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < servers.retry_after(soon) <= 30
    for nothing in ("", "soon", "-3", "Mon, 01 Jan 2001 00:00:00 GMT", "1 hour"):
        assert servers.retry_after(nothing) == 0


@pytest.mark.parametrize(
    "answer",
    [
        error(400, "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"),
        error(400, "Please shorten it.", code="context_length_exceeded"),
        error(400, "The input (9 tokens) is longer than the model's context length (8 tokens)."),
        error(500, "the request exceeds the available context size. try increasing it"),
        error(200, "too many", type="exceed_context_size_error", n_prompt_tokens=1407, n_ctx=256),
        error(400, "'max_completion_tokens' is too large: 9. This model's maximum context length is 8 tokens"),
        Answer(500, "Requested tokens (2285) exceed context window of 2048"),
    ],
)
def test_a_prompt_that_does_not_fit_is_an_overflow_at_once(answer: Answer) -> None:
    with Server(answer) as server:
        got = reply(policy(server))
    assert (got.finish, len(server.bodies)) == (Finish.OVERFLOW, 1)
    assert got.error


def test_a_bad_request_is_not_sent_again() -> None:
    with Server(error(422, "top_p must be above 0")) as server:
        got = reply(policy(server))
    assert got == Generation("", Finish.ERROR, error=f"{server.url} answered 422: top_p must be above 0")
    assert len(server.bodies) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_stops_the_run_and_is_never_shown(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    with Server(error(status, f"Incorrect API key provided: {KEY}")) as server:
        asked = policy(server, key_env="MY_KEY")
        with pytest.raises(BackendError, match="MY_KEY holds a wrong key") as caught:
            reply(asked)
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert KEY not in str(caught.value) + str(asked.describe()) + repr(asked.options)


def test_a_key_that_the_server_echoes_is_blotted_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with Server(error(400, f"strange header: Bearer {KEY}")) as server:
        assert reply(policy(server)).error == f"{server.url} answered 400: strange header: Bearer ***"


def test_a_key_in_the_url_is_refused() -> None:
    for url in ("http://user:word@host/v1", "http://host/v1?key=1", "host:8000/v1"):
        with pytest.raises(ValidationError):
            Options(url=url, model="m")


def test_an_unknown_model_stops_the_run() -> None:
    with (
        Server(error(404, "The model `m` does not exist.")) as server,
        pytest.raises(BackendError, match=r"`m` does not exist\.: correct policy\.url or policy\.model"),
    ):
        reply(policy(server))


def test_a_server_that_is_not_there_stops_the_run() -> None:
    url = free_url()
    asked = openai_server.build(Options(url=url, model="m", retries=1))
    with pytest.raises(BackendError, match=f"no server answers at {url}"):
        reply(asked)


def test_a_server_that_dies_stops_the_run() -> None:
    with Server() as server:
        asked = policy(server)
        assert reply(asked).finish is Finish.STOP
    with pytest.raises(BackendError, match="no server answers"):
        reply(asked)


# --- concurrency


def test_requests_run_at_once_but_never_more_than_allowed() -> None:
    with Server(latency=0.05) as server:
        asked = policy(server, concurrency=8, timeout_s=10)
        start = time.perf_counter()
        got = replies(asked, [call(f"n{i}") for i in range(40)])
        seconds = time.perf_counter() - start
    assert [g.text for g in got] == [f"echo: n{i}" for i in range(40)]
    assert server.peak == 8
    assert seconds < 40 * 0.05 / 2


def test_one_policy_serves_one_event_loop_after_another() -> None:
    with Server() as server:
        asked = policy(server)
        assert [reply(asked, call(str(i))).text for i in range(3)] == ["echo: 0", "echo: 1", "echo: 2"]


# --- the rest


def test_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server() as server:
        options = policy(server).options
        assert openai_server.probe(options) == f"{server.url} serves m"
        other = options.model_copy(update={"model": "other"})
        assert openai_server.probe(other) == f"{server.url} answers; it lists m, not other"
    with pytest.raises(BackendError, match="no server answers"):
        openai_server.probe(options)
    with Server(error(401, "no"), Answer(body="<html>")) as server:
        options = policy(server).options
        with pytest.raises(BackendError, match="OPENAI_API_KEY is not set"):
            openai_server.probe(options)
        with pytest.raises(BackendError, match="lists no models"):
            openai_server.probe(options)


def test_describe_and_tokenizer() -> None:
    with Server() as server:
        asked = policy(server, window=4096, extra={"b": 1, "a": 2})
        assert asked.describe() == {
            "name": "openai_server: m",
            "url": server.url,
            "temperature": "0.7",
            "top_p": "1.0",
            "thinking": "none",
            "tokenizer": "words",
            "extra": '{"a": 2, "b": 1}',
        }
        assert (asked.window, asked.batch) == (4096, 16)
        assert openai_server.tokenizer(asked.options).name == "words"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["choices", "message", "content", "usage", "error", "x"]), inner)
    ),
)


@given(JSON)
def test_no_response_raises(value: object) -> None:
    body = json.dumps(value)
    completions.read(body)
    assert isinstance(servers.said(body), str)
    assert not completions.overflows(body) or "context" in body.lower()


def test_a_response_that_is_nested_to_death_does_not_raise() -> None:
    body = "[" * 200_000
    assert completions.read(body) is None
    assert servers.said(body) == body
