"""Open mHealth and IEEE 1752.1: data points with a header, data series, bare bodies, and what shimmer wraps them in.

The subject is `app/<site>` with the header's user id, or what the caller says. What the schemas forbid (an unknown
unit, relation or time frame) becomes a problem, and so does a header that says another thing than its body. An
aggregate (`descriptive_statistic`) is no measurement and is counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from biokeel.source.adapters.base import (
    MALFORMED,
    Batch,
    Context,
    Held,
    Record,
    Report,
    Subject,
    Unusable,
    content_key,
    ending,
    subject_of,
)
from biokeel.source.adapters.envelope import documents
from biokeel.source.adapters.lifestyle import EXERCISE, LeftOut, envelope
from biokeel.source.adapters.openmhealth_measures import (
    ELEMENTS,
    MEASURES,
    NO_EVENTS,
    SECONDS,
    UNMEASURED,
    Body,
    Frame,
    Measure,
    amount,
    check,
    is_aggregate,
)
from biokeel.source.times import Moment, moment

_VERSION: Final = re.compile(r"([0-9]{1,3})\.(?:[0-9]{1,3}|x)")
_BY_SCHEMA: Final = {name: (measure, majors) for measure in MEASURES for name, majors in measure.schemas.items()}
_AGGREGATE: Final = "an aggregate (descriptive_statistic)"
_LONGEST_MS: Final = 200 * 366 * 86_400_000
"""Two centuries: what is longer is no time span of a person."""


class Header(NamedTuple):
    """What a header says: whose the data point is, its id, its schema's name and major version, when it was written."""

    user: Subject | None
    key: str
    schema: str
    major: int
    written: Moment


def is_openmhealth(document: dict[str, Any]) -> bool:
    """Whether `document` is a data point, a body, or shimmer's wrapper of some."""
    if "shim" in document and "body" in document:
        return True
    header = document.get("header")
    if isinstance(header, dict):
        return "body" in document or "schema_id" in header
    plain = {"activity_name", "step_count"}  # other elements are objects; other formats have numbers of these names
    return "effective_time_frame" in document or any(
        isinstance(document[name], dict) or name in plain for name in ELEMENTS & document.keys()
    )


def read_openmhealth(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the events of a file of bodies or data points. Raises `AdapterError` where it is no JSON."""
    held = Held()
    seen: set[str] = set()
    for place, point in _points(documents(path, report)):
        try:
            measure, record = _event(point, place, context, report)
        except Unusable as fault:
            report.problem(place, str(fault))
        except MALFORMED:
            report.problem(place, "its JSON does not have the structure of Open mHealth")
        except LeftOut as what:
            report.leave_out(place, str(what))
        else:
            if "in_series" in point:
                if record["event_id"] in seen:
                    report.problem(place, "the series has another body of the same time frame")
                    continue
                seen.add(record["event_id"])
            held.add(measure.event, record, place)
        if held.full:
            yield from held.hand_on()
    yield from held.hand_on()


def _points(documents: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, Any]]:
    """Each data point, or body, with its place; those of a data series have its header."""
    for place, point in documents:
        if "shim" in point:
            inside = point.get("body")
            points = inside if isinstance(inside, list) else [inside]
            yield from ((f"{place}, body {number}", each) for number, each in enumerate(points))
        elif isinstance(point.get("body"), list):
            for number, body in enumerate(point["body"]):
                yield f"{place}, body {number}", {"header": point.get("header"), "body": body, "in_series": True}
        else:
            yield place, point


def _event(point: Any, place: str, context: Context, report: Report) -> tuple[Measure, Record]:
    header, body = _parts(point, context)
    measure = _measure(header, body)
    check(body)
    frame = _frame(body, measure, context)
    subject = (header.user if header else None) or context.subject
    if subject is None:
        raise Unusable("no user id in the header, and no --subject")
    payload = measure.build(body, frame, place, report)
    if is_aggregate(body, measure):
        raise LeftOut(_AGGREGATE)
    _hold_to_length(frame, measure)
    key = header.key if header else f"{subject.scheme}/{subject.value}/{content_key(body)}"
    if "in_series" in point:
        key = f"{key}/{frame.start.at}/{frame.end.at if frame.end else ''}"
    written = header.written if header else None
    return measure, envelope(context, measure.event, key, subject, frame.start, written=written) | payload


def _parts(point: Any, context: Context) -> tuple[Header | None, Body]:
    if not isinstance(point, dict):
        raise Unusable("no JSON object")
    if "header" not in point:
        return None, point
    header, body = point["header"], point.get("body")
    if not isinstance(header, dict) or not isinstance(body, dict):
        raise Unusable("a data point needs a header and a body")
    return _header(header, context), body


def _header(header: dict[str, Any], context: Context) -> Header:
    """Open mHealth's header (id, creation_date_time), or that of IEEE 1752.1 (uuid, source_creation_date_time)."""
    user = _user(header, context)  # first: of all that may be wrong whose it is matters most
    keys = {header[name] for name in ("id", "uuid") if isinstance(header.get(name), str) and header[name]}
    if any(name in header and not isinstance(header[name], str) for name in ("id", "uuid")):
        raise Unusable("header.id is no text")
    if len(keys) != 1:
        raise Unusable("header lacks id (or uuid)" if not keys else "header.id and header.uuid differ")
    times = [name for name in ("creation_date_time", "source_creation_date_time") if name in header]
    if not times:
        raise Unusable("header lacks creation_date_time (or source_creation_date_time)")
    schema = header.get("schema_id")
    if not isinstance(schema, dict):
        raise Unusable("header lacks schema_id")
    if schema.get("namespace") not in {"omh", "ieee"}:
        raise Unusable("header.schema_id.namespace is neither omh nor ieee")
    version = schema.get("version")
    stated = _VERSION.fullmatch(version) if isinstance(version, str) else None
    if stated is None or not isinstance(schema.get("name"), str):
        raise Unusable("header.schema_id needs a name and a version")
    return Header(
        user,
        keys.pop(),
        schema["name"].replace("_", "-"),
        int(stated[1]),
        _moment(header[times[0]], f"header.{times[0]}", context),
    )


def _measure(header: Header | None, body: Body) -> Measure:
    """What `body` measures: what its header's schema says, and its elements must agree; else what they are."""
    has = [measure for measure in MEASURES if any(name in body for name in measure.has)]
    if header is None:
        if not has:
            other = next((schema for name, schema in UNMEASURED.items() if name in body), None)
            if other is not None:
                raise LeftOut(f"schema {other}")
            raise Unusable("no element that an event type is for")
        if _is_mixed(has):
            raise Unusable("the body holds more than one measure")
        return has[0]
    if header.schema in NO_EVENTS:
        raise LeftOut(f"schema {header.schema}")
    if header.schema not in _BY_SCHEMA:
        raise Unusable("header.schema_id.name is no schema that is known")
    measure, majors = _BY_SCHEMA[header.schema]
    if header.major not in majors:
        raise Unusable("header.schema_id.version is none that is known")
    is_episode = header.schema == "sleep-episode"  # which needs nothing but its time frame
    if _is_mixed([measure, *has]) or (measure not in has and not is_episode):
        raise Unusable("the body is not what header.schema_id says")
    return measure


def _is_mixed(measures: list[Measure]) -> bool:
    """Whether they are several; activity, steps and energy may be of one exercise."""
    return (
        len({measure.has for measure in measures if measure.event != EXERCISE})
        + any(measure.event == EXERCISE for measure in measures)
        > 1
    )


def _user(header: dict[str, Any], context: Context) -> Subject | None:
    """The user that the header names, in either of two places; null where it names none."""
    provenance = header.get("acquisition_provenance") or {}
    if not isinstance(provenance, dict):
        raise Unusable("header.acquisition_provenance is no object")
    named = {
        "header.user_id": header.get("user_id"),
        "header.acquisition_provenance.user_id": provenance.get("user_id"),
    }
    users = {subject_of(f"app/{context.site}", user, name) for name, user in named.items() if user is not None}
    if len(users) > 1:
        raise Unusable("the header names two users")
    return users.pop() if users else None


def _frame(body: Body, measure: Measure, context: Context) -> Frame:
    """The body's time frame. An interval is two of start, end and duration. Raises `Unusable`."""
    frame = body.get("effective_time_frame")
    if not isinstance(frame, dict):
        raise Unusable("no effective_time_frame")
    if ("date_time" in frame) == ("time_interval" in frame):
        raise Unusable("effective_time_frame must hold either date_time or time_interval")
    if "date_time" in frame:
        if measure.span:
            raise Unusable("effective_time_frame must be a time_interval")
        return Frame(_moment(frame["date_time"], "date_time", context), None)
    interval = frame["time_interval"]
    if not isinstance(interval, dict):
        raise Unusable("time_interval is no object")
    if "part_of_day" in interval:
        raise Unusable("time_interval names a part of a day, and no time")
    parts = [name for name in ("start_date_time", "end_date_time", "duration") if name in interval]
    if len(parts) != 2:
        raise Unusable("time_interval must hold two of start_date_time, end_date_time and duration")
    known = {name: _moment(interval[name], name, context) for name in parts if name != "duration"}
    start, end = known.get("start_date_time"), known.get("end_date_time")
    if start is not None and end is not None:
        return Frame(start, end)
    length = amount(interval, "duration", SECONDS) * 1000
    if length > _LONGEST_MS:
        raise Unusable("time_interval.duration is longer than a life")
    if start is not None:
        return Frame(start, start._replace(at=start.at + round(length)))
    assert end is not None, "two of three parts are there"
    return Frame(end._replace(at=end.at - round(length)), end)


def _hold_to_length(frame: Frame, measure: Measure) -> None:
    if frame.end is None:
        return
    ending(frame.start, frame.end, "the end of time_interval")
    if frame.seconds is not None and frame.seconds > measure.longest:
        raise Unusable("time_interval is longer than one measurement, bout, day or night")


def _moment(text: Any, name: str, context: Context) -> Moment:
    found = moment(text, context.zone)
    if found is None or "T" not in text:
        raise Unusable(f"{name} is no date and time")
    return found
