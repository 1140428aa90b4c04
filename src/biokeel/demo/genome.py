"""Made-up whole genomes, of the quality that the GA4GH reference results have."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from biokeel.demo.draw import Payload, Rng, normal, pick


def sample_manifest(rng: Rng, who: pl.DataFrame, _at: Any, _hour: Any) -> Payload:
    """The sample as its centre registers it."""
    folder = "s3://biokeel-landing/" + who["centre"] + "/" + who["barcode"] + "/" + who["barcode"]
    return {
        "biosample_id": "SAMKB" + who["barcode"].str.slice(2),
        "sex_reported": who["sex"],
        "population_code": "KOR",
        "reference_build": "GRCh38",
        "platform": pick(rng, who.height, {"ILLUMINA": 0.8, "DNBSEQ": 0.2}),
        "alignment_uri": folder + ".cram",
        "variant_uri": folder + ".vcf.gz",
        "status": "final",
    }


def qc_metrics(rng: Rng, who: pl.DataFrame, _at: Any, _hour: Any) -> Payload:
    """Around the GA4GH reference results."""
    count = who.height
    coverage = normal(rng, 32, 2.5, (22, 60, 2), count)
    insertions = rng.normal(462_000, 16_000, count).astype(np.int64)
    deletions = rng.normal(486_000, 16_000, count).astype(np.int64)
    return {
        "pipeline": "npm-sample-qc 0.13.5",
        "yield_bp_q30": (coverage * 3.4e9).astype(np.int64),
        "mean_autosome_coverage": coverage,
        "mad_autosome_coverage": normal(rng, 4.2, 0.6, (2, 9, 0), count),
        "pct_autosomes_15x": normal(rng, 95.8, 0.4, (90, 99, 2), count),
        "pct_reads_mapped": normal(rng, 99.7, 0.1, (98, 99.99, 2), count),
        "pct_reads_properly_paired": normal(rng, 97.9, 0.4, (94, 99.5, 2), count),
        "mean_insert_size": normal(rng, 448, 22, (330, 600, 1), count),
        "insert_size_std_deviation": normal(rng, 103, 6, (70, 150, 1), count),
        "cross_contamination_rate": np.clip(rng.exponential(0.002, count), 0, 0.02).round(4),
        "count_snvs": rng.normal(3_780_000, 60_000, count).astype(np.int64),
        "count_insertions": insertions,
        "count_deletions": deletions,
        "ratio_transitions_transversions_snv": normal(rng, 1.98, 0.01, (1.9, 2.1, 2), count),
        "ratio_heterozygous_homozygous_snv": normal(rng, 1.45, 0.08, (1.15, 2.0, 2), count),
        "ratio_heterozygous_homozygous_indel": normal(rng, 1.9, 0.12, (1.4, 2.6, 2), count),
        "ratio_insertion_deletion": (insertions / deletions).round(2),
        "status": "final",
    }


def variant_file(rng: Rng, who: pl.DataFrame, _at: Any, _hour: Any) -> Payload:
    """A claim check for a compressed VCF of one sample."""
    count = who.height
    text = rng.bytes(32 * count).hex()
    return {
        "uri": "s3://biokeel-landing/" + who["centre"] + "/" + who["barcode"] + ".vcf.gz",
        "size_bytes": rng.normal(1.1e9, 1.2e8, count).astype(np.int64),
        "sha256": [text[at : at + 64] for at in range(0, len(text), 64)],
        "file_format": "vcf.gz",
        "reference_build": "GRCh38",
        "sample_names": who["barcode"].reshape((count, 1)).arr.to_list()
        if count
        else pl.Series([], dtype=pl.List(pl.String)),
        "sample_count": np.ones(count, dtype=np.int32),
        "status": "final",
    }
