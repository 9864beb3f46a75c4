"""The contract of `episode.Agent`: an agent that keeps it, and nothing more, works with every command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from atommem_cli.cli.commands import app
from atommem_cli.config import plugins
from atommem_cli.core.calls import Expects
from atommem_cli.core.errors import AtommemError
from atommem_cli.core.types import MemoryOp, OpKind
from atommem_cli.reporting import run_figures

OUTSIDE = '''
"""Keeps the protocol to the letter: no dialect, words of its own, a dialogue that grows, operations before any call."""

import json

from atommem_cli.config.schema import Section
from atommem_cli.core.episode import Apply, Ask
from atommem_cli.core.types import Answer, MemoryOp, OpKind, Outcome
from atommem_cli.core.calls import Expects, Message, Observation


class Options(Section):
    turns: int = 2


def build(options):
    return Outside(options.turns)


class Outside:
    reads_again = False
    operations = (OpKind.CREATE, OpKind.READ, OpKind.UPDATE, OpKind.DELETE, OpKind.SCRATCHPAD)

    def __init__(self, turns):
        self.calls_per_chunk = turns

    def describe(self):
        return {"name": "outside"}

    def write(self, expects, ops, answer=None):
        calls = [{"do": op.kind, "text": op.text, "on": op.target} for op in ops]
        return json.dumps({"calls": calls, "answer": answer})

    def parse(self, expects, reply):
        found = self._read(reply).get("calls")
        ops = []
        for call in found if isinstance(found, list) else []:
            try:
                on = None if call["on"] is None else int(call["on"])
                ops.append(MemoryOp(OpKind(call["do"]), str(call["text"]), on))
            except (KeyError, TypeError, ValueError, OverflowError):
                ops.append(MemoryOp(OpKind.CREATE, str(call), defect=Outcome.MALFORMED))
        return tuple(ops)

    def play(self, episode):
        yield Apply((MemoryOp(OpKind.CREATE, f"{len(episode.chunks)} chunks"),))
        said = []
        for chunk in episode.chunks:
            said.append(Message("user", chunk.text))
            for _ in range(self.calls_per_chunk):
                episode.memory.show()
                asked = Observation(tuple(said), episode.limits.reply, Expects.OPERATIONS, chunk=chunk.index)
                reply = yield Ask(asked)
                ops = self.parse(Expects.OPERATIONS, reply.text)
                results = (yield Apply(ops)) if ops else ()
                outcomes = " ".join(result.outcome for result in results) or "nothing"
                said += [Message("assistant", reply.text), Message("user", outcomes)]
        for number, question in enumerate(episode.task.questions):
            yield Apply((MemoryOp(OpKind.READ, question.text),))
            shown = [entry.text for entry in episode.memory.show()]
            asked = (Message("user", " ".join([*shown, question.text])),)
            reply = yield Ask(Observation(asked, episode.limits.answer, Expects.ANSWER, question=number))
            answer = self._read(reply.text).get("answer")
            episode.give(number, Answer(str(answer or ""), reply.text, tagged=answer is not None))

    def _read(self, reply):
        try:
            found = json.loads(reply)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}
'''
FILE = "./agents/outside.py"
GROWING = str(Path(__file__).parents[1] / "support" / "growing.py")
FILES = (FILE, GROWING)
NAMES = [*plugins.available("agents"), *FILES]
REFUSED = {
    ("closed_book", "ablate"): "nothing to ablate",
    ("full_context", "ablate"): "nothing to ablate",
    ("closed_book", "drop"): "the episode has no operations",
    ("full_context", "drop"): "the episode has no operations",
    ("closed_book", "replace"): "the episode has no operations",
    ("full_context", "replace"): "the episode has no operations",
    ("closed_book", "leave-one-out"): "was carried out",
    ("full_context", "leave-one-out"): "was carried out",
}
"""What makes no sense for an agent without memory operations, and the sentence that says so."""

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tasks, and with the outside agent as a file beside it."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "agents").mkdir()
    (folder / "agents" / "outside.py").write_text(OUTSIDE)
    return folder


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command as a user types it; returns its JSON, or the sentence of a refusal."""
    monkeypatch.chdir(home)
    runner = CliRunner()

    def command(*words: str, refused: str | None = None) -> Any:
        done = runner.invoke(app, [*words, "--json"])
        if refused is not None:
            assert isinstance(done.exception, AtommemError), (words, done.exception, done.output)
            assert refused in str(done.exception)
            return None
        assert done.exit_code == 0, (words, done.exception, done.output)
        return json.loads(done.stdout[done.stdout.index("\n{") if not done.stdout.startswith(("{", "[")) else 0 :])

    if not (home / "data").exists():
        small = ("people=2", "relations=3")
        command("prepare", "stream", "--docs", "6", "--questions", "2", "--limit", "4", *sets(*small))
    return command


def sets(*changes: str) -> list[str]:
    return [word for change in changes for word in ("--set", change)]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: Path(name).stem)
def test_every_command_works_with_every_agent(run: Run, name: str, tmp_path: Path) -> None:
    agent = f"agent={{name: {name}}}" if name in FILES else f"agent={{name: {name}, dialect: tiny}}"
    recipe = ["--recipe", "smoke", *sets(agent, "task.limit=2", "chunk.tokens=16")]
    played = tmp_path / "played"
    evaluation = ("eval", *recipe, "--policy", "scripted:random", "--out", str(played))

    # What it promises.
    assert all(found["ok"] for found in run("check", "agents", name))

    # Evaluations, and what looks into them.
    first = run(*evaluation)
    assert first["evaluated"] == 2
    assert run(*evaluation, "--plan")["calls_low"] <= first["totals"]["calls"]
    cut(played)
    assert run(*evaluation)["digest"] == first["digest"]
    inspect(run, played, first["evaluated"])
    climbed = run(*evaluation, "--ladder", refused=REFUSED.get((name, "ladder")))
    assert climbed is None or climbed["ladder"]["rungs"]
    priced(run, name, played)

    # Trainings, and the rollouts that they keep.
    words = sets("policy.model=tiny_agemem") if name in ("agemem", GROWING) else []  # for tools of a context
    teaching = (*recipe, *words, *sets("sft.recall=null", "sft.trainer.max_steps=1", "sft.min_reward=0"))
    run("sft", *teaching, "--from", str(played), "--plan")
    run("sft", *teaching, "--from", str(played), "--out", str(tmp_path / "sft"))
    learning = (*recipe, *words, *sets("grpo.trainer.max_steps=1", "grpo.keep_rollouts=1", "grpo.validation=1"))
    run("grpo", *learning, "--plan")
    run("grpo", *learning, "--out", str(tmp_path / "grpo"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_figures, "FIGURES", {})  # those of the run above were drawn
        inspect(run, tmp_path / "grpo" / "rollouts" / "step-00000", 4)

    # Several runs.
    arms = ("--policy", "scripted:random", "--retrieve-k", "1", "--drop", "scratchpad,storage")
    run("ablate", *recipe, *arms, "--plan", refused=REFUSED.get((name, "ablate")))
    run("ablate", *recipe, *arms, "--out", str(tmp_path / "ablated"), refused=REFUSED.get((name, "ablate")))
    run("eval", *recipe, "--policy", "scripted:mute", "--out", str(tmp_path / "mute"))
    assert len(run("compare", str(played), str(tmp_path / "mute"))["runs"]) == 2


def inspect(run: Run, folder: Path, episodes: int) -> None:
    """Replay, why and report of a run say what its journal says."""
    lines = [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]
    for retrieve in ((), ("--retrieve",)):
        found = run("replay", str(folder), *retrieve)
        assert (found["findings"], found["episodes"]) == ([], episodes)
    assert found["operations"] == sum(len(line["ops"]) for line in lines)
    book = run("replay", str(folder), "--episode", lines[0]["episode"])
    assert sum(len(page["operations"]) for page in book["pages"]) == sum(
        len(line["ops"]) for line in lines if line["episode"] == book["episode"]
    )
    (told,) = run("why", str(folder)).values()
    created = [op for line in lines for op in line["ops"] if (op["kind"], op["outcome"]) == ("create", "ok")]
    assert told["hygiene"]["created"] == len(created)
    run("report", str(folder), "--out", str(folder.parent / f"report-{folder.name}"))


def priced(run: Run, name: str, folder: Path) -> None:
    """Every way of what-if, with operations as this agent's policy writes them."""
    agent = plugins.load("agents", name)
    spoken = agent.build(agent.Options(**({} if name in FILES else {"dialect": "tiny"})))
    episode = json.loads((folder / "episodes.jsonl").read_text().splitlines()[0])["episode"]
    note = spoken.write(Expects.OPERATIONS, [MemoryOp(OpKind.CREATE, "Ada")])
    ask = ("what-if", str(folder), "--episode", episode)
    for how, words in {
        "drop": ("--drop-op", "1"),
        "replace": ("--replace", f"1: {note}"),
        "opening": ("--insert", f"-1: {note}"),
        "insert": ("--insert", f"0: {note}"),
        "forbid": ("--forbid", "create"),
        "leave-one-out": ("--leave-one-out",),
    }.items():
        found = run(*ask, *words, refused=REFUSED.get((name, how)))
        assert found is None or how == "leave-one-out" or not found["error"], found


def cut(folder: Path) -> None:
    """As a kill leaves it: the last episode has no line, and its last step is torn."""
    (folder / "summary.json").unlink()
    episodes = (folder / "episodes.jsonl").read_text().splitlines(keepends=True)
    (folder / "episodes.jsonl").write_text("".join(episodes[:-1]))
    steps = (folder / "steps.jsonl").read_bytes()
    (folder / "steps.jsonl").write_bytes(steps[:-20])
