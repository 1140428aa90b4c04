"""fastp's JSON report: bases of at least Q30 in the reads, before filtering. It names no sample: it is stated.

A report is often of one lane, so it is no yield of the sample (`yield_bp_q30`), but `fastq_bp_q30`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from biokeel.source.adapters.base import Batch, Context, Report
from biokeel.source.adapters.envelope import documents
from biokeel.source.adapters.qc import Part, events


def is_fastp(document: Mapping[str, Any]) -> bool:
    """Whether a JSON document is fastp's."""
    summary = document.get("summary")
    return isinstance(summary, dict) and isinstance(summary.get("before_filtering"), dict)


def read_fastp(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the event of each report that the file holds."""
    yield from events(path, _parts(path, report), context, report)


def _parts(path: Path, report: Report) -> Iterator[Part]:
    for place, document in documents(path, report):
        if not is_fastp(document):
            report.problem(place, "no report of fastp: it wants summary.before_filtering")
            continue
        version, before = document["summary"].get("fastp_version"), document["summary"]["before_filtering"]
        part = Part(place, "fastp", f"fastp {version}" if isinstance(version, str) else "fastp")
        if "q30_bases" in before:
            part.measure_json("fastq_bp_q30", before["q30_bases"], "before_filtering.q30_bases")
        else:
            part.missing.append("before_filtering.q30_bases")
        yield part
