"""Ready records as JSON lines: `{"event": "clinical.glucose", "subject_scheme": ..., ...}`.

The way in for a source without a format of its own, and what `biokeel demo-data` writes. Fields are the schema's;
timestamps are milliseconds since 1970 or ISO 8601 with an offset, dates days since 1970 or ISO dates. `source_id` and
`recorded_at` may be left to the caller. `event_id` may be given; else `key`, the source's own record key, makes it.
An enrolment states a consent if it has a `consent_scope`, unless `consent_stated` says otherwise.
A line `{"event": ..., "raw_hex": ...}` is a message to be sent as it is: see `read_raw`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from biokeel.contracts.topics import EventType, event_type
from biokeel.errors import AdapterError
from biokeel.source.adapters.base import (
    Batch,
    Context,
    Held,
    Record,
    Report,
    Unusable,
    content_key,
    subject_text,
)
from biokeel.source.times import day, moment

ENROLMENT: Final = event_type("person.enrolment")
_TIMES: Final = ("occurred_at", "recorded_at", "onset_at", "abated_at", "ended_at")
_REQUIRED: Final = ("subject_scheme", "subject_id", "occurred_at")


def read_records(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the records of a file of JSON lines, in the file's order within each event type."""
    held = Held()
    for position, line in _lines(path, report):
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
    lines = [(place, line) for place, line in _lines(path, Report()) if "raw_hex" in line]
    try:
        return [
            Message(event_type(line["event"]), bytes.fromhex(line["raw_hex"]) or None, place) for place, line in lines
        ]
    except (KeyError, ValueError, TypeError):
        raise AdapterError(f"{path.name}: a line with raw_hex wants an event type and hexadecimal digits.") from None


def _lines(path: Path, report: Report) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                if not text.strip():
                    continue
                try:
                    line = orjson.loads(text)
                except orjson.JSONDecodeError:
                    line = None
                if isinstance(line, dict):
                    yield f"line {number}", line
                else:
                    report.problem(f"line {number}", "no JSON object")
    except OSError as error:
        raise AdapterError(f"Cannot read {path.name}: {error.strerror}.") from None


def _record(line: dict[str, Any], context: Context) -> tuple[EventType, Record]:
    try:
        event = event_type(line["event"])
    except (KeyError, AttributeError):
        raise Unusable("event is missing or no event type") from None
    record = {name: value for name, value in line.items() if name not in {"event", "key"}}
    missing = [name for name in _REQUIRED if record.get(name) is None]
    if missing:
        raise Unusable(f"lacks {', '.join(missing)}")
    for name in ("subject_scheme", "subject_id"):
        subject_text(record[name], name)
    _further_identifiers(record)
    occurred = moment(record["occurred_at"], context.zone)
    if occurred is not None:
        record.setdefault("occurred_offset_minutes", occurred.offset_minutes)
    for name in _TIMES:
        if isinstance(record.get(name), str):
            record[name] = _milliseconds(record[name], name, context)
    if isinstance(record.get("birth_date"), str):
        record["birth_date"] = day(record["birth_date"])
    if record.setdefault("source_id", context.source_id) != context.source_id:
        raise Unusable("source_id names another source than the one that publishes")
    record.setdefault("recorded_at", context.recorded_at)
    if event == ENROLMENT:
        record |= _consent(record)
    if "event_id" not in record:
        key = line.get("key")
        if key is not None and (isinstance(key, bool) or not isinstance(key, str | int)):
            raise Unusable("key is no text and no whole number")
        record["event_id"] = context.ids.of(event, str(key or content_key(line)))
    return event, record


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


def _milliseconds(text: str, name: str, context: Context) -> int:
    found = moment(text, context.zone)
    if found is None:
        raise Unusable(f"{name} is no time")
    return found.at
