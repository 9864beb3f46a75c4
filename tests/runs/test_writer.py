"""Run folders: append-only, continued, never mixed, and never hurt by a kill or a full disk."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atommem_cli.core import files
from atommem_cli.core.calls import Expects, Finish, Generation, Message, Observation
from atommem_cli.core.errors import BackendError, RunMismatch, SourceError
from atommem_cli.core.files import Lines
from atommem_cli.core.memory_digest import began_with
from atommem_cli.core.types import (
    Answer,
    MemoryOp,
    OpKind,
    OpResult,
    Outcome,
    StopReason,
    Trajectory,
    Transition,
    Usage,
)
from atommem_cli.runs import writer
from atommem_cli.runs.writer import RunFolder

IDENTITY = {"command": "eval", "recipe": {"memory": {"retrieve_k": 6}, "seed": 1}, "episodes": 2}
OBSERVATION = Observation((Message("user", "hi"),), 10, Expects.OPERATIONS, chunk=0)


def transition(reply: str = "r", seconds: float = 0.5) -> Transition:
    result = OpResult(MemoryOp(OpKind.CREATE, "x"), Outcome.OK, 1, began_with(()), "bb")
    return Transition(OBSERVATION, Generation(reply, prompt_tokens=7, new_tokens=2), (result,), (), 1, seconds)


def trajectory(name: str = "t#0", stop: StopReason = StopReason.ANSWERED, seconds: float = 0.5) -> Trajectory:
    return Trajectory(
        name, "t", 0, (Answer("a", tagged=True),), stop, (transition(seconds=seconds),), Usage(calls=1), chunks=()
    )


def opened(path: Path, **identity: object) -> RunFolder:
    return RunFolder(path, {**IDENTITY, **identity}, "seed: 1\n")


def test_a_run_is_continued_where_it_stopped(tmp_path: Path) -> None:
    with opened(tmp_path / "run") as run:
        run.step("t#0", 0, transition())
        run.episode(trajectory(), {"em": [1.0]})
        run.step("u#0", 0, transition("other"))
    with opened(tmp_path / "run") as run:
        assert run.finished("t#0")
        assert not run.finished("u#0")
        assert run.recorded("u#0", 0, OBSERVATION) == Generation("other", prompt_tokens=7, new_tokens=2)
        assert run.recorded("u#0", 1, OBSERVATION) is None
        changed = Observation((Message("user", "changed"),), 10, Expects.OPERATIONS)
        assert run.recorded("u#0", 0, changed) is None, "the prompt is another one"
        before = (tmp_path / "run" / "steps.jsonl").read_bytes()
        run.step("u#0", 0, transition("other"))
        run.episode(trajectory(), {"em": [1.0]})
        assert (tmp_path / "run" / "steps.jsonl").read_bytes() == before
        assert len(list(run.episodes.read())) == 1


def test_failed_calls_and_episodes_are_tried_again_and_the_last_line_counts(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        failed = Transition(OBSERVATION, Generation("", Finish.ERROR, error="500"), (), (), 0)
        run.step("t#0", 0, failed)
        run.episode(trajectory(stop=StopReason.ERROR), {"em": [0.0]})
    with opened(tmp_path) as run:
        assert not run.finished("t#0")
        assert run.recorded("t#0", 0, OBSERVATION) is None
        run.step("t#0", 0, transition())
        run.episode(trajectory(), {"em": [1.0]})
        (line,) = writer.latest(run.episodes.read())
        assert (line["stop"], line["scores"]) == ("answered", {"em": [1.0]})
    with opened(tmp_path) as run:
        assert run.finished("t#0")
        assert run.recorded("t#0", 0, OBSERVATION) is not None


def test_another_recipe_is_refused_by_its_keys(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    other = {"memory": {"retrieve_k": 3}, "seed": 1}
    with pytest.raises(RunMismatch, match=r"these differ: recipe\.memory\.retrieve_k \("):
        opened(tmp_path, recipe=other, episodes=3)


def test_two_processes_cannot_share_a_folder(tmp_path: Path) -> None:
    with opened(tmp_path):
        program = (
            "import sys; from pathlib import Path; from atommem_cli.runs.writer import RunFolder\n"
            "from atommem_cli.core.errors import RunMismatch\n"
            f"try: RunFolder(Path({str(tmp_path)!r}), {IDENTITY!r}, '')\n"
            "except RunMismatch as e: sys.exit(str(e))"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert "another atommem process is working on this run" in done.stderr
    with opened(tmp_path):
        pass


@given(st.integers(0, 400))
def test_a_torn_last_line_is_cut_off(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    path = tmp_path_factory.mktemp("torn") / "lines.jsonl"
    whole = b"".join(json.dumps({"n": n, "text": "x" * 50}).encode() + b"\n" for n in range(5))
    path.write_bytes(whole[:length])
    lines = Lines(path)
    kept = [line["n"] for line in lines.read()]
    assert kept == list(range(whole[:length].count(b"\n")))
    lines.append({"n": 99})
    assert [line["n"] for line in lines.read()] == [*kept, 99]
    lines.close()


def test_damage_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"n": 1}\n{"n": 2\n{"n": 3}\n')
    with pytest.raises(SourceError, match=r"lines\.jsonl: line 2 is damaged"):
        list(Lines(path).read())


def test_a_folder_that_cannot_be_opened_keeps_no_file_open(tmp_path: Path) -> None:
    with opened(tmp_path / "run") as run:
        run.episode(trajectory(), {"em": [1.0]})
    (tmp_path / "run" / "episodes.jsonl").write_text("{}\n{}\n")
    before = len(os.listdir("/dev/fd"))
    for _ in range(3):
        with pytest.raises(SourceError, match=r"episodes\.jsonl: line 1 is damaged"):
            opened(tmp_path / "run")
    assert len(os.listdir("/dev/fd")) == before


def test_a_full_disk_loses_nothing_that_was_written(tmp_path: Path) -> None:
    """A limit on the size of files makes `write` fail half way, as a full disk does."""
    program = (
        "import resource, signal, sys; from pathlib import Path; from atommem_cli.core.files import Lines\n"
        "from atommem_cli.core.errors import BackendError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"lines = Lines(Path({str(tmp_path / 'lines.jsonl')!r}))\n"
        "lines.append({'n': 1})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try: lines.append({'n': 2, 'text': 'x' * 500})\n"
        "except BackendError as e: sys.exit(str(e))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "everything finished is saved: make room and run the same command again" in done.stderr
    assert (tmp_path / "lines.jsonl").read_text() == '{"n":1}\n'
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100


def test_no_space_left_is_said_so() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with pytest.raises(BackendError, match="cannot be written"):
        files.write_whole(Path("/dev/full/x"), "text")


def test_the_digest_holds_no_order_and_no_time(tmp_path: Path) -> None:
    digests = []
    for number, names in enumerate((["a#0", "b#0"], ["b#0", "a#0"])):
        with opened(tmp_path / str(number)) as run:
            for name in names:
                run.episode(trajectory(name, seconds=number), {"em": [1.0]})
            digests.append(writer.digest(run.episodes.read()))
    assert digests[0] == digests[1]
    with opened(tmp_path / "third") as run:
        run.episode(trajectory("a#0"), {"em": [0.0]})
        run.episode(trajectory("b#0"), {"em": [1.0]})
        assert writer.digest(run.episodes.read()) != digests[0]


def test_lone_surrogates_and_control_characters_survive(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        run.step("t#0", 0, transition("\ud83d\x00\u202e</script>\n"))
    with opened(tmp_path) as run:
        reply = run.recorded("t#0", 0, OBSERVATION)
        assert reply is not None
        assert reply.text == "\ud83d\x00\u202e</script>\n"


def test_bytes_written_per_episode_do_not_grow(tmp_path: Path) -> None:
    """peers.md 1: MemoryAgentBench rewrites its whole file after every query."""
    sizes = []
    with opened(tmp_path) as run:
        for n in range(200):
            run.episode(trajectory(f"t{n:03}#0"), {"em": [1.0]})
            sizes.append((tmp_path / "episodes.jsonl").stat().st_size)
    assert len({b - a for a, b in pairwise(sizes)}) == 1
