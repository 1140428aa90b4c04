"""Reports of samtools and bcftools: `samtools stats`, `samtools flagstat`, `bcftools stats`.

Shares are of primary reads, as GA4GH has them; of flagstat only those that passed the instrument's filter, while
samtools stats, GA4GH's reference, does not part them. Only `bcftools stats -s -` names a sample; for the others it must
be stated.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from biokeel.errors import AdapterError
from biokeel.source.adapters.base import Batch, Context, Report, Unusable
from biokeel.source.adapters.qc import Part, events, whole_number
from biokeel.source.adapters.text import lines

STATS: Final = re.compile(r"# This file was produced by samtools stats \((\d+(?:\.\d+)*)")
BCFTOOLS: Final = re.compile(r"# This file was produced by (?:bcftools|vcfcheck)[^(]*(?:\((\d+(?:\.\d+)*))?")
FLAGSTAT: Final = re.compile(r"(\d+) \+ (\d+) in total")
_COMMAND: Final = re.compile(r"# The command line was:\s*(.*)")
_PART_OF_THE_READS: Final = frozenset({"-t", "--target-regions", "-I", "--id", "-S", "--split"})
"""Options of samtools stats that make it speak of a part of a sample's reads."""
_FLAGSTAT_LINE: Final = re.compile(r"(\d+) \+ \d+ (.*)")
_FLAGSTAT_NAMES: Final = ("in total", "secondary", "supplementary", "mapped", "properly paired")
_PASS: Final = frozenset({"PASS", "."})


def read_stats(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the event of a `samtools stats` report."""
    yield from events(path, [_stats(path, report)], context, report)


def read_flagstat(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the event of a `samtools flagstat` report."""
    yield from events(path, [_flagstat(path, report)], context, report)


def read_bcftools(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield an event for each sample of a `bcftools stats` report."""
    yield from events(path, _bcftools(path, report), context, report)


def _stats(path: Path, report: Report) -> Part:
    part = Part("the report", "samtools-stats")
    numbers: dict[str, str] = {}
    for line, text in lines(path, report):
        if (version := STATS.match(text)) and part.tool is None:
            part.tool = f"samtools {version[1]}"
        elif text.startswith("# This file contains statistics only") or _names_a_part(text):
            raise _part_of_the_reads(path)
        elif text.startswith("SN\t"):
            name, _, rest = text[3:].partition("\t")
            name = name.rstrip(":")
            if name in numbers:
                part.faults.append(f"line {line}: a second report in the same file")
                break
            numbers[name] = rest.partition("\t")[0]
    wanted = ("sequences", "filtered sequences", "reads mapped", "reads properly paired", "reads mapped and paired")
    count = _counts(part, numbers, wanted)
    if count is not None:
        reads, filtered, mapped, proper, pairs = count
        if filtered:
            raise _part_of_the_reads(path)
        part.ratio("pct_reads_mapped", 100 * mapped, reads, "reads mapped")
        part.ratio("pct_reads_properly_paired", 100 * proper, reads, "reads properly paired")
        # Without pairs samtools writes an insert size of 0.0, which nobody measured.
        sizes = {
            "insert size average": "mean_insert_size",
            "insert size standard deviation": "insert_size_std_deviation",
        }
        for called, name in sizes.items():
            part.measure(name, numbers.get(called) if pairs else None, called)
    return part


def _part_of_the_reads(path: Path) -> AdapterError:
    return AdapterError(
        f"{path.name} is samtools stats of a part of the reads (a filter, a region, a read group): not one sample's QC."
    )


def _names_a_part(text: str) -> bool:
    command = _COMMAND.match(text)
    if command is None:
        return False
    try:
        words = shlex.split(command[1])
    except ValueError:
        words = command[1].split()
    return any(word.split("=")[0] in _PART_OF_THE_READS for word in words)


def _flagstat(path: Path, report: Report) -> Part:
    part = Part("the report", "samtools-flagstat", "samtools")
    numbers: dict[str, str] = {}
    for line, text in lines(path, report):
        if not (found := _FLAGSTAT_LINE.fullmatch(text)):
            continue
        called = found[2].partition(" (")[0]
        if called not in _FLAGSTAT_NAMES:
            continue
        if called in numbers:
            part.faults.append(f"line {line}: a second report in the same file")
            break
        numbers[called] = found[1]
    count = _counts(part, numbers, _FLAGSTAT_NAMES)
    if count is not None:
        total, secondary, supplementary, mapped, proper = count
        # Secondary and supplementary alignments are mapped, all of them.
        primary, others = total - secondary - supplementary, secondary + supplementary
        part.ratio("pct_reads_mapped", 100 * (mapped - others), primary, "mapped")
        part.ratio("pct_reads_properly_paired", 100 * proper, primary, "properly paired")
    return part


def _counts(part: Part, numbers: dict[str, str], names: Sequence[str]) -> list[int] | None:
    """The counts that the report gives under `names`; null where one is missing, or no count."""
    part.missing = [name for name in names if name not in numbers]
    if part.missing:
        return None
    try:
        return [whole_number(numbers[name], name) for name in names]
    except Unusable as fault:
        part.faults.append(str(fault))
        return None


def _bcftools(path: Path, report: Report) -> Iterator[Part]:
    version: str | None = None
    counted: str | None = "all"
    tables: dict[str, list[list[str]]] = {}
    columns: dict[str, list[str]] = {}
    for _, text in lines(path, report):
        cells = text.split("\t")
        if (found := BCFTOOLS.match(text)) and version is None:
            version = found[1]
        elif found := _COMMAND.match(text):
            counted = _filter_of(found[1])
        elif text.startswith("# "):
            columns[cells[0][2:]] = [re.sub(r"^\[\d+\]", "", cell) for cell in cells]
        elif cells[0] in {"ID", "SN", "TSTV", "PSC", "PSI"}:
            tables.setdefault(cells[0], []).append(cells)
    if len(tables.get("ID", [])) != 1 or len(tables["ID"][0]) > 3:
        raise AdapterError(
            f"{path.name} is bcftools stats of several files, or of parts of one: not one call set's QC."
        )
    if counted is None:
        report.leave_out("the report", "variants_counted: the filters of the command line are neither PASS nor none")
    tool = f"bcftools {version}" if version else "bcftools"
    summary = {cells[2].rstrip(":"): cells[3] for cells in tables.get("SN", []) if len(cells) > 3}
    samples = [dict(zip(columns.get("PSC", []), cells, strict=False)) for cells in tables.get("PSC", [])]
    indels = {
        row.get("sample"): row
        for row in (dict(zip(columns.get("PSI", []), c, strict=False)) for c in tables.get("PSI", []))
    }
    if samples:
        for number, row in enumerate(samples):
            part = Part(f"PSC {number}", "bcftools-stats", tool, row.get("sample"), "PSC sample")
            _of_sample(part, row, indels.get(row.get("sample"), {}))
            yield _with_filter(part, counted)
        return
    if summary.get("number of samples") != "1":
        raise AdapterError(
            f"{path.name} is bcftools stats of no sample or of several, and says nothing of each.",
            "Run bcftools stats with -s -.",
        )
    part = Part("SN", "bcftools-stats", tool)
    part.measure("count_snvs", summary.get("number of SNPs"), "number of SNPs")
    part.measure("count_indels", summary.get("number of indels"), "number of indels")
    for row in (dict(zip(columns.get("TSTV", []), cells, strict=False)) for cells in tables.get("TSTV", [])):
        part.measure("ratio_transitions_transversions_snv", row.get("ts/tv"), "ts/tv")
    yield _with_filter(part, counted)


def _of_sample(part: Part, row: dict[str, str], indels: dict[str, str]) -> None:
    """The counts of one sample: PSC's ref, het and hom are of SNVs alone, PSI's of indels."""
    try:
        het, hom, transitions, transversions, both = (
            whole_number(row.get(name), f"PSC {name}")
            for name in ("nHets", "nNonRefHom", "nTransitions", "nTransversions", "nIndels")
        )
        part.metrics["count_snvs"] = (
            het + hom + (whole_number(row["nHapAlt"], "PSC nHapAlt") if "nHapAlt" in row else 0)
        )
        part.metrics["count_indels"] = both
        part.ratio("ratio_heterozygous_homozygous_snv", het, hom, "nHets/nNonRefHom")
        part.ratio("ratio_transitions_transversions_snv", transitions, transversions, "nTransitions/nTransversions")
        if "nInsHets" not in indels:
            return
        names = ("nInsHets", "nDelHets", "nInsAltHoms", "nDelAltHoms")
        ins_het, del_het, ins_hom, del_hom = (whole_number(indels.get(name), f"PSI {name}") for name in names)
        part.metrics |= {"count_insertions": ins_het + ins_hom, "count_deletions": del_het + del_hom}
        part.ratio("ratio_heterozygous_homozygous_indel", ins_het + del_het, ins_hom + del_hom, "PSI het/hom")
    except Unusable as fault:
        part.faults.append(str(fault))


def _filter_of(command: str) -> str | None:
    """Which variants `bcftools stats` counted, by its command line: those that passed, all, or null for neither."""
    found = re.search(r"(?:^|\s)(?:-f|--apply-filters)[\s=]*(\S+)", command)
    if found is None:
        return "all"
    return "pass" if set(found[1].strip("'\"").split(",")) <= _PASS else None


def _with_filter(part: Part, counted: str | None) -> Part:
    if counted is not None and part.metrics:
        part.metrics["variants_counted"] = counted
    return part
