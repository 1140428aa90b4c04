"""Open mHealth: bodies of blood-pressure, blood-glucose, physical-activity, step-count, sleep-duration,
total-sleep-time and sleep-episode, bare or in a data point with a header; one in a file or a list of them.

The subject is `app/<site>` with the header's user id, or what the caller says. What the schemas forbid (an unknown
unit, relation or time frame) becomes a problem; so does an aggregate (`descriptive_statistic`), which is no
measurement, and a body without a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from biokeel.contracts.topics import EventType, event_type
from biokeel.source.adapters.base import (
    MALFORMED,
    Batch,
    Context,
    Record,
    Report,
    Subject,
    Unusable,
    content_key,
    ending,
    read_json,
    stated_times,
    subject_of,
)
from biokeel.source.times import Moment, moment

_SECONDS: Final = {"s": 1.0, "sec": 1.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0, "wk": 604_800.0}
_METRES: Final = {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "km": 1e3, "in": 0.0254, "ft": 0.3048, "yd": 0.9144, "mi": 1609.344}
_POSTURES: Final = {
    "sitting": "sitting",
    "standing": "standing",
    "lying down": "supine",
    "semi-recumbent": "semi-recumbent",
}
_MEALS: Final = {
    "fasting": "fasting",
    "not fasting": "unknown",
    "with meal": "after_meal",
    "with food": "after_meal",
    "2 hours postprandial": "after_meal",
    **{f"before {meal}": "before_meal" for meal in ("meal", "breakfast", "lunch", "dinner")},
    **{f"after {meal}": "after_meal" for meal in ("meal", "breakfast", "lunch", "dinner")},
}
_SPECIMENS: Final = {
    "capillary blood": "capillary_blood",
    "interstitial fluid": "interstitial_fluid",
    "plasma": "plasma",
    "serum": "serum",
    "whole blood": "blood",
}
_GLUCOSE_CODES: Final = {
    # (specimen, unit): LOINC code
    ("capillary_blood", "mg/dL"): "41653-7",
    ("capillary_blood", "mmol/L"): "14743-9",
    ("interstitial_fluid", "mg/dL"): "99504-3",
    ("interstitial_fluid", "mmol/L"): "14745-4",
    ("plasma", "mg/dL"): "2345-7",
    ("plasma", "mmol/L"): "14749-6",
    ("serum", "mg/dL"): "2345-7",
    ("serum", "mmol/L"): "14749-6",
    ("blood", "mg/dL"): "2339-0",
    ("blood", "mmol/L"): "15074-8",
}
_ALLOWED: Final = {
    "temporal_relationship_to_meal": frozenset(_MEALS),
    "temporal_relationship_to_sleep": frozenset({"before sleeping", "during sleep", "on waking"}),
    "temporal_relationship_to_physical_activity": frozenset(
        {"at rest", "active", "before exercise", "after exercise", "during exercise"}
    ),
    "specimen_source": frozenset({*_SPECIMENS, "tears", "saliva", "urine"}),
    "blood_specimen_type": frozenset({"whole blood", "plasma"}),
    "reported_activity_intensity": frozenset({"light", "moderate", "vigorous"}),
}
"""Elements whose values the schemas list."""


def read_openmhealth(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the events of a file of Open mHealth bodies or data points. Raises `AdapterError` where it is no JSON."""
    document = read_json(path)
    points = document if isinstance(document, list) else [document]
    for index, point in enumerate(points):
        place = f"entry {index}"
        try:
            event, record = _event(point, context)
        except Unusable as fault:
            report.problem(place, str(fault))
        except MALFORMED:
            report.problem(place, "its JSON does not have the structure of Open mHealth")
        else:
            yield Batch(event, [record], [place])


def _event(point: Any, context: Context) -> tuple[EventType, Record]:
    header, body = _parts(point)
    event, build = _measure(body)
    for name, allowed in _ALLOWED.items():
        if name in body and body[name] not in allowed:
            raise Unusable(f"{name} is none of the schema's values")
    if "descriptive_statistic" in body:
        raise Unusable("descriptive_statistic: an aggregate over an interval is no measurement")
    start, end = _time_frame(body, context)
    subject = _subject(header, context)
    written = moment(header.get("creation_date_time"), context.zone)
    key = header["id"] if header else f"{subject.scheme}/{subject.value}/{content_key(body)}"
    envelope = {
        "event_id": context.ids.of(event, key),
        "source_id": context.source_id,
        "subject_scheme": subject.scheme,
        "subject_id": subject.value,
    }
    return event, envelope | stated_times(start, written, context) | build(body, start, end)


def _parts(point: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    if not isinstance(point, dict):
        raise Unusable("no JSON object")
    if "header" not in point:
        return {}, point
    header, body = point["header"], point.get("body")
    if not isinstance(header, dict) or not isinstance(body, dict):
        raise Unusable("a data point needs a header and a body")
    missing = [name for name in ("id", "creation_date_time", "schema_id") if not header.get(name)]
    if missing:
        raise Unusable(f"header lacks {', '.join(missing)}")
    if not isinstance(header["id"], str):
        raise Unusable("header.id is no text")
    return header, body


def _subject(header: dict[str, Any], context: Context) -> Subject:
    """The user that the header names, in either of two places; the caller's person where it names none."""
    provenance = header.get("acquisition_provenance") or {}
    named = {
        "header.user_id": header.get("user_id"),
        "header.acquisition_provenance.user_id": provenance.get("user_id"),
    }
    users = {subject_of(f"app/{context.site}", user, name) for name, user in named.items() if user is not None}
    if len(users) > 1:
        raise Unusable("the header names two users")
    if users:
        return users.pop()
    if context.subject is None:
        raise Unusable("no user id in the header, and no --subject")
    return context.subject


def _time_frame(body: dict[str, Any], context: Context) -> tuple[Moment, Moment | None]:
    """Start, and end where the frame is an interval. An interval is two of start, end and duration."""
    frame = body.get("effective_time_frame")
    if not isinstance(frame, dict):
        raise Unusable("no effective_time_frame")
    if ("date_time" in frame) == ("time_interval" in frame):
        raise Unusable("effective_time_frame must hold either date_time or time_interval")
    if "date_time" in frame:
        return _moment(frame["date_time"], context, "date_time"), None
    interval = frame["time_interval"]
    parts = [name for name in ("start_date_time", "end_date_time", "duration") if name in interval]
    if len(parts) != 2:
        raise Unusable("time_interval must hold two of start_date_time, end_date_time and duration")
    known = {name: _moment(interval[name], context, name) for name in parts if name != "duration"}
    start, end = known.get("start_date_time"), known.get("end_date_time")
    if start is not None and end is not None:
        ending(start, end, "the end of time_interval")
        return start, end
    length = round(_amount(interval, "duration", _SECONDS) * 1000)
    if start is not None:
        return start, start._replace(at=start.at + length)
    assert end is not None, "two of three parts are there"
    return end._replace(at=end.at - length), end


def _moment(text: Any, context: Context, name: str) -> Moment:
    found = moment(text, context.zone)
    if found is None:
        raise Unusable(f"{name} is no date and time")
    return found


def _amount(holder: dict[str, Any], name: str, units: dict[str, float]) -> float:
    """The unit value `name` in the unit that has the factor 1. Raises `Unusable` for a unit that the schema has not."""
    found = holder.get(name)
    if not isinstance(found, dict) or isinstance(found.get("value"), bool | str | None):
        raise Unusable(f"{name} has no numeric value")
    if found.get("unit") not in units:
        raise Unusable(f"{name} has a unit that the schema does not know")
    return float(found["value"]) * units[found["unit"]]


def _optional(holder: dict[str, Any], name: str, units: dict[str, float]) -> float | None:
    return _amount(holder, name, units) if name in holder else None


Build = Callable[[dict[str, Any], Moment, Moment | None], Record]
"""The payload of an event from a body and its time frame."""


def _blood_pressure(body: dict[str, Any], _start: Moment, _end: Moment | None) -> Record:
    posture = body.get("body_posture", body.get("position_during_measurement"))
    if posture is not None and posture not in _POSTURES:
        raise Unusable("body_posture is none of the schema's values")
    return {
        "panel_code": "85354-9",
        "systolic": _amount(body, "systolic_blood_pressure", {"mmHg": 1.0}),
        "diastolic": _amount(body, "diastolic_blood_pressure", {"mmHg": 1.0}),
        "body_position": _POSTURES[posture] if posture else None,
        "status": "final",
    }


def _glucose(body: dict[str, Any], _start: Moment, _end: Moment | None) -> Record:
    value = _amount(body, "blood_glucose", {"mg/dL": 1.0, "mmol/L": 1.0})
    unit = body["blood_glucose"]["unit"]
    source = body.get("specimen_source", body.get("blood_specimen_type"))
    specimen = _SPECIMENS.get(source) if source else None
    if source and specimen is None:
        raise Unusable("specimen_source is no blood and no interstitial fluid")
    meal = body.get("temporal_relationship_to_meal")
    return {
        "code": _GLUCOSE_CODES[specimen or "blood", unit],
        "value": value,
        "value_unit": unit,
        "relation_to_meal": _MEALS[meal] if meal else None,
        "specimen": specimen,
        "status": "final",
    }


def _activity(body: dict[str, Any], start: Moment, end: Moment | None) -> Record:
    name = re.sub(r"[^a-z]+", "_", str(body["activity_name"]).lower()).strip("_")[:40]
    if not name:
        raise Unusable("activity_name has no letters")
    seconds = _optional(body, "duration", _SECONDS)
    return {
        "activity": name,
        "duration": seconds if seconds is not None else _seconds(start, end),
        "distance": _optional(body, "distance", _METRES),
        "intensity": body.get("reported_activity_intensity"),
        "energy": _optional(body, "kcal_burned", {"kcal": 1.0}),
    }


def _steps(body: dict[str, Any], start: Moment, end: Moment | None) -> Record:
    found = body["step_count"]
    if isinstance(found, dict):
        found = _amount(body, "step_count", {"steps": 1.0})
    if isinstance(found, bool | str | None) or found != int(found):
        raise Unusable("step_count is no whole number")
    return {"activity": "walking", "steps": int(found), "duration": _seconds(start, _interval(end))}


def _sleep(body: dict[str, Any], start: Moment, end: Moment | None) -> Record:
    ended = _interval(end)
    asleep = "total_sleep_time" if "total_sleep_time" in body else "sleep_duration"
    minutes = {"min": 1.0, "h": 60.0}
    return {
        "ended_at": ending(start, ended, "the end of time_interval"),
        "minutes_asleep": _optional(body, asleep, minutes),
        "minutes_light": _optional(body, "light_sleep_duration", minutes),
        "minutes_deep": _optional(body, "deep_sleep_duration", minutes),
        "minutes_rem": _optional(body, "rem_sleep_duration", minutes),
        "is_main_sleep": body.get("is_main_sleep"),
    }


def _interval(end: Moment | None) -> Moment:
    if end is None:
        raise Unusable("effective_time_frame must be a time_interval")
    return end


def _seconds(start: Moment, end: Moment | None) -> float | None:
    return (end.at - start.at) / 1000 if end is not None else None


_EXERCISE: Final = event_type("lifestyle.exercise")
_SLEEP: Final = event_type("lifestyle.sleep")
MEASURES: Final[dict[str, tuple[EventType, Build]]] = {
    "systolic_blood_pressure": (event_type("clinical.blood_pressure"), _blood_pressure),
    "diastolic_blood_pressure": (event_type("clinical.blood_pressure"), _blood_pressure),
    "blood_glucose": (event_type("clinical.glucose"), _glucose),
    "activity_name": (_EXERCISE, _activity),
    "step_count": (_EXERCISE, _steps),
    "sleep_duration": (_SLEEP, _sleep),
    "total_sleep_time": (_SLEEP, _sleep),
    "number_of_awakenings": (_SLEEP, _sleep),
}
"""Which element tells what a body measures, the first that is there."""


def _measure(body: dict[str, Any]) -> tuple[EventType, Build]:
    for name, measure in MEASURES.items():
        if name in body:
            return measure
    raise Unusable("no measure that an event type is for")
