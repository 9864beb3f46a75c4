"""`atommem why`, `replay`, `what-if`, `credit` and `eval --ladder` as a user types them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from commands import atommem, complaint

EXACT = ("--set", "store={name: exact}")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    atommem("prepare", "stream", "--split", "validation", "--limit", "12", cwd=folder)
    for script in ("oracle", "append_only"):
        atommem("eval", "--policy", f"scripted:{script}", *EXACT, "--out", script, "--json", cwd=folder)
    return folder


def test_why_says_what_became_of_the_missed(home: Path) -> None:
    done = atommem("why", "oracle", "append_only", cwd=home)
    assert "oracle: why questions were missed" in done.stdout
    assert "append_only: why questions were missed" in done.stdout
    found = json.loads(atommem("why", "append_only", "--json", cwd=home).stdout)["append_only"]
    summary = json.loads((home / "append_only" / "summary.json").read_text())
    missed = round(summary["scores"]["em"]["n"] * (1 - summary["scores"]["em"]["mean"]))
    assert found["causes"]["all"]["missed"] == missed == sum(found["causes"]["all"]["causes"].values()) > 0
    assert found["causes"]["all"]["causes"]["shown, not written"] == 0, "it stores everything"
    assert found["hygiene"]["episodes"] == 12


def test_replay_reproduces_a_run_and_finds_a_changed_digit(home: Path, tmp_path: Path) -> None:
    done = atommem("replay", "oracle", "--retrieve", "--json", cwd=home)
    found = json.loads(done.stdout)
    assert (found["episodes"], found["findings"], found["retrieved"]) == (12, [], True)
    shutil.copytree(home / "oracle", home / "changed")
    path = home / "changed" / "steps.jsonl"
    text = path.read_text()
    digest = re.search(r'"after":"([0-9a-f]{16})"', text)
    assert digest
    turned = "0" if digest[1][7] != "0" else "1"
    at = digest.start(1) + 7
    path.write_text(text[:at] + turned + text[at + 1 :])
    done = atommem("replay", "changed", cwd=home, status=1)
    assert "| FINDING | steps.jsonl" in done.stdout
    assert "after" in done.stdout


def test_an_episode_is_shown_step_by_step(home: Path) -> None:
    run = [json.loads(line) for line in (home / "oracle" / "steps.jsonl").read_text().splitlines()]
    name = next(line["episode"] for line in run if any(op["kind"] == "update" for op in line["ops"]))
    shown = atommem("replay", "oracle", "--episode", name.removesuffix("#0"), cwd=home).stdout
    ops = [op for line in run if line["episode"] == name for op in line["ops"]]
    assert all(f"{number:>7}" in shown for number in range(1, len(ops) + 1))
    assert " -> " in next(line for line in shown.splitlines() if line.startswith("  ~ ") and "query" not in line)
    assert json.loads(atommem("replay", "oracle", "--episode", name, "--json", cwd=home).stdout)
    said = complaint("replay", "oracle", "--episode", "stream-validation-0000", cwd=home)
    assert "stream-validation-0000" in said


def test_a_run_without_an_episode_says_so(home: Path) -> None:
    shutil.copytree(home / "oracle", home / "begun", dirs_exist_ok=True)
    (home / "begun" / "episodes.jsonl").write_text("")
    told = complaint("why", "oracle", "begun", cwd=home)
    assert "begun: none of its 12 episodes has ended yet: the command that began the run goes on with it" in told
    assert "0 of 12 planned" in atommem("replay", "begun", cwd=home, status=1).stdout  # and its steps are played
    (home / "begun" / "steps.jsonl").write_text("")
    assert "begun: none of its 12 episodes has begun yet" in complaint("replay", "begun", cwd=home)


def test_a_run_whose_tasks_are_named_from_elsewhere_says_from_where(home: Path, tmp_path: Path) -> None:
    told = complaint("why", str(home / "append_only"), cwd=tmp_path)
    assert "data/stream/validation/manifest.json is missing: there is no such folder where you stand" in told


def test_a_long_episode_is_shown_without_its_middle_unless_all_of_it_is_asked_for(tmp_path: Path) -> None:
    atommem("prepare", "stream", "--split", "validation", "--limit", "1", "--docs", "40", cwd=tmp_path)
    each = ("--set", "chunk={tokens: 1, overlap: 0, by: documents, most: null}")
    played = ("eval", "--policy", "scripted:append_only", *EXACT, *each, "--out", "run", "--json")
    calls = json.loads(atommem(*played, cwd=tmp_path).stdout)["totals"]["calls"]
    asked = ("replay", "run", "--episode", "stream-validation-00000")
    shown, whole = (atommem(*asked, *full, cwd=tmp_path).stdout for full in ((), ("--full",)))
    assert calls > 40
    assert whole.count("--- step ") == calls
    assert shown.count("--- step ") == 20
    assert f"{calls - 20} more steps: --full" in shown
    assert "--full" not in whole
    assert whole.splitlines()[-4:] == shown.splitlines()[-4:]


def test_what_if_prices_an_operation(home: Path) -> None:
    episodes = [json.loads(line) for line in (home / "oracle" / "episodes.jsonl").read_text().splitlines()]
    name = next(line["episode"] for line in episodes if line["answers"][0]["text"] != "unknown")
    found = json.loads(atommem("what-if", "oracle", "--episode", name, "--leave-one-out", "--json", cwd=home).stdout)
    worth = [one["before"]["scores"]["em"][0] - one["after"]["scores"]["em"][0] for one in found]
    assert max(worth) == 1.0, "the answer hangs on something"
    number = found[worth.index(1.0)]["intervention"]["number"]
    done = atommem("what-if", "oracle", "--episode", name, "--drop-op", str(number), cwd=home)
    assert "(price +1)" in done.stdout
    done = atommem("what-if", "oracle", "--episode", name, "--forbid", "create", cwd=home)
    assert "without any create" in done.stdout
    assert "unknown" in done.stdout or "(none)" in done.stdout
    said = complaint("what-if", "oracle", "--episode", name, cwd=home)
    assert "say one thing to change" in said
    said = complaint("what-if", "oracle", "--episode", name, "--leave-one-out", "--drop-op", "1", cwd=home)
    assert "--leave-one-out goes without" in said
    assert "no such operation" in complaint("what-if", "oracle", "--episode", name, "--forbid", "creat", cwd=home)


def test_credit_prices_the_operations_of_a_run(home: Path) -> None:
    found = json.loads(atommem("credit", "append_only", "--json", cwd=home).stdout)
    assert found["episodes"] == 12
    assert 1.0 in found["prices"]["create"]
    assert None in found["prices"]["create"]
    assert "helped / nothing / harmed" in atommem("credit", "append_only", "--scorer", "f1", cwd=home).stdout
    assert "no scorer of that name" in complaint("credit", "append_only", "--scorer", "judge", cwd=home)


def test_the_ladder_follows_an_evaluation(home: Path) -> None:
    words = ("eval", "--policy", "scripted:oracle", *EXACT, "--out", "oracle", "--ladder", "--json")
    ladder = json.loads(atommem(*words, cwd=home).stdout)["ladder"]
    means = {rung["rung"]: rung["scores"]["em"]["mean"] for rung in ladder["rungs"]}
    assert means["own memory"] == means["gold facts"] == 1.0
    assert means["closed book"] == means["no memory"] < 0.6
    assert "closed book" in (home / "oracle" / "ladder.md").read_text()
