"""The client of an embedding server, against a real server that misbehaves in every way."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from atommem_cli.core.errors import BackendError
from atommem_cli.core.memory import TextTooLong
from atommem_cli.embedders import openai_server
from atommem_cli.models import http

Reply = tuple[int, dict[str, str], bytes]


class Server(ThreadingHTTPServer):
    """Answers as `replies` say, one by one, and then as it should."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.replies: list[Reply | Callable[[dict[str, Any]], Reply]] = []
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []

    def handle_error(self, *_: object) -> None:
        """A client that has hung up is part of the game."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append({"path": self.path, **request})
        self.server.headers.append(dict(self.headers))
        reply = self.server.replies.pop(0) if self.server.replies else good
        status, headers, body = reply(request) if callable(reply) else reply
        if status == 0:  # hang up
            self.connection.close()
            return
        if status < 0:  # a body that never ends
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            for _ in range(20):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.05)
            return
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def vector(text: str) -> list[float]:
    return [len(text), 1.0, float(text.count("e"))]


def good(request: dict[str, Any]) -> Reply:
    data = [{"index": i, "embedding": vector(text)} for i, text in enumerate(request["input"])]
    return 200, {}, json.dumps({"data": data[::-1]}).encode()  # the order is the index's


def said(**content: object) -> Reply:
    return 200, {}, json.dumps(content).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    thread = threading.Thread(target=started.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield started
    started.shutdown()
    started.server_close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_FIRST_WAIT", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def embedder(url: str, **options: object) -> openai_server.ServerEmbedder:
    options = {"model": "m", "dimension": 3, "retries": 3, **options}
    return openai_server.build(openai_server.Options(url=url, **options))  # type: ignore[arg-type]


def test_texts_become_unit_vectors_in_their_order(server: Server) -> None:
    texts = ["one", "seventeen", "three"]
    vectors = embedder(server.url, batch=2, query_instruction="Q: ").embed(texts, is_query=False)
    expected = np.array([vector(text) for text in texts])
    assert np.allclose(vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)
    assert vectors.dtype == np.float32
    assert [request["input"] for request in server.requests] == [texts[:2], texts[2:]]
    assert server.requests[0]["path"] == "/v1/embeddings"
    assert server.requests[0]["model"] == "m"


def test_queries_carry_the_instruction(server: Server) -> None:
    embedder(f"{server.url}/", query_instruction="Q: ").embed(["one"], is_query=True)
    assert server.requests[0]["input"] == ["Q: one"]
    assert server.requests[0]["path"] == "/v1/embeddings"


def test_no_texts_no_request(server: Server) -> None:
    assert embedder(server.url).embed([], is_query=True).shape == (0, 3)
    assert server.requests == []


def test_lone_surrogates_can_be_sent(server: Server) -> None:
    assert embedder(server.url).embed(["a\ud800"], is_query=False).shape == (1, 3)


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder(server.url).embed(["a"], is_query=False)
    assert "Authorization" not in server.headers[0]
    monkeypatch.setenv("MY_KEY", "s3cret\n")
    made = embedder(server.url, key_env="MY_KEY")
    made.embed(["a"], is_query=False)
    assert server.headers[1]["Authorization"] == "Bearer s3cret"
    server.replies = [(401, {}, b"no")]
    with pytest.raises(BackendError, match="the environment variable MY_KEY holds a wrong key") as error:
        made.embed(["a"], is_query=False)
    assert "s3cret" not in f"{error.value} {made.describe()} {vars(made)}"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_what_may_pass_is_tried_again(server: Server, status: int) -> None:
    server.replies = [(status, {}, b"busy"), (0, {}, b""), (status, {}, b"busy")]
    assert embedder(server.url).embed(["a"], is_query=False).shape == (1, 3)
    assert len(server.requests) == 4


@pytest.mark.parametrize("status", [429, 503])
def test_it_waits_as_long_as_the_server_asks(server: Server, status: int) -> None:
    server.replies = [(status, {"Retry-After": "0.3"}, b"busy")]
    began = time.monotonic()
    embedder(server.url).embed(["a"], is_query=False)
    assert 0.3 <= time.monotonic() - began < 2


def test_it_gives_up(server: Server) -> None:
    server.replies = [(503, {}, b'{"error": {"message": "loading\\nmodel"}}')] * 9
    with pytest.raises(BackendError, match="answers with status 503: loading model"):
        embedder(server.url).embed(["a"], is_query=False)
    assert len(server.requests) == 4


@pytest.mark.parametrize("status", [400, 404, 422, 301])
def test_what_will_not_pass_is_not_tried_again(server: Server, status: int) -> None:
    server.replies = [(status, {}, b'{"error": "no such model"}')]
    with pytest.raises(BackendError, match=f"answers with status {status}: no such model"):
        embedder(server.url).embed(["a"], is_query=False)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (said(), "no embeddings: {}"),
        (said(data=None), "no embeddings"),
        (said(data=[{"index": 0}, {"index": 1}]), "no embeddings"),
        (said(data=[{"index": 0, "embedding": "AACAPw=="}, {"index": 1, "embedding": [1, 2, 3]}]), "no embeddings"),
        (said(data=[{"index": 0, "embedding": [1, 2, 3]}]), "1 vectors to 2 texts"),
        (said(data=[{"index": 0, "embedding": [1, 2, 3]}] * 2), "2 vectors to 2 texts"),
        (said(data=[{"index": i, "embedding": [1, 2, 3]} for i in range(3)]), "3 vectors to 2 texts"),
        (said(data=[{"index": i, "embedding": [1, 2]} for i in range(2)]), "2 dimensions: set embedder.dimension"),
        (said(data=[{"index": i, "embedding": [1] * (3 + i)} for i in range(2)]), "3, 4 dimensions"),
        (said(data=[{"index": i, "embedding": [0, 0, 0]} for i in range(2)]), "zero or not finite"),
        (said(data=[{"index": i, "embedding": [float("nan"), 0, 0]} for i in range(2)]), "zero or not finite"),
        (said(data=[{"index": i, "embedding": [1e300, 0, 0]} for i in range(2)]), "zero or not finite"),
    ],
    ids=range(12),
)
def test_other_answers_are_one_sentence(server: Server, reply: Reply, sentence: str) -> None:
    server.replies = [reply]
    with pytest.raises(BackendError, match=sentence) as error:
        embedder(server.url).embed(["a", "b"], is_query=False)
    assert "\n" not in str(error.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body", [b"<html>garbage", b"\xff\xfe", b"[" * 100_000, b'{"error": {"message": "upstream failed", "code": 502}}']
)
def test_what_is_no_answer_of_an_embedder_is_an_outage(server: Server, body: bytes) -> None:
    server.replies = [(200, {}, body)] * 2
    assert embedder(server.url).embed(["a"], is_query=False).shape == (1, 3)
    assert len(server.requests) == 3


def test_vectors_without_an_index_are_in_their_places(server: Server) -> None:
    texts = ["one", "seventeen", "three"]
    right = embedder(server.url).embed(texts, is_query=False)
    for index in (lambda i: {"index": i} if i else {}, lambda _: {}, lambda _: {"index": None}):
        data = [{**index(i), "embedding": vector(text)} for i, text in enumerate(texts)]
        server.replies = [said(data=data)]
        assert np.array_equal(embedder(server.url).embed(texts, is_query=False), right)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (400, {"message": "input too long", "code": "context_length_exceeded"}),
        (400, {"message": "This model's maximum context length is 8192 tokens, however you requested 9000 tokens"}),
        (413, "Input validation error: `inputs` must have less than 512 tokens. Given: 600"),
        (500, {"message": "input is too large to process. increase the physical batch size"}),
    ],
)
def test_a_text_that_is_too_long_is_named_and_can_be_cut(server: Server, status: int, told: object) -> None:
    def short(request: dict[str, Any]) -> Reply:
        if any(len(text) > 60 for text in request["input"]):
            return status, {}, json.dumps({"error": told}).encode()
        return good(request)

    server.replies = [short] * 3
    with pytest.raises(TextTooLong, match=r"900 characters, which is too long .*embedder.max_tokens") as error:
        embedder(server.url).embed(["a", "x" * 900], is_query=False)
    assert error.value.text == "x" * 900
    cutting = embedder(server.url, max_tokens=20)
    assert cutting.embed(["a", "x" * 900], is_query=False).shape == (2, 3)
    assert server.requests[-1]["input"] == ["a", "x" * 60]
    assert cutting.describe()["max_tokens"] == "20"
    assert "max_tokens" not in embedder(server.url).describe()


def test_fields_of_the_request_can_be_left_out_and_added(server: Server) -> None:
    extra = {"encoding_format": None, "dimensions": 3}
    embedder(server.url, extra=extra).embed(["a"], is_query=False)
    assert server.requests[0].keys() == {"path", "model", "input", "dimensions"}


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (b'{"message": "no credit", "code": "insufficient_quota"}', "nothing is paid for any more"),
        (b'{"message": "Rate limit (TPM): Limit 10, Used 0, Requested 11"}', "no wait makes it fit"),
    ],
)
def test_what_no_wait_heals_is_not_waited_for(server: Server, error: bytes, sentence: str) -> None:
    server.replies = [(429, {}, b'{"error": ' + error + b"}")]
    with pytest.raises(BackendError, match=sentence):
        embedder(server.url).embed(["a"], is_query=False)
    assert len(server.requests) == 1


def test_an_attempt_has_a_deadline_whatever_comes(server: Server) -> None:
    def trickle(_: dict[str, Any]) -> Reply:
        return -1, {}, b""

    server.replies = [trickle]
    with pytest.raises(BackendError, match=r"took longer than 0\.3 s \(timeout_s\)"):
        embedder(server.url, timeout_s=0.3, retries=0).embed(["a"], is_query=False)


def test_what_an_embedder_says_is_made_visible_and_its_echo_of_the_key_blotted_out(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    server.replies = [(400, {}, b"\x1b[2J sk-very-secret"), (200, {}, b'{"sk-very-secret": "\\u202e"}')]
    made = embedder(server.url)
    for _ in range(2):
        with pytest.raises(BackendError) as error:
            made.embed(["a"], is_query=False)
        assert "sk-very-secret" not in str(error.value)
        assert "\x1b" not in str(error.value)


def test_nobody_there() -> None:
    with pytest.raises(BackendError, match=r"no server answers at http://127\.0\.0\.1:1/v1"):
        embedder("http://127.0.0.1:1/v1", retries=1).embed(["a"], is_query=False)


def test_a_server_that_hangs(server: Server) -> None:
    def hang(request: dict[str, Any]) -> Reply:
        time.sleep(0.5)
        return good(request)

    server.replies = [hang]
    assert embedder(server.url, timeout_s=0.2).embed(["a"], is_query=False).shape == (1, 3)
    assert len(server.requests) == 2


@pytest.mark.parametrize("url", ["localhost:8000/v1", "http://user:secret@host/v1", "http://host/v1?key=secret"])
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        openai_server.Options(url=url, model="m", dimension=3)
