"""The curves: what is drawn, from which numbers, and that the same numbers give the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import training_runs
from hypothesis import given
from hypothesis import strategies as st

from atommem_cli.core.types import OpKind, Outcome
from atommem_cli.reporting import training_figures, training_history
from atommem_cli.reporting.training_history import TRAIN, VALIDATION, Series

NUMBERS = st.floats(-1e6, 1e6)


def drawn(axes: Any) -> list[Any]:
    """Lines that have points."""
    return [line for line in axes.get_lines() if len(line.get_xdata())]


def texts(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def one(folder: Path) -> list[training_history.History]:
    return training_history.read_all([folder])


def train(step: int, **metrics: Any) -> dict[str, Any]:
    return {"step": step, "kind": "train", "seconds": float(step), **metrics}


# --- reading and smoothing


@given(st.floats(-10, 10), st.floats(-100, 100), st.sets(st.integers(0, 500), min_size=1, max_size=40))
def test_smoothing_keeps_a_straight_line_up_to_its_ends(slope: float, level: float, steps: set[int]) -> None:
    at = tuple(sorted(steps))
    if len(at) > 1 and max(np.diff(at)) > 4:
        at = tuple(range(len(at)))
    if len(at) == 2:
        return  # two points are averaged: no line is told from noise
    line = Series(at, tuple(level + slope * step for step in at))
    assert training_history.smooth(line, 5.0).values == pytest.approx(line.values, abs=1e-6)


@given(st.lists(NUMBERS, max_size=60), st.floats(1, 30))
def test_smoothing_stays_within_the_values(values: list[float], width: float) -> None:
    smoothed = training_history.smooth(Series(tuple(range(len(values))), tuple(values)), width)
    assert smoothed.steps == tuple(range(len(values)))
    assert all(min(values) <= value <= max(values) for value in smoothed.values)


def test_smoothing_equals_weighted_least_squares() -> None:
    rng = np.random.default_rng(1)
    steps, values = np.arange(0, 90, 3), rng.normal(size=30)
    smoothed = training_history.smooth(Series(tuple(map(int, steps)), tuple(map(float, values))), 100.0)
    for step, value in zip(steps, smoothed.values, strict=True):
        weights = np.exp(-(((steps - step) / (100.0 + abs(step - 43.5) / 3)) ** 2) / 2)
        fitted = np.polyfit(steps, values, 1, w=np.sqrt(weights))
        assert value == pytest.approx(np.polyval(fitted, step), abs=1e-9)


def test_smoothing_of_noise_has_far_less_of_it_and_does_not_reach_far() -> None:
    noise = np.random.default_rng(2).normal(size=(200, 100))
    smoothed = np.array(
        [training_history.smooth(Series(tuple(range(100)), tuple(map(float, one))), 10.0).values for one in noise]
    )
    assert np.std(smoothed[:, 50]) < 0.25
    assert np.std(smoothed[:, [0, 99]]) < 0.4
    spike = training_history.smooth(Series(tuple(range(100)), tuple(float(i == 50) for i in range(100))), 2.0)
    assert [i for i, value in enumerate(spike.values) if value] == list(range(44, 57))


def test_the_mean_is_taken_where_all_runs_have_measured() -> None:
    assert training_history.mean([Series((1, 2, 3), (1.0, 2.0, 3.0)), Series((2, 3, 4), (4.0, 6.0, 9.0))]) == Series(
        (2, 3), (3.0, 4.5)
    )
    assert training_history.mean([Series((1,), (1.0,)), Series()]) == Series()


def test_attempts_sum_outcomes_and_count_what_is_not_named_as_none(tmp_path: Path) -> None:
    lines = [
        train(1, **{"ops/read/ok": 0.5, "ops/read/noop": 0.25, "ops/create/ok": 2}),
        train(2, **{"ops/create/ok": 3}),
        train(3, reward=1.0),
    ]
    (run,) = one(training_runs.folder(tmp_path / "run", lines))
    assert run.attempts(TRAIN, OpKind.READ) == Series((1, 2), (0.75, 0.0))
    assert run.attempts(TRAIN, OpKind.READ, (Outcome.OK,)) == Series((1, 2), (0.5, 0.0))
    assert run.attempts(TRAIN, OpKind.CREATE) == Series((1, 2), (2.0, 3.0))


def test_what_is_no_finite_number_is_named_and_not_drawn(tmp_path: Path) -> None:
    lines = [
        train(1, reward=0.5, loss=float("nan")),
        train(2, reward=float("inf"), loss=1, remark="text", done=True, grad_norm=None, entropy=[1]),
        train(3, reward=1e300, loss=10**400),
    ]
    (run,) = one(training_runs.folder(tmp_path / "run", lines))
    assert run.series(TRAIN, "reward") == Series((1,), (0.5,))
    assert run.unusable == ("loss at step 1", "reward at step 2", "reward at step 3", "loss at step 3")
    assert run.series(TRAIN, "remark") == run.series(TRAIN, "done") == run.series(TRAIN, "entropy") == Series()
    assert run.seconds == 3.0


def test_a_line_that_is_still_being_written_is_left_out_and_nothing_is_changed(tmp_path: Path) -> None:
    folder = training_runs.folder(tmp_path / "run", [train(1, reward=0.5), train(2, reward=0.6)])
    path = folder / "metrics.jsonl"
    for torn in (b'{"step": 3, "ki', b'{"step": 3, "kind": "train", "reward": 1}', b"\xff\x00"):
        whole = path.read_bytes()
        path.write_bytes(whole + torn)
        assert one(folder)[0].series(TRAIN, "reward") == Series((1, 2), (0.5, 0.6))
        assert path.read_bytes() == whole + torn
        path.write_bytes(whole)


# --- figures


def test_reward_has_its_parts_below_training_faint_and_smoothed_and_validation_as_points(tmp_path: Path) -> None:
    runs = one(training_runs.grpo(tmp_path / "run", steps=30))
    figure = training_figures.reward(runs)
    assert figure is not None
    assert [axes.get_ylabel() for axes in figure.axes] == ["reward [mean]", "em [mean]", "format [mean]"]
    raw, smoothed, points = drawn(figure.axes[0])
    series = runs[0].series(TRAIN, "reward")
    assert tuple(raw.get_ydata()) == series.values
    assert tuple(smoothed.get_ydata()) == training_history.smooth(series, training_history.width(runs)).values
    assert tuple(points.get_xdata()) == (0, 10, 20, 30)
    assert tuple(points.get_ydata()) == runs[0].series(VALIDATION, "reward").values
    assert texts(figure) == ["one training step", "smoothed", "validation"]
    title = "Reward · run\nn = 30 training steps, 4 validations (smoothed: σ = 1 steps)"
    assert figure.get_suptitle() == title
    assert {axes.get_xlabel() for axes in figure.axes} == {"training step"}


def test_one_named_reward_is_the_reward_and_gets_no_panel_of_its_own(tmp_path: Path) -> None:
    lines = [train(s, **{"reward": 0.1 * s, "rewards/em/mean": 0.1 * s}) for s in range(1, 5)]
    figure = training_figures.reward(one(training_runs.folder(tmp_path / "a", lines)))
    assert figure is not None
    assert [axes.get_ylabel() for axes in figure.axes] == ["reward [mean]"]
    for line in lines:
        del line["reward"]
    figure = training_figures.reward(one(training_runs.folder(tmp_path / "b", lines)))
    assert figure is not None
    assert [axes.get_ylabel() for axes in figure.axes] == ["em [mean]"]


def test_sft_shows_loss_and_token_accuracy(tmp_path: Path) -> None:
    runs = one(training_runs.sft(tmp_path / "run"))
    figure = training_figures.reward(runs)
    assert figure is not None
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss [nats per token]", "token accuracy [share]"]
    assert [len(drawn(axes)) for axes in figure.axes] == [3, 3]
    assert training_figures.operations(runs) is None
    rest = training_figures.housekeeping(runs)
    assert rest is not None
    assert [axes.get_title("left") for axes in rest.axes] == [
        "Entropy", "Gradient norm", "Learning rate", "Tokens seen",
    ]  # fmt: skip


def test_operations_show_what_was_tried_and_what_took_effect(tmp_path: Path) -> None:
    runs = one(training_runs.grpo(tmp_path / "run", steps=30))
    figure = training_figures.operations(runs)
    assert figure is not None
    titles = ["Create", "Read", "Update", "Delete", "Scratchpad", "No effect"]
    assert [axes.get_title("left") for axes in figure.axes] == titles
    tried, done, smooth_tried, smooth_done = drawn(figure.axes[2])
    assert tuple(tried.get_ydata()) == runs[0].attempts(TRAIN, OpKind.UPDATE).values
    assert tuple(done.get_ydata()) == runs[0].attempts(TRAIN, OpKind.UPDATE, (Outcome.OK,)).values
    assert all(a >= b for a, b in zip(smooth_tried.get_ydata(), smooth_done.get_ydata(), strict=True))
    assert all(axes.get_ylim()[0] == 0 for axes in figure.axes)
    legend = figure.axes[5].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "noop", "invalid target", "stale target", "malformed", "over budget",
    ]  # fmt: skip
    stale = next(line for line in figure.axes[5].get_lines() if line.get_label() == "stale target")
    raw = runs[0].attempts(TRAIN, OpKind.DELETE, (Outcome.STALE_TARGET,))
    assert tuple(stale.get_ydata()) == training_history.smooth(raw, training_history.width(runs)).values


def test_the_scratchpad_and_failures_get_a_panel_only_if_they_occur(tmp_path: Path) -> None:
    lines = [train(s, **{"ops/create/ok": 1.0, "ops/scratchpad/ok": 0.0}) for s in (1, 2)]
    figure = training_figures.operations(one(training_runs.folder(tmp_path / "run", lines)))
    assert figure is not None
    assert [axes.get_title("left") for axes in figure.axes] == ["Create", "Read", "Update", "Delete"]
    assert figure.axes[3].get_ylim() == (0, 1)


def test_housekeeping_has_a_panel_for_everything_measured_and_stacks_time(tmp_path: Path) -> None:
    runs = one(training_runs.grpo(tmp_path / "run", steps=30))
    figure = training_figures.housekeeping(runs)
    assert figure is not None
    # all but the tokens that sft counts, and time
    assert len(figure.axes) == len(training_figures.HOUSEKEEPING) - 1 + 1
    assert all(axes.get_ylabel() for axes in figure.axes)
    areas = figure.axes[-1].collections
    assert [area.get_label() for area in areas] == ["generate", "environment", "train"]
    top = areas[-1].get_paths()[0].vertices[:, 1].max()
    parts = [runs[0].series(TRAIN, metric).values for metric in training_figures.TIME]
    assert top == pytest.approx(max(map(sum, zip(*parts, strict=True))))


def test_several_runs_have_a_colour_each_and_their_mean(tmp_path: Path) -> None:
    runs = training_history.read_all([training_runs.grpo(tmp_path / f"seed{i}", steps=20, seed=i) for i in range(9)])
    figure = training_figures.reward(runs)
    assert figure is not None
    lines = drawn(figure.axes[0])
    assert len(lines) == 9 + 1 + 9 + 1  # smoothed, mean, validations, their mean
    assert len({(line.get_color(), line.get_linestyle()) for line in lines[:9]}) == 9
    values = [run.series(TRAIN, "reward").values for run in runs]
    means = Series(tuple(range(1, 21)), tuple(map(float, np.mean(values, axis=0))))
    assert lines[9].get_ydata() == pytest.approx(training_history.smooth(means, training_history.width(runs)).values)
    assert texts(figure)[:9] == [f"seed{i}" for i in range(9)]
    assert figure.get_suptitle().startswith("Reward · 9 runs of grpo\nn = 20 training steps, 3 validations per run")
    for draw in (training_figures.operations, training_figures.housekeeping):
        assert draw(runs) is not None


def test_runs_without_a_common_step_and_runs_of_one_step_are_drawn(tmp_path: Path) -> None:
    many = {"ops/create/ok": 1.0, "time/train": 2.0, "batch/padding": 0.1, "entropy": 0.5, "reward": 0.5}
    single = training_runs.folder(tmp_path / "single", [train(1, **many)])
    later = training_runs.folder(tmp_path / "later", [train(7, **many)])
    for folders in ([single], [single, later]):
        runs = training_history.read_all(folders)
        for draw in (training_figures.reward, training_figures.operations, training_figures.housekeeping):
            figure = draw(runs)
            assert figure is not None
            assert training_figures.save(figure).startswith(b"\x89PNG")


def test_nothing_measured_is_no_figure(tmp_path: Path) -> None:
    runs = one(training_runs.folder(tmp_path / "run", [train(1)]))
    assert (
        training_figures.reward(runs)
        is training_figures.operations(runs)
        is training_figures.housekeeping(runs)
        is None
    )


@pytest.mark.parametrize("name", ["$x^$", "_hidden", "%s {x} \\frac{", "$\\undefined$ & <b>", "x" * 200])
def test_a_name_is_shown_as_it_is(tmp_path: Path, name: str) -> None:
    folders = [training_runs.grpo(tmp_path / name, steps=3), training_runs.grpo(tmp_path / "other", steps=3)]
    metrics = folders[0] / "metrics.jsonl"
    metrics.write_text(metrics.read_text().replace("rewards/format", json.dumps(f"rewards/{name}")[1:-1]))
    for chosen in (folders[:1], folders):
        figure = training_figures.reward(training_history.read_all(chosen))
        assert figure is not None
        assert training_figures.save(figure).startswith(b"\x89PNG")
    shown = name if len(name) <= 60 else f"{'x' * 36} … {'x' * 20}"
    assert shown in [text.strip() if name.startswith("_") else text for text in texts(figure)]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_same_metrics_give_the_same_bytes_whatever_the_users_settings(tmp_path: Path, theme: Any) -> None:
    runs = one(training_runs.grpo(tmp_path / "run", steps=12))
    saved = []
    for size in (10, 30):
        with mpl.rc_context({"font.size": size, "axes.facecolor": "red"}):
            figure = training_figures.operations(runs, theme)
            assert figure is not None
            saved.append((training_figures.save(figure, "png", theme), training_figures.save(figure, "pdf", theme)))
            assert mpl.rcParams["font.size"] == size
    assert saved[0] == saved[1]
    assert b"matplotlib" not in saved[0][0]
    assert b"Date" not in saved[0][1]
