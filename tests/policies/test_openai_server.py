"""The server policy against a real server that does everything wrong once."""

from __future__ import annotations

import json
import re
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from asked_server import call, policy, replies, reply
from fake_server import Answer, Server, choice, completion, error
from pydantic import ValidationError

from atommem_cli.core.calls import Finish, Generation
from atommem_cli.core.episode import ServerPolicy
from atommem_cli.core.errors import BackendError, UsageError
from atommem_cli.models import http
from atommem_cli.policies import openai_server
from atommem_cli.policies.openai_server import Options

KEY = "sk-very-secret"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


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
    assert http.retry_after("2.5") == 2.5
    assert http.retry_after("86400") == 60
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < http.retry_after(soon) <= 30
    for nothing in ("", "soon", "-3", "Mon, 01 Jan 2001 00:00:00 GMT", "1 hour"):
        assert http.retry_after(nothing) == 0


@pytest.mark.parametrize(
    "answer",
    [
        error(400, "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"),
        error(400, "Please shorten it.", code="context_length_exceeded"),
        error(400, "The input (9 tokens) is longer than the model's context length (8 tokens)."),
        error(500, "the request exceeds the available context size. try increasing it"),
        error(200, "too many", type="exceed_context_size_error", n_prompt_tokens=1407, n_ctx=256),
        error(400, "'max_completion_tokens' is too large: 9. This model's maximum context length is 12 tokens"),
        Answer(500, "Requested tokens (2285) exceed context window of 2048"),
    ],
)
def test_a_prompt_that_does_not_fit_is_an_overflow_at_once(answer: Answer) -> None:
    with Server(answer) as server:
        got = reply(policy(server))
    assert (got.finish, len(server.bodies)) == (Finish.OVERFLOW, 1)
    assert got.error


def test_a_bad_request_is_not_sent_again() -> None:
    with Server(error(422, "n must be above 0")) as server:
        got = reply(policy(server))
    assert got == Generation("", Finish.ERROR, error=f"{server.url} answered 422: n must be above 0")
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
        pytest.raises(BackendError, match=r"`m` does not exist: correct policy\.url or policy\.model"),
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
        got = replies(asked, [call(f"n{i}") for i in range(40)])
    assert [g.text for g in got] == [f"echo: n{i}" for i in range(40)]
    assert server.peak == 8


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


# --- what is not the model's answer

SPENT = "insufficient_quota"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (choice("error", content=""), "finish reason error"),
        (choice("abort", content="half"), "finish reason abort"),
        (choice("insufficient_system_resource", content=""), "finish reason insufficient_system_resource"),
        (choice("eaten_by_a_grue", content=""), "finish reason eaten_by_a_grue"),
        (choice(None, content=""), "answered 200"),
        (Answer(body='{"choices": [], "error": {"message": "overloaded", "code": 529}}'), "overloaded"),
        (Answer(body='{"error": {"message": "upstream failed", "code": 502}}'), "upstream failed"),
        (Answer(body='{"choices": null, "error": {"message": "no upstream"}}'), "no upstream"),
        (Answer(body='{"choices": [{"error": {"message": "died"}, "message": {"content": ""}}]}'), "died"),
        (Answer(body='{"detail": "not yet"}'), "not yet"),
        (Answer(body="data: {}"), "data"),
    ],
)
def test_an_outage_is_tried_again_and_then_a_failed_call(answer: Answer, said: str) -> None:
    with Server(answer) as server:
        assert reply(policy(server)).text == "echo: hello"
    with Server(answer) as server:
        failed = reply(policy(server, retries=0))
    assert failed.finish is Finish.ERROR
    assert failed.text == ""
    assert said in failed.error


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (choice("content_filter", content="half of it"), "withheld the reply (content_filter)"),
        (choice("SAFETY", content=None), "withheld the reply (safety)"),
        (choice("refusal", content=""), "withheld the reply (refusal)"),
        (choice("stop", content=None, refusal="I can't help with that"), "is a refusal: I can't help with that"),
        (error(400, "The response was filtered", code="content_filter"), "filtered"),
        (error(400, "no", innererror={"code": "ResponsibleAIPolicyViolation"}), "answered 400"),
        (error(403, "Your input was flagged by moderation"), "flagged"),
        (error(400, "Content Exists Risk"), "Content Exists Risk"),
    ],
)
def test_what_the_provider_withholds_is_neither_a_reply_nor_a_failure(answer: Answer, said: str) -> None:
    with Server(answer) as server:
        got = reply(policy(server))
    assert got.finish is Finish.FILTERED
    assert said in got.error
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (choice(content=None, reasoning_content="<answer>4</answer>"), "stands in the field reasoning_content"),
        (choice(content="", reasoning="4"), "stands in the field reasoning"),
        (choice(content=" ".strip(), thinking="4"), "stands in the field thinking"),
        (choice("tool_calls", content=None, tool_calls=[{"id": 1}]), "without a tool parser"),
        (choice(content=None, tool_calls=[{"id": 1}]), "without a tool parser"),
    ],
)
def test_a_reply_that_stands_elsewhere_is_one_sentence(answer: Answer, said: str) -> None:
    with Server(completion("fine"), *[answer] * 3) as server:
        asked = policy(server)
        assert reply(asked).text == "fine"
        failed = [reply(asked) for _ in range(3)]
    assert {f.finish for f in failed} == {Finish.ERROR}
    assert all(said in f.error for f in failed)
    with Server(*[answer] * 3) as server:
        asked = policy(server)
        assert [reply(asked).finish, reply(asked).finish] == [Finish.ERROR] * 2
        with pytest.raises(BackendError, match="nothing else in 3 calls"):
            reply(asked)


@pytest.mark.parametrize("reason", ["stop", "eos", "end_turn", "stop_sequence", "STOP", "FinishReason.STOP"])
def test_ends_of_a_whole_reply(reason: str) -> None:
    with Server(choice(reason, content="x")) as server:
        assert reply(policy(server)).finish is Finish.STOP


@pytest.mark.parametrize("reason", ["length", "max_tokens", "MAX_TOKENS", "model_length", "max_output_tokens"])
def test_ends_of_a_reply_that_was_cut(reason: str) -> None:
    with Server(choice(reason, content="x")) as server:
        assert reply(policy(server)).finish is Finish.LENGTH


def test_an_end_that_is_not_known_is_never_taken_for_a_stop() -> None:
    with Server(choice("eaten_by_a_grue", content="x")) as server:
        got = reply(policy(server))
    assert (got.text, got.finish) == ("x", Finish.OTHER)
    assert got.error == "the reply ended for a reason that is not known: eaten_by_a_grue"


def test_text_in_parts_is_joined_and_thoughts_in_parts_are_left_out() -> None:
    parts = [{"type": "thinking", "thinking": "2 + 2"}, {"type": "text", "text": "4"}, {"type": "text", "text": "!"}]
    with Server(choice(content=parts)) as server:
        assert reply(policy(server)).text == "4!"


# --- one sentence for the run


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (error(429, "You exceeded your current quota", code=SPENT), "nothing is paid for any more"),
        (error(402, "Insufficient Balance"), "nothing is paid for any more"),
        (error(400, "Your credit balance is too low to access the API"), "nothing is paid for any more"),
        (error(429, "Billing hard limit has been reached", code="billing_hard_limit_reached"), "nothing is paid for"),
        (error(403, "used all available credits or reached its monthly spending limit"), "nothing is paid for"),
        (error(200, "no credits", code=402), "nothing is paid for any more"),
        (error(400, "API key not valid. Please pass a valid API key."), "OPENAI_API_KEY is not set"),
        (
            error(400, "max_tokens is too large: 50000. This model supports at most 4096 completion tokens"),
            "limits.reply",
        ),
        (error(400, "max_tokens: 9000 > 8192, which is the maximum allowed number of output tokens"), "limits.reply"),
        (
            error(400, "'max_tokens' is too large: 9000. This model's maximum context length is 8192 tokens"),
            "limits.reply",
        ),
        (error(400, "System role not supported"), "set policy.system to merge"),
        (error(500, "Conversation roles must alternate user/assistant"), "set policy.system to merge"),
        (error(400, "Developer instruction is not enabled for models/gemma-3-27b-it"), "set policy.system to merge"),
        (error(400, "messages[0].role does not support 'system' with this model"), "set policy.system to merge"),
    ],
)
def test_what_no_call_can_pass_stops_the_run_at_once(answer: Answer, sentence: str) -> None:
    with Server(answer) as server, pytest.raises(BackendError, match=re.escape(sentence)) as caught:
        reply(policy(server))
    assert len(server.bodies) == 1
    assert "\n" not in str(caught.value)


def test_a_rate_that_speaks_of_tokens_and_billing_only_passes() -> None:
    rates = [
        error(429, "Rate limit reached on tokens per min (TPM): Limit 6000, too many tokens requested"),
        error(429, "You exceeded your current quota, check your plan and billing details", type="RESOURCE_EXHAUSTED"),
    ]
    for rate in rates:
        with Server(rate) as server:
            assert reply(policy(server)).finish is Finish.STOP


def test_a_request_beyond_the_rate_itself_is_not_tried_again() -> None:
    large = "Request too large for m in organization o on tokens per min (TPM): Limit 10000, Requested 12000. The input"
    with Server(error(429, large, code="rate_limit_exceeded"), completion("short enough")) as server:
        asked = policy(server)
        failed = reply(asked)
        assert failed.finish is Finish.ERROR
        assert failed.error.endswith("no wait makes it fit; lower chunk.tokens and limits")
        assert "Requested 12000" in failed.error
        assert len(server.bodies) == 1
        assert reply(asked).text == "short enough"


def test_the_same_refusal_of_all_first_calls_stops_the_run() -> None:
    with Server() as server:
        asked = policy(server, url=server.at("notopp"))
        failed = [reply(asked), reply(asked)]
        assert all("policy.extra={top_p: null} leaves it out" in f.error for f in failed)
        with pytest.raises(BackendError, match="nothing else in 3 calls"):
            reply(asked)
        lenient = policy(server, url=server.at("notopp"), extra={"top_p": None})
        assert reply(lenient).finish is Finish.STOP


def test_a_system_message_can_be_merged() -> None:
    with Server() as server:
        merging = policy(server, url=server.at("nosystem"), system="merge")
        assert reply(merging).text == "echo: be brief\n\nhello"
        assert merging.describe()["system"] == "merge"


def test_fields_can_be_left_out_and_renamed() -> None:
    extra = {"top_p": None, "seed": None, "max_tokens": None, "max_completion_tokens": 9}
    with Server() as server:
        reply(policy(server, extra=extra))
    assert server.bodies[0].keys() == {"model", "messages", "temperature", "max_completion_tokens"}


# --- how long, and how much


@pytest.mark.parametrize("answer", [Answer(trickle=True), Answer(hang=True)])
def test_an_attempt_has_a_deadline_whatever_comes(answer: Answer) -> None:
    with Server(answer) as server:
        start = time.perf_counter()
        got = reply(policy(server, timeout_s=0.4, retries=0))
        assert time.perf_counter() - start < 3
    assert got.error == f"{server.url} took longer than 0.4 s (timeout_s)"


def test_a_body_without_an_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MOST", 1 << 20)
    with Server(Answer(flood=1 << 24)) as server:
        got = reply(policy(server, timeout_s=20, retries=0))
    assert got.error == f"{server.url} answered with more than 1 MiB"


def test_a_reply_far_past_its_limit_is_cut_at_it_and_counted() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    with Server(completion("word " * 10_000, usage=usage), completion("w" * 100_000)) as server:
        asked = policy(server)
        words, one = reply(asked), reply(asked)
    assert (words.text, words.finish, words.new_tokens) == (("word " * 20).strip(), Finish.LENGTH, 2)
    assert words.error == "the server went on past its limit of 20 tokens: 49,901 characters left out"
    assert (len(one.text), one.finish) == (20 * 128, Finish.LENGTH)


def test_tokens_that_a_server_cannot_have_counted_are_counted_here() -> None:
    with Server(completion("word " * 200, usage={"prompt_tokens": 1, "completion_tokens": 1})) as server:
        assert reply(policy(server), call(most=400)).new_tokens == 200


# --- what the environment does


def test_a_proxy_in_force_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "http_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://me:word@127.0.0.1:1")
    asked = openai_server.build(Options(url="http://localhost:9/v1", model="m", retries=0))
    with pytest.raises(BackendError, match="through the proxy of HTTP_PROXY; NO_PROXY=localhost") as caught:
        reply(asked)
    assert "word" not in str(caught.value)
    monkeypatch.setenv("HTTP_PROXY", "ftp://127.0.0.1:1")
    with pytest.raises(BackendError, match="environment variables of proxies"):
        reply(openai_server.build(Options(url="http://localhost:9/v1", model="m", retries=0)))


@pytest.mark.parametrize("held", ["schlüssel", "Bearer sk-1", "a\nb"])
def test_what_is_no_key_is_one_sentence(held: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", held)
    with pytest.raises(UsageError, match="OPENAI_API_KEY holds no key") as caught:
        openai_server.build(Options(url="http://host/v1", model="m"))
    assert held not in str(caught.value)


def test_what_a_server_says_is_made_visible_and_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    hostile = f"\x1b[2J\x1b]0;title\x07 \u202e {KEY} " + "x" * 9000
    answers = [error(422, hostile), error(404, hostile), choice(hostile, content="x")]
    with Server(*answers, completion(f"it is {KEY}")) as server:
        asked = policy(server)
        texts = [reply(asked).error]
        with pytest.raises(BackendError) as caught:
            reply(asked)
        texts += [str(caught.value), reply(asked).error]
        assert reply(asked).text == "it is ***"
    for text in texts:
        assert len(text) <= 300
        assert not re.search("[\x00-\x1f\x7f-\x9f\u202e]", text)
        assert KEY not in text
