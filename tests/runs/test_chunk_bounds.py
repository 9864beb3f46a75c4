"""What a run wrote down of its chunks: with it, a run is read where the tokenizer of its policy is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_server import Server

from atommem_cli.config import recipe as recipes
from atommem_cli.core.chunking import WordTokenizer, chunk_documents
from atommem_cli.core.errors import AtommemError, MissingExtra, RunMismatch, SourceError
from atommem_cli.core.stream_words import VOCABULARY
from atommem_cli.core.types import Document, Task
from atommem_cli.data import preparation
from atommem_cli.explain import miss_causes
from atommem_cli.models import tiny
from atommem_cli.replay import episode_view, replay
from atommem_cli.reporting import report
from atommem_cli.running import evaluation
from atommem_cli.runs.chunk_bounds import Cuts, cut_line
from atommem_cli.runs.layout import CHUNKS
from atommem_cli.runs.reader import Run
from atommem_cli.runs.writer import digest

Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of agents whose policy counts with a tokenizer of its own, which is gone since."""
    home = tmp_path_factory.mktemp("home")
    preparation.prepare("stream", out=home / "stream", split="validation", limit=2, options={"questions": 2})
    tiny.build_tokenizer((*tiny.MARKS, *VOCABULARY)).save_pretrained(home / "model")
    (home / "model" / "config.json").write_text('{"model_type": "llama"}')
    with Server() as server:
        for agent in ("atommem", "full_context", "full_context_in_a_window"):
            policy = {
                "name": "openai_server", "url": server.at("operations"), "model": "m", "tokenizer": str(home / "model"),
                **({"window": 200} if agent.endswith("window") else {}),
            }  # fmt: skip
            changes = [
                f"task.folder={home / 'stream'}", "store={name: exact}", f"policy={json.dumps(policy)}",
                f"agent={{name: {agent.removesuffix('_in_a_window')}}}", "chunk.by=tokens", "chunk.tokens=12",
                "chunk.overlap=2", "chunk.most=2", "eval.repeats=2",
            ]  # fmt: skip
            evaluation.evaluate(recipes.load("tiny-sloppy", changes), home / agent)
    for found in replay_of(home / "atommem"), replay_of(home / "full_context_in_a_window"):
        assert (found.findings, found.recut) == ((), True)
    shutil.rmtree(home / "model")
    return home


def replay_of(folder: Path) -> replay.Replayed:
    return replay.verify(Run(folder))


def read(path: Path) -> Lines:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_whose_tokenizer_is_gone_is_read_whole(home: Path, tmp_path: Path) -> None:
    run = Run(home / "atommem")
    with pytest.raises(MissingExtra):
        _ = run.tokenizer
    found = replay_of(home / "atommem")
    assert (found.findings, found.recut, found.episodes) == ((), False, 4)
    assert dict(replay.table(found).rows)["chunks"].startswith("as the run kept them")  # type: ignore[arg-type]
    assert len(list(replay.play(run))) == 4
    assert len(list(miss_causes.explain_run(run))) == 4
    name, line = next(iter(run.episodes.items()))
    shown = {page.shown for page in episode_view.book(run, name).pages if "chunk" in page.heading}
    assert shown == {chunk.text for chunk in run.chunks(run.task(line["task"]))}
    page = report.report([home / "atommem"], tmp_path / "report").paths[-1].read_text()
    assert "cannot be shown" not in page
    assert "cannot be rebuilt" not in page


def test_an_agent_that_shows_everything_needs_the_tokenizer_only_where_a_window_cut_it(home: Path) -> None:
    assert replay_of(home / "full_context").findings == ()
    with pytest.raises(MissingExtra, match="model"):
        replay_of(home / "full_context_in_a_window")


def test_a_run_without_the_file_is_cut_again(home: Path, tmp_path: Path) -> None:
    old = Path(shutil.copytree(home / "atommem", tmp_path / "old"))
    (old / CHUNKS).unlink()
    with pytest.raises(MissingExtra, match="model"):
        replay_of(old)


def test_the_file_changes_no_digest(home: Path) -> None:
    lines = read(home / "atommem" / "episodes.jsonl")
    assert {line["chunks"] for line in lines} == {2}
    assert not any("digest" in line for line in lines)
    assert len(read(home / "atommem" / CHUNKS)) == 2  # one a task, however many repeats
    assert digest(lines) == json.loads((home / "atommem" / "summary.json").read_text())["digest"]


def _moved(lines: Lines) -> None:
    lines[0]["chunks"][1][0] += 1


def _beyond(lines: Lines) -> None:
    lines[0]["chunks"][-1][1] += 10**6
    lines[0]["chunks"][-1][0] += 10**6


def _negative(lines: Lines) -> None:
    lines[1]["chunks"][0][0] = -3


def _words(lines: Lines) -> None:
    lines[1]["left_out"] = "none"


def _fewer(lines: Lines) -> None:
    del lines[1]["digest"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (_moved, RunMismatch),
        (_beyond, RunMismatch),
        (_negative, SourceError),
        (_words, SourceError),
        (_fewer, SourceError),
    ],
)
def test_a_record_that_does_not_fit_is_one_sentence(
    change: Callable[[Lines], None], error: type[AtommemError], home: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(home / "atommem", tmp_path / "run"))
    lines = read(folder / CHUNKS)
    change(lines)
    (folder / CHUNKS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(error, match=rf"{CHUNKS}.*without the file"):
        replay_of(folder)


def test_a_line_that_a_kill_tore_does_not_hide_the_others(home: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(home / "atommem", tmp_path / "run"))
    raw = (folder / CHUNKS).read_bytes()
    (folder / CHUNKS).write_bytes(raw[:-9])
    assert len(Cuts(folder).lines) == 1


def test_chunks_are_those_that_were_cut_whatever_the_texts_hold() -> None:
    documents = tuple(
        Document(title, text) for title, text in [("A", "a \ud800 b\0c"), ("", "Document 1:\nno"), ("B", "é🙂 x")]
    )
    chunks, left_out = chunk_documents(documents, WordTokenizer(), size=3, overlap=1, most=3)
    task = Task("t", "stream", documents, ())
    cuts = Cuts(Path("nowhere"))
    cuts.lines = {"t": json.loads(json.dumps(cut_line("t", chunks, left_out)))}
    assert cuts.chunks(task) == (chunks, left_out)
    assert left_out > 0
    assert cuts.chunks(Task("u", "stream", documents, ())) is None
