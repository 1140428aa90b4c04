"""What the formats of lifestyle apps share: the envelope, activities, times that only a clock on a wall showed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from biokeel.contracts.topics import EventType, event_type
from biokeel.source.adapters.activities import OTHER, activity_of
from biokeel.source.adapters.base import Context, Record, Report, Subject, Unusable
from biokeel.source.adapters.numbers import number, whole
from biokeel.source.times import Moment

EXERCISE: Final = event_type("lifestyle.exercise")
SLEEP: Final = event_type("lifestyle.sleep")
DIET: Final = event_type("lifestyle.diet")
VITAL_SIGN: Final = event_type("clinical.vital_sign")
GLUCOSE: Final = event_type("clinical.glucose")
BLOOD_PRESSURE: Final = event_type("clinical.blood_pressure")
UNLISTED_ACTIVITY: Final = "an activity's name that is no word of the programme's list (sent as other)"


def envelope(
    context: Context,
    event: EventType,
    key: str,
    subject: Subject,
    begun: Moment,
    *,
    written: Moment | None = None,
    ended: Moment | None = None,
) -> Record:
    """The fields that every event begins with; `key` is the source's own of the record.

    Where the record does not say when it was `written`, the file's time of change stands for it, but never a time at
    which what it tells of had not yet ended: a file that claims to be older than its content tells nothing.
    """
    last = begun.at if ended is None else max(begun.at, ended.at)
    return {
        "event_id": context.ids.of(event, key),
        "source_id": context.source_id,
        "subject_scheme": subject.scheme,
        "subject_id": subject.value,
        "occurred_at": begun.at,
        "occurred_offset_minutes": begun.offset_minutes,
        "recorded_at": written.at if written is not None else max(context.recorded_at, last),
    }


def vital_sign(code: str, value: float, unit: str) -> Record:
    """The payload of a vital sign: LOINC code, value, UCUM unit."""
    return {"code": code, "value": value, "value_unit": unit, "status": "final"}


def activity(name: object, place: str, report: Report) -> str:
    """The programme's word for an activity's `name`; counted where it is `other`. Raises `Unusable` for no text."""
    if not isinstance(name, str) or not name.strip():
        raise Unusable("the activity's name is no text")
    word = activity_of(name)
    if word is None:
        report.leave_out(place, UNLISTED_ACTIVITY)
    return word or OTHER


def positive(value: float, name: str) -> float:
    """`value` where it is not below zero. Raises `Unusable`."""
    if value < 0:
        raise Unusable(f"{name} is below zero")
    return value


def count(value: object, name: str) -> int:
    """`value` as a count. Raises `Unusable` where it is no whole number, or below zero."""
    return int(positive(whole(value, name), name))


def optional(holder: Mapping[str, Any], name: str, factor: float = 1.0) -> float | None:
    """The number under `name`, times `factor`; null where there is none. Raises `Unusable`."""
    found = holder.get(name)
    return None if found is None else positive(number(found, name), name) * factor
