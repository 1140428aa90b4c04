from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.errors import AdapterError
from biokeel.source.adapters.base import Context, Report, Subject
from biokeel.source.adapters.detect import detect
from biokeel.source.adapters.fitbit_api import read_fitbit_api
from biokeel.source.ids import EventIds

MAPPER = "lifestyle/device-apis/fitbit/mapper"


def made_of(document: Any, zone: str | None = None, *, named: bool = True) -> tuple[list[dict[str, Any]], Report]:
    """The events of one answer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answer.json"
        path.write_bytes(orjson.dumps(document))
        context = Context(
            "app-a",
            "fitbit",
            EventIds("app-a", b"key"),
            1_790_000_000_000,
            Subject("app/fitbit", "7") if named else None,
            ZoneInfo(zone) if zone else None,
        )
        report = Report()
        rows = [row for batch in read_fitbit_api(path, context, report) for row in batch.rows]
        return rows, report  # type: ignore[return-value]


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def test_the_answers_of_the_api_are_what_an_independent_reading_says(read: Any, shared_data: Path) -> None:
    expected: dict[str, list[tuple[Any, ...]]] = {}
    for path in sorted((shared_data / MAPPER).glob("*.json")):
        answer = json.loads(path.read_text())
        for each in answer.get("activities", []):
            begun = each["startDate"] + (f"T{each['startTime']}" if each["hasStartTime"] else "")
            distance = each["distance"] * 1000 if "distance" in each else None
            expected.setdefault(path.name, []).append((at(begun), each["steps"], distance, each.get("calories")))
        for each in answer.get("activities-steps", []):
            expected.setdefault(path.name, []).append((at(each["dateTime"]), int(each["value"]), None, None))
        for each in answer.get("sleep", []):
            row = (at(each["startTime"]), at(each["endTime"]), each["minutesAsleep"], each["timeInBed"])
            expected.setdefault(path.name, []).append(row)
        for each in answer.get("weight", []):
            expected.setdefault(path.name, []).append((at(f"{each['date']}T{each['time']}"), each["weight"], "kg"))
        for each in answer.get("activities-heart-intraday", {}).get("dataset", []):
            day = answer["activities-heart"][0]["dateTime"]
            expected.setdefault(path.name, []).append((at(f"{day}T{each['time']}"), each["value"], "/min"))
    found: dict[str, list[tuple[Any, ...]]] = {}
    fields = {
        "lifestyle.exercise": ("occurred_at", "steps", "distance", "energy"),
        "lifestyle.sleep": ("occurred_at", "ended_at", "minutes_asleep", "minutes_in_bed"),
        "clinical.vital_sign": ("occurred_at", "value", "value_unit"),
    }
    for path in sorted((shared_data / MAPPER).glob("*.json")):
        events, report = read(detect(path).read, path)
        assert not report.problems, path
        for event, rows in events.items():
            found[path.name] = [tuple(row.get(name) for name in fields[event]) for row in rows]
    assert found == expected
    assert sum(map(len, found.values())) == 21


def test_an_answer_does_not_say_whose_it_is(shared_cases: Path) -> None:
    answer = json.loads((shared_cases / "files/r_fitbit_api.json").read_text())
    with pytest.raises(AdapterError, match="does not say whose it is") as refused:
        made_of(answer, named=False)
    assert "--subject" in str(refused.value)
    assert made_of({"sleep": []}, named=False)[0] == [], "nobody's data needs no name"
    (record,), report = made_of(answer, "Asia/Seoul")
    assert record["ended_at"] - record["occurred_at"] == 25_200_000
    assert record["occurred_offset_minutes"] == 540
    assert not report.problems


def sleep(number: int, **change: Any) -> dict[str, Any]:
    begun = datetime(2024, 5, 1, 23, tzinfo=UTC) + timedelta(days=number)
    return {
        "dateOfSleep": f"{begun:%Y-%m-%d}",
        "logId": number,
        "startTime": f"{begun:%Y-%m-%dT%H:%M:%S}.000",
        "endTime": f"{begun + timedelta(hours=7):%Y-%m-%dT%H:%M:%S}.000",
        "duration": 25_200_000,
        "minutesAsleep": 380,
        "minutesAwake": 40,
        "timeInBed": 420,
        "isMainSleep": True,
        "type": "stages",
        "levels": {
            "summary": {
                "deep": {"minutes": 70},
                "light": {"minutes": 220},
                "rem": {"minutes": 90},
                "wake": {"minutes": 40},
            }
        },
    } | change


def test_the_stages_of_a_night_are_its_minutes() -> None:
    (record,), _ = made_of({"sleep": [sleep(1)]})
    stages = [record[f"minutes_{name}"] for name in ("deep", "light", "rem", "awake", "asleep", "in_bed")]
    assert stages == [70, 220, 90, 40, 380, 420]
    assert record["is_main_sleep"] is True


def test_a_night_in_which_the_clock_was_changed_is_as_long_as_it_was() -> None:
    night = {"startTime": "2024-11-02T23:00:00.000", "endTime": "2024-11-03T06:00:00.000", "duration": 28_800_000}
    for zone in (None, "America/New_York"):
        (record,), report = made_of({"sleep": [sleep(1, **night)]}, zone)
        assert record["ended_at"] - record["occurred_at"] == 28_800_000
        assert not report.problems


JUNK = st.one_of(
    st.none(),
    st.integers(-9, 9),
    st.text(max_size=3),
    st.dictionaries(st.sampled_from(["logId", "startTime", "duration"]), st.integers(0, 9) | st.text(max_size=3)),
    st.builds(sleep, st.just(3), minutesAsleep=st.sampled_from([-1, "380", True])),
    st.builds(
        sleep,
        st.just(3),
        startTime=st.sampled_from(["", "23:00", "2024", "2024-05-01", None, 7, "2024-02-30T00:00:00"]),
    ),
    st.builds(sleep, st.just(3), endTime=st.sampled_from(["2024-05-05T01:00:00", "2023-01-01T00:00:00", "never"])),
    st.builds(sleep, st.just(3), logId=st.sampled_from([[1], True, 1.5])),
)


@given(st.lists(st.integers(10, 40), unique=True, max_size=5), JUNK, st.randoms())
def test_order_does_not_matter_and_a_bad_log_costs_only_itself(numbers: list[int], junk: Any, random: Any) -> None:
    good = [sleep(number) for number in numbers]
    expected = {record["event_id"]: record for record in made_of({"sleep": good})[0]}
    mixed = [*good, junk]
    random.shuffle(mixed)
    rows, report = made_of({"sleep": mixed})
    assert {record["event_id"]: record for record in rows} == expected
    assert (len(expected), len(report.problems)) == (len(good), 1)


def test_a_weight_in_pounds_is_seen_by_the_index_beside_it() -> None:
    log = {"date": "2024-05-01", "time": "07:00:00", "logId": 1, "bmi": 22.5}
    rows, report = made_of(
        {"weight": [log | {"weight": 72.9}, log | {"weight": 160.7, "logId": 2}, log | {"weight": 11.5, "logId": 3}]}
    )
    assert [row["value"] for row in rows] == [72.9]
    assert ["kilograms" in problem.reason for problem in report.problems] == [True, True]


def test_food_that_was_logged_is_diet_with_its_nutrients_and_a_mass_only_where_it_is_one() -> None:
    def log(number: int, unit: str, amount: float) -> dict[str, Any]:
        return {
            "logDate": "2024-05-01",
            "logId": number,
            "loggedFood": {"amount": amount, "foodId": 82294, "mealTypeId": 2, "name": "Rice", "unit": {"name": unit}},
            "nutritionalValues": {"calories": 130, "carbs": 28, "fat": 0.3, "fiber": 0.4, "protein": 2.7, "sodium": 1},
        }

    rows, report = made_of({"foods": [log(1, "gram", 100), log(2, "cup", 1)], "goals": {}, "summary": {}})
    assert [(row["amount"], row["meal"], row["food_code"]) for row in rows] == [
        (100, "snack", "F82294"),
        (None, "snack", "F82294"),
    ]
    nutrients = ("energy", "carbohydrate", "fat", "protein", "sodium")
    assert [rows[0][name] for name in nutrients] == [130, 28, 0.3, 2.7, 1]
    assert not report.problems


def test_the_log_of_an_activity_says_its_unit_its_pauses_and_its_zone() -> None:
    log = {
        "logId": 9,
        "activityName": "Outdoor Bike",
        "startTime": "2024-05-01T12:08:29.000-08:00",
        "duration": 1_800_000,
        "activeDuration": 1_500_000,
        "distance": 2,
        "distanceUnit": "Mile",
        "averageHeartRate": 121,
        "lastModified": "2024-05-01T21:00:00.000Z",
    }
    (record,), _ = made_of({"activities": [log], "pagination": {}})
    assert (record["activity"], record["duration"], record["heart_rate"]) == ("cycling", 1500, 121)
    assert record["distance"] == pytest.approx(3218.688)
    assert (record["occurred_at"], record["occurred_offset_minutes"]) == (at("2024-05-01T20:08:29"), -480)
    assert record["recorded_at"] == at("2024-05-01T21:00:00")


def test_what_has_no_event_is_counted_by_its_name() -> None:
    days = [{"dateTime": "2024-05-01", "value": "3"}]
    rows, report = made_of({"activities-floors": days, "activities-steps": days})
    assert [row["steps"] for row in rows] == [3]
    assert dict(report.left_out) == {"activities-floors": 1}
