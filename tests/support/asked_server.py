"""The server policy, asked in an event loop of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fake_server import Server

from atommem_cli.core.calls import Expects, Generation, Message, Observation
from atommem_cli.core.episode import Call
from atommem_cli.policies import openai_server
from atommem_cli.policies.openai_server import OpenAIServer, Options


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
