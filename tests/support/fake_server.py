"""A small OpenAI-compatible server that misbehaves on demand: real sockets, raw HTTP/1.1; chat, judge, embeddings."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class Answer:
    """One response."""

    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    """Close the connection in the middle of the body."""
    hang: bool = False
    """Say nothing until the client goes."""
    trickle: bool = False
    """Announce a long body, and send a blank now and then."""
    flood: int = 0
    """Bytes of blanks to send without end being announced."""


def completion(text: str | None, finish: str | None = "stop", **more: Any) -> Answer:
    """A chat completion; `more` are fields beside `choices`."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return Answer(body=json.dumps({"choices": [choice], **more}))


def error(status: int, message: str, **more: Any) -> Answer:
    return Answer(status, json.dumps({"error": {"message": message, **more}}))


def choice(finish: str | None = "stop", **message: Any) -> Answer:
    """A chat completion of any message."""
    return Answer(body=json.dumps({"choices": [{"message": message, "finish_reason": finish}]}))


def _no_top_p(body: dict[str, Any]) -> Answer | None:
    return error(400, "Unsupported parameter: 'top_p' is not supported with this model") if "top_p" in body else None


def _no_system(body: dict[str, Any]) -> Answer | None:
    return error(400, "System role not supported") if body["messages"][0]["role"] == "system" else None


def _short(body: dict[str, Any]) -> Answer | None:
    long = any(len(text) > 60 for text in body["input"])
    return error(400, "input too long", code="context_length_exceeded") if long else None


Mode = Answer | Callable[[dict[str, Any]], Answer | None]

MODES: dict[str, Mode] = {
    "reasoned": choice(content=None, reasoning_content="<create_memory>Ada</create_memory>"),
    "spent": choice("length", content=None, reasoning_content="well"),
    "filter": choice("content_filter", content=""),
    "broken": Answer(
        body=json.dumps(
            {
                "choices": [
                    {
                        "finish_reason": "error",
                        "message": {"content": ""},
                        "error": {"code": 502, "message": "upstream failed"},
                    }
                ]
            }
        )
    ),
    "key": error(401, "wrong key"),
    "forbidden": error(403, "not yours"),
    "model": error(404, "no such model"),
    "quota": error(429, "no credit", code="insufficient_quota"),
    "vllm": error(400, "This model's maximum context length is 4096 tokens"),
    "gemini": error(400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
    "lmstudio": error(400, "model is loaded with context length of only 4096 tokens"),
    "notopp": _no_top_p,
    "nosystem": _no_system,
    "judgecut": choice("length", content="<think>" + "hmm " * 500),
    "noindex": lambda body: Answer(
        body=json.dumps(
            {
                "data": [
                    {"embedding": [len(text), 1.0, 2.0], **({"index": i} if i else {})}
                    for i, text in enumerate(body["input"])
                ]
            }
        )
    ),
    "short": _short,
    "operations": completion("<create_memory>x y</create_memory><create>x y</create><answer>z</answer>"),
    "wordy": completion(f"<create_memory>{'long ' * 40}</create_memory><answer>z</answer>"),
    "grue": completion("<answer>z</answer>", "eaten_by_a_grue"),
    "down": error(503, "no upstream"),
    "trickle": Answer(trickle=True),
    "refused": error(400, "this is not what I take"),
}
"""One fault each, for every request to `Server.at(MODE)`; None serves it rightly."""


class Server:
    """Gives the answers in turn, then echoes the last message for ever; `with Server(...) as server`."""

    def __init__(self, *answers: Answer, latency: float = 0.0) -> None:
        self.url = ""
        self.bodies: list[dict[str, Any]] = []
        """What was posted."""
        self.headers: list[dict[str, str]] = []
        """Of each request, names in lower case."""
        self.peak = 0
        """Most requests at once."""
        self._host = ""
        self._answers = deque(answers)
        self._latency = latency
        self._open = 0
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def at(self, mode: str) -> str:
        """The address under which every request meets one of `MODES`."""
        return f"{self._host}/{mode}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self._host = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self.url = f"{self._host}/v1"
        self._started.set()
        await self._over.wait()
        server.close()
        connections = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its response; whether the connection stays open."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
        posted = await reader.readexactly(int(headers.get("content-length", 0)))
        self.headers.append(headers)
        body = json.loads(posted) if posted else {}
        if posted:
            self.bodies.append(body)
        self._open += 1
        self.peak = max(self.peak, self._open)
        try:
            await asyncio.sleep(self._latency)
            answer = self._answer(head[0], body)
            if answer.hang:
                await reader.read()
                return False
        finally:
            self._open -= 1
        content = answer.body.encode()
        length = answer.flood or (10**6 if answer.trickle else len(content))
        lines = [f"HTTP/1.1 {answer.status} Whatever", f"Content-Length: {length}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + (content[: len(content) // 2] if answer.cut else content))
        await writer.drain()
        while answer.trickle and not self._over.is_set():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.05)
        for _ in range(answer.flood >> 16):
            writer.write(b" " * (1 << 16))
            await writer.drain()
        return not answer.cut

    def _answer(self, request: str, body: dict[str, Any]) -> Answer:
        mode, slash, rest = request.partition(" /")[2].partition("/")
        if mode in MODES:
            fault = MODES[mode]
            answer = fault if isinstance(fault, Answer) else fault(body)
            return answer or self._right(f"{request.partition(' ')[0]} {slash}{rest}", body)
        return self._answers.popleft() if self._answers else self._right(request, body)

    def _right(self, request: str, body: dict[str, Any]) -> Answer:
        if request.startswith("GET /v1/models "):
            return Answer(body=json.dumps({"data": [{"id": "m"}]}))
        if request.startswith("POST /v1/embeddings "):
            data = [{"index": i, "embedding": [len(text), 1.0, 2.0]} for i, text in enumerate(body["input"])]
            return Answer(body=json.dumps({"data": data}))
        if not request.startswith("POST /v1/chat/completions "):
            return error(404, "Not Found")
        text = f"echo: {body['messages'][-1]['content']}"
        return completion(text, usage={"prompt_tokens": 7, "completion_tokens": 3})
