"""LoCoMo (Maharana et al. 2024): two people in dozens of dated sessions, and questions of five categories about them.

Records as in snap-research/locomo data/locomo10.json: `conversation` with `session_N` and `session_N_date_time`, and
`qa`. Turns read as in the authors' prompts, images by their captions. Categories are kinds by the names that the
evaluation script gives them. Evidence (`D3:12`, turn 12 of session 3) is a gold fact, but not of adversarial questions:
nothing tells what they ask for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from random import Random
from typing import Any, Literal

from pydantic import field_validator

from atommem_cli.core.errors import UsageError
from atommem_cli.core.seeds import derive
from atommem_cli.core.types import Question
from atommem_cli.data.files import Plan, Request
from atommem_cli.scoring.abstention import NOT_MENTIONED, SAYING_SO
from atommem_cli.scoring.locomo import CATEGORIES, OPEN
from atommem_cli.tasks import _conversations, _dates, _published
from atommem_cli.tasks._conversations import OTHER_KIND, Session, Written
from atommem_cli.tasks._foreign import recognised
from atommem_cli.tasks._own import Told
from atommem_cli.tasks._published import Published
from atommem_cli.tasks._schema import Mismatch, conform

NAME = "locomo"
WHERE = "https://raw.githubusercontent.com/snap-research/locomo/main/data/locomo10.json"
_SESSION = re.compile(r"session_(\d+)")
_TURN = re.compile(r"D:?(\d+):(\d+)")
"""A turn as evidence names it; some of the real ones have a colon more, and several stand in one string."""


class Options(_conversations.Options):
    """What a recipe may set."""

    kinds: tuple[Literal["multi-hop", "temporal", "open-domain", "single-hop", "adversarial"], ...] = ()
    """Questions of these kinds alone; empty: all."""
    hints: bool = True
    """Whether questions are asked as the authors ask them, in our words: temporal ones for an approximate date,
    adversarial ones as a choice of a wrong answer and "Not mentioned in the conversation", in a drawn order."""

    _one_kind = field_validator("kinds", mode="before")(_conversations.listed)


def _told(raw: Any, number: int, options: Any, seed: int) -> Told:
    if not isinstance(raw, Mapping):
        raise Mismatch("the records are not JSON objects")
    if (of_others := recognised(raw, NAME)) is not None:
        raise Mismatch(of_others)
    conversation, asked = raw.get("conversation"), raw.get("qa")
    if not isinstance(conversation, Mapping) or not isinstance(asked, list):
        raise Mismatch(f"the fields conversation, an object, and qa, a list, are wanted ({WHERE} has them)")
    name = conform(raw.get("sample_id", f"conv-{number}"), str, "sample_id")
    ids: dict[tuple[int, int], tuple[int, int]] = {}
    text = _conversations.written(_sessions(conversation, ids), options.documents)
    if not text.documents:
        raise Mismatch("the field conversation has no session_1, session_2, ... in which something is said")
    questions, skipped, lost = [], [], 0
    for at, one in enumerate(asked):
        category = conform(one, {"category": int}, f"qa[{at}]")["category"]
        if category not in CATEGORIES:
            raise Mismatch(f"the field qa[{at}].category is {category} and not 1 to {len(CATEGORIES)}")
        if options.kinds and CATEGORIES[category] not in options.kinds:
            skipped.append(OTHER_KIND)
            continue
        question, missing = _question(one, at, name, CATEGORIES[category], ids, text, options.hints, seed)
        questions.append(question)
        lost += missing
    return Told(text.documents, tuple(questions), tuple(skipped), lost)


def _sessions(conversation: Mapping[str, Any], ids: dict[tuple[int, int], tuple[int, int]]) -> list[Session]:
    """The sessions by their numbers; puts down where each turn is, by the numbers of its id."""
    numbers = sorted(int(found[1]) for key in conversation if (found := _SESSION.fullmatch(key)))
    sessions: list[Session] = []
    for number in numbers:
        name = f"session_{number}"
        turns = [] if conversation[name] is None else conversation[name]  # the published numbers have gaps
        conform(turns, [{}], f"conversation.{name}")
        said = []
        for at, turn in enumerate(turns, start=1):
            said.append(_said(turn, f"conversation.{name}[{at - 1}]"))
            found = _TURN.fullmatch(str(turn.get("dia_id")))
            ids[(int(found[1]), int(found[2])) if found else (number, at)] = (len(sessions), at - 1)
        date = conform(conversation.get(f"{name}_date_time") or "", str, f"conversation.{name}_date_time")
        sessions.append(Session(_dates.insist(date, f"conversation.{name}_date_time"), tuple(said)))
    return sessions


def _said(turn: Mapping[str, Any], label: str) -> str:
    """Who said what, and what the image shows that came with it: as task_eval/gpt_utils.py has it."""
    speaker = conform(turn, {"speaker": str}, label)["speaker"]
    text = conform(turn.get("text") or "", str, f"{label}.text").strip()
    caption = conform(turn.get("blip_caption") or "", str, f"{label}.blip_caption").strip()
    return f'{speaker} said, "{text}"' + (f" and shared {caption}." if caption else "")


def _question(
    one: Mapping[str, Any],
    at: int,
    sample: str,
    kind: str,
    ids: Mapping[tuple[int, int], tuple[int, int]],
    text: Written,
    hints: bool,
    seed: int,
) -> tuple[Question, int]:
    """A question, and how many of its facts are not there."""
    name, place = f"{sample}-{at}", f"qa[{at}]"
    asked = conform(one, {"question": str}, place)["question"].strip()
    hints = hints and asked != ""  # a blank question stays blank, and is left out
    if kind == CATEGORIES[5]:
        wrong = one.get("adversarial_answer", one.get("answer"))
        if hints and wrong is not None:
            choice = [conform(wrong, str, f"{place}.adversarial_answer").strip(), NOT_MENTIONED]
            Random(derive(seed, name, "choice")).shuffle(choice)
            asked += f' Which of the two is right: "{choice[0]}", or "{choice[1]}"?'
        return Question(name, asked, SAYING_SO, kind=kind, unanswerable=True), 0
    if hints and kind == CATEGORIES[2]:
        asked += " Answer with an approximate date, by the dates of the conversations."
    answer = conform(one, {"answer": str}, place)["answer"].strip()
    # What is scored of the answer to an open question comes first: the reason behind it is for a judge.
    answers = dict.fromkeys((answer.split(";")[0].strip(), answer) if kind == OPEN else (answer,))
    evidence = [_TURN.findall(part) or [("0", "0")] for part in _parts(one.get("evidence"))]
    turns = [ids.get((int(session), int(turn))) for part in evidence for session, turn in part]
    there = dict.fromkeys(turn for turn in turns if turn is not None)
    facts = tuple(text.places[turn] for turn in there)
    return Question(name, asked, tuple(answers), facts, kind=kind), turns.count(None)


def _parts(evidence: Any) -> list[str]:
    return [str(part) for part in evidence] if isinstance(evidence, list) else [str(evidence)] if evidence else []


def _hub(_: Options, split: str) -> tuple[str, str]:
    raise UsageError(f"{NAME}: it is no data set of the hub: download {WHERE}; give a file with --source")


PUBLISHED = Published(NAME, "CC BY-NC 4.0", _hub, Options(), _told, local=partial(_conversations.local, ("locomo10",)))
inputs = partial(_published.inputs, PUBLISHED)


def splits(source: str | None) -> tuple[str, ...]:
    """Those that are prepared where none is named."""
    return _conversations.SPLITS


def build(options: Options, request: Request) -> Plan:
    """The plan of one split; see `_published.build`."""
    return _published.build(PUBLISHED, options, request)
