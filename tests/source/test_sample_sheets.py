"""Lists of samples: which sex, which build and which time a sheet says, and what it does not."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.errors import AdapterError
from biokeel.source.adapters.base import Adapter, Context, Record, Report, Unusable
from biokeel.source.adapters.detect import detect
from biokeel.source.adapters.qc import FEMALE, MALE, SEX_UNKNOWN, sex_of
from biokeel.source.adapters.sample_sheets import read_igsr_sheet, read_illumina_sheet, read_manifest
from biokeel.source.adapters.stated import Stated
from biokeel.source.times import moment

GA4GH = "genome/ga4gh-wgs-qc"
V1 = """[Header],,,
IEM1FileVersion,4,,
Investigator Name,jdoe,,
Experiment Name,{run},,
Date,{date},,
,,,
[Reads],,,
151,,,
[Data],,,
Lane,Sample_ID,Sex,Reference_Name
"""
V2 = """[Header]
FileFormatVersion,2
RunName,run-7

[Reads]
Read1Cycles,151

[BCLConvert_Settings]
SoftwareVersion,4.2.7

[BCLConvert_Data]
Lane,Sample_ID,Index
1,S1,ACGT
2,S1,ACGT
1,S2,TTTT
"""

Text = Callable[..., tuple[list[Record], Report]]


@pytest.fixture
def read_text(tmp_path: Path, context: Context) -> Text:
    """Reads a text as a file, and knows that it is of the adapter's format."""

    def run(
        adapter: Adapter, text: str, stated: Stated | None = None, day_month: str | None = None
    ) -> tuple[list[Record], Report]:
        path, report = tmp_path / f"{len(list(tmp_path.iterdir()))}.csv", Report()
        path.write_text(text, encoding="utf-8")
        assert detect(path).read is adapter
        batches = adapter(path, replace(context, stated=stated or context.stated, day_month=day_month), report)
        return [row for batch in batches for row in batch.rows], report  # type: ignore[misc]

    return run


def test_manifest_and_igsr_sheet_say_what_their_lines_say(read: Any, shared_data: Path) -> None:
    folder = shared_data / GA4GH
    lines = [
        line.split(",") for line in (folder / "n.100-1kg-dragen3.7.6-manifest.csv").read_text("utf-8").splitlines()
    ]
    events, report = read(read_manifest, folder / "n.100-1kg-dragen3.7.6-manifest.csv")
    found = events["genome.sample_manifest"]
    assert [[r["subject_id"], r["alignment_uri"], r["variant_uri"]] for r in found] == lines
    assert {r["reference_build"] for r in found} == {None}, "hg38 stands in the URI only"
    assert not report.problems
    with (folder / "n.100-1kg-sample-info-igsr.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    events, report = read(read_igsr_sheet, folder / "n.100-1kg-sample-info-igsr.csv")
    sheet = events["genome.sample_manifest"]
    assert [(r["subject_id"], r["sex_reported"], r["biosample_id"], r["population_code"]) for r in sheet] == [
        (row["Sample_name"], row["Sex"], row["Biosample_ID"], row["Population_code"]) for row in rows
    ]
    assert len({r["event_id"] for r in [*found, *sheet]}) == 200


def test_two_alignments_of_a_sample_are_two_events_and_one_line_sent_twice_is_one(read_text: Text) -> None:
    lines = "S1,s3://b/x.bam,s3://b/x.vcf\nS1,s3://b/y.bam,s3://b/y.vcf\nS1,s3://b/x.bam,s3://b/x.vcf\n"
    rows, report = read_text(read_manifest, lines)
    assert len({row["event_id"] for row in rows}) == 2
    assert rows[0] == rows[2]
    assert not report.problems


def test_the_build_of_a_manifest_is_what_is_stated_of_it(read_text: Text) -> None:
    rows, _ = read_text(read_manifest, "S1,s3://hg19/x.bam,s3://hg19/x.vcf\n", Stated(reference_build="GRCh38"))
    assert rows[0]["reference_build"] == "GRCh38"


def test_a_line_without_a_sample_or_with_an_unknown_sex_is_a_problem(read_text: Text) -> None:
    rows, report = read_text(read_manifest, " ,s3://b/x,s3://b/y\nS1,s3://b/x,s3://b/y\n")
    assert [row["subject_id"] for row in rows] == ["S1"]
    assert [problem.position for problem in report.problems] == ["line 1"]
    sheet = "Sex,Biosample_ID,Sample_name\nF,B1,S1\nmale,B2, \n3,B3,S3\nXXY,B4,S4\nfemale\n,B5,S5\n"
    rows, report = read_text(read_igsr_sheet, sheet)
    assert [(row["subject_id"], row["sex_reported"]) for row in rows] == [("S1", "female"), ("S5", "unknown")]
    assert [problem.position for problem in report.problems] == ["line 3", "line 4", "line 5", "line 6"]
    assert report.problems[1].reason == "Sex is no known word for a sex"


@given(st.sampled_from(sorted(FEMALE | MALE | SEX_UNKNOWN)), st.sampled_from([str.upper, str.lower, str.title]))
def test_a_sex_is_read_in_any_case_with_spaces_around(word: str, case: Callable[[str], str]) -> None:
    wanted = "female" if word in FEMALE else "male" if word in MALE else "unknown"
    assert sex_of(f" {case(word)} ", "Sex") == wanted


@given(st.text() | st.integers() | st.none())
def test_what_no_list_declares_is_no_sex(word: object) -> None:
    if isinstance(word, str) and word.strip().lower() in FEMALE | MALE | SEX_UNKNOWN:
        return
    with pytest.raises(Unusable, match="Sex"):
        sex_of(word, "Sex")


def test_no_word_is_of_two_sexes() -> None:
    assert len(FEMALE | MALE | SEX_UNKNOWN) == len(FEMALE) + len(MALE) + len(SEX_UNKNOWN)


def test_an_illumina_sheet_of_version_1_gives_a_sample_once_with_its_sex_build_and_date(read_text: Text) -> None:
    text = V1.format(run="e1", date="11/16/2017") + "1,S1,M,hg38\n2,S1,M,hg38\n1,S2,,GRCh37\n"
    rows, report = read_text(read_illumina_sheet, text)
    assert [(r["subject_id"], r["sex_reported"], r["reference_build"]) for r in rows] == [
        ("S1", "male", "GRCh38"),
        ("S2", "unknown", "GRCh37"),
    ]
    assert {(r["occurred_at"], r["occurred_basis"]) for r in rows} == {(1_510_790_400_000, "stated")}
    assert report.left_out["a further lane of a sample"] == 1
    assert not report.problems


def test_an_illumina_sheet_of_version_2_says_no_date(read_text: Text) -> None:
    rows, report = read_text(read_illumina_sheet, V2)
    assert [(r["subject_id"], r["occurred_basis"]) for r in rows] == [("S1", "recorded"), ("S2", "recorded")]
    assert not report.problems


def test_two_runs_of_a_sample_are_two_events(read_text: Text) -> None:
    ids = [
        read_text(read_illumina_sheet, V1.format(run=run, date="2017-11-16") + "1,S1,M,hg38\n")[0][0]["event_id"]
        for run in ("e1", "e2", "e1")
    ]
    assert ids[0] == ids[2] != ids[1]


def test_a_date_whose_day_and_month_cannot_be_told_refuses_the_sheet_unless_a_time_is_stated(read_text: Text) -> None:
    text = V1.format(run="e1", date="11/06/2017") + "1,S1,M,hg38\n"
    with pytest.raises(AdapterError, match="day and the month"):
        read_text(read_illumina_sheet, text)
    assert read_text(read_illumina_sheet, text, Stated(at=moment("2017-06-11", None)))[0]
    assert read_text(read_illumina_sheet, text.replace("11/06", "06/06"))[0], "the sixth of June either way"
    for order, at in (("mdy", 1_509_926_400_000), ("dmy", 1_497_139_200_000)):
        ((row,), _) = read_text(read_illumina_sheet, text, day_month=order)
        assert (row["occurred_at"], row["occurred_precision"]) == (at, "day")
    with pytest.raises(AdapterError, match="no date"):
        read_text(read_illumina_sheet, text.replace("11/06", "31/31"))


def test_lanes_that_contradict_each_other_cost_the_sample(read_text: Text) -> None:
    text = V1.format(run="e1", date="2017-11-16") + "1,S1,M,hg38\n2,S1,F,hg38\n1,S2,F,hg38\n1,S3\n"
    rows, report = read_text(read_illumina_sheet, text)
    assert [row["subject_id"] for row in rows] == ["S2"]
    assert {problem.position for problem in report.problems} == {"line 12", "line 14"}


def test_illumina_sheets_of_mice_are_refused_line_by_line(read: Any, shared_data: Path) -> None:
    paths = sorted((shared_data / "genome" / "sample-sheets").glob("*.csv"))
    assert len(paths) == 3
    for path in paths:
        assert detect(path).name == "Illumina sample sheet"
        events, report = read(read_illumina_sheet, path)
        mice = [number for number, line in enumerate(path.read_text("utf-8").splitlines(), 1) if ",mm10," in line]
        assert not events
        assert [problem.position for problem in report.problems] == [f"line {number}" for number in mice]
        assert "jdoe" not in str(report)


def test_an_illumina_sheet_without_samples_is_refused(read_text: Text) -> None:
    with pytest.raises(AdapterError, match="BCLConvert_Data"):
        read_text(read_illumina_sheet, "[Header]\nFileFormatVersion,2\n")
