"""What in Apple Health's export several samples are one event of, or one event has several: days, nights, pressures.

Phone, watch and apps write the same steps, nights and runs side by side. None is added to another: of a day the source
with the most steps counts, of nights or workouts that overlap the one that says most, and the others are counted.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from biokeel.source.adapters.activities import DAY
from biokeel.source.adapters.apple_columns import Mask, Samples
from biokeel.source.adapters.apple_samples import (
    Attributes,
    Sample,
    Timed,
    energy_of,
    metres_of,
    source_of,
    timed_of,
    value_of,
)
from biokeel.source.adapters.base import Record, Report, Unusable
from biokeel.source.adapters.lifestyle import positive
from biokeel.source.adapters.numbers import number_of_text
from biokeel.source.times import in_zone

_DAY_MS: Final = 86_400_000
_GAP_MS: Final = 3_600_000
"""What parts two sleeps: an hour of which no source says that the person lay in bed, slept or woke."""
_DAYS_AT_ONCE: Final = 100
MOST: Final = 1e9
"""Steps, or metres, of one sample; the sum of a day must be a number, too."""
_LONGEST_NIGHT_MS: Final = 48 * 3_600_000
_FIRST_YEAR: Final = "2007"
"""The first phone of Apple's; exports begin with an empty summary of 1969."""
_STATES: Final = {
    "InBed": "in_bed",
    "Asleep": "asleep",
    "AsleepUnspecified": "asleep",
    "AsleepCore": "light",
    "AsleepDeep": "deep",
    "AsleepREM": "rem",
    "Awake": "awake",
}
_ASLEEP: Final = ("asleep", "light", "deep", "rem")
ANOTHER_NIGHT: Final = "a night that another source has, too"
ANOTHER_WORKOUT: Final = "a workout that another source has, too"

Made = tuple[str, Timed, Record, str]
"""An event: its key, its time, its payload and its place."""


class Days:
    """Samples of steps and distance, and Apple's own summaries, by day. Of a sample 56 bytes are held."""

    def __init__(self) -> None:
        self._rows = array("q")
        self._values = array("d")
        self._sources: dict[str, int] = {}
        self._summaries: dict[str, Record] = {}

    def steps(self, attributes: Attributes) -> None:
        """Take a sample of steps. Raises `Unusable`."""
        self._take(attributes, 1, value_of(attributes))

    def distance(self, attributes: Attributes) -> None:
        """Take a sample of a distance. Raises `Unusable`."""
        metres = metres_of(attributes, "value", "unit")
        self._take(attributes, 0, value_of(attributes) if metres is None else metres)

    def _take(self, attributes: Attributes, is_steps: int, value: float) -> None:
        if value > MOST:
            raise Unusable("value is larger than any person's")
        begun, offset, ended, created = timed_of(attributes)
        source = source_of(attributes)
        number = self._sources.setdefault(source, len(self._sources))
        self._rows.extend((is_steps, number, begun // 1000, ended // 1000, offset or 0, (created or 0) // 1000))
        self._values.append(value)

    def take_many(self, samples: Samples, taken: Mask, *, is_steps: bool) -> None:
        """Take the `taken` of samples of steps, or of a distance in metres."""
        for source in set(samples.sources):
            self._sources.setdefault(source, len(self._sources))
        numbers = np.fromiter(map(self._sources.__getitem__, samples.sources), np.int64, len(samples.sources))
        rows = np.stack(
            [
                np.full(len(numbers), is_steps, np.int64),
                numbers,
                samples.begun // 1000,
                samples.ended // 1000,
                samples.offset,
                samples.created // 1000,
            ],
            axis=1,
        )
        self._rows.frombytes(rows[taken].tobytes())
        self._values.frombytes(samples.value[taken].tobytes())

    def summary(self, attributes: Attributes) -> None:
        """Take Apple's summary of a day. Raises `Unusable`."""
        day = attributes.get("dateComponents", "")
        energy = energy_of(attributes, "activeEnergyBurned", "activeEnergyBurnedUnit")
        minutes = attributes.get("appleExerciseTime")
        lasted = positive(number_of_text(minutes, "appleExerciseTime"), "appleExerciseTime") if minutes else None
        try:
            datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            raise Unusable("dateComponents is no day") from None
        if day >= _FIRST_YEAR and (energy or lasted):
            self._summaries[day] = {"energy": energy, "duration": None if lasted is None else lasted * 60}

    def made(self, zone: tzinfo | None) -> Iterator[Made]:
        """One event a day. Steps and distance are those of the source with the most steps on that day."""
        sums = {each["day"]: each for each in self._of_days()}
        for day in sorted(sums.keys() | self._summaries.keys()):
            found = sums.get(day)
            if found is None:
                begun, offset, _ = in_zone(datetime.fromisoformat(day), zone)
            else:
                offset = found["offset"]
                begun, _, _ = in_zone(
                    datetime.fromisoformat(day).replace(tzinfo=timezone(timedelta(minutes=offset))), None
                )
            created = found["created"] * 1000 if found is not None and found["created"] else None
            payload: Record = {
                "activity": DAY,
                "steps": None if found is None or found["steps"] is None else round(found["steps"]),
                "distance": None if found is None else found["distance"],
                "duration": None,
                "energy": None,
            } | self._summaries.get(day, {})
            yield f"day/{day}", Timed(begun, offset, begun + _DAY_MS, created), payload, f"day {day}"

    def _of_days(self) -> Iterator[Record]:
        """The sums of every day, some months at once: all samples together would take ten times as much memory."""
        columns = {name: self._rows[index :: len(_SAMPLES)] for index, name in enumerate(_SAMPLES)}
        samples = pl.DataFrame({**columns, "value": self._values}).with_columns(
            pl.col("is_steps").cast(pl.Boolean),
            pl.col("source").cast(pl.Int32),
            pl.col("offset").cast(pl.Int16),
            day=((pl.col("begun") + pl.col("offset") * 60) // 86_400).cast(pl.Int32),
        )
        del columns
        self._rows, self._values = array("q"), array("d")
        names = pl.DataFrame(
            {"source": list(self._sources.values()), "name": list(self._sources)},
            schema={"source": pl.Int32, "name": pl.String},
        )
        for days in sorted((samples["day"] // _DAYS_AT_ONCE).unique()):
            of_days = samples.filter(pl.col("day") // _DAYS_AT_ONCE == days)
            yield from _best_of(of_days, names).to_dicts()


def _best_of(samples: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    """The sums of each day's best source."""
    # A sample that a restored backup wrote twice is one; sorted, since the sum of floats depends on their order.
    once = samples.group_by("is_steps", "source", "day", "begun", "ended").agg(
        pl.col("value").max(), pl.col("created").max(), pl.col("offset").min()
    )
    is_steps = pl.col("is_steps")
    by_source = once.group_by("day", "source").agg(
        steps=pl.when(is_steps.any()).then(pl.col("value").filter(is_steps).sort().sum()),
        distance=pl.when((~is_steps).any()).then(pl.col("value").filter(~is_steps).sort().sum()),
        created=pl.col("created").max(),
        offset=pl.col("offset").sort_by("begun").first(),
    )
    ranked = by_source.join(names, on="source").sort(
        ["day", "steps", "distance", "name"], descending=[False, True, True, False], nulls_last=True
    )
    best = ranked.unique("day", keep="first", maintain_order=True)
    return best.select(pl.from_epoch("day", time_unit="d").dt.to_string("%F"), "steps", "distance", "created", "offset")


_SAMPLES: Final = ("is_steps", "source", "begun", "ended", "offset", "created")
"""Columns of the samples beside their values: times in seconds, offsets in minutes, a source's number."""


class _Segment(NamedTuple):
    timed: Timed
    state: str
    place: str


class Nights:
    """Segments of sleep by source."""

    def __init__(self) -> None:
        self._segments: dict[str, list[_Segment]] = {}

    def segment(self, attributes: Attributes, place: str) -> None:
        """Take a segment. Raises `Unusable`."""
        state = _STATES.get(attributes.get("value", "").removeprefix("HKCategoryValueSleepAnalysis"))
        if state is None:
            raise Unusable("value is no state of sleep")
        timed = timed_of(attributes)
        self._segments.setdefault(source_of(attributes), []).append(_Segment(timed, state, place))

    def made(self, left_out: Counter[str], report: Report) -> Iterator[Made]:
        """One event a night; of sources that saw the same the one with stages, or else the most sleep."""
        nights = [(source, night) for source, segments in self._segments.items() for night in _parted(segments)]
        ranked = sorted(
            ((_night(night), source, night) for source, night in nights),
            key=lambda each: (
                each[0]["minutes_deep"] is None,
                -(each[0]["minutes_asleep"] or 0),
                each[2][0].timed.begun,
                each[1],
            ),
        )
        kept: list[tuple[int, int]] = []
        for payload, source, night in ranked:
            begun, ended = night[0].timed.begun, payload["ended_at"]
            if ended - begun > _LONGEST_NIGHT_MS:
                report.problem(night[0].place, "segments of sleep without a gap for more than two days")
            elif _overlaps(kept, begun, ended):
                left_out[ANOTHER_NIGHT] += 1
            else:
                kept.append((begun, ended))
                created = max((each.timed.created for each in night if each.timed.created), default=None)
                timed = night[0].timed._replace(ended=ended, created=created)
                yield f"night/{source}/{begun}", timed, payload, night[0].place


def _parted(segments: list[_Segment]) -> Iterator[list[_Segment]]:
    """The nights of one source's segments."""
    night: list[_Segment] = []
    end = 0
    for segment in sorted(segments, key=lambda each: (each.timed.begun, each.timed.ended, each.state)):
        if night and segment.timed.begun - end > _GAP_MS:
            yield night
            night = []
        end = max(end, segment.timed.ended) if night else segment.timed.ended
        night.append(segment)
    if night:
        yield night


def _night(night: Sequence[_Segment]) -> Record:
    def minutes(*states: str) -> float | None:
        spans = [(each.timed.begun, each.timed.ended) for each in night if each.state in states]
        return _covered(spans) / 60_000 if spans else None

    return {
        "ended_at": max(each.timed.ended for each in night),
        "minutes_asleep": minutes(*_ASLEEP),
        "minutes_in_bed": minutes("in_bed"),
        "minutes_light": minutes("light"),
        "minutes_deep": minutes("deep"),
        "minutes_rem": minutes("rem"),
        "minutes_awake": minutes("awake"),
    }


def _covered(spans: Iterable[tuple[int, int]]) -> int:
    """Milliseconds that at least one of the spans covers."""
    total = end = 0
    for begun, ended in sorted(spans):
        total += max(0, ended - max(begun, end))
        end = max(end, ended)
    return total


def _overlaps(kept: Iterable[tuple[int, int]], begun: int, ended: int) -> bool:
    return any(start < ended and begun < end for start, end in kept)


class Pressures:
    """Blood pressure: components of one source and time, in a correlation or beside it, are one measurement."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int], tuple[Timed, Record, str]] = {}

    def component(self, field: str, sample: Sample, place: str) -> None:
        """Take `systolic` or `diastolic`. Raises `Unusable`: a unit, or another value of the same time."""
        if sample.unit != "mmHg":
            raise Unusable("unit is not mmHg")
        payload: Record = {"panel_code": "85354-9", "systolic": None, "diastolic": None, "status": "final"}
        _, known, _ = self._found.setdefault((sample.source, sample.timed.begun), (sample.timed, payload, place))
        if known[field] is not None and known[field] != sample.value:
            raise Unusable("two blood pressures of one source and time")
        known[field] = sample.value

    def made(self) -> Iterator[Made]:
        """One event a measurement."""
        for (source, begun), (timed, payload, place) in self._found.items():
            yield f"pressure/{source}/{begun}", timed, payload, place


class Workout(NamedTuple):
    """A workout, held until it is known whether another source has it, too."""

    key: str
    timed: Timed
    payload: Record
    place: str
    source: str


def unparted(workouts: list[Workout], left_out: Counter[str]) -> Iterator[Made]:
    """Each workout; of those of several sources that overlap by half the one that says most, and lasted longest."""
    ranked = sorted(
        workouts,
        key=lambda each: (
            -sum(value is not None for value in each.payload.values()),
            each.timed.begun - each.timed.ended,
            each.key,
        ),
    )
    kept: dict[int, list[Workout]] = {}
    for workout in ranked:
        day = workout.timed.begun // _DAY_MS
        near = (each for number in (day - 1, day, day + 1) for each in kept.get(number, ()))
        if any(each.source != workout.source and _is_same(each, workout) for each in near):
            left_out[ANOTHER_WORKOUT] += 1
        else:
            kept.setdefault(day, []).append(workout)
            yield workout.key, workout.timed, workout.payload, workout.place


def _is_same(one: Workout, other: Workout) -> bool:
    both = min(one.timed.ended, other.timed.ended) - max(one.timed.begun, other.timed.begun)
    shorter = min(each.timed.ended - each.timed.begun for each in (one, other))
    return both > 0 and 2 * both >= shorter
