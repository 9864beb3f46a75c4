"""The machine behind `atommem prepare`: same bytes every time, complete or not there, and clear refusals."""

from __future__ import annotations

import fcntl
import os
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from raw_records import SHARED, hotpot, real_data, wiki, write

from atommem_cli.core.chunking import WordTokenizer, render
from atommem_cli.core.errors import BackendError, Interrupted, RunMismatch, SourceError, UsageError
from atommem_cli.data.parallel import ordered, useful
from atommem_cli.data.preparation import Manifest, prepare, read_manifest, read_tasks, verify
from atommem_cli.tasks import stream


@pytest.fixture
def source(tmp_path: Path) -> str:
    write(tmp_path / "raw" / "validation.jsonl", [hotpot(number) for number in range(30)])
    return str(tmp_path / "raw")


def quick(out: Path, source: str, **changes: Any) -> Manifest:
    return prepare("hotpotqa", **{"source": source, "out": out, "options": {"docs": 12}, **changes})


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- the same bytes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hotpotqa", "stream"])
def test_workers_and_place_change_no_byte(name: str, source: str, tmp_path: Path) -> None:
    for workers in (1, 3):
        prepare(
            name,
            out=tmp_path / f"deep{workers}" / "er",
            source=None if name == "stream" else source,
            options={"docs": 12},
            limit=9,
            workers=workers,
        )
    one, three = (files(tmp_path / f"deep{workers}" / "er" / "validation") for workers in (1, 3))
    assert one == three
    assert sorted(one) == ["manifest.json", "tasks.jsonl"]
    assert str(tmp_path) not in one["manifest.json"].decode()


@real_data
def test_real_records_give_the_same_bytes_with_one_worker_and_two(tmp_path: Path) -> None:
    for workers in (1, 2):
        prepare("musique", source=str(SHARED / "musique"), out=tmp_path / str(workers), limit=20, workers=workers)
    assert files(tmp_path / "1/validation") == files(tmp_path / "2/validation")


def test_tasks_come_back_as_they_were_made(tmp_path: Path) -> None:
    prepare("stream", out=tmp_path, limit=5, seed=3, split="train")
    made = [stream.generate(stream.Options(), 3, "train", index) for index in range(5)]
    assert list(read_tasks(tmp_path / "train")) == made
    assert list(read_tasks(tmp_path / "train", limit=2)) == made[:2]
    assert list(read_tasks(tmp_path / "train", limit=99)) == made
    text = (tmp_path / "train/tasks.jsonl").read_text()
    assert text.count("\n") == 5
    assert not re.search(r'"(event|supporting|path|kind|hinge)":(null|\[\]|"")', text), "empty defaults are left out"


def test_the_manifest_says_what_is_there(source: str, tmp_path: Path) -> None:
    manifest = quick(tmp_path / "out", source, options={"docs": 12, "questions": 2})
    made = list(read_tasks(tmp_path / "out/validation"))
    assert manifest == read_manifest(tmp_path / "out/validation") == verify(tmp_path / "out/validation")
    assert (manifest.tasks, manifest.questions_read, manifest.questions_used, manifest.pool) == (15, 30, 30, 120)
    assert manifest.kinds == {"bridge": 15, "comparison": 15}
    assert (manifest.documents.min, manifest.documents.median, manifest.documents.max) == (12, 12, 12)
    words = [sum(len(WordTokenizer().spans(render([d])[0])) for d in task.documents) for task in made]
    assert manifest.tokens.model_dump() == {
        "min": min(words),
        "median": sorted(words)[7],
        "max": max(words),
        "total": sum(words),
    }
    assert manifest.licence == "CC BY-SA 4.0"
    assert manifest.options["docs"] == 12


def test_stream_counts_hinges(tmp_path: Path) -> None:
    manifest = prepare("stream", out=tmp_path, limit=20)
    assert set(manifest.hinges) <= {"create", "update", "delete", "none"}
    assert sum(manifest.hinges.values()) == manifest.questions_used == 20
    assert prepare("stream", out=tmp_path, limit=20) == manifest


# --- preparing again --------------------------------------------------------------------------------


def test_the_same_again_verifies_and_writes_nothing(source: str, tmp_path: Path) -> None:
    first = quick(tmp_path / "out", source)
    folder = tmp_path / "out/validation"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert quick(tmp_path / "out", source, workers=4) == first
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_something_else_is_refused_by_name_unless_forced(source: str, tmp_path: Path) -> None:
    quick(tmp_path / "out", source)
    before = files(tmp_path / "out/validation")
    with pytest.raises(UsageError, match=r"docs \(there 12, now 9\), seed \(there 42, now 1\); use another --out, or"):
        quick(tmp_path / "out", source, options={"docs": 9}, seed=1)
    write(Path(source) / "validation.jsonl", [hotpot(number) for number in range(20)])
    with pytest.raises(UsageError, match=r"prepared from something else: validation\.jsonl \(there '"):
        quick(tmp_path / "out", source)
    with pytest.raises(UsageError, match=r"name \(there 'hotpotqa', now 'stream'\)"):
        prepare("stream", out=tmp_path / "out")
    assert files(tmp_path / "out/validation") == before
    assert quick(tmp_path / "out", source, options={"docs": 9}, force=True).options["docs"] == 9
    verify(tmp_path / "out/validation")


def test_a_name_and_its_alias_are_the_same_source(tmp_path: Path) -> None:
    write(tmp_path / "raw/validation.jsonl", [wiki(1)])
    for name in ("2wikimultihopqa", "twowiki"):
        manifest = prepare(name, source=str(tmp_path / "raw"), out=tmp_path / "out", options={"docs": 4})
        assert manifest.source == "2wikimultihopqa"


@pytest.mark.parametrize("name", ["tasks.jsonl", "notes.txt", "run.json"])
def test_a_folder_with_something_else_in_it_is_left_alone_even_with_force(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "validation"
    folder.mkdir()
    (folder / name).write_text('{"command": "eval"}')
    with pytest.raises(RunMismatch, match=f"holds {name}|folder of a run of eval"):
        prepare("stream", out=tmp_path, limit=2, force=True)
    assert files(folder) == {name: b'{"command": "eval"}'}


def test_what_was_killed_between_its_two_files_is_ours_and_made_again(tmp_path: Path) -> None:
    prepare("stream", out=tmp_path, limit=2)
    folder = tmp_path / "validation"
    (folder / ".scratch").mkdir()
    (folder / "manifest.json").rename(folder / ".scratch" / "manifest.json")
    assert prepare("stream", out=tmp_path, limit=3).tasks == 3


def test_an_interrupted_preparation_leaves_no_manifest_and_can_be_taken_up(source: str, tmp_path: Path) -> None:
    def stop(stage: str, done: int, total: int | None) -> None:
        if stage == "write" and done == 3:
            assert total is not None
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=r"stopped; .* is as it was before"):
        quick(tmp_path / "out", source, progress=stop)
    assert not (tmp_path / "out/validation/manifest.json").exists()
    quick(tmp_path / "out", source)
    before = files(tmp_path / "out/validation")
    with pytest.raises(Interrupted, match=r"stopped; .* is as it was before"):
        quick(tmp_path / "out", source, seed=1, progress=stop, force=True)
    assert files(tmp_path / "out/validation") == before


@pytest.mark.parametrize("touched", ["validation.jsonl", "beside.jsonl"])
def test_records_that_change_while_they_are_read_are_not_prepared(touched: str, source: str, tmp_path: Path) -> None:
    """What was read of them is neither the file of before nor that of after."""
    write(tmp_path / "raw" / "train.jsonl", [hotpot(100 + number) for number in range(30)])
    beside = write(tmp_path / "raw" / "beside.jsonl", [hotpot(200)])

    def change(stage: str, _done: int, _total: int | None) -> None:
        if stage == "write":
            with (tmp_path / "raw" / touched).open("a") as file:
                file.write("\n")

    given: dict[str, Any] = {"split": "train", "validation": str(beside)} if touched == "beside.jsonl" else {}
    with pytest.raises(UsageError, match="changed while it was read; prepare again"):
        quick(tmp_path / "out", source, progress=change, **given)
    assert not any((tmp_path / "out").rglob("*.json*"))
    quick(tmp_path / "out", source, **given)


def test_progress_tells_of_reading_and_writing(source: str, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    quick(tmp_path / "out", source, options={"docs": 12, "questions": 3}, progress=lambda *said: told.append(said))
    assert told[:30] == [("read", number, None) for number in range(1, 31)]
    assert told[30:] == [("write", number, 10) for number in range(1, 11)]


# --- reading back -----------------------------------------------------------------------------------


def test_a_folder_that_is_not_finished_or_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no such folder; run `atommem prepare`"):
        next(read_tasks(tmp_path / "nowhere"))
    (tmp_path / "tasks.jsonl").write_text("{}\n")
    with pytest.raises(SourceError, match="preparing it did not finish"):
        read_manifest(tmp_path)


def test_damage_is_named_by_line(tmp_path: Path) -> None:
    prepare("stream", out=tmp_path, limit=4)
    folder = tmp_path / "validation"
    whole = (folder / "tasks.jsonl").read_bytes().splitlines(keepends=True)

    (folder / "tasks.jsonl").write_bytes(b"".join([*whole[:2], whole[2][:50] + b"\n", whole[3]]))
    with pytest.raises(SourceError, match=r"tasks\.jsonl line 3 is damaged"):
        list(read_tasks(folder))
    with pytest.raises(SourceError, match="is not the file that its manifest describes"):
        verify(folder)
    with pytest.raises(SourceError, match="prepare again with --force"):
        prepare("stream", out=tmp_path, limit=4)

    (folder / "tasks.jsonl").write_bytes(whole[0] + whole[1].replace(b'"questions"', b'"riddles"'))
    with pytest.raises(SourceError, match="line 2 is damaged: questions"):
        list(read_tasks(folder))

    (folder / "tasks.jsonl").write_bytes(whole[0])
    assert len(list(read_tasks(folder, limit=1))) == 1
    with pytest.raises(SourceError, match="has 1 tasks where its manifest says 4"):
        list(read_tasks(folder))

    (folder / "tasks.jsonl").unlink()
    with pytest.raises(SourceError, match=r"tasks\.jsonl cannot be read: No such file"):
        list(read_tasks(folder))

    (folder / "manifest.json").write_text('{"schema_version": 2}')
    with pytest.raises(SourceError, match=r"manifest\.json is damaged: schema_version"):
        read_manifest(folder)


# --- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("hotpot", {}, "hotpot: no such source; did you mean 'hotpotqa'"),
        (
            "wiki",
            {"split": "dev"},
            r"wiki: no such source; did you mean '2wikimultihopqa'\? \(there are: 2wikimultihopqa, h",
        ),
        ("stream", {"split": "test"}, r"no split 'test'; the answers of a test set are not public"),
        ("stream", {"split": "validate"}, "did you mean 'validation'"),
        ("stream", {"limit": 0}, "limit is 0; it must be at least 1"),
        ("stream", {"workers": 0}, "workers is 0"),
        ("stream", {"options": {"doc": 3}}, r"stream has no option 'doc'; did you mean 'docs'"),
        ("stream", {"options": {"style": "ritch"}}, "'closed' or 'rich'; did you mean 'rich'?"),
        ("stream", {"options": {"docs": "many"}}, "stream: option 'docs': Input should be a valid integer"),
        ("stream", {"options": {"people": True}}, "stream: option 'people': a number is wanted here"),
        ("stream", {"options": {"people": 12}}, "stream: people: the closed style has names for 11 at most"),
        ("stream", {"source": "x"}, "stream is generated: leave out --source"),
        (
            "hotpotqa",
            {"options": {"questions": "few"}},
            "option 'questions': Input should be 'mix' or a valid integer",
        ),
    ],
)
def test_what_the_user_got_wrong_is_said_before_anything_is_made(
    name: str, changes: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=says):
        prepare(name, out=tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_what_stops_later_leaves_no_empty_folder(source: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="docs can be"):
        quick(tmp_path / "deep/er/out", source, options={"docs": 10_000})
    assert not (tmp_path / "deep").exists()


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "validation"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(UsageError, match="is being prepared by another process"):
        prepare("stream", out=tmp_path, limit=2)
    os.close(descriptor)
    assert prepare("stream", out=tmp_path, limit=2).tasks == 2


def test_a_place_that_cannot_be_written_is_the_disk_s_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BackendError, match="cannot write to"):
        prepare("stream", out=tmp_path / "file")


# --- workers ----------------------------------------------------------------------------------------


def test_a_worker_that_dies_is_told_in_one_sentence() -> None:
    with pytest.raises(BackendError, match="a worker process died"):
        list(ordered(os._exit, [1, 1, 1], 2))


def test_no_more_processes_start_than_have_something_to_do() -> None:
    cores = len(os.sched_getaffinity(0))
    assert [useful(500, jobs) for jobs in (0, 1, 4)] == [1, 1, 1]
    assert useful(500, 10_000) == cores
    assert useful(1, 10_000) == 1


def test_jobs_are_taken_no_faster_than_results_are_used() -> None:
    taken = 0

    def jobs() -> Any:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield number

    results = ordered(pickle.dumps, jobs(), 2)
    assert [pickle.loads(next(results)) for _ in range(3)] == [0, 1, 2]
    assert taken <= 20
    results.close()  # type: ignore[attr-defined]
