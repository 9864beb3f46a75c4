"""The report: its numbers, its files, hostile text in it, and each error."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import training_runs

from atommem_cli.core.errors import BackendError, SourceError, UsageError
from atommem_cli.reporting import training_history
from atommem_cli.reporting.report import report
from atommem_cli.reporting.training_summary import TrainingSummary, details, everything, leading, table

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(1)>{{ 7 * 7 }}\ud800'


class Tags(HTMLParser):
    """Tags and their attributes, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def line(step: int, kind: str, **metrics: Any) -> dict[str, Any]:
    return {"step": step, "kind": kind, "seconds": 60.0 * step, **metrics}


def validated(path: Path, *values: float, metric: str = "rewards/em/mean") -> Path:
    lines = [line(10 * i, "validation", **{metric: value, "reward": value + 1}) for i, value in enumerate(values)]
    return training_runs.folder(path, [*lines, *(line(s, "train", reward=0.5, loss=0.1) for s in range(1, 21))])


# --- numbers


def test_runs_of_one_name_are_told_apart_by_as_many_folders_as_it_takes(tmp_path: Path) -> None:
    places = ["a/results/em", "b/results/em", "b/results/f1", "c/em"]
    runs = [training_runs.folder(tmp_path / place, [line(1, "train")]) for place in places]
    named = [history.name for history in training_history.read_all(runs)]
    assert named == ["a/results/em", "b/results/em", "f1", "c/em"]


def test_first_best_and_last_of_exact_match_and_the_mean_over_runs(tmp_path: Path) -> None:
    folders = [validated(tmp_path / "a", 0.25, 0.75, 0.5), validated(tmp_path / "b", 0.35, 0.45, 0.45)]
    runs = training_history.read_all(folders)
    assert leading(runs)[0] == TrainingSummary("a", "rewards/em/mean", "validation", 3, 0.25, 0.75, 10, 0.5)
    shown = table(runs)
    assert shown.headers == ("run", "steps", "minutes", "of", "n", "first", "best", "last")
    assert shown.rows == (
        ("a", "20", "20.0", "em, validation", "3", "0.250", "0.750 (step 10)", "0.500"),
        ("b", "20", "20.0", "em, validation", "3", "0.350", "0.450 (step 10)", "0.450"),
        ("mean of 2 runs", "", "", "", "", "0.300 ± 0.071", "0.600 ± 0.212", "0.475 ± 0.035"),
    )
    assert "standard deviation" in shown.title


def test_the_model_of_another_update_than_the_best_measured_is_named(tmp_path: Path) -> None:
    run = validated(tmp_path / "run", 0.8, 0.5, 0.6)
    said = [table([training_history.read(run)]).title]
    for kept in ("null", "0", "20"):
        (run / "summary.json").write_text(f'{{"best_update": {kept}}}')
        said.append(table([training_history.read(run)]).title)
    assert len({*said[:3]}) == 1
    assert said[3] == f"{said[0]}; the model of run is that of update 20"


def test_without_exact_match_the_reward_and_without_validation_the_smoothed_training(tmp_path: Path) -> None:
    (run,) = training_history.read_all([validated(tmp_path / "a", 0.25, 0.75, metric="rewards/f1/mean")])
    assert [(one.metric, one.best) for one in leading([run])] == [("reward", 1.75)]
    bare = training_runs.folder(tmp_path / "b", [line(s, "train", reward=float(s)) for s in range(1, 11)])
    (one,) = leading(training_history.read_all([bare]))
    assert (one.kind, one.n, one.best_step) == ("train", 10, 10)
    assert (one.first, one.last) == pytest.approx((1.0, 10.0))
    assert table(training_history.read_all([bare])).rows[0][3] == "reward, training"


def test_of_sft_the_lowest_loss_is_the_best(tmp_path: Path) -> None:
    lines = [line(s, "validation", loss=v, mean_token_accuracy=1 - v) for s, v in ((1, 0.5), (2, 0.2), (3, 0.3))]
    runs = training_history.read_all([training_runs.folder(tmp_path / "a", lines, command="sft")])
    assert [(one.metric, one.best, one.best_step) for one in everything(runs)] == [
        ("loss", 0.2, 2),
        ("mean_token_accuracy", 0.8, 2),
    ]
    assert "lowest" in table(runs).title
    assert details(runs).headers == ("of", "n", "first", "best", "last")


def test_a_run_that_measured_nothing_has_its_row(tmp_path: Path) -> None:
    runs = training_history.read_all([training_runs.folder(tmp_path / "a", [line(3, "train")])])
    assert table(runs).rows == (("a", "3", "3.0", "nothing measured", "-", "-", "-", "-"),)


# --- files


def test_one_run_gets_its_report_in_its_folder_with_the_figures_inside(tmp_path: Path) -> None:
    folder = training_runs.grpo(tmp_path / "run", steps=12)
    done = report([folder])
    names = ["reward.png", "operations.png", "housekeeping.png", "report.html"]
    assert done.paths == tuple(folder / name for name in names)
    html = (folder / "report.html").read_text()
    images = [attributes for tag, attributes in Tags(html).found if tag == "img"]
    assert [image["class"] for image in images] == ["light", "dark"] * 3
    for name, image in zip(names[:3], images[::2], strict=True):
        source = image["src"] or ""
        assert base64.b64decode(source.removeprefix("data:image/png;base64,")) == (folder / name).read_bytes()
    assert not list(folder.glob(".*"))
    before = {path: path.read_bytes() for path in done.paths}
    assert report([folder, folder / ".." / "run"]).paths == done.paths  # the same folder twice is one run
    assert {path: path.read_bytes() for path in done.paths} == before


def test_several_runs_get_one_report_and_pdf_by_option(tmp_path: Path) -> None:
    folders = [training_runs.grpo(tmp_path / part / "run", steps=6, seed=seed) for seed, part in enumerate("ab")]
    with pytest.raises(UsageError, match=r"several runs have one report: say with --out"):
        report(folders)
    done = report(folders, tmp_path / "new" / "both", pdf=True)
    assert sorted(path.suffix for path in done.paths) == [".html", *[".pdf"] * 3, *[".png"] * 3]
    assert [row[0] for row in done.table.rows] == ["a/run", "b/run", "mean of 2 runs"]
    assert [one.run for one in done.progress] == ["a/run", "b/run"]
    html = done.paths[-1].read_text()
    assert "Keys in which the recipes differ" in html
    assert re.search(r"<th>run</th><th>seed</th>", html)
    assert not (folders[0] / "report.html").exists()


def test_sft_has_no_operations(tmp_path: Path) -> None:
    done = report([training_runs.sft(tmp_path / "run", steps=12)])
    assert [path.name for path in done.paths] == ["reward.png", "housekeeping.png", "report.html"]


def test_the_report_says_what_the_run_was_made_with_and_lists_kept_rollouts(tmp_path: Path) -> None:
    folder = validated(tmp_path / "run", 0.5)
    begin = {"begin": "now", "atommem": "1.2.3", "python": "3.11.7", "packages": {"trl": "0.29"}, "commit": "a" * 40}
    sessions = [begin, {"end": "then"}, begin | {"dirty": True}]
    (folder / "sessions.jsonl").write_text("".join(json.dumps(one) + "\n" for one in sessions) + '{"beg')
    for step in (10, 20):
        rollout = folder / "rollouts" / f"step-{step:05}"
        rollout.mkdir(parents=True)
        (rollout / "episodes.jsonl").write_text("{}\n" * step)
    report([folder])
    html = (folder / "report.html").read_text()
    assert "<td>aaaaaaaaaaaa</td><td>atommem 1.2.3, python 3.11.7, trl 0.29</td>" in html
    assert "<td>aaaaaaaaaaaa with local changes</td>" in html
    assert '<td>step-00010</td><td class="number">10</td>' in html
    assert '<td>step-00020</td><td class="number">20</td>' in html
    assert "name: tiny\nseed: 42\n</pre>" in html
    assert '<td>run</td><td>tiny</td><td class="number">20</td><td class="number">1</td>' in html
    (folder / "recipe.yaml").write_text("name: [")
    report([folder])
    assert "<td>run</td><td>-</td>" in (folder / "report.html").read_text()


def test_values_that_could_not_be_used_are_named(tmp_path: Path) -> None:
    lines = [line(s, "train", reward=0.5, loss=float("nan")) for s in range(7)]
    report([training_runs.folder(tmp_path / "run", lines)])
    html = (tmp_path / "run" / "report.html").read_text()
    assert "run: 7 values could not be used" in html
    assert "loss at step 4, …" in html


# --- hostile text


def test_whatever_the_files_say_stays_text_and_nothing_is_fetched(tmp_path: Path) -> None:
    name = HOSTILE.replace("/", "\N{DIVISION SLASH}").encode("utf-8", "replace").decode()
    recipe = {"name": HOSTILE, HOSTILE: {"seed": HOSTILE}}
    lines = [line(s, k, **{f"rewards/{HOSTILE}/mean": 0.1 * s}) for s in (1, 2) for k in ("train", "validation")]
    folders = [
        training_runs.folder(tmp_path / name, lines, recipe=recipe),
        validated(tmp_path / "tame", 0.5),
    ]
    (folders[0] / "recipe.yaml").write_text(f"name: '{HOSTILE}'\n", "utf-8", "replace")
    session = {"begin": HOSTILE, "packages": {HOSTILE: HOSTILE}, "commit": HOSTILE, "atommem": [HOSTILE]}
    (folders[0] / "sessions.jsonl").write_text(json.dumps(session) + "\n[1]\n")
    rollout = folders[0] / "rollouts" / name
    rollout.mkdir(parents=True)
    (rollout / "episodes.jsonl").write_text("")
    for chosen, out in ((folders[:1], None), (folders, tmp_path / "out")):
        html = report(chosen, out).paths[-1].read_text()
        assert "&lt;script&gt;alert(1)" in html
        assert "{{ 7 * 7 }}" in html
        parsed = Tags(html)
        assert not parsed.open
        assert {tag for tag, _ in parsed.found}.isdisjoint({"script", "link", "iframe", "object", "base", "a"})
        for tag, attributes in parsed.found:
            assert not any(key.startswith("on") for key in attributes)
            if tag == "img":
                assert (attributes["src"] or "").startswith("data:image/png;base64,")
        assert "://" not in html
        assert "url(" not in html
        assert "default-src 'none'" in html


# --- errors


def sentence(*folders: Path, out: Path | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        report(folders, out)
    return str(caught.value)


def test_each_error_is_one_sentence(tmp_path: Path) -> None:
    good = training_runs.grpo(tmp_path / "good", steps=3)
    other = training_runs.sft(tmp_path / "other", steps=3)
    empty = training_runs.folder(tmp_path / "empty", [])
    evaluation = training_runs.folder(tmp_path / "evaluation", [], command="eval")
    (evaluation / "metrics.jsonl").unlink()
    assert sentence() == "a report needs the folder of at least one run"
    assert sentence(tmp_path / "none") == f"{tmp_path}/none: no such folder"
    assert sentence(evaluation) == f"{evaluation}: holds no training metrics (metrics.jsonl)"
    assert sentence(empty) == f"{empty}: holds no training metrics yet (metrics.jsonl is empty)"
    assert sentence(good, other, out=tmp_path) == (f"{good} is a run of grpo and {other} one of sft: report them apart")


@pytest.mark.parametrize(
    "damaged",
    ["{", "[]", "{}", "null", '{"step": true, "kind": "train"}', '{"step": 1.5}', '{"step": -1}', "\x00"],
)
def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path, damaged: str) -> None:
    folder = training_runs.grpo(tmp_path / "run", steps=3)
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], damaged, *lines[2:]]) + "\n")
    assert sentence(folder) == f"{path}: line 3 is damaged"


def test_lines_of_another_kind_are_passed_over(tmp_path: Path) -> None:
    lines = [line(1, "train", reward=1.0), line(2, "later", reward=5.0), {"step": 3, "kind": ["train"]}]
    (run,) = training_history.read_all([training_runs.folder(tmp_path / "run", lines)])
    assert run.steps == 1


def test_a_run_that_does_not_say_what_it_is_is_refused(tmp_path: Path) -> None:
    folder = training_runs.grpo(tmp_path / "run", steps=3)
    for content in ("[]", '{"command": "eval"}', '{"command": ["grpo"]}'):
        (folder / "run.json").write_text(content)
        with pytest.raises(SourceError, match=r"run\.json: names no command sft or grpo"):
            report([folder])
    (folder / "run.json").unlink()
    with pytest.raises(SourceError, match=r"run\.json: not there"):
        report([folder])


def test_a_place_that_cannot_be_written_is_an_error_of_its_own(tmp_path: Path) -> None:
    folder = validated(tmp_path / "run", 0.5)
    (tmp_path / "file").write_text("")
    with pytest.raises(BackendError, match=r"report\.html: cannot be written"):
        report([folder], tmp_path / "file")
