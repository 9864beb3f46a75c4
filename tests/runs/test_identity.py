"""What a run is, and what may change between two starts of it."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import atommem, complaint

from atommem_cli import agents
from atommem_cli.config import recipe as recipes
from atommem_cli.core.errors import RunMismatch, SourceError
from atommem_cli.data import preparation
from atommem_cli.running import evaluation
from atommem_cli.runs import identity, provenance
from atommem_cli.runs.reader import Run

PLANNED = ("--from", "atommem", "--plan")
SERVED = "policy={name: openai_server, url: 'http://localhost:8000/v1', model: m}"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with prepared tasks, a finished run of `rag` and one of `atommem`."""
    folder = tmp_path_factory.mktemp("home")
    atommem("prepare", "stream", "--limit", "12", cwd=folder)
    for agent in ("atommem", "rag"):
        atommem("eval", "--policy", "scripted:random", "--agent", agent, "--limit", "8", "--out", agent, cwd=folder)
    return folder


@pytest.fixture
def here(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to be spoilt."""
    shutil.copytree(home, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def play(out: str, *changes: str) -> dict[str, Any]:
    recipe = recipes.load("tiny", ["policy={name: scripted, script: random}", "task.limit=8", *changes])
    return evaluation.evaluate(recipe, Path(out))


def sessions_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "sessions.jsonl").read_text().splitlines()]


def refused(*changes: str, known: str) -> str:
    """Why a run of one recipe is not that of another."""
    was, now = (
        {"command": "eval", "recipe": recipes.load("tiny", lines).content, "episodes": 8}
        for lines in ([known], [known, *changes])
    )
    return identity.refusal(was, now) or ""


# --- the source of plug-ins


PLUGIN = "from atommem_cli.agents.{base} import Options, build\n__all__ = ['Options', 'build']\n"


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An agent in a file of its own, beside a private file that it imports."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "_inner.py").write_text(PLUGIN.format(base="rag"))
    (folder / "mine.py").write_text("from atommem_cli.agents._inner import Options, build\n")
    monkeypatch.setattr(agents, "__path__", [*agents.__path__, str(folder)])
    yield folder
    for name in ("mine", "_inner"):
        sys.modules.pop(f"atommem_cli.agents.{name}", None)


@pytest.mark.parametrize("file", ["mine.py", "_inner.py"])
def test_an_edited_agent_never_continues_nor_prints_an_old_score(here: Path, mine: Path, file: str) -> None:
    play("own", "agent={name: mine}")
    play("own", "agent={name: mine}")
    (mine / "unrelated.py").write_text("x = 1\n")
    play("own", "agent={name: mine}")
    before = {path: path.read_bytes() for path in (here / "own").iterdir()}
    (mine / file).write_text((mine / file).read_text() + "# another version\n")
    with pytest.raises(
        RunMismatch, match=rf"own: this folder belongs to a run that was begun before agents/{file} was"
    ):
        play("own", "agent={name: mine}")
    assert before == {path: path.read_bytes() for path in (here / "own").iterdir()}


def test_the_sources_are_those_of_the_plug_ins_and_of_nothing_else() -> None:
    found = identity.sources(recipes.load("tiny", ["policy={name: scripted, script: oracle}"]))
    assert {name.split("/")[0] for name in found} == {"agents", "policies", "stores", "embedders"}
    assert {"agents/atommem.py", "agents/_steps.py", "policies/_oracle.py", "stores/chroma.py"} <= {*found}
    assert not {"agents/rag.py", "policies/hf.py", "stores/exact.py"} & {*found}


# --- what may change


@pytest.mark.parametrize(
    "change",
    [
        "policy.url=http://127.0.0.1:9000/v1",
        "policy.concurrency=2",
        "policy.timeout_s=3",
        "policy.retries=0",
        "policy.key_env=ANOTHER_KEY",
        "store.path=elsewhere",
        "store={name: chroma, least: 0.65, url: 'http://localhost:8001'}",
        "eval.max_failed=3",
    ],
)
def test_where_and_how_fast_a_run_runs_may_change(change: str) -> None:
    assert refused(change, known=SERVED) == ""
    recipes_of = [recipes.load("tiny", lines) for lines in ([SERVED], [SERVED, change])]
    assert recipes_of[0].digest == recipes_of[1].digest


def test_the_batch_of_an_embedder_may_change_and_that_of_a_local_policy_may_not() -> None:
    served = "embedder={name: openai_server, url: 'http://h/v1', model: e, dimension: 8}"
    assert refused("embedder.batch=3", known=served) == ""
    assert "recipe.policy.batch" in refused("policy.batch=3", known="policy={name: scripted, script: oracle}")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("policy.model=other", "recipe.policy.model"),
        ("policy.temperature=0.3", "recipe.policy.temperature"),
        ("memory.retrieve_k=2", "recipe.memory.retrieve_k"),
        ("agent.dialect=paper", "recipe.agent.dialect"),
        ("seed=7", "recipe.seed"),
    ],
)
def test_what_changes_an_answer_is_another_run_and_is_named_once(change: str, key: str) -> None:
    said = refused(change, known=SERVED)
    assert said.startswith(f"a different run; these differ: {key} (choose another --out")


def test_what_may_change_is_recorded_and_told(here: Path) -> None:
    play("rag", "agent.name=rag", "store={name: chroma, least: 0.65, path: kept}")
    begun = [line for line in sessions_of(here / "rag") if "begin" in line]
    assert begun[-1]["changed"] == {"store.path": ["", "kept"]}
    assert recipes.load("rag/recipe.yaml").store.model_extra["path"] == "kept"  # type: ignore[index]
    assert provenance.told(here / "rag", 8).endswith("changed since the last start: store.path")


def test_a_pilot_grows_to_what_was_never_a_pilot(here: Path) -> None:
    whole = play("whole", "task.limit=12")
    grown = play("atommem", "task.limit=12")
    assert grown["digest"] == whole["digest"]
    assert (grown["planned"], grown["evaluated"]) == (12, 12)
    assert [line["episodes"] for line in sessions_of(here / "atommem") if "end" in line] == [8, 4]
    with pytest.raises(RunMismatch, match="a run of 12 planned episodes, and 8 are asked for"):
        play("atommem")


def test_the_folder_that_nobody_named_is_the_same_for_a_pilot() -> None:
    small, large = (recipes.load("tiny", [f"task.limit={limit}"]) for limit in (8, 12))
    assert evaluation.run_path(small, None) == evaluation.run_path(large, None)


def test_a_finished_run_says_that_there_is_nothing_to_play(here: Path) -> None:
    words = ("eval", "--policy", "scripted:random", "--limit", "8", "--out", "atommem")
    since = sessions_of(here / "atommem")[-1]["end"]
    for _ in range(2):
        done = atommem(*words, cwd=here)
        assert f"atommem: nothing to play: all 8 episodes are here (since {since})" in done.stderr
        assert "written" not in done.stderr


# --- runs of an older atommem


def test_a_run_that_knew_less_is_continued_with_todays_defaults(here: Path) -> None:
    path = here / "atommem" / "run.json"
    known = json.loads(path.read_text())
    del known["sources"], known["recipe"]["budget"], known["recipe"]["memory"]["drop"]
    path.write_text(json.dumps(known))
    digest = json.loads((here / "atommem" / "summary.json").read_text())["digest"]
    assert play("atommem")["digest"] == digest
    assert json.loads(path.read_text())["sources"]


# --- steps that are missing


def cut(keep: float) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[: int(keep * len(lines))]))

    return spoil


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def without_opening(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines(keepends=True) if json.loads(line)["step"] >= 0]
    path.write_text("".join(lines))


def edited(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if json.loads(line)["step"] == 0)
    lines[at] = json.dumps({**json.loads(lines[at]), "reply": "something else"}) + "\n"
    path.write_text("".join(lines))


@pytest.mark.parametrize("agent", ["atommem", "rag"])
@pytest.mark.parametrize("spoil", [cut(0.8), cut(0.0), torn, without_opening, edited, Path.unlink])
def test_what_lost_steps_is_played_again_to_the_same_digest(
    here: Path, agent: str, spoil: Callable[[Path], None]
) -> None:
    was = json.loads((here / agent / "summary.json").read_text())
    before = (here / agent / "steps.jsonl").read_bytes()
    spoil(here / agent / "steps.jsonl")
    spoilt = not (here / agent / "steps.jsonl").exists() or (here / agent / "steps.jsonl").read_bytes() != before
    result = play(agent, f"agent.name={agent}")
    assert result["digest"] == was["digest"]
    assert result["operations"] == was["operations"]
    assert not Run(here / agent).lost
    again = [line for line in sessions_of(here / agent) if "begin" in line][-1].get("played_again", [])
    assert bool(again) == spoilt
    assert ("were missing: they were played again" in provenance.told(here / agent, 8)) == spoilt


def test_readers_say_that_steps_are_missing(here: Path) -> None:
    cut(0.97)(here / "atommem" / "steps.jsonl")
    said = atommem("why", "atommem", cwd=here).stdout
    lost = len(Run(here / "atommem").lost)
    assert lost > 0
    assert f"unfinished, {8 - lost} of 8 episodes; steps.jsonl lacks steps of {lost} more" in said
    assert "is not finished" in complaint("compare", "atommem", "rag", cwd=here)


@pytest.mark.parametrize("line", ["[1, 2]", "{}", '{"episode": 3}', "7", '{"episode": "x", "step": "0", "ops": []}'])
@pytest.mark.parametrize("name", ["episodes.jsonl", "steps.jsonl"])
def test_a_line_of_another_shape_is_named(here: Path, name: str, line: str) -> None:
    path = here / "atommem" / name
    path.write_text(line + "\n" + path.read_text())
    with pytest.raises(SourceError, match=rf"{name}: line 1 is damaged"):
        play("atommem")


# --- the tasks that were played


@pytest.mark.parametrize(
    "words",
    [
        ("why", "atommem"),
        ("replay", "atommem"),
        ("replay", "atommem", "--episode", "stream-validation-00000"),
        ("what-if", "atommem", "--episode", "stream-validation-00000", "--drop-op", "1"),
        ("sft", "--recipe", "smoke", "--set", "agent={name: atommem, dialect: tiny_reads, reread: true}", *PLANNED),
        ("eval", "--policy", "scripted:random", "--limit", "8", "--out", "atommem"),
    ],
)
def test_other_tasks_under_the_same_names_are_noticed(here: Path, words: tuple[str, ...]) -> None:
    preparation.prepare("stream", out=here / "data" / "stream", limit=12, seed=7, force=True)
    if words == ("replay", "atommem"):  # that is what it is for
        assert "tasks" in atommem(*words, cwd=here, status=1).stdout
    else:
        assert re.search(r"data/stream|differ: tasks", complaint(*words, cwd=here))


@pytest.mark.parametrize(
    "words",
    [
        ("why", "atommem"),
        ("eval", "--policy", "scripted:oracle", "--plan"),
        ("eval", "--policy", "scripted:oracle", "--out", "new"),
        ("grpo", "--recipe", "smoke", "--plan"),
        ("ablate", "--policy", "scripted:oracle", "--drop", "update", "--plan"),
        ("report", "atommem"),
    ],
)
def test_tasks_that_were_edited_are_noticed(here: Path, words: tuple[str, ...]) -> None:
    for path in (here / "data" / "stream").glob("*/tasks.jsonl"):
        path.write_text(path.read_text().replace('"answers":["', '"answers":["x', 1))
    page = here / "atommem" / "report.html"
    told = atommem(*words, cwd=here).stderr + page.read_text() if words[0] == "report" else complaint(*words, cwd=here)
    assert "is not the file that its manifest describes" in told
