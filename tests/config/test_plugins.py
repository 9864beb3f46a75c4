"""Plug-ins from outside: of an installed package, and from a file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from atommem_cli.cli.commands import app
from atommem_cli.config import command_line, keys, plugins
from atommem_cli.config import recipe as recipes
from atommem_cli.core.errors import AtommemError, RunMismatch, UsageError
from atommem_cli.data import preparation
from atommem_cli.dialects import wording
from atommem_cli.running import evaluation

EXAMPLE = Path(__file__).parents[1] / "example"
SCRIPTED = "policy={name: scripted, script: random}"


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for `PYTHONPATH` in which the example package is installed."""
    target = tmp_path_factory.mktemp("installed")
    copy = shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("source") / "example")  # building writes beside the source
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*install, "--target", str(target), str(copy)], check=True, timeout=300)
    return target


@pytest.fixture
def installed(package: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Likewise, on this process's path."""
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.chdir(tmp_path)
    return package


def point(folder: Path, room: str, name: str, value: str, package: str = "other", version: str = "3") -> None:
    """The metadata of an installed package with one entry point."""
    info = folder / f"{package}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[atommem.{room}]\n{name} = {value}\n")


def small(folder: Path) -> None:
    preparation.prepare("stream", out=folder / "data" / "stream", limit=2, options={"docs": 6, "questions": 2})


# --- of a package


def test_every_command_works_with_a_package_from_outside(installed: Path) -> None:
    """Without a change to atommem."""

    def run(*words: str) -> str:
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, (words, done.exception, done.output)
        return done.output

    mine = ["--recipe", "smoke", "--agent", "diary", "--set", "agent.dialect=terse", "--set", "task.limit=1"]
    random = ["--policy", "scripted:random"]
    run("prepare", "stream", "--docs", "6", "--questions", "1", "--limit", "4")
    assert "diary (atommem-example 1.2)" in run("check", "--recipe", "smoke")
    assert "agent.dialect" in run("options", "agents", "diary")
    for room, name in (("agents", "diary"), ("rewards", "brief"), ("dialects", "terse")):
        assert "FAIL" not in run("check", room, name)
    run("eval", *mine, *random, "--out", "played")
    run("eval", *mine, "--policy", "scripted:mute", "--out", "mute")
    run("compare", "played", "mute")
    assert "everything comes out as it is written" in run("replay", "played")
    run("why", "played")
    run("report", "played")
    told = json.loads(Path("played/run.json").read_text())
    assert told["agent"]["dialect"] == "terse"
    assert told["sources"]["agents/diary of atommem-example"] == "1.2"
    assert "agents/diary.py" in told["sources"]
    one = ["--set", "sft.recall=null", "--set", "sft.trainer.max_steps=1", "--set", "sft.min_reward=0"]
    paid = ["--set", "sft.rewards={em: 1.0, brief: 0.1}", "--set", "grpo.rewards={em: 1.0, brief: 0.1}"]
    run("sft", *sets(mine), *one, *paid, "--from", "played", "--out", "sft")
    run("grpo", *sets(mine), *paid, "--set", "grpo.trainer.max_steps=1", "--out", "grpo")
    for command in ("sft", "grpo"):
        known = json.loads(Path(command, "run.json").read_text())["sources"]
        assert known["rewards/brief of atommem-example"] == "1.2"
    assert "rewards/brief/mean" in Path("grpo/metrics.jsonl").read_text()
    run("ablate", *sets(mine), *random, "--retrieve-k", "1", "--out", "ablated")


def sets(words: list[str]) -> list[str]:
    """For commands without `--agent`."""
    at = words.index("--agent")
    return [*words[:at], "--set", f"agent.name={words[at + 1]}", *words[at + 2 :]]


def test_what_is_installed_is_listed_with_what_comes_with_atommem(installed: Path) -> None:
    assert "diary" in plugins.available("agents")
    assert keys.about("agents", "diary").startswith("A diary")
    assert wording.find("terse")[1] == wording.find(str(installed / "atommem_example" / "terse.yaml"))[1]
    with pytest.raises(UsageError, match=r"no 'dairy' in agents; did you mean 'diary'\?"):
        plugins.load("agents", "dairy")
    with pytest.raises(UsageError, match=r"no 'ters' in dialects; did you mean 'terse'\?"):
        wording.find("ters")


def test_another_version_of_the_package_does_not_continue_a_run(installed: Path, tmp_path: Path) -> None:
    small(tmp_path)
    recipe = recipes.load("smoke", ["agent.name=diary", "agent.dialect=tiny", SCRIPTED])
    evaluation.evaluate(recipe, tmp_path / "run")
    known = json.loads((tmp_path / "run" / "run.json").read_text())
    known["sources"]["agents/diary of atommem-example"] = "1.1"
    (tmp_path / "run" / "run.json").write_text(json.dumps(known))
    with pytest.raises(RunMismatch, match="agents/diary of atommem-example"):
        evaluation.evaluate(recipe, tmp_path / "run")


def test_a_name_of_atommem_stays_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point(tmp_path, "agents", "rag", "json")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert plugins.load("agents", "rag").__name__ == "atommem_cli.agents.rag"
    assert plugins.hidden("agents") == ["rag of other 3"]


def test_two_packages_that_give_one_name_are_both_named(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point(tmp_path / "site", "agents", "diary", "json")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with pytest.raises(UsageError, match=r"'diary' in agents is given by atommem-example 1.2 and by other 3"):
        plugins.load("agents", "diary")


@pytest.mark.parametrize(
    ("room", "value", "told"),
    [
        ("agents", "no_such_module", r"cannot be imported from other 3: ModuleNotFoundError"),
        ("agents", "json", r"is no plug-in of agents: it lacks a pydantic model Options and a function build"),
        ("stores", "json:loads", r"is no plug-in of stores: it lacks"),
        ("dialects", "json", r"its entry point is not the path of a file"),
    ],
)
def test_a_package_that_gives_something_else_is_one_sentence(
    room: str, value: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point(tmp_path, room, "mine", value)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match=told):
        wording.find("mine") if room == "dialects" else plugins.load(room, "mine")


# --- from a file

AGENT = """
'''Says nothing.'''
from mine_words import WORD
from atommem_cli.agents import Options, Speaker


class Mine(Speaker):
    name = "mine"

    def play(self, episode):
        for number in range(len(episode.task.questions)):
            yield from self.read_answer(episode, number, {"documents": WORD})


build = Mine
"""


SOURCE = """
'''One fact a task.'''
from atommem_cli.config.schema import Section as Options
from atommem_cli.data.files import Plan
from atommem_cli.core.types import Document, Question, Task


class Maker:
    def __call__(self, number):
        question = Question(f"q{number}", "Which?", (str(number),))
        return Task(f"facts-{number:03d}", "facts", (Document("", f"It is {number}."),), (question,))


def inputs(source, split, validation):
    return {}


def build(options, request):
    return Plan("facts", "ours", range(request.limit), Maker())
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of an agent's file, with a module beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "mine.py").write_text(AGENT)
    (tmp_path / "mine_words.py").write_text("WORD = 'word'\n")
    return "./mine.py"


def test_an_agent_from_a_file_plays_under_its_file_s_name(mine: str, tmp_path: Path) -> None:
    small(tmp_path)
    (recipe,) = command_line.recipes_for("smoke", [mine], "scripted:mute", {}, ["agent.dialect=tiny"])
    out = evaluation.run_path(recipe, None)
    assert out.name.startswith("eval-smoke-mine-mute-")
    assert evaluation.run_path(recipe, Path("both"), several=True) == Path("both/mine")
    evaluation.evaluate(recipe, out)
    told = json.loads((out / "run.json").read_text())
    assert {"agents/mine.py", "agents/mine_words.py"} <= told["sources"].keys()
    (tmp_path / "mine_words.py").write_text("WORD = 'another'\n")
    with pytest.raises(RunMismatch, match=r"agents/mine_words\.py was edited"):
        evaluation.evaluate(recipe, out)


@pytest.mark.parametrize("room", plugins.ROOMS)
def test_every_room_takes_a_file(room: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole = (
        "from pydantic import BaseModel as Options\ndef build(*_): return 'mine'\ntokenizer = window = inputs = build\n"
    )
    (tmp_path / "one.py").write_text(whole)
    assert plugins.load(room, "one.py").build() == "mine"
    assert keys.keys(room, "./one.py") == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, r"one.py: cannot be read: No such file or directory"),
        ("1 +", r"one.py: cannot be imported: SyntaxError"),
        ("raise RuntimeError('\\x1b[31mno')", r"one.py: cannot be imported: RuntimeError: .*31mno"),
        ("import no_such", r"one.py: cannot be imported: ModuleNotFoundError"),
        (
            "from pydantic import BaseModel as Options\nbuild = 3\n",
            r"one.py: is no plug-in of agents: it lacks a function b",
        ),
        ("Options = 3\n", r"one.py: is no plug-in of agents: it lacks a pydantic model Options and a function build"),
    ],
)
def test_a_file_that_is_no_plug_in_is_one_sentence(
    content: str | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "one.py").write_text(content)
    with pytest.raises(AtommemError, match=told) as caught:
        recipes.load("smoke", ["agent.name=one.py"])
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("room", "told"),
    [("policies", "a function tokenizer and a function window"), ("tasks", "a function inputs")],
)
def test_what_a_room_needs_besides_is_missed_before_anything_runs(room: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "one.py"
    file.write_text("from pydantic import BaseModel as Options\ndef build(*_): return 'mine'\n")
    with pytest.raises(UsageError, match=rf"one.py: is no plug-in of {room}: it lacks {told}$"):
        plugins.load(room, str(file))


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "one.py"
    head = "from pydantic import BaseModel as Options\nbuild = lambda _: "
    file.write_text(f"{head}1\n")
    assert plugins.load("agents", str(file)).build(None) == 1
    file.write_text(f"{head}2\n")
    assert plugins.load("agents", str(file)).build(None) == 2


def test_a_policy_from_a_file_is_no_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ["from atommem_cli.policies.scripted import Options, build, tokenizer, window", "__all__ = ['build']"]
    (tmp_path / "one.py").write_text("\n".join(lines))
    assert command_line.meant("smoke", "./one.py", {}, []).policy.name == "./one.py"


def test_a_source_from_a_file_is_prepared_by_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent to them is a class of the file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "facts.py").write_text(SOURCE)
    alone = preparation.prepare("./facts.py", out="one", limit=200)
    several = preparation.prepare("./facts.py", out="two", limit=200, workers=2)
    assert (alone.tasks, alone.source, alone.sha256) == (200, "facts", several.sha256)
