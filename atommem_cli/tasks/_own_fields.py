"""Documents and questions as somebody wrote them down: which names their fields go by, and what each may hold.

Rows are objects of JSON, or rows of a table; in a table a list is written as JSON, or is one text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from difflib import get_close_matches
from typing import Any, NamedTuple

from atommem_cli.core.errors import did_you_mean
from atommem_cli.core.types import Document, Support
from atommem_cli.scoring.abstention import SAYING_SO
from atommem_cli.tasks import _dates
from atommem_cli.tasks._own import conversation, dated
from atommem_cli.tasks._schema import Mismatch, conform

Row = Mapping[str, Any]
TEXT = ("text", "content", "body")
TURNS = ("messages", "turns")
TITLE = ("title", "name", "subject")
DATE = ("date", "time", "timestamp")
SPEAKER = ("role", "speaker", "name")
QUESTION = ("question", "query", "text")
ANSWERS = ("answer", "answers")
ANSWERABLE, STALE = "answerable", "stale"
KIND = ("kind", "type", "category")
SUPPORTING = ("supporting", "supporting_facts", "evidence")
RECORD = ("record", "conversation")
DOCUMENTS = ("documents", "pages", "sessions")
_READ = {ANSWERABLE, STALE, "id", "aliases"}.union(
    TEXT, TURNS, TITLE, DATE, SPEAKER, QUESTION, ANSWERS, KIND, SUPPORTING, RECORD
)
_CLOSE = 0.8
"""How alike names are of which one is taken for the other misspelt, from 0 to 1 (`difflib`)."""


class Page(NamedTuple):
    """One document, with what it is found by."""

    id: str
    title: str
    date: str
    """As it is shown; empty where there is none."""
    text: str

    @property
    def document(self) -> Document:
        """As it is read."""
        return dated(self.title, self.date, self.text)


class Asked(NamedTuple):
    """One question; its gold facts are not yet found in its documents."""

    id: str
    text: str
    answers: tuple[str, ...]
    kind: str
    facts: tuple[tuple[str, str], ...]
    """Id or title of a document, and a text in it; either may be empty."""
    nothing: str | None = None
    """Of a question that nothing answers: why, for a judge, or empty; None of others."""
    stale: tuple[str, ...] = ()
    """Answers that were true once and are no more."""


def row(raw: Any, what: str) -> Row:
    """A row with its names in small letters; fields without a value are left out.

    Raises:
        Mismatch: it is no object.
    """
    if not isinstance(raw, Mapping):
        raise Mismatch(f"{what} is no object with fields, as {{...}}")
    return {str(name).strip().lower(): value for name, value in raw.items() if value is not None}


def page(raw: Any) -> Page:
    """A document.

    Raises:
        Mismatch: a field is missing, or holds what it must not.
    """
    if isinstance(raw, str):
        return Page("", "", "", _text(raw, "text"))
    found = row(raw, "a document")
    _insist_read(found, (TITLE, DATE, RECORD))
    turns = _first(found, TURNS)
    if isinstance(turns, list) and any(found.get(name) for name in TEXT):
        raise Mismatch(f"a document has {_name(found, TURNS)} and {_name(found, TEXT)}: one of them is its text")
    if isinstance(turns, list):
        said = conversation(turn(one, f"{_name(found, TURNS)}[{at}]") for at, one in enumerate(turns))
    elif turns is not None and _first(found, TEXT) is None:
        raise Mismatch(f"the field {_name(found, TURNS)} is {_cut(turns)}: a list of {{role, content}} is wanted")
    else:
        said = _text(_needed(found, TEXT, "a document needs its text", also=TURNS), _name(found, TEXT))
    return Page(_short(found, ("id",)), _short(found, TITLE), when(found), said)


def turn(raw: Any, where: str) -> tuple[str, str]:
    """Who said something, and what.

    Raises:
        Mismatch: likewise.
    """
    if isinstance(raw, str):
        return "", _text(raw, where)
    found = row(raw, where)
    said = _needed(found, TEXT, f"{where} needs what was said")
    return _short(found, SPEAKER), _text(said, f"{where}.{_name(found, TEXT)}")


def question(raw: Any) -> Asked:
    """A question, likewise."""
    found = row(raw, "a question")
    _insist_read(found, (KIND, SUPPORTING, ("aliases",), (STALE,), (ANSWERABLE,), RECORD))
    text = _text(_needed(found, QUESTION, "a question needs its text"), _name(found, QUESTION))
    said = found.get(ANSWERABLE, "")  # a blank cell says nothing
    if said != "" and not conform(said, bool, ANSWERABLE):
        return _unanswerable(found, text.strip())
    if all(found.get(name) not in (None, "", []) for name in ANSWERS):
        raise Mismatch("a question has answer and answers: one of them holds all that is right")
    found = {name: value for name, value in found.items() if name not in ANSWERS or value not in ("", [])}
    why = f"a question needs the answer that counts as right; one that nothing answers has `{ANSWERABLE}`: false"
    accepted = [_text(one, "answer") for one in _listed(_needed(found, ANSWERS, why))]
    aliases = [_text(one, "aliases") for one in _listed(found.get("aliases", ()), "|")]
    answers = tuple(dict.fromkeys(filter(None, map(str.strip, [*accepted, *aliases])))) or ("",)
    facts = tuple(_fact(one) for one in _listed(_first(found, SUPPORTING) or ()))
    return Asked(
        _short(found, ("id",)), text.strip(), answers, _short(found, KIND), facts, stale=_stale(found, answers)
    )


def _unanswerable(found: Row, text: str) -> Asked:
    """A question that nothing answers; its answer, where it has one, says why."""
    if _first(found, SUPPORTING):
        raise Mismatch(f"a question that nothing answers (`{ANSWERABLE}`: false) has no supporting facts")
    why = "; ".join(_text(one, "answer") for one in _listed(_first(found, ANSWERS) or ()))
    said = why.strip(), _stale(found, ())
    return Asked(_short(found, ("id",)), text, SAYING_SO, _short(found, KIND), (), *said)


def _stale(found: Row, answers: Sequence[str]) -> tuple[str, ...]:
    """Answers that were true once, none of which is accepted."""
    once = dict.fromkeys(_text(one, STALE).strip() for one in _listed(found.get(STALE, ()), "|"))
    if both := [one for one in once if one.casefold() in map(str.casefold, answers)]:
        raise Mismatch(f"the field {STALE} has {both[0]!r}, which is accepted: an answer is right, or was once")
    return tuple(filter(None, once))


def group(found: Row) -> str:
    """Which record a row of a table belongs to; empty where it does not say."""
    return _short(found, RECORD)


def when(found: Row) -> str:
    """The date of a row, as it is shown.

    Raises:
        Mismatch: it is a count of seconds, or a day or a time that there is not.
    """
    value = _first(found, DATE)
    if isinstance(value, datetime) and value.time() == datetime.min.time() and value.tzinfo is None:
        value = value.date()
    if isinstance(value, date):
        return value.isoformat() if not isinstance(value, datetime) else value.isoformat(" ")
    return _dates.insist(_short(found, DATE), _name(found, DATE))


def moment(said: str) -> datetime:
    """The time that a date means, to sort by.

    Raises:
        Mismatch: it is not written year first.
    """
    text = said.strip()
    if re.fullmatch(r"\d{4}(-\d\d)?", text):
        text += "-01" if "-" in text else "-01-01"
    try:
        found = datetime.fromisoformat(text.replace("/", "-"))
    except ValueError:
        raise Mismatch(
            f"the date {said!r} cannot be sorted by: write it year first (2024-05-01, 2024-05-01 14:30), or leave out "
            "by_date and put the documents in order"
        ) from None
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


def supports(asked: Asked, pages: Sequence[Page]) -> tuple[Support, ...]:
    """The gold facts of a question, found in the documents.

    Raises:
        Mismatch: one is not there, or could be in several.
    """
    return tuple(dict.fromkeys(_found(*fact, pages) for fact in asked.facts))


def _found(name: str, text: str, pages: Sequence[Page]) -> Support:
    named = [at for at, one in enumerate(pages) if name and one.id == name]
    named = named or [at for at, one in enumerate(pages) if name and one.title == name]
    named = named or [at for at, one in enumerate(pages) if name and one.id.endswith(f"/{name}")]  # the end of a path
    if name and not named:
        hint = did_you_mean(name, [known for one in pages for known in (one.id, one.title) if known])
        raise Mismatch(f"a supporting fact is in the document {name!r}, and no document has this id or title{hint}")
    places = [at for at in (named or range(len(pages))) if text in pages[at].text]
    if not places:
        where = f"the document {name!r}" if name else "any document"
        raise Mismatch(f"the supporting fact {_cut(text)} does not stand in {where}: copy it letter by letter")
    if len(places) > 1:
        several = f"could be in {len(places)} documents: name one by an id of its own, a page by its path"
        raise Mismatch(f"the supporting fact {_cut(text or name)} {several}")
    return Support(places[0], text or pages[places[0]].text)


def _fact(raw: Any) -> tuple[str, str]:
    if isinstance(raw, str):
        return "", _text(raw, "supporting")
    if isinstance(raw, Sequence) and len(raw) == 2:
        name, text = raw
        if not isinstance(text, str):  # HotpotQA's pairs: the number may well stand in the document
            raise Mismatch(
                f"the field supporting holds {_cut(raw)}: the text of the fact is wanted, and not its number"
            )
    elif isinstance(raw, Mapping):
        name, text = (row(raw, "supporting").get(field, "") for field in ("document", "text"))
    else:
        raise Mismatch(f"the field supporting holds {_cut(raw)}: a list of {{document, text}} is wanted")
    fact = _text(name, "supporting.document").strip(), _text(text, "supporting.text").strip()
    if not any(fact):
        raise Mismatch("the field supporting holds a fact without document and text")
    return fact


def _listed(value: Any, mark: str = "") -> Iterable[Any]:
    """A list, or one value for a list of one; a cell of a table holds a list as JSON, or with a mark between texts."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            return [value]  # a text that begins with a bracket
    if isinstance(value, str) and mark:
        return value.split(mark)
    if isinstance(value, list | tuple):
        return value
    return [value] if value != "" else []


def _insist_read(found: Row, fields: Iterable[Sequence[str]]) -> None:
    """Nobody reads a name that is misspelt: where a field is not there, and the name of another comes close to its own.

    Args:
        fields: those that may be left out, each with all of its names, the one that is known first.

    Raises:
        Mismatch: there is such a name.
    """
    for names in fields:
        if not any(name in found for name in names):
            longer = len(names[0]) + 1
            others = [name for name in found.keys() - _READ if names[0] not in name or len(name) <= longer]
            close = get_close_matches(names[0], sorted(others), 1, _CLOSE)  # an `update` is no `date`
            if close:
                raise Mismatch(f"the field {close[0]} is not read: did you mean {names[0]}?")


def _first(found: Row, names: Iterable[str]) -> Any:
    return next((found[name] for name in names if name in found), None)


def _name(found: Row, names: Sequence[str]) -> str:
    return next((name for name in names if name in found), names[0])


def _needed(found: Row, names: Sequence[str], why: str, also: Sequence[str] = ()) -> Any:
    value = _first(found, names)
    if value is None:
        there = f"there are: {', '.join(found)}" if found else "it is empty"
        raise Mismatch(f"the field {' or '.join((names[0], *also[:1]))} is missing ({there}); {why}")
    return value


def _short(found: Row, names: Sequence[str]) -> str:
    value = _first(found, names)
    return "" if value is None else " ".join(_text(value, _name(found, names)).split())


def _text(value: Any, name: str) -> str:
    text: str = conform(value, str, name)
    return text


def _cut(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:60]}..."
