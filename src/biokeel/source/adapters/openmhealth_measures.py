"""What bodies of Open mHealth and IEEE 1752.1 measure: schemas, their elements and units, and the event of each.

Rules, units and value sets are those of the published schemas: https://w3id.org/openmhealth/schemas/omh and
https://w3id.org/ieee/ieee-1752-schema (IEEE 1752.1-2021, and its draft of metabolic measures).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from biokeel.contracts.topics import EventType
from biokeel.source.adapters.activities import DAY, UNKNOWN
from biokeel.source.adapters.base import Record, Report, Unusable
from biokeel.source.adapters.lifestyle import (
    BLOOD_PRESSURE,
    DIET,
    EXERCISE,
    GLUCOSE,
    SLEEP,
    VITAL_SIGN,
    LeftOut,
    activity,
    count,
    positive,
    vital_sign,
)
from biokeel.source.adapters.numbers import number
from biokeel.source.times import Moment

Body = dict[str, Any]
"""The body of a data point, as JSON has it."""

SECONDS: Final = {
    "ps": 1e-12,
    "ns": 1e-9,
    "us": 1e-6,
    "ms": 1e-3,
    "sec": 1.0,
    "min": 60.0,
    "h": 3_600.0,
    "d": 86_400.0,
    "wk": 604_800.0,
}
"""The schema's Mo and yr are missing: neither is a length of time."""
_MINUTES: Final = {unit: seconds / 60 for unit, seconds in SECONDS.items()}
_SLEEP_DURATION: Final = {unit: _MINUTES[unit] for unit in ("sec", "min", "h")}
_METRES: Final = {
    "fm": 1e-15,
    "pm": 1e-12,
    "nm": 1e-9,
    "um": 1e-6,
    "mm": 1e-3,
    "cm": 1e-2,
    "m": 1.0,
    "km": 1e3,
    "in": 0.0254,
    "ft": 0.3048,
    "yd": 0.9144,
    "mi": 1609.344,
}
_CENTIMETRES: Final = {unit: metres * 100 for unit, metres in _METRES.items()}
_GRAMS: Final = {
    "fg": 1e-15,
    "pg": 1e-12,
    "ng": 1e-9,
    "ug": 1e-6,
    "mg": 1e-3,
    "g": 1.0,
    "kg": 1e3,
    "Metric Ton": 1e6,
    "gr": 0.06479891,
    "oz": 28.349523125,
    "lb": 453.59237,
    "Ton": 907_184.74,
}
_MILLIGRAMS: Final = {unit: grams * 1000 for unit, grams in _GRAMS.items()}
_KILOCALORIES: Final = {"kcal": 1.0}
_POSTURES: Final = {
    "sitting": "sitting",
    "standing": "standing",
    "lying down": "supine",
    "semi-recumbent": "semi-recumbent",
}
_MEALS: Final = {
    "fasting": "fasting",
    **dict.fromkeys(("not fasting", "not related to meals", "with meal", "with food"), "unknown"),
    **dict.fromkeys([f"before {meal}" for meal in ("meal", "breakfast", "lunch", "dinner")], "before_meal"),
    **dict.fromkeys([f"after {meal}" for meal in ("meal", "breakfast", "lunch", "dinner")], "after_meal"),
    "2 hours postprandial": "after_meal",
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
_TEMPERATURES: Final = {
    "axillary": "8328-7",
    "oral": "8331-1",
    "rectal": "8332-9",
    "tympanic": "8333-7",
    "otic": "8333-7",
    "temporal artery": "75539-7",
}
_STATISTICS: Final = frozenset({
    "average", "count", "maximum", "median", "minimum", "standard deviation", "sum", "variance", "20th percentile",
    "80th percentile", "lower quartile", "upper quartile", "quartile deviation", "1st quintile", "2nd quintile",
    "3rd quintile", "4th quintile",
})  # fmt: skip
_ALLOWED: Final = {
    "temporal_relationship_to_meal": frozenset(_MEALS),
    "temporal_relationship_to_sleep": frozenset({"before sleeping", "during sleep", "on waking"}),
    "temporal_relationship_to_physical_activity": frozenset(
        {"at rest", "active", "before exercise", "after exercise", "during exercise"}
    ),
    "specimen_source": frozenset({*_SPECIMENS, "breath", "lacrimal fluid", "saliva", "sweat", "tears", "urine"}),
    "blood_specimen_type": frozenset({"whole blood", "plasma", "serum"}),
    "reported_activity_intensity": frozenset({"light", "moderate", "vigorous"}),
    "body_posture": frozenset(_POSTURES),
    "position_during_measurement": frozenset(_POSTURES),
    "descriptive_statistic": _STATISTICS,
}
"""Elements whose values the schemas list."""


class Frame(NamedTuple):
    """When it was: a moment, or a span that ends (`end`)."""

    start: Moment
    end: Moment | None

    @property
    def seconds(self) -> float | None:
        """How long it lasted; null for a moment."""
        return None if self.end is None else (self.end.at - self.start.at) / 1000


@dataclass(frozen=True, slots=True)
class Measure:
    """What one family of schemas becomes.

    `schemas` are their names with the major versions that are known. A body has one of the elements `has`. Its time
    frame must be a span where `span` says so, and a span must not last longer than `longest` (seconds): over months
    there are means, and a mean is no measurement.
    """

    event: EventType
    schemas: Mapping[str, frozenset[int]]
    has: tuple[str, ...]
    build: Callable[[Body, Frame, str, Report], Record]
    longest: float
    span: bool = False


def amount(holder: Mapping[str, Any], name: str, units: Mapping[str, float]) -> float:
    """The unit value `name` in the unit that has the factor 1. Raises `Unusable` for a unit that is none of `units`."""
    found = holder.get(name)
    if not isinstance(found, dict):
        raise Unusable(f"{name} has no numeric value")
    value = number(found.get("value"), f"{name}.value")
    unit = found.get("unit")
    if unit in {"Mo", "yr"}:
        raise Unusable(f"{name}.unit is a month or a year, which have no fixed length")
    if not isinstance(unit, str) or unit not in units:
        raise Unusable(f"{name}.unit is none of the schema's")
    return positive(value * units[unit], name)


def check(body: Body) -> None:
    """Hold `body` to the value sets of the schemas. Raises `Unusable`."""
    for name, allowed in _ALLOWED.items():
        if name in body and (not isinstance(body[name], str) or body[name] not in allowed):
            raise Unusable(f"{name} is none of the schema's values")


def is_aggregate(body: Body, measure: Measure) -> bool:
    """Whether `body` says something of several measurements. The sum over a day or a night is what our events are."""
    statistic = body.get("descriptive_statistic")
    return statistic is not None and not (measure.span and statistic == "sum")


def _optional(holder: Mapping[str, Any], name: str, units: Mapping[str, float]) -> float | None:
    return amount(holder, name, units) if name in holder else None


def _blood_pressure(body: Body, _frame: Frame, _place: str, _report: Report) -> Record:
    posture = body.get("body_posture", body.get("position_during_measurement"))
    return {
        "panel_code": "85354-9",
        "systolic": amount(body, "systolic_blood_pressure", {"mmHg": 1.0}),
        "diastolic": amount(body, "diastolic_blood_pressure", {"mmHg": 1.0}),
        "body_position": _POSTURES[posture] if posture else None,
        "status": "final",
    }


def _glucose(body: Body, _frame: Frame, _place: str, _report: Report) -> Record:
    value = amount(body, "blood_glucose", {"mg/dL": 1.0, "mmol/L": 1.0})
    unit = body["blood_glucose"]["unit"]
    source = body.get("specimen_source", body.get("blood_specimen_type"))
    specimen = _SPECIMENS.get(source) if source else None
    if source and specimen is None:
        raise LeftOut("glucose of what is no blood and no interstitial fluid")
    meal, sleep = body.get("temporal_relationship_to_meal"), body.get("temporal_relationship_to_sleep")
    relation = _MEALS[meal] if meal else None
    return {
        "code": _GLUCOSE_CODES[specimen or "blood", unit],
        "value": value,
        "value_unit": unit,
        "relation_to_meal": "bedtime" if relation is None and sleep == "before sleeping" else relation,
        "specimen": specimen,
        "status": "final",
    }


def _heart_rate(body: Body, _frame: Frame, _place: str, _report: Report) -> Record:
    return vital_sign("8867-4", amount(body, "heart_rate", {"beats/min": 1.0}), "/min")


def _oxygen_saturation(body: Body, _frame: Frame, _place: str, _report: Report) -> Record:
    _optional(body, "supplemental_oxygen_flow_rate", {"L/min": 1.0})
    if body.get("measurement_method", "pulse oximetry") != "pulse oximetry":
        raise Unusable("measurement_method is none of the schema's values")
    return vital_sign("59408-5", amount(body, "oxygen_saturation", {"%": 1.0}), "%")


def _weight(body: Body, _frame: Frame, _place: str, _report: Report) -> Record:
    return vital_sign("29463-7", amount(body, "body_weight", _GRAMS) / 1000, "kg")


def _height(body: Body, _frame: Frame, _place: str, _report: Report) -> Record:
    return vital_sign("8302-2", amount(body, "body_height", _CENTIMETRES), "cm")


def _temperature(body: Body, _frame: Frame, _place: str, _report: Report) -> Record:
    value = amount(body, "body_temperature", {"C": 1.0, "F": 1.0, "K": 1.0})
    location = body.get("measurement_location")
    code = _TEMPERATURES.get(location, "8310-5") if isinstance(location, str) else "8310-5"
    unit = body["body_temperature"]["unit"]
    if unit == "F":
        return vital_sign(code, value, "[degF]")
    return vital_sign(code, value if unit == "C" else round(value - 273.15, 6), "Cel")


def _activity(body: Body, frame: Frame, place: str, report: Report) -> Record:
    name = body["activity_name"]
    if isinstance(name, str) and name.strip().casefold() == "sedentary":
        raise LeftOut("sedentary time")
    word = activity(name, place, report)
    seconds = _optional(body, "duration", SECONDS)
    if seconds is None and word != DAY:
        seconds = frame.seconds
    return {
        "activity": word,
        "duration": seconds,
        "steps": _movements(body, place, report),
        "distance": _optional(body, "distance", _METRES),
        "intensity": body.get("reported_activity_intensity"),
        "energy": _optional(body, "kcal_burned", _KILOCALORIES),
    }


def _movements(body: Body, place: str, report: Report) -> int | None:
    """Steps among the movements of IEEE 1752.1; laps, strokes and skips have no field, and are counted."""
    found = body.get("base_movement_quantity")
    if found is None:
        return _count(body) if "step_count" in body else None
    if isinstance(found, dict) and found.get("unit") in {"laps", "skips", "movements", "strokes"}:
        report.leave_out(place, "base_movement_quantity in laps, skips, movements or strokes")
        return None
    return count(amount(body, "base_movement_quantity", {"steps": 1.0}), "base_movement_quantity")


def _steps(body: Body, frame: Frame, _place: str, _report: Report) -> Record:
    # Nobody walks all the time in which steps were counted, so the span is no duration.
    return {"activity": DAY if _is_day(frame) else "walking", "steps": _count(body)}


def _count(body: Body) -> int:
    """`step_count`: a number up to version 2, then one with a unit."""
    found = body["step_count"]
    steps = amount(body, "step_count", {"steps": 1.0}) if isinstance(found, dict) else number(found, "step_count")
    return count(steps, "step_count")


def _calories(body: Body, frame: Frame, place: str, report: Report) -> Record:
    word = activity(body["activity_name"], place, report) if "activity_name" in body else None
    return {
        "activity": word or (DAY if _is_day(frame) else UNKNOWN),
        "energy": amount(body, "kcal_burned", _KILOCALORIES),
    }


def _is_day(frame: Frame) -> bool:
    """Whether the span is a day from midnight to midnight; where a clock is changed it has 23 or 25 hours."""
    local = frame.start.at // 60_000 + (frame.start.offset_minutes or 0)
    seconds = frame.seconds
    return seconds is not None and local % 1440 == 0 and 22.9 * 3600 < seconds < 25.1 * 3600


def _sleep(body: Body, frame: Frame, _place: str, _report: Report) -> Record:
    assert frame.end is not None, "a sleep's time frame is a span"
    if "sleep_stage_summary" in body:
        if not isinstance(body["sleep_stage_summary"], dict):
            raise Unusable("sleep_stage_summary is no object")
        body = body | body["sleep_stage_summary"]
    asleep = _optional(body, "total_sleep_time", _MINUTES)
    return {
        "ended_at": frame.end.at,
        "minutes_asleep": asleep if asleep is not None else _optional(body, "sleep_duration", _SLEEP_DURATION),
        "minutes_in_bed": _optional(body, "time_in_bed", _MINUTES),
        "minutes_light": _optional(body, "light_sleep_duration", _MINUTES),
        "minutes_deep": _optional(body, "deep_sleep_duration", _MINUTES),
        "minutes_rem": _optional(body, "rem_sleep_duration", _MINUTES),
        "minutes_awake": _optional(body, "wake_after_sleep_onset", _MINUTES)
        if "wake_after_sleep_onset" in body
        else _optional(body, "awake_duration", _MINUTES),
        "is_main_sleep": _flag(body, "is_main_sleep"),
    }


def _flag(body: Body, name: str) -> bool | None:
    found = body.get(name)
    if found is not None and not isinstance(found, bool):
        raise Unusable(f"{name} is neither true nor false")
    return found


def _food(body: Body, _frame: Frame, _place: str, _report: Report) -> Record:
    meal = body.get("meal", "unknown")
    if meal not in {"breakfast", "lunch", "dinner", "snack", "unknown"}:
        raise Unusable("meal is none of the schema's values")
    eaten = body.get("food_amount")
    return {
        "meal": meal,
        "food_name": body["food_name"] if isinstance(body.get("food_name"), str) else None,
        # A volume or a number of pieces is no mass.
        "amount": _optional(body, "food_amount", _GRAMS)
        if isinstance(eaten, dict) and eaten.get("unit") in _GRAMS
        else None,
        "energy": _optional(body, "calories", _KILOCALORIES),
        "carbohydrate": _optional(body, "carbohydrate", _GRAMS),
        "protein": _optional(body, "protein", _GRAMS),
        "fat": _optional(body, "fat", _GRAMS),
        "sodium": _optional(body, "sodium", _MILLIGRAMS),
    }


_QUARTER: Final = 900.0
"""What sensors average over before they call it one value (a glucose sensor: 1 to 15 minutes)."""
_DAY: Final = 25 * 3600.0
_TWO_DAYS: Final = 48 * 3600.0


def _versions(**schemas: int) -> dict[str, frozenset[int]]:
    """Schema names (underscores for hyphens) with their newest major version; 0 is a draft that has none."""
    return {
        name.replace("_", "-"): frozenset(range(1, newest + 1)) if newest else frozenset({0})
        for name, newest in schemas.items()
    }


MEASURES: Final = (
    Measure(
        BLOOD_PRESSURE,
        _versions(blood_pressure=4),
        ("systolic_blood_pressure", "diastolic_blood_pressure"),
        _blood_pressure,
        _QUARTER,
    ),
    Measure(GLUCOSE, _versions(blood_glucose=4), ("blood_glucose",), _glucose, _QUARTER),
    Measure(VITAL_SIGN, _versions(heart_rate=2), ("heart_rate",), _heart_rate, _QUARTER),
    Measure(VITAL_SIGN, _versions(oxygen_saturation=2), ("oxygen_saturation",), _oxygen_saturation, _QUARTER),
    Measure(VITAL_SIGN, {"body-weight": frozenset(range(4))}, ("body_weight",), _weight, _QUARTER),
    Measure(VITAL_SIGN, {"body-height": frozenset(range(3))}, ("body_height",), _height, _QUARTER),
    Measure(VITAL_SIGN, _versions(body_temperature=4), ("body_temperature",), _temperature, _QUARTER),
    Measure(EXERCISE, _versions(physical_activity=1), ("activity_name",), _activity, _TWO_DAYS),
    Measure(EXERCISE, _versions(step_count=3), ("step_count",), _steps, _DAY, span=True),
    Measure(EXERCISE, _versions(calories_burned=2), ("kcal_burned",), _calories, _DAY, span=True),
    Measure(
        SLEEP,
        _versions(
            sleep_duration=2,
            sleep_episode=1,
            total_sleep_time=1,
            sleep_stage_summary=1,
            time_in_bed=1,
            light_sleep=1,
            deep_sleep=1,
            wake_after_sleep_onset=1,
        ),
        (
            "sleep_duration",
            "total_sleep_time",
            "sleep_stage_summary",
            "time_in_bed",
            "wake_after_sleep_onset",
            "number_of_awakenings",
            "light_sleep_duration",
            "deep_sleep_duration",
        ),
        _sleep,
        _TWO_DAYS,
        span=True,
    ),
    Measure(DIET, _versions(food_entry=0), ("food_name",), _food, _TWO_DAYS),
)
"""In the order in which the elements of a body without a header are looked for."""
NO_EVENTS: Final = frozenset({
    "acceleration", "ambient-light", "ambient-sound", "ambient-temperature", "apnea-hypopnea-index", "arousal-index",
    "body-adiposity-index", "body-fat-percentage", "body-mass-index", "breath-carbon-monoxide", "expiratory-time",
    "geoposition", "inspiratory-time", "magnetic-force", "medication-adherence-percent", "medication-prescription",
    "minute-volume", "minutes-moderate-activity", "orientation", "pace", "pharmacy-medication-dispensing",
    "respiratory-rate", "rr-interval", "single-medication-dose-taken", "sleep-onset-latency", "snore-index", "speed",
    "survey", "ventilation-cycle-time",
})  # fmt: skip
"""Schemas of the two standards that no event type is for."""
UNMEASURED: Final = {
    "medication": "medication-prescription",
    "body_mass_index": "body-mass-index",
    "body_fat_percentage": "body-fat-percentage",
    "minutes_moderate_activity": "minutes-moderate-activity",
    "respiratory_rate": "respiratory-rate",
    "rr_interval": "rr-interval",
}
"""Elements that tell a body without a header of one of `NO_EVENTS`."""
ELEMENTS: Final = frozenset({*UNMEASURED, *(name for measure in MEASURES for name in measure.has)})
