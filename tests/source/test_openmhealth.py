from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.errors import AdapterError
from biokeel.source.adapters.base import Context, Report, Subject
from biokeel.source.adapters.detect import detect
from biokeel.source.adapters.openmhealth import read_openmhealth
from biokeel.source.ids import EventIds


def of(shared_data: Path, verdict: str) -> list[Path]:
    """The files whose verdict is the name of their folder."""
    files = sorted((shared_data / "lifestyle/openmhealth").glob(f"*/*/{verdict}/*.json"))
    assert files
    return files


def what_becomes(read: Any, path: Path) -> tuple[int, int, int]:
    """Events, problems, left out; a file that is refused as a whole is one problem."""
    try:
        events, report = read(detect(path).read, path)
    except AdapterError:
        return 0, 1, 0
    return sum(map(len, events.values())), len(report.problems), report.left_out.total()


def test_no_body_that_should_fail_becomes_an_event(read: Any, shared_data: Path) -> None:
    for path in of(shared_data, "shouldFail"):
        events, problems, left_out = what_becomes(read, path)
        assert (events, problems + left_out) == (0, 1), path


def test_every_body_that_should_pass_is_an_event_or_is_left_out_by_name_or_says_no_time(
    read: Any, shared_data: Path
) -> None:
    made = 0
    for path in of(shared_data, "shouldPass"):
        body = json.loads(path.read_text())
        schema = path.relative_to(shared_data / "lifestyle/openmhealth").parts[0]
        frame = body.get("effective_time_frame", {})
        months = frame.get("time_interval", {}).get("end_date_time", "")[:7] == "2013-06"
        if schema in {"medication-prescription", "body-mass-index"} or "descriptive_statistic" in body:
            expected = (0, 0, 1)
        elif schema in {"time-frame", "data-point"} or not frame or "part_of_day" in str(frame) or months:
            expected = (0, 1, 0)
        else:
            expected = (1, 0, 0)
        assert what_becomes(read, path) == expected, path
        made += expected[0]
    assert made == 24


CASES = {
    # name: events, problems, left out
    "p_omh_dst": (1, 0, 0),
    "p_omh_hr_first": (2, 0, 0),
    "p_omh_ieee": (1, 0, 0),
    "p_omh_korean": (1, 0, 0),
    "p_omh_neg": (0, 1, 0),
    "p_omh_overflow": (0, 1, 0),
    "p_omh_shimmer": (1, 0, 0),
    "p_omh_sleepsec": (1, 0, 0),
    "r_omh_interval_months": (0, 1, 0),
    "r_omh_schema_says_other": (0, 1, 0),
    "z_ieee_pa": (1, 0, 0),
}


@pytest.mark.parametrize("name", CASES)
def test_the_cases_are_read_right_or_refused(read: Any, shared_cases: Path, name: str) -> None:
    assert what_becomes(read, shared_cases / f"files/{name}.json") == CASES[name]


def written(tmp_path: Path, body: dict[str, Any], schema: str = "physical-activity") -> Path:
    path = tmp_path / "point.json"
    header = {
        "id": "243c773b-8936-407e-9c23-270d0ea49cc4",
        "creation_date_time": "2020-02-05T08:00:00-08:00",
        "schema_id": {"namespace": "omh", "name": schema, "version": "1.0"},
        "user_id": "u-7",
    }
    frame = {
        "time_interval": {"start_date_time": "2020-02-05T07:00:00-08:00", "duration": {"value": 30, "unit": "min"}}
    }
    path.write_text(json.dumps([{"header": header, "body": {"effective_time_frame": frame} | body}]))
    return path


AT = {"effective_time_frame": {"date_time": "2024-05-01T08:00:00+09:00"}}


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
    (record,) = read(read_openmhealth, written(tmp_path, asleep, "sleep-duration"))[0]["lifestyle.sleep"]
    assert record["minutes_asleep"] == 450.0
    backwards = {"time_interval": {"start_date_time": "2020-02-05T07:00:00Z", "end_date_time": "2020-02-04T07:00:00Z"}}
    events, report = read(
        read_openmhealth, written(tmp_path, asleep | {"effective_time_frame": backwards}, "sleep-duration")
    )
    assert not events
    assert report.problems[0].reason == "the end of time_interval lies before the beginning"


def test_the_specimen_and_the_unit_choose_the_code(read: Any, tmp_path: Path) -> None:
    body = {
        "blood_glucose": {"value": 5.4, "unit": "mmol/L"},
        "specimen_source": "capillary blood",
        "temporal_relationship_to_meal": "before breakfast",
    }
    path = tmp_path / "b.json"
    path.write_text(json.dumps(body | AT))
    (record,) = read(read_openmhealth, path)[0]["clinical.glucose"]
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


HOUR = {"time_interval": {"start_date_time": "2024-05-01T08:00:00+09:00", "duration": {"value": 1, "unit": "h"}}}


def body_of(read: Any, tmp_path: Path, body: dict[str, Any]) -> dict[str, Any]:
    """The one event of a bare body."""
    path = tmp_path / "body.json"
    path.write_text(json.dumps(body))
    events, report = read(read_openmhealth, path)
    assert not report.problems
    ((record,),) = events.values()
    return dict(record)


@pytest.mark.parametrize(
    ("body", "code", "value", "unit"),
    [
        ({"heart_rate": {"value": 61, "unit": "beats/min"}}, "8867-4", 61, "/min"),
        ({"oxygen_saturation": {"value": 97, "unit": "%"}}, "59408-5", 97, "%"),
        ({"body_weight": {"value": 110, "unit": "lb"}}, "29463-7", 49.89516, "kg"),
        ({"body_height": {"value": 5.5, "unit": "ft"}}, "8302-2", 167.64, "cm"),
        ({"body_temperature": {"value": 98.6, "unit": "F"}}, "8310-5", 98.6, "[degF]"),
        ({"body_temperature": {"value": 310.15, "unit": "K"}}, "8310-5", 37.0, "Cel"),
        ({"body_temperature": {"value": 37, "unit": "C"}, "measurement_location": "oral"}, "8331-1", 37, "Cel"),
    ],
)
def test_vital_signs_have_the_standards_code_and_a_unit_of_the_contract(
    read: Any, tmp_path: Path, body: dict[str, Any], code: str, value: float, unit: str
) -> None:
    record = body_of(read, tmp_path, body | AT)
    assert (record["code"], record["value_unit"]) == (code, unit)
    assert record["value"] == pytest.approx(value)


SAME_LENGTHS = [
    (("km", 1), ("m", 1000)),
    (("mi", 1), ("ft", 5280)),
    (("yd", 1), ("in", 36)),
    (("cm", 254), ("in", 100)),
]


@given(st.sampled_from(SAME_LENGTHS), st.floats(0.001, 1000))
def test_one_distance_in_two_units_is_one_distance(pair: Any, times: float) -> None:
    made = []
    for unit, value in pair:
        body = {
            "activity_name": "walk",
            "distance": {"value": value * times, "unit": unit},
            "effective_time_frame": HOUR,
        }
        made.append(records_of([body])[0]["distance"])
    assert made[0] == pytest.approx(made[1])


SAME_TIMES = [(("h", 1), ("min", 60)), (("min", 1), ("sec", 60)), (("sec", 1), ("ms", 1000)), (("d", 1), ("h", 24))]


@given(st.sampled_from(SAME_TIMES), st.floats(0.001, 1))
def test_one_length_of_sleep_in_two_units_is_one_length(pair: Any, times: float) -> None:
    made = []
    for unit, value in pair:
        body = {"total_sleep_time": {"value": value * times, "unit": unit}, "effective_time_frame": HOUR}
        made.append(records_of([body])[0]["minutes_asleep"])
    assert made[0] == pytest.approx(made[1])


def records_of(points: list[Any]) -> list[dict[str, Any]]:
    """The events of some data points, without fixtures, so that a property may ask for many."""
    return made_of(points)[0]


def made_of(points: list[Any]) -> tuple[list[dict[str, Any]], Report]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "points.json"
        path.write_bytes(orjson.dumps(points))
        context = Context(
            "clinic-emr", "clinic", EventIds("clinic-emr", b"k"), 1_790_000_000_000, Subject("app/omh", "u")
        )
        report = Report()
        records = [row for batch in read_openmhealth(path, context, report) for row in batch.rows]
        return records, report  # type: ignore[return-value]


def good_point(number: int) -> dict[str, Any]:
    made = point(id=f"id-{number}", user_id=f"u-{number % 3}")
    made["body"]["blood_glucose"]["value"] = 80 + number
    return made


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["header", "body", "id", "schema_id", "value", "unit", "effective_time_frame", "heart_rate", "user_id"]
            ),
            inside,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(st.lists(st.integers(0, 40), unique=True, max_size=6), JUNK, st.integers(0, 6), st.randoms())
def test_order_does_not_matter_and_a_bad_point_costs_only_itself(
    numbers: list[int], junk: Any, where: int, random: Any
) -> None:
    good = [good_point(number) for number in numbers]
    expected = {record["event_id"]: record for record in records_of(good)}
    assert len(expected) == len(numbers)
    mixed = [*good[:where], junk, *good[where:]]
    random.shuffle(mixed)
    records, report = made_of(mixed)
    assert {record["event_id"]: record for record in records} == expected
    series = isinstance(junk, dict) and isinstance(junk.get("body"), list)
    assert series or len(report.problems) + report.left_out.total() == 1


def test_a_series_gives_each_of_its_bodies_and_the_same_ids_in_any_order(read: Any, tmp_path: Path) -> None:
    header = {
        "uuid": "243c773b-8936-407e-9c23-270d0ea49cc4",
        "schema_id": {"namespace": "ieee", "name": "physical_activity", "version": "1.0"},
        "source_creation_date_time": "2024-05-02T10:00:00+09:00",
        "user_id": "u-1",
    }
    bodies = [
        {
            "activity_name": "Run",
            "base_movement_quantity": {"value": steps, "unit": "steps"},
            "effective_time_frame": {
                "time_interval": {
                    "start_date_time": f"2024-05-01T0{hour}:00:00+09:00",
                    "end_date_time": f"2024-05-01T0{hour}:20:00+09:00",
                }
            },
        }
        for hour, steps in ((7, 2000), (8, 2500))
    ]
    path = tmp_path / "series.json"
    ids = []
    for some in (bodies, bodies[::-1]):
        path.write_text(json.dumps({"header": header, "body": some}))
        records = read(read_openmhealth, path)[0]["lifestyle.exercise"]
        assert sorted((each["activity"], each["steps"], each["duration"]) for each in records) == [
            ("running", 2000, 1200.0),
            ("running", 2500, 1200.0),
        ]
        ids.append({each["event_id"] for each in records})
    assert ids[0] == ids[1]
    assert len(ids[0]) == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema_id": {"namespace": "omh", "name": "blood-glucose", "version": "9.0"}}, "version is none"),
        ({"schema_id": {"namespace": "omh", "name": "blood-glucose", "version": 3}}, "needs a name and a version"),
        ({"schema_id": {"namespace": "acme", "name": "blood-glucose", "version": "3.0"}}, "neither omh nor ieee"),
        ({"schema_id": {"namespace": "omh", "name": "glucose", "version": "3.0"}}, "no schema that is known"),
        ({"schema_id": {"namespace": "omh", "name": "heart-rate", "version": "1.0"}}, "not what header.schema_id says"),
        ({"uuid": "another"}, "header.id and header.uuid differ"),
        ({"creation_date_time": "yesterday"}, "header.creation_date_time is no date and time"),
    ],
)
def test_a_header_must_name_a_schema_that_its_body_is(
    read: Any, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(point(**change)))
    events, report = read(read_openmhealth, path)
    assert not events
    assert reason in report.problems[0].reason


def test_steps_of_a_day_sum_up_the_day_and_say_nothing_of_how_long_it_took(read: Any, tmp_path: Path) -> None:
    day = {"start_date_time": "2024-03-10T00:00:00-05:00", "end_date_time": "2024-03-11T00:00:00-04:00"}
    record = body_of(read, tmp_path, {"step_count": 9000, "effective_time_frame": {"time_interval": day}})
    assert (record["activity"], record["steps"], record.get("duration")) == ("daily_activity", 9000, None)
    record = body_of(read, tmp_path, {"step_count": 900, "effective_time_frame": HOUR})
    assert (record["activity"], record.get("duration")) == ("walking", None)


@pytest.mark.parametrize("name", ["Grandma's yoga with Kim", "뜨개질", "걷 기 모임", "🏃"])
def test_an_activity_of_no_list_is_other_and_is_counted_without_its_name(read: Any, tmp_path: Path, name: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"activity_name": name, "effective_time_frame": HOUR}))
    events, report = read(read_openmhealth, path)
    assert events["lifestyle.exercise"][0]["activity"] == "other"
    ((reason, count),) = report.left_out.items()
    assert count == 1
    assert name not in reason


@pytest.mark.parametrize("name", ["걷기", "산책", "Walk", " WALKING "])
def test_walking_is_walking_in_every_writing(read: Any, tmp_path: Path, name: str) -> None:
    assert body_of(read, tmp_path, {"activity_name": name, "effective_time_frame": HOUR})["activity"] == "walking"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"step_count": -5}, "below zero"),
        ({"step_count": 7.5}, "no whole number"),
        ({"step_count": True}, "no number"),
        ({"step_count": 1e30}, "larger than"),
        ({"activity_name": "walking", "kcal_burned": {"value": -1, "unit": "kcal"}}, "below zero"),
        ({"activity_name": "walking", "kcal_burned": {"value": 4, "unit": "kJ"}}, "none of the schema's"),
        ({"activity_name": "walking", "distance": {"value": 1, "unit": "league"}}, "none of the schema's"),
        ({"activity_name": "walking", "distance": {"value": 1e308, "unit": "km"}}, "no finite number"),
        ({"total_sleep_time": {"value": 1, "unit": "Mo"}}, "no fixed length"),
        ({"sleep_duration": {"value": 1, "unit": "d"}}, "none of the schema's"),
        ({"total_sleep_time": {"value": "400", "unit": "min"}}, "no number"),
        ({"heart_rate": {"value": 60, "unit": "beats/min"}}, "longer than one measurement"),
        ({"body_weight": {"value": 1, "unit": "kg"}, "heart_rate": {"value": 1, "unit": "beats/min"}}, "more than one"),
    ],
)
def test_what_the_schema_forbids_is_refused(read: Any, tmp_path: Path, body: dict[str, Any], reason: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(body | {"effective_time_frame": HOUR}))
    events, report = read(read_openmhealth, path)
    assert not events
    assert reason in report.problems[0].reason
