"""What the formats of lifestyle apps share: the envelope, activities, times that only a clock on a wall showed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from biokeel.contracts.topics import EventType, event_type
from biokeel.errors import AdapterError
from biokeel.source.adapters.activities import OTHER, activity_of
from biokeel.source.adapters.base import (
    MALFORMED,
    Batch,
    Context,
    Held,
    Record,
    Report,
    Subject,
    Unusable,
    stated_times,
)
from biokeel.source.adapters.envelope import documents
from biokeel.source.adapters.numbers import number, whole
from biokeel.source.times import Moment

EXERCISE: Final = event_type("lifestyle.exercise")
SLEEP: Final = event_type("lifestyle.sleep")
DIET: Final = event_type("lifestyle.diet")
VITAL_SIGN: Final = event_type("clinical.vital_sign")
GLUCOSE: Final = event_type("clinical.glucose")
BLOOD_PRESSURE: Final = event_type("clinical.blood_pressure")
UNLISTED_ACTIVITY: Final = "an activity's name that is no word of the programme's list (sent as other)"


class LeftOut(Exception):  # noqa: N818 - never leaves an adapter: it is counted in the report
    """A part that is well formed and no event of ours; says what it is, never its value."""


class Made(NamedTuple):
    """One event of a part of a file: `key` is what its app calls the part, `payload` the fields of its own."""

    event: EventType
    key: str
    begun: Moment
    payload: Record
    written: Moment | None = None


Make: TypeAlias = Callable[[dict[str, Any], str, Context, Report], list[Made]]
"""The events of one part at a place. Raises `Unusable` and `LeftOut`."""


def read_parts(
    path: Path,
    context: Context,
    report: Report,
    parts: Callable[[str, dict[str, Any], Report], Iterator[tuple[str, Make, object]]],
) -> Iterator[Batch]:
    """Yield the events of a JSON file of one app's user, who is not in it: `parts` says what a document has, and where.

    Raises `AdapterError` where nobody says whose it is, or it is no JSON. A part that cannot be read costs only itself.
    """
    held = Held()
    for place, document in documents(path, report):
        for where, make, part in parts(place, document, report):
            try:
                made = make(_object(part), where, context, report)
                records = [(each.event, _record(each, path, context)) for each in made]
            except Unusable as fault:
                report.problem(where, str(fault))
                continue
            except LeftOut as what:
                report.leave_out(where, str(what))
                continue
            except MALFORMED:
                report.problem(where, "its JSON does not have the structure of the app's")
                continue
            for event, record in records:
                held.add(event, record, where)
            if held.full:
                yield from held.hand_on()
    yield from held.hand_on()


def _object(part: object) -> dict[str, Any]:
    if not isinstance(part, dict):
        raise Unusable("no JSON object")
    return part


def _record(made: Made, path: Path, context: Context) -> Record:
    subject = whose(path, context)
    key = f"{subject.scheme}/{subject.value}/{made.key}"
    return envelope(context, made.event, key, subject, made.begun, written=made.written) | made.payload


def whose(path: Path, context: Context) -> Subject:
    """The person of a file that names nobody. Raises `AdapterError` where the caller names nobody either."""
    if context.subject is None:
        raise AdapterError(
            f"{path.name} does not say whose it is.", f"Name the person: --subject app/{context.site}=..."
        )
    return context.subject


def envelope(
    context: Context, event: EventType, key: str, subject: Subject, begun: Moment, *, written: Moment | None = None
) -> Record:
    """The fields that every event begins with; `key` is the source's own of the record. Raises `Unusable`."""
    return {
        "event_id": context.ids.of(event, key),
        "source_id": context.source_id,
        "subject_scheme": subject.scheme,
        "subject_id": subject.value,
        **stated_times(begun, written, context),
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
    """`value` where it is not below zero, and was not so large that its conversion overflowed. Raises `Unusable`."""
    if value < 0:
        raise Unusable(f"{name} is below zero")
    if value == math.inf:
        raise Unusable(f"{name} is no finite number")
    return value


def count(value: object, name: str) -> int:
    """`value` as a count. Raises `Unusable` where it is no whole number, or below zero."""
    return int(positive(whole(value, name), name))


def has_value(payload: Mapping[str, Any], *beside: str) -> bool:
    """Whether a payload says anything but what `beside` names."""
    return any(value is not None for name, value in payload.items() if name not in beside)


def optional(holder: Mapping[str, Any], name: str, factor: float = 1.0) -> float | None:
    """The number under `name`, times `factor`; null where there is none. Raises `Unusable`."""
    found = holder.get(name)
    return None if found is None else positive(number(found, name) * factor, name)
