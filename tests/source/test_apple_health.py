from __future__ import annotations

import gzip
import tempfile
from collections import defaultdict
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.errors import AdapterError
from biokeel.source.adapters import apple_health
from biokeel.source.adapters.apple_columns import moments
from biokeel.source.adapters.apple_health import read_apple_health
from biokeel.source.adapters.apple_samples import timed_of
from biokeel.source.adapters.base import Context, Report, Subject
from biokeel.source.adapters.detect import detect
from biokeel.source.ids import EventIds

DECLARED = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE HealthData [
<!-- HealthKit Export Version: 14 -->
<!ELEMENT HealthData (ExportDate,Me,(Record|Correlation|Workout|ActivitySummary)*)>
<!ATTLIST HealthData
  locale CDATA #REQUIRED
>
<!ATTLIST Record
  type          CDATA #REQUIRED
  device        CDATA #IMPLIED
>
]>
"""
KOREA = timezone(timedelta(hours=9))
Events = dict[str, list[dict[str, Any]]]


def export_of(*elements: str, declared: str = DECLARED) -> str:
    me = '<Me HKCharacteristicTypeIdentifierDateOfBirth="1990-02-03" HKCharacteristicTypeIdentifierBiologicalSex="F"/>'
    date = '<ExportDate value="2024-06-01 10:00:00 +0900"/>'
    return "\n".join([f'{declared}<HealthData locale="ko_KR">', date, me, *elements, "</HealthData>"])


def element(name: str, inside: str = "", **attributes: object) -> str:
    written = " ".join(f"{key}={quoteattr(str(value))}" for key, value in attributes.items())
    return f"<{name} {written}>{inside}</{name}>"


def at(text: str, minutes: float = 0) -> str:
    return f"{datetime.fromisoformat(text) + timedelta(minutes=minutes):%Y-%m-%d %H:%M:%S} +0900"


def record(
    type_: str, value: object, begun: str, minutes: float = 0, unit: str = "", source: str = "Watch", inside: str = ""
) -> str:
    type_ = type_ if type_.startswith("HK") else f"HKQuantityTypeIdentifier{type_}"
    return element(
        "Record",
        inside,
        type=type_,
        sourceName=source,
        unit=unit,
        creationDate=at(begun, minutes + 1),
        startDate=at(begun),
        endDate=at(begun, minutes),
        value=value,
    )


def sleep(state: str, begun: str, minutes: float, source: str = "Watch") -> str:
    name = "HKCategoryTypeIdentifierSleepAnalysis"
    return record(name, f"HKCategoryValueSleepAnalysis{state}", begun, minutes, source=source)


def made_of(text: str | bytes, *, named: bool = True) -> tuple[Events, Report]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export.xml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        subject = Subject("app/apple", "7") if named else None
        context = Context("app-a", "apple", EventIds("app-a", b"key"), 1_790_000_000_000, subject)
        report = Report()
        events: Events = defaultdict(list)
        for event, rows, places in read_apple_health(path, context, report):
            assert len(rows) == len(places)
            events[str(event)] += rows  # type: ignore[arg-type]
        return events, report


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=KOREA).timestamp() * 1000)


def test_the_case_is_one_days_steps(read: Any, shared_cases: Path) -> None:
    path = shared_cases / "files/r_apple_export.xml"
    found = detect(path)
    events, report = read(found.read, path)
    ((row,),) = events.values()
    assert found.name == "Apple Health"
    assert (row["activity"], row["steps"], row["occurred_at"]) == ("daily_activity", 100, ms("2024-05-01"))
    assert (row["occurred_offset_minutes"], row["occurred_precision"]) == (540, "day")
    assert not report.problems


def test_every_kind_of_record_fits_its_schema(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "export.xml"
    path.write_text(
        export_of(
            record("HeartRate", 61, "2024-05-01T09:00", unit="count/min"),
            record("StepCount", 100, "2024-05-01T09:00", 10, unit="count"),
            record("BloodGlucose", 97, "2024-05-01T09:00", unit="mg/dL"),
            record("BloodPressureSystolic", 121, "2024-05-01T09:00", unit="mmHg"),
            record("DietarySodium", 0.5, "2024-05-01T12:00", unit="g"),
            sleep("AsleepCore", "2024-05-01T23:00", 90),
            element(
                "Workout",
                workoutActivityType="HKWorkoutActivityTypeRunning",
                duration=30,
                durationUnit="min",
                sourceName="Watch",
                startDate=at("2024-05-01T18:00"),
                endDate=at("2024-05-01T18:31"),
            ),
        )
    )
    events, report = read(detect(path).read, path)
    assert {event: len(rows) for event, rows in events.items()} == {
        "clinical.vital_sign": 1,
        "clinical.glucose": 1,
        "clinical.blood_pressure": 1,
        "lifestyle.diet": 1,
        "lifestyle.sleep": 1,
        "lifestyle.exercise": 2,
    }
    assert not report.problems


@pytest.mark.parametrize(
    ("type_", "unit", "value", "expected"),
    [
        ("HeartRate", "count/min", "61", ("8867-4", 61, "/min")),
        ("OxygenSaturation", "%", "0.97", ("59408-5", 97, "%")),
        ("BodyMass", "kg", "70.5", ("29463-7", 70.5, "kg")),
        ("BodyMass", "lb", "155", ("29463-7", 155, "[lb_av]")),
        ("BodyMass", "st", "11", ("29463-7", 69.85322498, "kg")),
        ("Height", "cm", "170", ("8302-2", 170, "cm")),
        ("Height", "ft", "5.5", ("8302-2", 167.64, "cm")),
        ("BodyTemperature", "degF", "98.6", ("8310-5", 98.6, "[degF]")),
    ],
)
def test_a_vital_sign_has_the_standards_code_and_a_unit_of_the_contract(
    type_: str, unit: str, value: str, expected: tuple[str, float, str]
) -> None:
    events, _ = made_of(export_of(record(type_, value, "2024-05-01T09:00", unit=unit)))
    (row,) = events["clinical.vital_sign"]
    assert (row["code"], row["value_unit"]) == (expected[0], expected[2])
    assert row["value"] == pytest.approx(expected[1])
    assert (row["occurred_at"], row["recorded_at"]) == (ms("2024-05-01T09:00"), ms("2024-05-01T09:01"))


def test_glucose_says_its_unit_and_the_meal() -> None:
    meal = element("MetadataEntry", key="HKBloodGlucoseMealTime", value=2)
    events, _ = made_of(
        export_of(
            record("BloodGlucose", 5.4, "2024-05-01T09:00", unit="mmol<180.1558800000541>/L", inside=meal),
            record("BloodGlucose", 97, "2024-05-01T10:00", unit="mg/dL"),
        )
    )
    found = [
        (row["code"], row["value"], row["value_unit"], row["relation_to_meal"]) for row in events["clinical.glucose"]
    ]
    assert found == [("15074-8", 5.4, "mmol/L", "after_meal"), ("2339-0", 97, "mg/dL", None)]


def test_a_blood_pressure_is_one_in_a_correlation_beside_it_or_both() -> None:
    parts = [
        record("BloodPressureSystolic", 121, "2024-05-01T09:00", unit="mmHg"),
        record("BloodPressureDiastolic", 79, "2024-05-01T09:00", unit="mmHg"),
    ]
    whole = element(
        "Correlation",
        "".join(parts),
        type="HKCorrelationTypeIdentifierBloodPressure",
        sourceName="Watch",
        startDate=at("2024-05-01T09:00"),
        endDate=at("2024-05-01T09:00"),
    )
    made = [
        made_of(export_of(*elements))[0]["clinical.blood_pressure"] for elements in (parts, [whole], [*parts, whole])
    ]
    assert made[0] == made[1] == made[2]
    assert [(row["systolic"], row["diastolic"]) for row in made[0]] == [(121, 79)]


def test_of_a_days_sources_the_one_with_the_most_steps_counts() -> None:
    events, _ = made_of(
        export_of(
            record("StepCount", 100, "2024-05-01T09:00", 10, source="Phone"),
            record("StepCount", 300, "2024-05-01T10:00", 10, source="Phone"),
            record("StepCount", 350, "2024-05-01T09:00", 10, source="Watch"),
            record("StepCount", 90, "2024-05-02T00:10", 10, source="Watch"),
            record("DistanceWalkingRunning", 0.3, "2024-05-01T10:00", 10, unit="km", source="Phone"),
            record("DistanceWalkingRunning", 0.4, "2024-05-01T10:00", 10, unit="km", source="Watch"),
            element(
                "ActivitySummary",
                dateComponents="2024-05-01",
                activeEnergyBurned="418.4",
                activeEnergyBurnedUnit="kJ",
                appleExerciseTime="32",
            ),
            element(
                "ActivitySummary", dateComponents="1969-12-31", activeEnergyBurned="0", activeEnergyBurnedUnit="Cal"
            ),
        )
    )
    first, second = events["lifestyle.exercise"]
    assert (first["steps"], first["distance"], first["duration"]) == (400, 300, 1920)
    assert first["energy"] == pytest.approx(100)
    assert (second["steps"], second["occurred_at"], second["distance"]) == (90, ms("2024-05-02"), None)


def test_the_segments_of_a_night_are_one_sleep_and_a_second_source_adds_nothing() -> None:
    watch = [
        sleep("AsleepCore", "2024-05-01T23:00", 120),
        sleep("Awake", "2024-05-02T01:00", 10),
        sleep("AsleepDeep", "2024-05-02T01:10", 60),
        sleep("AsleepREM", "2024-05-02T02:10", 50),
        sleep("AsleepCore", "2024-05-02T13:00", 30),
    ]
    phone = [sleep("InBed", "2024-05-01T22:50", 300, "Phone"), sleep("Asleep", "2024-05-01T22:55", 280, "Phone")]
    events, report = made_of(export_of(*phone, *watch))
    night, nap = sorted(events["lifestyle.sleep"], key=lambda row: row["occurred_at"])
    minutes = [night[f"minutes_{name}"] for name in ("asleep", "light", "deep", "rem", "awake", "in_bed")]
    assert minutes == [230, 120, 60, 50, 10, None]
    assert (night["occurred_at"], night["ended_at"]) == (ms("2024-05-01T23:00"), ms("2024-05-02T03:00"))
    assert (nap["minutes_asleep"], nap["occurred_at"]) == (30, ms("2024-05-02T13:00"))
    assert dict(report.left_out) == {"a night that another source has, too": 1}


def workout(source: str, begun: str, minutes: float, inside: str = "", **more: object) -> str:
    attributes = {
        "workoutActivityType": "HKWorkoutActivityTypeTraditionalStrengthTraining",
        "duration": minutes - 1,
        "durationUnit": "min",
        "sourceName": source,
        "creationDate": at(begun, minutes),
        "startDate": at(begun),
        "endDate": at(begun, minutes),
    }
    return element("Workout", inside, **attributes | more)


def test_a_workout_of_two_apps_is_one_and_says_its_sums() -> None:
    sums = "".join(
        element("WorkoutStatistics", type=f"HKQuantityTypeIdentifier{name}", **said)
        for name, said in {
            "ActiveEnergyBurned": {"sum": 200, "unit": "Cal"},
            "HeartRate": {"average": 131.5, "unit": "count/min"},
            "DistanceWalkingRunning": {"sum": 1.5, "unit": "mi"},
        }.items()
    )
    run = {"workoutActivityType": "HKWorkoutActivityTypeRunning"}
    old = {"totalDistance": 3, "totalDistanceUnit": "km", "totalEnergyBurned": 836.8, "totalEnergyBurnedUnit": "kJ"}
    events, report = made_of(
        export_of(
            workout("Watch", "2024-05-01T18:00", 31, sums, **run),
            workout("Strava", "2024-05-01T18:01", 30, **run),
            workout("Watch", "2024-05-03T18:00", 31, **old),
        )
    )
    first, second = sorted(events["lifestyle.exercise"], key=lambda row: row["occurred_at"])
    assert (first["activity"], first["duration"], first["energy"], first["heart_rate"]) == ("running", 1800, 200, 131.5)
    assert first["distance"] == pytest.approx(2414.016)
    assert (second["activity"], second["distance"]) == ("traditional_strength_training", 3000)
    assert second["energy"] == pytest.approx(200)
    assert dict(report.left_out) == {"a workout that another source has, too": 1}


def test_of_a_workout_of_several_parts_only_what_is_said_of_the_whole_counts() -> None:
    def distance(kind: str, metres: float) -> str:
        return element("WorkoutStatistics", type=f"HKQuantityTypeIdentifierDistance{kind}", sum=metres, unit="m")

    part = element("WorkoutActivity", distance("Cycling", 10_000), startDate=at("2024-05-01T18:00"))
    one = made_of(export_of(workout("Watch", "2024-05-01T18:00", 31, part + distance("Cycling", 30_000))))[0]
    assert [row["distance"] for row in one["lifestyle.exercise"]] == [30_000]
    both = distance("Cycling", 30_000) + distance("Swimming", 1500)
    several, report = made_of(export_of(workout("Watch", "2024-05-01T18:00", 31, both)))
    assert [row["distance"] for row in several["lifestyle.exercise"]] == [None]
    assert dict(report.left_out) == {"the distances of a workout of several kinds": 1}


def test_food_of_a_correlation_is_not_counted_again_beside_it() -> None:
    rice = [
        record("DietaryEnergyConsumed", 130, "2024-05-01T12:00", unit="Cal", source="Food"),
        record("DietaryCarbohydrates", 28, "2024-05-01T12:00", unit="g", source="Food"),
    ]
    soup = [
        record("DietaryEnergyConsumed", 100, "2024-05-01T12:00", unit="kcal", source="Food"),
        record("DietarySodium", 900, "2024-05-01T12:00", unit="mg", source="Food"),
    ]

    def correlation(name: str, parts: list[str]) -> str:
        metadata = element("MetadataEntry", key="HKFoodType", value=name)
        return element(
            "Correlation",
            metadata + "".join(parts),
            type="HKCorrelationTypeIdentifierFood",
            sourceName="Food",
            creationDate=at("2024-05-01T12:01"),
            startDate=at("2024-05-01T12:00"),
            endDate=at("2024-05-01T12:00"),
        )

    lone = [
        record("DietaryProtein", 20, "2024-05-01T18:00", unit="g", source="Bar"),
        record("DietaryFatTotal", 7, "2024-05-01T18:00", unit="g", source="Bar"),
    ]
    events, report = made_of(export_of(*rice, *soup, *lone, correlation("Rice", rice), correlation("Soup", soup)))
    rows = sorted(events["lifestyle.diet"], key=lambda row: (row["occurred_at"], row["energy"]))
    names = ("energy", "carbohydrate", "protein", "fat", "sodium")
    assert [tuple(row[name] for name in names) for row in rows] == [
        (100, None, None, None, 900),
        (130, 28, None, None, None),
        (None, None, 20, 7, None),
    ]
    assert not report.problems
    events, report = made_of(export_of(*rice, *soup))
    assert not events
    assert ["several foods of one time" in problem.reason for problem in report.problems] == [True]


GOOD = [
    record("HeartRate", 61, "2024-05-01T09:00", unit="count/min"),
    record("HeartRate", 62, "2024-05-01T09:01", unit="count/min"),
    record("StepCount", 100, "2024-05-01T09:00", 10, source="Phone"),
    record("StepCount", 70.5, "2024-05-01T11:00", 10, source="Phone"),
    record("StepCount", 170.5, "2024-05-01T09:30", 10, source="Other"),
    record("DistanceWalkingRunning", 0.3, "2024-05-01T10:00", 10, unit="km", source="Phone"),
    record("BloodPressureSystolic", 121, "2024-05-01T09:00", unit="mmHg"),
    record("BloodPressureDiastolic", 79, "2024-05-01T09:00", unit="mmHg"),
    record("DietaryProtein", 20, "2024-05-01T18:00", unit="g"),
    record("DietaryFatTotal", 7, "2024-05-01T18:00", unit="g"),
    sleep("AsleepCore", "2024-05-01T23:00", 120),
    sleep("AsleepDeep", "2024-05-02T01:00", 60),
    sleep("Asleep", "2024-05-01T23:10", 100, "Phone"),
    workout("Watch", "2024-05-01T18:00", 31),
    workout("Strava", "2024-05-01T18:01", 30),
]
BAD = [
    record("HeartRate", "6_1", "2024-05-01T09:00", unit="count/min"),
    record("HeartRate", "nan", "2024-05-01T09:00", unit="count/min"),
    record("HeartRate", -1, "2024-05-01T09:00", unit="count/min"),
    record("HeartRate", 61, "2024-05-01T09:00", unit="bpm"),
    record("HeartRate", 61, "2024-05-01T09:00", 600, unit="count/min"),
    record("OxygenSaturation", 97, "2024-05-01T09:00", unit="%"),
    record("StepCount", "many", "2024-05-01T09:00", 10),
    record("StepCount", 9, "2024-05-01T09:00", -10),
    record("StepCount", "1e308", "2024-05-01T09:00", 10),
    record("DietarySodium", "1e308", "2024-05-03T09:00", unit="kg"),
    record("Height", "1e308", "2024-05-03T09:00", unit="ft"),
    record("BloodGlucose", 5.4, "2024-05-01T09:00", unit="mmol/L"),
    record("BloodPressureSystolic", 16, "2024-05-03T09:00", unit="kPa"),
    record("DietarySodium", 16, "2024-05-03T09:00", unit="IU"),
    sleep("Dreaming", "2024-05-01T23:00", 120),
    element("Record", type="HKQuantityTypeIdentifierHeartRate", value=61),
    element("Record", type="HKQuantityTypeIdentifierStepCount", value=61, startDate="2024-13-01 09:00:00 +0900"),
    element("Record", type="HKQuantityTypeIdentifierStepCount", value=61, startDate="2024-05-01T09:00:00+09:00"),
    element("ActivitySummary", dateComponents="yesterday"),
    workout("Watch", "2024-05-05T18:00", 31, duration="long"),
    workout("Watch", "2024-05-05T18:00", 31, durationUnit="fortnight"),
]


@given(st.permutations(GOOD), st.sampled_from(BAD), st.integers(0, len(GOOD)), st.integers(0, len(GOOD) - 1))
def test_order_and_repeats_do_not_matter_and_a_bad_record_costs_only_itself(
    mixed: list[str], bad: str, where: int, twice: int
) -> None:
    expected = {row["event_id"]: row for rows in made_of(export_of(*GOOD))[0].values() for row in rows}
    repeated = mixed[twice] if "Workout" not in mixed[twice] else ""
    events, report = made_of(export_of(*mixed[:where], bad, *mixed[where:], repeated))
    assert {row["event_id"]: row for rows in events.values() for row in rows} == expected
    assert len(report.problems) == 1
    assert report.problems[0].position.startswith("line ")


@given(st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 47), st.integers(0, 999)), min_size=1, max_size=20))
def test_a_days_steps_are_the_largest_sum_of_one_source(samples: list[tuple[str, int, int]]) -> None:
    base = datetime.fromisoformat("2024-05-01T00:00")
    sums: dict[tuple[int, str], dict[int, int]] = defaultdict(dict)
    for source, hour, steps in samples:
        of_source = sums[hour // 24, source]
        of_source[hour] = max(of_source.get(hour, 0), steps)
    expected = {day: max(sum(of.values()) for (other, _), of in sums.items() if other == day) for day, _ in sums}
    elements = [
        record("StepCount", steps, f"{base + timedelta(hours=hour):%Y-%m-%dT%H:%M}", 5, source=source)
        for source, hour, steps in samples
    ]
    rows = made_of(export_of(*elements))[0]["lifestyle.exercise"]
    assert {(row["occurred_at"] - ms("2024-05-01")) // 86_400_000: row["steps"] for row in rows} == expected


def test_types_of_no_event_are_counted_by_name_and_the_persons_own_line_is_not_read() -> None:
    events, report = made_of(
        export_of(
            record("BodyMassIndex", 22, "2024-05-01T09:00"),
            record("HKCategoryTypeIdentifierMindfulSession", "x", "2024-05-01T09:00"),
            record("HK<b>Kim Minsu</b>", 22, "2024-05-01T09:00"),
            element("ClinicalRecord", type="AllergyIntolerance"),
            record("HeartRate", 61, "2024-05-01T09:00", unit="count/min"),
        )
    )
    assert dict(report.left_out) == {
        "HKQuantityTypeIdentifierBodyMassIndex": 1,
        "HKCategoryTypeIdentifierMindfulSession": 1,
        "a record whose type is no name": 1,
        "ClinicalRecord": 1,
    }
    assert "1990" not in str(events)


BOMB = """<!DOCTYPE HealthData [
<!ENTITY a "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;">
]>
"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (export_of(declared=BOMB), "declares entities"),
        (export_of("&b;", declared=""), "no whole XML"),
        (export_of(declared='<!DOCTYPE HealthData SYSTEM "file:///etc/passwd">\n'), "another file"),
        (export_of(declared='<!DOCTYPE HealthData PUBLIC "x" "http://x.example/y">\n'), "another file"),
        (export_of("<a>" * 100 + "</a>" * 100), "nested too deeply"),
        (export_of(*GOOD)[:-60], "no whole XML"),
        (export_of('<Record type="' + "x" * (18 << 20)), "tag without an end"),
        (" " * (2 << 20) + export_of(), "no HealthData where it should begin"),
    ],
)
def test_hostile_and_broken_documents_are_refused(text: str, reason: str) -> None:
    with pytest.raises(AdapterError, match=reason):
        made_of(text)


def test_a_declaration_that_is_no_valid_one_does_not_matter() -> None:
    broken = DECLARED.replace("#IMPLIED\n>", '#IMPLIED\n  startDate CDATA "x\n>\n<!ATTLIST\n')
    assert made_of(export_of(*GOOD, declared=broken))[0] == made_of(export_of(*GOOD))[0]


def test_a_packed_export_is_read_and_places_are_its_lines(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "export.xml.gz"
    text = export_of(BAD[0], GOOD[0])
    path.write_bytes(gzip.compress(text.encode()))
    events, report = read(detect(path).read, path)
    assert len(events["clinical.vital_sign"]) == 1
    line = next(number for number, each in enumerate(text.splitlines(), 1) if "6_1" in each)
    assert [problem.position for problem in report.problems] == [f"line {line}"]


def test_an_export_does_not_say_whose_it_is() -> None:
    with pytest.raises(AdapterError, match="does not say whose it is"):
        made_of(export_of(*GOOD), named=False)


@given(
    st.lists(
        st.one_of(
            st.from_regex(r"[0-9]{4}-[01]\d-[0-3]\d [0-2]\d:[0-6]\d:[0-6]\d [+-][01]\d[0-6]\d", fullmatch=True),
            st.datetimes(timezones=st.just(UTC)).map(lambda at: at.strftime("%Y-%m-%d %H:%M:%S +0930")),
            st.text(max_size=30),
        ),
        max_size=20,
    )
)
def test_times_that_are_read_together_are_those_that_are_read_one_by_one(texts: list[str]) -> None:
    at, offset, good = moments(texts)
    for text, each, minutes, is_good in zip(texts, at, offset, good, strict=True):
        if is_good:
            timed = timed_of({"startDate": text, "endDate": text})
            assert (timed.begun, timed.offset) == (each, minutes)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["StepCount", "DistanceWalkingRunning", "HeartRate", "OxygenSaturation", "BodyMass"]),
            st.sampled_from(["count", "km", "count/min", "%", "kg", "lb", None]),
            st.sampled_from(["61", "0.97", "1.2", "-1", "nan", "1e3", " 5 ", "1_0", "1e300", "", None, "5000000000"]),
            st.sampled_from(["2024-05-01 09:00:00 +0900", "2024-05-01 24:00:00 +0900", "2024-05-01", None]),
            st.sampled_from(["2024-05-01 09:00:00 +0900", "2024-05-01 09:30:00 +0900", "2024-05-01 08:30:00 +0900"]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_samples_that_are_read_together_come_to_what_they_come_to_one_by_one(
    tmp_path_factory: Any, samples: Any
) -> None:
    records = []
    for type_, unit, value, start, end in samples:
        said = {"type": f"HKQuantityTypeIdentifier{type_}", "unit": unit, "value": value, "startDate": start}
        said |= {"endDate": end, "creationDate": "2024-05-01 10:00:00 +0900", "sourceName": "Watch"}
        records.append("<Record " + " ".join(f'{k}="{v}"' for k, v in said.items() if v is not None) + "/>")
    path = tmp_path_factory.mktemp("apple") / "export.xml"
    path.write_text("<HealthData>\n" + "\n".join(records) + "\n</HealthData>")
    with pytest.MonkeyPatch.context() as patch:
        together = everything(path)
        patch.setattr(apple_health, "_TOGETHER", frozenset[str]())
        assert everything(path) == together


def everything(path: Path) -> Any:
    """The events of a file and its problems, in whatever order."""
    report = Report()
    context = Context("app-a", "apple", EventIds("app-a", b"key"), 1_790_000_000_000, Subject("app/apple", "u-1"))
    rows = [row for batch in read_apple_health(path, context, report) for row in batch.rows]
    problems = sorted((each.position, each.reason) for each in report.problems)
    written = (sorted(f"{name}={value}" for name, value in row.items()) for row in rows)
    return sorted(written), problems, report.reasons
