from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from biokeel.errors import AdapterError
from biokeel.source.adapters.fhir import read_fhir

BUNDLES = "clinical/fhir-r4-synthea-bundles"
EXAMPLES = "clinical/fhir-r4-examples"
KR_PANEL: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "bp-1",
    "status": "final",
    "category": [
        {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}
    ],
    "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
    "subject": {"reference": "Patient/p-1"},
    "effectiveDateTime": "2023-02-02",
    "component": [
        {
            "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]},
            "valueQuantity": {"value": 109, "code": "mm[Hg]"},
        },
        {
            "code": {"coding": [{"system": "http://loinc.org", "code": "8462-4"}]},
            "valueQuantity": {"value": 44, "code": "mm[Hg]"},
        },
    ],
}


def written(tmp_path: Path, *resources: dict[str, Any]) -> Path:
    path = tmp_path / "bundle.json"
    path.write_text(
        json.dumps({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in resources]})
    )
    return path


def test_every_panel_glucose_condition_and_medication_of_a_synthea_bundle_becomes_an_event(
    read: Any, shared_data: Path
) -> None:
    for path in sorted((shared_data / BUNDLES).glob("*_*.json")):
        resources = [entry["resource"] for entry in json.loads(path.read_text())["entry"]]
        codes = Counter(r["code"]["coding"][0]["code"] for r in resources if r["resourceType"] == "Observation")
        kinds = Counter(r["resourceType"] for r in resources)
        events, report = read(read_fhir, path)
        assert not report.problems
        assert len(events["clinical.blood_pressure"]) == codes["85354-9"] + codes["55284-4"] > 0
        assert len(events.get("clinical.glucose", [])) == codes["2339-0"]
        assert len(events["clinical.diagnosis"]) == kinds["Condition"]
        assert len(events.get("clinical.medication", [])) == kinds["MedicationRequest"]
        patient = next(r for r in resources if r["resourceType"] == "Patient")
        subjects = {(r["subject_scheme"], r["subject_id"]) for rows in events.values() for r in rows}
        assert subjects == {("hospital/clinic", patient["id"])}


def test_every_value_of_the_synthea_bundles_is_what_a_plain_reading_of_them_finds(read: Any, shared_data: Path) -> None:
    """Counts and values by a few lines that know nothing of the adapter."""
    units = {"8302-2": "cm", "29463-7": "kg", "8331-1": "Cel"}
    for path in sorted((shared_data / BUNDLES).glob("*_*.json")):
        resources = [entry["resource"] for entry in json.loads(path.read_text())["entry"]]
        wanted: dict[str, list[tuple[Any, ...]]] = {}
        for each in resources:
            if each["resourceType"] not in {"Condition", "Observation"}:
                continue
            code = each["code"]["coding"][0]["code"]
            if each["resourceType"] == "Condition":
                wanted.setdefault("clinical.diagnosis", []).append((code, each["onsetDateTime"][:10]))
                continue
            when = datetime.fromisoformat(each["effectiveDateTime"]).timestamp() * 1000
            if code in {"85354-9", "55284-4"}:
                parts = {
                    part["code"]["coding"][0]["code"]: part["valueQuantity"]["value"] for part in each["component"]
                }
                wanted.setdefault("clinical.blood_pressure", []).append((when, parts["8480-6"], parts["8462-4"]))
                continue
            if "valueQuantity" not in each:
                continue
            value, unit = each["valueQuantity"]["value"], each["valueQuantity"]["code"]
            is_laboratory = each["category"][0]["coding"][0]["code"] == "laboratory"
            event = "glucose" if code == "2339-0" else "vital_sign" if code in units else "lab_result" * is_laboratory
            if event:
                wanted.setdefault(f"clinical.{event}", []).append((when, code, value, unit))
        events, _ = read(read_fhir, path)
        found = {
            "clinical.diagnosis": [(r["code"], day_of(r["onset_at"], r)) for r in events["clinical.diagnosis"]],
            "clinical.blood_pressure": [
                (r["occurred_at"], r["systolic"], r["diastolic"]) for r in events["clinical.blood_pressure"]
            ],
        }
        for event in ("glucose", "vital_sign", "lab_result"):
            rows = events.get(f"clinical.{event}", [])
            found[f"clinical.{event}"] = [(r["occurred_at"], r["code"], r["value"], r["value_unit"]) for r in rows]
        assert {name: sorted(rows) for name, rows in found.items() if rows} == {
            name: sorted(rows) for name, rows in wanted.items()
        }


def day_of(at: int, record: dict[str, Any]) -> str:
    """The day of a moment where it was."""
    return (
        (datetime.fromtimestamp(at / 1000, UTC) + timedelta(minutes=record["occurred_offset_minutes"]))
        .date()
        .isoformat()
    )


def test_pressures_are_told_apart_by_code_not_by_order(read: Any, shared_data: Path, tmp_path: Path) -> None:
    for path in sorted((shared_data / BUNDLES).glob("*_*.json")):
        for record in read(read_fhir, path)[0]["clinical.blood_pressure"]:
            assert record["systolic"] > record["diastolic"]
    turned = KR_PANEL | {"id": "bp-2", "component": KR_PANEL["component"][::-1]}
    records = read(read_fhir, written(tmp_path, KR_PANEL, turned))[0]["clinical.blood_pressure"]
    assert [(r["systolic"], r["diastolic"]) for r in records] == [(109.0, 44.0)] * 2


def test_the_written_offset_is_kept_and_a_date_has_none(read: Any, shared_data: Path, tmp_path: Path) -> None:
    vanesa = next((shared_data / BUNDLES).glob("Vanesa*.json"))
    glucose = read(read_fhir, vanesa)[0]["clinical.glucose"]
    assert {record["occurred_offset_minutes"] for record in glucose} <= {-480, -420}
    assert {record["value_unit"] for record in glucose} == {"mg/dL"}
    record = read(read_fhir, written(tmp_path, KR_PANEL))[0]["clinical.blood_pressure"][0]
    assert record["occurred_offset_minutes"] is None
    assert record["occurred_at"] == 1_675_296_000_000


def test_no_social_security_licence_or_passport_number_is_sent(read: Any, shared_data: Path) -> None:
    for path in sorted((shared_data / BUNDLES).glob("*_*.json")):
        patient = next(
            e["resource"] for e in json.loads(path.read_text())["entry"] if e["resource"]["resourceType"] == "Patient"
        )
        codes = {i["type"]["coding"][0]["code"]: i["value"] for i in patient["identifier"] if "type" in i}
        events, _ = read(read_fhir, path)
        text = json.dumps(events)
        assert {"SS", "DL"} <= set(codes)
        assert not [code for code in ("SS", "DL", "PPN") if code in codes and codes[code] in text]
        assert events["person.enrolment"][0]["sex"] == patient["gender"]


def test_a_sent_again_file_repeats_its_ids(read: Any, shared_data: Path) -> None:
    path = next((shared_data / BUNDLES).glob("Luisa*.json"))
    first, second = (read(read_fhir, path)[0] for _ in range(2))
    assert first == second
    ids = [record["event_id"] for rows in first.values() for record in rows]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", ["practitionerInformation1583281853074.json", "hospitalInformation1583281853074.json"])
def test_a_bundle_about_nobody_is_no_error(read: Any, shared_data: Path, name: str) -> None:
    events, report = read(read_fhir, shared_data / BUNDLES / name)
    assert (events, report.problems) == ({}, [])
    assert report.left_out.total() == 38


def test_a_bundle_without_type_is_refused_with_the_reason(read: Any, shared_data: Path) -> None:
    with pytest.raises(AdapterError, match="without a type"):
        read(read_fhir, shared_data / EXAMPLES / "bundle-with-no-type.json")


def test_a_contained_medication_is_found_and_its_dose_read(read: Any, shared_data: Path) -> None:
    events, _ = read(read_fhir, shared_data / EXAMPLES / "examples/medicationrequest0301.json")
    (record,) = events["clinical.medication"]
    assert (record["code_system"], record["code"], record["kind"]) == ("SNOMED-CT", "430127000", "request")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"effectiveDateTime": None}, "no usable time"),
        ({"subject": None}, "no subject"),
        ({"subject": {"reference": "Group/1"}}, "subject is no Patient"),
        (
            {"component": [{**KR_PANEL["component"][0], "valueQuantity": {"value": 14, "unit": "kg"}}]},
            "component 8480-6: the unit of valueQuantity",
        ),
        ({"component": [{**KR_PANEL["component"][0], "valueQuantity": {"value": 1, "comparator": "<"}}]}, "bound"),
        ({"component": {"code": "secret"}}, "structure of FHIR"),
    ],
)
def test_a_resource_that_cannot_be_an_event_is_a_problem_that_names_its_entry(
    read: Any, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    events, report = read(read_fhir, written(tmp_path, KR_PANEL, KR_PANEL | {"id": "secret"} | change))
    assert len(events["clinical.blood_pressure"]) == 1
    (problem,) = report.problems
    assert problem.position == "entry 1"
    assert reason in problem.reason
    assert "secret" not in problem.reason


def test_a_korean_diagnosis_keeps_its_kcd_code(read: Any, tmp_path: Path) -> None:
    condition = {
        "resourceType": "Condition",
        "id": "c",
        "subject": {"reference": "Patient/p-1"},
        "recordedDate": "2023-04-30",
        "code": {
            "coding": [
                {
                    "system": "http://www.hl7korea.or.kr/CodeSystem/kostat-kcd-8",
                    "code": "N20.1",
                    "display": "요관의 결석",
                }
            ]
        },
    }
    (record,) = read(read_fhir, written(tmp_path, condition))[0]["clinical.diagnosis"]
    assert (record["code_system"], record["code"], record["onset_at"]) == ("KCD-8", "N20.1", None)


def test_a_laboratory_panel_gives_a_result_for_each_component_with_ids_of_their_own(read: Any, tmp_path: Path) -> None:
    component = {
        "code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}]},
        "valueQuantity": {"value": 14.78, "code": "g/dL"},
        "referenceRange": [{"low": {"value": 13, "code": "g/dL"}, "high": {"value": 16.5, "code": "g/dL"}}],
    }
    again = component | {"valueQuantity": {"value": 14.8, "code": "g/dL"}}
    panel = KR_PANEL | {
        "code": {"text": "CBC"},
        "category": [{"coding": [{"code": "laboratory"}]}],
        "component": [component, again],
    }
    records = read(read_fhir, written(tmp_path, panel))[0]["clinical.lab_result"]
    assert [(r["value"], r["reference_low"], r["reference_high"]) for r in records] == [
        (14.78, 13.0, 16.5),
        (14.8, 13.0, 16.5),
    ]
    assert len({r["event_id"] for r in records}) == 2


def test_an_enrolment_is_sent_before_the_observations_of_its_person(read: Any, tmp_path: Path) -> None:
    patient = {"resourceType": "Patient", "id": "p-1", "birthDate": "1970-01-02", "gender": "female"}
    events, _ = read(read_fhir, written(tmp_path, KR_PANEL, patient))
    assert list(events) == ["person.enrolment", "clinical.blood_pressure"]
    assert events["person.enrolment"][0]["birth_date"] == 1


@pytest.mark.parametrize("value", [{"value": 5.4, "unit": "mmol/L"}, None])
def test_a_resource_that_was_entered_in_error_withdraws_its_event(read: Any, tmp_path: Path, value: Any) -> None:
    glucose = {
        "resourceType": "Observation",
        "id": "glucose-1",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "2339-0"}]},
        "subject": {"reference": "Patient/p-1"},
        "effectiveDateTime": "2023-02-02T08:00:00+09:00",
        "issued": "2023-02-02T09:00:00+09:00",
        "valueQuantity": {"value": 5.4, "unit": "mmol/L"},
    }
    taken_back = glucose | {
        "status": "entered-in-error",
        "meta": {"lastUpdated": "2023-03-01T09:00:00+09:00"},
        "valueQuantity": value,
    }
    condition = {
        "resourceType": "Condition",
        "id": "c-1",
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "38341003"}]},
        "subject": {"reference": "Patient/p-1"},
        "recordedDate": "2023-02-02T09:00:00+09:00",
        "verificationStatus": {"coding": [{"code": "entered-in-error"}]},
    }
    events, report = read(read_fhir, written(tmp_path, glucose, taken_back, condition))
    assert not report.problems
    first, second = events["clinical.glucose"]
    assert first["event_id"] == second["event_id"]
    assert (first["status"], second["status"]) == ("final", "entered-in-error")
    assert second["recorded_at"] - first["recorded_at"] == 27 * 86_400_000
    assert events["clinical.diagnosis"][0]["verification_status"] == "entered-in-error"
