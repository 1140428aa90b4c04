"""Samples of HealthKit as `export.xml` writes them: attributes of an element, with times, a source, a value, a unit."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

from biokeel.source.adapters.base import Unusable
from biokeel.source.adapters.lifestyle import positive
from biokeel.source.adapters.numbers import number_of_text
from biokeel.source.times import in_zone

Attributes: TypeAlias = dict[str, str]

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}[+-]\d{4}", re.ASCII)
METRES: Final = {"m": 1.0, "km": 1000.0, "mi": 1609.344, "ft": 0.3048, "yd": 0.9144, "cm": 0.01, "in": 0.0254}
KILOCALORIES: Final = {"kcal": 1.0, "Cal": 1.0, "cal": 0.001, "kJ": 1 / 4.184, "J": 1 / 4184}
GRAMS: Final = {"g": 1.0, "mg": 1e-3, "mcg": 1e-6, "kg": 1e3, "oz": 28.349523125, "lb": 453.59237}


class Timed(NamedTuple):
    """When something began (with its offset from UTC in minutes), ended, and was written down, all in ms since 1970.

    `offset` is null where the export does not say it, and so is `created`.
    """

    begun: int
    offset: int | None
    ended: int
    created: int | None


class Sample(NamedTuple):
    """One sample. `key` is what it is known by: type, source, beginning and end."""

    type: str
    source: str
    unit: str
    value: float
    timed: Timed

    @property
    def key(self) -> str:
        """As `key_of` says it."""
        return key_of(self.type, self.source, self.timed)


def key_of(type_: str, source: str, timed: Timed) -> str:
    """What a sample is known by. Times as such: exports write them in the zone that the phone is in at that time."""
    return f"{type_}/{source}/{timed.begun}/{timed.ended}"


def sample_of(attributes: Attributes) -> Sample:
    """The sample that an element is. Raises `Unusable`."""
    return Sample(
        attributes.get("type", ""),
        source_of(attributes),
        attributes.get("unit", ""),
        value_of(attributes),
        timed_of(attributes),
    )


def value_of(attributes: Attributes) -> float:
    """The number that was measured. Raises `Unusable`."""
    text = attributes.get("value")
    if text is None:
        raise Unusable("value is missing")
    return positive(number_of_text(text, "value"), "value")


def source_of(attributes: Attributes) -> str:
    """The name of the app or device that wrote it. It may name a person, and goes into nothing but keyed digests."""
    return attributes.get("sourceName", "")


def timed_of(attributes: Attributes) -> Timed:
    """When it began, ended and was written. Raises `Unusable`."""
    start, end, created = attributes.get("startDate"), attributes.get("endDate"), attributes.get("creationDate")
    begun, offset = _read(start, "startDate")
    ended = begun if end == start else _read(end, "endDate")[0]
    if ended < begun:
        raise Unusable("endDate is before startDate")
    return Timed(begun, offset, ended, None if created is None else _read(created, "creationDate")[0])


_MIDNIGHTS: Final[dict[str, tuple[int, int]]] = {}
"""Days with their offset, as read: ms since 1970 at midnight, and the offset in minutes. An export has few."""
_MOST_MIDNIGHTS: Final = 200_000
_CLOCKS: Final[dict[str, int]] = {}
"""Every time of day as it is written, with its ms since midnight, once one is asked for."""


def _read(text: str | None, name: str) -> tuple[int, int]:
    """The ms since 1970 that `2024-05-01 09:00:00 +0900` names, and the offset. Raises `Unusable`.

    An export has three times a record: to look them up is some times faster than to read them.
    """
    if text is None:
        raise Unusable(f"{name} is missing")
    try:
        midnight, offset = _MIDNIGHTS[text[:10] + text[20:]]
        return midnight + _CLOCKS[text[10:20]], offset
    except KeyError:
        pass
    if not _CLOCKS:
        _CLOCKS.update({f" {n // 3600:02}:{n // 60 % 60:02}:{n % 60:02} ": n * 1000 for n in range(86_400)})
    found = _midnight(text[:10] + text[20:])
    clock = _CLOCKS.get(text[10:20])
    if found is None or clock is None:
        raise Unusable(f"{name} is no date and time with its offset")
    return found[0] + clock, found[1]


def _midnight(day: str) -> tuple[int, int] | None:
    """Ms and offset of `2024-05-01+0900`, now kept; null where it is none."""
    try:
        read = datetime.fromisoformat(f"{day[:10]}T00:00{day[10:]}") if _DAY.fullmatch(day) else None
    except ValueError:
        return None
    if read is None:
        return None
    found = in_zone(read, None)
    assert found.offset_minutes is not None, "it is written"
    if len(_MIDNIGHTS) >= _MOST_MIDNIGHTS:
        _MIDNIGHTS.clear()
    _MIDNIGHTS[day] = found.at, found.offset_minutes
    return _MIDNIGHTS[day]


def metres_of(attributes: Attributes, name: str, unit_name: str) -> float | None:
    """The length under `name`; null where there is none. Raises `Unusable`."""
    return _amount(attributes, name, unit_name, METRES)


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
    return positive(number_of_text(text, name) * factor, name)
