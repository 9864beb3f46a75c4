"""Every plug-in keeps the contract of its room: all that come with atommem, the example package's, the manual's
and those of other tests."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import encoders
import pytest
import raw_records
import sessions
from chroma_server import Server as Chroma
from fake_server import Server
from manual import ROOT, blocks, page
from typer.testing import CliRunner

from atommem_cli.agents import atommem as agent
from atommem_cli.cli.commands import app
from atommem_cli.contracts import plugin, rewards
from atommem_cli.policies import scripted
from atommem_cli.running import gold
from atommem_cli.scoring.rewards import LIKELIHOOD

SUPPORT = ROOT / "tests" / "support"
EXAMPLE = ROOT / "tests" / "example" / "src" / "atommem_example"
SERVER = ("--set", "policy.url=URL", "--set", "policy.model=m")
VECTORS = ("--set", "embedder.url=URL", "--set", "embedder.model=m", "--set", "embedder.dimension=3")
RECORDS = ("--set", "docs=6", "--set", "questions=2")
ATOMMEM: dict[tuple[str, str], list[tuple[str, ...]]] = {
    ("agents", "atommem"): [(), *(("--set", f"agent.dialect={name}") for name in ("paper", "released")),
                            ("--set", "agent.advance=write")],
    ("agents", "agemem"): [(), ("--set", "agent.dialect=paper", "--set", "agent.retrieval=always",
                                "--set", "agent.results=tool", "--set", "agent.question_known=true")],
    ("policies", "hf"): [("--set", "policy.device=cpu", "--set", "policy.temperature=1")],
    ("policies", "openai_server"): [SERVER, (*SERVER, "--set", "policy.system=merge")],
    ("policies", "scripted"): [
        ("--set", f"policy.script={name}")
        for name in get_args(scripted.Options.model_fields["script"].annotation)
    ],
    ("stores", "chroma"): [(), ("--set", "store.path=FOLDER/chroma")],
    ("embedders", "hf"): [
        ("--set", "embedder.model=FOLDER/bert", "--set", "embedder.max_tokens=16", "--set", "embedder.device=cpu")
    ],
    ("embedders", "openai_server"): [VECTORS],
    ("tasks", "hotpotqa"): [
        ("--source", "FOLDER/hotpot", *RECORDS),
        ("--source", "FOLDER/hotpot", *RECORDS, "--set", "swap=true"),
    ],
    ("tasks", "twowiki"): [("--source", "FOLDER/wiki", *RECORDS)],
    ("tasks", "musique"): [("--source", "FOLDER/musique", *RECORDS)],
    ("tasks", "locomo"): [("--source", "FOLDER/locomo"), ("--source", "FOLDER/locomo", "--set", "documents=turn")],
    ("tasks", "longmemeval"): [("--source", "FOLDER/longmemeval", "--set", "shuffle=true")],
    ("tasks", "memagent"): [("--source", "FOLDER/eval_50.json")],
    ("tasks", "memory_agent_bench"): [("--source", "FOLDER/conflicts.jsonl")],
    ("tasks", "records"): [("--source", "FOLDER/own.jsonl")],
    ("tasks", "stream"): [(), ("--set", "style=rich", "--set", "questions=3")],
}  # fmt: skip
"""What those need that are not whole by their names alone."""
FROM_ELSEWHERE = [
    ("agents", "EXAMPLE/diary.py", ()),
    ("rewards", "EXAMPLE/brief.py", ()),
    ("dialects", "EXAMPLE/terse.yaml", ()),
    ("agents", "SUPPORT/growing.py", ()),
    ("agents", "SUPPORT/ranking.py", ()),
    ("agents", "FOLDER/mine.py", ()),
    ("agents", str(ROOT / "tests" / "support" / "growing.py"), ()),
    ("agents", str(ROOT / "tests" / "support" / "ranking.py"), ()),
    ("tasks", "FOLDER/facts.py", ("--source", "FOLDER/facts.jsonl")),
    ("policies", "FOLDER/words.py", ()),
    ("stores", "FOLDER/shelf.py", ()),
    ("embedders", "FOLDER/letters.py", ()),
    ("rewards", "FOLDER/brief.py", ()),
    ("rewards", "FOLDER/graded.py", ()),
    ("dialects", "FOLDER/mine.yaml", ()),
]
EVERY = [
    *(
        (room, name, words)
        for room in plugin.ROOMS
        for name in plugin.names(room)
        for words in ATOMMEM.get((room, name), [()])
        if name != LIKELIHOOD  # there has to be a model that learns: see below
    ),
    *FROM_ELSEWHERE,
]


@dataclass(frozen=True)
class Outside:
    """What plug-ins need that does not come with them."""

    folder: Path
    url: str

    def filled(self, words: tuple[str, ...]) -> list[str]:
        """Words of a command line with folder and addresses put in."""
        known = {"FOLDER": str(self.folder), "URL": self.url, "EXAMPLE": str(EXAMPLE), "SUPPORT": str(SUPPORT)}
        filled = []
        for word in words:
            for name, value in known.items():
                word = word.replace(name, value)  # noqa: PLW2901
            filled.append(word)
        return filled


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """Servers, a folder with models, records and the files of the manual."""
    folder = tmp_path_factory.mktemp("outside")
    encoders.bert(folder / "bert")
    for name, make in (("hotpot", raw_records.hotpot), ("wiki", raw_records.wiki), ("musique", raw_records.musique)):
        raw_records.write(folder / name / "validation.jsonl", [make(number) for number in range(12)])
    raw_records.write(folder / "locomo" / "locomo10.json", [sessions.locomo(number) for number in range(4)])
    chats = [sessions.longmemeval(f"q{number}") for number in range(4)]
    raw_records.write(folder / "longmemeval" / "longmemeval_s.json", chats)
    for language, body in blocks(page("extending.md")):
        if language in ("python", "yaml"):
            (folder / body.split()[1]).write_text(body, encoding="utf-8")
    facts = [
        {"title": name, "text": f"{name} was born in Velt.", "question": f"Where was {name} born?", "answer": "Velt"}
        for name in ("Ada", "Bo", "Cy", "Di", "Em", "Fe", "Gil")
    ]
    (folder / "facts.jsonl").write_text("".join(f"{json.dumps(fact)}\n" for fact in facts), encoding="utf-8")
    told = [f"Document {at}:\nPage {at}\nText {at}." for at in (1, 2)]
    one = {"context": "\n\n".join(told), "answers": ["1"], "index": 0, "num_docs": 2}
    published = [{**one, "input": f"What is {number}?"} for number in range(7)]
    (folder / "eval_50.json").write_text(json.dumps(published), encoding="utf-8")
    conflict = {
        "context": "0. Ada lives in Velt.\n1. Ada lives in Dorn.",
        "questions": ["Where?"],
        "answers": [["Dorn"]],
    }
    conflict |= {"metadata": {"source": "factconsolidation_sh_6k", "qa_pair_ids": ["sh_no0"]}}
    raw_records.write(folder / "conflicts.jsonl", [conflict])
    own = {"documents": [{"title": "Ada", "text": "Ada was born in Velt."}]}
    own |= {"questions": [{"question": "Where was Ada born?", "answer": "Velt"}]}
    raw_records.write(folder / "own.jsonl", [own] * 7)
    with Server() as server:
        yield Outside(folder, server.url)


@pytest.fixture(scope="session")
def chroma(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chroma]:
    started = Chroma(tmp_path_factory.mktemp("chroma"))
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of imports as it was."""
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.mark.parametrize(("room", "name", "words"), EVERY, ids=[" ".join([r, n, *w[1::2]]) for r, n, w in EVERY])
def test_it_keeps_every_promise(room: str, name: str, words: tuple[str, ...], outside: Outside) -> None:
    (filled,) = outside.filled((name,))
    done = CliRunner().invoke(app, ["check", room, filled, *outside.filled(words)])
    assert not done.exception or done.exit_code == 1, done.exception
    assert [line for line in done.output.splitlines() if not line.startswith("ok    ")] == []
    assert done.exit_code == 0
    assert len(done.output.splitlines()) >= 3


def test_the_likelihood_of_gold_answers_keeps_every_promise() -> None:
    reward = gold.value(
        agent.build(agent.Options(dialect="tiny")), lambda asked: [-len(one.reply) / 9 for one in asked]
    )
    rewards.check(reward)


def test_a_store_on_a_server_keeps_every_promise(chroma: Chroma) -> None:
    assert [
        verdict for verdict in plugin.look("stores", "chroma", changes=[f"store.url={chroma.url}"]) if verdict.broken
    ] == []


def test_the_manual_has_no_plug_in_that_is_not_looked_at(outside: Outside) -> None:
    files = {f"FOLDER/{path.name}" for path in Path(outside.folder).iterdir() if path.suffix in (".py", ".yaml")}
    files.discard("FOLDER/test_mine.py")
    assert files == {name for _, name, _ in FROM_ELSEWHERE if name.startswith("FOLDER/")}
