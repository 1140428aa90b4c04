from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from biokeel.source.adapters.base import Context, Report
from biokeel.source.adapters.fitbit_csv import read_fitbit

FITBIT = "lifestyle/fitbit-33-users"


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
