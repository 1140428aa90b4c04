"""Reports of tools: each value against the file read by a few lines of its own; what a report is not taken for."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.topics import event_type
from biokeel.errors import AdapterError
from biokeel.settings import PROJECT_ROOT
from biokeel.source.adapters.base import Context, Record, Report, Subject
from biokeel.source.adapters.detect import detect
from biokeel.source.adapters.qc_mosdepth import read_summary
from biokeel.source.adapters.stated import Stated
from biokeel.source.columns import frame_of
from biokeel.source.ids import EventIds

SCHEMA = DirectoryCatalogue(PROJECT_ROOT / "schemas").reader(event_type("genome.qc_metrics")).schema
CONTEXT = Context("centre", "centre", EventIds("centre", b"key"), 1_720_000_000_000, Subject("sample/centre", "S1"))
Read = Callable[..., tuple[list[Record], Report]]


def read(path: Path, context: Context = CONTEXT) -> tuple[list[Record], Report]:
    """Everything that is in a file, by whatever adapter it is for."""
    report = Report()
    rows = [row for batch in detect(path).read(path, context, report) for row in batch.rows]
    return rows, report  # type: ignore[return-value]


@pytest.fixture
def read_text(tmp_path: Path) -> Read:
    """Reads a text as a file."""

    def run(text: str, context: Context = CONTEXT, name: str = "report.txt") -> tuple[list[Record], Report]:
        path = tmp_path / str(len(list(tmp_path.iterdir()))) / name
        path.parent.mkdir()
        path.write_text(text, encoding="utf-8")
        return read(path, context)

    return run


@pytest.fixture
def reports(shared_data: Path) -> Path:
    """The folder of real reports."""
    return shared_data / "genome" / "qc-reports"


def only(path: Path) -> Record:
    (row,), report = read(path)
    assert not report.problems
    return row


def cells(path: Path, *begin: str, separator: str = "\t") -> list[str]:
    """The cells behind those that one line of `path` begins with."""
    lines = [line.split(separator) for line in path.read_text("utf-8").splitlines()]
    (found,) = (line for line in lines if tuple(line[: len(begin)]) == begin)
    return found[len(begin) :]


def picard(path: Path, number: int = 0) -> dict[str, str]:
    """A row of a Picard metrics file."""
    lines = path.read_text("utf-8").splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("## METRICS CLASS"))
    return dict(zip(lines[at + 1].split("\t"), lines[at + 2 + number].split("\t"), strict=False))


def test_samtools_stats_and_flagstat_say_the_shares_of_primary_reads(reports: Path) -> None:
    path = reports / "samtools" / "stats" / "Test1.txt"
    row = only(path)
    mapped, sequences = (int(cells(path, "SN", f"{name}:")[0]) for name in ("reads mapped", "sequences"))
    assert row["pct_reads_mapped"] == pytest.approx(100 * mapped / sequences)
    assert row["pct_reads_properly_paired"] == 0
    assert "mean_insert_size" not in row, "the insert size of reads without pairs is written as 0.0"
    assert (row["report_type"], row["qc_tool"], row["subject_id"]) == ("samtools-stats", "samtools 1.3", "S1")
    path = reports / "samtools" / "flagstat" / "samtools.flagstat.log.txt"
    counts = {name: int(count) for count, name in re.findall(r"^(\d+) \+ 0 ([a-z ]+)", path.read_text(), re.MULTILINE)}
    primary = counts["in total "] - counts["secondary"] - counts["supplementary"]
    row = only(path)
    assert row["pct_reads_mapped"] == pytest.approx(100 * (counts["mapped "] - counts["secondary"]) / primary)
    assert row["pct_reads_properly_paired"] == pytest.approx(100 * counts["properly paired "] / primary)


def test_bcftools_stats_says_the_counts_of_its_one_sample(reports: Path) -> None:
    path = reports / "bcftools" / "Test1_stats.txt"
    row = only(path)
    assert row["count_snvs"] == int(cells(path, "SN", "0", "number of SNPs:")[0])
    assert row["count_indels"] == int(cells(path, "SN", "0", "number of indels:")[0])
    assert row["ratio_transitions_transversions_snv"] == float(cells(path, "TSTV", "0")[2])
    assert (row["variants_counted"], row["qc_tool"]) == ("all", "bcftools 1.3.1")


def test_picards_metrics_are_those_of_the_row_that_counts_every_read_once(reports: Path) -> None:
    folder = reports / "picard"
    path = folder / "WgsMetrics" / "test1.wgs.metrics.txt"
    row, said = only(path), picard(path)
    assert (row["mean_coverage"], row["mad_coverage"]) == (float(said["MEAN_COVERAGE"]), float(said["MAD_COVERAGE"]))
    assert row["pct_positions_15x"] == pytest.approx(100 * float(said["PCT_15X"]))
    assert row["territory_bp"] == int(said["GENOME_TERRITORY"])
    assert "mean_autosome_coverage" not in row, "nobody says that the intervals are the autosomes"
    path = folder / "InsertSizeMetrics" / "insert_size_metrics_S52.txt"
    row, said = only(path), picard(path)
    assert row["mean_insert_size"] == float(said["MEAN_INSERT_SIZE"])
    assert row["insert_size_std_deviation"] == float(said["STANDARD_DEVIATION"])
    path = folder / "AlignmentSummaryMetrics" / "PairedEnd_AlignmentSummaryMetrics.txt"
    row, said = only(path), picard(path, 2)
    assert said["CATEGORY"] == "PAIR"
    assert row["pct_reads_mapped"] == pytest.approx(100 * float(said["PCT_PF_READS_ALIGNED"]), abs=1e-3)
    path = folder / "QualityYieldMetrics" / "sample.quality_yield_metrics.txt"
    assert only(path)["yield_bp_q30"] == int(picard(path)["PF_Q30_BASES"])
    path = folder / "VariantCallingMetrics" / "single_sample.gvcf.variant_calling_detail_metrics"
    row, said = only(path), picard(path)
    assert row["subject_id"] == said["SAMPLE_ALIAS"]
    assert (row["count_snvs"], row["count_indels"]) == (int(said["TOTAL_SNPS"]), int(said["TOTAL_INDELS"]))
    assert row["ratio_heterozygous_homozygous"] == float(said["HET_HOMVAR_RATIO"])
    assert (row["occurred_at"], row["occurred_basis"]) == (1_518_375_768_000, "stated")
    with pytest.raises(AdapterError, match="without a class that is read"):
        read(path.with_name("single_sample.gvcf.variant_calling_summary_metrics"))


def test_dragens_metrics_are_those_of_the_summary_rows(reports: Path) -> None:
    path = reports / "dragen" / "alignment" / "TEST.mapping_metrics.csv"
    said = {
        row[2]: row[3:]
        for row in csv.reader(path.open(encoding="utf-8"))
        if row and row[0] == "MAPPING/ALIGNING SUMMARY"
    }
    row = only(path)
    assert row["pct_reads_mapped"] == float(said["Mapped reads"][1])
    assert row["pct_reads_properly_paired"] == float(said["Properly paired reads"][1])
    assert row["yield_bp_q30"] == int(said["Q30 bases"][0])
    assert row["mean_insert_size"] == float(said["Insert length: mean"][0])
    assert row["insert_size_std_deviation"] == float(said["Insert length: standard deviation"][0])
    path = path.with_name("TEST.wgs_coverage_metrics.csv")
    said = {line[2]: line[3:] for line in csv.reader(path.open(encoding="utf-8"))}
    row = only(path)
    assert row["mean_autosome_coverage"] == float(said["Average autosomal coverage over genome"][0])
    assert row["median_autosome_coverage"] == float(said["Median autosomal coverage over genome"][0])
    assert row["mean_coverage"] == float(said["Average alignment coverage over genome"][0])
    assert row["pct_positions_15x"] == float(said["PCT of genome with coverage [ 15x: inf)"][0])
    assert only(path.with_name("TEST.wgs_overall_mean_cov.csv"))["mean_coverage"] == 0.5
    assert "sex_inferred" not in only(path.with_name("TEST.ploidy_estimation_metrics.csv"))
    for kind, section in (("vc", "VARIANT CALLER POSTFILTER"), ("gvcf", "VARIANT CALLER POSTFILTER GVCF")):
        path = reports / "dragen" / "issue_2326_gvcf_metrics" / f"0201424131.{kind}_metrics.csv"
        said = {row[2]: row[1:] for row in csv.reader(path.open(encoding="utf-8")) if row[0] == section}
        row = only(path)
        assert row["subject_id"] == said["SNPs"][0]
        assert row["count_snvs"] == int(said["SNPs"][2])
        assert row["count_insertions"] == int(said["Insertions (Hom)"][2]) + int(said["Insertions (Het)"][2])
        assert row["count_deletions"] == int(said["Deletions (Hom)"][2]) + int(said["Deletions (Het)"][2])
        assert row["ratio_transitions_transversions_snv"] == float(said["Ti/Tv ratio"][2])
        assert row["ratio_heterozygous_homozygous"] == float(said["Het/Hom ratio"][2])
        assert row["variants_counted"] == "pass"


def test_tables_with_a_row_a_sample_give_each_sample_its_row(reports: Path) -> None:
    def rows(path: Path, separator: str) -> list[dict[str, str]]:
        return list(csv.DictReader(path.open(encoding="utf-8"), delimiter=separator))

    path = reports / "verifybamid" / "example_data.selfSM"
    assert [(r["subject_id"], r["cross_contamination_rate"]) for r in read(path)[0]] == [
        (row["#SEQ_ID"], float(row["FREEMIX"])) for row in rows(path, "\t")
    ]
    path = reports / "somalier" / "ex.samples.tsv"
    said = rows(path, "\t")
    assert len(said) == 34
    assert [(r["subject_id"], r["mean_site_depth"]) for r in read(path)[0]] == [
        (row["sample_id"], float(row["gt_depth_mean"])) for row in said
    ]
    for r, row in zip(read(path)[0], said, strict=True):
        assert r["ratio_heterozygous_homozygous_x"] == pytest.approx(int(row["X_het"]) / int(row["X_hom_alt"]))
    folder = reports / "peddy" / "EG0004_EG0004P"
    path = folder / "EG0004_EG0004P.sex_check.csv"
    assert [(r["subject_id"], r["sex_inferred"]) for r in read(path)[0]] == [
        (row["sample_id"], row["predicted_sex"]) for row in rows(path, ",")
    ]
    for r, row in zip(read(path)[0], rows(path, ","), strict=True):
        assert r["ratio_heterozygous_homozygous_x"] == pytest.approx(float(row["het_ratio"]), abs=1e-3)
    path = folder / "EG0004_EG0004P.het_check.csv"
    assert [(r["subject_id"], r["mean_site_depth"]) for r in read(path)[0]] == [
        (row["sample_id"], float(row["mean_depth"])) for row in rows(path, ",")
    ]
    nothing, report = read(folder / "EG0004_EG0004P.ped_check.csv")
    assert (nothing, dict(report.left_out)) == ([], {"two samples' relatedness": 3})


def test_fastp_says_the_reads_of_a_run_and_no_yield_of_a_sample(reports: Path) -> None:
    path = reports / "fastp" / "single_end" / "fastp.json"
    row = only(path)
    assert row["fastq_bp_q30"] == json.loads(path.read_text())["summary"]["before_filtering"]["q30_bases"]
    assert "yield_bp_q30" not in row


def test_mosdepths_total_is_no_autosomes_coverage(reports: Path) -> None:
    folder = reports / "mosdepth" / "shallow"
    row = only(folder / "shallow.mosdepth.summary.txt")
    assert (row["mean_coverage"], row["territory_bp"]) == (160 / 400, 400)
    assert "mean_autosome_coverage" not in row
    with pytest.raises(AdapterError, match="over all or over regions"):
        read(folder / "shallow.mosdepth.region.dist.txt")
    nothing, report = read(folder / "shallow.mosdepth.global.dist.txt")
    assert not nothing
    assert report.problems, "a coverage that never reaches 15"


@pytest.mark.parametrize(
    ("name", "looks_like"),
    [
        ("samtools/idxstats/samtools.idxstats.log.txt", "idxstats"),
        ("peddy/EG0004_EG0004P/EG0004_EG0004P.peddy.ped", "ped"),
    ],
)
def test_a_report_that_is_known_and_not_read_is_refused_by_its_name(reports: Path, name: str, looks_like: str) -> None:
    with pytest.raises(AdapterError, match=looks_like):
        read(reports / name)


@pytest.mark.parametrize(
    ("text", "looks_like"),
    [
        ("100\t0\ttotal (QC-passed reads + QC-failed reads)\n", "flagstat"),
        ('{"QC-passed reads": {"total": 4}}', "flagstat"),
        ("#rname\tstartpos\tendpos\tnumreads\tcovbases\tcoverage\tmeandepth\n", "coverage"),
        ('{"report_general_stats_data": []}', "MultiQC"),
        ("FCID,Lane,SampleID,SampleRef,Index\nF1,1,S1,hg19,ACGT\n", "CASAVA"),
        ("[RUNVALUES],\nKeyName,Value\n[SAMPLES],\nSampleName,Index1\n", "Element"),
        ("#SentieonCommandLine: driver -t 8\nMEDIAN_INSERT_SIZE\n", "Sentieon"),
        ("##FastQC\t0.12.1\n", "FastQC"),
        ("sample\tcontamination\terror\nS1\t0.1\t0.0\n", "contamination"),
    ],
)
def test_what_lies_beside_the_reports_is_refused_by_its_name(read_text: Read, text: str, looks_like: str) -> None:
    with pytest.raises(AdapterError, match=f"looks like .*{looks_like}"):
        read_text(text)


def test_what_else_dragen_writes_is_left_out(read_text: Read) -> None:
    rows, report = read_text("RUN TIME,,Time loading reference,00:00:31.289,31.29\n")
    assert not rows
    assert not report.problems
    assert sum(report.left_out.values()) == 1


SUMMARY = "chrom\tlength\tbases\tmean\tmin\tmax\n"
DIST = "chr1\t15\t0.90\nchr1\t0\t1.00\ntotal\t16\t0.20\ntotal\t15\t0.96\ntotal\t0\t1.00\n"
STATS = (
    "# This file was produced by samtools stats (1.19.2+htslib-1.19) and can be plotted using plot-bamstats\n"
    "# This file contains statistics for all reads.\n"
    "# The command line was:  stats {options} S9.bam\n"
    "SN\tsequences:\t200\nSN\tfiltered sequences:\t0\n"
    "SN\treads mapped:\t190\nSN\treads properly paired:\t180\t# proper\n"
    "SN\treads mapped and paired:\t188\nSN\tinsert size average:\t431.5\nSN\tinsert size standard deviation:\t99.5\n"
)
FLAGSTAT = (
    "110 + 7 in total (QC-passed reads + QC-failed reads)\n100 + 7 primary\n6 + 0 secondary\n4 + 0 supplementary\n"
    "0 + 0 duplicates\n0 + 0 primary duplicates\n105 + 7 mapped (95.45% : N/A)\n95 + 7 primary mapped (95.00% : N/A)\n"
    "100 + 0 paired in sequencing\n90 + 0 properly paired (90.00% : N/A)\n"
)
PICARD = (
    "## htsjdk.samtools.metrics.StringHeader\n# CollectX INPUT=/data/hg19/S7.bam\n"
    "## htsjdk.samtools.metrics.StringHeader\n# Started on: Fri Mar 01 10:00:00 {zone} 2024\n\n"
    "## METRICS CLASS\tpicard.analysis.CollectQualityYieldMetrics$QualityYieldMetrics\n"
)
BCFTOOLS = (
    "# This file was produced by bcftools stats (1.19+htslib-1.19) and can be plotted using plot-vcfstats.\n"
    "# The command line was:\tbcftools stats {options} x.vcf.gz\n"
    "# ID\t[2]id\t[3]tab-separated file names\nID\t0\tx.vcf.gz\n"
    "# SN\t[2]id\t[3]key\t[4]value\nSN\t0\tnumber of samples:\t{samples}\nSN\t0\tnumber of SNPs:\t9\n"
    "SN\t0\tnumber of indels:\t3\n"
    "# TSTV\t[2]id\t[3]ts\t[4]tv\t[5]ts/tv\nTSTV\t0\t6\t3\t2.00\n"
)
PSC = (
    "# PSC\t[2]id\t[3]sample\t[4]nRefHom\t[5]nNonRefHom\t[6]nHets\t[7]nTransitions\t[8]nTransversions\t[9]nIndels\n"
    "PSC\t0\tA1\t0\t40\t60\t66\t33\t12\nPSC\t0\tA2\t0\t50\t50\t60\t40\t10\n"
    "# PSI\t[2]id\t[3]sample\t[4]in-frame\t[8]nInsHets\t[9]nDelHets\t[10]nInsAltHoms\t[11]nDelAltHoms\n"
    "PSI\t0\tA1\t0\t3\t5\t1\t3\nPSI\t0\tA2\t0\t2\t2\t3\t3\n"
)


def test_the_shares_of_flagstat_are_of_primary_reads_that_passed(read_text: Read) -> None:
    ((row,), _) = read_text(FLAGSTAT)
    assert (row["pct_reads_mapped"], row["pct_reads_properly_paired"]) == (95, 90)


def test_an_old_flagstat_that_says_nothing_of_secondary_reads_has_no_share(read_text: Read) -> None:
    rows, report = read_text("".join(line for line in FLAGSTAT.splitlines(True) if "second" not in line))
    assert not rows
    assert report.problems[0].reason == "samtools-flagstat lacks secondary"


def test_samtools_stats_say_version_shares_and_insert_size(read_text: Read) -> None:
    ((row,), report) = read_text(STATS.format(options=""))
    assert (row["pct_reads_mapped"], row["pct_reads_properly_paired"]) == (95, 90)
    assert (row["mean_insert_size"], row["insert_size_std_deviation"]) == (431.5, 99.5)
    assert row["qc_tool"] == "samtools 1.19.2"
    assert not report.problems


@pytest.mark.parametrize("options", ["-t exome.bed", "--target-regions=x.bed", "-I rg1"])
def test_statistics_of_a_part_of_the_reads_are_refused(read_text: Read, options: str) -> None:
    with pytest.raises(AdapterError, match="part of the reads"):
        read_text(STATS.format(options=options))
    with pytest.raises(AdapterError, match="part of the reads"):
        read_text(STATS.format(options="").replace("for all reads", "only for reads with tag: RG=1"))
    with pytest.raises(AdapterError, match="part of the reads"):
        read_text(STATS.format(options="-F 16").replace("filtered sequences:\t0", "filtered sequences:\t10"))


@pytest.mark.parametrize("text", [STATS.format(options=""), FLAGSTAT], ids=["stats", "flagstat"])
def test_two_reports_in_one_file_are_refused(read_text: Read, text: str) -> None:
    rows, report = read_text(text + text)
    assert not rows
    assert "second report" in report.problems[0].reason


def test_bcftools_stats_with_samples_name_each_of_them(read_text: Read) -> None:
    rows, report = read_text(BCFTOOLS.format(samples=2, options="-s - -f PASS,.") + PSC)
    assert not report.problems
    assert [row["subject_id"] for row in rows] == ["A1", "A2"]
    first = rows[0]
    assert (first["count_snvs"], first["count_indels"], first["variants_counted"]) == (100, 12, "pass")
    assert (first["count_insertions"], first["count_deletions"]) == (4, 8)
    assert first["ratio_heterozygous_homozygous_snv"] == 60 / 40
    assert first["ratio_heterozygous_homozygous_indel"] == 8 / 4
    assert first["ratio_transitions_transversions_snv"] == 2


@pytest.mark.parametrize(
    ("samples", "extra", "why"),
    [(2, "", "of several"), (0, "", "no sample"), (1, "ID\t1\ty.vcf.gz\n", "several files")],
)
def test_bcftools_stats_of_several_samples_or_files_without_a_word_on_each_are_refused(
    read_text: Read, samples: int, extra: str, why: str
) -> None:
    with pytest.raises(AdapterError, match=why):
        read_text(BCFTOOLS.format(samples=samples, options="") + extra)


def test_another_filter_of_bcftools_is_neither_pass_nor_all(read_text: Read) -> None:
    ((row,), report) = read_text(BCFTOOLS.format(samples=1, options="-f LowQual"))
    assert "variants_counted" not in row
    assert sum("variants_counted" in what for what in report.left_out) == 1


def test_picard_by_sample_names_its_samples_and_leaves_libraries_and_the_sum_out(read_text: Read) -> None:
    rows, report = read_text(
        PICARD.format(zone="UTC")
        + "PF_Q30_BASES\tSAMPLE\tLIBRARY\tREAD_GROUP\n30\t\t\t\n10\tA1\n20\tA2\t\t\n20\tA2\tL1\t\n"
    )
    assert [(row["subject_id"], row["yield_bp_q30"]) for row in rows] == [("A1", 10), ("A2", 20)]
    assert not report.problems
    assert sum("library" in what or "together" in what for what in report.left_out) == 2


@pytest.mark.parametrize(
    ("written", "zone", "known"),
    [
        ("UTC", None, True),
        ("KST", "Asia/Seoul", True),
        ("CST", "America/Chicago", True),
        ("CST", "Asia/Seoul", False),
        ("CST", None, False),
        ("+09:00", None, True),
    ],
)
def test_when_picard_started_counts_where_its_zone_is_told(
    read_text: Read, written: str, zone: str | None, known: bool
) -> None:
    context = replace(CONTEXT, zone=ZoneInfo(zone) if zone else None)
    ((row,), report) = read_text(PICARD.format(zone=written) + "PF_Q30_BASES\n10\n", context)
    assert row["occurred_basis"] == ("stated" if known else "recorded")
    assert any("Started on" in what for what in report.left_out) != known


def test_a_column_that_picard_always_has_and_this_file_has_not_is_a_problem(read_text: Read) -> None:
    rows, report = read_text(PICARD.format(zone="UTC") + "Q30_BASES\n10\n")
    assert not rows
    assert report.problems[0].reason == "picard-quality-yield lacks PF_Q30_BASES"


DRAGEN = (
    "{role}MAPPING/ALIGNING SUMMARY,,Mapped reads,95,{share}\n"
    "{role}MAPPING/ALIGNING SUMMARY,,Properly paired reads,9,90.5\n"
    "{role}MAPPING/ALIGNING SUMMARY,,Q30 bases,1000,90\n{role}MAPPING/ALIGNING SUMMARY,,Insert length: mean,431\n"
    "{role}MAPPING/ALIGNING SUMMARY,,Insert length: standard deviation,99\n"
    "{role}MAPPING/ALIGNING SUMMARY,,Estimated sample contamination,0.012\n"
)


def test_dragens_tumour_and_normal_are_two_events(read_text: Read) -> None:
    rows, report = read_text(DRAGEN.format(role="TUMOR ", share="95.1") + DRAGEN.format(role="NORMAL ", share="96.2"))
    assert [(r["specimen_role"], r["pct_reads_mapped"], r["cross_contamination_rate"]) for r in rows] == [
        ("tumor", 95.1, 0.012),
        ("normal", 96.2, 0.012),
    ]
    assert len({row["event_id"] for row in rows}) == 2
    assert not report.problems
    ((row,), _) = read_text("NORMAL Average alignment coverage over wgs, 45.61\n")
    assert (row["specimen_role"], row["mean_coverage"]) == ("normal", 45.61)


def test_a_row_that_dragen_always_has_and_this_file_has_not_is_a_problem(read_text: Read) -> None:
    ((row,), report) = read_text(DRAGEN.format(role="", share="95").replace("Q30 bases", "Bases of Q30"))
    assert "yield_bp_q30" not in row
    assert report.problems[0].reason == "dragen-mapping lacks Q30 bases"


@pytest.mark.parametrize(("karyotype", "sex"), [("XX", "female"), ("XY", "male"), ("XXY", None), ("X0", None)])
def test_dragens_ploidy_is_a_sex_where_it_is_one_of_two(read_text: Read, karyotype: str, sex: str | None) -> None:
    text = f"PLOIDY ESTIMATION,,Autosomal median coverage,31.5\nPLOIDY ESTIMATION,,Ploidy estimation,{karyotype}\n"
    rows, report = read_text(text)
    assert [(row["median_autosome_coverage"], row.get("sex_inferred")) for row in rows] == [(31.5, sex)]
    assert (report.left_out["Ploidy estimation: not available"] == 1) == (sex is None)
    assert not report.problems
    assert karyotype not in str(report)
    rows, report = read_text(text.replace(karyotype, "neither"))
    assert not rows
    assert report.problems


def test_mosdepths_distribution_is_read_under_mosdepths_name(read_text: Read) -> None:
    ((row,), _) = read_text(DIST, name="S1.mosdepth.global.dist.txt")
    assert row["pct_positions_15x"] == 96
    with pytest.raises(AdapterError, match="global"):
        read_text(DIST)


def test_read_groups_of_verifybamid_are_left_out(read_text: Read) -> None:
    head = "#SEQ_ID\tRG\tCHIP_ID\tFREELK1\tFREEMIX\n"
    rows, report = read_text(head + "A1\tALL\tNA\t1\t0.01\nA1\trg1\tNA\t1\t0.5\nA2\tALL\tNA\t1\tNA\n")
    assert [(row["subject_id"], row["cross_contamination_rate"]) for row in rows] == [("A1", 0.01)]
    assert report.left_out["FREEMIX: not available"] == 1
    assert [problem.position for problem in report.problems] == ["line 4"]


def test_the_contamination_of_verifybamid_is_read_under_either_name_and_missed_under_another(read_text: Read) -> None:
    text = "#SEQ_ID\tRG\tCHIP_ID\tFREEMIX(alpha)\tFREELK1\nA1\tNA\tNA\t0.25\t1\n"
    assert read_text(text)[0][0]["cross_contamination_rate"] == 0.25
    rows, report = read_text(text.replace("(alpha)", "_ALPHA"))
    assert not rows
    assert report.problems[0].reason == "verifybamid-selfsm lacks FREEMIX"


def test_dragens_coverage_of_a_region_is_no_genomes(read_text: Read) -> None:
    for text in (
        "TUMOR Average alignment coverage over /data/KB0001.bed,0.47\n",
        "COVERAGE SUMMARY,,Average alignment coverage over QC coverage region,12.5\n",
    ):
        rows, report = read_text(text)
        assert not rows
        assert not report.problems
        assert dict(report.left_out) == {"DRAGEN: coverage of a region, not of the genome": 1}


def test_picards_table_is_found_without_its_header_and_with_spaces(read_text: Read) -> None:
    ((row,), _) = read_text("## METRICS CLASS   picard.analysis.QualityYieldMetrics\nPF_Q30_BASES\n10\n")
    assert row["yield_bp_q30"] == 10


def test_a_decimal_comma_is_no_number(read_text: Read) -> None:
    rows, report = read_text(
        "## METRICS CLASS\tpicard.analysis.InsertSizeMetrics\n"
        "MEAN_INSERT_SIZE\tSTANDARD_DEVIATION\tPAIR_ORIENTATION\n306,378678\t118.0\tFR\n"
    )
    assert not rows
    assert report.problems[0].reason == "MEAN_INSERT_SIZE is no number"


ALL = [
    STATS.format(options=""),
    FLAGSTAT,
    BCFTOOLS.format(samples=1, options=""),
    PICARD.format(zone="UTC") + "PF_Q30_BASES\n10\n",
    DRAGEN.format(role="", share="95"),
    SUMMARY + "total\t100\t3000\t30.00\t0\t90\n",
    json.dumps({"summary": {"fastp_version": "0.23.4", "before_filtering": {"q30_bases": 10}}}),
]


@pytest.mark.parametrize("text", ALL)
def test_a_report_that_names_no_sample_is_refused_unless_one_is_stated(read_text: Read, text: str) -> None:
    nobody = replace(CONTEXT, subject=None)
    with pytest.raises(AdapterError, match="names no sample") as refusal:
        read_text(text, nobody, "KB0001.txt")
    assert "--subject" in str(refusal.value)
    ((row,), _) = read_text(text, replace(nobody, stated=Stated("KB0001")))
    assert (row["subject_scheme"], row["subject_id"]) == ("sample/centre", "KB0001")


@pytest.mark.parametrize("text", ALL)
def test_a_report_sent_twice_under_another_name_is_one_event(read_text: Read, text: str) -> None:
    assert read_text(text)[0] == read_text(text, name="other.txt")[0]


@given(st.permutations([f"chr{number}" for number in range(1, 23)]), st.integers(0, 21))
def test_the_autosomes_coverage_wants_all_22_of_them_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, names: Sequence[str], lost: int
) -> None:
    def coverage(some: Sequence[str]) -> float | None:
        path = tmp_path_factory.mktemp("mosdepth") / "summary.txt"
        rows = [f"{name}\t100\t{100 * int(name[3:])}\t1.0\t0\t9\n" for name in some]
        path.write_text(SUMMARY + "".join(rows) + "chrX\t100\t0\t0\t0\t0\n" + "total\t2300\t25300\t11.0\t0\t9\n")
        ((_, (row,), _),) = read_summary(path, CONTEXT, Report())
        assert isinstance(row, dict)
        return row.get("mean_autosome_coverage")

    assert coverage(names) == pytest.approx(sum(range(1, 23)) / 22)
    assert coverage([*names[:lost], *names[lost + 1 :]]) is None


def test_a_report_is_read_in_any_envelope(read_text: Read, tmp_path: Path) -> None:
    (tmp_path / "utf16.txt").write_text(FLAGSTAT, encoding="utf-16")
    assert read(tmp_path / "utf16.txt")[0] == read_text(FLAGSTAT)[0]
    (tmp_path / "crlf.txt").write_bytes(FLAGSTAT.replace("\n", "\r\n").encode())
    assert read(tmp_path / "crlf.txt")[0] == read_text(FLAGSTAT)[0]


@given(st.sampled_from([*ALL, PSC, DIST]), st.data())
def test_a_damaged_report_is_refused_or_reported_and_never_an_accident(
    tmp_path_factory: pytest.TempPathFactory, text: str, data: st.DataObject
) -> None:
    begin, end = sorted(data.draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
    put = data.draw(st.sampled_from(["", "\t", ",", "\n", "NA", "-1", "1e9", "nan", "１", '"', "{", "[]", "null"]))
    path = tmp_path_factory.mktemp("damaged") / "S1.mosdepth.global.dist.txt"
    path.write_text(text[:begin] + put + text[end:], encoding="utf-8")
    try:
        rows, _ = read(path)
    except AdapterError:
        return
    for row in rows:
        assert frame_of(SCHEMA, [row]).height == 1
        assert all(value == value for value in row.values()), "no NaN"
