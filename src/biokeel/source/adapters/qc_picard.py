"""Metrics files of Picard (and of GATK's and Parabricks' copies of it): what each class fills is in `CLASSES`.

A row names its sample in SAMPLE or SAMPLE_ALIAS where Picard was run by sample; a row of all reads names none, and the
sample must be stated. Rows of a library or of a read group are left out. Picard's coverage is that of the intervals it
was run with, so it is `mean_coverage` with its `territory_bp`; only GA4GH's report says that they are the autosomes.

`Started on` is when the tool ran. Its zone is an abbreviation, and CST is three zones: it counts where it is UTC or
GMT, or where the source's own zone (`--zone`) has that abbreviation then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from biokeel.errors import AdapterError
from biokeel.source.adapters.base import Batch, Context, Report, Unusable
from biokeel.source.adapters.qc import Part, events, whole_number
from biokeel.source.adapters.text import lines
from biokeel.source.times import Moment, in_zone

FIRST: Final = re.compile(r"## (?:(?:htsjdk\.samtools|net\.sf\.picard)\.metrics\.StringHeader|METRICS CLASS\s)")
_CLASS: Final = re.compile(r"## METRICS CLASS\s+(?:\S*[.$])?(\w+)")
_STARTED: Final = re.compile(
    r"# Started on: [A-Z][a-z]{2} ([A-Z][a-z]{2}) ([ \d]?\d) (\d\d):(\d\d):(\d\d) ([A-Z]{1,5}|[+-]\d\d:?\d\d) (\d{4})"
)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
Row: TypeAlias = Mapping[str, str]


class Fill(NamedTuple):
    """A metric of ours that a column fills; `scale` 100 makes a share a percentage."""

    column: str
    name: str
    scale: int = 1


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of metrics: our name for the report, what its columns fill, and which of its rows speak of the sample."""

    report_type: str
    fills: Sequence[Fill]
    counted: str | None = None
    pick: Callable[[Sequence[Row]], Sequence[Row]] = lambda rows: rows
    derive: Callable[[Part, Sequence[Row]], None] = lambda _part, _rows: None


def _pairs(rows: Sequence[Row]) -> Sequence[Row]:
    """Of FIRST_OF_PAIR, SECOND_OF_PAIR, PAIR and UNPAIRED those that count every read once."""
    return [row for row in rows if row.get("CATEGORY") in {"PAIR", "UNPAIRED"}]


def _forward_reverse(rows: Sequence[Row]) -> Sequence[Row]:
    """The orientation of paired-end libraries; another row is a small share of chimeric pairs."""
    return [row for row in rows if row.get("PAIR_ORIENTATION") == "FR"]


def _share_mapped(part: Part, rows: Sequence[Row]) -> None:
    reads, mapped = (sum(whole_number(row.get(n), n) for row in rows) for n in ("PF_READS", "PF_READS_ALIGNED"))
    part.ratio("pct_reads_mapped", 100 * mapped, reads, "PF_READS_ALIGNED")


CLASSES: Final = {
    "WgsMetrics": Kind(
        "picard-wgs",
        (
            Fill("MEAN_COVERAGE", "mean_coverage"),
            Fill("MAD_COVERAGE", "mad_coverage"),
            Fill("PCT_15X", "pct_positions_15x", 100),
            Fill("GENOME_TERRITORY", "territory_bp"),
        ),
    ),
    "InsertSizeMetrics": Kind(
        "picard-insert-size",
        (Fill("MEAN_INSERT_SIZE", "mean_insert_size"), Fill("STANDARD_DEVIATION", "insert_size_std_deviation")),
        pick=_forward_reverse,
    ),
    "AlignmentSummaryMetrics": Kind("picard-alignment-summary", (), pick=_pairs, derive=_share_mapped),
    "QualityYieldMetrics": Kind("picard-quality-yield", (Fill("PF_Q30_BASES", "yield_bp_q30"),)),
    "VariantCallingDetailMetrics": Kind(
        "picard-variant-calling-detail",
        (
            Fill("TOTAL_SNPS", "count_snvs"),
            Fill("TOTAL_INDELS", "count_indels"),
            Fill("HET_HOMVAR_RATIO", "ratio_heterozygous_homozygous"),
        ),
        counted="pass",
    ),
}
"""Picard's name of a class of metrics to what is read of it."""


def read_picard(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield an event for each sample of a metrics file. Raises `AdapterError` for a class that is not read."""
    yield from events(path, _parts(path, context, report), context, report)


def _parts(path: Path, context: Context, report: Report) -> Iterator[Part]:
    at: Moment | None = None
    classes: dict[str, list[tuple[str, Row]]] = {}
    rows: list[tuple[str, Row]] | None = None
    names: list[str] | None = None
    for number, text in lines(path, report):
        if started := _STARTED.match(text):
            at = _moment(started, context.zone)
            if at is None:
                report.leave_out(f"line {number}", "Started on: its zone is not told by its abbreviation; name --zone")
        elif found := _CLASS.match(text):
            called = found[1]
            if called in classes:
                raise AdapterError(f"{path.name} has two tables of {called}.")
            rows, names = classes.setdefault(called, []), None
        elif text.startswith("#") or not text.strip():
            rows = None
        elif rows is not None and names is None:
            names = text.split("\t")
        elif rows is not None and names is not None:
            cells = text.split("\t")
            # Picard leaves out the empty cells at the end of a row.
            rows.append((f"line {number}", dict(zip(names, cells + [""] * (len(names) - len(cells)), strict=False))))
    known = {name: table for name, table in classes.items() if name in CLASSES}
    if not known:
        raise AdapterError(
            f"{path.name} is a metrics file of Picard without a class that is read.", f"Read are {', '.join(CLASSES)}."
        )
    for name in sorted(classes.keys() - known.keys()):
        report.leave_out("the report", f"Picard's {name}")
    for name, table in known.items():
        yield from _of_class(CLASSES[name], name, table, at, report)


def _of_class(
    kind: Kind, called: str, rows: Sequence[tuple[str, Row]], at: Moment | None, report: Report
) -> Iterator[Part]:
    groups: dict[str, list[tuple[str, Row]]] = {}
    for place, row in rows:
        if row.get("LIBRARY") or row.get("READ_GROUP"):
            report.leave_out(place, f"Picard's {called} of a library or a read group")
        else:
            groups.setdefault(row.get("SAMPLE_ALIAS") or row.get("SAMPLE") or "", []).append((place, row))
    if len(groups) > 1 and "" in groups:
        report.leave_out(groups.pop("")[0][0], f"Picard's {called} of all samples together")
    for sample, found in groups.items():
        part = Part(found[0][0], kind.report_type, "Picard", sample or None, "SAMPLE", at=at)
        picked = kind.pick([row for _, row in found])
        if picked:
            _measure(part, kind, picked)
        yield part


def _measure(part: Part, kind: Kind, rows: Sequence[Row]) -> None:
    try:
        kind.derive(part, rows)
    except Unusable as fault:
        part.faults.append(str(fault))
    for row in rows:
        for fill in kind.fills:
            if fill.column in row:
                part.measure(fill.name, row[fill.column], fill.column, fill.scale)
            else:
                part.missing.append(fill.column)
    if kind.counted is not None and part.metrics:
        part.metrics["variants_counted"] = kind.counted


def _moment(started: re.Match[str], zone: tzinfo | None) -> Moment | None:
    month, day, hour, minute, second, abbreviation, year = started.groups()
    try:
        read = datetime(  # noqa: DTZ001 - its zone is the next question
            int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second)
        )
        if abbreviation[0] in "+-":
            return in_zone(datetime.fromisoformat(f"{read.isoformat()}{abbreviation}"), None)
    except ValueError:
        return None
    if abbreviation in {"UTC", "GMT"}:
        return in_zone(read, UTC)
    return in_zone(read, zone) if zone is not None and read.replace(tzinfo=zone).tzname() == abbreviation else None
