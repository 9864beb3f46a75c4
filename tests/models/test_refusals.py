"""What servers say when they refuse, in their own words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atommem_cli.models.refusals import Fault, fault, said
from atommem_cli.policies import _completions as completions


def body(message: str, **more: object) -> str:
    return json.dumps({"error": {"message": message, **more}})


@pytest.mark.parametrize(
    "message",
    [
        # vLLM, old and new
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
        "The prompt (total length 6000) is too long to fit into the model (context length 4096).",
        "The decoder prompt (length 9001) is longer than the maximum model length of 8192.",
        "You passed 4097 input tokens and requested 1 output tokens. However, the model's context length is only 4096",
        # SGLang
        "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
        "Requested token count exceeds the model's maximum context length of 4096 tokens.",
        "Input length (5000 tokens) exceeds the maximum allowed length (4090 tokens).",
        # llama.cpp
        "the request exceeds the available context size. try increasing the context size or enable context shift",
        "Requested tokens (2285) exceed context window of 2048",
        "input is too large to process. increase the physical batch size",
        # Ollama
        "the input length exceeds the context length",
        "input exceeds maximum context length",
        # TGI, TEI
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens",
        "Input validation error: `inputs` must have less than 512 tokens. Given: 600",
        # LM Studio
        "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with context "
        "length of only 4096 tokens, which is not enough.",
        # Gemini, Anthropic, OpenAI, Azure
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
        "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 tokens.",
        # Mistral, Groq, Together, DeepSeek, xAI
        "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
        "Please reduce the length of the messages or completion.",
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193",
        "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
        # Bedrock, Cohere, TensorRT-LLM, Databricks, OpenRouter, Qwen, Kimi, Copilot, LiteLLM
        "Input is too long for requested model.",
        "Too many input tokens. Max input tokens: 8192, request input token count: 9000",
        "too many tokens: total number of tokens in the prompt cannot exceed 4081",
        "Prompt length (5000) exceeds maximum input length (4096). Set log level to info and check",
        "prompt length 5000 plus max_new_tokens 100 should not exceed max_num_tokens 4096",
        "Bad request: prompt token count (4972) cannot exceed 4096. Please reduce the length of prompt",
        "This endpoint's maximum context length is 4096 tokens. However, you requested about 5000 tokens",
        "Range of input length should be [1, 30720]",
        "Invalid request: Your request exceeded model token limit: 8192",
        "prompt token count of 150000 exceeds the limit of 128000",
        "litellm.ContextWindowExceededError: too long",
    ],
)
def test_an_overflow_in_every_wording(message: str) -> None:
    assert fault(400, body(message)) is Fault.OVERFLOW
    assert fault(500, json.dumps({"error": message})) is Fault.OVERFLOW
    assert fault(422, json.dumps({"detail": message})) is Fault.OVERFLOW


def test_an_overflow_by_its_code_alone() -> None:
    assert fault(400, body("", code="context_length_exceeded")) is Fault.OVERFLOW
    assert fault(200, body("too many", type="exceed_context_size_error")) is Fault.OVERFLOW
    assert fault(413, "Payload Too Large") is Fault.OVERFLOW


@pytest.mark.parametrize(
    ("status", "text", "meant"),
    [
        (429, body("Request too large on tokens per min (TPM): Limit 10000, Requested 12000."), Fault.BEYOND),
        (413, body("Request too large on tokens per minute (TPM): Limit 6000, Requested 7000"), Fault.BEYOND),
        (
            429,
            body("Rate limit reached on tokens per day: Limit: 9,000, Used: 10, Requested: 9,001"),
            Fault.BEYOND,
        ),
        (429, body("Rate limit reached on tokens per min (TPM): Limit 9000, Used 8000, Requested 2000"), Fault.PASSING),
        (429, body("Rate limit reached on requests per min (RPM): Limit 3, Used 3, Requested 1"), Fault.PASSING),
        (429, body("Too many tokens per day"), Fault.PASSING),
        (400, body("max_tokens is too large: 5000. This model supports at most 4096 completion tokens"), Fault.LIMIT),
        (400, body("`max_tokens` must be less than or equal to `8192`"), Fault.LIMIT),
        (400, body("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"), Fault.LIMIT),
        (400, body("max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens"), Fault.LIMIT),
        (400, body("Use 'max_completion_tokens' instead. 'max_tokens' is unsupported."), Fault.RENAME),
        (400, body("temperature must be at most 2"), Fault.REFUSED),
        (404, body("The model `long-context-length` does not exist"), Fault.MISSING),
        (401, body("maximum context length"), Fault.KEY),
        (403, body("no"), Fault.KEY),
        (402, "", Fault.CREDIT),
        (429, body("x", type="insufficient_quota"), Fault.CREDIT),
        (429, body("You have reached your specified API usage limits."), Fault.CREDIT),
        (400, body("x", code="Arrearage"), Fault.CREDIT),
        (429, body("Rate limit reached for requests"), Fault.PASSING),
        (500, "", Fault.PASSING),
        (529, body("Overloaded"), Fault.PASSING),
        (200, "<html>", Fault.PASSING),
        (302, "", Fault.REFUSED),
    ],
)
def test_what_is_no_overflow(status: int, text: str, meant: Fault) -> None:
    assert fault(status, text) is meant


def test_what_a_server_repeats_of_the_request_means_nothing() -> None:
    told = {"detail": [{"msg": "field required", "input": "the maximum context length, content_filter", "loc": ["x"]}]}
    assert fault(422, json.dumps(told)) is Fault.REFUSED


def test_the_message_is_found_wherever_it_stands() -> None:
    assert said('{"error": {"message": "a"}}') == "a"
    assert said('{"error": "b"}') == "b"
    assert said('{"detail": "c"}') == "c"
    assert said('{"message": "d"}') == "d"
    assert said('{"choices": [{"error": {"message": "e"}}]}') == "e"
    provider = {"error": {"message": "Provider returned error", "metadata": {"raw": "out of luck"}}}
    assert said(json.dumps(provider)) == "Provider returned error (out of luck)"
    assert said("<html>") == "<html>"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "message", "content", "usage", "error", "code", "finish_reason", "x"]), inner
        )
    ),
)


@given(JSON, st.sampled_from([200, 400, 429, 500]))
def test_no_response_raises(value: object, status: int) -> None:
    text = json.dumps(value)
    completions.read(text)
    completions.ending(text)
    assert isinstance(said(text), str)
    assert isinstance(fault(status, text), Fault)


def test_a_response_that_is_nested_to_death_does_not_raise() -> None:
    text = "[" * 200_000
    assert completions.read(text) is None
    assert text.startswith(said(text))
    assert fault(200, text) is Fault.PASSING
