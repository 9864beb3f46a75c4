"""Each promise of an agent, broken once: the contract says so in a sentence that helps."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from sentences import pattern

from atommem_cli import MEMORY_OPS, AgentOptions, Answer, Expects, MemoryOp, Observation, OpKind, Speaker, apply, ask
from atommem_cli.contracts import ContractBroken, agents, promises
from atommem_cli.core.episode import embed
from atommem_cli.core.memory import Text
from atommem_cli.core.types import Shows

_ticks = itertools.count()


class Fine(Speaker):
    """Keeps every promise."""

    name = "fine"
    calls_per_chunk = 1
    operations = MEMORY_OPS

    def play(self, episode: Any) -> Iterator[Any]:
        for chunk in episode.chunks:
            fields = {"chunk": chunk.text, "questions": self.questions(episode), "memories": self.memories(episode)}
            prompt = self.dialect.messages("reading", fields, episode.memory.untold)
            reply = yield from ask(
                self.reading(Observation(prompt, episode.limits.reply, Expects.OPERATIONS, chunk.index))
            )
            ops = self.parse(Expects.OPERATIONS, reply.text)
            self.settled(reply.text, ops, (yield from apply(self.chosen(ops))))
        for number in range(self.asked(episode)):
            yield from self.read_answer(episode, number, {"memories": self.memories(episode)})

    def reading(self, observation: Observation) -> Observation:
        return observation

    def chosen(self, ops: Sequence[MemoryOp]) -> Sequence[MemoryOp]:
        return ops

    def settled(self, reply: str, ops: Sequence[MemoryOp], results: Sequence[Any]) -> None:
        pass

    def asked(self, episode: Any) -> int:
        return len(episode.task.questions)


class Miscounted(Fine):
    calls_per_chunk = "1"  # type: ignore[assignment]


class Repeating(Fine):
    operations = (OpKind.CREATE, OpKind.CREATE)


class Nameless(Fine):
    def describe(self) -> dict[str, str]:
        return {"dialect": "tiny"}


class Timed(Fine):
    def describe(self) -> dict[str, str]:
        return {"name": "timed", "started": str(next(_ticks))}


class Telling(Fine):
    def describe(self) -> dict[str, str]:
        return {"name": "telling", "api_key": "sk-not-a-real-key-of-anyone"}


class Forgetful(Fine):
    def asked(self, episode: Any) -> int:
        return len(episode.task.questions) - 1


class Endless(Fine):
    def play(self, episode: Any) -> Iterator[Any]:
        while True:
            yield from apply([MemoryOp(OpKind.CREATE, "again")])


class Returning(Fine):
    def play(self, episode: Any) -> Any:
        return [Answer("velt")]


class Meddling(Fine):
    def settled(self, reply: str, ops: Sequence[MemoryOp], results: Sequence[Any]) -> None:
        self.memory.apply((MemoryOp(OpKind.SCRATCHPAD, reply),), {})

    def play(self, episode: Any) -> Iterator[Any]:
        self.memory = episode.memory
        yield from super().play(episode)


class Unbidden(Fine):
    """Asks a helper that it does not declare."""

    def read_answer(self, episode: Any, question: int, *_: Any, **__: Any) -> Any:
        reply = yield from ask(self.answering(episode, question, {}), "summarizer")
        episode.give(question, self.dialect.answer(reply.text))


class Measuring(Fine):
    def read_answer(self, episode: Any, question: int, *arguments: Any, **keywords: Any) -> Any:
        yield from embed([Text(episode.task.questions[question].text, True)])
        yield from super().read_answer(episode, question, *arguments, **keywords)


class Yielding(Fine):
    def read_answer(self, *_: Any, **__: Any) -> Any:
        yield "velt"


class Elsewhere(Fine):
    addressing = "anything"  # type: ignore[assignment]


class Helped(Fine):
    helpers = ["summarizer"]  # type: ignore[assignment]  # noqa: RUF012


class Wordy(Fine):
    def reading(self, observation: Observation) -> Observation:
        return replace(observation, max_new_tokens=4096)


class Asking(Fine):
    def reading(self, observation: Observation) -> Observation:
        return replace(observation, expects=Expects.ANSWER)


class Embellishing(Fine):
    def read_answer(self, episode: Any, question: int, *_: Any, **__: Any) -> Any:
        reply = yield from ask(self.answering(episode, question, {}))
        episode.give(question, Answer(f"It is {self.dialect.answer(reply.text).text}"))


class Turned(Fine):
    def parse(self, expects: Expects, reply: str, *marks: Any) -> tuple[MemoryOp, ...]:
        return super().parse(expects, reply, *marks)[::-1]


class Json(Fine):
    """Reads JSON as one does, and forgets that a deep one raises RecursionError."""

    def write(self, expects: Expects, ops: Sequence[MemoryOp], answer: str | None = None) -> str:
        calls = [{"do": op.kind, "text": op.text, "on": op.target} for op in ops]
        return json.dumps({"calls": calls, "answer": answer})

    def parse(self, expects: Expects, reply: str, *marks: Any) -> tuple[MemoryOp, ...]:
        try:
            found = json.loads(reply)
        except ValueError:
            return ()
        calls = found.get("calls") if isinstance(found, dict) else None
        return tuple(self.call(one) for one in calls) if isinstance(calls, list) else ()

    def call(self, one: Any) -> MemoryOp:
        try:
            return MemoryOp(OpKind(one["do"]), str(one["text"]), one["on"])
        except (KeyError, TypeError, ValueError):
            return MemoryOp(OpKind.CREATE, str(one))


class Trusting(Json):
    """Takes any number of an entry for a whole one."""

    def parse(self, expects: Expects, reply: str, *marks: Any) -> tuple[MemoryOp, ...]:
        try:
            return super().parse(expects, reply, *marks)
        except RecursionError:
            return ()


class Hasty(Fine):
    def settled(self, reply: str, ops: Sequence[MemoryOp], results: Sequence[Any]) -> None:
        assert reply[0] == "<"


class Twice(Fine):
    calls_per_chunk = 2


class Silent(Fine):
    """Shows chunks without saying which."""

    def reading(self, observation: Observation) -> Observation:
        return replace(observation, chunk=None)


class Insistent(Fine):
    """Asks three times for an answer."""

    def read_answer(self, *arguments: Any, **keywords: Any) -> Any:
        for _ in range(3):
            yield from super().read_answer(*arguments, **keywords)


class Again(Fine):
    reads_again = True


class Secretive(Fine):
    operations = (OpKind.CREATE, OpKind.READ)


class Spaced(Fine):
    components: ClassVar = {"two words": (OpKind.CREATE,)}


class Idle(Fine):
    operations = (OpKind.CREATE, OpKind.READ)
    components: ClassVar = {"notes": (OpKind.SCRATCHPAD,)}

    def chosen(self, ops: Sequence[MemoryOp]) -> Sequence[MemoryOp]:
        return [op for op in ops if op.kind in self.operations]


class Relying(Fine):
    """Takes for granted that what it creates is there."""

    def chosen(self, ops: Sequence[MemoryOp]) -> Sequence[MemoryOp]:
        return (MemoryOp(OpKind.CREATE, f"chunk {next(_ticks)}"), *ops)

    def settled(self, reply: str, ops: Sequence[MemoryOp], results: Sequence[Any]) -> None:
        assert results[0].entry is not None


class Pairing(Fine):
    def settled(self, reply: str, ops: Sequence[MemoryOp], results: Sequence[Any]) -> None:
        list(zip(ops, results, strict=True))


class Whole(Fine):
    shows = Shows.WHOLE


class Nothing(Fine):
    shows = Shows.NOTHING


class Misnumbered(Fine):
    def reading(self, observation: Observation) -> Observation:
        return replace(observation, chunk=0)


class Ticking(Fine):
    def reading(self, observation: Observation) -> Observation:
        first, *rest = observation.messages
        return replace(observation, messages=(*rest, replace(first, content=f"{first.content} {next(_ticks)}")))


class Sharing(Fine):
    """Keeps on itself what belongs to one episode."""

    def play(self, episode: Any) -> Iterator[Any]:
        self.seen: list[str] = []
        yield from super().play(episode)

    def reading(self, observation: Observation) -> Observation:
        self.seen.append(str(observation.chunk))
        first, *rest = observation.messages
        return replace(observation, messages=(*rest, replace(first, content=f"{first.content} {self.seen}")))


class Deaf(Fine):
    """Declares what no reply means and what it never runs."""

    operations = (OpKind.CREATE, OpKind.DELETE)

    def parse(self, *told: Any) -> tuple[MemoryOp, ...]:
        return tuple(op for op in super().parse(*told) if op.kind is OpKind.CREATE)


class Dated(Fine):
    """Takes it that every entry has the metadata that it gives."""

    def chosen(self, ops: Sequence[MemoryOp]) -> Sequence[MemoryOp]:
        return [replace(op, meta=(("at", "3"),)) for op in ops]

    def memories(self, episode: Any) -> str:
        return "".join(dict(entry.meta)["at"] for entry in episode.memory.entries) + super().memories(episode)


class Windowed(Fine):
    """Cuts its conversation by itself; its policy speaks of the memory alone."""

    operations = (*MEMORY_OPS, OpKind.FILTER)

    def play(self, episode: Any) -> Iterator[Any]:
        for chunk in episode.chunks:
            episode.context.add("user", chunk.text)
            if len(episode.context.entries) > 2:
                yield from apply([MemoryOp(OpKind.FILTER, targets=(episode.context.entries[0].id,))])
            prompt = Observation(episode.context.messages, episode.limits.reply, Expects.OPERATIONS, chunk.index)
            reply = yield from ask(prompt)
            yield from apply(self.parse(Expects.OPERATIONS, reply.text))
        for number in range(self.asked(episode)):
            yield from self.read_answer(episode, number, {"memories": self.memories(episode)})


BROKEN = [
    (agents.it_says_what_it_is, Miscounted, "calls_per_chunk is '1': a whole number from 0 on is wanted"),
    (agents.it_says_what_it_is, Repeating, "operations is (.*): a tuple of OpKind is wanted, each once"),
    (agents.it_says_what_it_is, Elsewhere, "addressing is 'anything': one of shown, seen is wanted"),
    (agents.it_says_what_it_is, Helped, "helpers is ['summarizer']: a tuple of names is wanted"),
    (promises.describes_itself, Nameless, "describe() gives no name: add one"),
    (promises.describes_itself, Timed, "describe() says something else when it is called again"),
    (promises.describes_itself, Telling, "describe() tells a secret under 'api_key'"),
    (agents.every_question_is_answered, Forgetful, "to question 1 of 2, counted from 0: call episode.give("),
    (agents.every_question_is_answered, Endless, "play does not end: it goes on after 2,000 requests"),
    (agents.every_question_is_answered, Returning, "play gives [Answer(.*]: it is a generator, so ask with"),
    (agents.every_question_is_answered, Meddling, "play changes the memory by itself: yield the operations"),
    (agents.every_question_is_answered, Unbidden, "play asks a model called 'summarizer': declare it in helpers"),
    (agents.every_question_is_answered, Measuring, "play asks for vectors: declare embeds = True"),
    (agents.every_question_is_answered, Yielding, "play yields 'velt': a request is wanted, as `yield from ask(...)`"),
    (agents.its_calls_are_whole, Wordy, "takes 4096 new tokens where the recipe allows 200: pass on episode.limits"),
    (agents.its_calls_are_whole, Asking, "a call that expects answer has question=None, of 2"),
    (agents.answers_are_handed_in_as_written, Embellishing, "write(ANSWER, [], 'velt') makes, and 'It is velt' is"),
    (
        agents.parse_is_the_inverse_of_write,
        Turned,
        "where a call expects operations, write puts .* into '<.*, and parse reads .* out of it: let one",
    ),
    (
        agents.parse_is_the_inverse_of_write,
        Deaf,
        "operations declares delete, and no reply to a call that expects operations means it, as parse reads nothing "
        "out of '<delete> .* </delete>': let write and parse speak of it, or take it out",
    ),
    (agents.parse_never_raises, Json, "parse raises RecursionError: .* for the reply '[[[["),
    (agents.parse_never_raises, Trusting, "`target` a whole number or None, `targets` a tuple of them; what cannot"),
    (agents.no_reply_stops_it, Hasty, "play raises IndexError: .* after the reply '': what a policy writes is data"),
    (agents.chunks_are_asked_about_as_declared, Twice, "asked about 1 times and calls_per_chunk is 2: declare"),
    (agents.chunks_are_asked_about_as_declared, Silent, "0 times and calls_per_chunk is 1: .* chunk=chunk.index"),
    (agents.calls_stay_within_what_is_declared, Insistent, "it asks .* times where .* calls are declared: raise"),
    (agents.calls_stay_within_what_is_declared, Again, "reads_again is True, and a reply that only reads is not"),
    (agents.operations_are_declared, Secretive, "it runs .*, which operations does not declare: add it there"),
    (agents.components_can_be_dropped, Spaced, "a component is called 'two words': one word is wanted"),
    (agents.components_can_be_dropped, Idle, "the component notes goes with .* and operations declares none of"),
    (agents.components_can_be_dropped, Relying, "play raises AssertionError: .* what a policy writes is data"),
    (
        agents.what_if_can_change_its_operations,
        Pairing,
        "with an operation of each reply taken away, as `what-if` does it, play raises ValueError: zip() argument 2 is",
    ),
    (
        agents.what_if_can_change_its_operations,
        Dated,
        "whose entry has no metadata, as `what-if` does it, play raises KeyError: 'at'",
    ),
    (agents.prompts_show_what_is_declared, Whole, "shows is whole, and a prompt of a question holds 0 of"),
    (agents.prompts_show_what_is_declared, Nothing, "shows is nothing, and a prompt holds a document: declare"),
    (agents.prompts_show_what_is_declared, Misnumbered, "calls have chunk=0 and do not show that chunk"),
    (agents.the_same_play_twice_is_the_same, Ticking, "the same episode played twice differs: leave clocks"),
    (agents.episodes_do_not_see_each_other, Sharing, "keep what belongs to one in variables of `play`, not on self"),
]


@pytest.mark.parametrize(("promise", "broken", "sentence"), BROKEN, ids=[broken.__name__ for _, broken, _ in BROKEN])
def test_a_broken_promise_is_one_sentence(promise: Any, broken: Any, sentence: str) -> None:
    with pytest.raises(ContractBroken, match=pattern(sentence)) as caught:
        promise(broken(AgentOptions(dialect="tiny")))
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, AssertionError), "a test of one's own fails with it, and does not break"


def test_every_promise_is_broken_once_and_kept_without_the_fault() -> None:
    assert {promise for promise, _, _ in BROKEN} == {*agents.PROMISES}
    agents.check(Fine(AgentOptions(dialect="tiny")))


@pytest.mark.parametrize(
    ("fault", "declared"), [(Unbidden, {"helpers": ("summarizer",)}), (Measuring, {"embeds": True})]
)
def test_what_is_declared_may_be_done(fault: Any, declared: dict[str, Any]) -> None:
    mended = type("Mended", (fault,), {**declared, "calls_per_chunk": 1})
    agents.check(mended(AgentOptions(dialect="tiny")))


def test_what_an_agent_runs_by_itself_need_not_be_said_by_its_policy() -> None:
    agents.check(Windowed(AgentOptions(dialect="tiny")))


def test_a_value_of_the_environment_is_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "plain-looking-words")

    class Careless(Fine):
        def describe(self) -> dict[str, str]:
            return {"name": "careless", "where": "http://plain-looking-words.example"}

    with pytest.raises(ContractBroken, match="tells a secret under 'where'"):
        agents.check(Careless(AgentOptions(dialect="tiny")))
