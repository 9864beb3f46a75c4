"""Policies: what batching is worth, and what the server policy costs over bare requests.

Run: OMP_WAIT_POLICY=passive python tests/bench/bench_policies.py
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path

import httpx

from atommem_cli.core.calls import Expects, Finish, Message, Observation
from atommem_cli.core.episode import Call
from atommem_cli.policies import hf, openai_server

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from fake_server import Server

PROMPTS = 32
CALLS, AT_ONCE, LATENCY = 200, 16, 0.02
ROUNDS = 11


def main() -> None:
    batching()
    server()


def call(index: int) -> Call:
    text = "chunk : " + "memory " * (40 + index)
    return Call(None, Observation((Message("user", text),), 24, Expects.ANSWER), seed=index)


def batching() -> None:
    """Goal: 5 times as fast."""
    policy = hf.build(hf.Options(model="tiny", device="cpu", temperature=1.0, batch=PROMPTS))
    calls = [call(index) for index in range(PROMPTS)]
    policy.generate(calls)
    together = _best(lambda: policy.generate(calls))
    alone = _best(lambda: [policy.generate([c]) for c in calls])
    print(f"hf, tiny, CPU: {PROMPTS} prompts in a batch {alone / together:.1f}x as fast as one by one (goal 5x)")


def server() -> None:
    """Goal: 95 % of the throughput of bare requests."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    url = ours.recv()
    bare, mine = asyncio.run(_compared(url))
    process.terminate()
    print(
        f"openai_server: {CALLS} calls, {AT_ONCE} at once, {1000 * LATENCY:.0f} ms: "
        f"{bare / mine:.0%} of the throughput of bare httpx (goal 95 %), "
        f"{CALLS / AT_ONCE * LATENCY / mine:.0%} of what the latency allows"
    )


async def _compared(url: str) -> tuple[float, float]:
    """Seconds for all calls, bare and through the policy: the best of rounds in turn (noise only adds)."""
    policy = openai_server.build(openai_server.Options(url=url, model="m", concurrency=AT_ONCE))
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    client = httpx.AsyncClient(timeout=60, limits=limits)

    async def bare(index: int) -> None:
        messages = [{"role": m.role, "content": m.content} for m in call(index).observation.messages]
        body = {"model": "m", "messages": messages, "max_tokens": 24}
        response = await client.post(f"{url}/chat/completions", json=body)
        assert response.json()["choices"][0]["message"]["content"]

    async def mine(index: int) -> None:
        assert (await policy.reply(call(index))).finish is Finish.STOP

    await asyncio.gather(_timed(bare), _timed(mine))  # opens the connections
    pairs = [(await _timed(bare), await _timed(mine)) for _ in range(ROUNDS)]
    await asyncio.gather(client.aclose(), policy.close())
    first, second = zip(*pairs, strict=True)
    return min(first), min(second)


async def _timed(one: Callable[[int], Awaitable[None]]) -> float:
    """Seconds for all calls, as the rollout makes them: so many at once."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def slotted(index: int) -> None:
        async with slots:
            await one(index)

    start = time.perf_counter()
    await asyncio.gather(*map(slotted, range(CALLS)))
    return time.perf_counter() - start


def _serve(pipe: Connection) -> None:
    with Server(latency=LATENCY) as running:
        pipe.send(running.url)
        time.sleep(600)


def _best(act: Callable[[], object]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    main()
