"""What an agent promises of replies: it reads what it writes, and lives with the rest; see `episode.Agent`."""

from __future__ import annotations

from atommem_cli.contracts import _said
from atommem_cli.contracts._agents import hostile, insist_end, nonsense, plays
from atommem_cli.contracts._plays import by_script, insist_operations, play, policy, tasks, writing
from atommem_cli.contracts.promises import insist
from atommem_cli.core.calls import Expects
from atommem_cli.core.episode import Agent
from atommem_cli.core.safe_text import shown
from atommem_cli.core.types import CONTEXT_OPS, MemoryOp, OpKind


def answers_are_handed_in_as_written(agent: Agent) -> None:
    """An answer that `write` makes is the answer that is handed in."""
    for word in ("velt", "forty two"):
        for played in play(agent, tasks(), policy(writing(agent, word))):
            for number in {one.question for one in played.asks if one.question is not None}:
                found = played.trajectory.answers[number].text
                insist(
                    found == word,
                    f"the policy answers what write(ANSWER, [], {word!r}) makes, and {shown(found)} is handed in: read "
                    "the answer out of the reply with the same grammar (a dialect's `answer`)",
                )


def parse_is_the_inverse_of_write(agent: Agent) -> None:
    """`parse` reads out of a reply the operations that `write` put in.

    What an agent runs by itself need not be said; it edits its context maybe only in longer episodes than these."""
    played = [*plays(agent)]
    asked = {one.expects for each in played for one in each.asks}
    alone = {*CONTEXT_OPS, *(op.kind for each in played for op in each.ops)}
    for expects in (Expects.OPERATIONS, Expects.ANSWER):
        if expects not in asked or not agent.operations:
            continue
        said = _said.speech(agent, expects)
        for kind, why in said.unspoken.items():
            insist(
                kind in alone,
                f"operations declares {kind}, and no reply to a call that expects {expects} means it, as {why}: let "
                "write and parse speak of it, or take it out of operations; what the agent runs by itself may stay",
            )
        _said.insist_inverse(
            lambda ops, expects=expects: agent.write(expects, ops),  # type: ignore[misc]
            lambda reply, expects=expects: agent.parse(expects, reply),  # type: ignore[misc]
            said.spoken,
            f"where a call expects {expects}, ",
        )
    if Expects.NOTES in asked:
        for text in ("Ada lives in Velt.", "two\nlines"):
            reply = agent.write(Expects.NOTES, [MemoryOp(OpKind.SCRATCHPAD, text)])
            found = agent.parse(Expects.NOTES, reply)
            insist(
                [op.text for op in found] == [text],
                f"parse reads {shown(found)} out of the notes {shown(reply)}: one operation with their text is wanted",
            )


def parse_never_raises(agent: Agent) -> None:
    """`parse` gives operations for any reply, defective ones where they cannot be read, and never raises."""
    for expects in Expects:
        for reply in hostile(agent, expects):
            ops = _said.quietly(lambda r, e=expects: agent.parse(e, r), reply, "parse")  # type: ignore[misc]
            insist_operations(ops, f"out of {shown(reply)} parse reads")


def no_reply_stops_it(agent: Agent) -> None:
    """Whatever is replied, silence and nonsense too, it plays to its end and answers every question."""
    for name in ("mute", "random", "chaotic"):
        for played in play(agent, tasks(), by_script(name)):
            insist_end(played, f" of the policy scripted:{name}")
    for number in range(8):
        for played in play(agent, tasks()[number % 3 :][:1], policy(nonsense(agent, number))):
            insist_end(played, " of nonsense")
