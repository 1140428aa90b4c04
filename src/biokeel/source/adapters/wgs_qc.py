"""GA4GH WGS quality control: metrics (JSON, one sample a file), sample manifest and sample sheet (CSV).

The subject is `sample/<site>` with the sample's name. None of the files says when: `recorded_at` stands in.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from biokeel.contracts.topics import EventType, event_type
from biokeel.errors import AdapterError
from biokeel.source.adapters.base import Batch, Context, Held, Record, Report, Unusable, read_json, subject_of

MANIFEST: Final = event_type("genome.sample_manifest")
QC_METRICS: Final = event_type("genome.qc_metrics")

_WHOLE: Final = ("yield_bp_q30", "count_snvs", "count_insertions", "count_deletions")
_REAL: Final = (
    "mean_autosome_coverage",
    "mad_autosome_coverage",
    "pct_autosomes_15x",
    "pct_reads_mapped",
    "pct_reads_properly_paired",
    "mean_insert_size",
    "insert_size_std_deviation",
    "cross_contamination_rate",
    "ratio_transitions_transversions_snv",
    "ratio_heterozygous_homozygous_snv",
    "ratio_heterozygous_homozygous_indel",
    "ratio_insertion_deletion",
)
_MISSPELT: Final = {"homzygous": "homozygous"}
"""The reference pipeline writes ratio_heterozygous_homzygous_snv."""
SHEET_COLUMNS: Final = ("Sample_name", "Sex", "Biosample_ID")
_BUILDS: Final = (
    (re.compile(r"hg38|grch38", re.IGNORECASE), "GRCh38"),
    (re.compile(r"hg19|grch37|b37", re.IGNORECASE), "GRCh37"),
    (re.compile(r"chm13", re.IGNORECASE), "T2T-CHM13v2.0"),
)


def read_metrics(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the quality metrics of one sample, nested as GA4GH has them or flat."""
    document = read_json(path)
    metrics = document.get("wgs_qc_metrics") if isinstance(document, dict) else None
    biosample = document.get("biosample") if isinstance(document, dict) else None
    if not isinstance(metrics, dict) or not isinstance(biosample, dict) or biosample.get("id") is None:
        raise AdapterError(f"{path.name} is no GA4GH WGS-QC file: it wants biosample.id and wgs_qc_metrics.")
    flat: dict[str, Any] = {}
    for name, value in metrics.items():
        flat |= value if isinstance(value, dict) else {name: value}
    known = {name.replace("homzygous", _MISSPELT["homzygous"]): value for name, value in flat.items()}
    faulty = [name for name in (*_WHOLE, *_REAL) if not _is_number(known.get(name))]
    if faulty:
        report.problem("wgs_qc_metrics", f"no number: {', '.join(faulty)}")
        return
    try:
        record = _envelope(biosample["id"], "biosample.id", QC_METRICS, context)
    except Unusable as fault:
        report.problem("biosample", str(fault))
        return
    record |= {name: int(known[name]) for name in _WHOLE if known.get(name) is not None}
    record |= {name: float(known[name]) for name in _REAL if known.get(name) is not None}
    yield Batch(QC_METRICS, [record | {"pipeline": _pipeline(path)}], ["wgs_qc_metrics"])


def read_manifest(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the samples of a manifest without a header: sample, alignment URI, variant URI."""
    held = Held()
    for line, row in _rows(path):
        place = f"line {line}"
        if len(row) != 3 or not row[0] or not all("://" in uri for uri in row[1:]):
            report.problem(place, "wants a sample name and two URIs")
            continue
        build = next((name for pattern, name in _BUILDS if pattern.search(row[1])), None)
        try:
            envelope = _envelope(row[0], "the sample name", MANIFEST, context, "manifest")
        except Unusable as fault:
            report.problem(place, str(fault))
            continue
        files = {"sex_reported": "unknown", "alignment_uri": row[1], "variant_uri": row[2], "reference_build": build}
        held.add(MANIFEST, envelope | files, place)
    yield from held.hand_on()


def read_sample_sheet(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the samples of an IGSR sample sheet: sex, biosample and population."""
    rows = list(_rows(path))
    names = rows[0][1] if rows else []
    missing = [name for name in SHEET_COLUMNS if name not in names]
    if missing:
        raise AdapterError(f"{path.name} lacks the columns {', '.join(missing)}.")
    held = Held()
    for line, row in rows[1:]:
        place = f"line {line}"
        cells = dict(zip(names, row, strict=False))
        try:
            envelope = _envelope(cells.get("Sample_name", ""), "Sample_name", MANIFEST, context, "sheet")
        except Unusable as fault:
            report.problem(place, str(fault))
            continue
        sex = cells.get("Sex", "").lower()
        sheet = {
            "biosample_id": cells.get("Biosample_ID") or None,
            "sex_reported": sex if sex in {"female", "male"} else "unknown",
            "population_code": cells.get("Population_code") or None,
        }
        held.add(MANIFEST, envelope | sheet, place)
    yield from held.hand_on()


def _envelope(sample: object, name: str, event: EventType, context: Context, part: str = "") -> Record:
    """The envelope of an event about `sample`, which stands in `name`. Raises `Unusable` where it can be no sample."""
    subject = subject_of(f"sample/{context.site}", sample, name)
    return {
        "event_id": context.ids.of(event, f"{subject.value}/{part}"),
        "source_id": context.source_id,
        "subject_scheme": subject.scheme,
        "subject_id": subject.value,
        "occurred_at": context.recorded_at,
        "occurred_offset_minutes": None,
        "recorded_at": context.recorded_at,
    }


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _pipeline(path: Path) -> str | None:
    """The pipeline that the folder of results is named after (`results-<pipeline>`), as the reference layout has it."""
    name = path.resolve().parent.name
    return name.removeprefix("results-") if re.fullmatch(r"results-[\w.\-]+", name) else None


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for row in reader:
                if row:
                    yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AdapterError(f"Cannot read {path.name} as CSV: {type(error).__name__}.") from None
