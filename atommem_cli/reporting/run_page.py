"""The report of evaluations as one HTML file: tables and figures over all episodes, and some of them step by step."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from atommem_cli.core.safe_text import visible
from atommem_cli.explain import cause_counts, memory_quality
from atommem_cli.replay.episode_view import by_id
from atommem_cli.reporting import episodes, run_tables, setup_tables, store_tables
from atommem_cli.reporting.run_statistics import Survey
from atommem_cli.reporting.run_tables import Result
from atommem_cli.reporting.themes import Theme
from atommem_cli.runs import replies
from atommem_cli.runs.labels import scorer
from atommem_cli.runs.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTIONS = {
    "missed": (
        "Why questions were missed",
        "From the gold supporting facts and the journal alone: a question counts under the first link of the chain "
        "that broke (shown, written, kept, retrieved, used).",
    ),
    "operations": (
        "Memory operations by position of the chunk",
        "Per episode that has a chunk there. Above the line those that took effect; below it, hatched, those that had "
        "none: nothing to change, no such entry, unreadable, out of budget. What an agent looks up before it first "
        "asks counts with the call before that.",
    ),
    "store": (
        "Entries in the store after each step",
        "Median over episodes, with a band from the first to the third quartile; drawn as long as a quarter of the "
        "episodes reach the step.",
    ),
    "documents": (
        "Score by size of the task",
        "Groups of equally many episodes where there are many sizes; bars are 95 % intervals clustered by task.",
    ),
    "cost": (
        "Score against what an episode took",
        "Bars are 95 % intervals clustered by task. Long tasks take more and may be harder, too: a slope is no effect "
        "of spending.",
    ),
}
"""Title and text of each figure of runs."""
_DIFFERENCES = (
    "Differences to the first run",
    "Of all questions, and by kind where there are few; 95 % intervals, filled where a difference is significant after "
    "Holm.",
)
_CURVE = "The values stand at equal distances; bars are 95 % intervals."


@dataclass(frozen=True, slots=True)
class Beside:
    """What runs say about each other, for a page that shows them side by side."""

    tables: Sequence[Table] = ()
    """Below the scores."""
    figures: Mapping[str, Callable[[Theme], Figure | None]] = field(default_factory=dict)
    """`differences`, and `curve-KEY` for each setting that varies."""


def caption(name: str) -> tuple[str, str]:
    """Title and text of a figure, of runs or of `Beside`."""
    if name.startswith("curve-"):
        return f"Score against {name.removeprefix('curve-')}", _CURVE
    return CAPTIONS.get(name, _DIFFERENCES)


_NUMBER = re.compile(r"(< )?[-+±]?\d[\d.,]*(e-\d+)?( ?%)?( [\[(][-+\d.,% ]+[\])])?( \d[\d,]*)?|-|")
"""A cell to be aligned at the right; an empty one and a dash are, too."""


@dataclass(frozen=True, slots=True)
class Shown(Table):
    """A table whose texts can be looked at, and the columns of it that are numbers."""

    numbers: frozenset[int] = frozenset()


def page(
    surveys: Sequence[Survey],
    results: Sequence[Result],
    images: Sequence[Mapping[str, Any]],
    extra: Sequence[Table] = (),
) -> str:
    """The page.

    Args:
        results: `summary.summarize` of each run.
        images: name, whether it is wide, and SVG in base64 as light and dark.
        extra: more tables, drawn beside the scores.

    Raises:
        SourceError: a file of a run is damaged.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    loader = PackageLoader("atommem_cli.reporting", "templates")
    rooms = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    labels = [survey.label for survey in surveys]
    made = setup_tables.made([(survey.label, survey.run.path, survey.run.identity) for survey in surveys])
    recipes = [survey.run.identity["recipe"] for survey in surveys]
    style = "\n".join(map(_template, ("tables.css", "run.css")))
    script = "\n".join(map(_template, ("run.js", "text.js", "find.js", "keys.js")))
    packed, left_out = episodes.pack([survey.cases for survey in surveys])
    kept = Counter(episode["run"] for episode in packed["episodes"])
    runs = [
        {
            "label": visible(one.label),
            "scorers": [visible(scorer(name, one.run.judge)) for name in one.scorers],
            **({"ids": True} if by_id(one.run) else {}),
        }
        for one in surveys
    ]
    return rooms.get_template("run.html").render(
        title=visible(labels[0] if len(surveys) == 1 else f"{len(surveys)} evaluations side by side"),
        unfinished=[_unfinished(survey) for survey in surveys if not survey.run.complete],
        cards=run_tables.cards(results[0]) if len(surveys) == 1 else [],
        scores=_shown(run_tables.narrow(run_tables.scores(labels, results))),
        extra=[_shown(table) for table in extra],
        ran=_shown(_ran(labels, results)),
        data_read=_shown(setup_tables.data([survey.run for survey in surveys])),
        made=_shown(made),
        differences=_shown(setup_tables.narrow(setup_tables.differing_keys(labels, recipes))),
        gaps=[
            visible(gap)
            for survey, result in zip(surveys, results, strict=True)
            for gap in (*survey.gaps, *(f"{survey.label}: {warning}." for warning in replies.warnings(result)))
        ],
        images=[{**image, **dict(zip(("title", "caption"), caption(image["name"]), strict=True))} for image in images],
        tables=[
            _shown(table) for table in (*run_tables.details(labels, results), *_stores(surveys, extra), *_why(surveys))
        ],
        recipes=[(survey.label, visible(survey.run.recipe.dump())) for survey in surveys],
        chosen=[
            *(_chosen(survey, kept[number], len(surveys) > 1) for number, survey in enumerate(surveys)),
            *_left_out(left_out),
        ],
        style=Markup(style),
        style_hash=_digest(style),
        script=Markup(script),
        script_hash=_digest(script),
        data=Markup(episodes.script_json({"runs": runs, "marks": episodes.marks(), **packed})),
    )


def _stores(surveys: Sequence[Survey], extra: Sequence[Table]) -> list[Table]:
    """How well stores were kept, and what that took, unless a comparison beside the scores has it."""
    found = store_tables.tables({survey.label: survey.stores for survey in surveys if survey.stores})
    there = {table.title for table in extra}
    return [table for table in found if table.title not in there]


def _why(surveys: Sequence[Survey]) -> list[Table]:
    """Causes of misses and hygiene of the memory, as far as they are known."""
    known = [survey for survey in surveys if survey.causes]
    if len(surveys) == 1:
        missed = known[0].causes if known else {}
    else:
        missed = {survey.label: survey.causes["all"] for survey in known}
    inspected = {survey.label: survey.hygiene for survey in surveys if survey.hygiene}
    return [
        *([cause_counts.table(missed, cause_counts.TITLE.capitalize())] if missed else []),
        *([memory_quality.table(inspected)] if inspected else []),
    ]


def _ran(labels: Sequence[str], results: Sequence[Result]) -> Table:
    """Who played what."""
    headers = ("run", "agent", "policy", "store", "embedder", "tasks", "chunks", "k", "seed", "episodes")
    rows = tuple(
        (
            label,
            ", ".join(value for key, value in result["agent"].items() if key != "prompts"),
            result["policy"]["name"],
            result["store"],
            result["embedder"]["name"],
            result["setting"]["task"],
            result["setting"]["chunk"],
            str(result["setting"]["retrieve_k"]),
            str(result["setting"]["seed"]),
            f"{result['evaluated']:,}",
        )
        for label, result in zip(labels, results, strict=True)
    )
    return Table("What was run", headers, rows)


def _unfinished(survey: Survey) -> str:
    return visible(f"{survey.label}: unfinished: {len(survey.plays):,} of {survey.run.planned:,} episodes")


def _chosen(survey: Survey, count: int, several: bool) -> str:
    all_of = len(survey.plays)
    of = f"{survey.label}: " if several else ""
    if count == all_of:
        return visible(f"{of}all {count:,} episodes." if count > 1 else f"{of}the one episode.")
    return visible(
        f"{of}{count:,} of {all_of:,} episodes, missed and right ones in proportion, picked by the hash of their names."
    )


def _left_out(what: Sequence[str]) -> list[str]:
    return (
        [f"Left out to keep the page small: {' and '.join(what)}. Fewer episodes leave room for them."] if what else []
    )


def _shown(table: Table) -> Shown:
    rows = tuple(tuple(map(visible, row)) for row in table.rows)
    numbers = [i for i in range(1, len(table.headers)) if all(_NUMBER.fullmatch(row[i]) for row in rows)]
    return Shown(visible(table.title), tuple(map(visible, table.headers)), rows, frozenset(numbers))


def _template(name: str) -> str:
    return files("atommem_cli.reporting").joinpath("templates", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """How a Content-Security-Policy names an inline element."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
