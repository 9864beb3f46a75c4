"""`atommem ablate`: every arm over the same tasks, what hinges on an operation is what its loss costs."""

from __future__ import annotations

import csv
import json
import os
import statistics
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import demos
import pytest
import warm
from commands import atommem, complaint

from atommem_cli.ablation import findings, published, reader, retrain, runner, variants
from atommem_cli.ablation.reader import PlayedArm
from atommem_cli.ablation.variants import Arm
from atommem_cli.config import command_line, plugins
from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import UsageError
from atommem_cli.core.types import MEMORY_OPS, OpKind, Outcome
from atommem_cli.data import preparation
from atommem_cli.reporting.publish import Findings
from atommem_cli.runs.reader import Run

EXACT = ("--set", "store={name: exact}")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    preparation.prepare("stream", out=folder / "data" / "stream", split="validation", limit=60)
    return folder


def recipe(home: Path, script: str, *changes: str) -> Recipe:
    policy = f"policy={{name: scripted, script: {script}}}"
    return recipes.load(
        "tiny-sloppy", [policy, "store={name: exact}", f"task.folder={home / 'data' / 'stream'}", *changes]
    )


def played(arm: Arm) -> PlayedArm:
    return PlayedArm(arm.name, arm.kind, arm.how, arm.component, SimpleNamespace(recipe=arm.recipe))  # type: ignore[arg-type]


def arms(*changes: str) -> dict[str, Recipe]:
    found = variants.arms(recipes.load("8b", list(changes)))
    return {arm.name: arm.recipe for arm in found}


def test_without_options_the_paper_s_tables_2_and_3(home: Path) -> None:
    found = arms()
    assert list(found)[:6] == [
        "base",
        "without-update",
        "without-delete",
        "without-scratchpad",
        "without-storage",
        "without-scratchpad-storage",
    ]
    assert len(found) == 6 + 9
    assert set(found["without-storage"].memory.drop) == {OpKind.CREATE, OpKind.READ, OpKind.UPDATE, OpKind.DELETE}
    assert set(found["without-scratchpad-storage"].memory.drop) == set(MEMORY_OPS)
    assert (found["chunk-2048-k-12"].chunk.tokens, found["chunk-2048-k-12"].memory.retrieve_k) == (2048, 12)


def test_a_cell_that_is_the_base_is_not_played_twice() -> None:
    assert "chunk-4000-k-6" not in arms("ablate={drop: [], chunk_tokens: [4000, 2048], retrieve_k: [6]}")


def test_published_numbers_stand_beside_matching_settings_only() -> None:
    found = [played(arm) for arm in variants.arms(recipes.load("8b"))]
    theirs = published.matching(found, "2wikimultihopqa", 200)
    assert theirs["base"] == (67.5, 0.0)
    assert theirs["without-scratchpad-storage"] == (27.1, pytest.approx(-40.4))
    assert theirs["chunk-8192-k-3"] == (65.2, pytest.approx(-2.3))
    assert published.matching(found, "stream", 200) == {}
    section = "ablate={drop: [], chunk_tokens: [], retrieve_k: [], embedders: [{name: random}]}"
    control = [played(arm) for arm in variants.arms(recipes.load("8b", [section]))]
    assert published.matching(control, "musique", 200)["embedder-random"] == (46.1, pytest.approx(-9.0))
    assert published.matching(found, "hotpotqa", 400) == {}
    small = [played(arm) for arm in variants.arms(recipes.load("8b", ["memory.retrieve_k=5"])) if arm.kind != "size"]
    assert published.matching(small, "hotpotqa", 200) == {}


@pytest.mark.parametrize(("drop", "hinge"), [("update", "update"), ("delete", "delete")])
def test_what_hinges_on_an_operation_is_what_its_loss_costs_the_oracle(home: Path, drop: str, hinge: str) -> None:
    """Exactly there, and nowhere else: the generator's word."""
    out = home / f"hinge-{drop}"
    chosen = recipe(home, "oracle", f"ablate={{drop: [{drop}], chunk_tokens: [], retrieve_k: []}}")
    runner.play(chosen, out)
    side = findings.worth(reader.read(out)).comparisons[0].sides[1]
    for kind in {"create", "update", "delete", "none"} & side.groups.keys():
        difference = side.groups[kind][1]
        assert difference is not None
        if kind == hinge:
            assert difference.delta <= -0.8
            assert difference.high < 0
        else:
            assert (difference.wins, difference.losses) == (0, 0), kind


def test_nothing_is_left_without_storage_and_scratchpad(home: Path) -> None:
    out = home / "nothing"
    chosen = recipe(home, "oracle", "ablate={drop: ['storage,scratchpad'], chunk_tokens: [], retrieve_k: []}")
    runner.play(chosen, out)
    groups = findings.worth(reader.read(out)).comparisons[0].sides[1].groups
    assert groups["create"][0] == groups["update"][0] == 0.0
    run = Run(out / "arms" / "without-scratchpad-storage")
    outcomes = {op["outcome"] for name in run.episodes for step in run.steps(name) for op in step["ops"]}
    assert outcomes == {Outcome.FORBIDDEN}
    assert all(not step["shown"] and step["entries"] == 0 for name in run.episodes for step in run.steps(name))


def test_noop_leaves_the_prompts_as_they_are_and_prompt_does_not(home: Path) -> None:
    first = {}
    for how in ("prompt", "noop"):
        out = home / f"how-{how}"
        section = f"ablate={{drop: [scratchpad], chunk_tokens: [], retrieve_k: [], how: {how}}}"
        runner.play(recipe(home, "oracle", section, "task.limit=3"), out)
        for arm in reader.read(out).arms:
            name = next(iter(arm.run.episodes))
            first[how, arm.name] = arm.run.steps(name)[0]["prompt"]
    assert first["noop", "base"] == first["prompt", "base"] == first["noop", "without-scratchpad-noop"]
    assert first["prompt", "without-scratchpad"] != first["prompt", "base"]


def test_arms_share_policy_store_and_embedder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    for room, name in (("policies", "scripted"), ("stores", "exact"), ("embedders", "hashing")):
        module = plugins.load(room, name)

        def build(options: Any, real: Any = module.build, room: str = room) -> Any:
            built.append(room)
            return real(options)

        monkeypatch.setattr(module, "build", build)
    section = "ablate={drop: [update], chunk_tokens: [8, 16], retrieve_k: [2, 4]}"
    runner.play(recipe(home, "oracle", section, "task.limit=2"), home / "shared")
    assert sorted(built) == ["embedders", "policies", "stores"]
    assert [arm.name for arm in reader.read(home / "shared").arms] == [
        "base",
        "without-update",
        "chunk-8-k-2",
        "chunk-16-k-2",
        "chunk-16-k-4",
    ]


def test_an_embedder_of_another_size_is_played_on_the_default_store(home: Path) -> None:
    words = ("--policy", "scripted:oracle", "--limit", "4", "--embedder", "random", "--out", "embedders", "--json")
    labels = [side["label"] for side in json.loads(atommem("ablate", *words, cwd=home).stdout)["runs"]]
    assert labels == ["base", "embedder-random"]


def test_the_same_arm_asked_for_twice_is_one(home: Path) -> None:
    words = ("ablate", "--policy", "scripted:oracle", "--limit", "4", *EXACT, "--out", "twice", "--json")
    done = atommem(*words, "--drop", "delete", "--drop", "delete", "--retrieve-k", "2", "2", cwd=home)
    assert [side["label"] for side in json.loads(done.stdout)["runs"]] == ["base", "without-delete", "chunk-7-k-2"]
    assert len((home / "twice" / "arms.jsonl").read_text().splitlines()) == 3


def test_arms_that_an_agent_cannot_notice_are_left_out(home: Path) -> None:
    for agent, left in (
        ("memagent", ["base", "without-scratchpad", "without-scratchpad-storage", "chunk-4-k-2", "chunk-16-k-2"]),
        ("rag", ["base", "without-storage", "chunk-4-k-2", "chunk-8-k-2", "chunk-16-k-2"]),
    ):
        changes = [
            f"agent.name={agent}",
            "ablate.retrieve_k=[2]",
            "ablate.drop=[update, scratchpad, storage, 'storage,scratchpad']",
        ]
        names = [arm.name for arm in variants.arms(recipe(home, "oracle", *changes))]
        assert set(left) <= set(names)
        assert "without-update" not in names
    with pytest.raises(UsageError, match="the agent closed_book makes no use of"):
        variants.arms(recipe(home, "oracle", "agent.name=closed_book"))
    said = complaint("ablate", "--policy", "scripted:oracle", "--chunk-size", "7", *EXACT, cwd=home)
    assert "nothing to ablate" in said


def test_what_is_left_out_is_one_sentence(home: Path) -> None:
    chosen = recipe(home, "oracle", "agent.name=rag", "ablate.drop=[update, storage, 'storage,scratchpad', scratchpad]")
    assert variants.remarks(chosen) == [
        "left out: update scratchpad: the agent rag has no such component (it has: create, read, storage)"
    ]
    assert variants.remarks(recipe(home, "oracle")) == []
    with pytest.raises(UsageError, match=r"no memory component 'notebook' \(there are: create, read, storage\)"):
        variants.remarks(recipe(home, "oracle", "agent.name=rag", "ablate.drop=[notebook]"))
    with pytest.raises(UsageError, match=r"no memory component 'summary' \(there are: create, read, storage\)"):
        variants.remarks(recipe(home, "oracle", "agent.name=rag", "ablate.drop=[summary]"))
    words = ("--policy", "scripted:oracle", "--set", "agent.name=rag", "--drop", "update", "storage", "--plan")
    assert "left out: update: the agent rag" in atommem("ablate", *words, cwd=home).stderr


OWN = """
from atommem_cli import AgentOptions as Options, OpKind, Speaker


class Mine(Speaker):
    name = "mine"
    operations = tuple(OpKind)
    components = {"notebook": (OpKind.SCRATCHPAD, OpKind.CREATE)}

    def play(self, episode):
        yield from ()


build = Mine
"""


def test_an_agent_says_itself_what_can_be_taken_from_it(home: Path) -> None:
    (home / "own.py").write_text(OWN)
    named = f"agent={{name: {home / 'own.py'}, dialect: tiny}}"
    found = variants.arms(recipe(home, "oracle", named, "ablate={drop: [notebook, update], chunk_tokens: []}"))
    (arm,) = (arm for arm in found if arm.kind == "component")
    assert arm.name == "without-notebook"
    assert arm.recipe.memory.drop == (OpKind.CREATE, OpKind.SCRATCHPAD)


def test_what_is_not_finished_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    words = ("--policy", "scripted:oracle", "--limit", "4", *EXACT, "--out", "cut")
    atommem("ablate", "--drop", "delete", "update", *words, cwd=home)
    (home / "cut" / "arms" / "without-update" / "summary.json").unlink()
    assert reader.read(home / "cut").missing == ("without-update",)
    said = findings.worth(reader.read(home / "cut")).sentences
    assert said[-1] == "Not finished, and in no figure here: without-update."
    (home / "cut" / "arms.jsonl").write_text('{"x":1}\n')
    assert "arms.jsonl: line 1 is damaged" in complaint("compare", "cut", "cut", cwd=home)


NEVER = "The base never used it with effect, so this says nothing about its worth."


def test_what_was_never_used_cannot_be_priced_and_a_report_says_so_too(home: Path) -> None:
    words = ("--policy", "scripted:mute", "--limit", "4", *EXACT, "--out", "mute")
    assert NEVER in atommem("ablate", "--drop", "delete", *words, cwd=home).stdout
    atommem("report", "mute", cwd=home)
    assert NEVER in (home / "mute" / "report.html").read_text()


def test_a_stopped_arm_says_so(home: Path) -> None:
    words = ("--policy", "scripted:oracle", "--limit", "6", *EXACT, "--set", "budget.calls=3", "--out", "stopped")
    done = atommem("ablate", "--drop", "delete", *words, cwd=home)
    assert "A budget stopped 6 episodes of base and 6 episodes of without-delete" in done.stdout


def test_later_arms_join_the_earlier_ones(home: Path) -> None:
    out = home / "joined"
    runner.play(
        recipe(home, "oracle", "task.limit=4", "ablate={drop: [delete], chunk_tokens: [], retrieve_k: []}"), out
    )
    before = (out / "arms" / "base" / "episodes.jsonl").stat().st_mtime_ns
    later = "ablate={drop: [], chunk_tokens: [], retrieve_k: [1, 2]}"
    runner.play(recipe(home, "oracle", "task.limit=4", later), out)
    labels = [arm.name for arm in reader.read(out).arms]
    assert labels == ["base", "without-delete", "chunk-8-k-1", "chunk-8-k-2"]
    assert (out / "arms" / "base" / "episodes.jsonl").stat().st_mtime_ns == before
    with pytest.raises(UsageError, match=r"memory\.retrieve_k"):  # another base is another ablation
        runner.play(recipe(home, "oracle", "task.limit=4", "memory.retrieve_k=3", later), out)


def test_an_ablation_goes_on_after_a_kill(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    words = ("--policy", "scripted:random", "--drop", "update", "delete", *EXACT)
    section = "ablate={drop: [update, delete], chunk_tokens: [], retrieve_k: []}"
    chosen = command_line.meant(None, "scripted:random", {}, ["store={name: exact}", section])
    runner.play(chosen, Path("whole"))
    process = warm.start(("ablate", *words, "--out", "killed"), home)
    while not (home / "killed" / "arms" / "without-update" / "episodes.jsonl").is_file():
        assert process.exitcode is None
        time.sleep(0.01)
    process.kill()
    process.join()
    runner.play(chosen, Path("killed"))
    whole, killed = (findings.worth(reader.read(Path(out))).values for out in ("whole", "killed"))
    assert len(whole["runs"]) == 3
    assert killed == whole


def test_the_command_says_what_a_result_supports(home: Path) -> None:
    words = (
        "--recipe",
        "tiny-sloppy",
        "--set",
        "task.folder=data/stream",
        "--policy",
        "scripted:oracle",
        *EXACT,
        "--out",
        "said",
    )
    done = atommem("ablate", "--drop", "delete", "scratchpad", *words, cwd=home)
    sentence = next(line for line in done.stdout.splitlines() if line.startswith("Dropping delete"))
    assert "a real difference, for this policy" in sentence
    assert "a policy trained without might do better or worse" in sentence
    sentence = next(line for line in done.stdout.splitlines() if line.startswith("Dropping scratchpad"))
    assert "no difference is shown" in sentence
    for name in ("table.md", "table.csv", "table.tex", "table.json", "differences.png", "differences.pdf"):
        assert (home / "said" / name).stat().st_size > 100


def test_ablations_under_several_seeds_are_pooled(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)

    def ablated(out: str, seed: int, *changes: str, drop: str = "create") -> float:
        data = home / f"seed{seed}" / "stream"
        section = f"ablate={{drop: [{drop}], chunk_tokens: [], retrieve_k: []}}"
        chosen = recipe(home, "append_only", f"task.folder={data}", f"seed={seed}", section, *changes)
        runner.play(chosen, home / "pool" / out)
        difference = findings.worth(reader.read(home / "pool" / out)).comparisons[0].sides[1].difference
        assert difference is not None
        return difference.delta

    def pooled(*names: str, scorer: str | None = None) -> Findings:
        return findings.agree([Path("pool", name) for name in names], scorer)

    for seed in (1, 2, 3):
        preparation.prepare("stream", out=home / f"seed{seed}" / "stream", split="validation", limit=16, seed=seed)
    deltas = [ablated(str(seed), seed) for seed in (1, 2, 3)]
    done = atommem("compare", "pool/1", "pool/2", "pool/3", "--out", "pooled", cwd=home)
    row = next(line for line in done.stdout.splitlines() if line.startswith("| without-create"))
    mean, half = 100 * statistics.fmean(deltas), 4.30265 * 100 * statistics.stdev(deltas) / 3**0.5
    assert f"{mean:+.1f} [{mean - half:+.1f}, {mean + half:+.1f}]" in row
    assert "3 of 3" in row
    rows = list(csv.DictReader((home / "pooled" / "table.csv").open()))
    assert [float(r["delta"]) for r in rows if r["run"] == "without-create" and not r["kind"]] == deltas
    assert (home / "pooled" / "differences.png").stat().st_size > 1000
    ablated("other", 3, drop="read")
    with pytest.raises(UsageError, match="no valid arm is in all of them"):
        pooled("1", "other")
    ablated("again", 1)
    with pytest.raises(UsageError, match="the same tasks, policy and seed: that is one"):
        pooled("1", "again")
    with pytest.raises(UsageError, match="two at least"):
        pooled("1", "1")
    ablated("k", 3, "memory.retrieve_k=2")
    with pytest.raises(UsageError, match=r"their recipes differ in memory\.retrieve_k"):
        pooled("1", "k")
    other = json.loads(atommem("compare", "pool/1", "pool/2", "--scorer", "f1", "--json", cwd=home).stdout)
    assert {one["scorer"] for one in other["ablations"].values()} == {"f1"}
    with pytest.raises(UsageError, match="no such scorer"):
        pooled("1", "2", scorer="f2")
    before = {path: path.stat().st_mtime_ns for path in (home / "pool").rglob("*") if path.is_file()}
    pooled("1", "2")
    assert before == {path: path.stat().st_mtime_ns for path in (home / "pool").rglob("*") if path.is_file()}


def test_an_untrained_policy_gives_way_to_the_newest_training(home: Path) -> None:
    for name, age in (("older", 100), ("newer", 10)):
        folder = home / "trained" / "results" / name
        (folder / "model").mkdir(parents=True)
        (folder / "model" / "recipe.yaml").write_text(recipes.load("tiny").dump())
        (folder / "summary.json").write_text("{}")
        os.utime(folder / "summary.json", (time.time() - age,) * 2)
    done = warm.atommem(("ablate", "--drop", "delete"), home / "trained", 120)
    assert "policy: results/newer, the newest training of recipe tiny here" in done.stderr
    named = complaint("ablate", "--drop", "delete", "--policy", "scripted:oracle", cwd=home / "trained")
    assert "newest" not in named


def test_plan_touches_no_model(home: Path) -> None:
    done = atommem("ablate", "--plan", "--json", "--drop", "delete", "--retrieve-k", "2", "3", cwd=home)
    planned = json.loads(done.stdout)
    assert [one["arm"] for one in planned] == ["base", "without-delete", "chunk-7-k-2", "chunk-7-k-3"]
    assert not (home / "results").exists()


def test_mistakes_are_one_sentence(home: Path) -> None:
    said = complaint("ablate", "--drop", "delte", "--policy", "scripted:oracle", cwd=home)
    assert "no memory component 'delte'; did you mean 'delete'?" in said
    said = complaint("ablate", "--drop", "update", "--how", "retrain", cwd=home)
    assert "ablate.how" in said
    said = complaint("ablate", "--drop", "update", "--how", "train", "--policy", "scripted:oracle", *EXACT, cwd=home)
    assert "ablate.how: train needs a policy that" in said
    said = complaint("ablate", "--embedder", "hshing", "--policy", "scripted:oracle", cwd=home)
    assert "hashing" in said
    with pytest.raises(UsageError, match="has no"):
        reader.read(home)


def test_an_arm_is_trained_again_the_way_its_policy_was(tmp_path: Path) -> None:
    from atommem_cli.training import sft

    taught = demos.recipe(run=demos.shared(), max_steps=2, save_steps=1)
    sft.train(taught, tmp_path / "sft")
    base = command_line.meant(None, str(tmp_path / "sft"), {"task.limit": 2}, [])
    assert [command for command, _ in retrain.lineage(base)] == ["sft"]
    section = "ablate={drop: [update], chunk_tokens: [], retrieve_k: [], how: train}"
    runner.play(base.changed([section]), tmp_path / "out")
    found = {arm.name: arm.run for arm in reader.read(tmp_path / "out").arms}
    assert list(found) == ["base", "without-update-retrained"]
    again = tmp_path / "out" / "training" / "without-update-retrained"
    run = Run(again / "demonstrations-0")
    kinds = {op["kind"] for name in run.episodes for step in run.steps(name) for op in step["ops"]}
    assert "update" not in kinds
    assert "create" in kinds
    assert found["without-update-retrained"].recipe.policy.model_extra["model"] == str(again / "sft" / "model")  # type: ignore[index]
    weights = [run.identity["policy"]["weights"] for run in found.values()]
    assert weights[0] != weights[1]
    assert (
        findings.worth(reader.read(tmp_path / "out"))
        .sentences[0]
        .startswith("Dropping update and training again without")
    )
