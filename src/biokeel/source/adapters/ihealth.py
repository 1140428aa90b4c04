"""iHealth's API: blood pressure, glucose, weight, oxygen saturation, sleep, and the activity of a day.

The user is not in an answer: the subject is what the caller says. A time counts the seconds of the user's clock since
1970, beside its offset from UTC; only `LastChangeTime` is in UTC. 0 stands for what was not measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

from biokeel.contracts.topics import EventType
from biokeel.source.adapters.activities import DAY
from biokeel.source.adapters.base import Batch, Context, Record, Report, Unusable
from biokeel.source.adapters.lifestyle import (
    BLOOD_PRESSURE,
    EXERCISE,
    GLUCOSE,
    SLEEP,
    VITAL_SIGN,
    LeftOut,
    Made,
    Make,
    count,
    has_value,
    optional,
    read_parts,
    vital_sign,
)
from biokeel.source.adapters.numbers import whole
from biokeel.source.times import Moment, Precision, in_zone, may_be_seconds

_OFFSET: Final = re.compile(r"([+-])(\d{2}):?(\d{2})", re.ASCII)
_MMHG: Final = {0: 1.0, 1: 7.500616827}
_KILOGRAMS: Final = {0: 1.0, 1: 0.45359237, 2: 6.35029318}
_METRES: Final = {0: 1000.0, 1: 1609.344}
_GLUCOSE: Final = {0: ("2339-0", "mg/dL"), 1: ("15074-8", "mmol/L")}
_MEAL: Final = re.compile(r"(before|after)_(?:breakfast|lunch|dinner)", re.IGNORECASE)
_TWO_DAYS: Final = 48 * 3600
_CLOCKS_APART_MS: Final = 300_000
_NOT_MEASURED: Final = "a record whose value is 0 (not measured)"


def is_ihealth(document: dict[str, Any]) -> bool:
    """Whether `document` is an answer of the API."""
    return any(isinstance(document.get(name), list) for name in _LISTS)


def read_ihealth(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the events of a file of answers. Raises `AdapterError` where nobody says whose they are."""
    yield from read_parts(path, context, report, _parts)


def _parts(place: str, document: dict[str, Any], _report: Report) -> Iterator[tuple[str, Make, object]]:
    units = {name: document.get(name) for name in ("BPUnit", "BGUnit", "WeightUnit", "DistanceUnit")}
    for name, make in _LISTS.items():
        entries = document.get(name)
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            yield f"{place}, {name} {index}", make, entry | units if isinstance(entry, dict) else entry


def _unit(entry: Mapping[str, Any], name: str, units: Mapping[int, Any]) -> Any:
    """What the number of a unit stands for. Raises `Unusable`."""
    found = entry[name]
    if isinstance(found, bool) or not isinstance(found, int) or found not in units:
        raise Unusable(f"{name} is no unit of the API's")
    return units[found]


def _moment(entry: Mapping[str, Any], name: str, context: Context, *, day: bool = False) -> Moment:
    """The moment that the user's clock showed; with `day` the beginning of its day."""
    seconds = whole(entry.get(name), name)
    try:
        wall = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    except (ValueError, OverflowError, OSError):
        raise Unusable(f"{name} is no time") from None
    if day:
        wall = wall.replace(hour=0, minute=0, second=0)
    offset = _offset(entry.get("TimeZone"))
    exact = Precision.DAY if day else Precision.SECOND
    found = in_zone(wall if offset is None else wall.replace(tzinfo=timezone(offset)), context.zone, exact)
    if may_be_seconds(found.at):
        raise Unusable(f"{name} lies in January 1970: no time was set")
    return found


def _offset(stated: object) -> timedelta | None:
    """The offset that is written as "-0800" or as whole hours; null where there is none. Raises `Unusable`."""
    if stated is None or stated == "":
        return None
    if isinstance(stated, str) and (found := _OFFSET.fullmatch(stated)):
        minutes = int(found[2]) * 60 + int(found[3])
        hours = timedelta(minutes=-minutes if found[1] == "-" else minutes)
    elif isinstance(stated, int) and not isinstance(stated, bool):
        hours = timedelta(hours=max(-99, min(stated, 99)))
    else:
        raise Unusable("TimeZone is no offset")
    if abs(hours) > timedelta(hours=14):
        raise Unusable("TimeZone is no offset")
    return hours


def _made(event: EventType, entry: Mapping[str, Any], begun: Moment, payload: Record, part: str = "") -> Made:
    key = entry.get("DataID")
    if not isinstance(key, str) or not key:
        raise Unusable("DataID is missing")
    changed = entry.get("LastChangeTime")
    written = Moment(whole(changed, "LastChangeTime") * 1000, 0) if changed else None
    if written is not None and begun.at > written.at + _CLOCKS_APART_MS:
        raise Unusable("it begins after LastChangeTime: its clock or its TimeZone is wrong")
    return Made(event, f"{key}{part}", begun, payload, written)


def _measured(entry: Mapping[str, Any], name: str, factor: float = 1.0) -> float | None:
    """The value; null for 0, which is what was not measured."""
    return optional(entry, name, factor) or None


def _blood_pressure(entry: dict[str, Any], _place: str, context: Context, _report: Report) -> list[Made]:
    factor = _unit(entry, "BPUnit", _MMHG)
    systolic, diastolic = _measured(entry, "HP", factor), _measured(entry, "LP", factor)
    if systolic is None and diastolic is None:
        raise LeftOut(_NOT_MEASURED)
    payload = {
        "panel_code": "85354-9",
        "systolic": systolic,
        "diastolic": diastolic,
        "heart_rate": _measured(entry, "HR"),
        "status": "final",
    }
    return [_made(BLOOD_PRESSURE, entry, _moment(entry, "MDate", context), payload)]


def _glucose(entry: dict[str, Any], _place: str, context: Context, _report: Report) -> list[Made]:
    code, unit = _unit(entry, "BGUnit", _GLUCOSE)
    value = _measured(entry, "BG")
    if value is None:
        raise LeftOut(_NOT_MEASURED)
    meal = _MEAL.fullmatch(str(entry.get("DinnerSituation")))
    payload = {
        "code": code,
        "value": value,
        "value_unit": unit,
        "relation_to_meal": f"{meal[1].lower()}_meal" if meal else None,
        "status": "final",
    }
    return [_made(GLUCOSE, entry, _moment(entry, "MDate", context), payload)]


def _weight(entry: dict[str, Any], _place: str, context: Context, _report: Report) -> list[Made]:
    weight = _measured(entry, "WeightValue", _unit(entry, "WeightUnit", _KILOGRAMS))
    if weight is None:
        raise LeftOut(_NOT_MEASURED)
    return [_made(VITAL_SIGN, entry, _moment(entry, "MDate", context), vital_sign("29463-7", weight, "kg"))]


def _oxygen(entry: dict[str, Any], _place: str, context: Context, _report: Report) -> list[Made]:
    begun = _moment(entry, "MDate", context)
    found = ((_measured(entry, "BO"), "59408-5", "%", ""), (_measured(entry, "HR"), "8867-4", "/min", "/heart-rate"))
    made = [
        _made(VITAL_SIGN, entry, begun, vital_sign(code, value, unit), part)
        for value, code, unit, part in found
        if value is not None
    ]
    if not made:
        raise LeftOut(_NOT_MEASURED)
    return made


def _day(entry: dict[str, Any], _place: str, context: Context, _report: Report) -> list[Made]:
    steps = _measured(entry, "Steps")
    payload = {
        "activity": DAY,
        "steps": None if steps is None else count(steps, "Steps"),
        "distance": _measured(entry, "DistanceTraveled", _unit(entry, "DistanceUnit", _METRES)),
        "energy": _measured(entry, "Calories"),
    }
    if not has_value(payload, "activity"):
        raise LeftOut(_NOT_MEASURED)
    return [_made(EXERCISE, entry, _moment(entry, "MDate", context, day=True), payload)]


def _sport(_entry: dict[str, Any], _place: str, _context: Context, _report: Report) -> list[Made]:
    # Seen with a FromDevice record: read as the others' times, it began eight hours after it was written.
    raise Unusable("whether a sport's times are of the user's clock or in UTC is not documented")


def _sleep(entry: dict[str, Any], _place: str, context: Context, _report: Report) -> list[Made]:
    begun, ended = _moment(entry, "StartTime", context), _moment(entry, "EndTime", context)
    if not 0 <= ended.at - begun.at <= _TWO_DAYS * 1000:
        raise Unusable("EndTime is before StartTime, or days after it")
    asleep = _measured(entry, "HoursSlept")  # its name notwithstanding, in minutes
    if asleep is not None and asleep * 60_000 > ended.at - begun.at:
        raise Unusable("HoursSlept is longer than from StartTime to EndTime")
    return [_made(SLEEP, entry, begun, {"ended_at": ended.at, "minutes_asleep": asleep})]


_LISTS: Final[dict[str, Make]] = {
    "BPDataList": _blood_pressure,
    "BGDataList": _glucose,
    "WeightDataList": _weight,
    "BODataList": _oxygen,
    "ARDataList": _day,
    "SPORTDataList": _sport,
    "SRDataList": _sleep,
}
