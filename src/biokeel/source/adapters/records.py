"""Ready records as JSON, one a line as a rule: `{"event": "clinical.glucose", "subject_scheme": ..., ...}`.

The way in for a source without a format of its own, and what `biokeel demo-data` writes. Fields are the schema's;
timestamps are milliseconds since 1970 or ISO 8601 with an offset, dates days since 1970 or ISO dates. `source_id` and
`recorded_at` may be left to the caller. `event_id` may be given; else `record_key` (or, in short, `key`), the source's
own key of the record, makes it; without any its content does. How exactly a time is written is kept.
An enrolment states a consent if it has a `consent_scope`, unless `consent_stated` says otherwise.
A line `{"event": ..., "raw_hex": ...}` is a message to be sent as it is: see `read_raw`.

A key that the schema has not, or a value of another type, is refused where the record is encoded (`columns.frame_of`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from biokeel.contracts.topics import EventType, event_type
from biokeel.errors import AdapterError
from biokeel.source.adapters.base import (
    BEFORE_IT_HAPPENED,
    Batch,
    Context,
    Held,
    Record,
    Report,
    Unusable,
    content_key,
    subject_text,
)
from biokeel.source.adapters.envelope import documents
from biokeel.source.times import Moment, day, may_be_seconds, moment

ENROLMENT: Final = event_type("person.enrolment")
_TIMES: Final = ("occurred_at", "recorded_at", "onset_at", "abated_at", "ended_at")
_PRECISIONS: Final = {"occurred_at": "occurred_precision", "onset_at": "onset_precision"}
_KEYS: Final = ("record_key", "key")
_REQUIRED: Final = ("subject_scheme", "subject_id", "occurred_at")


def read_records(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the records of a file of JSON lines, in the file's order within each event type."""
    held = Held()
    for position, line in documents(path, report):
        if "raw_hex" in line:
            continue
        try:
            event, record = _record(line, context)
        except Unusable as fault:
            report.problem(position, str(fault))
            continue
        held.add(event, record, position)
        if held.full:
            yield from held.hand_on()
    yield from held.hand_on()


class Message(NamedTuple):
    """One message to be sent as it is; None for one without bytes. `place` is its line."""

    event: EventType
    value: bytes | None
    place: str


def read_raw(path: Path) -> list[Message]:
    """The messages of a file of JSON lines that are to be sent as they are; an empty `raw_hex` has no bytes."""
    lines = [(place, line) for place, line in documents(path, Report()) if "raw_hex" in line]
    try:
        return [
            Message(event_type(line["event"]), bytes.fromhex(line["raw_hex"]) or None, place) for place, line in lines
        ]
    except (KeyError, ValueError, TypeError):
        raise AdapterError(f"{path.name}: a line with raw_hex wants an event type and hexadecimal digits.") from None


def _record(line: dict[str, Any], context: Context) -> tuple[EventType, Record]:
    try:
        event = event_type(line["event"])
    except (KeyError, AttributeError):
        raise Unusable("event is missing or no event type") from None
    record = {name: value for name, value in line.items() if name not in {"event", *_KEYS}}
    missing = [name for name in _REQUIRED if record.get(name) is None]
    if missing:
        raise Unusable(f"lacks {', '.join(missing)}")
    for name in ("subject_scheme", "subject_id"):
        subject_text(record[name], name)
    _further_identifiers(record)
    for name in _TIMES:
        if record.get(name) is not None:
            record |= _time(record[name], name, event, context, given=record)
    if isinstance(record.get("birth_date"), str):
        record["birth_date"] = day(record["birth_date"])
        if record["birth_date"] is None:
            raise Unusable("birth_date is no date; a year alone is a birth_year")
    if "recorded_at" not in record:
        if record["occurred_at"] > context.recorded_at:
            raise Unusable(BEFORE_IT_HAPPENED)
        record["recorded_at"] = context.recorded_at
    if isinstance(ended := record.get("ended_at"), int) and ended < record["occurred_at"]:
        raise Unusable("ended_at lies before occurred_at")
    if record.setdefault("source_id", context.source_id) != context.source_id:
        raise Unusable("source_id names another source than the one that publishes")
    if event == ENROLMENT:
        record |= _consent(record)
    if "event_id" not in record:
        record["event_id"] = context.ids.of(event, _key(line))
    return event, record


def _key(line: dict[str, Any]) -> str:
    """The source's own key of the record, or its content. Raises `Unusable`."""
    given = [name for name in _KEYS if line.get(name) is not None]
    if len(given) > 1:
        raise Unusable(f"{' and '.join(given)} are one thing")
    if not given:
        return content_key(line)
    key = line[given[0]]
    if isinstance(key, bool) or not isinstance(key, str | int) or key == "":
        raise Unusable(f"{given[0]} is no text and no whole number")
    return str(key)


def _time(value: object, name: str, event: EventType, context: Context, *, given: Record) -> Record:
    """A time in ms, and with `occurred_at` and `onset_at` what was written beside it. Raises `Unusable`."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise Unusable(f"{name} is neither a text nor a whole number of milliseconds")
    found = moment(value, context.zone) if isinstance(value, str) else Moment(value, None)
    if found is None:
        raise Unusable(f"{name} is no time")
    if isinstance(value, int) and may_be_seconds(value):
        raise Unusable(f"{name} lies in January 1970: seconds, where milliseconds are wanted")
    record: Record = {name: found.at}
    if name == "occurred_at" and found.offset_minutes is not None:
        record["occurred_offset_minutes"] = given.get("occurred_offset_minutes", found.offset_minutes)
    if (precision := _PRECISIONS.get(name)) and found.precision is not None and not event.is_person:
        record[precision] = given.get(precision, found.precision)
    return record


def _further_identifiers(record: Record) -> None:
    """Refuse identifiers of person events that are no text, as `subject_id`."""
    if record.get("merged_id") is not None:
        subject_text(record["merged_id"], "merged_id")
    identifiers = record.get("identifiers")
    for index, part in enumerate(identifiers if isinstance(identifiers, list) else []):
        if not isinstance(part, dict):
            raise Unusable(f"identifiers: {index} is no JSON object")
        for name in ("scheme", "value"):
            subject_text(part.get(name), f"identifiers: {name} of {index}")


def _consent(record: Record) -> Record:
    """What an enrolment says of consent: who writes no scope has stated none."""
    scope, stated = record.get("consent_scope"), record.get("consent_stated")
    if stated is not None and not isinstance(stated, bool):
        raise Unusable("consent_stated is neither true nor false")
    if scope is None and stated:
        raise Unusable("consent_stated without consent_scope")
    return {
        "consent_scope": [] if scope is None else scope,
        "consent_stated": scope is not None if stated is None else stated,
    }
