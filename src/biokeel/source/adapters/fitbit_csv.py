"""Fitbit export as CSV: `dailyActivity_merged.csv` and `sleepDay_merged.csv`.

The subject is `app/<site>` (fitbit by default) with the column Id. Dates are US dates without a zone. Distances are
taken as kilometres: the file does not say its unit.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from biokeel.contracts.topics import EventType, event_type
from biokeel.errors import AdapterError
from biokeel.source.adapters.base import (
    Batch,
    Context,
    Held,
    Record,
    Report,
    Subject,
    Unusable,
    stated_times,
    subject_of,
)
from biokeel.source.times import Moment, Precision, in_zone

EXERCISE: Final = event_type("lifestyle.exercise")
SLEEP: Final = event_type("lifestyle.sleep")
_DATES: Final = ("%m/%d/%Y", "%m/%d/%Y %I:%M:%S %p")

Row = dict[str, str]


def is_fitbit(columns: list[str]) -> bool:
    """Whether a CSV with these columns is one of the two."""
    return any(day in columns for day in _FORMATS) and "Id" in columns


def read_fitbit(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield a record for each line; a line that says again what an earlier one said is a problem.

    Raises `AdapterError` where the file is neither of the two exports.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from _read(csv.DictReader(file), path, context, report)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AdapterError(f"Cannot read {path.name} as CSV: {type(error).__name__}.") from None


def _read(lines: csv.DictReader[str], path: Path, context: Context, report: Report) -> Iterator[Batch]:
    columns = list(lines.fieldnames or [])
    if not is_fitbit(columns):
        raise AdapterError(f"{path.name} has not the columns of a Fitbit export.")
    day_column = next(name for name in _FORMATS if name in columns)
    event, payload = _FORMATS[day_column]
    seen: dict[str, int] = {}
    held = Held()
    for row in lines:
        position = f"line {lines.line_num}"
        begun = _date(row[day_column], context)
        try:
            subject = subject_of(f"app/{context.site}", row["Id"], "Id")
        except Unusable as fault:
            report.problem(position, str(fault))
            continue
        if begun is None:
            report.problem(position, f"{day_column} is no US date")
            continue
        event_id = context.ids.of(event, f"{row['Id']}/{row[day_column]}")
        if event_id in seen:
            report.problem(position, f"the same person and day as line {seen[event_id]}")
            continue
        seen[event_id] = lines.line_num
        try:
            record = _envelope(subject, event_id, begun, context) | payload(row)
        except Unusable as fault:
            report.problem(position, str(fault))
            continue
        except (KeyError, ValueError, TypeError):
            report.problem(position, "a column is missing or holds no number")
            continue
        held.add(event, record, position)
        if held.full:
            yield from held.hand_on()
    yield from held.hand_on()


def _envelope(subject: Subject, event_id: str, begun: Moment, context: Context) -> Record:
    return {
        "event_id": event_id,
        "source_id": context.source_id,
        "subject_scheme": subject.scheme,
        "subject_id": subject.value,
    } | stated_times(begun, None, context)


def _date(text: str | None, context: Context) -> Moment | None:
    """The moment; None for what is no date, and for a line that ends before the column."""
    if text is None:
        return None
    for form in _DATES:
        try:
            return in_zone(datetime.strptime(text, form), context.zone, Precision.DAY)  # noqa: DTZ007 - in_zone decides
        except ValueError:
            continue
    return None


def _exercise(row: Row) -> Record:
    active = sum(float(row[name]) for name in ("VeryActiveMinutes", "FairlyActiveMinutes", "LightlyActiveMinutes"))
    return {
        "activity": "daily_activity",
        "duration": active * 60,
        "steps": int(row["TotalSteps"]),
        "distance": float(row["TotalDistance"]) * 1000,
        "energy": float(row["Calories"]),
    }


def _sleep(row: Row) -> Record:
    return {"minutes_asleep": float(row["TotalMinutesAsleep"]), "minutes_in_bed": float(row["TotalTimeInBed"])}


_FORMATS: Final[dict[str, tuple[EventType, Callable[[Row], Record]]]] = {
    "ActivityDate": (EXERCISE, _exercise),
    "SleepDay": (SLEEP, _sleep),
}
"""Which column the day stands in tells the export."""
