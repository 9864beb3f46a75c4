"""Dates as they stand in records: any wording is kept, and one that cannot be is refused."""

from __future__ import annotations

import re
from datetime import date

from atommem_cli.tasks._schema import Mismatch

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = r"(?P<word>(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-zA-Z]*)\.?"
_DAYS = (
    re.compile(r"(?<!\d)(?P<year>\d{4})([-/.])(?P<month>\d{1,2})\2(?P<day>\d{1,2})(?!\d)"),
    re.compile(rf"(?<![\d:])(?P<day>\d{{1,2}}) {_MONTH},? (?P<year>\d{{4}})(?!\d)"),
    re.compile(rf"\b{_MONTH} (?P<day>\d{{1,2}}),? (?P<year>\d{{4}})(?!\d)"),
)
_CLOCK = re.compile(
    r"(?<![\d:])(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d))?(?!\d)(?P<half> ?[ap]\.?m\b)?", re.IGNORECASE
)
_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?(e[-+]?\d+)?|true|false", re.IGNORECASE)
_COMPACT = re.compile(r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)")


def insist(said: str, name: str) -> str:
    """A date as it was written, without what stands around it; days and times in it are such as there are.

    Args:
        name: of its field.

    Raises:
        Mismatch: it names a day or a time that there is not, or is a number and neither a year nor a day (20240501).
    """
    said = said.strip()
    if _NUMBER.fullmatch(said) and not re.fullmatch(r"\d{1,4}", said):
        if (found := _COMPACT.fullmatch(said)) is None or not _is_day(found):
            raise Mismatch(f"the field {name} is {said}: write it as it is to be read, as 2024-05-01")
    elif not all(_is_day(found) for days in _DAYS for found in days.finditer(said)):
        raise Mismatch(f"the field {name} is {said!r}, and there is no such day")
    elif not all(map(_is_time, _CLOCK.finditer(said))):
        raise Mismatch(f"the field {name} is {said!r}, and there is no such time")
    return said


def _is_day(found: re.Match[str]) -> bool:
    parts = found.groupdict()
    word = parts.get("word")
    try:
        date(int(parts["year"]), MONTHS.index(word[:3].lower()) + 1 if word else int(parts["month"]), int(parts["day"]))
    except ValueError:
        return False
    return True


def _is_time(found: re.Match[str]) -> bool:
    hour, minute, second = (int(found[part] or 0) for part in ("hour", "minute", "second"))
    sound = 1 <= hour <= 12 if found["half"] else hour <= 23 or (hour, minute, second) == (24, 0, 0)
    return sound and minute <= 59 and second <= 59
