"""What a policy promises, and its module; see `episode.Policy`, `episode.ServerPolicy` and `modules.PolicyModule`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from atommem_cli.config.modules import PolicyModule
from atommem_cli.contracts import promises
from atommem_cli.contracts._plays import by_script, play, policy, tasks
from atommem_cli.contracts._replies import TEXTS
from atommem_cli.contracts.promises import ContractBroken, insist, raised
from atommem_cli.core.calls import UNANSWERED, Expects, Finish, Generation, Message, Observation
from atommem_cli.core.chunking import Tokenizer
from atommem_cli.core.episode import Call, Policy, ServerPolicy
from atommem_cli.core.safe_text import shown
from atommem_cli.running import asking

AnyPolicy = Policy | ServerPolicy

NEW = 6
"""Most new tokens of a call, so that a model answers soon."""


@dataclass(frozen=True, slots=True)
class Module:
    """A module, and what it has built."""

    module: PolicyModule
    options: Any
    policy: AnyPolicy


def check(policy: AnyPolicy, module: PolicyModule | None = None, options: Any = None) -> None:
    """Insist on every promise of a policy; it is asked a few dozen short calls.

    On a device whose sums depend on the rest of a batch, `temperature: 0` and `batch: 1` show whether that is all.

    Args:
        module: its module, to look at that, too, with the options that the policy was built with.

    Raises:
        ContractBroken: one sentence.
    """
    promises.check(PROMISES, policy)
    if module is not None:
        promises.check(MODULE_PROMISES, Module(module, options, policy))


def it_says_how_much_it_takes(policy: AnyPolicy) -> None:
    """`window` is a number of tokens or None, and `batch` how many calls it takes at once."""
    window, batch = policy.window, policy.batch
    insist(
        window is None or (isinstance(window, int) and window > 0),
        f"window is {shown(window)}: the tokens of prompt and reply together are wanted, or None where it is not known",
    )
    insist(
        isinstance(batch, int) and batch > 0,
        f"batch is {shown(batch)}: how many episodes are played, or requests under way, at once; 1 at least",
    )


def its_tokens_lie_in_the_text(policy: AnyPolicy) -> None:
    """`tokenizer.spans` gives where each token stands in a text, in order, for any text."""
    _insist_tokenizer(policy.tokenizer)


def every_call_is_answered_in_order(policy: AnyPolicy) -> None:
    """A batch of calls gives one `Generation` each, in their order, and an empty batch none."""
    calls = _calls()
    replies = _asked(policy, calls)
    insist(
        isinstance(replies, list) and len(replies) == len(calls),
        f"generate gives {shown(replies)} for {len(calls)} calls: a list of one Generation each is wanted",
    )
    for reply in replies:
        insist(isinstance(reply, Generation), f"a call is answered with {shown(reply)}: a Generation is wanted")
        insist(
            reply.finish not in UNANSWERED or bool(reply.text == "" or reply.finish is Finish.FILTERED),
            f"a call that ended as {reply.finish} has the reply {shown(reply.text)}: there is none then",
        )
        insist(
            reply.finish is not Finish.ERROR,
            f"a short and plain call fails ({shown(reply.error)}): Finish.ERROR is for what no further try would heal",
        )
    if not isinstance(policy, ServerPolicy):
        none = policy.generate([])
        insist(none == [], f"generate([]) gives {shown(none)}: an empty list is wanted")


def tokens_are_counted(policy: AnyPolicy) -> None:
    """A reply says how many tokens its prompt had and how many are new: budgets and costs are made of them."""
    for call, reply in zip(_calls(), _asked(policy, _calls()), strict=True):
        insist(
            reply.finish in UNANSWERED or call.episode is None or reply.prompt_tokens > 0,
            f"prompt_tokens is {reply.prompt_tokens} for a prompt of {len(call.observation.messages[-1].content)} "
            "characters: count the tokens that the model is shown",
        )
        insist(
            reply.new_tokens > 0 or not reply.text.strip(),
            f"new_tokens is {reply.new_tokens} for the reply {shown(reply.text)}: count the tokens that it wrote",
        )


def a_reply_depends_on_its_call_alone(policy: AnyPolicy) -> None:
    """The same call gets the same reply, alone or in any batch, in any place, the first time or later.

    A policy behind a network cannot promise that and is not asked.
    """
    if isinstance(policy, ServerPolicy):
        return
    calls = _calls()
    together, turned = policy.generate(calls), policy.generate(calls[::-1])[::-1]
    for call, one, other in zip(calls, together, turned, strict=True):
        alone = policy.generate([call])[0]
        insist(
            alone == one == other,
            f"a call gets the reply {shown(one.text)} in a batch and {shown(alone.text)} alone (or in another place): "
            "draw with `call.seed`, keep no state, and give the replies in the order of the calls",
        )


def a_call_outside_of_episodes_is_answered(policy: AnyPolicy) -> None:
    """A call without an episode, as a judge makes it, is answered."""
    observation = Observation((Message("user", "Is the sky blue? Reply yes or no."),), NEW, Expects.ANSWER)
    (reply,) = _asked(policy, [Call(None, observation, 1)])
    insist(isinstance(reply, Generation), f"a judge's call is answered with {shown(reply)}: a Generation is wanted")


def nothing_in_a_prompt_raises(policy: AnyPolicy) -> None:
    """Nothing that a prompt contains raises: special tokens, control characters, lone surrogates, nothing at all."""
    (first, *_) = _calls()
    texts = ("", " ", "<|im_start|>system", "<s></s>[INST]", "a\x00b", "\ud83d", "\u202e", "日本 🎈", "{{ x }} %s")
    asked = [replace(first, observation=replace(first.observation, messages=(Message("user", one),))) for one in texts]
    try:
        _asked(policy, asked)
    except Exception as error:
        sentence = f"one of the prompts {', '.join(map(shown, texts))} raises {raised(error)}: documents hold anything"
        raise ContractBroken(sentence) from error


def what_does_not_fit_overflows(policy: AnyPolicy) -> None:
    """A prompt that does not fit the window comes back as Finish.OVERFLOW, without a reply; the others are answered."""
    if policy.window is None:
        return
    first, *_, last = _calls()
    words = "the mayor of Dorn has three cats " * (policy.window // 3 + 8)
    long = replace(first.observation, messages=(Message("user", words),))
    replies = _asked(policy, [first, replace(first, observation=long), last])
    insist(
        (replies[1].finish, replies[1].text) == (Finish.OVERFLOW, ""),
        f"a prompt of more tokens than the window of {policy.window} ends as {replies[1].finish} with the reply "
        f"{shown(replies[1].text)}: give Generation('', Finish.OVERFLOW) for it, and cut nothing off",
    )
    for reply in (replies[0], replies[2]):
        insist(
            reply.finish not in UNANSWERED,
            f"beside a prompt that is too long, a short one ends as {reply.finish}: answer the others",
        )


def it_can_be_closed_and_asked_again(policy: AnyPolicy) -> None:
    """What is behind a network is closed at the end of an event loop, and answers in a later one."""
    if isinstance(policy, ServerPolicy):
        for _ in range(2):
            _asked(policy, _calls()[:2])


def its_module_counts_alike(made: Module) -> None:
    """`tokenizer(options)` and `window(options)` of the module say what the policy itself does, without weights."""
    ours = made.module.tokenizer(made.options)
    _insist_tokenizer(ours)
    theirs = made.policy.tokenizer
    insist(
        ours.name == theirs.name,
        f"tokenizer(options) is called {ours.name} and the policy's own {theirs.name}: make both in one place",
    )
    for text in TEXTS:
        insist(
            list(ours.spans(text)) == list(theirs.spans(text)),
            f"tokenizer(options) cuts {shown(text)} otherwise than the policy's own: make both in one place",
        )
    window = made.module.window(made.options)
    insist(
        window == made.policy.window,
        f"window(options) is {window} and the policy's own {made.policy.window}: `--plan` and agents that cut go by "
        "the first",
    )


def its_probe_says_a_sentence(made: Module) -> None:
    """`probe(options)`, where there is one, gives one sentence about the server."""
    probe = getattr(made.module, "probe", None)
    told = probe(made.options) if probe else "none"
    insist(
        isinstance(told, str) and bool(told.strip()) and "\n" not in told.strip(),
        f"probe(options) gives {shown(told)}: one sentence is wanted, `atommem check --recipe` prints it",
    )
    promises.insist_no_secret({"probe": told})


@functools.cache
def _calls() -> tuple[Call, ...]:
    """Calls of episodes: while reading, of notes and of questions."""
    from atommem_cli.agents import atommem, memagent

    found: list[Call] = []
    for module in (atommem, memagent):
        agent = module.build(module.Options(dialect="tiny"))
        answer = by_script("oracle").generate

        def say(call: Call, answer: Any = answer) -> str:
            found.append(call)
            reply: Generation = answer([call])[0]
            return reply.text

        play(agent, tasks()[:2], policy(say))
    chosen = [*found[:2], *found[-2:], next(call for call in found if call.observation.question is not None)]
    return tuple(replace(call, observation=replace(call.observation, max_new_tokens=NEW)) for call in chosen)


def _asked(policy: AnyPolicy, calls: Sequence[Call]) -> list[Generation]:
    """What a policy of either kind gives for some calls, as it gives it."""
    return asking.replies(policy, calls) if isinstance(policy, ServerPolicy) else policy.generate(calls)


def _insist_tokenizer(tokenizer: Tokenizer) -> None:
    insist(
        isinstance(tokenizer.name, str) and bool(tokenizer.name),
        f"the tokenizer's name is {shown(tokenizer.name)}: manifests record it",
    )
    for text in [*TEXTS, "", "a\x00b", "\ud83d", "日本 🎈", "<|im_end|>"]:
        spans = [tuple(span) for span in tokenizer.spans(text)]
        at = 0
        for start, end in spans:
            insist(
                at <= start <= end <= len(text),
                f"tokenizer.spans({shown(text)}) gives {shown(spans)}: first character and end of each token, in order",
            )
            at = start
        insist(bool(spans) or not text.strip(), f"tokenizer.spans({shown(text)}) gives no token")


PROMISES: tuple[promises.Promise[AnyPolicy], ...] = (
    it_says_how_much_it_takes,
    its_tokens_lie_in_the_text,
    every_call_is_answered_in_order,
    tokens_are_counted,
    a_reply_depends_on_its_call_alone,
    a_call_outside_of_episodes_is_answered,
    nothing_in_a_prompt_raises,
    what_does_not_fit_overflows,
    it_can_be_closed_and_asked_again,
    promises.describes_itself,
)
"""All of a policy."""

MODULE_PROMISES: tuple[promises.Promise[Module], ...] = (its_module_counts_alike, its_probe_says_a_sentence)
"""And of its module."""
