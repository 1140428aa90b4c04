"""Times as sources write them: milliseconds since 1970 in UTC, and the offset that was written beside them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final, NamedTuple

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_ZERO: Final = date(1970, 1, 1)
_PARTIAL_DATE: Final = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")
_MILLISECOND: Final = timedelta(milliseconds=1)


class Moment(NamedTuple):
    """A point in time: `at` in ms since 1970 UTC; `offset_minutes` from UTC, null where the source does not say."""

    at: int
    offset_minutes: int | None


def moment(text: object, zone: tzinfo | None) -> Moment | None:
    """The moment that an ISO 8601 or FHIR `text` names; null where it names none.

    A year, month or day is its beginning. A time without an offset is read in `zone`, or as UTC with a null offset
    where no zone is known.
    """
    if not isinstance(text, str):
        return None
    try:
        if _PARTIAL_DATE.fullmatch(text):
            return in_zone(datetime.fromisoformat((text + "-01-01")[:10]), zone)
        if "T" not in text:
            return None
        return in_zone(datetime.fromisoformat(text), zone)
    except (ValueError, OverflowError):
        return None


def in_zone(read: datetime, zone: tzinfo | None) -> Moment:
    """`read` as a moment; where it has no offset it is taken in `zone`, or as UTC with a null offset."""
    if read.tzinfo is None:
        if zone is None:
            return Moment((read.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND, None)
        read = read.replace(tzinfo=zone)
    offset = read.utcoffset()
    assert offset is not None, "a time with a zone has an offset"
    return Moment((read - _EPOCH) // _MILLISECOND, offset // timedelta(minutes=1))


def day(text: object) -> int | None:
    """Days since 1970 of a whole ISO date; null for anything else (a birth year alone is no date)."""
    try:
        return (date.fromisoformat(text) - _DAY_ZERO).days if isinstance(text, str) else None
    except ValueError:
        return None
