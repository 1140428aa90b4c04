from __future__ import annotations

import tempfile
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.errors import AdapterError
from biokeel.source.adapters.base import Context, Report
from biokeel.source.adapters.detect import detect
from biokeel.source.adapters.fitbit_csv import read_fitbit
from biokeel.source.ids import EventIds

FITBIT = "lifestyle/fitbit-33-users"
SLEEP = "Id,SleepDay,TotalSleepRecords,TotalMinutesAsleep,TotalTimeInBed\n"
DAYS = (
    "Id,ActivityDate,TotalSteps,TotalDistance,VeryActiveMinutes,FairlyActiveMinutes,LightlyActiveMinutes,"
    "SedentaryMinutes,Calories\n"
)


def context_of(zone: str | None = None, day_month: str | None = None, changed_at: int = 1_790_000_000_000) -> Context:
    ids = EventIds("app-a", b"key")
    return Context("app-a", "fitbit", ids, changed_at, zone=ZoneInfo(zone) if zone else None, day_month=day_month)


def made_of(text: str | bytes, context: Context | None = None) -> tuple[list[dict[str, Any]], Report]:
    """The events of a file with that content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        report = Report()
        rows = [row for batch in read_fitbit(path, context or context_of(), report) for row in batch.rows]
        return rows, report  # type: ignore[return-value]


def test_the_33_users_are_what_an_independent_reading_says(read: Any, shared_data: Path) -> None:
    days, report = read(read_fitbit, shared_data / FITBIT / "dailyActivity_merged.csv")
    assert not report.problems
    frame = pl.read_csv(
        shared_data / FITBIT / "dailyActivity_merged.csv", schema_overrides={"Id": pl.String}, infer_schema_length=None
    )
    expected = frame.select(
        "Id",
        at=pl.col("ActivityDate").str.to_datetime("%m/%d/%Y").dt.epoch("ms"),
        steps="TotalSteps",
        distance=pl.col("TotalDistance") * 1000,
        energy=pl.col("Calories").cast(pl.Float64),
        duration=60.0 * pl.sum_horizontal("VeryActiveMinutes", "FairlyActiveMinutes", "LightlyActiveMinutes"),
    )
    keys = ("subject_id", "occurred_at", "steps", "distance", "energy", "duration")
    assert Counter(tuple(each[key] for key in keys) for each in days["lifestyle.exercise"]) == Counter(expected.rows())

    nights, report = read(read_fitbit, shared_data / FITBIT / "sleepDay_merged.csv")
    frame = pl.read_csv(shared_data / FITBIT / "sleepDay_merged.csv", schema_overrides={"Id": pl.String})
    expected = frame.unique().select(
        "Id",
        at=pl.col("SleepDay").str.to_datetime("%m/%d/%Y %I:%M:%S %p").dt.epoch("ms"),
        asleep=pl.col("TotalMinutesAsleep").cast(pl.Float64),
        in_bed=pl.col("TotalTimeInBed").cast(pl.Float64),
    )
    keys = ("subject_id", "occurred_at", "minutes_asleep", "minutes_in_bed")
    assert Counter(tuple(each[key] for key in keys) for each in nights["lifestyle.sleep"]) == Counter(expected.rows())
    assert (len(report.problems), report.left_out.total()) == (0, frame.height - expected.height)


CASES = {
    # name: events, problems, or the refusal of the whole file
    "q_fitbit_dmy": "has the day before the month",
    "q_fitbit_loc": (0, 5),
    "q_fitbit_semi": "do not tell day from month",
    "q_fitbit_sleep": (3, 0),
    "q_fitbit_steps": "looks like Fitbit's",
    "fitbit_1980": (2, 0),
}


@pytest.mark.parametrize("name", CASES)
def test_the_cases_are_read_right_or_refused_by_name(read: Any, shared_cases: Path, name: str) -> None:
    path = shared_cases / f"files/{name}.csv"
    expected = CASES[name]
    if isinstance(expected, str):
        with pytest.raises(AdapterError, match=expected):
            read(detect(path).read, path)
        return
    events, report = read(detect(path).read, path)
    assert (sum(map(len, events.values())), len(report.problems)) == expected


def test_a_source_that_says_the_order_is_believed(shared_cases: Path) -> None:
    path = shared_cases / "files/q_fitbit_dmy.csv"
    rows, report = made_of(path.read_bytes(), context_of(day_month="dmy"))
    first = 1_460_332_800_000  # 2016-04-11
    assert [row["occurred_at"] for row in rows] == [first + day * 86_400_000 for day in range(4)]  # type: ignore[index]
    assert not report.problems
    rows, _ = made_of((shared_cases / "files/q_fitbit_semi.csv").read_bytes(), context_of(day_month="mdy"))
    assert [(row["occurred_at"], row["steps"]) for row in rows] == [(1_460_419_200_000, 9000)]  # type: ignore[index]


DATES = st.dates(date(2000, 1, 1), date(2020, 12, 31))


@given(st.lists(DATES, min_size=1, max_size=5, unique=True), st.sampled_from(["mdy", "dmy"]))
def test_a_date_is_never_read_as_another_whoever_wrote_it(dates: list[Any], order: str) -> None:
    written = [f"{d.month}/{d.day}/{d.year}" if order == "mdy" else f"{d.day}/{d.month}/{d.year}" for d in dates]
    text = SLEEP + "".join(f"7,{each},1,300,310\n" for each in written)
    right = {1000 * 86_400 * (each.toordinal() - 719_163) for each in dates}
    rows, _ = made_of(text, context_of(day_month=order))
    assert {row["occurred_at"] for row in rows} == right
    try:
        rows, _ = made_of(text)
    except AdapterError:
        return
    assert {row["occurred_at"] for row in rows} == right


@given(st.permutations([f"{person},4/{day}/2016,1,{day * 10},500\n" for person in (7, 8) for day in (5, 13, 14)]))
def test_the_order_of_lines_does_not_matter_and_the_same_line_has_the_same_id(lines: list[str]) -> None:
    rows, _ = made_of(SLEEP + "".join(lines))
    again, report = made_of(SLEEP + "".join(sorted(lines)) + lines[0])
    assert sorted(rows, key=lambda row: row["event_id"]) == sorted(again, key=lambda row: row["event_id"])
    assert (len(rows), report.left_out.total()) == (6, 1)


@given(st.text(alphabet="0123456789.,_+-eE infaN٣３", min_size=1, max_size=8))
def test_a_number_is_what_python_reads_in_plain_digits_or_is_refused(text: str) -> None:
    rows, report = made_of(SLEEP + f'7,4/13/2016,1,"{text}",500\n')
    if not text.strip():
        assert rows[0]["minutes_asleep"] is None
    elif rows:
        assert set(text.strip()) <= set("0123456789.+-eE")
        assert rows[0]["minutes_asleep"] == float(text)
    else:
        assert [problem.position for problem in report.problems] == ["line 2"]


def test_a_us_date_has_no_offset_unless_a_zone_is_named() -> None:
    text = SLEEP + "7,4/13/2016 12:00:00 AM,1,327,346\n"
    found = []
    for zone in (None, "America/New_York"):
        rows, _ = made_of(text, context_of(zone))
        found.append((rows[0]["occurred_at"], rows[0]["occurred_offset_minutes"]))
    assert found == [(1_460_505_600_000, None), (1_460_520_000_000, -240)]


def test_a_line_with_a_wrong_number_or_date_is_a_problem_and_the_others_are_read(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(
        SLEEP + "7,4/12/2016,1,secret,346\n7,13/40/2016,1,1,1\n7,4/13/2016,1,1,1\n,4/13/2016,1,1,1\n7,4/14/2016\n"
        "7,4/15/2016 13:00:00 PM,1,1,1\n7,4/16/2016,1,6,5,346\n"
    )
    events, report = read(read_fitbit, path)
    assert len(events["lifestyle.sleep"]) == 1
    assert [problem.position for problem in report.problems] == [f"line {line}" for line in (2, 3, 5, 6, 7, 8)]
    assert "secret" not in str(report.problems)


def test_two_lines_of_one_day_that_differ_are_a_problem() -> None:
    rows, report = made_of(SLEEP + "7,4/13/2016,1,300,346\n7,4/13/2016 12:00:00 AM,1,200,346\n")
    assert [row["minutes_asleep"] for row in rows] == [300]
    assert [(each.position, "line 2" in each.reason) for each in report.problems] == [("line 3", True)]


@pytest.mark.parametrize("changed_at", [315_532_800_000, 1_420_070_400_000, 4_102_444_800_000])
def test_a_file_whose_age_cannot_be_says_nothing_of_when_it_was_recorded(changed_at: int) -> None:
    rows, report = made_of(SLEEP + "7,4/13/2016,1,300,346\n", context_of(changed_at=changed_at))
    assert not rows
    assert ["time of change" in problem.reason for problem in report.problems] == [True]


def test_a_day_is_stated_as_a_day() -> None:
    rows, _ = made_of(SLEEP + "7,4/13/2016 12:00:00 AM,1,300,346\n7,4/13/2016 1:00:00 PM,1,300,346\n")
    assert [row["occurred_precision"] for row in rows] == ["day", "second"]


def test_weights_and_heart_rates_are_vital_signs() -> None:
    weights = "Id,Date,WeightKg,WeightPounds,Fat,BMI,IsManualReport,LogId\n"
    rows, _ = made_of(weights + "7,5/13/2016 11:59:59 PM,52.6,115.96,,22.65,True,1.46223E+12\n")
    assert [(row["code"], row["value"], row["value_unit"]) for row in rows] == [("29463-7", 52.6, "kg")]
    rows, report = made_of("Id,Time,Value\n7,4/13/2016 7:21:05 AM,97\n7,4/13/2016 7:21:10 AM,\n")
    assert [(row["code"], row["value"], row["occurred_at"]) for row in rows] == [("8867-4", 97, 1_460_532_065_000)]
    assert [problem.reason for problem in report.problems] == ["Value is empty"]


def test_an_export_that_lacks_a_column_is_refused_by_the_columns_name() -> None:
    with pytest.raises(AdapterError, match="dailyActivity, and lacks Calories"):
        made_of(DAYS.replace(",Calories", "") + "7,4/13/2016,1,1,1,1,1,1\n")


@pytest.mark.parametrize("nobody", ["", "  ", "1.50396E+09", "15***9", "x" * 200])
def test_an_id_that_is_nobodys_or_several_peoples_costs_its_line(nobody: str) -> None:
    rows, report = made_of(SLEEP + f"{nobody},4/13/2016,1,327,346\n7,4/13/2016,1,327,346\n")
    assert [row["subject_id"] for row in rows] == ["7"]
    assert [problem.position for problem in report.problems] == ["line 2"]
    assert "Id" in report.problems[0].reason
    assert not nobody.strip() or nobody not in report.problems[0].reason


def test_a_line_that_ends_before_its_day_costs_only_itself() -> None:
    rows, report = made_of("TotalMinutesAsleep,TotalTimeInBed,Id,SleepDay\n1,1,7\n1,1,7,4/13/2016\n1\n")
    assert len(rows) == 1
    assert [problem.position for problem in report.problems] == ["line 2", "line 4"]
