"""Only R4 is read: a file with one sign of another version is refused whole, by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from biokeel.errors import AdapterError
from biokeel.source.adapters.fhir_versions import other_version
from tests.source.fhir_made import Resource, bundle, concept, observation, read

ABOUT = {"subject": {"reference": "Patient/p-1"}}
OTHERS: list[tuple[str, Resource]] = [
    ("STU3 or DSTU2", {"resourceType": "Condition", "verificationStatus": "entered-in-error"}),
    ("STU3 or DSTU2", {"resourceType": "Condition", "clinicalStatus": "active"}),
    ("STU3", {"resourceType": "Condition", "assertedDate": "2017-03-01"}),
    ("DSTU2", {"resourceType": "Condition", "patient": {"reference": "Patient/p-1"}}),
    ("R5", {"resourceType": "Condition", "participant": []}),
    ("STU3", observation() | {"context": {"reference": "Encounter/1"}}),
    ("STU3", observation() | {"comment": "x"}),
    ("DSTU2", observation() | {"comments": "x"}),
    ("STU3 or DSTU2", observation() | {"interpretation": concept("H", "x")}),
    ("DSTU2", observation() | {"category": concept("laboratory", "x")}),
    ("R5", observation() | {"triggeredBy": []}),
    ("STU3", {"resourceType": "MedicationStatement", "taken": "n"}),
    ("STU3 or DSTU2", {"resourceType": "MedicationRequest", "dosageInstruction": [{"doseQuantity": {"value": 1}}]}),
    ("STU3", {"resourceType": "MedicationRequest", "requester": {"agent": {}}}),
    ("R5", {"resourceType": "MedicationRequest", "medication": {"concept": concept("1")}}),
    ("R5", {"resourceType": "MedicationAdministration", "occurenceDateTime": "2024-05-01"}),
    ("DSTU2", {"resourceType": "MedicationAdministration", "wasNotGiven": True}),
    ("STU3 or DSTU2", {"resourceType": "MedicationOrder"}),
    ("DSTU2", {"resourceType": "Conformance"}),
    ("R5", {"resourceType": "NutritionIntake"}),
    ("R5", {"resourceType": "Encounter", "class": [{}]}),
    ("STU3", {"resourceType": "CapabilityStatement", "fhirVersion": "3.0.1"}),
    ("R5", {"resourceType": "Patient", "meta": {"profile": ["http://hl7.org/fhir/5.0/StructureDefinition/Patient"]}}),
    ("DSTU2", {"resourceType": "Patient", "meta": {"profile": ["http://hl7.org/fhir/DSTU2/patient.html"]}}),
    ("STU3", {"resourceType": "Patient", "meta": {"profile": ["http://hl7.org/fhir/StructureDefinition/Patient|3.0"]}}),
]


@pytest.mark.parametrize(
    ("version", "resource"), OTHERS, ids=[f"{v} {r['resourceType']} {i}" for i, (v, r) in enumerate(OTHERS)]
)
def test_a_file_of_another_version_is_refused_by_name_and_no_part_of_it_is_read(
    version: str, resource: Resource
) -> None:
    good = observation(valueQuantity={"value": 13, "unit": "g/dL"})
    contained = observation("holder", contained=[resource])
    for document in (resource, bundle(good, resource), bundle(bundle(good, resource)), bundle(good, contained)):
        with pytest.raises(AdapterError, match=rf"is FHIR {version} \("):
            read(document)
    with pytest.raises(AdapterError, match=rf"is FHIR {version} \("):
        read([good, resource], lines=True)


@pytest.mark.parametrize("name", ["h_stu3_bundle", "h_dstu2_lab", "r5_obs"])
def test_the_cases_of_other_versions_are_refused_with_and_without_their_profile(shared_cases: Any, name: str) -> None:
    document = json.loads((shared_cases / "files" / f"{name}.json").read_text())
    for found in (document, {key: value for key, value in document.items() if key != "meta"}):
        with pytest.raises(AdapterError, match="nothing of it is read"):
            read(found)


def test_no_r4_example_is_taken_for_another_version(shared_data: Any) -> None:
    for path in (shared_data / "clinical").glob("fhir-r4-*/**/*.json"):
        document = json.loads(path.read_text())
        resources = [entry["resource"] for entry in document.get("entry", [])] or [document]
        assert not [found for each in resources if (found := other_version(each))], path.name


def test_a_profile_of_a_guide_says_nothing_of_the_version_of_fhir() -> None:
    profile = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient|3.1.1"
    assert other_version({"resourceType": "Patient", "meta": {"profile": [profile]}}) is None
