"""FHIR R4: a bundle or a single resource.

| resource | event |
| --- | --- |
| Patient | person.enrolment |
| Observation, panel 85354-9 or 55284-4 | clinical.blood_pressure |
| Observation, a glucose code | clinical.glucose |
| Observation of category laboratory | clinical.lab_result, one for each component that has a value |
| Condition | clinical.diagnosis |
| MedicationRequest, MedicationStatement | clinical.medication |

Who the subject is: `fhir_bundle`. Everything else is left out and counted by its type; so is a Consent, whose
provisions name no domain of ours without a table of codes that nobody has agreed on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from biokeel.errors import AdapterError
from biokeel.source.adapters import fhir_clinical, fhir_patient
from biokeel.source.adapters.base import MALFORMED, Batch, Context, Held, Report, Unusable, read_json
from biokeel.source.adapters.fhir_bundle import Bundle
from biokeel.source.adapters.fhir_common import Maker

MAKERS: Final[dict[str, Maker]] = {
    "Patient": fhir_patient.enrolment,
    "Observation": fhir_clinical.observation,
    "Condition": fhir_clinical.diagnosis,
    "MedicationRequest": fhir_clinical.medication,
    "MedicationStatement": fhir_clinical.medication,
}


def read_fhir(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the events of a FHIR JSON file. Raises `AdapterError` where it is no bundle or resource of R4."""
    document = _document(path)
    held = Held()
    try:
        bundle = Bundle.of(document, context, report)
    except Unusable as fault:
        raise AdapterError(f"{path.name} {fault}.") from None
    for position, resource in bundle.resources:
        kind = str(resource.get("resourceType", "?"))
        maker = MAKERS.get(kind)
        if maker is None:
            report.leave_out(position, kind)
            continue
        try:
            made = list(maker(resource, context, bundle))
        except Unusable as fault:
            report.problem(position, f"{kind}: {fault}")
            continue
        except MALFORMED:
            # What is a list where FHIR has an object, or the other way round; the exception would quote the value.
            report.problem(position, f"{kind}: its JSON does not have the structure of FHIR R4")
            continue
        if not made:
            report.leave_out(position, f"{kind} of another kind")
        for event, record in made:
            held.add(event, record, position)
        if held.full:
            yield from held.hand_on()
    yield from held.hand_on()


def _document(path: Path) -> dict[str, Any]:
    document = read_json(path)
    if not isinstance(document, dict) or not isinstance(document.get("resourceType"), str):
        raise AdapterError(f"{path.name} is JSON, but no FHIR resource: it has no resourceType.")
    if document["resourceType"] == "Bundle":
        if not isinstance(document.get("type"), str):
            raise AdapterError(f"{path.name} is a FHIR bundle without a type, which R4 requires.")
        if not isinstance(document.get("entry", []), list):
            raise AdapterError(f"{path.name} is a FHIR bundle whose entry is no list.")
    return document
