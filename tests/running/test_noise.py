"""Noise in the stores of whole runs: there before the agent begins, in the journal, in a replay, and nobody's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import builders
import pytest
from builders import Says, SaysAsync, agent, episode, rollout, script, store
from builders import task as made

from atommem_cli.config import recipe as recipes
from atommem_cli.core.calls import Expects
from atommem_cli.core.types import MemoryOp, OpKind, Task, Trajectory
from atommem_cli.data import preparation
from atommem_cli.explain import cause_counts, memory_quality, store_grades
from atommem_cli.replay import replay
from atommem_cli.replay.episode_view import book
from atommem_cli.replay.ladder_rungs import held
from atommem_cli.running.evaluation import evaluate, planned_tasks
from atommem_cli.runs.layout import Line
from atommem_cli.runs.reader import Run

AGENTS = ("atommem", "rag", "agemem", "memagent")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("noise") / "data"
    preparation.prepare("stream", out=out, split="validation", limit=12)
    return out


def recipe(data: Path, agent: str = "atommem", *changes: str) -> recipes.Recipe:
    plain = ("policy={name: scripted, script: append_only}", f"agent.name={agent}", "limits.reply=400")
    return recipes.load("tiny", [*plain, "store.name=exact", "store.least=null", f"task.folder={data}", *changes])


def written(steps: list[Line]) -> list[str]:
    return [op["text"] for step in steps for op in step["ops"]]


NOISE = "store.noise={entries: 30, kind: irrelevant}"


@pytest.mark.parametrize("by", AGENTS)
def test_every_agent_finds_it_and_none_of_it_is_the_agents(data: Path, tmp_path: Path, by: str) -> None:
    evaluate(recipe(data, by), tmp_path / "plain")
    evaluate(recipe(data, by, NOISE), tmp_path / "noisy")
    plain, noisy = Run(tmp_path / "plain"), Run(tmp_path / "noisy")
    given = {task.id: task.noise for task in planned_tasks(recipe(data, "rag", NOISE))}
    for name, line in noisy.episodes.items():
        first, *_ = steps = noisy.steps(name)
        assert first["step"] == -1
        assert first["noise"] == [[i, text] for i, text in enumerate(given[line["task"]], start=1)]
        before = plain.steps(name)
        if by != "agemem":  # its prompts show what a search finds while it still reads
            assert written(steps) == written(before)
            assert line["usage"]["entries"] == plain.episodes[name]["usage"]["entries"]
            assert [step.get("entries") for step in steps[-1:]] == [step.get("entries") for step in before[-1:]]
    counted, alone = store_grades.grades(noisy), store_grades.grades(plain)
    if by != "agemem":
        assert (counted.called, counted.quality) == (alone.called, alone.quality)
    assert replay.verify(noisy).findings == ()
    assert replay.verify(noisy, retrieve=True).findings == ()
    assert "noise" not in plain.identity["recipe"]["store"]


def test_a_run_goes_on_from_its_journal_and_notices_where_the_noise_is_gone(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    whole = evaluate(recipe(data, "atommem", NOISE, "budget.entries=4"), out)
    assert Run(out).complete
    lines = (out / "steps.jsonl").read_text().splitlines(keepends=True)
    (out / "summary.json").unlink()
    (out / "steps.jsonl").write_text("".join(lines[1:]))  # the first episode's opening
    assert not Run(out).complete
    assert evaluate(recipe(data, "atommem", NOISE, "budget.entries=4"), out)["digest"] == whole["digest"]
    assert replay.verify(Run(out)).findings == ()
    assert all(line["usage"]["entries"] <= 4 for line in Run(out).episodes.values())


def test_it_is_the_same_on_chroma(data: Path, tmp_path: Path) -> None:
    ends = [
        evaluate(recipe(data, "rag", NOISE, f"store.name={name}", "store.least=null"), tmp_path / name)["digest"]
        for name in ("exact", "chroma")
    ]
    assert ends[0] == ends[1]


def test_a_damaged_entry_is_found(data: Path, tmp_path: Path) -> None:
    evaluate(recipe(data, "atommem", NOISE), tmp_path / "run")
    path = tmp_path / "run" / "steps.jsonl"
    first, *rest = path.read_text().splitlines(keepends=True)
    line = json.loads(first)
    line["noise"][3][1] += "x"
    path.write_text("".join([json.dumps(line) + "\n", *rest]))
    (finding, *_) = replay.verify(Run(tmp_path / "run")).findings
    assert "noise" in str(finding) or "before" in str(finding)


FACT = "Ada was born in Velt."
LIE = "Ada was born in Dorn."


def play(policy: Says, about: Task) -> Trajectory:
    where = store()
    return builders.play(rollout(where), policy, episode(about, where, k=1))


@pytest.mark.parametrize("kind", [Says, SaysAsync])
def test_the_first_read_finds_it(kind: type[Says]) -> None:
    read = agent().write(Expects.OPERATIONS, [MemoryOp(OpKind.READ, "Ada born")])
    played = play(kind(script(read, "<answer>Dorn</answer>")), replace(made(facts=[FACT]), noise=(LIE,)))
    assert [(entry.id, entry.text) for entry in played.noise] == [(1, LIE)]
    assert [entry.text for entry in played.transitions[-1].shown] == [LIE]
    assert played.usage.entries == 0


def test_why_tells_what_noise_crowded_out_and_what_was_believed(data: Path, tmp_path: Path) -> None:
    many = "store.noise={entries: 12, kind: contradicting}"
    evaluate(recipe(data, "rag", many), tmp_path / "rag")
    found = cause_counts.summarize(Run(tmp_path / "rag"))["all"]
    assert found.causes
    shown = memory_quality.inspect(Run(tmp_path / "rag")).noise
    assert shown is not None
    assert 0 < shown.answered_noise <= shown.answered


def test_an_episode_shows_what_lay_in_its_store(data: Path, tmp_path: Path) -> None:
    evaluate(recipe(data, "atommem", NOISE), tmp_path / "run")
    run = Run(tmp_path / "run")
    name = next(iter(run.episodes))
    first = book(run, name).pages[0]
    assert [change.new for change in first.changes] == [text for _, text in run.steps(name)[0]["noise"]]
    assert first.operations == ()
    assert len(held(run.steps(name), 0).entries) == 30 + 8  # a statement each
