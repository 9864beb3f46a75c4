"""A small OpenAI-compatible server that misbehaves on demand: real sockets, raw HTTP/1.1."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
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


def completion(text: str | None, finish: str | None = "stop", **more: Any) -> Answer:
    """A chat completion; `more` are fields beside `choices`."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return Answer(body=json.dumps({"choices": [choice], **more}))


def error(status: int, message: str, **more: Any) -> Answer:
    return Answer(status, json.dumps({"error": {"message": message, **more}}))


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
        self._answers = deque(answers)
        self._latency = latency
        self._open = 0
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

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
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
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
            answer = self._answers.popleft() if self._answers else self._right(head[0], body)
            if answer.hang:
                await reader.read()
                return False
        finally:
            self._open -= 1
        content = answer.body.encode()
        lines = [f"HTTP/1.1 {answer.status} Whatever", f"Content-Length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + (content[: len(content) // 2] if answer.cut else content))
        await writer.drain()
        return not answer.cut

    def _right(self, request: str, body: dict[str, Any]) -> Answer:
        if request.startswith("GET /v1/models "):
            return Answer(body=json.dumps({"data": [{"id": "m"}]}))
        if not request.startswith("POST /v1/chat/completions "):
            return error(404, "Not Found")
        text = f"echo: {body['messages'][-1]['content']}"
        return completion(text, usage={"prompt_tokens": 7, "completion_tokens": 3})
