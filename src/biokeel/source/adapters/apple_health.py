"""Apple Health's `export.xml`, in a stream: vital signs, glucose, blood pressure, food, workouts, nights and days.

The person is not read from the file (`Me` has a birth date and a sex, and no identifier): the subject is what the
caller says. What two devices or apps saw at once is one event: see `apple_sums` and `apple_food`. Types of HealthKit
that no event is for are counted by their name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple
from xml.parsers import expat

import numpy as np

from biokeel.contracts.topics import EventType
from biokeel.errors import AdapterError
from biokeel.source.adapters.apple_columns import Mask, read_samples
from biokeel.source.adapters.apple_food import FOOD, Foods
from biokeel.source.adapters.apple_samples import (
    METRES,
    Attributes,
    Sample,
    Timed,
    energy_of,
    key_of,
    metres_of,
    sample_of,
    source_of,
    timed_of,
    value_of,
)
from biokeel.source.adapters.apple_sums import (
    ANOTHER_NIGHT,
    ANOTHER_WORKOUT,
    MOST,
    Days,
    Made,
    Nights,
    Pressures,
    Workout,
    unparted,
)
from biokeel.source.adapters.base import Batch, Context, Held, Record, Report, Unusable, stated_times
from biokeel.source.adapters.envelope import Peek, open_bytes
from biokeel.source.adapters.lifestyle import (
    BLOOD_PRESSURE,
    DIET,
    EXERCISE,
    GLUCOSE,
    SLEEP,
    VITAL_SIGN,
    activity,
    count,
    positive,
    vital_sign,
    whose,
)
from biokeel.source.adapters.numbers import number_of_text
from biokeel.source.times import Moment, Precision

_CHUNK: Final = 1 << 20
_CHUNKS_AT_ONCE: Final = 4
"""How much is read before its events, some ten thousand, are handed on."""
_LONGEST_ELEMENT: Final = 16 << 20
"""Bytes that one tag may take; a real one has some hundred."""
_DEEPEST: Final = 64
_OF_WORKOUT: Final = 3
"""Depth of what is said of a whole workout; deeper it is said of one of its parts."""
_LONGEST_MEASUREMENT_MS: Final = 900_000
"""As for Open mHealth: what lasts longer than a quarter of an hour is a mean."""
_ROOT: Final = re.compile(rb"<HealthData[\s/>]")
_DECLARED: Final = re.compile(rb"<!DOCTYPE")
_EXTERNAL: Final = re.compile(rb"<!DOCTYPE\s+\S+\s+(?:SYSTEM|PUBLIC)\b")
_QUANTITY: Final = "HKQuantityTypeIdentifier"
_TYPE: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,99}", re.ASCII)
_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class _VitalSign(NamedTuple):
    """LOINC code, and for each unit of HealthKit the one of the contract, and how many of it one is."""

    code: str
    units: Mapping[str, tuple[str, float]]


_VITAL_SIGNS: Final = {
    f"{_QUANTITY}HeartRate": _VitalSign("8867-4", {"count/min": ("/min", 1)}),
    # HealthKit's per cent is a fraction: 0.97 is written beside the unit %.
    f"{_QUANTITY}OxygenSaturation": _VitalSign("59408-5", {"%": ("%", 100)}),
    f"{_QUANTITY}BodyTemperature": _VitalSign("8310-5", {"degC": ("Cel", 1), "degF": ("[degF]", 1)}),
    f"{_QUANTITY}BodyMass": _VitalSign(
        "29463-7", {"kg": ("kg", 1), "g": ("g", 1), "lb": ("[lb_av]", 1), "st": ("kg", 6.35029318)}
    ),
    f"{_QUANTITY}Height": _VitalSign(
        "8302-2", {"cm": ("cm", 1), "m": ("m", 1), "in": ("[in_i]", 1), "ft": ("cm", 30.48)}
    ),
}
_GLUCOSE: Final = f"{_QUANTITY}BloodGlucose"
_GLUCOSE_UNIT: Final = re.compile(r"mmol<180\.15[0-9]*>/L", re.ASCII)
_MEALS: Final = {"1": "before_meal", "2": "after_meal"}
_PRESSURES: Final = {
    f"{_QUANTITY}BloodPressureSystolic": "systolic",
    f"{_QUANTITY}BloodPressureDiastolic": "diastolic",
}
_STEPS: Final = f"{_QUANTITY}StepCount"
_DISTANCE: Final = f"{_QUANTITY}DistanceWalkingRunning"
_SLEEP: Final = "HKCategoryTypeIdentifierSleepAnalysis"
_NOT_READ: Final = frozenset({"ClinicalRecord", "Audiogram", "VisionPrescription"})
_REASONS: Final = frozenset({ANOTHER_NIGHT, ANOTHER_WORKOUT})
_TOGETHER: Final = frozenset({*_VITAL_SIGNS, _STEPS, _DISTANCE})
"""Types of which an export has most."""
_SAMPLES: Final = 10_000
"""How many are read together, and some more: what is in one chunk. Each is some 2 kB until then."""
_IN_SUMMARIES: Final = frozenset({f"{_QUANTITY}ActiveEnergyBurned", f"{_QUANTITY}AppleExerciseTime"})


def is_apple_health(seen: Peek) -> bool:
    """Whether a file begins as Apple Health's export does."""
    return seen.text.startswith("<") and _ROOT.search(seen.head) is not None


def read_apple_health(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the events of an export. Raises `AdapterError` where nobody says whose it is, where it is no XML or holds
    declarations of entities, and where it ends before its end.
    """
    whose(path, context)
    reader = _Reader(path, context, report)
    try:
        with open_bytes(path, report) as file:
            for number, chunk in enumerate(_undeclared(file, path)):
                reader.feed(chunk)
                if number % _CHUNKS_AT_ONCE == 0:
                    yield from reader.handed_on()
        reader.close()
    except expat.ExpatError as error:
        raise AdapterError(f"{path.name} is no whole XML document: line {error.lineno}.") from None
    yield from reader.handed_on()


def _undeclared(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """The document without its declarations, which Apple writes and which are, of some versions, no valid ones.

    Raises `AdapterError` for entities and for what refers to another file.
    """
    head = file.read(_CHUNK)
    root = _ROOT.search(head)
    declared = _DECLARED.search(head, 0, root.start() if root else len(head))
    if root is None:
        raise AdapterError(f"{path.name} has no HealthData where it should begin.")
    if declared is not None:
        inside = head[declared.start() : root.start()]
        if b"<!ENTITY" in inside or _EXTERNAL.match(inside):
            raise AdapterError(f"{path.name} declares entities or names another file: no export of Apple Health does.")
        head = head[: declared.start()] + b"\n" * inside.count(b"\n") + head[root.start() :]
    yield head
    while chunk := file.read(_CHUNK):
        yield chunk


class _Reader:
    """What expat tells of a document, as events: those of one record at once, those of several at the end."""

    def __init__(self, path: Path, context: Context, report: Report) -> None:
        self._held = Held()
        self._path, self._context, self._report = path, context, report
        self._subject = whose(path, context)
        self._prefix = f"{self._subject.scheme}/{self._subject.value}"
        self._days, self._nights, self._pressures, self._foods = Days(), Nights(), Pressures(), Foods()
        self._workouts: list[Workout] = []
        self._left_out: Counter[str] = Counter()
        self._record: tuple[Attributes, dict[str, str]] | None = None
        self._correlation: tuple[Attributes, dict[str, str], list[Attributes]] | None = None
        self._workout: tuple[Attributes, list[Attributes]] | None = None
        self._depth = 0
        self._fed = 0
        self._samples: dict[str, tuple[list[Attributes], list[int]]] = {type_: ([], []) for type_ in _TOGETHER}
        """Samples that are read together, by type, and where they stand."""
        self._waiting = 0
        self._line: int | None = None
        self._takers: dict[str, Callable[[Attributes], None]] = {
            **dict.fromkeys(_VITAL_SIGNS, self._vital_sign),
            **dict.fromkeys(_PRESSURES, self._pressure),
            **dict.fromkeys((*FOOD, _GLUCOSE), self._wait),
            _STEPS: self._days.steps,
            _DISTANCE: self._days.distance,
            _SLEEP: self._night,
        }
        self._parser = expat.ParserCreate("utf-8")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.EntityDeclHandler = self._refuse

    def feed(self, chunk: bytes) -> None:
        """Take some more bytes. Raises `AdapterError` for a tag without end."""
        self._parser.Parse(chunk, False)
        if self._waiting >= _SAMPLES:
            self._read_samples()
        self._fed += len(chunk)
        if self._fed - self._parser.CurrentByteIndex > _LONGEST_ELEMENT:
            raise AdapterError(f"{self._path.name}: line {self._parser.CurrentLineNumber} has a tag without an end.")

    def close(self) -> None:
        """Take the end, and make the events that all of the file is needed for."""
        self._parser.Parse(b"", True)
        self._read_samples()
        self._add_all(DIET, self._foods.alone(self._report))
        self._add_all(BLOOD_PRESSURE, self._pressures.made())
        self._add_all(EXERCISE, unparted(self._workouts, self._left_out))
        self._add_all(SLEEP, self._nights.made(self._left_out, self._report))
        self._add_all(EXERCISE, self._days.made(self._context.zone), Precision.DAY)
        for what, times in self._left_out.items():
            for _ in range(times):
                self._report.leave_out("the document", _shown(what))

    def handed_on(self) -> Iterator[Batch]:
        """The events that are held, with their ids."""
        for batch in self._held.hand_on():
            assert isinstance(batch.rows, list), "records are held"
            ids = self._context.ids.of_many(batch.event, [record["event_id"] for record in batch.rows])
            for record, event_id in zip(batch.rows, ids, strict=True):
                record["event_id"] = event_id
            yield batch

    def _leave_out(self, what: str) -> None:
        """Count a record; where somebody wants to hear of every place, say so at once."""
        if self._report.told is None:
            self._left_out[what] += 1
        else:
            self._report.leave_out(self._place(), _shown(what))

    def _refuse(self, *_declaration: object) -> None:
        raise AdapterError(f"{self._path.name} has a declaration that no export of Apple Health has.")

    def _place(self) -> str:
        return f"line {self._parser.CurrentLineNumber if self._line is None else self._line}"

    def _start(self, name: str, attributes: Attributes) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise AdapterError(f"{self._path.name}: line {self._parser.CurrentLineNumber} is nested too deeply.")
        if name == "Record":
            if self._correlation is not None:
                self._correlation[2].append(attributes)
            else:
                type_ = attributes.get("type", "")
                if (together := self._samples.get(type_)) is not None:
                    together[0].append(attributes)
                    together[1].append(self._parser.CurrentLineNumber)
                    self._waiting += 1
                    return
                take = self._takers.get(type_)
                if take is None:
                    self._leave_out(type_)
                    return
                try:  # as `_guard` does: an export has millions of records
                    take(attributes)
                except Unusable as fault:
                    self._report.problem(self._place(), str(fault))
        elif name == "MetadataEntry":
            holder = self._record or self._correlation
            if holder is not None and "key" in attributes and "value" in attributes:
                holder[1][attributes["key"]] = attributes["value"]
        elif name == "Correlation":
            self._correlation = attributes, {}, []
        elif name == "Workout":
            self._workout = attributes, []
        elif name == "WorkoutStatistics" and self._workout is not None and self._depth == _OF_WORKOUT:
            self._workout[1].append(attributes)
        elif name == "ActivitySummary":
            self._guard(self._days.summary, attributes)
        elif name in _NOT_READ:
            self._leave_out(name)

    def _end(self, name: str) -> None:
        self._depth -= 1
        if name == "Record" and self._record is not None and self._correlation is None:
            self._guard(self._with_metadata, *self._record)
            self._record = None
        elif name == "Correlation" and self._correlation is not None:
            found, self._correlation = self._correlation, None
            self._guard(self._of_correlation, *found)
        elif name == "Workout" and self._workout is not None:
            self._guard(self._of_workout, *self._workout)
            self._workout = None

    def _guard(self, take: Callable[..., None], *parts: object) -> None:
        try:
            take(*parts)
        except Unusable as fault:
            self._report.problem(self._place(), str(fault))

    def _add(
        self,
        event: EventType,
        key: str,
        timed: Timed,
        payload: Record,
        place: str,
        *,
        exact: Precision = Precision.SECOND,
    ) -> None:
        begun, offset, _, created = timed
        record = {
            "event_id": f"{self._prefix}/{key}",  # until `handed_on`
            "source_id": self._context.source_id,
            "subject_scheme": self._subject.scheme,
            "subject_id": self._subject.value,
            "occurred_at": begun,
            "occurred_offset_minutes": offset,
            "occurred_precision": exact,
            "recorded_at": created,
            **payload,
        }
        if created is None:  # else there is nothing to judge, and an export has millions
            record |= stated_times(Moment(begun, offset, exact), None, self._context)
        self._held.add(event, record, place)

    def _add_all(self, event: EventType, made: Iterator[Made], exact: Precision = Precision.SECOND) -> None:
        for each in made:
            try:
                self._add(event, *each, exact=exact)
            except Unusable as fault:
                self._report.problem(each[-1], str(fault))

    def _vital_sign(self, attributes: Attributes) -> None:
        type_, timed = attributes["type"], timed_of(attributes)
        key = key_of(type_, source_of(attributes), timed)
        self._add(VITAL_SIGN, key, timed, _vital_sign(type_, attributes, timed), self._place())

    def _read_samples(self) -> None:
        """Take the samples that wait: those that are plainly right together, the others one by one."""
        waiting = [(type_, *each) for type_, each in self._samples.items() if each[0]]
        self._samples, self._waiting = {type_: ([], []) for type_ in self._samples}, 0
        others: list[tuple[int, Attributes]] = []
        for type_, attributes, lines in waiting:
            if type_ in _VITAL_SIGNS:
                taken = self._vital_signs(type_, attributes, lines)
            else:
                samples = read_samples(attributes, METRES if type_ == _DISTANCE else None)
                taken = samples.right & (samples.value <= MOST)
                self._days.take_many(samples, taken, is_steps=type_ == _STEPS)
            others += [(lines[at], attributes[at]) for at in np.flatnonzero(~taken)]
        for self._line, each in sorted(others, key=lambda other: other[0]):
            self._guard(self._takers[each["type"]], each)
        self._line = None

    def _vital_signs(self, type_: str, attributes: Sequence[Attributes], lines: Sequence[int]) -> Mask:
        """Take vital signs of one type; which of them were."""
        code, units = _VITAL_SIGNS[type_]
        samples = read_samples(attributes, {unit: float(factor) for unit, (_, factor) in units.items()})
        taken = samples.right & (samples.ended - samples.begun <= _LONGEST_MEASUREMENT_MS)
        if "%" in units:
            taken &= samples.value <= units["%"][1]
        columns = (each.tolist() for each in (samples.begun, samples.ended, samples.offset, samples.created))
        rows = zip(*columns, samples.value.tolist(), samples.units, samples.sources, lines, strict=True)
        for begun, ended, offset, created, value, unit, source, line in compress(rows, taken):
            timed = Timed(begun, offset, ended, created)
            payload = vital_sign(code, value, units[unit][0])
            self._add(VITAL_SIGN, key_of(type_, source, timed), timed, payload, f"line {line}")
        return taken

    def _pressure(self, attributes: Attributes) -> None:
        self._pressures.component(_PRESSURES[attributes["type"]], sample_of(attributes), self._place())

    def _night(self, attributes: Attributes) -> None:
        self._nights.segment(attributes, self._place())

    def _wait(self, attributes: Attributes) -> None:
        """What an element means whose metadata follow is known at its end."""
        self._record = attributes, {}

    def _with_metadata(self, attributes: Attributes, metadata: dict[str, str]) -> None:
        sample = sample_of(attributes)
        if sample.type == _GLUCOSE:
            self._add(GLUCOSE, sample.key, sample.timed, _glucose(sample, metadata), self._place())
        else:
            self._foods.nutrient(sample, metadata, self._place())

    def _of_correlation(self, attributes: Attributes, metadata: dict[str, str], records: list[Attributes]) -> None:
        type_ = attributes.get("type", "")
        if type_ == "HKCorrelationTypeIdentifierBloodPressure":
            for each in records:
                if each.get("type") in _PRESSURES:
                    self._pressure(each)
        elif type_ == "HKCorrelationTypeIdentifierFood":
            self._add(DIET, *self._foods.meal(attributes, metadata, records, self._place()))
        else:
            self._leave_out(type_)

    def _of_workout(self, attributes: Attributes, statistics: list[Attributes]) -> None:
        timed, source = timed_of(attributes), source_of(attributes)
        name = attributes.get("workoutActivityType", "").removeprefix("HKWorkoutActivityType")
        word = activity(_WORDS.sub(" ", name), self._place(), self._report)
        seconds = {"min": 60.0, "s": 1.0, "hr": 3600.0}.get(attributes.get("durationUnit", "min"))
        if seconds is None:
            raise Unusable("durationUnit is none of HealthKit's")
        lasted = attributes.get("duration")
        payload: Record = {
            "activity": word,
            "duration": positive(number_of_text(lasted, "duration") * seconds, "duration") if lasted else None,
            "steps": None,
            "distance": metres_of(attributes, "totalDistance", "totalDistanceUnit"),
            "energy": energy_of(attributes, "totalEnergyBurned", "totalEnergyBurnedUnit"),
            "heart_rate": None,
        }
        distances = [each for each in statistics if each.get("type", "").startswith(f"{_QUANTITY}Distance")]
        if len(distances) == 1:
            payload["distance"] = metres_of(distances[0], "sum", "unit")
        elif distances:  # a triathlon: what was swum and what was run are no one distance
            payload["distance"] = None
            self._report.leave_out(self._place(), "the distances of a workout of several kinds")
        for each in statistics:
            _add_statistics(payload, each)
        key = f"{key_of('Workout', source, timed)}/{word}"
        self._workouts.append(Workout(key, timed, payload, self._place(), source))


def _add_statistics(payload: Record, statistics: Attributes) -> None:
    """Put what newer exports say of a workout beside it: sums and means of samples."""
    type_ = statistics.get("type", "").removeprefix(_QUANTITY)
    if type_ == "ActiveEnergyBurned":
        payload["energy"] = energy_of(statistics, "sum", "unit")
    elif type_ == "HeartRate" and statistics.get("unit") == "count/min" and statistics.get("average"):
        payload["heart_rate"] = positive(number_of_text(statistics["average"], "average"), "average")
    elif type_ == "StepCount" and statistics.get("sum"):
        payload["steps"] = count(round(number_of_text(statistics["sum"], "sum")), "sum")


def _vital_sign(type_: str, attributes: Attributes, timed: Timed) -> Record:
    value = value_of(attributes)
    code, units = _VITAL_SIGNS[type_]
    found = units.get(attributes.get("unit", ""))
    if found is None:
        raise Unusable("unit is none that the type has")
    if timed.ended - timed.begun > _LONGEST_MEASUREMENT_MS:
        raise Unusable("it lasts longer than one measurement")
    unit, factor = found
    if unit == "%" and value > 1:
        raise Unusable("value is more than 1, and HealthKit's per cent is a fraction")
    return vital_sign(code, positive(value * factor, "value"), unit)


def _glucose(sample: Sample, metadata: Mapping[str, str]) -> Record:
    if _GLUCOSE_UNIT.fullmatch(sample.unit):
        code, unit = "15074-8", "mmol/L"
    elif sample.unit == "mg/dL":
        code, unit = "2339-0", "mg/dL"
    else:
        raise Unusable("unit is none that the type has")
    return {
        "code": code,
        "value": sample.value,
        "value_unit": unit,
        "relation_to_meal": _MEALS.get(metadata.get("HKBloodGlucoseMealTime", "")),
        "status": "final",
    }


def _shown(type_: str) -> str:
    """A type's name, or a reason, where it is one that HealthKit, or we, could have written."""
    if type_ in _IN_SUMMARIES:
        return f"{type_} (of a day: ActivitySummary)"
    return type_ if _TYPE.fullmatch(type_) or type_ in _REASONS else "a record whose type is no name"
