"""mosdepth's coverage: `*.mosdepth.summary.txt` and `*.mosdepth.global.dist.txt`. They name no sample: it is stated.

The autosomes are chromosomes 1 to 22 under UCSC's or Ensembl's names; where one is missing, the coverage of the others
is no autosomes' coverage. `total` is everything that the alignment's reference has, decoys and X and Y too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from biokeel.errors import AdapterError
from biokeel.source.adapters.base import Batch, Context, Report, Unusable
from biokeel.source.adapters.qc import Part, events, whole_number
from biokeel.source.adapters.text import lines, table

SUMMARY: Final = ("chrom", "length", "bases", "mean", "min", "max")
DIST: Final = re.compile(r"[^\t]+\t\d+\t[01]\.\d+")
_AUTOSOMES: Final = tuple({f"{prefix}{number}" for number in range(1, 23)} for prefix in ("chr", ""))
_GLOBAL: Final = "global.dist"


def read_summary(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the mean coverage of the autosomes and of everything."""
    yield from events(path, [_summary(path, report)], context, report)


def read_dist(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the share of positions with a coverage of at least 15, of the global distribution.

    A distribution over regions looks the same inside: only the name that mosdepth gives tells them apart.
    """
    if _GLOBAL not in path.name:
        raise AdapterError(
            f"{path.name} is a coverage distribution of mosdepth, over all or over regions: nobody can tell.",
            f"Publish the file that mosdepth names …{_GLOBAL}.txt, under that name.",
        )
    part = Part("total", "mosdepth-global-dist", "mosdepth")
    for _, text in lines(path, report):
        cells = text.split("\t")
        if cells[:2] == ["total", "15"]:
            part.measure("pct_positions_15x", cells[2], "total 15", 100)
    if not part.metrics:
        part.not_available.append("total 15")
    yield from events(path, [part], context, report)


def _summary(path: Path, report: Report) -> Part:
    part = Part("the report", "mosdepth-summary", "mosdepth")
    rows: dict[str, tuple[int, int]] = {}
    for place, row in table(path, report, "\t"):
        try:
            counts = whole_number(row["length"], "length"), whole_number(row["bases"], "bases")
        except Unusable as fault:
            report.problem(place, str(fault))
            part.faults.append("a chromosome cannot be read")
            continue
        if rows.setdefault(row["chrom"], counts) != counts:
            part.faults.append("a chromosome stands there twice")
    if "total" in rows:
        length, bases = rows["total"]
        part.metrics["territory_bp"] = length
        part.ratio("mean_coverage", bases, length, "total")
    autosomes = next((names for names in _AUTOSOMES if names <= rows.keys()), set[str]())
    length, bases = (sum(rows[name][which] for name in autosomes) for which in (0, 1))
    part.ratio("mean_autosome_coverage", bases, length, "autosomes (chromosomes 1 to 22)")
    return part
