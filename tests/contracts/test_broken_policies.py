"""Each promise of a policy and of its module, broken once: the contract says so in a sentence that helps."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from sentences import pattern

from atommem_cli import Finish, Generation, Section, WordTokenizer
from atommem_cli.contracts import ContractBroken, policies, promises

_ticks = itertools.count()


class Echo:
    """Keeps every promise: says the last word of its prompt."""

    tokenizer: Any = WordTokenizer()
    window: Any = 4_000
    batch: Any = 8

    def generate(self, calls: Sequence[Any]) -> Any:
        return [self.reply(call) for call in calls]

    def reply(self, call: Any) -> Generation:
        words = " ".join(message.content for message in call.observation.messages).split()
        if self.window and len(words) + call.observation.max_new_tokens > self.window:
            return Generation("", Finish.OVERFLOW, error="too long")
        return Generation((words or ["-"])[-1], prompt_tokens=len(words) + 1, new_tokens=1)

    def describe(self) -> dict[str, str]:
        return {"name": "echo"}


class Boundless(Echo):
    window = 0


class Unbatched(Echo):
    batch = None


class Overlong(Echo):
    tokenizer = SimpleNamespace(name="whole", spans=lambda text: [(0, len(text) + 1)])


class Anonymous(Echo):
    tokenizer = SimpleNamespace(name="", spans=lambda text: [(0, len(text))])


class Skipping(Echo):
    def generate(self, calls: Sequence[Any]) -> Any:
        return super().generate(calls[1:])


class Texts(Echo):
    def generate(self, calls: Sequence[Any]) -> Any:
        return [one.text for one in super().generate(calls)]


class Empty(Echo):
    def generate(self, calls: Sequence[Any]) -> Any:
        return super().generate(calls) or None


class Failing(Echo):
    def reply(self, call: Any) -> Generation:
        return Generation("", Finish.ERROR, error="no idea")


class Uncounted(Echo):
    def reply(self, call: Any) -> Generation:
        return replace(super().reply(call), prompt_tokens=0)


class Unnoticed(Echo):
    def reply(self, call: Any) -> Generation:
        return replace(super().reply(call), new_tokens=0)


class Sorting(Echo):
    def generate(self, calls: Sequence[Any]) -> Any:
        return sorted(super().generate(calls), key=lambda one: one.text)


class Dicing(Echo):
    def reply(self, call: Any) -> Generation:
        return replace(super().reply(call), text=f"word {next(_ticks)}")


class Peeking(Echo):
    """Looks at the episode, and a judge's call has none."""

    def reply(self, call: Any) -> Generation:
        return replace(super().reply(call), text=call.episode.task.id)


class Latin(Echo):
    def reply(self, call: Any) -> Generation:
        call.observation.messages[-1].content.encode()
        return super().reply(call)


class Cutting(Echo):
    """Cuts what is too long."""

    def reply(self, call: Any) -> Generation:
        return Generation("yes", prompt_tokens=self.window, new_tokens=1)


class Spreading(Echo):
    """One that is too long takes the batch with it."""

    def generate(self, calls: Sequence[Any]) -> Any:
        replies = super().generate(calls)
        return [one for one in replies if one.finish is Finish.OVERFLOW][:1] * len(calls) or replies


class Bound:
    """Behind a network; belongs to the first event loop that it meets."""

    tokenizer = WordTokenizer()
    window = None
    batch = 2
    loop: Any = None

    async def reply(self, call: Any) -> Generation:
        self.loop = self.loop or asyncio.get_running_loop()
        if self.loop is not asyncio.get_running_loop():
            raise RuntimeError("attached to a different loop")
        return Generation("yes", prompt_tokens=3, new_tokens=1)

    async def close(self) -> None:
        pass

    def describe(self) -> dict[str, str]:
        return {"name": "bound"}


class Keyed(Echo):
    def describe(self) -> dict[str, str]:
        return {"name": "keyed", "header": "Bearer abc"}


def module(**changes: Any) -> Any:
    whole = {
        "Options": Section,
        "build": lambda options: Echo(),
        "tokenizer": lambda options: WordTokenizer(),
        "window": lambda options: 4_000,
        **changes,
    }
    return SimpleNamespace(**whole)


def made(**changes: Any) -> policies.Module:
    return policies.Module(module(**changes), Section(), Echo())  # type: ignore[arg-type]


class Characters:
    name = "words"

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [(i, i + 1) for i in range(len(text))]


BROKEN: list[tuple[Any, Any, str]] = [
    (policies.it_says_how_much_it_takes, Boundless, "window is 0: the tokens of prompt and reply together are wanted"),
    (policies.it_says_how_much_it_takes, Unbatched, "batch is None: how many episodes are played"),
    (
        policies.its_tokens_lie_in_the_text,
        Overlong,
        "tokenizer.spans('Ada lives in Velt.') gives [(0, 19)]: first char",
    ),
    (policies.its_tokens_lie_in_the_text, Anonymous, "the tokenizer's name is '': manifests record it"),
    (policies.every_call_is_answered_in_order, Skipping, "for 5 calls: a list of one Generation each is wanted"),
    (policies.every_call_is_answered_in_order, Texts, "a call is answered with '.*': a Generation is wanted"),
    (policies.every_call_is_answered_in_order, Empty, "generate([]) gives None: an empty list is wanted"),
    (
        policies.every_call_is_answered_in_order,
        Failing,
        "a short and plain call fails ('no idea'): Finish.ERROR is for",
    ),
    (policies.tokens_are_counted, Uncounted, "prompt_tokens is 0 for a prompt of .* characters: count the tokens"),
    (policies.tokens_are_counted, Unnoticed, "new_tokens is 0 for the reply '.*': count the tokens that it wrote"),
    (
        policies.a_reply_depends_on_its_call_alone,
        Sorting,
        "in a batch and .* alone (or in another place): draw with `ca",
    ),
    (policies.a_reply_depends_on_its_call_alone, Dicing, "draw with `call.seed`, keep no state"),
    (
        policies.a_call_outside_of_episodes_is_answered,
        Peeking,
        "it raises AttributeError: .* where this is promised: A",
    ),
    (policies.nothing_in_a_prompt_raises, Latin, "raises UnicodeEncodeError: .*: documents hold anything"),
    (policies.what_does_not_fit_overflows, Cutting, "than the window of 4000 ends as stop with the reply 'yes': give"),
    (policies.what_does_not_fit_overflows, Spreading, "beside a prompt that is too long, a short one ends as overflow"),
    (policies.it_can_be_closed_and_asked_again, Bound, "it raises RuntimeError: attached to a different loop"),
    (promises.describes_itself, Keyed, "describe() tells a secret under 'header'"),
    (
        policies.its_module_counts_alike,
        lambda: made(window=lambda _: None),
        "window(options) is None and the policy's own 4000: `--plan` and",
    ),
    (
        policies.its_module_counts_alike,
        lambda: made(tokenizer=lambda _: Characters()),
        "cuts 'Ada lives in Velt.' other",
    ),
    (
        policies.its_probe_says_a_sentence,
        lambda: made(probe=lambda _: None),
        "probe(options) gives None: one sentence is",
    ),
]


@pytest.mark.parametrize(("promise", "broken", "sentence"), BROKEN, ids=[sentence for *_, sentence in BROKEN])
def test_a_broken_promise_is_one_sentence(promise: Any, broken: Any, sentence: str) -> None:
    with pytest.raises(ContractBroken, match=pattern(sentence)) as caught:
        promises.check([promise], broken())
    assert "\n" not in str(caught.value)


def test_every_promise_is_broken_once_and_kept_without_the_fault() -> None:
    assert {promise for promise, _, _ in BROKEN} == {*policies.PROMISES, *policies.MODULE_PROMISES}
    policies.check(Echo(), module(), Section())  # type: ignore[arg-type]
