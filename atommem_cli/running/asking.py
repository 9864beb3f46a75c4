"""Asking a model of either kind, in this process or behind a network: the one place where it is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import TypeVar

from atommem_cli.core.calls import Generation
from atommem_cli.core.episode import Call, Policy, ServerPolicy

T = TypeVar("T")


def answers(policy: Policy | ServerPolicy, calls: Sequence[Call]) -> Iterator[tuple[int, Generation]]:
    """Ask all at once; the number of a call and its reply, as they come.

    Raises:
        BackendError: the model failed for good; what it had said before came first.
    """
    if not calls:
        return
    if isinstance(policy, ServerPolicy):
        server = policy
        yield from followed(lambda: _each(server, calls))
    else:
        yield from enumerate(policy.generate(calls))


def replies(policy: Policy | ServerPolicy, calls: Sequence[Call]) -> list[Generation]:
    """Ask all at once; one reply per call, in order.

    Raises:
        BackendError: the model failed for good.
    """
    came = dict(answers(policy, calls))
    return [came[number] for number in range(len(calls))]


async def reply(policy: Policy | ServerPolicy, call: Call) -> Generation:
    """One reply, while others wait for theirs; a model of this process works in a thread of its own.

    Raises:
        BackendError: the model failed for good.
    """
    if isinstance(policy, ServerPolicy):
        return await policy.reply(call)
    (generation,) = await asyncio.to_thread(policy.generate, [call])
    return generation


def slots_of(policy: Policy | ServerPolicy) -> asyncio.Semaphore:
    """As many calls at once as the model takes, for `reply`."""
    return asyncio.Semaphore(policy.batch if isinstance(policy, ServerPolicy) else 1)


def followed(start: Callable[[], AsyncGenerator[T, None]]) -> Iterator[T]:
    """What an asynchronous generator yields, in an event loop that lives as long as somebody listens."""
    with asyncio.Runner() as runner:
        stream = start()

        async def following() -> tuple[T] | None:
            async for each in stream:
                return (each,)
            return None

        try:
            while (each := runner.run(following())) is not None:
                yield each[0]
        finally:
            runner.run(stream.aclose())


async def _each(server: ServerPolicy, calls: Sequence[Call]) -> AsyncGenerator[tuple[int, Generation], None]:
    slots = slots_of(server)

    async def one(number: int, call: Call) -> tuple[int, Generation]:
        async with slots:
            return number, await server.reply(call)

    waiting = {asyncio.ensure_future(one(number, call)) for number, call in enumerate(calls)}
    try:
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            failed = [task.exception() for task in done]
            for task in done:
                if task.exception() is None:
                    yield task.result()
            for error in filter(None, failed):
                raise error
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await server.close()
