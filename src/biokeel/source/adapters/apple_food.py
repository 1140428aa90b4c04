"""Food of Apple Health: a correlation is one item, with the nutrients in it; other nutrients go by their time.

An export writes the samples of a correlation twice, in it and beside it: what stands in one is not counted again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from biokeel.source.adapters.apple_samples import (
    GRAMS,
    KILOCALORIES,
    Attributes,
    Sample,
    Timed,
    sample_of,
    source_of,
    timed_of,
)
from biokeel.source.adapters.base import Record, Report, Unusable, content_key
from biokeel.source.adapters.lifestyle import positive

_PREFIX: Final = "HKQuantityTypeIdentifierDietary"
FOOD: Final = {
    f"{_PREFIX}EnergyConsumed": "energy",
    f"{_PREFIX}Carbohydrates": "carbohydrate",
    f"{_PREFIX}Protein": "protein",
    f"{_PREFIX}FatTotal": "fat",
    f"{_PREFIX}Sodium": "sodium",
}
"""Nutrients that have a field; others are counted by their name."""
_MEALS: Final = frozenset({"breakfast", "lunch", "dinner", "snack"})


class _Nutrient(NamedTuple):
    field: str
    value: float
    timed: Timed
    meal: str
    place: str


class Foods:
    """Nutrients of the export that stand beside correlations, and those that stand in one."""

    def __init__(self) -> None:
        self._beside: dict[tuple[str, float], _Nutrient] = {}
        self._inside: set[tuple[str, float]] = set()

    def nutrient(self, sample: Sample, metadata: dict[str, str], place: str) -> None:
        """Take a nutrient that stands by itself. Raises `Unusable`."""
        field = FOOD[sample.type]
        found = _Nutrient(field, _converted(sample, field), sample.timed, _meal(metadata), place)
        self._beside[sample.key, sample.value] = found

    def meal(
        self, attributes: Attributes, metadata: dict[str, str], records: list[Attributes], place: str
    ) -> tuple[str, Timed, Record, str]:
        """The event of a correlation: its key, its time, its payload and its place. Raises `Unusable`."""
        payload = _payload(_meal(metadata), metadata.get("HKFoodType"))
        for each in records:
            if each.get("type") in FOOD:
                sample, field = sample_of(each), FOOD[each["type"]]
                if payload[field] is not None:
                    raise Unusable("a food has one nutrient twice")
                payload[field] = _converted(sample, field)
                self._inside.add((sample.key, sample.value))
        timed = timed_of(attributes)
        key = f"food/{source_of(attributes)}/{timed.begun}/{content_key(payload)}"
        return key, timed, payload, place

    def alone(self, report: Report) -> Iterator[tuple[str, Timed, Record, str]]:
        """The events of nutrients that stand in no correlation: those of one time and source are of one item."""
        groups: dict[str, list[_Nutrient]] = {}
        for known_by, nutrient in self._beside.items():
            if known_by not in self._inside:
                source_and_time = known_by[0].partition("/")[2]
                groups.setdefault(source_and_time, []).append(nutrient)
        for source_and_time, nutrients in groups.items():
            place = nutrients[0].place
            if len({each.field for each in nutrients}) < len(nutrients):
                report.problem(place, "several foods of one time, and nothing says which nutrient is whose")
                continue
            payload = _payload(min(each.meal for each in nutrients), None)
            payload |= {each.field: each.value for each in nutrients}
            created = max((each.timed.created for each in nutrients if each.timed.created), default=None)
            yield f"food/{source_and_time}", nutrients[0].timed._replace(created=created), payload, place


def _converted(sample: Sample, field: str) -> float:
    """The sample's value in the unit of its field. Raises `Unusable`."""
    factor = (KILOCALORIES if field == "energy" else GRAMS).get(sample.unit)
    if factor is None:
        raise Unusable("unit is none that the type has")
    return positive(sample.value * factor * (1000 if field == "sodium" else 1), "value")


def _meal(metadata: dict[str, str]) -> str:
    found = metadata.get("HKFoodMeal", "").casefold()
    return found if found in _MEALS else "unknown"


def _payload(meal: str, name: str | None) -> Record:
    return {"meal": meal, "food_name": name, **dict.fromkeys(FOOD.values())}
