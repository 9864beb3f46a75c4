"""Asking a model of either kind, in this process or behind a network: the one place where it is done."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from atommem_cli.core.calls import POLICY, Generation
from atommem_cli.core.episode import Call, Policy, ServerPolicy
from atommem_cli.core.errors import BackendError
from atommem_cli.core.safe_text import paired

T = TypeVar("T")

_KEYS = re.compile(r"\bpolicy\.(?=(url|model|system|extra)\b)")
"""How a policy's sentences name its keys; those of other models have another place."""


def section_of(name: str) -> str:
    """The section of a recipe that names a model which agents or rewards ask by this name."""
    return POLICY if name == POLICY else f"helpers.{name}"


def answers(
    policy: Policy | ServerPolicy, calls: Sequence[Call], section: str = POLICY
) -> Iterator[tuple[int, Generation]]:
    """Ask all at once; the number of a call and its reply, as they come.

    Args:
        section: of the recipe, which names the model; what the model says of its keys names them there.

    Raises:
        BackendError: the model failed for good; what it had said before came first.
    """
    if not calls:
        return
    with _placed(section):
        if isinstance(policy, ServerPolicy):
            server = policy
            came = followed(lambda: _each(server, calls))
        else:
            came = iter(enumerate(policy.generate(calls)))
        for number, generation in came:
            yield number, _told(generation, section)


def replies(policy: Policy | ServerPolicy, calls: Sequence[Call], section: str = POLICY) -> list[Generation]:
    """As `answers`, one reply per call, in order."""
    came = dict(answers(policy, calls, section))
    return [came[number] for number in range(len(calls))]


async def reply(policy: Policy | ServerPolicy, call: Call, section: str = POLICY) -> Generation:
    """One reply, while others wait for theirs; a model of this process works in a thread of its own.

    Args:
        section: as for `answers`.

    Raises:
        BackendError: the model failed for good.
    """
    with _placed(section):
        if isinstance(policy, ServerPolicy):
            return _told(await policy.reply(call), section)
        (generation,) = await asyncio.to_thread(policy.generate, [call])
    return _told(generation, section)


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


@contextmanager
def _placed(section: str) -> Iterator[None]:
    try:
        yield
    except BackendError as error:
        if section == POLICY:
            raise
        raise BackendError(_KEYS.sub(f"{section}.", str(error))) from None


def _told(generation: Generation, section: str) -> Generation:
    """A reply as a journal keeps it; what went wrong names the section."""
    text = paired(generation.text)
    if text != generation.text:
        generation = replace(generation, text=text)
    if section == POLICY or not generation.error:
        return generation
    return replace(generation, error=_KEYS.sub(f"{section}.", generation.error))


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
