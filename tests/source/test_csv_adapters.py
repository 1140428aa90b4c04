from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.topics import event_type
from biokeel.errors import AdapterError
from biokeel.source.adapters.base import Context, Report
from biokeel.source.adapters.fitbit_csv import read_fitbit
from biokeel.source.adapters.wgs_qc import read_manifest, read_metrics, read_sample_sheet

FITBIT = "lifestyle/fitbit-33-users"
GA4GH = "genome/ga4gh-wgs-qc"


def test_every_day_of_the_33_users_is_one_event_and_repeated_lines_are_reported(read: Any, shared_data: Path) -> None:
    days, no_problem = read(read_fitbit, shared_data / FITBIT / "dailyActivity_merged.csv")
    nights, repeats = read(read_fitbit, shared_data / FITBIT / "sleepDay_merged.csv")
    assert (len(days["lifestyle.exercise"]), len(no_problem.problems)) == (940, 0)
    assert (len(nights["lifestyle.sleep"]), len(repeats.problems)) == (410, 3)
    assert len({record["subject_id"] for record in days["lifestyle.exercise"]}) == 33


def test_the_numbers_are_those_of_the_file_in_our_units(read: Any, shared_data: Path) -> None:
    path = shared_data / FITBIT / "dailyActivity_merged.csv"
    record = read(read_fitbit, path)[0]["lifestyle.exercise"][0]
    row = next(csv.DictReader(path.open()))
    assert record["distance"] == float(row["TotalDistance"]) * 1000
    assert record["steps"] == int(row["TotalSteps"])
    assert record["duration"] == 60 * (25 + 13 + 328)


def test_a_us_date_has_no_offset_unless_a_zone_is_named(context: Context, tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(
        "Id,SleepDay,TotalSleepRecords,TotalMinutesAsleep,TotalTimeInBed\n7,4/12/2016 12:00:00 AM,1,327,346\n"
    )
    found = []
    for zone in (None, ZoneInfo("America/New_York")):
        zoned = replace(context, subject=None, zone=zone)
        ((_, rows, _),) = read_fitbit(path, zoned, Report())
        found.append((rows[0]["occurred_at"], rows[0]["occurred_offset_minutes"]))  # type: ignore[index]
    assert found == [(1_460_419_200_000, None), (1_460_433_600_000, -240)]


def test_a_line_with_a_wrong_number_or_date_is_a_problem_and_the_others_are_read(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    head = "Id,SleepDay,TotalSleepRecords,TotalMinutesAsleep,TotalTimeInBed\n"
    path.write_text(
        head + "7,4/12/2016,1,secret,346\n7,13/40/2016,1,1,1\n7,4/13/2016,1,1,1\n,4/13/2016,1,1,1\n7,4/14/2016\n"
    )
    events, report = read(read_fitbit, path)
    assert len(events["lifestyle.sleep"]) == 1
    assert [problem.position for problem in report.problems] == ["line 2", "line 3", "line 5", "line 6"]
    assert "secret" not in str(report.problems)


def test_all_metrics_of_a_sample_arrive_under_their_right_names(
    read: Any, shared_data: Path, catalogue: DirectoryCatalogue
) -> None:
    paths = sorted((shared_data / GA4GH).glob("results-*/*.json"))
    assert len(paths) == 64
    for path in paths:
        events, report = read(read_metrics, path)
        assert not report.problems
        (record,) = events["genome.qc_metrics"]
        assert record["subject_id"] == path.name.split(".")[0]
        assert record["pipeline"] == "npm-sample-qc-v0.13.5"
        names = [field.name for field in catalogue.reader(event_type("genome.qc_metrics")).schema.payload]
        assert [name for name in names if record.get(name) is None] == ["status", "occurred_precision"]


def test_a_metric_that_is_no_number_is_a_problem(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(
        json.dumps({"biosample": {"id": "S"}, "wgs_qc_metrics": {"count_snvs": "many", "mean_insert_size": 4}})
    )
    events, report = read(read_metrics, path)
    assert not events
    assert report.problems[0].reason == "no number: count_snvs"
    path.write_text(json.dumps({"wgs_qc_metrics": {}}))
    with pytest.raises(AdapterError, match=r"biosample\.id"):
        read(read_metrics, path)


def test_manifest_and_sample_sheet_name_all_hundred_samples(read: Any, shared_data: Path) -> None:
    files, _ = read(read_manifest, shared_data / GA4GH / "n.100-1kg-dragen3.7.6-manifest.csv")
    sheet, _ = read(read_sample_sheet, shared_data / GA4GH / "n.100-1kg-sample-info-igsr.csv")
    samples = [{r["subject_id"] for r in events["genome.sample_manifest"]} for events in (files, sheet)]
    assert samples[0] == samples[1]
    assert len(samples[0]) == 100
    assert {r["reference_build"] for r in files["genome.sample_manifest"]} == {"GRCh38"}
    assert {r["sex_reported"] for r in sheet["genome.sample_manifest"]} == {"female", "male"}
    ids = [r["event_id"] for events in (files, sheet) for r in events["genome.sample_manifest"]]
    assert len(set(ids)) == 200


IDS_OF_NOBODY = ("", "  ", "1.50396E+09", "15***9", "x" * 200)


@pytest.mark.parametrize("nobody", IDS_OF_NOBODY)
def test_an_id_that_is_nobodys_or_several_peoples_costs_its_line(read: Any, tmp_path: Path, nobody: str) -> None:
    path = tmp_path / "f.csv"
    path.write_text(
        "Id,SleepDay,TotalSleepRecords,TotalMinutesAsleep,TotalTimeInBed\n"
        f"{nobody},4/12/2016,1,327,346\n7,4/12/2016,1,327,346\n"
    )
    events, report = read(read_fitbit, path)
    assert [record["subject_id"] for record in events["lifestyle.sleep"]] == ["7"]
    assert [problem.position for problem in report.problems] == ["line 2"]
    assert "Id" in report.problems[0].reason
    assert not nobody.strip() or nobody not in report.problems[0].reason


def test_a_line_that_ends_before_its_day_costs_only_itself(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("TotalMinutesAsleep,TotalTimeInBed,Id,SleepDay\n1,1,7\n1,1,7,4/12/2016\n1\n")
    events, report = read(read_fitbit, path)
    assert len(events["lifestyle.sleep"]) == 1
    assert [problem.position for problem in report.problems] == ["line 2", "line 4"]


@pytest.mark.parametrize("nobody", [7, ["S"], {"id": "S"}, "", " ", "1.2E+05"])
def test_a_sample_that_is_no_text_or_nothing_is_refused(read: Any, tmp_path: Path, nobody: Any) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"biosample": {"id": nobody}, "wgs_qc_metrics": {"count_snvs": 4}}))
    events, report = read(read_metrics, path)
    assert not events
    assert "biosample.id" in report.problems[0].reason


@pytest.mark.parametrize("biosample", [None, [], ["S"], "S", {}])
def test_metrics_without_a_biosample_are_refused(read: Any, tmp_path: Path, biosample: Any) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"biosample": biosample, "wgs_qc_metrics": {"count_snvs": 4}}))
    with pytest.raises(AdapterError, match=r"biosample\.id"):
        read(read_metrics, path)


def test_a_line_of_a_manifest_or_a_sheet_without_a_sample_is_a_problem(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(" ,s3://b/x,s3://b/y\nS1,s3://b/x,s3://b/y\n")
    events, report = read(read_manifest, path)
    assert [record["subject_id"] for record in events["genome.sample_manifest"]] == ["S1"]
    assert [problem.position for problem in report.problems] == ["line 1"]
    path.write_text("Sex,Biosample_ID,Sample_name\nmale,B1\nmale,B2, \nmale,B3,S3\n")
    events, report = read(read_sample_sheet, path)
    assert [record["subject_id"] for record in events["genome.sample_manifest"]] == ["S3"]
    assert [problem.reason for problem in report.problems] == ["Sample_name is empty"] * 2
