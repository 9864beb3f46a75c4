"""Plays for the contract of agents: with policies of every kind, with nonsense, and what they must come to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from atommem_cli.contracts import _said
from atommem_cli.contracts._plays import LIMITS, Played, by_script, play, policy, reading, tasks, writing
from atommem_cli.contracts._replies import HOSTILE, broken, operations
from atommem_cli.contracts.promises import ContractBroken, insist, raised
from atommem_cli.core.calls import Expects
from atommem_cli.core.episode import Agent, Call
from atommem_cli.core.safe_text import shown
from atommem_cli.core.types import MemoryOp, OpKind, StopReason
from atommem_cli.core.workload import shape_of, workload_of

ANSWERING = "call episode.give(number, answer) for each question, or end with `yield from self.read_answer(...)`"


def plays(agent: Agent) -> Iterator[Played]:
    """Plays with policies of every kind."""
    for name in ("oracle", "mute", "random", "chaotic"):
        yield from play(agent, tasks(), by_script(name))
    yield from play(agent, tasks(), policy(writing(agent)))
    yield from play(agent, tasks(), policy(reading(agent)))


def bounds(agent: Agent, played: Played) -> tuple[int, int]:
    """Fewest and most calls of an episode, as plans count them."""
    shape = shape_of(played.episode.chunks, len(played.episode.task.questions))
    low, high = workload_of(agent, shape, LIMITS.reply).calls
    return low, high * (1 + LIMITS.reads * agent.reads_again)


def insist_end(played: Played, after: str) -> None:
    stop, asked = played.trajectory.stop, range(len(played.episode.task.questions))
    insist(stop is StopReason.ANSWERED, f"after the replies{after} an episode ends as {stop}: let play come to its end")
    missing = [str(number) for number in asked if number not in played.episode.given]
    insist(
        not missing,
        f"after the replies{after} no answer is handed in to question {', '.join(missing)} of {len(asked)}, counted "
        f"from 0: {ANSWERING}",
    )


def nonsense(agent: Agent, number: int) -> Callable[[Call], str]:
    replies = {expects: [*hostile(agent, expects)] for expects in Expects}

    def say(call: Call) -> str:
        known = replies[call.observation.expects]
        return known[(number * 7919 + call.seed) % len(known)]

    return say


def hostile(agent: Agent, expects: Expects) -> Iterator[str]:
    """Nonsense, and broken replies of the agent's own grammar."""
    yield from HOSTILE
    kinds = [*_said.speech(agent, expects).spoken] or [OpKind.CREATE]
    for seed in range(12):
        try:
            whole = agent.write(
                expects, operations(kinds, seed) or [MemoryOp(OpKind.SCRATCHPAD, "x")], None if seed % 2 else "velt"
            )
        except Exception as error:
            raise ContractBroken(f"write raises {raised(error)}: scripted policies speak through it") from error
        insist(isinstance(whole, str), f"write gives {shown(whole)}: the text of a reply is wanted")
        yield whole
        yield from broken(whole, seed, 12)
