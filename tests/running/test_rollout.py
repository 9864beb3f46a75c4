"""The driver: batches, budgets, isolation, both kinds of policy, whatever a model says."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from builders import Says, SaysAsync, agent, episode, rollout, script, store, task
from hypothesis import given, settings
from hypothesis import strategies as st

from atommem_cli.config import plugins
from atommem_cli.core.calls import Expects, Finish, Generation
from atommem_cli.core.episode import Call, Episode, Limits
from atommem_cli.core.errors import BackendError
from atommem_cli.core.store import Store
from atommem_cli.core.types import OpKind, Outcome, StopReason, Task, Trajectory
from atommem_cli.policies import scripted
from atommem_cli.running.player import Budget
from atommem_cli.running.rollout import Rollout


@pytest.fixture(params=["exact", "chroma"])
def where(request: pytest.FixtureRequest) -> Iterator[Store]:
    made = store(request.param)
    yield made
    made.close()


def essence(played: Trajectory) -> tuple[object, ...]:
    steps = [(t.observation, t.generation, t.results, t.shown, t.entries) for t in played.transitions]
    return played.task, played.answers, played.stop, played.digest, played.usage, steps


def by_name(played: list[Trajectory]) -> list[tuple[object, ...]]:
    return [essence(t) for t in sorted(played, key=lambda t: t.episode)]


async def gather(rolling: Rollout, policy: SaysAsync, episodes: list[Episode]) -> list[Trajectory]:
    return [played async for played in rolling.play_async(policy, episodes)]


def test_one_episode_from_reading_to_answers(where: Store) -> None:
    policy = Says(
        script(
            "<create_memory>Ada was born in Velt.</create_memory><read_memory>Ada</read_memory>",
            "<answer>Velt</answer>",
            "dunno",
        )
    )
    (played,) = rollout(where).play(policy, [episode(task(), where, size=20)])
    assert played.stop is StopReason.ANSWERED
    assert [(a.text, a.tagged) for a in played.answers] == [("Velt", True), ("dunno", False)]
    assert [[(r.op.kind, r.outcome) for r in t.results] for t in played.transitions] == [
        [(OpKind.CREATE, Outcome.OK), (OpKind.READ, Outcome.OK)],
        [],
        [],
    ]
    assert [e.text for e in played.transitions[1].shown] == ["Ada was born in Velt."]
    assert "Memory 1: Ada was born in Velt." in played.transitions[1].observation.messages[-1].content
    assert (played.usage.calls, played.usage.prompt_tokens, played.usage.new_tokens) == (3, 30, 15)
    assert (played.usage.entries, played.usage.reads) == (1, 1)
    assert policy.rounds == [1, 1, 1]


def test_a_reply_that_only_reads_sees_the_chunk_again_three_times(where: Store) -> None:
    count = 0

    def say(call: Call) -> str:
        nonlocal count
        count += 1
        return f"<read_memory>query {count}</read_memory>"

    policy = Says(say)
    (played,) = rollout(where).play(policy, [episode(task(), where, size=5)])
    reading = [t.observation.chunk for t in played.transitions if t.observation.expects is Expects.OPERATIONS]
    asking = [t.observation.question for t in played.transitions if t.observation.expects is Expects.ANSWER]
    assert reading == [0, 0, 0, 0, 1, 1, 1, 1]
    assert asking == [0, 0, 0, 0, 1, 1, 1, 1]
    assert played.stop is StopReason.ANSWERED
    assert [a.text for a in played.answers] == ["", ""]
    assert [t.observation.reads_left for t in played.transitions[:4]] == [3, 2, 1, 0]
    assert "3 more times" in played.transitions[0].observation.messages[-1].content
    assert "more times" not in played.transitions[3].observation.messages[-1].content


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "nonsense",
        "<create_memory>unclosed",
        "<delete_memory>Memory 9</delete_memory>",
        "<read_memory>q</read_memory><create_memory>a</create_memory>",
        "<read_memory></read_memory>",
    ],
)
def test_every_other_reply_moves_on(where: Store, reply: str) -> None:
    (played,) = rollout(where).play(Says(lambda _: reply), [episode(task(), where, size=5)])
    reading = [t.observation.chunk for t in played.transitions if t.observation.expects is Expects.OPERATIONS]
    assert reading == [0, 1]


def test_a_dropped_operation_is_refused_and_not_taught(where: Store) -> None:
    policy = Says(lambda _: "<delete_memory>Memory 1</delete_memory><create_memory>x</create_memory>")
    dropped = frozenset({OpKind.DELETE})
    (played,) = rollout(where).play(policy, [episode(task(), where, dropped=dropped)])
    outcomes = [(r.op.kind, r.outcome) for r in played.transitions[0].results]
    assert outcomes == [(OpKind.DELETE, Outcome.FORBIDDEN), (OpKind.CREATE, Outcome.OK)]
    assert "delete_memory" not in played.transitions[0].observation.messages[0].content


@pytest.mark.parametrize(
    ("budget", "stop", "calls"),
    [
        (Budget(calls=2), StopReason.STEP_LIMIT, 2),
        (Budget(new_tokens=11), StopReason.BUDGET, 3),
        (Budget(prompt_tokens=10), StopReason.BUDGET, 0),
        (Budget(calls=99), StopReason.ANSWERED, 4),
    ],
)
def test_budgets_stop_an_episode_and_keep_what_it_answered(
    where: Store, budget: Budget, stop: StopReason, calls: int
) -> None:
    policy = Says(script("", "", "<answer>first</answer>", "<answer>second</answer>"))
    (played,) = rollout(where, budget=budget).play(policy, [episode(task(), where, size=5)])
    assert (played.stop, played.usage.calls) == (stop, calls)
    assert len(played.answers) == 2
    if calls == 3:
        assert [a.text for a in played.answers] == ["first", ""]
        assert [call.observation.max_new_tokens for call in policy.calls] == [11, 6, 1]


def test_budgets_of_the_memory_refuse_operations(where: Store) -> None:
    policy = Says(lambda _: "<create_memory>a</create_memory><create_memory>b</create_memory>")
    (played,) = rollout(where).play(policy, [episode(task(), where, size=20, max_entries=1)])
    assert [r.outcome for r in played.transitions[0].results] == [Outcome.OK, Outcome.OVER_BUDGET]
    assert played.usage.entries == 1


def test_a_failed_call_ends_its_episode_alone(where: Store) -> None:
    def say(call: Call) -> str | Generation:
        assert call.episode is not None
        if call.episode.task.id == "t-1" and call.observation.question == 1:
            return Generation("", Finish.ERROR, error="the server said 500")
        if call.episode.task.id == "t-2":
            return Generation("", Finish.OVERFLOW)
        return "<answer>x</answer>"

    episodes = [episode(task(f"t-{i}"), where) for i in range(4)]
    played = list(rollout(where).play(Says(say), episodes))
    assert [t.stop for t in played] == [
        StopReason.ANSWERED,
        StopReason.ERROR,
        StopReason.CONTEXT_OVERFLOW,
        StopReason.ANSWERED,
    ]
    assert played[1].error == "the server said 500"
    assert [a.text for a in played[1].answers] == ["x", ""]
    assert [a.text for a in played[2].answers] == ["", ""]


def test_rounds_are_batched_over_waiting_episodes_and_waves(where: Store) -> None:
    policy = Says(lambda _: "<answer>x</answer>", batch=4)
    rolling = rollout(where)
    played = list(rolling.play(policy, [episode(task(f"t-{i}"), where, size=20) for i in range(6)]))
    assert [t.task for t in played] == [f"t-{i}" for i in range(6)]
    assert policy.rounds == [4, 4, 4, 2, 2, 2]


def twins(count: int, where: Store, facts: int = 3) -> list[Episode]:
    """Episodes that hold the same texts under other names, each with dice of its own."""
    said = [f"{name} is in Velt." for name in ("Ada", "Bo", "Cy") * (facts // 3)]
    tasks = [task(f"t-{i:02}", said) for i in range(count)]
    return [episode(replace(one, questions=one.questions[:2]), where, size=5) for one in tasks]


def test_64_interleaved_episodes_equal_each_alone(where: Store) -> None:
    def play(episodes: list[Episode], batch: int) -> list[Trajectory]:
        policy = scripted.build(scripted.Options(script="random", batch=batch))
        return list(rollout(where).play(policy, episodes))

    together = play(twins(64, where, 9), 64)
    alone = play(twins(64, where, 9), 1)
    assert by_name(together) == by_name(alone)
    touched = sum(
        r.outcome is Outcome.OK and r.op.kind in (OpKind.UPDATE, OpKind.DELETE)
        for played in together
        for t in played.transitions
        for r in t.results
    )
    assert touched > 50, "the test is about operations that reach into the store"


@settings(max_examples=15, deadline=None)
@given(
    st.integers(2, 7), st.integers(1, 5), st.sampled_from(["random", "chaotic"]), st.sampled_from(["exact", "chroma"])
)
def test_interleaving_changes_nothing(count: int, batch: int, name: str, room: str) -> None:
    where = store(room)
    try:
        policy = scripted.build(scripted.Options(script=name, batch=batch))
        single = scripted.build(scripted.Options(script=name, batch=1))
        together = list(rollout(where).play(policy, twins(count, where)))
        alone = [t for e in twins(count, where) for t in rollout(where).play(single, [e])]
        assert by_name(together) == by_name(alone)
    finally:
        where.close()


def test_a_server_policy_plays_the_same_episodes(where: Store) -> None:
    local = scripted.build(scripted.Options(script="random"))

    def say(call: Call) -> Generation:
        return local.generate([call])[0]

    served = asyncio.run(gather(rollout(where), SaysAsync(say, batch=5), twins(12, where)))
    played = list(rollout(where).play(Says(say), twins(12, where)))
    assert by_name(served) == by_name(played)


def test_a_server_policy_has_no_rounds(where: Store) -> None:
    """One slow episode does not hold the others back."""
    order: list[str] = []

    class Slow(SaysAsync):
        async def reply(self, call: Call) -> Generation:
            assert call.episode is not None
            await asyncio.sleep(0.3 if call.episode.task.id == "t-0" else 0.001)
            order.append(call.episode.task.id)
            return Generation("<answer>x</answer>")

    episodes = [episode(task(f"t-{i}"), where, size=20) for i in range(4)]
    played = asyncio.run(gather(rollout(where), Slow(lambda _: "", batch=4), episodes))
    assert order[-1] == "t-0"
    assert order.index("t-0") >= 9, "the others made all their calls before the slow one's first"
    assert {t.stop for t in played} == {StopReason.ANSWERED}


def test_a_server_that_serves_nobody_stops_the_run_and_is_closed(where: Store) -> None:
    class Dead(SaysAsync):
        async def reply(self, call: Call) -> Generation:
            raise ConnectionError("down")

    policy = Dead(lambda _: "")
    with pytest.raises(ConnectionError):
        asyncio.run(gather(rollout(where), policy, twins(3, where)))
    assert policy.closed


def test_what_finishes_beside_a_failure_is_kept_and_one_error_is_raised(
    where: Store, caplog: pytest.LogCaptureFixture
) -> None:
    class Dies(SaysAsync):
        """Answers the first three episodes; all others fail at the moment in which those end."""

        left = 3

        async def reply(self, call: Call) -> Generation:
            assert call.episode is not None
            if call.episode.task.id < "t-03":
                self.left -= call.observation.question == 1
                return Generation("<answer>x</answer>")
            while self.left:
                await asyncio.sleep(0)
            raise BackendError("down")

    kept: list[Trajectory] = []

    async def play() -> None:
        stream = rollout(where).play_async(Dies(lambda _: "", batch=16), twins(32, where))
        while True:
            kept.append(await anext(stream))

    with pytest.raises(BackendError, match="down"):
        asyncio.run(play())
    gc.collect()
    assert sorted(played.task for played in kept) == ["t-00", "t-01", "t-02"]
    assert not caplog.records, "asyncio logs exceptions that nobody asks for"


def test_a_reply_that_the_provider_withheld_ends_its_episode_for_a_reason_of_its_own(where: Store) -> None:
    withheld = Generation("half of", Finish.FILTERED, error="the filter")
    policy = Says(lambda call: withheld if call.observation.question == 1 else "<answer>x</answer>")
    (played,) = rollout(where).play(policy, [episode(task(), where, size=20)])
    assert (played.stop, played.error) == (StopReason.FILTERED, "the filter")
    assert [a.text for a in played.answers] == ["x", ""]


def test_an_endless_talker_ends(where: Store) -> None:
    """Whatever a reply is, the number of calls is bounded: (chunks + questions) x (1 + reads)."""
    dice = random.Random(1)
    for _ in range(30):
        policy = scripted.build(scripted.Options(script="chaotic"))
        played = next(rollout(where).play(policy, [episode(task(f"t-{dice.random()}"), where, size=5)]))
        assert played.usage.calls <= (2 + 2) * 4
        assert len(played.transitions) == played.usage.calls


class NoTokens:
    name = "none"

    def spans(self, text: str) -> list[tuple[int, int]]:
        return []


class Uncounted(scripted.Scripted):
    """The same replies; counting the tokens of prompts would be a third of the time."""

    tokenizer = NoTokens()


def test_25_000_fuzzed_replies_leave_every_operation_in_the_journal() -> None:
    """peers.md 2: no exception, no endless loop, and the journal holds what the parser saw."""
    where = store("exact")
    replies = operations = results = 0

    def say(call: Call) -> str:
        nonlocal replies, operations
        assert call.episode is not None
        reply = fuzz.generate([call])[0].text
        replies += 1
        operations += len(call.episode.agent.dialect.parse(reply))  # type: ignore[attr-defined]
        return reply

    fuzz = Uncounted(scripted.Options(script="chaotic"))
    policy = Says(say, batch=64)
    limits = Limits(reply=100, answer=20, reads=3)
    number = 0
    while replies < 25_000:
        policy.calls.clear()
        wave = [
            episode(task(f"f-{number + i}", ["Ada is in Velt."] * 12), where, size=5, limits=limits) for i in range(64)
        ]
        number += 64
        for played in rollout(where).play(policy, wave):
            assert played.stop is StopReason.ANSWERED
            results += sum(len(t.results) for t in played.transitions)
    assert results == operations > 12_000


@pytest.mark.parametrize("name", plugins.available("agents"))
@pytest.mark.parametrize("words", ["paper", "released", "tiny"])
def test_every_agent_speaks_every_dialect(name: str, words: str, where: Store) -> None:
    speaker = agent(name, dialect=words)
    oracle = scripted.build(scripted.Options(script="oracle"))
    about: Task = task()
    (played,) = rollout(where).play(oracle, [episode(about, where, by=speaker, size=20)])
    right = [a.text == q.answers[0] for a, q in zip(played.answers, about.questions, strict=True)]
    assert right == [name != "closed_book"] * 2
    assert all(a.tagged for a in played.answers)
    assert played.stop is StopReason.ANSWERED
