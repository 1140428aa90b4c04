"""FHIR bundles as a hospital's export has them: a Patient, what becomes events, and much that does not.

Kinds of resources, and how large each is, follow what Synthea writes for a person of some fifteen encounters: half a
megabyte, of which observations are a sixth and claims, explanations of benefits and documents the most. Everything is
made up; pretty-printed as Synthea's files are.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

ENCOUNTERS: Final = 15
"""Of one person; to each belong one panel of blood pressures, four laboratory results and a weight."""
FILLING: Final = {
    "Encounter": 1_100,
    "DiagnosticReport": 1_600,
    "DocumentReference": 1_700,
    "Claim": 1_700,
    "ExplanationOfBenefit": 5_200,
}
"""Bytes of text in resources that are no events of ours."""
EVENTS: Final = 1 + ENCOUNTERS * 6 + 2
"""Events of one bundle: the enrolment, panels, vital signs and results, a diagnosis and a medication."""

Resource = dict[str, Any]


def write_bundles(folder: Path, people: int) -> list[Path]:
    """One bundle a person in `folder`; the files."""
    files = []
    for person in range(people):
        file = folder / f"bundle-{person}.json"
        entries = [{"fullUrl": f"urn:uuid:{each['id']}", "resource": each} for each in _resources(person)]
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
        file.write_text(json.dumps(bundle, indent=2), "utf-8")
        files.append(file)
    return files


def _resources(person: int) -> list[Resource]:
    patient = f"bench-{person}"
    resources: list[Resource] = [
        {
            "resourceType": "Patient",
            "id": patient,
            "gender": "unknown",
            "birthDate": f"{1940 + person % 60}-06-15",
            "identifier": [{"system": "urn:bench", "value": f"MRN-{person:08d}"}],
        }
    ]
    for visit in range(ENCOUNTERS):
        day = f"{2005 + visit}-03-04T09:00:00+09:00"
        head = {"subject": {"reference": f"urn:uuid:{patient}"}}
        observed = head | {"status": "final", "effectiveDateTime": day, "issued": day}
        name = f"{patient}-{visit}"
        resources += [
            {"resourceType": kind, "id": f"{kind}-{name}", **head, "text": {"status": "generated", "div": "x" * size}}
            for kind, size in FILLING.items()
        ]
        resources.append(_observation(f"pressure-{name}", "85354-9", "vital-signs", observed) | {"component": _panel()})
        resources.append(
            _observation(f"weight-{name}", "29463-7", "vital-signs", observed) | _quantity(70 + visit, "kg")
        )
        resources += [
            _observation(f"lab-{code}-{name}", code, "laboratory", observed) | _quantity(100 + visit, "mg/dL")
            for code in ("2093-3", "2571-8", "2085-9", "2339-0")
        ]
    about = {"subject": {"reference": f"urn:uuid:{patient}"}}
    disease = [{"system": "http://snomed.info/sct", "code": "59621000", "display": "Hypertension"}]
    drug = [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "314076", "display": "lisinopril 10 MG"}]
    resources.append(
        {
            "resourceType": "Condition",
            "id": f"condition-{patient}",
            **about,
            "code": {"coding": disease},
            "onsetDateTime": "2010-03-04T09:00:00+09:00",
        }
    )
    resources.append(
        {
            "resourceType": "MedicationRequest",
            "id": f"drug-{patient}",
            **about,
            "status": "active",
            "intent": "order",
            "medicationCodeableConcept": {"coding": drug},
            "authoredOn": "2010-03-04T09:00:00+09:00",
        }
    )
    return resources


def _observation(name: str, code: str, category: str, head: Resource) -> Resource:
    system = "http://terminology.hl7.org/CodeSystem/observation-category"
    return {
        "resourceType": "Observation",
        "id": name,
        **head,
        "category": [{"coding": [{"system": system, "code": category}]}],
        "code": _loinc(code),
    }


def _panel() -> list[Resource]:
    return [{"code": _loinc(code), **_quantity(value, "mm[Hg]")} for code, value in (("8480-6", 128), ("8462-4", 81))]


def _loinc(code: str) -> Resource:
    return {"coding": [{"system": "http://loinc.org", "code": code, "display": f"display of {code}"}], "text": code}


def _quantity(value: float, unit: str) -> Resource:
    ucum = "http://unitsofmeasure.org"
    return {"valueQuantity": {"value": value, "unit": unit, "system": ucum, "code": unit}}
