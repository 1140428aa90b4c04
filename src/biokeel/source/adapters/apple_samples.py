"""Samples of HealthKit as `export.xml` writes them: attributes of an element, with times, a source, a value, a unit."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from biokeel.source.adapters.base import Unusable
from biokeel.source.adapters.lifestyle import positive
from biokeel.source.adapters.numbers import number_of_text
from biokeel.source.times import Moment, in_zone

Attributes: TypeAlias = dict[str, str]

_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2} [+-]\d{4}", re.ASCII)
_CLOCK: Final = re.compile(r" (\d{2}):(\d{2}):(\d{2}) ", re.ASCII)
_METRES: Final = {"m": 1.0, "km": 1000.0, "mi": 1609.344, "ft": 0.3048, "yd": 0.9144, "cm": 0.01, "in": 0.0254}
KILOCALORIES: Final = {"kcal": 1.0, "Cal": 1.0, "cal": 0.001, "kJ": 1 / 4.184, "J": 1 / 4184}
GRAMS: Final = {"g": 1.0, "mg": 1e-3, "mcg": 1e-6, "kg": 1e3, "oz": 28.349523125, "lb": 453.59237}


class Timed(NamedTuple):
    """When something began, ended, and was written down (null where the export does not say)."""

    begun: Moment
    ended: Moment
    created: Moment | None


class Sample(NamedTuple):
    """One sample. `key` is what it is known by: type, source, beginning and end."""

    type: str
    source: str
    unit: str
    value: float
    timed: Timed

    @property
    def key(self) -> str:
        """Times as such: exports write them in the zone that the phone was in at the time of the export."""
        return f"{self.type}/{self.source}/{self.timed.begun.at}/{self.timed.ended.at}"

    @property
    def lasted_ms(self) -> int:
        """How long it lasted."""
        return self.timed.ended.at - self.timed.begun.at


def sample_of(attributes: Attributes) -> Sample:
    """The sample that an element is; a workout has no value. Raises `Unusable`."""
    text = attributes.get("value")
    if text is None and attributes.get("type") != "Workout":
        raise Unusable("value is missing")
    value = 0.0 if text is None else positive(number_of_text(text, "value"), "value")
    return Sample(
        attributes.get("type", ""), source_of(attributes), attributes.get("unit", ""), value, timed_of(attributes)
    )


def source_of(attributes: Attributes) -> str:
    """The name of the app or device that wrote it. It may name a person, and goes into nothing but keyed digests."""
    return attributes.get("sourceName", "")


def timed_of(attributes: Attributes) -> Timed:
    """When it began, ended and was written. Raises `Unusable`."""
    start, end, created = attributes.get("startDate"), attributes.get("endDate"), attributes.get("creationDate")
    begun = time_of(start, "startDate")
    ended = begun if end == start else time_of(end, "endDate")
    if ended.at < begun.at:
        raise Unusable("endDate is before startDate")
    return Timed(begun, ended, None if created is None else time_of(created, "creationDate"))


def time_of(text: str | None, name: str) -> Moment:
    """The moment that `2024-05-01 09:00:00 +0900` names. Raises `Unusable`."""
    if text is None:
        raise Unusable(f"{name} is missing")
    midnight = _midnight(text[:10] + text[20:])
    clock = _milliseconds(text[10:20])
    if midnight is None or clock is None:
        raise Unusable(f"{name} is no date and time with its offset")
    return Moment(midnight.at + clock, midnight.offset_minutes)


@lru_cache(maxsize=20_000)
def _midnight(day_and_offset: str) -> Moment | None:
    """The beginning of a day; most of an export's times are of few days."""
    text = f"{day_and_offset[:10]} 00:00:00 {day_and_offset[10:]}"
    try:
        return in_zone(datetime.strptime(text, "%Y-%m-%d %H:%M:%S %z"), None) if _TIME.fullmatch(text) else None
    except (ValueError, OverflowError):
        return None


@lru_cache(maxsize=100_000)
def _milliseconds(clock: str) -> int | None:
    found = _CLOCK.fullmatch(clock)
    if found is None:
        return None
    hour, minute, second = map(int, found.groups())
    return (hour * 3600 + minute * 60 + second) * 1000 if hour < 24 and minute < 60 and second < 61 else None


def metres_of(attributes: Attributes, name: str, unit_name: str) -> float | None:
    """The length under `name`; null where there is none. Raises `Unusable`."""
    return _amount(attributes, name, unit_name, _METRES)


def energy_of(attributes: Attributes, name: str, unit_name: str) -> float | None:
    """The energy under `name` in kcal; null where there is none. Raises `Unusable`."""
    return _amount(attributes, name, unit_name, KILOCALORIES)


def _amount(attributes: Attributes, name: str, unit_name: str, units: dict[str, float]) -> float | None:
    """The number under `name` in the unit that has the factor 1; null where there is none. Raises `Unusable`."""
    text = attributes.get(name)
    if not text:
        return None
    factor = units.get(attributes.get(unit_name, ""))
    if factor is None:
        raise Unusable(f"{unit_name} is none that {name} has")
    return positive(number_of_text(text, name), name) * factor
