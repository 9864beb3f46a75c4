"""A run played again: everything comes out the same, and a changed byte is found and named."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import Says
from demos import contents
from fake_server import Server, completion

from atommem_cli.cli import options
from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.core.calls import Finish, Generation
from atommem_cli.core.episode import Call
from atommem_cli.core.errors import AtommemError, RunMismatch, SourceError, UsageError
from atommem_cli.data import preparation
from atommem_cli.policies import scripted
from atommem_cli.replay import episode_text, episode_view, replay
from atommem_cli.running import evaluation
from atommem_cli.running.build import assemble
from atommem_cli.runs.reader import Run
from atommem_cli.runs.strict_reader import Finding
from atommem_cli.runs.tables import ROWS

Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three `stream` tasks of two questions each."""
    folder = tmp_path_factory.mktemp("tasks") / "stream"
    preparation.prepare("stream", out=folder, split="validation", limit=3, options={"questions": 2})
    return folder


def recipe(tasks: Path, *changes: str, script: str = "sloppy") -> Recipe:
    policy = f"policy={{name: scripted, script: {script}}}"
    return recipes.load("tiny", [f"task.folder={tasks}", "store={name: exact}", policy, *changes])


@pytest.fixture(scope="module")
def shared(tasks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six episodes, with refused operations and hostile text, judged; which tests only read."""
    out = tmp_path_factory.mktemp("run") / "run"
    verdict = completion('{"correct": true}')
    with Server(*[verdict] * 100) as server:
        judge = f"eval.judge={{name: openai_server, url: '{server.url}', model: m, retries: 0}}"
        changes = ["agent.dialect=paper", "eval.repeats=2", "eval.scorers=[em, f1, judge]", judge]
        evaluation.evaluate(recipe(tasks, *changes, script="chaotic"), out)
    return out


@pytest.fixture
def run(shared: Path, tmp_path: Path) -> Path:
    """A copy of one's own."""
    return Path(shutil.copytree(shared, tmp_path / "run"))


def read(path: Path) -> Lines:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path: Path, lines: Lines) -> None:
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def findings(run: Path, **how: bool) -> list[str]:
    return [str(finding) for finding in replay.verify(Run(run), **how).findings]


# --- all is well


@pytest.mark.parametrize(
    ("script", "changes"),
    [
        ("sloppy", ("eval.repeats=2",)),
        ("oracle", ("agent={name: rag, dialect: tiny}",)),
        ("oracle", ("agent={name: memagent, dialect: tiny}",)),
        ("oracle", ("agent={name: full_context, dialect: tiny}",)),
        ("oracle", ("agent={name: closed_book, dialect: tiny}",)),
        ("append_only", ("memory.drop=[update]", "budget.entries=2", "budget.reads=1")),
        ("chaotic", ("budget.calls=7", "agent.dialect=paper")),
        ("random", ("budget.prompt_tokens=200", "chunk.by=tokens", "chunk.overlap=3")),
    ],
)
@pytest.mark.parametrize("retrieve", [False, True])
def test_a_run_comes_out_the_same(
    tasks: Path, tmp_path: Path, script: str, changes: tuple[str, ...], retrieve: bool
) -> None:
    result = evaluation.evaluate(recipe(tasks, *changes, script=script), tmp_path / "run")
    before = contents(tmp_path)
    told: list[tuple[int, int, str]] = []
    found = replay.verify(Run(tmp_path / "run"), retrieve=retrieve, progress=lambda *now: told.append(now))
    assert found.findings == ()
    steps = read(tmp_path / "run" / "steps.jsonl")
    assert (found.episodes, found.planned) == (result["evaluated"], result["planned"])
    assert found.steps == sum(line["step"] >= 0 for line in steps) == result["totals"]["calls"]
    assert found.operations == sum(len(line["ops"]) for line in steps)
    assert (found.failed, found.retried, found.unfinished, found.loose) == (0, 0, 0, 0)
    assert found.summed_up
    assert found.retrieved is retrieve
    assert told[-1] == (found.planned, found.planned, "")
    assert contents(tmp_path) == before


def test_a_store_on_disk_is_left_alone(tasks: Path, tmp_path: Path) -> None:
    store = f"store={{name: chroma, path: '{tmp_path / 'chroma'}', keep: true}}"
    evaluation.evaluate(recipe(tasks, store), tmp_path / "run")
    before = contents(tmp_path)
    assert findings(tmp_path / "run", retrieve=True) == []
    assert contents(tmp_path) == before


@pytest.mark.parametrize("store", ["exact", "chroma"])
def test_what_was_too_far_to_be_found_is_not_found_again(tasks: Path, tmp_path: Path, store: str) -> None:
    for least in ("null", "0.5"):
        changes = (f"store={{name: {store}, least: {least}}}", "memory.retrieve_k=9")
        evaluation.evaluate(recipe(tasks, *changes), tmp_path / least)
        assert findings(tmp_path / least, retrieve=True) == []
    far, near = (
        sum(len(line["shown"]) for line in read(tmp_path / least / "steps.jsonl")) for least in ("null", "0.5")
    )
    assert 0 < near < far


def test_retrieval_that_comes_out_otherwise_is_found(tasks: Path, tmp_path: Path) -> None:
    """The files say 256 dimensions all along, and the run had 2."""
    out = tmp_path / "run"
    evaluation.evaluate(recipe(tasks, "embedder.dimension=2", "memory.retrieve_k=1", script="append_only"), out)
    for name in ("run.json", "summary.json", "recipe.yaml"):
        text = (out / name).read_text()
        (out / name).write_text(re.sub(r'(dimension"?: "?)2\b', r"\g<1>256", text))
    assert findings(out) == []
    found = findings(out, retrieve=True)
    assert re.search(r"steps.jsonl: stream-validation-0000\d#0 step \d+: shown: entries \[\d+\] stand there", found[0])


# --- a changed byte


_UNPROVEN = {"steps.jsonl": {"seconds"}, "summary.json": {"time", "recipe"}}
_ELSEWHERE = {"name", "sft", "grpo", "ablate"}
"""Sections of a recipe that have no part in playing."""
_MOVING = {"url", "concurrency", "timeout_s", "retries", "key_env", "path", "collection", "keep", "run"}
"""Keys of plug-ins that may change between two starts; `batch` of an embedder, too."""


def proven(name: str, raw: bytes) -> str:
    """What of a file the digests speak for, as text; what cannot be parsed is of no value."""
    try:
        if name == "recipe.yaml":
            content = yaml.safe_load(raw.decode())
            kept: Any = {key: value for key, value in content.items() if key not in _ELSEWHERE}
            kept["eval"] = {key: value for key, value in kept["eval"].items() if key != "max_failed"}
            for section in (kept["policy"], kept["store"], kept["embedder"], kept["eval"]["judge"] or {}):
                for key in _MOVING:
                    section.pop(key, None)
        else:
            values = [json.loads(raw)] if name.endswith("json") else [json.loads(line) for line in raw.splitlines()]
            left_out = _UNPROVEN.get(name, set())
            kept = [{key: value for key, value in one.items() if key not in left_out} for one in values]
        return json.dumps(kept)
    except (ValueError, KeyError, AttributeError, TypeError, yaml.YAMLError):
        return "damaged"


def test_every_changed_byte_is_found_and_named(run: Path) -> None:
    """Any byte, by one bit or by another character of its kind; 315 of them."""
    dice = random.Random(11)
    seen: Counter[str] = Counter()
    for name in (
        "steps.jsonl", "episodes.jsonl", "chunks.jsonl", "verdicts.jsonl", "summary.json", "run.json", "recipe.yaml",
    ):  # fmt: skip
        raw = (run / name).read_bytes()
        was = proven(name, raw)
        for number in range(45):
            at = dice.randrange(len(raw))
            alike = b"0123456789" if raw[at : at + 1].isdigit() else b"abcdefghijklmnopqrstuvwxyz{}[],: \n"
            byte = dice.choice(alike) if number % 2 else raw[at] ^ (1 << dice.randrange(8))
            changed = raw[:at] + bytes([byte]) + raw[at + 1 :]
            matters = proven(name, changed) != was
            (run / name).write_bytes(changed)
            try:
                said = findings(run)
            except AtommemError as error:
                said = [str(error)]
            seen[f"{name}: {'matters' if matters else 'says the same'}, {'found' if said else 'passed'}"] += 1
            if matters:
                where = f"{name} byte {at}: {raw[max(0, at - 40) : at + 20]!r} with {bytes([byte])!r}"
                assert said, f"not found: {where}"
                assert any(name in one or str(run) in one for one in said), f"not named: {where}: {said}"
        (run / name).write_bytes(raw)
    assert findings(run) == []
    found = sum(count for what, count in seen.items() if what.endswith("matters, found"))
    assert found > 190
    print(*(f"{what} {count}" for what, count in sorted(seen.items())), sep="\n")


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("expects", "notes", "step 1: expects"),
        ("chunk", 5, "step 1: chunk"),
        ("question", 0, "step 1: question"),
        ("prompt", "0123456789abcdef", "step 1: prompt: another prompt comes out"),
        ("entries", 77, "step 1: entries: is 77, and comes out as"),
        ("ops", [], "step 1: ops"),
        ("finish", "length", "episodes.jsonl: NAME: steps: a reply, its end, its tokens"),
        ("prompt_tokens", 3, "episodes.jsonl: NAME: usage.prompt_tokens"),
        ("new_tokens", 9, "episodes.jsonl: NAME: usage.new_tokens"),
        ("shown", [[3, "a"]], "step 1: shown: entries [3] stand there, and [] come out"),
        ("shown", [[True, "a"]], "shown: line"),
        ("entries", "2", "entries: line"),
        ("reply", None, "reply: line"),
    ],
)
def test_a_changed_field_of_a_step_is_named(run: Path, field: str, value: Any, told: str) -> None:
    lines = read(run / "steps.jsonl")
    name = lines[0]["episode"]
    line = next(line for line in lines if line["episode"] == name and line["step"] == 1)
    assert line[field] != value
    line[field] = value
    write(run / "steps.jsonl", lines)
    found = findings(run)
    assert told.replace("NAME", name) in found[0]


def test_times_are_not_proven(run: Path) -> None:
    lines = read(run / "steps.jsonl")
    lines[3]["seconds"] = 1234.5
    write(run / "steps.jsonl", lines)
    with (run / "sessions.jsonl").open("a") as file:
        file.write('{"begin": "now"}\n')
    assert findings(run) == []


def test_an_operation_that_the_reply_does_not_hold_is_named_with_its_value(run: Path) -> None:
    lines = read(run / "steps.jsonl")
    line = next(line for line in lines if any(op["outcome"] == "ok" for op in line["ops"]))
    number = next(i for i, op in enumerate(line["ops"]) if op["outcome"] == "ok")
    line["ops"][number]["after"] = "f" * 16
    write(run / "steps.jsonl", lines)
    (found,) = replay.verify(Run(run)).findings
    assert (found.file, found.episode, found.step) == ("steps.jsonl", line["episode"], line["step"])
    assert found.field == f"ops[{number}].after"
    assert 'is "ffffffffffffffff", and comes out as' in found.text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lines: lines.pop(4), "it is missing"),
        (lambda lines: lines.append(dict(lines[4])), "it stands twice"),
        (lambda lines: lines.append({**lines[4], "step": 99}), "step 99: no other step leads to it"),
        (lambda lines: lines.append({**lines[4], "episode": "\x1b[2Jghost"}), "steps.jsonl: <U+001B>[2Jghost: no such"),
        (lambda lines: lines.append({**lines[4], "more": 1}), "more: line"),
        (lambda lines: lines.reverse(), None),
    ],
)
def test_missing_doubled_and_foreign_steps_are_found_and_their_order_says_nothing(
    run: Path, change: Callable[[Lines], None], told: str | None
) -> None:
    lines = read(run / "steps.jsonl")
    change(lines)
    write(run / "steps.jsonl", lines)
    found = findings(run)
    assert len(found) == (told is not None)
    assert told is None or told in found[0]


def test_missing_doubled_and_torn_episodes_are_found(run: Path) -> None:
    path = run / "episodes.jsonl"
    whole = path.read_text()
    first, *others = whole.splitlines(keepends=True)
    path.write_text("".join(others))
    assert "episodes.jsonl: 1 of 6 planned episodes are missing" in findings(run)
    path.write_text(whole + first)
    assert "it stands twice, and had been finished" in findings(run)[0]
    path.write_text(whole[:-1])
    assert "episodes.jsonl: its last line is torn: the run's own command cuts it off and goes on" in findings(run)
    path.write_text(whole[:500] + "\n" + whole[500:])
    with pytest.raises(SourceError, match=r"episodes\.jsonl: line \d is damaged"):
        findings(run)


def test_a_verdict_must_be_about_the_answers(run: Path) -> None:
    lines = read(run / "verdicts.jsonl")
    name = lines[0]["episode"]
    for change, told in (
        ({"steps": "0" * 16}, f"{name}: steps: the verdict is about another play of it"),
        ({"correct": [1.0]}, f"{name}: correct: [1.0] is not one verdict per answer"),
        ({"correct": [0.0, 1]}, "is not one verdict per answer"),
    ):
        write(run / "verdicts.jsonl", [{**lines[0], **change}, *lines[1:]])
        assert told in findings(run)[0]
    write(run / "verdicts.jsonl", lines[1:])
    assert findings(run) == [f"verdicts.jsonl: {name}: there is no verdict on it"]


def test_a_run_that_is_not_what_its_folder_says_is_not_played(run: Path, tasks: Path, tmp_path: Path) -> None:
    identity = json.loads((run / "run.json").read_text())
    for change, told in (
        ({"agent": {**identity["agent"], "prompts": "0"}}, 'run.json: agent.prompts: is "0", and comes out as'),
        ({"tasks": "0"}, f"run.json: tasks: it is not the digest of the tasks that are in {tasks}/validation now"),
        ({"recipe": {**identity["recipe"], "seed": 7}}, "recipe.yaml: seed: says 42, and run.json 7"),
        ({"episodes": 7}, "run.json: episodes: is 7, and comes out as 6 now"),
    ):
        (run / "run.json").write_text(json.dumps({**identity, **change}))
        assert [line for line in findings(run) if line.startswith(told)] == findings(run) != []
    del identity["policy"]
    (run / "run.json").write_text(json.dumps(identity))
    assert findings(run) == ["run.json: policy: it is missing"]


# --- runs that failed, or are not finished


def test_failed_and_repeated_plays_are_replayed_too(tasks: Path, tmp_path: Path) -> None:
    """One call fails twice, in two sessions; the third one gets through."""
    out, played = tmp_path / "run", recipe(tasks, script="careful")
    good = scripted.build(scripted.Options(script="careful"))
    failing = next(evaluation.planned_tasks(played)).id

    def evaluate(error: str) -> dict[str, Any]:
        def say(call: Call) -> Generation:
            assert call.episode is not None
            if error and call.episode.task.id == failing and call.episode.memory.reads:
                return Generation("", Finish.ERROR, error=error)
            return good.generate([call])[0]

        parts = assemble(played, playing=Says(say))
        try:
            return evaluation.evaluate(played, out, parts=parts)
        finally:
            parts.close()

    evaluate("the server is gone")
    found = replay.verify(Run(out))
    assert (found.findings, found.episodes, found.failed, found.retried) == ((), 2, 1, 0)
    evaluate("it is gone again")
    found = replay.verify(Run(out))
    assert (found.findings, found.episodes, found.failed, found.retried) == ((), 2, 1, 1)
    assert evaluate("")["failed"] == []
    found = replay.verify(Run(out))
    assert (found.findings, found.episodes, found.failed, found.retried) == ((), 3, 0, 2)
    assert found.summed_up

    for file, old, new in (
        ("steps.jsonl", '"error":"the server is gone"', '"error":"the server is done"'),
        ("episodes.jsonl", '"error":"it is gone again"', '"error":"it is gone agaim"'),
        ("episodes.jsonl", '"stop":"error"', '"stop":"budget"'),
    ):
        text = (out / file).read_text()
        assert old in text
        (out / file).write_text(text.replace(old, new, 1))
        assert any(failing in one for one in findings(out))
        (out / file).write_text(text)
    # Killed between the failed call and the episode's line:
    episodes = read(out / "episodes.jsonl")
    first = next(i for i, line in enumerate(episodes) if line["episode"] == f"{failing}#0")
    write(out / "episodes.jsonl", episodes[:first] + episodes[first + 1 :])
    found = replay.verify(Run(out))
    assert (found.findings, found.retried, found.loose) == ((), 1, 1)


def test_a_retry_under_way_is_replayed_as_far_as_it_goes(tasks: Path, tmp_path: Path) -> None:
    out, played = tmp_path / "run", recipe(tasks, script="careful")
    evaluation.evaluate(played, out)
    (out / "summary.json").unlink()
    lines, steps = read(out / "episodes.jsonl"), read(out / "steps.jsonl")
    write(out / "episodes.jsonl", lines[1:])
    cut = [line for line in steps if line["episode"] != lines[0]["episode"] or line["step"] < 3]
    write(out / "steps.jsonl", cut)
    with (out / "steps.jsonl").open("a") as file:
        file.write('{"episode":"stream-')
    found = replay.verify(Run(out))
    assert (found.findings, found.episodes, found.unfinished) == ((), 2, 1)
    assert not found.summed_up
    write(out / "steps.jsonl", [{**line, "entries": 99} if line["step"] == 2 else line for line in cut])
    assert len(findings(out)) == 3


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not the folder of an `atommem eval` run"):
        findings(tmp_path)


def test_demonstrations_still_refuse_what_comes_out_otherwise(run: Path) -> None:
    lines = read(run / "steps.jsonl")
    lines[0]["prompt"] = "0" * 16
    write(run / "steps.jsonl", lines)
    with pytest.raises(RunMismatch, match="step 0 comes out with another prompt"):
        list(replay.play(Run(run)))


def test_an_episode_whose_next_prompt_was_too_long_is_played_again(tasks: Path, tmp_path: Path) -> None:
    """That prompt was never asked, so what it showed is not recorded."""
    played = recipe(tasks, "budget.prompt_tokens=200", "chunk.by=tokens", "chunk.overlap=3", script="random")
    evaluation.evaluate(played, tmp_path / "run")
    run = Run(tmp_path / "run")
    again = {trajectory.episode: trajectory for _, trajectory in replay.play(run)}
    assert {name: one.stop for name, one in again.items()} == {name: one["stop"] for name, one in run.episodes.items()}
    assert {name: len(one.transitions) for name, one in again.items()} == {
        name: one["usage"]["calls"] for name, one in run.episodes.items()
    }
    assert [one.stop for one in again.values()] == ["budget"] * 3
    lines = read(run.path / "steps.jsonl")
    lines.remove(next(line for line in reversed(lines) if line["episode"] == lines[0]["episode"]))
    write(run.path / "steps.jsonl", lines)
    assert len(findings(run.path)) == 1
    unfinished = Run(run.path)
    assert unfinished.lost == {lines[0]["episode"]}
    assert {trajectory.episode for _, trajectory in replay.play(unfinished)} == {*again} - unfinished.lost


# --- one episode, step by step


def test_the_book_of_an_episode(tasks: Path, tmp_path: Path) -> None:
    evaluation.evaluate(recipe(tasks, script="careful"), tmp_path / "run")
    run = Run(tmp_path / "run")
    name = max(run.episodes, key=lambda one: sum(op["kind"] == "update" for s in run.steps(one) for op in s["ops"]))
    shown = episode_view.book(run, name.removesuffix("#0"))
    line, steps = run.episodes[name], run.steps(name)
    assert [page.step for page in shown.pages] == list(range(line["usage"]["calls"]))
    assert [one.number for one in shown.operations] == list(range(1, sum(len(s["ops"]) for s in steps) + 1))
    assert [one.kind for one in shown.operations] == [op["kind"] for s in steps for op in s["ops"]]
    assert [page.entries for page in shown.pages] == [step["entries"] for step in steps]
    held: dict[str, str] = {}
    for page in shown.pages:
        assert page.query == held.get("query", "")
        assert all(held[str(entry)] == text for entry, text in page.memories)
        for change in page.changes:
            assert held.get(change.place, "") == change.old
            held[change.place] = change.new
            assert change.sign == ("-" if not change.new else "~" if change.old else "+")
    update = next(
        change for page in shown.pages for change in page.changes if change.sign == "~" and change.place != "query"
    )
    text = list(episode_text.lines(shown, 90))
    assert any(line.startswith(f"  ~ {update.place}") and f"{update.old} -> {update.new}" in line for line in text)
    task = run.task(line["task"])
    for question, answer in zip(task.questions, line["answers"], strict=True):
        assert f"  gold        {question.answers[0]}" in text
        assert f"  answer      {answer['text']}" in text
    assert sum("scores      em 1, f1 1" in line for line in text) == sum(line["scores"]["em"])
    assert max(map(len, text)) <= 90


def test_what_a_step_has_many_of_is_counted_unless_all_of_it_is_asked_for(tasks: Path, tmp_path: Path) -> None:
    evaluation.evaluate(recipe(tasks, script="careful"), tmp_path / "run")
    run = Run(tmp_path / "run")
    shown = episode_view.book(run, next(name for name in run.episodes if episode_view.book(run, name).operations))
    page = next(page for page in shown.pages if page.operations and page.changes)
    (answer, *_), many = shown.answers, 33
    crowded = replace(
        page, memories=((1, "x"),) * many, operations=page.operations[:1] * many, changes=page.changes[:1] * many
    )
    one = replace(shown, pages=(crowded,), answers=(answer,) * many)
    text = "\n".join(episode_text.lines(one, episode_text.NARROW))
    assert re.findall(r"^  … +(.*)", text, re.MULTILINE) == [
        f"13 more {what}: --full" for what in ("memories", "operations", "changes", "questions")
    ]
    assert max(map(len, text.splitlines())) <= episode_text.NARROW
    assert f"question {many} " in text
    whole = "\n".join(episode_text.lines(one, full=True))
    assert "--full" not in whole
    assert (
        whole.count(" Memory ") - text.count(" Memory ") == whole.count("  question") - text.count("  question") == 13
    )


def test_a_thousand_findings_are_counted_and_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    found = [replay.table(replay.Replayed((Finding("steps.jsonl", "differs", "e"),) * 1000, False))]
    for whole, rows in (("--full", ROWS), (None, len(found[0].rows))):
        options.show(found, [], False, whole)
        printed = capsys.readouterr().out
        assert printed.count("\n| ") == 2 + rows + (rows == ROWS)  # the headers, the line below, what is left
        assert (f"| … and {len(found[0].rows) - ROWS} more: --full |" in printed) == (rows == ROWS)


def test_whatever_a_model_wrote_the_terminal_is_safe(run: Path) -> None:
    opened = Run(run)
    refused = 0
    for name in opened.episodes:
        shown = episode_view.book(opened, name)
        text = "\n".join(episode_text.lines(shown, 70))
        text.encode()  # no half of a surrogate pair
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", text)
        refused += text.count("refused: ")
        assert len(re.findall(r"^  ! ", text, re.MULTILINE)) == sum(one.refused for one in shown.operations)
        assert "judge (m) 1" in text or all(not one.answer for one in shown.answers)
    assert refused > 20
    lines = read(run / "steps.jsonl")
    lines[0]["reply"] = "\x1b]0;gone\x07\u202e" + "<create>" * 125_000
    write(run / "steps.jsonl", lines)
    text = list(episode_text.lines(episode_view.book(Run(run), lines[0]["episode"]), 80))
    assert any("<U+001B>]0;gone<U+0007><U+202E>" in line for line in text)
    assert any("… 1,000,010 characters …" in line for line in text)
    assert max(map(len, text)) <= 80


def test_an_unknown_or_unfinished_episode_is_one_sentence(run: Path) -> None:
    name = next(iter(Run(run).episodes))
    with pytest.raises(
        UsageError, match=rf"no episode 'stream-validation-0000'; did you mean '{name[:-3]}.*6 episodes"
    ):
        episode_view.book(Run(run), "stream-validation-0000")
    write(run / "episodes.jsonl", read(run / "episodes.jsonl")[:1])
    missing = next(line["episode"] for line in read(run / "steps.jsonl") if line["episode"] not in Run(run).episodes)
    with pytest.raises(UsageError, match="is not finished yet"):
        episode_view.book(Run(run), missing)
    steps = read(run / "steps.jsonl")
    for line in steps:
        line["ops"] = [{**op, "outcome": "fine"} for op in line["ops"]]
    write(run / "steps.jsonl", steps)
    with pytest.raises(SourceError, match=r"is damaged: `atommem replay` says where"):
        episode_view.book(Run(run), next(iter(Run(run).episodes)))
