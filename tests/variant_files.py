"""Small variant files, made up for tests."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

from biokeel.contracts.variants import BUILDS

TOOLS = (
    "##fileDate=20240105",
    "##source=caller --input /data/kim/HONG.bam --user kim@lab-7",
    "##reference=file:///data/kim/hg38.fa",
    "##bcftools_viewCommand=view -s KB-1 /home/kim/in.vcf.gz; Date=Mon Jan  1 00:00:00 2024",
    '##SAMPLE=<ID=KB-1,Description="Hong Gildong, Seoul">',
    "##PEDIGREE=<Child=KB-1,Mother=KB-2>",
)
"""Lines of a header that name people, paths and machines."""
DEFINED = (
    '##FILTER=<ID=LowQual,Description="Low quality">',
    '##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">',
    '##INFO=<ID=AC,Number=A,Type=Integer,Description="Count in genotypes",Source="caller",Version="/opt/kim">',
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
    '##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Depths of alleles">',
)


def contigs(build: str = "GRCh38", prefix: str = "chr") -> list[str]:
    return [f"##contig=<ID={prefix}{name},length={length}>" for name, length in BUILDS[build].items()]


def record(sample_count: int = 1, position: int = 10_177, chromosome: str = "chr1") -> str:
    genotypes = "\t".join(["0/1:12,9"] * sample_count)
    columns = f"{chromosome}\t{position}\trs1\tA\tAC,G\t50\tPASS\tDP=21;AC=1,0"
    return f"{columns}\tGT:AD\t{genotypes}" if sample_count else columns


def vcf(
    samples: Sequence[str] = ("KB-1",),
    *,
    build: str = "GRCh38",
    header: Sequence[str] = (*TOOLS, *DEFINED),
    records: Sequence[str] | None = None,
    prefix: str = "chr",
) -> str:
    columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO" + "".join(
        f"\t{it}" for it in ("FORMAT", *samples) if samples
    )
    body = [record(len(samples), 10_000 + n, f"{prefix}1") for n in range(3)] if records is None else records
    return "\n".join(["##fileformat=VCFv4.2", *contigs(build, prefix), *header, columns, *body, ""])


def write(path: Path, text: str) -> Path:
    """As BGZF, gzip (`.gzip`) or plain text, by the path's ending."""
    import pysam

    if path.name.endswith(".gz"):
        with pysam.BGZFile(str(path), "w") as file:
            file.write(text.encode())
    elif path.name.endswith(".gzip"):
        path.write_bytes(gzip.compress(text.encode(), mtime=0))
    else:
        path.write_text(text, encoding="utf-8")
    return path
