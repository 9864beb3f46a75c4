"""Compared runs by every scorer: does their order survive?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from statistics import fmean

from atommem_cli.compare.comparison import other_judges, rescore
from atommem_cli.runs.judges import Judge
from atommem_cli.runs.reader import Run, by_task
from atommem_cli.scoring import llm_judge, metrics, staleness


@dataclass(frozen=True, slots=True)
class Panel:
    """Does the order of the runs survive another scorer?"""

    labels: tuple[str, ...]
    means: Mapping[str, tuple[float, ...]]
    """Per scorer, one mean per run; nan where it is 0 whatever is answered."""
    taus: Mapping[str, float]
    """Kendall's tau-b of each scorer's order with the leading scorer's; nan where all runs tie."""
    leading: str
    never: Mapping[str, str] = field(default_factory=dict)
    """Of which scorers a mean is nan, and why."""
    judge: Judge | None = None
    """Who judged all runs, where a judge is among the scorers."""
    judges: str = ""
    """Why none is, where all runs were judged."""

    @property
    def swaps(self) -> list[tuple[str, str, str]]:
        """Scorer, and two runs that it puts the other way round than the leading one."""
        found = []
        lead = self.means[self.leading]
        for scorer, mine in self.means.items():
            for a in range(len(mine)):
                for b in range(a + 1, len(mine)):
                    if (lead[a] - lead[b]) * (mine[a] - mine[b]) < 0:
                        first, second = (a, b) if lead[a] > lead[b] else (b, a)
                        found.append((scorer, self.labels[first], self.labels[second]))
        return found


def panel(runs: Sequence[Run], names: Sequence[str], leading: str) -> Panel:
    """Score every answer again with every scorer, `stale` where it was asked for; one judge counts where all runs have
    its verdicts."""
    from scipy.stats import kendalltau

    means: dict[str, tuple[float, ...]] = {}
    told = leading == staleness.NAME or all(staleness.NAME in run.scorers for run in runs)
    published = [name for name in metrics.SCORERS if told or name != staleness.NAME]
    rescored = [rescore(run, published) for run in runs]
    nevers = [metrics.never(run.identity["agent"]) for run in runs]
    for scorer in published:
        means[scorer] = tuple(
            nan if scorer in never else fmean(score for task in one[scorer].values() for score in task)
            for one, never in zip(rescored, nevers, strict=True)
        )
    whole = all(llm_judge.NAME in run.scorers for run in runs)
    others = other_judges(runs) if whole else ""
    if whole and not others:
        judged = [by_task(run, llm_judge.NAME) for run in runs]
        means[llm_judge.NAME] = tuple(fmean(score for task in one.values() for score in task) for one in judged)
    taus = {name: float(kendalltau(means[leading], each).statistic) for name, each in means.items()}
    never = {name: why for one in nevers for name, why in one.items()}
    judge = runs[0].judge if llm_judge.NAME in means else None
    return Panel(tuple(names), means, taus, leading, never, judge, others)
