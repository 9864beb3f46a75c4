"""What noise in the store did: it crowded a fact out, or it was believed; and what it held from the beginning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import Says

from atommem_cli.config import recipe as recipes
from atommem_cli.core.calls import Expects
from atommem_cli.core.episode import Call
from atommem_cli.core.types import MemoryOp, OpKind
from atommem_cli.data import preparation
from atommem_cli.explain import cause_counts, memory_quality, noise
from atommem_cli.explain.causes import Cause
from atommem_cli.explain.miss_causes import explain_run
from atommem_cli.running.build import assemble
from atommem_cli.running.evaluation import evaluate
from atommem_cli.runs.reader import Run

N = 12


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("causes") / "data"
    hinges = {"create": 1, "delete": 1}
    preparation.prepare("stream", out=out, split="validation", limit=40, options={"hops": {1: 1}, "hinges": hinges})
    return out


def keeper(answer: Callable[[str], str]) -> Callable[[Call], str]:
    """Stores what every chunk says, looks the asked fact up, and answers by what is shown first."""

    def say(call: Call) -> str:
        episode, asked = call.episode, call.observation
        assert episode is not None
        write = episode.agent.write
        if asked.question is None:
            assert asked.chunk is not None
            return write(Expects.OPERATIONS, [MemoryOp(OpKind.CREATE, episode.chunks[asked.chunk].text)])
        query = episode.task.questions[asked.question].text.removesuffix(" ?")
        if episode.memory.query != query:
            return write(Expects.ANSWER, [MemoryOp(OpKind.READ, query)])
        return write(Expects.ANSWER, [], answer(episode.memory.shown[0].text if episode.memory.shown else ""))

    return say


def play(out: Path, data: Path, kind: str, answer: Callable[[str], str]) -> Run:
    noise = f"store.noise={{entries: {N}, kind: {kind}}}"
    changes = ["policy={name: scripted}", "store.name=exact", f"task.folder={data}", noise, "limits.reply=99"]
    recipe = recipes.load("tiny", changes)
    evaluate(recipe, out, parts=assemble(recipe, out, playing=Says(keeper(answer))))
    return Run(out)


def last_word(text: str) -> str:
    return text.removesuffix(" .").split()[-1] if text else "zzz"


@pytest.mark.parametrize(("answer", "cause"), [(last_word, Cause.MISLED), (lambda _: "zzz", Cause.CROWDED)])
def test_a_fact_that_noise_stands_before(
    tmp_path: Path, data: Path, answer: Callable[[str], str], cause: Cause
) -> None:
    run = play(tmp_path / "run", data, "contradicting", answer)
    told = Counter[Cause | None]()
    for line, task, (found,) in explain_run(run):
        shown = run.steps(line["episode"])[-1]["shown"]
        # k is 1: noise has the ids up to N, and the fact is among what was written behind it
        hidden = bool(task.questions[0].supporting) and bool(shown) and shown[0][0] <= N
        if cause is Cause.CROWDED and task.questions[0].answers == ("unknown",):
            hidden = False  # that nothing is known was in view before it was looked up
        assert (found.cause is cause) == (hidden and found.missed), line["episode"]
        told[found.cause] += 1
    assert told[cause] > 9
    table = cause_counts.table(cause_counts.summarize(run))
    assert cause.value in table.headers


def test_what_noise_holds_is_written_before_the_first_call(tmp_path: Path, data: Path) -> None:
    run = play(tmp_path / "run", data, "near_duplicate", last_word)
    facts = [fact for _, _, explanations in explain_run(run) for one in explanations for fact in one.facts]
    assert {fact.written for fact in facts} == {-1}
    assert all(min(fact.holders) <= N for fact in facts if fact.holders)


def test_how_much_of_what_was_shown_is_noise(tmp_path: Path, data: Path) -> None:
    run = play(tmp_path / "run", data, "contradicting", last_word)
    found = memory_quality.inspect(run)
    assert found.created == sum(line["chunks"] for line in run.episodes.values())  # none of the noise
    lines = [step for name in run.episodes for step in run.steps(name) if step["step"] >= 0]
    shown = [entry for line in lines for entry, _ in line["shown"]]
    assert found.noise == noise.NoiseShown(
        noise=sum(entry <= N for entry in shown),
        entries=len(shown),
        answered_noise=sum(entry <= N for entry in shown),  # nothing is shown before the question
        answered=len(shown),
    )
    assert "noise, of entries in all prompts" in [row[0] for row in memory_quality.table({"run": found}).rows]


def test_an_answer_is_believed_of_noise_alone() -> None:
    line = {"shown": [[1, "mara home velt"], [7, "mara home dorn"], [2, "mara home quill"]]}
    given = {1: "mara home velt", 2: "mara home holm"}  # the second has been changed since
    assert noise.shown(line, given) == ["mara home velt"]
    assert noise.believed("Velt.", line, given)
    assert not noise.believed("dorn", line, given)
    assert not noise.believed("quill", line, given)
    assert not noise.believed("home", line, given)
    assert not noise.believed("", line, given)
