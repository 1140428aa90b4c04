"""Which quality-control report a text is, by how it begins."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from biokeel.errors import AdapterError
from biokeel.source.adapters import qc_dragen, qc_htslib, qc_mosdepth, qc_picard, qc_samples, sample_sheets
from biokeel.source.adapters.base import Adapter

_BY_BEGIN: Final[tuple[tuple[re.Pattern[str], str, Adapter], ...]] = (
    (qc_htslib.STATS, "samtools stats", qc_htslib.read_stats),
    (qc_htslib.FLAGSTAT, "samtools flagstat", qc_htslib.read_flagstat),
    (qc_htslib.BCFTOOLS, "bcftools stats", qc_htslib.read_bcftools),
    (qc_picard.FIRST, "Picard metrics", qc_picard.read_picard),
    (qc_dragen.FIRST, "DRAGEN metrics", qc_dragen.read_dragen),
    (qc_mosdepth.DIST, "mosdepth distribution", qc_mosdepth.read_dist),
    (re.compile(re.escape(sample_sheets.ILLUMINA_FIRST)), "Illumina sample sheet", sample_sheets.read_illumina_sheet),
)
_BY_COLUMNS: Final[tuple[tuple[tuple[str, ...], str, Adapter], ...]] = (
    (qc_mosdepth.SUMMARY, "mosdepth summary", qc_mosdepth.read_summary),
    (qc_samples.SELF_SM, "VerifyBamID selfSM", qc_samples.read_self_sm),
    (qc_samples.SOMALIER, "somalier samples", qc_samples.read_somalier),
    (qc_samples.HET_CHECK, "peddy het_check", qc_samples.read_het_check),
    (qc_samples.SEX_CHECK, "peddy sex_check", qc_samples.read_sex_check),
    (("sample_a", "sample_b", "rel", "ibs0"), "peddy ped_check", qc_samples.read_pairs),
    (("#sample_a", "sample_b", "relatedness", "ibs0"), "somalier pairs", qc_samples.read_pairs),
)
_NOT_READ: Final = (
    (
        re.compile(r"[^\s\t]+\t\d+\t\d+\t\d+$"),
        "samtools idxstats",
        "Publish samtools stats or flagstat of the same file.",
    ),
    (
        re.compile(r"#family_id\tsample_id\t.*\thet_call_rate\t"),
        "peddy's ped file",
        "Publish its het_check and sex_check.",
    ),
)
"""Reports that are known and not read: how they begin, what they are, what to do."""
KNOWN: Final = "reports of samtools, bcftools, mosdepth, VerifyBamID, Picard, somalier, peddy, DRAGEN and fastp"


def of_text(first: str) -> tuple[str, Adapter] | None:
    """The name and the adapter of the report whose first line is `first`; null for no report that is read."""
    for pattern, name, read in _BY_BEGIN:
        if pattern.match(first):
            return name, read
    columns = set(re.split(r"[,\t]", first.strip()))
    return next(((name, read) for names, name, read in _BY_COLUMNS if columns.issuperset(names)), None)


def refuse_known(path: Path, first: str) -> None:
    """Raise `AdapterError` where `first`, the first line of `path`, is a report's that is known and not read."""
    for pattern, what, hint in _NOT_READ:
        if pattern.match(first):
            raise AdapterError(f"{path.name} looks like {what}: not read.", hint)
