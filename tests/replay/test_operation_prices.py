"""What operations were worth, on episodes made by hand: of each it is known what it was worth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from builders import Says, agent, store, vectors
from demos import contents
from needs import needs
from scipy.stats import spearmanr

from atommem_cli.config import recipe as recipes
from atommem_cli.core.calls import Expects, Generation
from atommem_cli.core.episode import Call
from atommem_cli.core.errors import UsageError
from atommem_cli.core.types import Document, MemoryOp, OpKind, Question, Task, Trajectory
from atommem_cli.data import preparation
from atommem_cli.replay import credit, operation_prices, replay
from atommem_cli.replay.answer_stage import Place
from atommem_cli.running import evaluation
from atommem_cli.running.build import Parts, assemble
from atommem_cli.runs.reader import Run
from atommem_cli.scoring import rewards
from atommem_cli.scoring.reward import BatchReward, Pair

CREATE, READ, UPDATE, DELETE, NOTE = OpKind.CREATE, OpKind.READ, OpKind.UPDATE, OpKind.DELETE, OpKind.SCRATCHPAD
LOOK = MemoryOp(READ, "Ada lives")


def create(text: str) -> MemoryOp:
    return MemoryOp(CREATE, text)


class Played:
    """An episode of one step for each chunk, whose operations are given; the answer is read off the prompt."""

    def __init__(
        self,
        replies: Sequence[Sequence[MemoryOp]],
        answers: Sequence[str] = ("Velt",),
        k: int = 3,
        by: str = "atommem",
        answering: Sequence[MemoryOp] = (),
        room: int | None = None,
        least: float | None = None,
    ) -> None:
        """
        Args:
            answering: written in place of the first answer, once.
            room: entries that the store takes.
            least: cosine below which it finds nothing.
        """
        who = ("Ada", "Bo")[: len(answers)]
        questions = tuple(
            Question(f"q{i}", f"Where is {w}?", (a,)) for i, (w, a) in enumerate(zip(who, answers, strict=True))
        )
        self.task = Task("t", "test", tuple(Document("", f"document {i}") for i in range(len(replies))), questions)
        self.agent = agent(by, dialect="tiny")
        self.asked = 0
        self._replies, self._answering = replies, answering
        changes = [
            "chunk={tokens: 2, overlap: 0, by: documents}",
            f"memory.retrieve_k={k}",
            f"limits.reads={int(bool(answering))}",
        ]
        kept = [f"budget.entries={json.dumps(room)}", f"store={{name: exact, least: {json.dumps(least)}}}"]
        recipe = recipes.load("tiny-sloppy", [*changes, f"agent.name={by}", *kept])
        policy = Says(self._say)
        self.parts = Parts(recipe, self.agent, policy, store(least=least), vectors())
        (self.trajectory,) = self.parts.play([self.parts.episode(self.task, 0, *self.parts.cut(self.task))])
        self.asked = 0

    def _say(self, call: Call) -> Generation:
        self.asked += 1
        asked = call.observation
        if asked.expects is not Expects.ANSWER:
            assert asked.chunk is not None
            return Generation(self.agent.write(asked.expects, list(self._replies[asked.chunk])))
        assert asked.question is not None
        content = asked.messages[-1].content
        if self._answering and asked.reads_left:
            return Generation(self.agent.write(asked.expects, self._answering))
        who = ("ada", "bo")[asked.question]
        stated = [line.split() for line in content.lower().splitlines() if f" {who} lives " in line]
        return Generation(self.agent.write(asked.expects, [], stated[0][-1] if stated else "unknown"))

    def prices(self, value: BatchReward | None = None) -> dict[Place, float | None]:
        em = rewards.of("em")
        found = operation_prices.prices(self.parts, [(self.task, self.trajectory)], value or em)
        assert found.calls == self.asked
        (ops,) = found.episodes
        return {one.place: one.price for one in ops}


def test_a_create_that_is_needed_and_one_that_says_it_again() -> None:
    played = Played([[LOOK], [create("Ada lives in Velt")], [create("Ada lives in Velt")]], k=1)
    assert played.trajectory.answers[0].text.lower() == "velt"
    assert played.prices() == {
        Place(0, 0): 1.0,  # without the query nothing is shown
        Place(1, 0): 0.0,  # it was shown; without it the other one says the same
        Place(2, 0): None,  # nobody has seen it
    }
    assert played.asked == 1
    alone = Played([[LOOK], [create("Ada lives in Velt")], [create("Ada has a cat")]])
    assert alone.prices() == {Place(0, 0): 1.0, Place(1, 0): 1.0, Place(2, 0): 0.0}


def test_an_update_that_is_needed_and_the_one_before_it() -> None:
    played = Played(
        [
            [LOOK],
            [create("Ada lives in Dorn")],
            [MemoryOp(UPDATE, "Ada lives in Quil", 1)],
            [MemoryOp(UPDATE, "Ada lives in Velt", 1)],
            [MemoryOp(UPDATE, "Ada lives in Velt", 7), create("")],
        ]
    )
    assert played.prices() == {
        Place(0, 0): 1.0,
        Place(1, 0): 1.0,  # what is not there is not updated
        Place(2, 0): None,  # overwritten, and never shown to a question
        Place(3, 0): 1.0,
    }  # refused operations took no effect


def test_a_delete_that_is_needed_and_what_should_have_been_deleted() -> None:
    deleted = Played([[LOOK], [create("Ada lives in Dorn")], [MemoryOp(DELETE, target=1)]], ["unknown"])
    assert deleted.prices() == {Place(0, 0): 0.0, Place(1, 0): None, Place(2, 0): 1.0}  # the query stands in prompts
    stale = Played([[LOOK], [create("Ada lives in Dorn")]], ["unknown"])
    assert stale.prices() == {Place(0, 0): -1.0, Place(1, 0): -1.0}


def test_a_delete_is_worth_what_it_made_room_for() -> None:
    replies = [[LOOK, create("Bo lives in Dorn")], [MemoryOp(DELETE, target=1)], [create("Ada lives in Velt")]]
    assert Played(replies, room=1).prices()[Place(1, 0)] == 1.0
    assert Played(replies, room=2).prices()[Place(1, 0)] == 0.0
    assert Played(replies).prices()[Place(1, 0)] == 0.0


def test_a_create_that_fills_the_store_pays_for_what_found_no_room() -> None:
    replies = [[LOOK, create("Bo lives in Dorn")], [create("Ada lives in Velt")]]
    capped = Played(replies, room=1)
    assert capped.trajectory.answers[0].text == "unknown"
    assert capped.prices() == {Place(0, 0): 0.0, Place(0, 1): -1.0}  # without it Ada is stored
    assert Played(replies, room=2).prices()[Place(0, 1)] == 0.0


def test_what_was_there_already_stands_in_for_what_is_left_out() -> None:
    again = [[LOOK], [LOOK], [create("Ada lives in Dorn")], *[[MemoryOp(UPDATE, "Ada lives in Velt", 1)]] * 2]
    played = Played(again)
    assert [step.results[0].outcome for step in played.trajectory.transitions[:5]] == ["ok", "noop", "ok", "ok", "noop"]
    assert played.prices() == {Place(0, 0): None, Place(2, 0): 1.0, Place(3, 0): 0.0}
    assert played.asked == 1
    noted = Played([[MemoryOp(NOTE, "so Ada lives in Velt")]] * 2)
    assert noted.prices() == {Place(0, 0): None}


def test_what_is_too_far_from_the_query_is_not_shown_instead() -> None:
    replies = [[LOOK, create("Ada lives in Velt")], [create("Cy plays the horn")]]
    assert Played(replies, k=1).prices()[Place(0, 1)] == 1.0
    assert Played(replies, ["Velt"], least=0.5).prices()[Place(1, 0)] is None
    assert Played(replies, ["Velt"]).prices()[Place(1, 0)] == 0.0


def test_what_no_question_was_shown_has_no_price() -> None:
    never = Played([[create("Ada lives in Velt")], [create("Bo lives in Dorn")]], ["Velt"])
    assert never.trajectory.answers[0].text == "unknown"
    assert never.prices() == {Place(0, 0): None, Place(1, 0): None}
    assert never.asked == 0
    behind = Played([[LOOK], [create("Ada lives in Velt")], [create("Cy plays the horn")]], k=1)
    assert behind.prices()[Place(2, 0)] is None


def test_notes_count_and_those_that_were_overwritten_do_not() -> None:
    note = MemoryOp(NOTE, "Bo lives in Dorn")
    played = Played([[note], [MemoryOp(NOTE, "mind : \n so Ada lives in Velt")]])
    assert played.prices() == {Place(0, 0): None, Place(1, 0): 1.0}
    reader = Played([[MemoryOp(NOTE, "so Ada lives in Velt")], [note]], ["unknown"], by="memagent")
    assert reader.prices() == {Place(0, 0): None, Place(1, 0): 1.0}


def test_of_two_questions_each_operation_has_its_share() -> None:
    both = Played([[LOOK], [create("Ada lives in Velt")], [create("Bo lives in Dorn")]], ["Velt", "Dorn"])
    assert both.prices() == {Place(0, 0): 1.0, Place(1, 0): 0.5, Place(2, 0): 0.5}
    assert both.asked == 6  # each question is shown all of them


def test_a_read_while_answering_is_heard_of_and_shows_nothing() -> None:
    read = MemoryOp(READ, "Ada lives")
    played = Played([[create("Ada lives in Velt")]], answering=[read])
    assert [len(step.results) for step in played.trajectory.transitions] == [1, 1, 0]
    assert played.prices() == {Place(0, 0): 1.0, Place(1, 0): 1.0}


def test_rewards_are_asked_about_the_episode_as_it_would_have_been() -> None:
    played = Played([[LOOK], [create("Ada lives in Velt")], [create("Bo lives in Dorn")]])
    seen: list[Trajectory] = []

    def value(pairs: Sequence[Pair]) -> list[float]:
        seen.extend(trajectory for _, trajectory in pairs)
        return [1 / (1 + trajectory.usage.entries) for _, trajectory in pairs]

    assert played.prices(value)[Place(1, 0)] == pytest.approx(1 / 3 - 1 / 2)
    whole, *without = seen
    assert whole == played.trajectory
    for each in without:
        assert each.transitions[:3] == whole.transitions[:3]
        assert each.usage.calls == len(each.transitions) == 4
        assert each.digest != whole.digest


def test_the_same_noise_in_both_replies() -> None:
    played = Played([[LOOK], [create("Ada lives in Velt")]])
    policy = played.parts.policy
    assert isinstance(policy, Says)
    before = len(policy.calls)
    played.prices()
    (*_, as_played), anew = policy.calls[:before], policy.calls[before:]
    assert {call.seed for call in anew} == {as_played.seed}
    assert len(anew) == 2


def test_an_agent_whose_conversation_grows_has_no_answer_stage(tmp_path: Path) -> None:
    preparation.prepare("stream", out=tmp_path / "data", split="validation", limit=2, seed=3)
    growing = Path(__file__).parents[1] / "support" / "growing.py"
    policy = "policy={name: scripted, script: random}"
    changes = [f"task.folder={tmp_path / 'data'}", "store={name: exact}", policy, f"agent={{name: {growing}}}"]
    evaluation.evaluate(recipes.load("tiny-sloppy", changes), tmp_path / "run")
    found = credit.credit(Run(tmp_path / "run"))
    assert (found.apart, found.calls) == (2, 0)
    assert {price for prices in found.prices.values() for price in prices} == {None}
    assert "no question can be asked apart from what was read" in credit.table(found).title


def test_a_finished_run_is_priced_without_touching_its_lines(tmp_path: Path) -> None:
    preparation.prepare("stream", out=tmp_path / "data", split="validation", limit=12, seed=3)
    policy = "policy={name: scripted, script: careful}"
    recipe = recipes.load("tiny-sloppy", [f"task.folder={tmp_path / 'data'}", "store={name: exact}", policy])
    evaluation.evaluate(recipe, tmp_path / "run")
    before, run = contents(tmp_path), Run(tmp_path / "run")
    told: list[tuple[int, int, str]] = []
    found = credit.credit(run, progress=lambda *now: told.append(now))
    assert told[-1] == (12, 12, "")
    lines = [json.loads(line) for line in (tmp_path / "run" / "credit.jsonl").read_text().splitlines()]
    after = contents(tmp_path)
    assert {name: text for name, text in after.items() if name in before} == before
    assert {name.rpartition("/")[2] for name in map(str, after.keys() - before.keys())} == {"credit.jsonl"}
    steps = {name: run.steps(name) for name in run.episodes}
    took_effect = [
        (name, line["step"], op["kind"], op["entry"])
        for name, lines in steps.items()
        for line in lines
        for op in line["ops"]
        if op["outcome"] == "ok"
    ]
    assert [(one["episode"], one["step"], one["kind"], one["entry"]) for one in lines] == took_effect
    assert sum(map(len, found.prices.values())) == len(lines)
    table = credit.table(found)
    assert [row[0] for row in table.rows] == [kind for kind in OpKind if kind in found.prices]
    assert sum(int(row[2]) for row in table.rows) == sum(one["price"] is not None for one in lines)
    with pytest.raises(UsageError, match="--scorer emm: no scorer of that name"):
        credit.credit(run, "emm")
    with pytest.raises(UsageError, match="its policy scripted does not say how likely a reply is; hf does"):
        credit.credit(run, "likelihood")


def test_prices_by_likelihood_ask_nobody_again(tmp_path: Path) -> None:
    preparation.prepare("stream", out=tmp_path / "data", split="validation", limit=4, seed=3)
    changes = [f"task.folder={tmp_path / 'data'}", "store={name: exact}", "agent={name: memagent, dialect: tiny}"]
    evaluation.evaluate(recipes.load("tiny-sloppy", changes), tmp_path / "run")  # a fresh model: its notes are noise
    found = credit.credit(Run(tmp_path / "run"), "likelihood")
    known = [price for price in found.prices["scratchpad"] if price is not None]
    assert found.calls == 0
    assert 0 < len(known) <= 4  # of notes the last ones count
    assert all(0 < abs(price) < 10 for price in known)


@pytest.fixture(scope="module")
def careful(tmp_path_factory: pytest.TempPathFactory) -> Run:
    home = tmp_path_factory.mktemp("careful")
    preparation.prepare("stream", out=home / "data", split="validation", limit=80, seed=3)
    policy = "policy={name: scripted, script: careful}"
    evaluation.evaluate(
        recipes.load("tiny-sloppy", [f"task.folder={home / 'data'}", "store={name: exact}", policy]), home / "run"
    )
    return Run(home / "run")


@pytest.mark.parametrize("kind", [CREATE, UPDATE, DELETE])
def test_prices_are_what_the_generator_says_was_needed(careful: Run, kind: OpKind) -> None:
    """`tests/bench/bench_credit.py` says it of more players."""
    played = list(replay.play(careful))
    with closing(assemble(careful.recipe)) as parts:
        found = operation_prices.prices(parts, played, rewards.of("em"))
    pairs = [
        (op.price, needs(*pair)[op.place])
        for pair, ops in zip(played, found.episodes, strict=True)
        for op in ops
        if op.kind is kind and op.price is not None
    ]
    prices, wanted = zip(*pairs, strict=True)
    assert len(pairs) >= 10
    assert {0.0, 1.0} <= set(wanted)
    assert spearmanr(prices, wanted).statistic > 0.8
