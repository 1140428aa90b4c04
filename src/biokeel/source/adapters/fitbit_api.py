"""Fitbit's web API: answers of activities, activity logs, time series, heart rate by the minute, sleep, weight, food.

The user is not in an answer: the subject is what the caller says. Times are of the user's clock and have no zone.
Values are metric, as the API gives them where a request has no Accept-Language; answers in pounds or stone are refused
where the body mass index beside the weight shows it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from biokeel.observe.visible import visible
from biokeel.source.adapters.activities import DAY, activity_of
from biokeel.source.adapters.base import Batch, Context, Record, Report, Unusable
from biokeel.source.adapters.lifestyle import (
    DIET,
    EXERCISE,
    SLEEP,
    VITAL_SIGN,
    LeftOut,
    Made,
    Make,
    activity,
    count,
    optional,
    positive,
    read_parts,
    vital_sign,
)
from biokeel.source.adapters.numbers import number, number_of_text
from biokeel.source.times import Moment, Precision, moment

_METRES: Final = {"Kilometer": 1000.0, "Meter": 1.0, "Mile": 1609.344}
_GRAMS: Final = {
    **dict.fromkeys(("g", "gram", "grams"), 1.0),
    **dict.fromkeys(("kg", "kilogram", "kilograms"), 1000.0),
    **dict.fromkeys(("oz", "ounce", "ounces"), 28.349523125),
}
_MEALS: Final = {1: "breakfast", 2: "snack", 3: "lunch", 4: "snack", 5: "dinner", 7: "unknown"}
_VENDORS_FOOD: Final = re.compile(r"[0-9]{1,6}")
_HEIGHTS: Final = (1.0, 2.1)
"""Metres that a weight in kilograms and its body mass index imply; a weight in pounds implies half as much again."""
_SECONDS_APART: Final = 300
_TWO_DAYS_MS: Final = 48 * 3_600_000
_LONGEST_NAME: Final = 60
_NOT_DATED: Final = "summary (the answer does not name its day)"


def is_fitbit_api(document: dict[str, Any]) -> bool:
    """Whether `document` is an answer of the API, or one log of a user's own download (Google Takeout)."""
    if "dateOfSleep" in document or ("logId" in document and "activityName" in document):
        return True
    lists = {name for name, value in document.items() if isinstance(value, list)}
    if any(name.startswith(("activities-", "body-")) for name in lists):
        return True
    return bool(lists & _LISTS.keys()) and document.keys() <= _LISTS.keys() | _BESIDE


def read_fitbit_api(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the events of a file of answers. Raises `AdapterError` where nobody says whose they are."""
    yield from read_parts(path, context, report, _parts)


def _parts(place: str, document: dict[str, Any], report: Report) -> Iterator[tuple[str, Make, object]]:
    """Every log and every day of an answer; what has no event is counted by the name of its key."""
    if "dateOfSleep" in document:
        yield place, _sleep, document
    elif "logId" in document and "activityName" in document:
        yield place, _activity, document
    else:
        for name, value in document.items():
            where = f"{place}, {_shown(name)}"
            make = _LISTS.get(name)
            if name == "activities-heart-intraday":
                yield from _minutes(document, where, report)
            elif make is not None and isinstance(value, list):
                yield from ((f"{where} {index}", make, each) for index, each in enumerate(value))
            elif name == "summary" and "activities" in document:
                report.leave_out(where, _NOT_DATED)
            elif name not in _BESIDE:
                report.leave_out(where, _shown(name))


def _shown(name: str) -> str:
    return visible(name[:_LONGEST_NAME])


def _minutes(document: dict[str, Any], where: str, report: Report) -> Iterator[tuple[str, Make, object]]:
    """The heart rates of a day by the minute or second; the answer's other part names the day."""
    inside = document["activities-heart-intraday"]
    days = document.get("activities-heart")
    day = days[0].get("dateTime") if isinstance(days, list) and len(days) == 1 and isinstance(days[0], dict) else None
    rows = inside.get("dataset") if isinstance(inside, dict) else None
    if not isinstance(day, str) or not isinstance(rows, list):
        report.problem(where, "heart rates without the one day they are of")
        return
    for index, row in enumerate(rows):
        yield f"{where} {index}", _heart_rate, row | {"day": day} if isinstance(row, dict) else row


def _heart_rate(row: dict[str, Any], _place: str, context: Context, _report: Report) -> list[Made]:
    begun = _wall(row["day"], row.get("time"), "time", context)
    rate = positive(number(row.get("value"), "value"), "value")
    key = f"heart-rate/{row['day']}T{row['time']}"
    return [Made(VITAL_SIGN, key, begun, vital_sign("8867-4", rate, "/min"))]


def _wall(day: object, time: object, name: str, context: Context) -> Moment:
    """The moment of a date and a time that stand apart."""
    if not isinstance(day, str) or not isinstance(time, str):
        raise Unusable(f"{name} is missing")
    return _moment(f"{day}T{time}", name, context)


def _moment(text: object, name: str, context: Context) -> Moment:
    found = moment(text, context.zone)
    if found is None or "T" not in str(text):
        raise Unusable(f"{name} is no date and time")
    return found


def _day(text: object, name: str, context: Context) -> Moment:
    found = moment(text, context.zone)
    if found is None or found.precision is not Precision.DAY:
        raise Unusable(f"{name} is no day")
    return found


def _key(log: dict[str, Any], kind: str, otherwise: object) -> str:
    """The log's own id; else when it began."""
    found = log.get("logId")
    if isinstance(found, bool) or not isinstance(found, int | str | None):
        raise Unusable("logId is neither a number nor text")
    return f"{kind}/{otherwise if found is None else found}"


def _activity(log: dict[str, Any], place: str, context: Context, report: Report) -> list[Made]:
    start = log.get("startTime")
    if isinstance(start, str) and "T" in start:
        begun = _moment(start, "startTime", context)
    elif log.get("hasStartTime") is False:  # then startTime is made up
        begun = _day(log.get("startDate"), "startDate", context)
    else:
        begun = _wall(log.get("startDate"), start, "startTime", context)
    name = log.get("activityName", log.get("name"))
    parent = log.get("activityParentName")
    if isinstance(name, str) and activity_of(name) is None and isinstance(parent, str):
        name = parent
    steps = log.get("steps")
    unit = log.get("distanceUnit", "Kilometer")
    if not isinstance(unit, str) or unit not in _METRES:
        raise Unusable("distanceUnit is none of kilometre, metre and mile")
    lasted = optional(log, "activeDuration", 1e-3)
    written = moment(log.get("lastModified"), context.zone)
    payload = {
        "activity": activity(name, place, report),
        "duration": optional(log, "duration", 1e-3) if lasted is None else lasted,
        "steps": None if steps is None else count(steps, "steps"),
        "distance": optional(log, "distance", _METRES[unit]),
        "energy": optional(log, "calories"),
        "heart_rate": optional(log, "averageHeartRate"),
    }
    return [Made(EXERCISE, _key(log, "activity", begun.at), begun, payload, written)]


def _of_day(field: str, factor: float) -> Make:
    """A time series: what a device counted on each day."""

    def make(row: dict[str, Any], _place: str, context: Context, _report: Report) -> list[Made]:
        begun = _day(row.get("dateTime"), "dateTime", context)
        text = row.get("value")
        value = number_of_text(text, "value") if isinstance(text, str) else number(text, "value")
        payload: Record = {
            "activity": DAY,
            field: count(value, "value") if field == "steps" else positive(value * factor, "value"),
        }
        return [Made(EXERCISE, f"day/{field}/{row['dateTime']}", begun, payload)]

    return make


def _sleep(log: dict[str, Any], _place: str, context: Context, _report: Report) -> list[Made]:
    begun = _moment(log.get("startTime"), "startTime", context)
    ended = _end(log, begun, context)
    levels = log.get("levels")
    summary = levels.get("summary") if isinstance(levels, dict) else None
    stages = summary if isinstance(summary, dict) else {}
    main = log.get("isMainSleep")
    payload = {
        "ended_at": ended.at if ended else None,
        "minutes_asleep": optional(log, "minutesAsleep"),
        "minutes_in_bed": optional(log, "timeInBed"),
        "minutes_light": _stage(stages, "light"),
        "minutes_deep": _stage(stages, "deep"),
        "minutes_rem": _stage(stages, "rem"),
        "minutes_awake": optional(log, "minutesAwake"),
        "is_main_sleep": main if isinstance(main, bool) else None,
    }
    return [Made(SLEEP, _key(log, "sleep", log["startTime"]), begun, payload)]


def _stage(stages: dict[str, Any], name: str) -> float | None:
    """Minutes of a stage; a classic log has none."""
    found = stages.get(name)
    return optional(found, "minutes") if isinstance(found, dict) else None


def _end(log: dict[str, Any], begun: Moment, context: Context) -> Moment | None:
    """When a sleep ended: `endTime`; where the clock was changed in between, `duration` after its beginning."""
    lasted = optional(log, "duration")
    stated = _moment(log["endTime"], "endTime", context) if log.get("endTime") is not None else None
    if lasted is not None and lasted > _TWO_DAYS_MS:
        raise Unusable("duration is longer than two days")
    counted = None if lasted is None else begun._replace(at=begun.at + round(lasted))
    if stated is None or counted is None:
        ended = stated or counted
    else:
        apart = abs(stated.at - counted.at) / 1000
        if min(apart, abs(apart - 3600)) > _SECONDS_APART:
            raise Unusable("endTime is not startTime and duration")
        ended = stated if apart <= _SECONDS_APART else counted
    if ended is not None and not 0 <= ended.at - begun.at <= _TWO_DAYS_MS:
        raise Unusable("endTime is before startTime, or days after it")
    return ended


def _weight(log: dict[str, Any], _place: str, context: Context, _report: Report) -> list[Made]:
    begun = _wall(log.get("date"), log.get("time"), "time", context)
    weight = positive(number(log.get("weight"), "weight"), "weight")
    index = optional(log, "bmi")
    if index and not _HEIGHTS[0] <= math.sqrt(weight / index) <= _HEIGHTS[1]:
        raise Unusable("weight is not in kilograms, as the bmi beside it shows")
    return [Made(VITAL_SIGN, _key(log, "weight", begun.at), begun, vital_sign("29463-7", weight, "kg"))]


def _food(log: dict[str, Any], _place: str, context: Context, _report: Report) -> list[Made]:
    begun = _day(log.get("logDate"), "logDate", context)
    eaten, nutrients = log.get("loggedFood"), log.get("nutritionalValues") or {}
    if not isinstance(eaten, dict) or not isinstance(nutrients, dict):
        raise Unusable("loggedFood is missing")
    unit = eaten.get("unit")
    grams = _GRAMS.get(str(unit.get("name")).casefold()) if isinstance(unit, dict) else None
    food, energy = str(eaten.get("foodId")), optional(nutrients, "calories")
    payload = {
        "meal": _MEALS.get(_whole(eaten.get("mealTypeId")), "unknown"),
        "food_code": f"F{food}" if _VENDORS_FOOD.fullmatch(food) else None,
        "amount": None if grams is None else optional(eaten, "amount", grams),
        "energy": optional(eaten, "calories") if energy is None else energy,
        "carbohydrate": optional(nutrients, "carbs"),
        "protein": optional(nutrients, "protein"),
        "fat": optional(nutrients, "fat"),
        "sodium": optional(nutrients, "sodium"),
    }
    if "logId" not in log:
        raise Unusable("logId is missing")
    return [Made(DIET, _key(log, "food", ""), begun, payload)]


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _no_event(what: str) -> Make:
    def make(_part: dict[str, Any], _place: str, _context: Context, _report: Report) -> list[Made]:
        raise LeftOut(what)

    return make


_LISTS: Final[dict[str, Make]] = {
    "activities": _activity,
    "activities-steps": _of_day("steps", 1),
    "activities-distance": _of_day("distance", 1000),
    "activities-calories": _of_day("energy", 1),
    "activities-heart": _no_event("activities-heart (zones and means of a day)"),
    "sleep": _sleep,
    "weight": _weight,
    "foods": _food,
}
"""What an answer's list holds."""
_BESIDE: Final = frozenset({"goals", "summary", "pagination", "meta"})
"""What stands beside a list and is no data of the person's, or the sum of the list."""
