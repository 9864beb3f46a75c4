"""One run played by several processes and joined: the same as by one process, whatever is killed in between."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import warm
from commands import atommem, complaint
from hypothesis import given
from hypothesis import strategies as st

from atommem_cli.ablation import runner
from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import RunMismatch, UsageError
from atommem_cli.data import preparation
from atommem_cli.running import costing, evaluation
from atommem_cli.runs import listing, shards
from atommem_cli.runs.shards import Shard

EXACT = "store={name: exact}"
TASKS = 9
JUDGE = """
from atommem_cli import Generation, Section as Options, WordTokenizer

class Yes:
    tokenizer, window, batch = WordTokenizer(), None, 8
    def __init__(self, options): pass
    def generate(self, calls): return [Generation('{"correct": true}')] * len(calls)
    def describe(self): return {"name": "yes"}

build, tokenizer, window = Yes, lambda _: WordTokenizer(), lambda _: None
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    preparation.prepare("stream", out=folder / "data" / "stream", split="validation", limit=TASKS)
    return folder


@pytest.fixture(autouse=True)
def _there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)


def recipe(*changes: str) -> Recipe:
    return recipes.load("tiny", ["policy={name: scripted, script: random}", EXACT, "eval.repeats=2", *changes])


def play(chosen: Recipe, out: str, number: int, of: int) -> evaluation.Share:
    shard = Shard(number, of)
    return evaluation.play_shard(
        chosen, shard.folder(Path(out)), shard, beside=[Path(out), *shards.found(Path(out))], command=[f"shard {shard}"]
    )


def timeless(result: dict[str, Any]) -> dict[str, Any]:
    """A summary without what is another one each time: its times, and the name of its folder."""
    return {key: value for key, value in result.items() if key not in ("time", "recipe")}


def table(out: str) -> list[str]:
    return [line for line in Path(out, "table.md").read_text().splitlines() if "wall time" not in line]


def episodes(folder: Path) -> list[str]:
    return [json.loads(line)["episode"] for line in (folder / "episodes.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(home: Path) -> dict[str, Any]:
    """One undisturbed process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        return evaluation.evaluate(recipe(), Path("whole"))


# --- dealing


@given(st.integers(1, 40), st.integers(0, 60))
def test_every_task_is_dealt_once_and_stays_where_it_is_when_tasks_are_added(of: int, tasks: int) -> None:
    dealt = [[*Shard(number, of).deal(range(tasks))] for number in range(1, of + 1)]
    assert sorted(task for hand in dealt for task in hand) == [*range(tasks)]
    assert [len(hand) for hand in dealt] == [Shard(number, of).share(tasks) for number in range(1, of + 1)]
    more = [[*Shard(number, of).deal(range(tasks + 7))] for number in range(1, of + 1)]
    assert [hand[: len(old)] for hand, old in zip(more, dealt, strict=True)] == dealt


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("5/4", "--shard 5/4: there are 1/4 to 4/4"),
        ("0/4", "--shard 0/4: shards count from 1"),
        ("1/0", "say which one of how many"),
        ("2", "say which one of how many"),
        ("-1/4", "say which one of how many"),
        ("1/4/2", "say which one of how many"),
    ],
)
def test_what_is_no_shard_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        shards.parse(text)
    assert str(shards.parse("3/16")) == "3/16"


def test_the_plan_is_that_of_the_share() -> None:
    parts = [costing.plans([("", recipe())], shard=Shard(number, 4))[0][1] for number in (1, 2, 3, 4)]
    (whole_plan,) = (cost for _, cost in costing.plans([("", recipe())]))
    assert [cost.tasks for cost in parts] == [3, 2, 2, 2]
    for key in ("episodes", "chunks", "tokens", "calls_low", "calls_high", "new_tokens_high"):
        assert sum(asdict(cost)[key] for cost in parts) == asdict(whole_plan)[key], key
    assert costing.plans([("", recipe())], shard=Shard(11, 11))[0][1].calls_high == 0


# --- an evaluation


def test_two_processes_at_once_and_the_digest_of_one(home: Path, whole: dict[str, Any], tmp_path: Path) -> None:
    command = ("eval", "--policy", "scripted:random", "--set", EXACT, "--repeats", "2", "--out", "both")
    running = []
    for number in ("1", "2"):
        (tmp_path / number).mkdir()
        running.append(warm.start((*command, "--shard", f"{number}/2"), home, said=tmp_path / number))
    for process in running:
        process.join(120)
    assert [process.exitcode for process in running] == [0, 0]
    assert "10 of 10" in (tmp_path / "1" / "stdout").read_text()
    assert "8 of 8" in (tmp_path / "2" / "stdout").read_text()
    assert [path.name for path in Path("both").iterdir()] == ["shards"]

    for refused in (["why", "both"], ["compare", "whole", "both"], ["report", "both"], ["judge", "both"]):
        told = complaint(*refused, cwd=home)
        assert (
            "both: holds shards of a run that are not joined yet: the command that played them, without --shard" in told
        )
    assert "is one of the shards of a run (1/2)" in complaint("why", "both/shards/1-of-2", cwd=home)
    assert "folder of a run of eval" in complaint("compare", "whole", "whole", "--out", "both", cwd=home)
    assert "lies in the folder of a run" in complaint("eval", "--out", "both/mine", cwd=home)
    (listed,) = listing.runs(Path("both"))
    assert (listed.folder, listed.state) == ("both", f"{2 * TASKS} of {2 * TASKS} episodes in shards, not joined")

    done = atommem(*command, cwd=home)
    assert f"nothing to play: all {2 * TASKS} episodes are here" in done.stderr
    joined = json.loads(Path("both/summary.json").read_text())
    assert timeless(joined) == timeless(whole)
    assert table("both") == table("whole")
    assert joined["time"]["sessions"] == 3
    assert "everything comes out as it is written" in atommem("replay", "both", cwd=home).stdout
    assert [one.folder for one in listing.runs(Path("both"))] == ["both"]


@pytest.mark.parametrize("of", [1, 2, 5, 13])
def test_whatever_the_number_of_shards_and_of_those_that_were_played(whole: dict[str, Any], of: int) -> None:
    """More shards than tasks, too; the last one never begins, and its tasks are played by the join."""
    out = f"many-{of}"
    shares = [play(recipe(), out, number, of) for number in range(1, of + (of == 1))]
    assert [(share.planned, share.evaluated) for share in shares] == [
        (2 * len(range(share, TASKS, of)),) * 2 for share in range(len(shares))
    ]
    assert timeless(evaluation.evaluate(recipe(), Path(out))) == timeless(whole)
    assert timeless(evaluation.evaluate(recipe(), Path(out))) == timeless(whole)
    assert len(episodes(Path(out))) == 2 * TASKS


def test_a_shard_that_is_played_is_not_joined_and_one_that_was_killed_goes_on(tmp_path: Path) -> None:
    preparation.prepare("stream", out=tmp_path / "data" / "stream", split="validation", limit=60)
    chosen = recipe(f"task.folder={tmp_path / 'data' / 'stream'}", "policy.batch=2")
    (tmp_path / "mine.yaml").write_text(chosen.dump())
    process = warm.start(("eval", "--recipe", "mine.yaml", "--out", "killed", "--shard", "1/2"), tmp_path)
    own = tmp_path / "killed" / "shards" / "1-of-2"
    while not ((own / "episodes.jsonl").exists() and (own / "episodes.jsonl").stat().st_size):
        assert process.exitcode is None
        time.sleep(0.005)
    os.kill(process.pid or 0, signal.SIGSTOP)
    with pytest.raises(RunMismatch, match=r"killed: shard 1/2 is still being played: the same command joins them"):
        evaluation.evaluate(chosen, tmp_path / "killed")
    process.kill()
    process.join()
    left = set(episodes(own))
    assert 0 < len(left) < 60, "the shard is too short to be killed"
    shutil.copytree(tmp_path / "killed", tmp_path / "taken")

    share = evaluation.play_shard(chosen, own, Shard(1, 2))
    assert (share.planned, share.evaluated, share.failed) == (60, 60, 0)
    undisturbed = timeless(evaluation.evaluate(chosen, tmp_path / "undisturbed"))
    assert timeless(evaluation.evaluate(chosen, tmp_path / "killed")) == undisturbed
    taken = evaluation.evaluate(chosen, tmp_path / "taken")
    assert timeless(taken) == undisturbed
    assert taken["time"]["sessions_killed"] == 1
    last = json.loads((tmp_path / "taken" / "sessions.jsonl").read_text().splitlines()[-1])
    assert last["episodes"] == 120 - len(left), "what the killed shard had finished was not played again"


def test_a_join_that_was_cut_off_anywhere_is_joined_again(whole: dict[str, Any]) -> None:
    for number in (1, 2):
        play(recipe(), "cut", number, 2)
    evaluation.evaluate(recipe(), Path("cut"))
    written = {
        name: Path("cut", name).read_bytes().splitlines(keepends=True) for name in ("steps.jsonl", "episodes.jsonl")
    }
    for steps, done in ((0, 0), (7, 0), (len(written["steps.jsonl"]), 5), (40, 3)):
        Path("cut/steps.jsonl").write_bytes(b"".join(written["steps.jsonl"][:steps]))
        Path("cut/episodes.jsonl").write_bytes(b"".join(written["episodes.jsonl"][:done]))
        again = evaluation.evaluate(recipe(), Path("cut"))
        assert timeless(again) == timeless(whole)
    sessions = [json.loads(line) for line in Path("cut/sessions.jsonl").read_text().splitlines()]
    assert sorted(line["shard"] for line in sessions if "shard" in line) == ["1/2", "1/2", "2/2", "2/2"]


def test_steps_that_a_shard_lost_are_played_again(whole: dict[str, Any]) -> None:
    for number in (1, 2):
        play(recipe(), "lost", number, 2)
    path = Path("lost/shards/2-of-2/steps.jsonl")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-6]))
    assert timeless(evaluation.evaluate(recipe(), Path("lost"))) == timeless(whole)


def test_a_shard_of_another_run_is_refused_when_it_begins_and_when_it_is_joined(home: Path) -> None:
    play(recipe(), "wrong", 1, 2)
    with pytest.raises(
        RunMismatch, match=r"1-of-2: this folder belongs to .* these differ: recipe\.memory\.retrieve_k"
    ):
        play(recipe("memory.retrieve_k=5"), "wrong", 2, 2)
    with pytest.raises(RunMismatch, match="it may grow, not shrink"):
        play(recipe("task.limit=3"), "wrong", 2, 2)
    other = recipe("memory.retrieve_k=5")
    evaluation.play_shard(other, Path("wrong/shards/2-of-2"), Shard(2, 2))  # as if both had begun at once
    with pytest.raises(
        RunMismatch, match=r"2-of-2: this folder belongs to .* these differ: recipe\.memory\.retrieve_k"
    ):
        evaluation.evaluate(recipe(), Path("wrong"))
    assert not Path("wrong/run.json").exists()


def test_tasks_may_be_added_after_the_join(whole: dict[str, Any]) -> None:
    few = recipe("task.limit=4")
    for number in (1, 2):
        play(few, "grown", number, 2)
    assert evaluation.evaluate(few, Path("grown"))["planned"] == 8
    assert play(recipe(), "grown", 1, 2).evaluated == 10
    assert timeless(evaluation.evaluate(recipe(), Path("grown"))) == timeless(whole)


def test_the_judge_comes_with_the_join(home: Path) -> None:
    (home / "yes.py").write_text(JUDGE)
    judged = recipe("eval.scorers=[em, judge]", "eval.judge={name: ./yes.py}")
    for number in (1, 2):
        play(judged, "judged", number, 2)
    assert not [*Path("judged").rglob("verdicts.jsonl")]
    result = evaluation.evaluate(judged, Path("judged"))
    assert result["judge"]["judged"] == 2 * TASKS
    assert timeless(result) == timeless(evaluation.evaluate(judged, Path("judged-whole")))
    for option in ("--ladder", "--report"):
        assert f"{option}: it is made of the whole run" in complaint("eval", "--shard", "1/2", option, cwd=home)


def test_a_real_model_gives_the_same_replies_in_shards() -> None:
    chosen = recipe("policy={name: hf, model: tiny, temperature: 1.0, batch: 4}", "eval.repeats=1", "task.limit=5")
    for number in (1, 2):
        play(chosen, "model-shards", number, 2)
    joined = evaluation.evaluate(chosen, Path("model-shards"))
    assert joined["digest"] == evaluation.evaluate(chosen, Path("model-whole"))["digest"]


# --- an ablation


def test_an_ablation_is_dealt_arm_by_arm(home: Path) -> None:
    section = "ablate={drop: [update], chunk_tokens: [], retrieve_k: []}"
    chosen = recipe("policy={name: scripted, script: oracle}", section)
    runner.play(chosen, Path("arms-whole"))
    for number in (1, 2):
        shares = runner.play_shard(chosen, Path("arms-shards"), Shard(number, 2))
        assert [(name, share.evaluated) for name, share in shares] == [
            (name, (10, 8)[number - 1]) for name in ("base", "without-update")
        ]
    assert [path.name for path in Path("arms-shards").iterdir()] == ["shards"]
    (listed,) = listing.runs(Path("arms-shards"))
    assert (listed.command, listed.state) == ("ablate", "in shards, not joined")
    for refused in (["report", "arms-shards"], ["compare", "arms-shards", "arms-whole"]):
        assert "arms-shards: holds shards" in complaint(*refused, cwd=home)
    with pytest.raises(RunMismatch, match=r"these differ: recipe\.memory\.retrieve_k"):
        runner.play_shard(chosen.changed(["memory.retrieve_k=5"]), Path("arms-shards"), Shard(2, 3))
    with pytest.raises(RunMismatch, match=r"these differ: recipe\.memory\.retrieve_k"):
        runner.play(chosen.changed(["memory.retrieve_k=5"]), Path("arms-shards"))

    runner.play(chosen, Path("arms-shards"))
    for name in ("base", "without-update"):
        results = [
            json.loads((Path(out) / "arms" / name / "summary.json").read_text())
            for out in ("arms-whole", "arms-shards")
        ]
        assert timeless(results[0]) == timeless(results[1])
        assert results[1]["time"]["sessions"] == 3
    assert Path("arms-whole/arms.jsonl").read_bytes() == Path("arms-shards/arms.jsonl").read_bytes()


def test_arms_that_learn_anew_are_not_dealt(home: Path) -> None:
    assert "--shard 3/2: there are 1/2 to 2/2" in complaint("ablate", "--shard", "3/2", cwd=home)
    train = ("ablate", "--policy", "scripted:oracle", "--drop", "update", "--how", "train", "--shard", "1/2")
    assert "arms that learn anew (ablate.how: train) are one process's" in complaint(*train, cwd=home)
