from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from biokeel.source.adapters.detect import detect
from biokeel.source.adapters.ihealth import read_ihealth

MAPPER = "lifestyle/device-apis/ihealth/mapper"
VALUES = {
    # list: the fields of the answer, and those of our event
    "BPDataList": ({"HP": "systolic", "LP": "diastolic", "HR": "heart_rate"}, "clinical.blood_pressure"),
    "BGDataList": ({"BG": "value"}, "clinical.glucose"),
    "WeightDataList": ({"WeightValue": "value"}, "clinical.vital_sign"),
    "SRDataList": ({"HoursSlept": "minutes_asleep"}, "lifestyle.sleep"),
}


@pytest.mark.parametrize("name", VALUES)
def test_the_answers_of_the_api_are_what_an_independent_reading_says(read: Any, shared_data: Path, name: str) -> None:
    fields, event = VALUES[name]
    compared = 0
    for path in sorted((shared_data / MAPPER).glob("*.json")):
        answer = json.loads(path.read_text())
        if name not in answer:
            continue
        expected = []
        for each in answer[name]:
            sign = -1 if each["TimeZone"][0] == "-" else 1
            offset = sign * timedelta(hours=int(each["TimeZone"][1:3]), minutes=int(each["TimeZone"][3:]))
            begun = datetime.fromtimestamp(each.get("MDate", each.get("StartTime")), UTC) - offset
            values = tuple(each[field] or None for field in fields)
            if any(values):
                expected.append((int(begun.timestamp() * 1000), *values))
        events, report = read(detect(path).read, path)
        found = [(row["occurred_at"], *(row[ours] for ours in fields.values())) for row in events.get(event, [])]
        assert found == expected, path
        assert (len(report.problems), report.left_out.total()) == (0, len(answer[name]) - len(expected))
        compared += len(expected)
    assert compared >= 2


def written(tmp_path: Path, answer: dict[str, Any]) -> Path:
    path = tmp_path / "answer.json"
    path.write_text(json.dumps(answer))
    return path


ENTRY = {"DataID": "d1", "MDate": 1_442_491_463, "TimeZone": "-0800", "LastChangeTime": 1_442_520_270}


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ({"WeightDataList": [ENTRY | {"WeightValue": 10}], "WeightUnit": 0}, 10),
        ({"WeightDataList": [ENTRY | {"WeightValue": 10}], "WeightUnit": 1}, 4.5359237),
        ({"WeightDataList": [ENTRY | {"WeightValue": 10}], "WeightUnit": 2}, 63.5029318),
        ({"BGDataList": [ENTRY | {"BG": 5.4}], "BGUnit": 1}, 5.4),
    ],
)
def test_the_unit_is_that_of_the_answer(read: Any, tmp_path: Path, answer: dict[str, Any], value: float) -> None:
    ((record,),) = read(read_ihealth, written(tmp_path, answer))[0].values()
    assert record["value"] == pytest.approx(value)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"WeightDataList": [ENTRY | {"WeightValue": 10}], "WeightUnit": 9}, "WeightUnit"),
        ({"WeightDataList": [ENTRY | {"WeightValue": 10}]}, "WeightUnit"),
        ({"WeightDataList": [ENTRY | {"WeightValue": "10"}], "WeightUnit": 0}, "WeightValue is no number"),
        ({"WeightDataList": [ENTRY | {"WeightValue": 10, "TimeZone": "PST"}], "WeightUnit": 0}, "TimeZone"),
        ({"WeightDataList": [ENTRY | {"WeightValue": 10, "TimeZone": "+1500"}], "WeightUnit": 0}, "TimeZone"),
        ({"WeightDataList": [ENTRY | {"WeightValue": 10, "MDate": 10**15}], "WeightUnit": 0}, "MDate is no time"),
        ({"WeightDataList": [ENTRY | {"WeightValue": 10, "MDate": 0}], "WeightUnit": 0}, "MDate lies in January 1970"),
        ({"WeightDataList": [ENTRY | {"WeightValue": 10, "TimeZone": "-0900"}], "WeightUnit": 0}, "LastChangeTime"),
        ({"WeightDataList": [ENTRY | {"WeightValue": 10, "DataID": ""}], "WeightUnit": 0}, "DataID"),
        ({"SPORTDataList": [ENTRY]}, "not documented"),
        ({"WeightDataList": [7], "WeightUnit": 0}, "no JSON object"),
    ],
)
def test_what_cannot_be_told_is_refused(read: Any, tmp_path: Path, answer: dict[str, Any], reason: str) -> None:
    events, report = read(read_ihealth, written(tmp_path, answer))
    assert not events
    assert [reason in problem.reason for problem in report.problems] == [True]


def test_oxygen_and_pulse_of_one_record_are_two_vital_signs(read: Any, shared_data: Path) -> None:
    events, _ = read(read_ihealth, shared_data / MAPPER / "ihealth-spo2.json")
    rows = events["clinical.vital_sign"]
    assert [(row["code"], row["value"]) for row in rows] == [
        ("59408-5", 99),
        ("8867-4", 80),
        ("59408-5", 90),
        ("8867-4", 65),
    ]
    assert len({row["event_id"] for row in rows}) == 4


def test_the_activity_of_a_day_begins_with_the_day(read: Any, shared_data: Path) -> None:
    events, _ = read(read_ihealth, shared_data / MAPPER / "ihealth-activity.json")
    row = events["lifestyle.exercise"][0]
    begun = datetime.fromisoformat("2015-11-16T00:00:00+05:00")
    assert (row["occurred_at"], row["steps"], row["distance"]) == (int(begun.timestamp() * 1000), 21, 17.43)
