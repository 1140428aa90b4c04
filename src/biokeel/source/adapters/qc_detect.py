"""Which report of a genome's quality, or list of samples, a file is, by how it begins."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from biokeel.source.adapters import (
    qc_dragen,
    qc_fastp,
    qc_htslib,
    qc_mosdepth,
    qc_picard,
    qc_samples,
    sample_sheets,
    wgs_qc,
)
from biokeel.source.adapters.base import Adapter
from biokeel.source.adapters.envelope import Peek


class _Format(NamedTuple):
    """A format of this family, as `detect.Format` wants it."""

    name: str
    read: Adapter
    tells: Callable[[Peek], bool]


def _begins(pattern: re.Pattern[str]) -> Callable[[Peek], bool]:
    return lambda seen: bool(pattern.match(seen.text))


def _has(*columns: str) -> Callable[[Peek], bool]:
    return lambda seen: set(columns) <= set(seen.columns)


def _is_manifest(seen: Peek) -> bool:
    return len(seen.columns) == 3 and all("://" in cell for cell in seen.columns[1:])


FORMATS: Final = (
    _Format("GA4GH WGS-QC metrics", wgs_qc.read_metrics, lambda seen: any(map(wgs_qc.is_metrics, seen.samples))),
    _Format("fastp", qc_fastp.read_fastp, lambda seen: any(map(qc_fastp.is_fastp, seen.samples))),
    _Format("samtools stats", qc_htslib.read_stats, _begins(qc_htslib.STATS)),
    _Format("samtools flagstat", qc_htslib.read_flagstat, _begins(qc_htslib.FLAGSTAT)),
    _Format("bcftools stats", qc_htslib.read_bcftools, _begins(qc_htslib.BCFTOOLS)),
    _Format("Picard metrics", qc_picard.read_picard, _begins(qc_picard.FIRST)),
    _Format("DRAGEN metrics", qc_dragen.read_dragen, _begins(qc_dragen.FIRST)),
    _Format("mosdepth summary", qc_mosdepth.read_summary, _has(*qc_mosdepth.SUMMARY)),
    _Format("mosdepth distribution", qc_mosdepth.read_dist, _begins(qc_mosdepth.DIST)),
    _Format("VerifyBamID selfSM", qc_samples.read_self_sm, _has(*qc_samples.SELF_SM)),
    _Format("somalier samples", qc_samples.read_somalier, _has(*qc_samples.SOMALIER)),
    _Format("somalier pairs", qc_samples.read_pairs, _has("#sample_a", "sample_b", "relatedness", "ibs0")),
    _Format("peddy het_check", qc_samples.read_het_check, _has(*qc_samples.HET_CHECK)),
    _Format("peddy sex_check", qc_samples.read_sex_check, _has(*qc_samples.SEX_CHECK)),
    _Format("peddy ped_check", qc_samples.read_pairs, _has("sample_a", "sample_b", "rel", "ibs0")),
    _Format(
        "Illumina sample sheet",
        sample_sheets.read_illumina_sheet,
        lambda seen: seen.text.startswith(sample_sheets.ILLUMINA_FIRST),
    ),
    _Format("IGSR sample sheet", sample_sheets.read_igsr_sheet, _has(*sample_sheets.IGSR_COLUMNS)),
    _Format("WGS sample manifest", sample_sheets.read_manifest, _is_manifest),
)
"""In the order in which they are asked."""
