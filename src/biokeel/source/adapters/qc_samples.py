"""Tables with a row a sample: VerifyBamID's selfSM, somalier's samples.tsv, peddy's het_check and sex_check.

They name the sample. What relates two samples (somalier's pairs, peddy's ped_check) is no event of one and is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from biokeel.source.adapters.base import Batch, Context, Report, Unusable
from biokeel.source.adapters.qc import Part, events, sex_of, whole_number
from biokeel.source.adapters.text import table

SELF_SM: Final = ("#SEQ_ID", "RG", "CHIP_ID", "FREELK1")
_FREEMIX: Final = ("FREEMIX", "FREEMIX(alpha)")
"""VerifyBamID's name of the contamination, and that of VerifyBamID2's first versions."""
_ALL_GROUPS: Final = frozenset({"ALL", "NA"})
SOMALIER: Final = ("sample_id", "gt_depth_mean", "X_het", "X_hom_alt")
HET_CHECK: Final = ("sample_id", "mean_depth", "sampled_sites")
SEX_CHECK: Final = ("sample_id", "ped_sex", "predicted_sex", "het_count", "hom_alt_count")


def read_self_sm(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the contamination (FREEMIX) of each sample of VerifyBamID's or VerifyBamID2's selfSM."""
    yield from events(path, _self_sm(path, report), context, report)


def read_somalier(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the depth at somalier's sites, and het/hom on X, of each sample."""
    yield from events(path, _somalier(path, report), context, report)


def read_het_check(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the depth at peddy's sites of each sample."""
    yield from events(path, _het_check(path, report), context, report)


def read_sex_check(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the sex that peddy predicts, and het/hom on X, of each sample."""
    yield from events(path, _sex_check(path, report), context, report)


def read_pairs(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield nothing: what two samples are to each other is no event of one person."""
    del context
    for place, _ in table(path, report, "\t"):
        report.leave_out(place, "two samples' relatedness")
    yield from ()


def _self_sm(path: Path, report: Report) -> Iterator[Part]:
    for place, row in table(path, report, "\t"):
        if row["RG"] not in _ALL_GROUPS:
            report.leave_out(place, "VerifyBamID: one read group")
            continue
        part = Part(place, "verifybamid-selfsm", "VerifyBamID", row["#SEQ_ID"], "#SEQ_ID")
        named = [name for name in _FREEMIX if name in row]
        for name in named:
            part.measure("cross_contamination_rate", row[name], "FREEMIX")
        if not named:
            part.missing.append("FREEMIX")
        yield part


def _somalier(path: Path, report: Report) -> Iterator[Part]:
    for place, row in table(path, report, "\t"):
        part = Part(place, "somalier-samples", "somalier", row["sample_id"], "sample_id")
        part.measure("mean_site_depth", row["gt_depth_mean"], "gt_depth_mean")
        _het_hom_x(part, row["X_het"], row["X_hom_alt"], "X_het/X_hom_alt")
        yield part


def _het_check(path: Path, report: Report) -> Iterator[Part]:
    for place, row in table(path, report, ","):
        part = Part(place, "peddy-het-check", "peddy", row["sample_id"], "sample_id")
        part.measure("mean_site_depth", row["mean_depth"], "mean_depth")
        yield part


def _sex_check(path: Path, report: Report) -> Iterator[Part]:
    for place, row in table(path, report, ","):
        part = Part(place, "peddy-sex-check", "peddy", row["sample_id"], "sample_id")
        _het_hom_x(part, row["het_count"], row["hom_alt_count"], "het_count/hom_alt_count")
        try:
            sex = sex_of(row["predicted_sex"], "predicted_sex")
        except Unusable as fault:
            part.faults.append(str(fault))
        else:
            if sex == "unknown":
                part.not_available.append("predicted_sex")
            else:
                part.metrics["sex_inferred"] = sex
        yield part


def _het_hom_x(part: Part, het: str, hom: str, called: str) -> None:
    try:
        counts = whole_number(het, called), whole_number(hom, called)
    except Unusable as fault:
        part.faults.append(str(fault))
    else:
        part.ratio("ratio_heterozygous_homozygous_x", *counts, called)
