"""What an agent promises; see `episode.Agent`."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import get_args

from atommem_cli.contracts import promises
from atommem_cli.contracts._agent_replies import (
    answers_are_handed_in_as_written,
    no_reply_stops_it,
    parse_is_the_inverse_of_write,
    parse_never_raises,
)
from atommem_cli.contracts._agents import bounds, insist_end, plays
from atommem_cli.contracts._plays import (
    LIMITS,
    by_script,
    play,
    policy,
    reading,
    tasks,
    writing,
)
from atommem_cli.contracts.promises import ContractBroken, insist
from atommem_cli.core import components
from atommem_cli.core.calls import POLICY, Expects
from atommem_cli.core.episode import Agent, shows_of
from atommem_cli.core.memory import Addressing
from atommem_cli.core.safe_text import shown
from atommem_cli.core.types import MemoryOp, OpKind, Outcome, Shows
from atommem_cli.core.workload import Declares, shape_of, workload_of

_READING = (Expects.OPERATIONS, Expects.NOTES)
"""What is expected of calls that are never about a question."""


def check(agent: Agent) -> None:
    """Insist on every promise of an agent. It is played on small tasks with scripted policies; no model is asked.

    Raises:
        ContractBroken: one sentence.
    """
    promises.check(PROMISES, agent)


def it_says_what_it_is(agent: Agent) -> None:
    """It declares `calls_per_chunk`, `reads_again`, `operations`; and the rest of what it does, where it does it."""
    for name, least in (("calls_per_chunk", None), ("spare_calls", 0)):
        value = getattr(agent, name, least)
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        insist(whole, f"{name} is {shown(value)}: a whole number from 0 on is wanted, plans count with it")
    again = getattr(agent, "reads_again", None)
    insist(isinstance(again, bool), f"reads_again is {shown(again)}: True or False is wanted, plans count with it")
    kinds = getattr(agent, "operations", None)
    insist(
        isinstance(kinds, tuple) and all(isinstance(kind, OpKind) for kind in kinds) and len({*kinds}) == len(kinds),
        f"operations is {shown(kinds)}: a tuple of OpKind is wanted, each once",
    )
    shows = getattr(agent, "shows", Shows.CHUNKS)
    insist(shows in [*Shows], f"shows is {shown(shows)}: one of {', '.join(Shows)} is wanted, `why` needs it")
    addressing = getattr(agent, "addressing", "shown")
    words = get_args(Addressing)
    insist(addressing in words, f"addressing is {shown(addressing)}: one of {', '.join(words)} is wanted")
    helpers = getattr(agent, "helpers", ())
    insist(
        isinstance(helpers, tuple) and all(isinstance(name, str) for name in helpers) and POLICY not in helpers,
        f"helpers is {shown(helpers)}: a tuple of names is wanted, as recipes give them, and {POLICY} is none",
    )


def every_question_is_answered(agent: Agent) -> None:
    """It plays to its end and hands in an answer to every question; with the oracle as policy, too."""
    for played in [*play(agent, tasks(), policy(writing(agent))), *play(agent, tasks(), by_script("oracle"))]:
        insist_end(played, "")


def its_calls_are_whole(agent: Agent) -> None:
    """Each call has messages, a limit of tokens, and says what it expects and which chunk or question it shows."""
    for played in plays(agent):
        chunks, questions = len(played.episode.chunks), len(played.episode.task.questions)
        for asked in played.asks:
            insist(
                len(asked.messages) > 0 and all(isinstance(one.content, str) and one.role for one in asked.messages),
                f"a call has the messages {shown(asked.messages)}: each with a role and a text, and one at least",
            )
            insist(
                asked.chunk is None or 0 <= asked.chunk < chunks,
                f"a call shows chunk {asked.chunk} of {chunks}: give chunk=chunk.index",
            )
            insist(
                (asked.expects is not Expects.ANSWER if asked.question is None else asked.expects not in _READING)
                and (asked.question is None or 0 <= asked.question < questions),
                f"a call that expects {asked.expects} has question={asked.question}, of {questions}: Expects.ANSWER "
                "goes with the number of the question, from 0, and what is asked while reading has none",
            )
            most = LIMITS.answer if asked.expects is Expects.ANSWER else LIMITS.reply
            insist(
                0 < asked.max_new_tokens <= most,
                f"a call takes {asked.max_new_tokens} new tokens where the recipe allows {most}: pass on "
                "episode.limits.reply, or episode.limits.answer for a question",
            )


def chunks_are_asked_about_as_declared(agent: Agent) -> None:
    """Every chunk is asked about `calls_per_chunk` times, where no reply is asked again and `workload` says nothing."""
    if isinstance(agent, Declares):
        return
    for played in play(agent, tasks(), policy(writing(agent))):
        counts = Counter(asked.chunk for asked in played.asks if asked.chunk is not None)
        for chunk in range(len(played.episode.chunks)):
            insist(
                counts[chunk] == agent.calls_per_chunk,
                f"chunk {chunk} is asked about {counts[chunk]} times and calls_per_chunk is {agent.calls_per_chunk}: "
                "declare what it does, plans count with it (and give chunk=chunk.index to a call that shows one)",
            )


def calls_stay_within_what_is_declared(agent: Agent) -> None:
    """It never asks more often than `calls_per_chunk`, `reads_again` and `spare_calls` allow, or its `workload`."""
    for played in plays(agent):
        low, high = bounds(agent, played)
        insist(
            len(played.asks) <= high,
            f"it asks {len(played.asks)} times where {high} calls are declared: raise calls_per_chunk or spare_calls, "
            "or declare reads_again, or correct workload; plans count with them",
        )
        insist(
            len(played.asks) >= low or not isinstance(agent, Declares),
            f"it asks {len(played.asks)} times where workload declares {low} at least; plans count with it",
        )
        shape = shape_of(played.episode.chunks, len(played.episode.task.questions))
        fewest, most = workload_of(agent, shape, LIMITS.reply).retrievals
        insist(
            played.trajectory.usage.reads <= most * (1 + LIMITS.reads * agent.reads_again),
            f"it looks up {played.trajectory.usage.reads} times where {fewest} to {most} retrievals are declared: "
            "correct workload; plans count with it",
        )
    for played in play(agent, tasks(), policy(reading(agent))):
        low, high = bounds(agent, played)
        insist(
            not agent.reads_again or len(played.asks) > low,
            "reads_again is True, and a reply that only reads is not asked again: declare False, plans count with it",
        )


def operations_are_declared(agent: Agent) -> None:
    """It runs no operation but those of `operations`."""
    for played in plays(agent):
        for result in played.results:
            insist(
                result.outcome is not Outcome.OK or result.op.kind in agent.operations,
                f"it runs {result.op.kind}, which operations does not declare: add it there, or leave such operations "
                "out of what you apply",
            )


def components_can_be_dropped(agent: Agent) -> None:
    """Each of its `components` goes with operations of its own, and it plays to its end without them."""
    for name, kinds in components.of(agent).items():
        insist(
            isinstance(name, str) and name != "" and not {*name} & {*", \n"},
            f"a component is called {shown(name)}: one word is wanted, `ablate --drop` takes it",
        )
        insist(
            isinstance(kinds, tuple) and all(isinstance(kind, OpKind) for kind in kinds),
            f"the component {name} is {shown(kinds)}: a tuple of OpKind is wanted",
        )
        insist(
            bool({*kinds} & {*agent.operations}),
            f"the component {name} goes with {shown(kinds)}, and operations declares none of them: name one",
        )
        for script in ("oracle", "chaotic"):
            for played in play(agent, tasks(), by_script(script), dropped=kinds):
                insist_end(played, f", without the component {name},")


def what_if_can_change_its_operations(agent: Agent) -> None:
    """It plays to its end where `what-if` takes operations away or puts some there, so results need not match them."""
    extra = MemoryOp(OpKind.CREATE, "put there by what-if")
    for tamper, done in (
        (lambda ops: ops[1:], "with an operation of each reply taken away"),
        (lambda ops: (extra, *ops), "with an operation put before those of each reply, whose entry has no metadata"),
    ):
        try:
            changed = play(agent, tasks(), by_script("random"), tamper=tamper)
        except ContractBroken as broken:
            raise ContractBroken(f"{done}, as `what-if` does it, {broken}") from broken
        for played in changed:
            insist_end(played, f", {done},")


def prompts_show_what_is_declared(agent: Agent) -> None:
    """Prompts show of the documents what `shows` says."""
    shows = shows_of(agent)
    for played in play(agent, tasks(), by_script("mute")):
        documents = [document.text for document in played.episode.task.documents]
        prompts = [(asked, "\n".join(one.content for one in asked.messages)) for asked in played.asks]
        shown: dict[int, list[set[str]]] = defaultdict(list)
        for asked, prompt in prompts:
            there = [text for text in documents if text in prompt]
            insist(
                shows is not Shows.NOTHING or not there,
                "shows is nothing, and a prompt holds a document: declare chunks or whole, `why` needs it",
            )
            insist(
                shows is not Shows.WHOLE or asked.question is None or len(there) == len(documents),
                f"shows is whole, and a prompt of a question holds {len(there)} of {len(documents)} documents: declare "
                "chunks or nothing, `why` needs it",
            )
            if asked.chunk is not None:
                shown[asked.chunk].append({*there})
        for chunk, each in shown.items():
            inside = {documents[i] for i in played.episode.chunks[chunk].documents}
            insist(
                all(inside & there for there in each) and inside <= set[str]().union(*each),
                f"calls have chunk={chunk} and do not show that chunk, all of them together: leave `chunk` out of such",
            )


def the_same_play_twice_is_the_same(agent: Agent) -> None:
    """The same task with the same replies is played in the same way, every time."""
    for name in ("chaotic", "oracle"):
        first, second = (play(agent, tasks(), by_script(name)) for _ in range(2))
        insist(
            [one.essence for one in first] == [one.essence for one in second],
            "the same episode played twice differs: leave clocks, sets, `hash` and dice out, and keep nothing from one "
            "play to the next",
        )


def episodes_do_not_see_each_other(agent: Agent) -> None:
    """Episodes that are played at once do not see each other."""
    together = play(agent, tasks(), by_script("chaotic"))
    alone = [played for task in tasks() for played in play(agent, [task], by_script("chaotic"))]
    insist(
        [one.essence for one in together] == [one.essence for one in alone],
        "an episode among others differs from the same one alone: keep what belongs to one in variables of `play`, "
        "not on self, which all episodes share",
    )


PROMISES: tuple[promises.Promise[Agent], ...] = (
    it_says_what_it_is,
    promises.describes_itself,
    every_question_is_answered,
    its_calls_are_whole,
    answers_are_handed_in_as_written,
    parse_is_the_inverse_of_write,
    parse_never_raises,
    no_reply_stops_it,
    chunks_are_asked_about_as_declared,
    calls_stay_within_what_is_declared,
    operations_are_declared,
    components_can_be_dropped,
    what_if_can_change_its_operations,
    prompts_show_what_is_declared,
    the_same_play_twice_is_the_same,
    episodes_do_not_see_each_other,
)
"""All of them."""
