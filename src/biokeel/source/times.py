"""Times as sources write them: milliseconds since 1970 in UTC, the offset beside them, and how exact they are.

A date is no midnight: what only names a day, a month or a year is its beginning, and keeps saying so (`precision`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Final, Literal, NamedTuple

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_ZERO: Final = date(1970, 1, 1)
_PARTIAL_DATE: Final = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")
_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2})(:[0-9]{2}(?:[.,][0-9]+)?)?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_JANUARY_1970: Final = 31 * 86_400_000
"""Milliseconds of a month: seconds since 1970 of every year up to 2054 are fewer."""
_NUMBERS: Final = re.compile(r"\s*([0-9]{1,2})([/.\-])([0-9]{1,2})\2[0-9]{4}(?![0-9])")


class Precision(StrEnum):
    """The smallest part of a time that its source stated."""

    YEAR = "year"
    MONTH = "month"
    DAY = "day"
    MINUTE = "minute"
    SECOND = "second"
    MILLISECOND = "millisecond"


class Moment(NamedTuple):
    """A point in time: `at` in ms since 1970 UTC; `offset_minutes` from UTC, null where the source does not say.

    `precision` is what the source stated; null where nobody stated a time and another one stands in for it.
    """

    at: int
    offset_minutes: int | None
    precision: Precision | None = None


def moment(text: object, zone: tzinfo | None) -> Moment | None:
    """The moment that an ISO 8601 or FHIR `text` names; null where it names none.

    A year, month or day is its beginning. A time without an offset is read in `zone`, or as UTC with a null offset
    where no zone is known; `-00:00` says that the offset is not known (RFC 3339). Second 60 is a leap second and taken
    for the 59th, so that it stays in its day. What is finer than a millisecond is cut off.
    """
    if not isinstance(text, str):
        return None
    try:
        if found := _PARTIAL_DATE.fullmatch(text):
            year, month, day_ = (int(part) if part else 1 for part in found.groups())
            return in_zone(datetime(year, month, day_), zone, _PARTS[sum(map(bool, found.groups()))])  # noqa: DTZ001
        return _time(text, zone)
    except (ValueError, OverflowError):
        return None


_PARTS: Final = {1: Precision.YEAR, 2: Precision.MONTH, 3: Precision.DAY}


def _time(text: str, zone: tzinfo | None) -> Moment | None:
    found = _TIME.fullmatch(text)
    if not found:
        return None
    minute, seconds, offset = found.groups()
    if minute.endswith("T24:00"):
        return None  # FHIR forbids it, and ISO 8601 has dropped it: is it the end of the day, or its beginning?
    precision = (
        Precision.MINUTE if seconds is None else Precision.SECOND if len(seconds) == 3 else Precision.MILLISECOND
    )
    if seconds and seconds.startswith(":60"):
        seconds = ":59"
    read = datetime.fromisoformat(minute + (seconds or "").replace(",", ".") + (offset or ""))
    found_at = in_zone(read, zone, precision)
    return found_at._replace(offset_minutes=None) if offset in {"-00:00", "-0000", "-00"} else found_at


def in_zone(read: datetime, zone: tzinfo | None, precision: Precision | None = None) -> Moment:
    """`read` as a moment; where it has no offset it is taken in `zone`, or as UTC with a null offset."""
    if read.tzinfo is None:
        if zone is None:
            return Moment(_milliseconds(read.replace(tzinfo=UTC) - _EPOCH), None, precision)
        read = read.replace(tzinfo=zone)
    offset = read.utcoffset()
    assert offset is not None, "a time with a zone has an offset"
    return Moment(_milliseconds(read - _EPOCH), offset.days * 1440 + offset.seconds // 60, precision)


def _milliseconds(since: timedelta) -> int:
    """Whole milliseconds, those before 1970 rounded down too: some times faster than dividing by a timedelta."""
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def may_be_seconds(at: int) -> bool:
    """Whether `at`, a number of milliseconds since 1970, is more likely one of seconds: it lies in January 1970."""
    return 0 <= at < _JANUARY_1970


def day(text: object) -> int | None:
    """Days since 1970 of a whole ISO date; null for anything else (a birth year alone is no date)."""
    found = _PARTIAL_DATE.fullmatch(text) if isinstance(text, str) else None
    try:
        return (date.fromisoformat(found[0]) - _DAY_ZERO).days if found and found[3] else None
    except ValueError:
        return None


def year(text: object) -> int | None:
    """The year of an ISO date, month or year; null for anything else."""
    found = moment(text, None) if isinstance(text, str) and _PARTIAL_DATE.fullmatch(text) else None
    return int(str(text)[:4]) if found else None


def order_of_day_and_month(texts: Iterable[str]) -> Literal["mdy", "dmy"] | None:
    """Whether dates such as `4/12/2016` begin with the month or with the day; null where they do not tell.

    They tell by a number beyond 12. Where one of them says the one and another the other they tell nothing. What is no
    such date is not looked at.
    """
    orders: set[Literal["mdy", "dmy"]] = set()
    for text in texts:
        found = _NUMBERS.match(text)
        if found is None:
            continue
        first, second = int(found[1]), int(found[3])
        if first > 12 >= second:
            orders.add("dmy")
        if second > 12 >= first:
            orders.add("mdy")
        if len(orders) == 2:
            return None
    return orders.pop() if orders else None
