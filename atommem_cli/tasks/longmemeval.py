"""LongMemEval (Wu et al. 2025): what a user told an assistant in dated sessions, one history and one question a task.

Records as in xiaowu0162/LongMemEval README.md. Sessions are read in the order of their dates; the question comes with
its own. The turns with `has_answer` are its gold facts; of knowledge updates, those of the last session that has one:
what was true before need not be kept. Where the id of a question has `_abs`, nothing tells it: saying so is right,
`answer` is the explanation that a judge gets, and there are no gold facts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

from pydantic import field_validator

from atommem_cli.core.errors import UsageError
from atommem_cli.core.types import Question
from atommem_cli.data.files import Plan, Request
from atommem_cli.scoring.abstention import SAYING_SO
from atommem_cli.tasks import _conversations, _dates, _published
from atommem_cli.tasks._conversations import OTHER_KIND, Session
from atommem_cli.tasks._foreign import recognised
from atommem_cli.tasks._own import Told
from atommem_cli.tasks._published import Published
from atommem_cli.tasks._schema import Mismatch, conform

NAME = "longmemeval"
HUB = "xiaowu0162/longmemeval-cleaned"
"""The authors' own, since September 2025 in place of xiaowu0162/longmemeval: without sessions that interfere."""
FILES = {"s": "longmemeval_s_cleaned.json", "m": "longmemeval_m_cleaned.json", "oracle": "longmemeval_oracle.json"}
UPDATE = "knowledge-update"
_SCHEMA: Mapping[str, Any] = {
    "question_id": str,
    "question_type": str,
    "question": str,
    "answer": str,
    "haystack_sessions": [[{"role": str, "content": str}]],
}
_DATE = re.compile(r"\d{4}([/-])\d\d\1\d\d( \((Mon|Tue|Wed|Thu|Fri|Sat|Sun)\))?( \d\d:\d\d(:\d\d)?)?")
"""As data/custom_history/sample_haystack_and_timestamp.py writes them; they have the order of their texts."""


class Options(_conversations.Options):
    """What a recipe may set."""

    kinds: tuple[
        Literal[
            "single-session-user",
            "single-session-assistant",
            "single-session-preference",
            "multi-session",
            "temporal-reasoning",
            "knowledge-update",
            "abstention",
        ],
        ...,
    ] = ()
    """Questions of these types alone; empty: all. Abstention questions are of a type each, and `abstention` is all of
    them."""
    hub: Literal["s", "m", "oracle"] = "s"
    """Which of the hub's files, where there is no --source: about 40 sessions a question (s, 0.3 GB), about 500 (m,
    2.7 GB), or those with the answer alone (oracle)."""

    _one_kind = field_validator("kinds", mode="before")(_conversations.listed)


def _told(raw: Any, number: int, options: Any, seed: int) -> Told:
    if not isinstance(raw, Mapping):
        raise Mismatch("the records are not JSON objects")
    if (of_others := recognised(raw, NAME)) is not None:
        raise Mismatch(of_others)
    row = conform(raw, _SCHEMA)
    name, kind = row["question_id"], row["question_type"]
    nothing = "_abs" in name
    kinds = options.kinds
    if kinds and kind not in kinds and not (nothing and "abstention" in kinds):
        return Told((), (), (OTHER_KIND,))
    dates = _dates_of(raw, len(row["haystack_sessions"]))
    order = sorted(range(len(dates)), key=lambda at: dates[at].replace("-", "/")) if all(dates) else range(len(dates))
    turns = [tuple(f"{turn['role']}: {turn['content'].strip()}" for turn in one) for one in row["haystack_sessions"]]
    text = _conversations.written([Session(dates[at], turns[at]) for at in order], options.documents)
    marked = [
        (place, at)
        for place, session in enumerate(order)
        for at, turn in enumerate(raw["haystack_sessions"][session])
        if turn.get("has_answer") is True
    ]
    last = max((place for place, _ in marked), default=0) if kind == UPDATE else 0
    facts = tuple(text.places[each] for each in marked if each[0] >= last)
    if not text.documents:
        raise Mismatch("the field haystack_sessions has no session in which something is said")
    asked, date = row["question"].strip(), _date(raw.get("question_date") or "", "question_date")
    if asked and date:
        asked += f" (asked on {date})"
    if nothing:
        question = Question(name, asked, SAYING_SO, kind=kind, unanswerable=True, explanation=row["answer"].strip())
        return Told(text.documents, (question,))
    found = {order[place] for place, _ in marked}
    return Told(
        text.documents,
        (Question(name, asked, (row["answer"].strip(),), facts, kind=kind),),
        lost=len(_evidence(raw) - found),
    )


def _dates_of(raw: Mapping[str, Any], sessions: int) -> list[str]:
    dates: list[str] = conform(raw.get("haystack_dates") or [""] * sessions, [str], "haystack_dates")
    if len(dates) != sessions:
        raise Mismatch(f"the field haystack_dates has {len(dates)} dates for {sessions} sessions")
    return [_date(date, "haystack_dates[]") for date in dates]


def _date(raw: Any, name: str) -> str:
    said = _dates.insist(conform(raw, str, name), name)
    if said and not _DATE.fullmatch(said):
        raise Mismatch(f"the field {name} is {said!r}: dates are written as 2023/05/20 (Sat) 02:21, or are left out")
    return said


def _evidence(raw: Mapping[str, Any]) -> set[int]:
    """The sessions that are said to have the answer."""
    wanted: Sequence[Any] = raw.get("answer_session_ids") or ()
    return {at for at, name in enumerate(raw.get("haystack_session_ids") or ()) if name in wanted}


def _hub(options: Options, split: str) -> tuple[str, str]:
    if split == "train":
        raise UsageError(f"{NAME}: validation alone is on the hub; give a file with --source")
    return HUB, FILES[options.hub]


ORIGINALS = tuple(f"longmemeval_{name}" for name in ("s", "s_cleaned", "m", "m_cleaned", "oracle"))
PUBLISHED = Published(NAME, "MIT", _hub, Options(), _told, local=partial(_conversations.local, ORIGINALS))
inputs = partial(_published.inputs, PUBLISHED)


def splits(source: str | None) -> tuple[str, ...]:
    """Those that are prepared where none is named."""
    return _conversations.SPLITS


def build(options: Options, request: Request) -> Plan:
    """The plan of one split; see `_published.build`.

    Raises:
        UsageError: `hub` is set beside a source; as there.
        BackendError: the hub does not answer.
    """
    if request.source is not None and "hub" in options.model_fields_set:
        raise UsageError(f"{NAME}: option 'hub' names a file of the hub, and --source another one: leave one of them")
    return _published.build(PUBLISHED, options, request)
