"""Runs of AgeMem under a policy that calls every tool, well and badly: what stands behind their numbers holds."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from commands import atommem

from atommem_cli.config import recipe as recipes
from atommem_cli.core.types import OpKind, Outcome
from atommem_cli.data import preparation
from atommem_cli.explain import miss_causes
from atommem_cli.replay import replay
from atommem_cli.running.evaluation import evaluate
from atommem_cli.runs.layout import Line
from atommem_cli.runs.reader import Run

TOOLS = Path(__file__).parents[1] / "support" / "tool_calls.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    hinges = {"create": 0.3, "update": 0.45, "delete": 0.2, "none": 0.05}
    options = {"docs": 20, "questions": 2, "people": 3, "hops": {1: 0.6, 2: 0.4}, "hinges": hinges}
    preparation.prepare("stream", out=folder, split="validation", options=options, distractors=4, limit=12, seed=3)
    return folder


def recipe(data: Path, **changes: Any) -> recipes.Recipe:
    content: dict[str, Any] = {
        "name": "tools",
        "task": {"folder": str(data)},
        "chunk": {"tokens": 12, "overlap": 0, "by": "documents", "most": None},
        "memory": {"retrieve_k": 3},
        "limits": {"reply": 400, "answer": 400, "reads": 2},
        "agent": {"name": "agemem", "context_tokens": 1200},
        "policy": {"name": str(TOOLS)},
        "store": {"name": "exact"},
        "embedder": {"name": "hashing"},
        **changes,
    }
    return recipes.resolve(content, [], origin="tools")


def run(out: Path, data: Path, *, batch: int = 64, **changes: Any) -> dict[str, Any]:
    chosen = recipe(data, **changes).changed([f"policy.batch={batch}"])
    return dict(evaluate(chosen, out))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    run(out, data)
    return out


def lines(out: Path) -> list[Line]:
    return [json.loads(line) for line in (out / "steps.jsonl").read_text().splitlines()]


def test_every_tool_was_called_with_every_kind_of_outcome(whole: Path) -> None:
    ops = [op for line in lines(whole) for op in line["ops"]]
    counts = Counter((op["kind"], op["outcome"]) for op in ops)
    for kind in (
        OpKind.CREATE,
        OpKind.READ,
        OpKind.UPDATE,
        OpKind.DELETE,
        OpKind.SUMMARIZE,
        OpKind.FILTER,
        OpKind.CLEAR,
    ):
        assert counts[kind, Outcome.OK] > 0, kind
    for outcome in (Outcome.NOOP, Outcome.INVALID_TARGET, Outcome.MALFORMED, Outcome.UNCLOSED):
        assert sum(count for (_, one), count in counts.items() if one == outcome) > 0, outcome
    faults = {
        pair[1] for line in lines(whole) for op in line["ops"] for pair in op.get("meta", ()) if pair[0] == "fault"
    }
    assert {"cut off", "not confirmed", "there is no tool Fly_away", "top_k is at least 1"} <= faults
    stops = Counter(json.loads(line)["stop"] for line in (whole / "episodes.jsonl").read_text().splitlines())
    assert stops["context_overflow"]
    assert stops["answered"]


def test_a_replay_finds_nothing_with_retrieval_and_without(whole: Path) -> None:
    for retrieve in (False, True):
        found = replay.verify(Run(whole), retrieve=retrieve)
        assert (found.findings, found.episodes) == ((), 12)


def test_an_episode_among_others_is_the_same_as_alone(whole: Path, data: Path, tmp_path: Path) -> None:
    run(tmp_path / "alone", data, batch=1)
    together, alone = ({line["episode"]: line["steps"] for line in map(json.loads, (folder / "episodes.jsonl").open())}
                       for folder in (whole, tmp_path / "alone"))  # fmt: skip
    assert together == alone


@pytest.mark.parametrize("kept", [0, 1, 17, 40])
def test_a_run_that_was_killed_goes_on_to_the_same_digest(whole: Path, data: Path, tmp_path: Path, kept: int) -> None:
    killed = tmp_path / "killed"
    killed.mkdir()
    for name in ("run.json", "recipe.yaml"):
        (killed / name).write_bytes((whole / name).read_bytes())
    steps = (whole / "steps.jsonl").read_text().splitlines(keepends=True)
    (killed / "steps.jsonl").write_text("".join(steps[:kept]) + steps[kept][:40])
    assert run(killed, data)["digest"] == json.loads((whole / "summary.json").read_text())["digest"]


def test_why_report_and_what_if_take_such_a_run(whole: Path, tmp_path: Path) -> None:
    assert len([*miss_causes.explain_run(Run(whole))]) == 12
    atommem("report", str(whole), "--out", str(tmp_path / "page"), cwd=tmp_path)
    page = next((tmp_path / "page").glob("*.html")).read_text()
    assert "<script>alert(1)</script>" not in page
    episode = next(line["episode"] for line in lines(whole) if line["step"] == 2)
    call = '<tool_call>[{"name": "Filter_context", "arguments": {"messages": [2]}}]</tool_call>'
    for what in (("--insert", f"0: {call}"), ("--forbid", "filter"), ("--drop-op", "1")):
        told = atommem("what-if", str(whole), "--episode", episode, *what, "--json",
                       cwd=tmp_path)  # fmt: skip
        assert json.loads(told.stdout)


def test_each_tool_is_worth_what_a_perfect_policy_needs_it_for(data: Path, tmp_path: Path) -> None:
    """Without Add or Retrieve what was read is gone with the context; without Update what changed is wrong; and
    without a tool for the context it overflows."""
    changes = {"policy": {"name": "scripted"}, "agent": {"name": "agemem", "dialect": "tiny", "context_tokens": 150}}
    (tmp_path / "tools.yaml").write_text(recipe(data, **changes).dump())
    names = ("add", "update", "retrieve", "long_term", "short_term", "summary", "filter")
    drops = [word for name in names for word in ("--drop", name)]
    told = atommem("ablate", "--recipe", "tools.yaml", *drops, "--out", "arms", "--json", cwd=tmp_path)
    means = {run["label"]: run["score"]["mean"] for run in json.loads(told.stdout)["runs"]}
    stops = {
        name: Counter(json.loads(line)["stop"] for line in (tmp_path / f"arms/arms/{name}/episodes.jsonl").open())
        for name in means
    }
    assert means["base"] == 1.0
    for name in ("add", "update", "retrieve", "long_term"):
        assert means[f"without-{name}"] < 0.8
        assert stops[f"without-{name}"] == {"answered": 12}
    assert stops["without-short_term"]["context_overflow"] > 10
    assert means["without-summary"] == means["without-filter"] == 1.0  # one of them is enough
