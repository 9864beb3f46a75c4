"""Comparisons: the simulations behind the tables of `paired`, with more replicates than the tests have.

Run: OMP_NUM_THREADS=1 python tests/bench/bench_statistics.py    (about 4 minutes)
"""

from __future__ import annotations

import sys
import time
from math import sqrt
from pathlib import Path

import numpy as np
from scipy.special import stdtrit

from atommem_cli.compare.paired import paired
from atommem_cli.core.types import Answer, Question
from atommem_cli.scoring.metrics import SCORERS

sys.path.insert(0, str(Path(__file__).parents[1] / "compare"))
from test_paired import Run, drawn, family_errors, rejected, stated

REPLICATES = 2000
"""Monte Carlo error of a share of 95 %: 0.5 %; of 80 %: 0.9 %."""
COLUMNS = [(1, 0.0), (10, 0.0), (10, 0.3), (10, 0.7)]
"""Most questions per task, correlation within a task."""


def main() -> None:
    scoring()
    speed()
    holm()
    power()
    coverage()


def scoring() -> None:
    """Goal: 100,000 answers a second get em and f1, on a core of one's own."""
    said = (Answer(f"It was the {i}th President, John F. Kennedy.") for i in range(20_000))
    cases = [(answer, Question("", "", (f"{i} Kennedy",))) for i, answer in enumerate(said)]
    started = time.process_time()
    for answer, question in cases:
        SCORERS["em"](answer, question)
        SCORERS["f1"](answer, question)
    print(f"em and f1 of {len(cases) / (time.process_time() - started):,.0f} answers a CPU second")


def coverage() -> None:
    """Goal: 93 to 97 %. In brackets the plain t interval with the same clusters."""
    print("tasks  differ  delta   single         r = 0          r = 0.3        r = 0.7")
    for tasks in (20, 50, 200, 1000):
        for differ, delta in ((0.05, 0), (0.05, 0.02), (0.1, 0.02), (0.1, 0.1), (0.3, 0), (0.3, 0.1), (0.6, 0.3)):
            replicates = REPLICATES if tasks < 1000 else REPLICATES // 4
            print(f"{tasks:5}  {differ:6.2f}  {delta:5.2f}", end="", flush=True)
            for most, correlation in COLUMNS:
                ours = theirs = 0
                for arm, base in drawn(replicates, tasks, differ, delta, correlation, most):
                    found = paired(arm, base)
                    ours += found.low - 1e-12 <= delta <= found.high + 1e-12
                    theirs += abs(found.delta - delta) <= _plain(arm, base) + 1e-12
                print(f"   {_percent(ours / replicates)} ({_percent(theirs / replicates)})", end="", flush=True)
            print()


def power() -> None:
    """Goals: p <= 5 % in at most 5 % of runs without a difference; 75 to 85 % found at the visible one."""
    print("tasks  differ   visible, % found there, % found at 0: single, r = 0, r = 0.3, r = 0.7")
    for tasks in (12, 20, 50, 200):
        for differ in (0.02, 0.05, 0.1, 0.3, 0.5):
            print(f"{tasks:5}  {differ:6.2f}", end="", flush=True)
            for most, correlation in COLUMNS:
                delta = stated(300, tasks, differ, correlation, most)
                hits = rejected(REPLICATES // 2, tasks, max(differ, delta), delta, correlation, most)
                errors = rejected(REPLICATES // 2, tasks, differ, 0, correlation, most)
                print(f"   {delta:.3f} {_percent(hits)} {100 * errors:3.1f}", end="", flush=True)
            print()


def holm() -> None:
    """Goal: 5 %."""
    for arms in (2, 5, 20):
        print(f"{arms} arms against one base, none different: family error {100 * family_errors(300, arms, 50):.1f} %")


def speed() -> None:
    rng = np.random.default_rng(0)
    for tasks, name in ((200, "0/1"), (10_000, "0/1"), (1000, "F1"), (10_000, "F1")):
        scores = rng.random((2, tasks, 10))
        arm, base = (scores.round() if name == "0/1" else scores).tolist()
        start = time.perf_counter()
        paired(arm, base)
        print(f"{tasks} tasks of 10 questions, {name}: {time.perf_counter() - start:.3f} s")


def _plain(arm: Run, base: Run) -> float:
    """Half the width of mean +- t sqrt(V)."""
    sums = np.array([sum(mine) - sum(other) for mine, other in zip(arm, base, strict=True)])
    sizes = np.array([len(task) for task in arm])
    squares = ((sums - sizes * sums.sum() / sizes.sum()) ** 2).sum() * len(arm) / (len(arm) - 1)
    return float(stdtrit(len(arm) - 1, 0.975)) * sqrt(squares) / int(sizes.sum())


def _percent(share: float) -> str:
    return f"{100 * share:4.1f}" if share < 0.9995 else "100 "


if __name__ == "__main__":
    main()
