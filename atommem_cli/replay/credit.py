"""The price of every operation of a finished run (`operation_prices`): a line each, and a table by kind.

Everything but the answer stage is the run's own; the policy of its recipe is asked where a question is shown something
else. `credit.jsonl` is all that is written into the run folder; prices by other scorers stay in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, cast

from atommem_cli.core.errors import UsageError
from atommem_cli.core.files import whole_lines, write_whole
from atommem_cli.core.types import OpKind, Progress
from atommem_cli.replay import checks, replay
from atommem_cli.replay.answer_stage import Stage
from atommem_cli.replay.operation_prices import Prices, prices
from atommem_cli.replay.whatif import insist_same
from atommem_cli.running import gold
from atommem_cli.running.build import Parts, assemble
from atommem_cli.runs.layout import CREDIT, Line
from atommem_cli.runs.reader import Run
from atommem_cli.runs.tables import Table
from atommem_cli.scoring import metrics, rewards
from atommem_cli.scoring.reward import Pair

if TYPE_CHECKING:
    from atommem_cli.policies import hf

_AT_ONCE = 64
"""Episodes whose operations are priced together."""


@dataclass(slots=True)
class Credit:
    """What the operations of a run were worth."""

    run: str
    scorer: str
    prices: dict[str, list[float | None]] = field(default_factory=dict)
    """By kind of operation; None is not known."""
    episodes: int = 0
    calls: int = 0
    """Of the policy, made anew."""
    apart: int = 0
    """Episodes whose questions cannot be asked apart from what was read: their operations have no price."""
    extent: str = ""
    """How far an unfinished run is (`Run.extent`)."""


def credit(run: Run, scorer: str | None = None, progress: Progress | None = None) -> Credit:
    """Price every operation of the episodes that came to an end, and write `credit.jsonl`.

    Args:
        scorer: what an episode is worth; None is the run's leading one, the judge apart. `likelihood` is no scorer but
            the mean log-likelihood of the gold answers (`running.gold`): replies stand then, and nothing is asked
            again.
        progress: called with episodes done, planned, and a remark.

    Raises:
        UsageError: there is no such scorer, the policy does not say likelihoods, or the run has no episode yet.
        RunMismatch: tasks, program, embedder or policy are not those of the run any more, or another process works on
            it.
        SourceError: `credit.jsonl` is damaged.
        BackendError: a part does not serve.
    """
    run.insist_begun(ended=True)
    for finding in checks.identity(run):
        raise UsageError(f"{run.path}: this is not the run as it was played: {finding}")
    found = Credit(run.name, _scorer(run, scorer), extent=run.extent)
    with run.held():
        path = run.path / CREDIT
        others = [line for _, line in whole_lines(path) if line["scorer"] != found.scorer] if path.exists() else []
        lines = [*others, *_all(run, found, progress)]
        write_whole(path, "".join(json.dumps(line) + "\n" for line in lines))
    return found


def _all(run: Run, found: Credit, progress: Progress | None) -> list[Line]:
    """The lines of all episodes; what they say together goes into `found`."""
    lines: list[Line] = []
    policy = run.recipe.build("policy")
    insist_same(run, "policy", policy.describe())
    if found.scorer == rewards.LIKELIHOOD and not hasattr(policy, "likelihoods"):
        raise UsageError(f"{run.path}: its policy {run.recipe.policy.name} does not say how likely a reply is; hf does")
    with closing(assemble(run.recipe.changed(["store.name=exact"]), playing=policy)) as parts:
        insist_same(run, "embedder", parts.vectors.describe())
        for pairs in _batches(run):
            priced = _priced(parts, pairs, found.scorer)
            lines += _lines(pairs, priced, found.scorer)
            found.episodes += len(pairs)
            found.calls += priced.calls
            found.apart += priced.apart
            if progress:
                progress(found.episodes, run.planned, "")
    for line in lines:
        found.prices.setdefault(line["kind"], []).append(line["price"])
    return lines


def _scorer(run: Run, given: str | None) -> str:
    known = [name for name in run.scorers if name in metrics.SCORERS]
    name = given or next(iter(known), "em")
    if name not in (*metrics.SCORERS, rewards.LIKELIHOOD):
        there = ", ".join((*known, rewards.LIKELIHOOD))
        raise UsageError(f"--scorer {name}: no scorer of that name that needs no judge (there are: {there})")
    return name


def _batches(run: Run) -> Iterator[list[Pair]]:
    played = replay.play(run)
    while pairs := list(islice(played, _AT_ONCE)):
        yield pairs


def _priced(parts: Parts, pairs: Sequence[Pair], scorer: str) -> Prices:
    if scorer == rewards.LIKELIHOOD:
        return prices(
            parts, pairs, gold.value(parts.agent, cast("hf.HuggingFace", parts.policy).likelihoods), held=True
        )
    return prices(parts, pairs, rewards.of(scorer))


def _lines(pairs: Sequence[Pair], priced: Prices, scorer: str) -> Iterator[Line]:
    for (task, trajectory), ops in zip(pairs, priced.episodes, strict=True):
        stage = Stage(task, trajectory)
        numbers = {place: number for number, place in enumerate(stage.operations, start=1)}
        for one in ops:
            yield {
                "episode": trajectory.episode,
                "step": one.place.step,
                "operation": numbers[one.place],
                "kind": one.kind,
                "entry": stage.operations[one.place].entry,
                "scorer": scorer,
                "price": one.price,
            }


def table(found: Credit) -> Table:
    """By kind of operation: how many have a price, and what it is."""
    rows = []
    for kind in (kind for kind in OpKind if kind in found.prices):
        every = found.prices[kind]
        known = [price for price in every if price is not None]
        mean = f"{sum(known) / len(known):+.3f}" if known else ""
        signs = [
            sum(price > 0 for price in known),
            sum(price == 0 for price in known),
            sum(price < 0 for price in known),
        ]
        unknown = f"{len(every) - len(known)} ({1 - len(known) / len(every):.0%})"
        rows.append((str(kind), str(len(every)), str(len(known)), unknown, mean, " / ".join(map(str, signs))))
    title = (
        f"{found.run}{found.extent}: what operations were worth, {found.scorer} with one minus {found.scorer} "
        f"without it; {found.episodes} episodes, {found.calls} model calls"
    )
    if found.apart:
        title += f"; in {found.apart} episodes no question can be asked apart from what was read, so nothing is known"
        title += " (`atommem what-if RUN --episode ID --leave-one-out` plays one of them again)"
    headers = ("operation", "took effect", "priced", "not known", "mean price", "helped / nothing / harmed")
    return Table(title, headers, tuple(rows))
