"""Lists of samples as genome.sample_manifest: GA4GH's manifest, the IGSR sample sheet, Illumina's sample sheets.

What an event's key is made of: of a manifest the sample with both URIs (two alignments of one sample are two events),
of an IGSR sheet the sample, of an Illumina sheet the sample with the run's name and date. The reference build is what a
column declares; none is guessed from a URI.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from biokeel.contracts.topics import event_type
from biokeel.errors import AdapterError
from biokeel.source.adapters.base import Batch, Context, Held, Record, Report, Unusable, content_key, subject_of
from biokeel.source.adapters.qc import NO_TIME, build_of, sex_of, when
from biokeel.source.adapters.text import rows
from biokeel.source.times import Moment, moment, order_of_day_and_month

MANIFEST: Final = event_type("genome.sample_manifest")
IGSR_COLUMNS: Final = ("Sample_name", "Sex", "Biosample_ID")
ILLUMINA_FIRST: Final = "[Header]"
"""How an Illumina sample sheet begins, v1 and v2."""

_TABLES: Final = ("Data", "BCLConvert_Data")
"""Sections with a line a sample: of v1, and of v2 as BCL Convert reads it."""
_SEX_COLUMNS: Final = ("Sex", "Gender")
_MONTHS: Final = 12
_CELLS: Final = "has more or fewer cells than the table has columns"
_SLASHED: Final = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
Row: TypeAlias = Mapping[str, str]


def read_manifest(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the samples of a manifest without a header: sample, alignment URI, variant URI."""
    held = Held()
    for line, row in rows(path, report):
        place = f"line {line}"
        if len(row) != 3 or not row[0] or not all("://" in uri for uri in row[1:]):
            report.problem(place, "wants a sample name and two URIs")
            continue
        files: Record = {"sex_reported": "unknown", "alignment_uri": row[1], "variant_uri": row[2]}
        try:
            files["reference_build"] = build_of(context.stated.reference_build, "the stated reference_build")
            event = _event(row[0], "the sample name", context, "manifest/" + content_key(row[1:]))
        except Unusable as fault:
            report.problem(place, str(fault))
            continue
        _hold(held, event | files, place, report)
    yield from held.hand_on()


def read_igsr_sheet(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the samples of an IGSR sample sheet: sex, biosample and population."""
    lines = list(rows(path, report))
    names = lines[0][1] if lines else []
    missing = [name for name in IGSR_COLUMNS if name not in names]
    if missing:
        raise AdapterError(f"{path.name} lacks the columns {', '.join(missing)}.")
    held = Held()
    for line, row in lines[1:]:
        place = f"line {line}"
        if len(row) < len(names):
            report.problem(place, _CELLS)
            continue
        cells = dict(zip(names, row, strict=False))
        try:
            sheet = {
                "biosample_id": cells.get("Biosample_ID") or None,
                "sex_reported": sex_of(cells.get("Sex", ""), "Sex"),
                "population_code": cells.get("Population_code") or None,
            }
            event = _event(cells.get("Sample_name", ""), "Sample_name", context, "sheet")
        except Unusable as fault:
            report.problem(place, str(fault))
            continue
        _hold(held, event | sheet, place, report)
    yield from held.hand_on()


@dataclass(slots=True)
class _Illumina:
    """A sheet: its header, the rows of its table with their lines, and the lines that are no rows."""

    header: dict[str, str] = field(default_factory=dict)
    rows: list[tuple[int, Row]] = field(default_factory=list)
    faulty: list[int] = field(default_factory=list)


def read_illumina_sheet(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the samples of an Illumina sample sheet, v1 (`[Data]`) or v2 (`[BCLConvert_Data]`), one event a sample.

    A sample that stands there once for each lane is one event. Raises `AdapterError` where there is no table, or where
    the day and the month of the run's date cannot be told and no time is stated.
    """
    sheet = _illumina(path, report)
    if not sheet.rows and not sheet.faulty:
        raise AdapterError(f"{path.name} has no section {' or '.join(_TABLES)} with samples.")
    at = context.stated.at or _date(path, sheet.header.get("Date", ""), context)
    run = sheet.header.get("RunName") or sheet.header.get("Experiment Name")
    for line in sheet.faulty:
        report.problem(f"line {line}", _CELLS)
    samples: dict[str, tuple[Record, str]] = {}
    contradicted: set[str] = set()
    for line, row in sheet.rows:
        place = f"line {line}"
        sex = next((row[name] for name in _SEX_COLUMNS if name in row), "")
        try:
            key = content_key(["illumina", run, sheet.header.get("Date")])
            event = _event(row.get("Sample_ID", ""), "Sample_ID", context, key, at) | {
                "sex_reported": sex_of(sex, "Sex"),
                "reference_build": build_of(row.get("Reference_Name"), "Reference_Name"),
            }
        except Unusable as fault:
            report.problem(place, str(fault))
            continue
        before, _ = samples.setdefault(event["event_id"], (event, place))
        if before != event:
            report.problem(place, "the same Sample_ID stands there before with another sex or reference")
            contradicted.add(event["event_id"])
        elif before is not event:
            report.leave_out(place, "a further lane of a sample")
    held = Held()
    for event, place in (samples[each] for each in samples if each not in contradicted):
        _hold(held, event, place, report)
    yield from held.hand_on()


def _hold(held: Held, event: Record, place: str, report: Report) -> None:
    if event["occurred_basis"] == "recorded":
        report.leave_out(place, NO_TIME)
    held.add(MANIFEST, event, place)


def _illumina(path: Path, report: Report) -> _Illumina:
    sheet, section, names = _Illumina(), "", list[str]()
    for line, row in rows(path, report):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if cells[0].startswith("[") and cells[0].endswith("]"):
            section, names = cells[0][1:-1], []
        elif section == "Header":
            sheet.header[cells[0]] = cells[1] if len(cells) > 1 else ""
        elif section in _TABLES and not names:
            names = cells
        elif section in _TABLES:
            if len(cells) < len(names) or any(cells[len(names) :]):
                sheet.faulty.append(line)
            else:
                sheet.rows.append((line, dict(zip(names, cells, strict=False))))
    return sheet


def _date(path: Path, text: str, context: Context) -> Moment | None:
    """The date of a sheet's header: ISO 8601, or with slashes where the source or the number itself tells the order."""
    if not text:
        return None
    if slashed := _SLASHED.fullmatch(text):
        first, second, year = slashed.groups()
        order = context.day_month or ("mdy" if int(first) == int(second) else order_of_day_and_month([text]))
        if order is None and max(int(first), int(second)) <= _MONTHS:
            raise AdapterError(
                f"{path.name}: the day and the month of [Header] Date cannot be told.",
                "Say the order with --day-month, or the time with --occurred-at.",
            )
        month, day = (first, second) if order == "mdy" else (second, first)
        text = f"{year}-{month:0>2}-{day:0>2}"
    found = moment(text, context.zone)
    if found is None:
        raise AdapterError(f"{path.name}: [Header] Date is no date that is read.", "State it with --occurred-at.")
    return found


def _event(sample: object, name: str, context: Context, part: str, at: Moment | None = None) -> Record:
    """The envelope of an event about `sample`, which stands in `name`. Raises `Unusable` where it can be no sample."""
    subject = subject_of(f"sample/{context.site}", sample, name)
    return {
        "event_id": context.ids.of(MANIFEST, f"{subject.value}/{part}"),
        "source_id": context.source_id,
        "subject_scheme": subject.scheme,
        "subject_id": subject.value,
        **when(at, context),
    }
