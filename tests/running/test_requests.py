"""What agents ask for besides their policy's replies: further models, vectors, a view of their own choice."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import builders
import numpy as np
import pytest
from builders import Says, SaysAsync, episode, rollout, store, task
from commands import atommem

from atommem_cli.config import plugins
from atommem_cli.core.calls import Expects, Finish, Generation, Message, Observation
from atommem_cli.core.episode import Agent, Apply, Ask, Call, Embed, Episode, Play, apply, ask, embed
from atommem_cli.core.errors import UsageError
from atommem_cli.core.memory import Text
from atommem_cli.core.types import MemoryOp, OpKind, StopReason, Trajectory
from atommem_cli.running import asking
from atommem_cli.running.player import Budget

RANKING = str(Path(__file__).parents[1] / "support" / "ranking.py")


def ranking() -> Agent:
    module = plugins.load("agents", RANKING)
    built: Agent = module.build(module.Options())
    return built


def note(call: Call) -> Generation:
    """Writes every sentence of the chunk down."""
    assert call.episode is not None
    assert call.observation.chunk is not None
    texts = call.episode.chunks[call.observation.chunk].text.splitlines()
    ops = [MemoryOp(OpKind.CREATE, text) for text in texts if text.strip()]
    return Generation(call.episode.agent.write(Expects.OPERATIONS, ops), prompt_tokens=100, new_tokens=7)


FACTS = [
    f"Ada {verb} in {place}."
    for verb, place in zip(("rested", "lived", "died"), ("Velt", "Dorn", "Quill"), strict=True)
]


def play(policy: Says, notes: Says, **options: object) -> Trajectory:
    where = store()
    rolling = rollout(where, helpers={"notes": notes}, **options)
    return builders.play(rolling, policy, episode(task(facts=FACTS), where, by=ranking(), k=2, size=4))


@pytest.mark.parametrize("policy", [Says, SaysAsync])
@pytest.mark.parametrize("notes", [Says, SaysAsync])
def test_a_helper_of_either_kind_is_asked_beside_a_policy_of_either_kind(policy: type[Says], notes: type[Says]) -> None:
    asked, helping = policy(lambda _: "<answer>Velt</answer>"), notes(note)
    played = play(asked, helping)
    assert played.stop is StopReason.ANSWERED
    assert [step.to for step in played.transitions] == ["notes"] * 3 + ["policy"] * 3
    assert len(helping.calls) == len(asked.calls) == 3
    assert (played.usage.prompt_tokens, played.usage.new_tokens) == (3 * 100 + 3 * 10, 3 * 7 + 3 * 5)
    closed = [getattr(each, "closed", None) for each in (asked, helping)]
    assert closed == [True if type(each) is SaysAsync else None for each in (asked, helping)]


@pytest.mark.parametrize("kind", [Says, SaysAsync])
def test_two_halves_of_a_character_are_the_character_that_a_journal_reads(kind: type[Says]) -> None:
    said = "\ud83d\ude00, \ude00\ud83d"
    call = Call(Observation((Message("user", "?"),), 4, Expects.ANSWER), 0, None)
    (reply,) = asking.replies(kind(lambda _: Generation(said)), [call])
    assert reply.text == json.loads(json.dumps(said)) == "\U0001f600, \ude00\ud83d"


def test_what_a_helper_uses_counts_in_the_budget() -> None:
    played = play(Says(lambda _: "x"), Says(note), budget=Budget(new_tokens=20))
    assert played.stop is StopReason.BUDGET
    assert [step.to for step in played.transitions] == ["notes"] * 3
    assert play(Says(lambda _: "x"), Says(note), budget=Budget(calls=4)).stop is StopReason.STEP_LIMIT


def test_a_helper_that_fails_ends_the_episode() -> None:
    played = play(Says(lambda _: "x"), Says(lambda _: Generation("", Finish.ERROR, error="it is down")))
    assert (played.stop, played.error) == (StopReason.ERROR, "it is down")


def test_an_agents_own_ranking_is_what_was_shown_and_metadata_stays_with_its_entry() -> None:
    played = play(Says(lambda _: "<answer>Velt</answer>"), Says(note))
    where = store()
    vectors = rollout(where).vectors.vectors_for([Text(fact, False) for fact in FACTS])
    for number, step in enumerate(played.transitions[3:]):
        query = Text(task(facts=FACTS).questions[number].text, True)
        asked = rollout(where).vectors.vectors_for([query])[query]
        worth = [float(vectors[Text(fact, False)] @ asked) * 0.9 ** (3 - i) for i, fact in enumerate(FACTS)]
        expected = sorted(range(3), key=lambda i: -worth[i])[:2]
        assert [entry.id for entry in step.shown] == [i + 1 for i in expected]
        assert [entry.meta for entry in step.shown] == [(("chunk", str(i)),) for i in expected]
        assert all(FACTS[i] in step.observation.messages[-1].content for i in expected)


@dataclass
class Bare:
    """An agent that does one thing."""

    does: object
    got: list[object] = field(default_factory=list)
    embeds: bool = False
    operations: tuple[OpKind, ...] = (OpKind.CREATE,)

    def play(self, _: Episode) -> Play:
        self.got.append((yield self.does))  # type: ignore[misc]

    def describe(self) -> dict[str, str]:
        return {"name": "bare"}


def test_vectors_come_in_the_order_of_the_texts_and_in_one_batch_with_operations() -> None:
    where = store()
    texts = (Text("b", False), Text("a", True), Text("b", False))
    bare = Bare(Embed(texts), embeds=True)
    writer = Bare(Apply((MemoryOp(OpKind.CREATE, "c"),)))
    batches: list[int] = []
    rolling = rollout(where)
    plain = rolling.vectors.vectors_for
    rolling.vectors.vectors_for = lambda wanted: batches.append(len(wanted)) or plain(wanted)  # type: ignore[method-assign,func-returns-value]
    pair = [episode(task(name), where, by=by) for name, by in (("t-1", bare), ("t-2", writer))]  # type: ignore[arg-type]
    list(rolling.play(Says(lambda _: ""), pair))
    assert batches == [4]
    (found,) = bare.got
    assert isinstance(found, np.ndarray)
    assert found.shape == (3, rolling.vectors.dimension)
    assert np.array_equal(found[0], found[2])
    assert np.array_equal(found[1], plain([texts[1]])[texts[1]])


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (
            Apply((MemoryOp(OpKind.DELETE, target=1), MemoryOp(OpKind.CREATE, "c"), MemoryOp(OpKind.READ, "c"))),
            "the agent bare runs the operation read: add it to `operations`, or leave such operations out of what it "
            "applies",
        ),
        (
            Embed((Text("a", False),)),
            "the agent bare asks for vectors: it must declare `embeds = True`, as replays need it",
        ),
        (
            Ask(Observation((Message("user", "x"),), 5, Expects.ANSWER), "judge"),
            "the agent bare asks the model judge: it must declare it, as `helpers = ('judge',)`",
        ),
    ],
)
def test_what_an_agent_does_not_declare_it_does_not_get(does: object, said: str) -> None:
    where = store()
    with pytest.raises(UsageError) as raised:
        list(rollout(where).play(Says(lambda _: ""), [episode(task(), where, by=Bare(does))]))  # type: ignore[arg-type]
    assert str(raised.value) == said


def test_the_words_for_requests_are_short() -> None:
    assert next(ask(Observation((), 1, Expects.ANSWER), "x")).to == "x"  # type: ignore[union-attr]
    assert next(embed([Text("a", False)])) == Embed((Text("a", False),))
    assert next(apply([MemoryOp(OpKind.READ, "a")])) == Apply((MemoryOp(OpKind.READ, "a"),))


def test_every_command_works_with_helpers(tmp_path: Path) -> None:
    def run(*command: str, status: int = 0) -> str:
        done = atommem(*command, cwd=tmp_path, status=status)
        return " ".join((done.stdout + done.stderr).split())

    run("prepare", "stream", "--limit", "12")
    playing = ["eval", "--agent", RANKING, "--policy", "scripted:append_only", "--out", "r"]
    said = run(*playing, status=2)
    assert "asks a model that it calls notes, and the recipe names none: --set 'helpers.notes=" in said
    notes = ["--set", "helpers.notes={name: scripted, script: append_only}"]
    run(*playing, *notes)
    assert '"to":"notes"' in (tmp_path / "r" / "steps.jsonl").read_text()
    assert '"helpers": {' in (tmp_path / "r" / "run.json").read_text()
    assert "helpers" in run(*playing, "--set", "helpers.notes={name: scripted, script: random}", status=2)
    for command in ("replay r", "replay r --retrieve", "why r", "report r", "eval --plan --agent " + RANKING):
        assert "FINDING" not in run(*command.split(), *(notes if "--plan" in command else [])), command
    run("eval", "--agent", "rag", "--policy", "scripted:oracle", "--out", "s", *notes)
    run("compare", "r", "s")
    dead = "helpers.notes={name: openai_server, url: 'http://127.0.0.1:9/v1', model: m, retries: 1}"
    said = run(*playing[:-1], "dead", "--set", dead, status=3)
    assert "no server answers at http://127.0.0.1:9/v1" in said
    assert "correct helpers.notes.url" in said
    assert "'policy' cannot name a helper" in run(*playing, "--set", "helpers.policy={name: scripted}", status=2)
