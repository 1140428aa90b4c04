"""DRAGEN's metrics CSV: mapping, coverage of the genome, variant caller, ploidy. `SECTIONS` has what each fills.

`TUMOR` and `NORMAL` before a section's name are two specimens, so two events. The variant caller's sections name the
sample in their second column; the others name none, and it must be stated. Rows of a read group are left out.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from biokeel.source.adapters.base import Batch, Context, Report, Unusable
from biokeel.source.adapters.qc import Part, events, sex_of, whole_number
from biokeel.source.adapters.text import lines


class Fill(NamedTuple):
    """A metric of ours; `cell` says which cell holds it: the value, or the percentage behind it."""

    name: str
    cell: int = 3


@dataclass(frozen=True, slots=True)
class Section:
    """A section: our name for the report, its rows' names to metrics, and which of them must be there."""

    report_type: str
    fills: Mapping[str, Fill]
    may_lack: frozenset[str] = frozenset()
    counted: str | None = None
    sums: Mapping[str, tuple[str, str]] = field(default_factory=dict)


_PERCENT: Final = 4
_COVERAGE: Final = "COVERAGE SUMMARY"
_PLOIDY: Final = "Ploidy estimation"
_CALLS: Final = {
    "SNPs": Fill("count_snvs"),
    "Ti/Tv ratio": Fill("ratio_transitions_transversions_snv"),
    "Het/Hom ratio": Fill("ratio_heterozygous_homozygous"),
}
_INDELS: Final = {
    "count_insertions": ("Insertions (Hom)", "Insertions (Het)"),
    "count_deletions": ("Deletions (Hom)", "Deletions (Het)"),
}
"""`Indels (Het)`, an insertion and a deletion at one place, is in neither."""
SECTIONS: Final = {
    "MAPPING/ALIGNING SUMMARY": Section(
        "dragen-mapping",
        {
            "Mapped reads": Fill("pct_reads_mapped", _PERCENT),
            "Properly paired reads": Fill("pct_reads_properly_paired", _PERCENT),
            "Q30 bases": Fill("yield_bp_q30"),
            "Insert length: mean": Fill("mean_insert_size"),
            "Insert length: standard deviation": Fill("insert_size_std_deviation"),
            "Estimated sample contamination": Fill("cross_contamination_rate"),
        },
        may_lack=frozenset({"Estimated sample contamination"}),
    ),
    _COVERAGE: Section(
        "dragen-wgs-coverage",
        {
            "Average autosomal coverage over genome": Fill("mean_autosome_coverage"),
            "Median autosomal coverage over genome": Fill("median_autosome_coverage"),
            "Average alignment coverage over genome": Fill("mean_coverage"),
            "PCT of genome with coverage [15x:inf)": Fill("pct_positions_15x"),
        },
    ),
    "VARIANT CALLER POSTFILTER": Section("dragen-variant-caller", _CALLS, counted="pass", sums=_INDELS),
    "VARIANT CALLER POSTFILTER GVCF": Section("dragen-gvcf", _CALLS, counted="pass", sums=_INDELS),
    "PLOIDY ESTIMATION": Section(
        "dragen-ploidy", {"Autosomal median coverage": Fill("median_autosome_coverage")}, counted=None
    ),
}
"""DRAGEN 3 and 4's names of sections and rows; blanks within brackets do not count."""
_OVERALL: Final = "Average alignment coverage over "
_WHOLE_GENOME: Final = frozenset({"wgs", "genome"})
"""What the overall coverage is of, where it is not a region's file."""
_KARYOTYPE: Final = re.compile(r"[XY0]{2,4}")
_REGION: Final = "DRAGEN: coverage of a region, not of the genome"
_ROLES: Final = {"TUMOR ": "tumor", "NORMAL ": "normal"}
FIRST: Final = re.compile(
    r"(?:TUMOR |NORMAL )?(?:(?:MAPPING/ALIGNING (?:SUMMARY|PER RG)|COVERAGE SUMMARY|PLOIDY ESTIMATION|RUN TIME"
    r"|VARIANT CALLER (?:SUMMARY|PREFILTER|POSTFILTER)(?: GVCF)?|TRIMMER STATISTICS|CNV SUMMARY|SV SUMMARY),"
    rf"|{_OVERALL})"
)
"""How a file begins, sections too that nothing is read of."""


@dataclass(slots=True)
class _Found:
    part: Part
    cells: dict[str, list[str]] = field(default_factory=dict)


def read_dragen(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield an event for each section, specimen and sample of a metrics CSV."""
    yield from events(path, _parts(path, report), context, report)


def _parts(path: Path, report: Report) -> Iterator[Part]:
    found: dict[tuple[str, str, str], _Found] = {}
    for number, text in lines(path, report):
        cells = next(csv.reader([text]), [])
        if not cells:
            continue
        place = f"line {number}"
        prefix = next((prefix for prefix in _ROLES if cells[0].startswith(prefix)), "")
        called = cells[0].removeprefix(prefix)
        if called.startswith(_OVERALL):
            if called.removeprefix(_OVERALL) not in _WHOLE_GENOME:
                report.leave_out(place, _REGION)
                continue
            part = Part(place, "dragen-overall-mean-coverage", "DRAGEN", role=_ROLES.get(prefix))
            part.measure("mean_coverage", cells[1] if len(cells) > 1 else None, called)
            yield part
            continue
        section = SECTIONS.get(called)
        if section is None:
            report.leave_out(place, "DRAGEN: rows of a read group, before filters, or of a section that is not read")
            continue
        if len(cells) < 4:
            report.problem(place, "has no section, sample, name and value")
            continue
        made = _Found(Part(place, section.report_type, "DRAGEN", cells[1] or None, "the second column"))
        made.part.role = _ROLES.get(prefix)
        one = found.setdefault((prefix, called, cells[1]), made)
        name = _plain(cells[2])
        if one.cells.setdefault(name, cells) != cells:
            one.part.faults.append("a row stands there twice, with two values")
    for (_, called, _), one in found.items():
        names = " ".join(one.cells)
        if called == _COVERAGE and "region" in names and "over genome" not in names:
            report.leave_out(one.part.place, _REGION)
            continue
        _measure(one, SECTIONS[called])
        yield one.part


def _measure(one: _Found, section: Section) -> None:
    part = one.part
    wanted = [*section.fills, *(row for rows in section.sums.values() for row in rows)]
    part.missing = [name for name in wanted if name not in one.cells and name not in section.may_lack]
    for called, fill in section.fills.items():
        if cells := one.cells.get(called):
            part.measure(fill.name, cells[fill.cell] if fill.cell < len(cells) else None, called)
    for name, rows in section.sums.items():
        try:
            if all(row in one.cells for row in rows):
                part.metrics[name] = sum(whole_number(one.cells[row][3], row) for row in rows)
        except Unusable as fault:
            part.faults.append(str(fault))
    if cells := one.cells.get(_PLOIDY):
        _sex(part, cells[3])
    if section.counted is not None and part.metrics:
        part.metrics["variants_counted"] = section.counted


def _sex(part: Part, text: str) -> None:
    """XX or XY; another karyotype (that of many a tumour) is neither sex, and the event has no field for it."""
    if text not in {"XX", "XY"} and _KARYOTYPE.fullmatch(text):
        part.not_available.append(_PLOIDY)
        return
    try:
        sex = sex_of(text, _PLOIDY)
    except Unusable as fault:
        part.faults.append(str(fault))
        return
    if sex == "unknown":
        part.not_available.append(_PLOIDY)
    else:
        part.metrics["sex_inferred"] = sex


def _plain(name: str) -> str:
    return re.sub(r"\[[^\])]*[\])]", lambda found: found[0].replace(" ", ""), name.strip())
