"""The shipped mappings: Synthea against an independent reading, the others on small files in their exports' form."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from biokeel.errors import AdapterError
from biokeel.source.adapters.detect import FORMATS, detect
from biokeel.source.mappings.library import SHIPPED, Library
from tests.source.mappings.conftest import Read

SYNTHEA = "clinical/synthea-csv"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_every_shipped_mapping_holds_and_says_where_its_columns_come_from(shipped: Library) -> None:
    assert len(shipped.shipped) == len(list(SHIPPED.glob("*.yaml"))) > 20
    assert len({mapping.name for mapping in shipped.shipped.values()}) == len(shipped.shipped)
    for path, mapping in shipped.shipped.items():
        assert mapping.source or mapping.name == "Food log", path.name
        assert path.read_text(encoding="utf-8").startswith("# ")


def test_a_table_is_recognised_by_its_own_mapping_with_all_its_columns_or_the_needed_ones(
    shipped: Library, tmp_path: Path
) -> None:
    for file, mapping in shipped.shipped.items():
        path = tmp_path / f"{file.stem}.csv"
        needed = [names[0] for names in mapping.wanted]
        every = [column.names[0] for column in mapping.columns.values()]
        languages = {"Notizen", "Notas", "Keton mmol/L", "Patienteninfo", "Geräteinfo"}
        for header in (needed, every + [name for name in mapping.ignored if name not in languages]):
            first = f"{mapping.file.first_line}1,2\n" if mapping.file.first_line else ""
            path.write_text(first + ",".join(f'"{name}"' for name in header) + "\n", encoding="utf-8")
            table = shipped.shipped_for(path)
            assert table is not None, file.name
            assert table.mapping is mapping, f"{file.name} is taken for {table.mapping.name}"


def test_synthea_laboratory_results_and_vital_signs_are_those_of_the_file(read: Read, shared_data: Path) -> None:
    path = shared_data / SYNTHEA / "observations.csv"
    found, rows = read(path), rows_of(path)
    assert not found.problems
    glucose = {"2339-0", "2345-7", "2340-8", "41653-7", "1558-6"}
    lab = [row for row in rows if row["CATEGORY"] == "laboratory" and row["TYPE"] == "numeric"]
    expected = {
        "clinical.lab_result": [row for row in lab if row["CODE"] not in glucose],
        "clinical.glucose": [row for row in lab if row["CODE"] in glucose],
        "clinical.vital_sign": [row for row in rows if row["CODE"] in {"8867-4", "8310-5", "29463-7", "8302-2"}],
    }
    for event, theirs in expected.items():
        ours = found.frames[event]
        seen = Counter(ours.select("subject_id", "occurred_at", "code", "value", "value_unit").iter_rows())
        wanted = Counter((r["PATIENT"], at(r["DATE"]), r["CODE"], float(r["VALUE"]), r["UNITS"]) for r in theirs)
        assert seen == wanted
        assert set(ours["subject_scheme"]) == {"hospital/clinic"}


def test_synthea_pressures_are_joined_by_patient_date_and_encounter(read: Read, shared_data: Path) -> None:
    path = shared_data / SYNTHEA / "observations.csv"
    pairs: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in rows_of(path):
        if row["CODE"] in {"8480-6", "8462-4"}:
            pairs.setdefault((row["PATIENT"], row["DATE"], row["ENCOUNTER"]), {})[row["CODE"]] = float(row["VALUE"])
    ours = read(path).frames["clinical.blood_pressure"]
    seen = Counter(ours.select("subject_id", "occurred_at", "systolic", "diastolic").iter_rows())
    assert seen == Counter((who, at(day), both["8480-6"], both["8462-4"]) for (who, day, _), both in pairs.items())


def test_every_line_of_synthea_observations_is_an_event_or_counted(read: Read, shared_data: Path) -> None:
    path = shared_data / SYNTHEA / "observations.csv"
    found, rows = read(path), rows_of(path)
    pairs = found.counts["clinical.blood_pressure"]
    assert sum(found.counts.values()) + pairs + found.report.left_out.total() == len(rows)
    scores = {"44261-6": "PHQ-9", "55758-7": "PHQ-2", "70274-6": "GAD-7", "75626-2": "AUDIT-C"}
    asked = Counter(scores[row["CODE"]] for row in rows if row["CODE"] in scores)
    assert Counter(found.frames["lifestyle.questionnaire"]["instrument"]) == asked


def test_synthea_conditions_and_medications_are_those_of_the_file(read: Read, shared_data: Path) -> None:
    path = shared_data / SYNTHEA / "conditions.csv"
    ours = read(path, ZoneInfo("UTC")).frames["clinical.diagnosis"]
    seen = Counter(ours.select("subject_id", "code", "clinical_status", "onset_at", "abated_at").iter_rows())
    midnight = "T00:00:00+00:00"
    assert seen == Counter(
        (
            row["PATIENT"],
            row["CODE"],
            "resolved" if row["STOP"] else "active",
            at(row["START"] + midnight),
            at(row["STOP"] + midnight) if row["STOP"] else None,
        )
        for row in rows_of(path)
    )
    path = shared_data / SYNTHEA / "medications.csv"
    ours = read(path).frames["clinical.medication"]
    seen = Counter(ours.select("subject_id", "code", "occurred_at", "ended_at").iter_rows())
    assert seen == Counter(
        (row["PATIENT"], row["CODE"], at(row["START"]), at(row["STOP"]) if row["STOP"] else None)
        for row in rows_of(path)
    )


def test_synthea_patients_are_enrolled_without_consent_name_or_number(read: Read, shared_data: Path) -> None:
    path = shared_data / SYNTHEA / "patients.csv"
    found, rows = read(path), rows_of(path)
    ours = found.frames["person.enrolment"]
    seen = Counter(
        (who, str(born), sex) for who, born, sex in ours.select("subject_id", "birth_date", "sex").iter_rows()
    )
    assert seen == Counter((r["Id"], r["BIRTHDATE"], {"M": "male", "F": "female"}[r["GENDER"]]) for r in rows)
    assert not ours["consent_stated"].any()
    assert ours["name"].null_count() == ours.height
    assert not any(ours["identifiers"].list.len())


def test_an_end_before_its_beginning_is_a_problem(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "conditions.csv"
    path.write_text("START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION\n2024-02-01,2024-01-31,p,e,38341003,d\n")
    found = read(path)
    assert not found.counts
    assert found.problems == [("line 2", "STOP lies before the beginning")]


@pytest.mark.parametrize("table", ["allergies", "encounters", "immunizations"])
def test_what_of_synthea_is_no_event_is_counted_line_by_line(read: Read, shared_data: Path, table: str) -> None:
    path = shared_data / SYNTHEA / f"{table}.csv"
    found = read(path)
    assert not found.counts
    assert not found.problems
    assert found.report.left_out.total() == len(rows_of(path))


def test_the_cases_of_tables_are_read_right_or_refused_by_reason(read: Read, shared_cases: Path) -> None:
    files = shared_cases / "files"
    glucose = read(files / "r_synthea_observations.csv").frames["clinical.glucose"].row(0, named=True)
    assert (glucose["value"], glucose["value_unit"], glucose["code"]) == (99.0, "mg/dL", "2339-0")
    sleep = read(files / "r_samsung.csv").frames["lifestyle.sleep"].row(0, named=True)
    assert (sleep["minutes_asleep"], sleep["occurred_offset_minutes"]) == (400.0, 540)
    assert sleep["occurred_at"] == datetime(2024, 5, 1, 14, tzinfo=UTC)
    food = read(files / "r_diet.csv").frames["lifestyle.diet"].row(0, named=True)
    assert (food["meal"], food["energy"], food["occurred_offset_minutes"]) == ("breakfast", 300.0, 540)
    omop = read(files / "r_omop_measurement.csv")
    assert not omop.counts
    assert omop.problems == [
        ("line 2", "measurement_concept_id wants a vocabulary table, and measurement_source_value is empty")
    ]
    with pytest.raises(AdapterError, match="day and month"):
        read(files / "r_libre.csv")


MEASUREMENTS = (
    "measurement_id,person_id,measurement_concept_id,measurement_date,measurement_datetime,operator_concept_id,"
    "value_as_number,unit_concept_id,range_low,range_high,measurement_source_value,unit_source_value\n"
    "1,7,3004501,2024-05-01,2024-05-01 09:30:00,4172703,99,8840,70,110,2345-7,mg/dL\n"
    "2,7,3016723,2024-05-01,,,0.9,8840,0.5,1.2,2160-0,mg/dl\n"
    "3,7,3004249,2024-05-01,2024-05-01 09:30:00,,120,8876,,,8480-6,mm[Hg]\n"
    "4,7,3012888,2024-05-01,2024-05-01 09:30:00,,80,8876,,,8462-4,mmHg\n"
    "5,7,3004501,2024-05-01,,4171756,10,8840,,,2345-7,mg/dL\n"
    "6,7,3004501,2024-05-01,,,99,8840,,,L4711,mg/dL\n"
    "7,7,3004501,2024-05-01,,,,8840,,,2345-7,mg/dL\n"
    "8,7,3004501,2024-05-01,,,5,8840,,,2160-0,\n"
)


def test_omop_measurements_with_loinc_source_codes_are_events_and_the_others_are_refused_by_reason(
    read: Read, tmp_path: Path
) -> None:
    path = tmp_path / "measurement.csv"
    path.write_text(MEASUREMENTS)
    found = read(path)
    assert found.counts == {"clinical.blood_pressure": 1, "clinical.glucose": 2, "clinical.lab_result": 1}
    bounds = found.frames["clinical.glucose"].select("value", "comparator", "occurred_precision").rows()
    assert bounds == [(99.0, None, "second"), (10.0, "<", "day")]
    pressure = found.frames["clinical.blood_pressure"].row(0, named=True)
    assert (pressure["systolic"], pressure["diastolic"], pressure["subject_scheme"]) == (
        120.0,
        80.0,
        "hospital/clinic-omop",
    )
    lab = found.frames["clinical.lab_result"].row(0, named=True)
    assert (lab["value"], lab["value_unit"], lab["reference_low"], lab["reference_high"]) == (0.9, "mg/dL", 0.5, 1.2)
    assert found.problems == [
        ("line 7", "measurement_source_value is no LOINC code"),
        ("line 8", "value_as_number is empty, and value_as_concept_id wants a vocabulary table"),
        ("line 9", "unit_concept_id wants a vocabulary table, and unit_source_value is empty"),
    ]


def test_other_omop_tables_are_read_where_their_codes_say_their_system(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "condition_occurrence.csv"
    path.write_text(
        "condition_occurrence_id,person_id,condition_concept_id,condition_start_date,condition_source_value\n"
        "1,7,320128,2024-05-01,38341003\n2,7,320128,2024-05-01,E11.9\n3,7,320128,2024-05-01,\n"
    )
    found = read(path)
    assert found.frames["clinical.diagnosis"]["code"].to_list() == ["38341003"]
    assert [place for place, _ in found.problems] == ["line 4", "line 3"]
    path = tmp_path / "drug_exposure.csv"
    path.write_text(
        "drug_exposure_id,person_id,drug_concept_id,drug_exposure_start_date,drug_source_value\n"
        "1,7,1503297,2024-05-01,A10BA02\n2,7,1503297,2024-05-01,860975\n"
    )
    found = read(path)
    assert found.frames["clinical.medication"].select("code_system", "code").rows() == [("ATC", "A10BA02")]
    assert [place for place, _ in found.problems] == ["line 3"]
    path = tmp_path / "person.csv"
    path.write_text("person_id,gender_concept_id,year_of_birth,birth_datetime\n7,8532,1980,1980-02-03 00:00:00\n")
    person = read(path).frames["person.enrolment"].row(0, named=True)
    assert (person["sex"], str(person["birth_date"]), person["consent_stated"]) == ("female", "1980-02-03", False)


LIBRE = (
    "Glucose Data,Generated on,16-06-2024 10:00 UTC,Generated by,Made Up\n"
    "{header}\n"
    "FreeStyle Libre 3,SN,{day} 00:00,0,{low},,,\n"
    'FreeStyle Libre 3,SN,{day} 00:20,1,,{scan},"a note,\nof ""two"" lines",\n'
    "FreeStyle Libre 3,SN,{day} 00:30,6,,,a note,\n"
    "FreeStyle Libre 3,SN,{day} 00:45,0,HI,,,\n"
    "FreeStyle Libre 3,SN,{day} 00:50,7,90,,,\n"
    "FreeStyle Libre 3,SN,{day} 00:55,2,,,,88\n"
)
ENGLISH = (
    "Device,Serial Number,Device Timestamp,Record Type,Historic Glucose mg/dL,Scan Glucose mg/dL,Notes,"
    "Strip Glucose mg/dL"
)
GERMAN = (
    "Gerät,Seriennummer,Gerätezeitstempel,Aufzeichnungstyp,Glukosewert-Verlauf mmol/L,Glukose-Scan mmol/L,Notizen,"
    "Glukose-Teststreifen mmol/L"
)


def test_libreview_is_read_in_its_languages_and_units(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "libre.csv"
    path.write_text(LIBRE.format(header=ENGLISH, day="16-06-2024", low="95", scan="101"), encoding="utf-8")
    found = read(path)
    ours = found.frames["clinical.glucose"].select("value", "value_unit", "code", "specimen").rows()
    assert ours == [
        (95.0, "mg/dL", "99504-3", "interstitial_fluid"),
        (101.0, "mg/dL", "99504-3", "interstitial_fluid"),
        (88.0, "mg/dL", "41653-7", "capillary_blood"),
    ]
    assert found.frames["clinical.glucose"]["occurred_at"][0] == datetime(2024, 6, 15, 15, tzinfo=UTC)
    assert sorted(found.places["clinical.glucose"]) == ["line 3", "line 4", "line 9"]
    assert found.problems == [
        ("line 7", "Historic Glucose mg/dL holds no number as the mapping writes it"),
        ("line 8", "no event of the mapping is for such a line"),
    ]
    path.write_text(LIBRE.format(header=GERMAN, day="16-06-2024", low="5.1", scan="6.2"), encoding="utf-8")
    assert read(path).frames["clinical.glucose"].select("value", "value_unit", "code").rows()[:2] == [
        (5.1, "mmol/L", "105272-9"),
        (6.2, "mmol/L", "105272-9"),
    ]


@pytest.mark.parametrize(("day", "month"), [("16-06-2024", 6), ("06-16-2024", 6), ("2024-06-16", 6), ("07-07-2024", 7)])
def test_the_order_of_day_and_month_is_told_by_the_file(read: Read, tmp_path: Path, day: str, month: int) -> None:
    path = tmp_path / "libre.csv"
    path.write_text(LIBRE.format(header=ENGLISH, day=day, low="95", scan="101"), encoding="utf-8")
    found = read(path, None).frames["clinical.glucose"]["occurred_at"][0]
    assert (found.month, found.day) == (month, 7 if month == 7 else 16)


def test_a_file_that_does_not_tell_day_from_month_is_refused_whole(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "libre.csv"
    text = LIBRE.format(header=ENGLISH, day="05-06-2024", low="95", scan="101")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AdapterError, match="may be read in two orders"):
        read(path)
    path.write_text(text + "F,S,16-06-2024 00:00,0,95,,,\nF,S,06-16-2024 00:00,0,95,,,\n", encoding="utf-8")
    with pytest.raises(AdapterError, match="in two orders"):
        read(path)


def test_whoever_publishes_may_say_the_order_unless_the_file_says_another(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "libre.csv"
    path.write_text(LIBRE.format(header=ENGLISH, day="05-06-2024", low="95", scan="101"), encoding="utf-8")
    for order, month in (("dmy", 6), ("mdy", 5)):
        assert read(path, None, order).frames["clinical.glucose"]["occurred_at"][0].month == month
    path.write_text(LIBRE.format(header=ENGLISH, day="16-06-2024", low="95", scan="101"), encoding="utf-8")
    with pytest.raises(AdapterError, match="not in the order"):
        read(path, None, "mdy")
    path.write_text(LIBRE.format(header=ENGLISH, day="2024-06-05", low="95", scan="101"), encoding="utf-8")
    assert read(path, None, "mdy").frames["clinical.glucose"]["occurred_at"][0].month == 6


@pytest.mark.parametrize("envelope", ["gzip", "utf-16", "cp949"])
def test_a_table_is_read_in_any_envelope(read: Read, tmp_path: Path, envelope: str) -> None:
    text = "날짜,끼니,음식,열량(kcal)\n" + "2024-05-01,아침,쌀밥,300\n2024-05-01,점심,된장찌개,450.5\n"
    path = tmp_path / "log.csv"
    path.write_bytes(gzip.compress(text.encode()) if envelope == "gzip" else text.encode(envelope))
    ours = read(path).frames["lifestyle.diet"].select("meal", "energy", "food_name").rows()
    assert ours == [("breakfast", 300.0, "쌀밥"), ("lunch", 450.5, "된장찌개")]


def test_older_observations_of_synthea_without_a_category_are_read_where_their_code_says_enough(
    read: Read, tmp_path: Path
) -> None:
    path = tmp_path / "observations.csv"
    line = "2024-05-01T09:00:00Z,p,e,{},d,{},{},numeric\n"
    path.write_text(
        "DATE,PATIENT,ENCOUNTER,CODE,DESCRIPTION,VALUE,UNITS,TYPE\n"
        + line.format("8480-6", 120, "mmHg")
        + line.format("8462-4", 80, "mmHg")
        + line.format("2339-0", 99, "mg/dL")
        + line.format("8302-2", 180, "cm")
        + line.format("2160-0", 1, "mg/dL")
    )
    found = read(path)
    assert found.counts == {"clinical.blood_pressure": 1, "clinical.glucose": 1, "clinical.vital_sign": 1}
    assert found.problems == [("line 6", "neither a category nor the code says whether it is a laboratory result")]


def test_omop_columns_may_be_written_in_capitals(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "measurement.csv"
    head, rest = MEASUREMENTS.split("\n", 1)
    path.write_text(head.upper() + "\n" + rest.replace("2024-05-01,,", "20240501,,"))
    assert read(path).counts == {"clinical.blood_pressure": 1, "clinical.glucose": 2, "clinical.lab_result": 1}


def test_older_allergies_of_synthea_have_the_columns_of_conditions_and_are_no_diagnoses(
    read: Read, shipped: Library, tmp_path: Path
) -> None:
    text = "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION\n2024-01-01,,p,e,419474003,Allergy to mould\n"
    for name, events in (("allergies.csv", {}), ("conditions.csv", {"clinical.diagnosis": 1})):
        path = tmp_path / name
        path.write_text(text)
        assert read(path).counts == events
    path = tmp_path / "export.csv"
    path.write_text(text)
    assert shipped.shipped_for(path) is None


def test_a_time_in_a_column_of_its_own_is_put_behind_the_date(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("date,time,meal,food,kcal,price\n2024-05-01,08:30,lunch,a,300,4\n2024-05-01,,lunch,b,300,4\n")
    found = read(path)
    times = found.frames["lifestyle.diet"].select("occurred_at", "occurred_precision").rows()
    assert times == [
        (datetime(2024, 4, 30, 23, 30, tzinfo=UTC), "minute"),
        (datetime(2024, 4, 30, 15, tzinfo=UTC), "day"),
    ]
    assert dict(found.report.left_out) == {"column price, which the mapping does not read": 1}


def test_dexcom_is_read_in_its_languages(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "clarity.csv"
    path.write_text(
        "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Event Subtype,Patient Info,Device Info,Source Device ID,"
        "Glucose Value (mg/dL),Insulin Value (u),Carb Value (grams)\n"
        "1,,FirstName,,Made,,,,,\n2,,Alert,High,,,iPhone,200,,\n"
        "3,2024-05-01T08:00:00,EGV,,,,iPhone,112,,\n8,2024-05-01T08:05:00,EGV,,,,iPhone,Low,,\n4,2024-05-01T08:15:00,Carbs,,,,,,,45\n"
        "5,2024-05-01T08:20:00,Insulin,Fast-Acting,,,,,4,\n6,2024-05-01T08:25:00,Calibration,,,,iPhone,110,,\n"
        "7,2024-05-01T08:30:00,Siesta,,,,iPhone,,,\n"
    )
    found = read(path)
    assert found.frames["clinical.glucose"].select("value", "comparator", "code").rows() == [
        (112.0, None, "99504-3"),
        (40.0, "<", "99504-3"),
        (110.0, None, "41653-7"),
    ]
    assert found.frames["lifestyle.diet"]["carbohydrate"].to_list() == [45.0]
    assert found.report.left_out.total() == 3
    assert found.problems == [("line 9", "no event of the mapping is for such a line")]
    path.write_text(
        "Index,타임스탬프(YYYY-MM-DDThh:mm:ss),이벤트 유형,포도당 값 (mg/dL)\n1,2024-05-01T08:00:00,EGV,112\n",
        encoding="utf-8",
    )
    assert read(path).frames["clinical.glucose"]["value"].to_list() == [112.0]


def test_samsung_health_tables_are_read_by_their_first_line(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "samsung.csv"
    hr = "com.samsung.health.heart_rate"
    path.write_text(
        f"com.samsung.shealth.tracker.heart_rate,7006003,2\n{hr}.start_time,{hr}.heart_rate,{hr}.time_offset,"
        f"{hr}.datauuid,{hr}.binning_data,{hr}.update_time\n"
        "2024-05-01 01:00:00.000,61.0,UTC+0900,u-1,,2024-05-02 00:00:00.000,\n"
        "2024-05-01 02:00:00.000,70.0,UTC+0900,u-2,b.json,2024-05-02 00:00:00.000,\n",
        encoding="utf-8-sig",
    )
    found = read(path)
    rate = found.frames["clinical.vital_sign"].row(0, named=True)
    assert (rate["value"], rate["occurred_at"], rate["occurred_offset_minutes"]) == (
        61.0,
        datetime(2024, 5, 1, 1, tzinfo=UTC),
        540,
    )
    assert rate["recorded_at"] == datetime(2024, 5, 2, tzinfo=UTC)
    assert found.report.left_out.total() == 1
    path.write_text(
        "com.samsung.shealth.step_daily_trend,6,3\ncount,day_time,source_type,distance,calorie,datauuid\n"
        "8123,1714521600000,-2,5200.5,300,u-1\n4000,1714521600000,0,2000,100,u-2\n"
    )
    steps = read(path).frames["lifestyle.exercise"].row(0, named=True)
    assert (steps["steps"], steps["distance"], steps["activity"]) == (8123, 5200.5, "daily_activity")
    assert steps["occurred_at"] == datetime(2024, 4, 30, 15, tzinfo=UTC), "the day's midnight in Seoul"
    ex = "com.samsung.health.exercise"
    path.write_text(
        f"com.samsung.shealth.exercise,6,3\n{ex}.start_time,{ex}.time_offset,{ex}.exercise_type,{ex}.duration,"
        f"{ex}.calorie,{ex}.distance,{ex}.datauuid\n2024-05-01 01:00:00.000,UTC+0900,1002,1800000,250,5000,u-1\n"
        "2024-05-01 03:00:00.000,UTC+0900,10020,60000,5,,u-2\n"
    )
    runs = read(path).frames["lifestyle.exercise"].select("activity", "duration", "distance").rows()
    assert runs == [("running", 1800.0, 5000.0), ("other", 60.0, None)]


def test_a_table_of_samsung_health_without_event_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("com.samsung.shealth.stress,6,3\nstart_time,score\n2024-05-01 01:00:00.000,3\n")
    with pytest.raises(AdapterError, match="Samsung Health"):
        detect(path)


def test_a_table_that_no_mapping_knows_is_refused_and_told_how_to_map_it(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(AdapterError, match="biokeel source map"):
        detect(path)


def test_other_formats_keep_their_files(shipped: Library, shared_data: Path) -> None:
    csvs = [path for path in shared_data.rglob("*.csv") if "synthea-csv" not in path.parts]
    assert csvs
    for path in csvs:
        assert shipped.shipped_for(path) is None, path.name
    assert detect(shared_data / "lifestyle/fitbit-33-users/sleepDay_merged.csv") in FORMATS


def test_a_table_of_another_vendor_with_synthea_columns_and_one_more_is_not_taken_for_synthea(
    shipped: Library, tmp_path: Path
) -> None:
    path = tmp_path / "x.csv"
    path.write_text("START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION,KCD\n2024-01-01,,p,e,38341003,d,I10\n")
    assert shipped.shipped_for(path) is None
