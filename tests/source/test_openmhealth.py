from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from biokeel.errors import AdapterError
from biokeel.source.adapters.detect import detect
from biokeel.source.adapters.openmhealth import read_openmhealth

MEASURES = (
    "blood-pressure",
    "blood-glucose",
    "physical-activity",
    "step-count",
    "sleep-duration",
    "sleep-episode",
    "total-sleep-time",
)


def of(shared_data: Path, verdict: str) -> list[Path]:
    files = [f for name in MEASURES for f in (shared_data / "lifestyle/openmhealth" / name).glob(f"*/{verdict}/*.json")]
    assert files
    return sorted(files)


def test_every_body_that_should_fail_gives_a_problem_and_no_event(read: Any, shared_data: Path) -> None:
    for path in of(shared_data, "shouldFail"):
        try:
            events, report = read(detect(path).read, path)
        except AdapterError:
            continue
        assert not events, path
        assert report.problems, path


def test_every_body_that_should_pass_gives_its_event_unless_it_has_no_time_or_is_an_aggregate(
    read: Any, shared_data: Path
) -> None:
    made = 0
    for path in of(shared_data, "shouldPass"):
        events, report = read(detect(path).read, path)
        body = json.loads(path.read_text())
        is_measurement = "effective_time_frame" in body and "descriptive_statistic" not in body
        assert (sum(map(len, events.values())), len(report.problems)) == ((1, 0) if is_measurement else (0, 1)), path
        made += is_measurement
    assert made >= 14


def written(tmp_path: Path, body: dict[str, Any]) -> Path:
    path = tmp_path / "point.json"
    header = {
        "id": "243c773b-8936-407e-9c23-270d0ea49cc4",
        "creation_date_time": "2020-02-05T08:00:00-08:00",
        "schema_id": {"namespace": "omh", "name": "x", "version": "1.0"},
        "user_id": "u-7",
    }
    frame = {
        "time_interval": {"start_date_time": "2020-02-05T07:00:00-08:00", "duration": {"value": 30, "unit": "min"}}
    }
    path.write_text(json.dumps([{"header": header, "body": {"effective_time_frame": frame} | body}]))
    return path


def test_a_data_point_names_its_user_its_time_and_when_it_was_written(read: Any, tmp_path: Path) -> None:
    body = {
        "activity_name": "Nordic Walking!",
        "distance": {"value": 2, "unit": "mi"},
        "kcal_burned": {"value": 160, "unit": "kcal"},
    }
    (record,) = read(read_openmhealth, written(tmp_path, body))[0]["lifestyle.exercise"]
    assert (record["subject_scheme"], record["subject_id"]) == ("app/clinic", "u-7")
    assert record["activity"] == "nordic_walking"
    assert record["distance"] == pytest.approx(3218.688)
    assert (record["duration"], record["energy"], record["occurred_offset_minutes"]) == (1800.0, 160.0, -480)
    assert record["recorded_at"] - record["occurred_at"] == 3_600_000


def test_sleep_counts_in_minutes_and_must_not_end_before_it_starts(read: Any, tmp_path: Path) -> None:
    asleep = {"sleep_duration": {"value": 7.5, "unit": "h"}}
    (record,) = read(read_openmhealth, written(tmp_path, asleep))[0]["lifestyle.sleep"]
    assert record["minutes_asleep"] == 450.0
    backwards = {"time_interval": {"start_date_time": "2020-02-05T07:00:00Z", "end_date_time": "2020-02-04T07:00:00Z"}}
    events, report = read(read_openmhealth, written(tmp_path, asleep | {"effective_time_frame": backwards}))
    assert not events
    assert report.problems[0].reason == "the end of time_interval lies before the beginning"


def test_the_specimen_and_the_unit_choose_the_code(read: Any, tmp_path: Path) -> None:
    body = {
        "blood_glucose": {"value": 5.4, "unit": "mmol/L"},
        "specimen_source": "capillary blood",
        "temporal_relationship_to_meal": "before breakfast",
    }
    (record,) = read(read_openmhealth, written(tmp_path, body))[0]["clinical.glucose"]
    assert (record["code"], record["specimen"], record["relation_to_meal"]) == (
        "14743-9",
        "capillary_blood",
        "before_meal",
    )


def point(**header: Any) -> dict[str, Any]:
    return {
        "header": {
            "id": "0f1b",
            "creation_date_time": "2024-05-01T09:00:00Z",
            "schema_id": {"namespace": "omh", "name": "blood-glucose", "version": "3.0"},
            **header,
        },
        "body": {
            "blood_glucose": {"unit": "mg/dL", "value": 97},
            "effective_time_frame": {"date_time": "2024-05-01T08:00:00+09:00"},
        },
    }


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"user_id": {"a": 1}}, "header.user_id is no text"),
        ({"user_id": 7}, "header.user_id is no text"),
        ({"user_id": 0}, "header.user_id is no text"),
        ({"user_id": ""}, "header.user_id is empty"),
        ({"acquisition_provenance": {"user_id": ["u"]}}, "header.acquisition_provenance.user_id is no text"),
        ({"user_id": "u-1", "acquisition_provenance": {"user_id": "u-2"}}, "two users"),
        ({"user_id": "u-1", "id": {"a": 1}}, "header.id is no text"),
    ],
)
def test_a_user_who_is_no_text_is_refused_even_where_the_caller_names_somebody(
    read: Any, tmp_path: Path, header: dict[str, Any], reason: str
) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps([point(user_id="u-9"), point(**header)]))
    events, report = read(read_openmhealth, path)
    assert [record["subject_id"] for record in events["clinical.glucose"]] == ["u-9"]
    ((place, said),) = [(problem.position, problem.reason) for problem in report.problems]
    assert place == "entry 1"
    assert reason in said


def test_a_header_without_a_user_is_the_callers_person(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps([point(), point(user_id=None), point(acquisition_provenance={"user_id": "u-3"})]))
    events, _ = read(read_openmhealth, path)
    assert [record["subject_id"] for record in events["clinical.glucose"]] == ["u-1", "u-1", "u-3"]
