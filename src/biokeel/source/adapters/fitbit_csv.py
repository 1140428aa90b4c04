"""Fitbit exports as CSV (Fitabase): `dailyActivity`, `sleepDay`, `heartrate_seconds` and `weightLogInfo`.

The subject is `app/<site>` (fitbit by default) with the column Id. Dates have no zone and, as Fitabase writes them,
the month first; a file whose dates could be read either way is refused unless the source says the order. Distances are
kilometres (Fitabase's data dictionary).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Final, NamedTuple

from biokeel.contracts.topics import EventType
from biokeel.errors import AdapterError
from biokeel.source.adapters.base import Batch, Context, Held, Record, Report, Unusable, subject_of
from biokeel.source.adapters.envelope import open_text, peek
from biokeel.source.adapters.lifestyle import EXERCISE, SLEEP, VITAL_SIGN, count, envelope, positive, vital_sign
from biokeel.source.adapters.numbers import number_of_text
from biokeel.source.times import Moment, Precision, in_zone, order_of_day_and_month

Row = dict[str, str]

_DATE: Final = re.compile(
    r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2}))?(?: *([AP])M)?)?",
    re.ASCII | re.IGNORECASE,
)
_ISO: Final = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2}(?::\d{2})?))?", re.ASCII)


class Export(NamedTuple):
    """One export: the columns it needs, the one with the day or time, what its lines become."""

    name: str
    columns: tuple[str, ...]
    time: str
    event: EventType
    payload: Callable[[Row], Record]
    looks_for_repeats: bool = True


def is_fitbit(columns: list[str]) -> bool:
    """Whether a CSV with these columns is one of Fitbit's, read or not."""
    return "Id" in columns and (_export_of(columns) is not None or _not_read(columns) is not None)


def _export_of(columns: list[str]) -> Export | None:
    if columns == ["Id", "Time", "Value"]:  # names that anybody's table may have
        return _HEART_RATE
    return next((export for name, export in _TELL.items() if name in columns), None)


def _not_read(columns: list[str]) -> str | None:
    return next((what for name, what in _NOT_READ.items() if name in columns), None)


def read_fitbit(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield a record for each line. Raises `AdapterError` where the file is no export that is read, lacks a column, or
    does not tell day from month.
    """
    export = _export(path)
    try:
        month_first = _month_first(path, export, context.day_month)
        with open_text(path, report) as file:
            yield from _read(_lines(file, path), export, month_first, context, report)
    except (UnicodeDecodeError, csv.Error) as error:
        raise AdapterError(f"Cannot read {path.name} as CSV: {type(error).__name__}.") from None


def _export(path: Path) -> Export:
    columns = peek(path).columns
    export = _export_of(columns)
    if export is None:
        raise AdapterError(
            f"{path.name} looks like Fitbit's, with {_not_read(columns) or 'other columns'}: not read.",
            f"Send {', '.join(each.name for each in (*_TELL.values(), _HEART_RATE))}.",
        )
    missing = [name for name in export.columns if name not in columns]
    if missing:
        raise AdapterError(f"{path.name} looks like Fitbit's {export.name}, and lacks {', '.join(missing)}.")
    return export


def _lines(file: Iterator[str], path: Path) -> csv.DictReader[str]:
    first = peek(path).text.partition("\n")[0]
    return csv.DictReader(file, delimiter=max(",;\t", key=first.count))


def _month_first(path: Path, export: Export, declared: str | None) -> bool:
    """Whether the month stands before the day. Raises `AdapterError` where the dates of the file do not tell."""
    if declared is not None:
        return declared == "mdy"
    with open_text(path) as file:
        days = {(row[export.time] or "").partition(" ")[0] for row in _lines(file, path)}
    order = order_of_day_and_month(days)
    if order == "dmy":
        raise AdapterError(f"{path.name} has the day before the month.", "Say so: --day-month dmy.")
    if order is None and any(_DATE.match(day) for day in days):
        raise AdapterError(
            f"{path.name} has dates that do not tell day from month.", "Say the order: --day-month mdy, or dmy."
        )
    return True


def _read(
    lines: csv.DictReader[str], export: Export, month_first: bool, context: Context, report: Report
) -> Iterator[Batch]:
    seen: dict[str, tuple[int, Row]] = {}
    held = Held()
    for row in lines:
        place = f"line {lines.line_num}"
        try:
            record = _record(row, export, month_first, context)
        except Unusable as fault:
            report.problem(place, str(fault))
            continue
        if export.looks_for_repeats:
            line, before = seen.setdefault(record["event_id"], (lines.line_num, row))
            if before is not row:
                if before == row:
                    report.leave_out(place, "a line that says again what an earlier one said")
                else:
                    report.problem(place, f"the same person and day as line {line}, and other values")
                continue
        held.add(export.event, record, place)
        if held.full:
            yield from held.hand_on()
    yield from held.hand_on()


def _record(row: Row, export: Export, month_first: bool, context: Context) -> Record:
    if None in row or None in row.values():
        raise Unusable("the line has not as many cells as the header")
    subject = subject_of(f"app/{context.site}", row["Id"], "Id")
    begun, written = _moment(row[export.time], export.time, month_first, context.zone)
    key = f"{row['Id']}/{export.name}/{written}"
    return envelope(context, export.event, key, subject, begun) | export.payload(row)


def _moment(text: str, name: str, month_first: bool, zone: tzinfo | None) -> tuple[Moment, str]:
    """The moment that `text` names, and its time on the wall, whatever the writing."""
    try:
        if found := _DATE.fullmatch(text.strip()):
            first, second, year = int(found[1]), int(found[2]), int(found[3])
            month, day = (first, second) if month_first else (second, first)
            wall = datetime(year, month, day, *_clock(found))  # noqa: DTZ001 - in_zone decides
        elif found := _ISO.fullmatch(text.strip()):
            wall = datetime.fromisoformat(f"{found[1]}T{found[2] or '00:00'}")
        else:
            raise Unusable(f"{name} is no date")
        if not (wall.hour or wall.minute or wall.second):
            exact = Precision.DAY  # the midnight that is written beside a day's sum is no time
        else:
            exact = Precision.SECOND if text.count(":") > 1 else Precision.MINUTE
        return in_zone(wall, zone, exact), wall.isoformat()
    except (ValueError, OverflowError):
        raise Unusable(f"{name} is no date") from None


def _clock(found: re.Match[str]) -> tuple[int, int, int]:
    """Hour, minute and second; none is midnight. Raises `ValueError` for an hour that the clock has not."""
    if found[4] is None:
        return 0, 0, 0
    hour = int(found[4])
    if found[7]:
        if not 1 <= hour <= 12:
            raise ValueError
        hour = hour % 12 + (12 if found[7].upper() == "P" else 0)
    return hour, int(found[5]), int(found[6] or 0)


def _value(row: Row, name: str, factor: float = 1.0) -> float | None:
    """The number in a cell, times `factor`; null for an empty cell. Raises `Unusable`."""
    text = row[name].strip()
    return positive(number_of_text(text, name) * factor, name) if text else None


def _needed(row: Row, name: str) -> float:
    found = _value(row, name)
    if found is None:
        raise Unusable(f"{name} is empty")
    return found


_ACTIVE: Final = ("VeryActiveMinutes", "FairlyActiveMinutes", "LightlyActiveMinutes")


def _exercise(row: Row) -> Record:
    active = [_value(row, name, 60) for name in _ACTIVE]
    steps = _value(row, "TotalSteps")
    return {
        "activity": "daily_activity",
        "duration": None if None in active else sum(filter(None, active)),
        "steps": None if steps is None else count(steps, "TotalSteps"),
        "distance": _value(row, "TotalDistance", 1000),
        "energy": _value(row, "Calories"),
    }


def _sleep(row: Row) -> Record:
    return {"minutes_asleep": _value(row, "TotalMinutesAsleep"), "minutes_in_bed": _value(row, "TotalTimeInBed")}


def _heart_rate(row: Row) -> Record:
    return vital_sign("8867-4", _needed(row, "Value"), "/min")


def _weight(row: Row) -> Record:
    return vital_sign("29463-7", _needed(row, "WeightKg"), "kg")


# Millions of lines, one every five seconds: that a line is repeated is found where it lands.
_HEART_RATE: Final = Export(
    "heartrate_seconds", ("Id", "Time", "Value"), "Time", VITAL_SIGN, _heart_rate, looks_for_repeats=False
)
_TELL: Final = {
    "ActivityDate": Export(
        "dailyActivity",
        ("Id", "ActivityDate", "TotalSteps", "TotalDistance", *_ACTIVE, "Calories"),
        "ActivityDate",
        EXERCISE,
        _exercise,
    ),
    "SleepDay": Export(
        "sleepDay", ("Id", "SleepDay", "TotalMinutesAsleep", "TotalTimeInBed"), "SleepDay", SLEEP, _sleep
    ),
    "WeightKg": Export("weightLogInfo", ("Id", "Date", "WeightKg"), "Date", VITAL_SIGN, _weight),
}
"""The column that tells an export."""
_NOT_READ: Final = {
    "ActivityDay": "a column of dailyActivity a day (steps, calories or intensities)",
    "ActivityHour": "sums of an hour, whose days are in dailyActivity",
    "ActivityMinute": "values of a minute, whose days are in dailyActivity",
    "logId": "sleep by the minute, whose nights are in sleepDay",
}
"""Columns of exports that say again, in smaller parts, what those that are read say."""
