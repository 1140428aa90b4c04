"""Which version of FHIR a resource is written in, told by what it says of itself and else by its elements.

Only R4 (4.0) and R4B, which differs from it in nothing that is read here, are read. STU3, DSTU2 and R5 look alike and
mean other things: an STU3 diagnosis says `entered-in-error` as a plain text where R4 has a CodeableConcept, and read as
R4 it would be a good one. So a file with a sign of another version is refused whole.

A sign is what R4 has not: a resource type, an element of a type, or another shape of an element. The tables are
what the StructureDefinitions of DSTU2 1.0.2, STU3 3.0.2 and R5 5.0.0 have and those of R4 4.0.1 have not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from biokeel.source.adapters.fhir_references import Resource

DSTU2: Final = "DSTU2"
STU3: Final = "STU3"
OLD: Final = "STU3 or DSTU2"
R5: Final = "R5"


def _by_name(**names: str) -> dict[str, str]:
    """Each of the words that stand under a version, with the version as people write it."""
    return {name: version.replace("_or_", " or ") for version, words in names.items() for name in words.split()}


_TYPES: Final = _by_name(
    STU3_or_DSTU2="BodySite DataElement DeviceComponent DeviceUseRequest EligibilityRequest EligibilityResponse"
    " ExpansionProfile ImagingManifest MedicationOrder ProcedureRequest ProcessRequest ProcessResponse ReferralRequest"
    " Sequence ServiceDefinition",
    DSTU2="Conformance DiagnosticOrder ImagingObjectSelection Order OrderResponse",
    R5="ActorDefinition ArtifactAssessment BiologicallyDerivedProductDispense ConditionDefinition DeviceAssociation"
    " DeviceDispense DeviceUsage EncounterHistory FormularyItem GenomicStudy ImagingSelection InventoryItem"
    " InventoryReport NutritionIntake Permission RequestOrchestration Requirements TestPlan Transport",
)
"""Types of resources that R4 has not."""

_ELEMENTS: Final[dict[str, dict[str, str]]] = {
    "Observation": _by_name(
        STU3="comment context",
        DSTU2="comments",
        STU3_or_DSTU2="related",
        STU3_or_DSTU2_or_R5="valueAttachment",
        R5="bodyStructure instantiatesCanonical instantiatesReference triggeredBy valueReference",
    ),
    "Condition": _by_name(
        STU3="assertedDate context",
        DSTU2="abatementQuantity dateRecorded notes onsetQuantity patient",
        STU3_or_DSTU2="abatementBoolean",
        R5="participant",
    ),
    "MedicationRequest": _by_name(
        STU3="context definition",
        R5="device effectiveDosePeriod informationSource medication reason renderedDosageInstruction reported"
        " statusChanged",
    ),
    "MedicationStatement": _by_name(
        STU3="taken",
        DSTU2="patient reasonForUseCodeableConcept reasonForUseReference supportingInformation wasNotTaken",
        STU3_or_DSTU2="reasonNotTaken",
        R5="adherence effectiveTiming encounter medication reason relatedClinicalInformation renderedDosageInstruction",
    ),
    "MedicationAdministration": _by_name(
        STU3="definition notGiven",
        DSTU2="effectiveTimeDateTime effectiveTimePeriod patient practitioner reasonGiven wasNotGiven",
        STU3_or_DSTU2="prescription reasonNotGiven",
        DSTU2_or_R5="encounter",
        R5="basedOn isSubPotent medication occurenceDateTime occurencePeriod occurenceTiming reason recorded"
        " subPotentReason",
    ),
    "MedicationDispense": _by_name(
        STU3="notDone notDoneReasonCodeableConcept notDoneReasonReference",
        DSTU2="dispenser patient",
        R5="basedOn encounter medication notPerformedReason recorded renderedDosageInstruction statusChanged",
    ),
    "Medication": _by_name(
        STU3="isOverTheCounter",
        DSTU2="product",
        STU3_or_DSTU2="isBrand package",
        R5="definition doseForm marketingAuthorizationHolder totalVolume",
    ),
    "DiagnosticReport": _by_name(
        STU3="context",
        DSTU2="request",
        STU3_or_DSTU2="codedDiagnosis image",
        R5="composition note study supportingInfo",
    ),
    "Patient": _by_name(DSTU2="careProvider", STU3_or_DSTU2="animal"),
    "Encounter": _by_name(
        DSTU2="indication patient",
        STU3_or_DSTU2="incomingReferral",
        STU3_or_DSTU2_or_R5="reason",
        R5="actualPeriod admission careTeam plannedEndDate plannedStartDate subjectStatus virtualService",
    ),
    "Procedure": _by_name(
        STU3="context definition notDone notDoneReason",
        DSTU2="notPerformed notes reasonCodeableConcept reasonNotPerformed request",
        R5="focus occurrenceAge occurrenceDateTime occurrencePeriod occurrenceRange occurrenceString"
        " occurrenceTiming reason recorded reportedBoolean reportedReference supportingInfo",
    ),
    "Immunization": _by_name(
        STU3="notGiven practitioner",
        DSTU2="reported requester wasNotGiven",
        STU3_or_DSTU2="date explanation vaccinationProtocol",
        R5="administeredProduct basedOn informationSource reason supportingInformation",
    ),
    "AllergyIntolerance": _by_name(STU3="assertedDate", DSTU2="onset reporter status substance", R5="participant"),
}
"""By type of resource, the elements that R4 has not, and the version that has them."""


def _is_text(found: object) -> bool:
    return isinstance(found, str)


def _is_object(found: object) -> bool:
    return isinstance(found, dict)


def _is_list(found: object) -> bool:
    return isinstance(found, list)


def _is_recorded(found: object) -> bool:
    return found == "recorded"


def _has_agent(found: object) -> bool:
    return isinstance(found, dict) and "agent" in found


def _has_references(found: object) -> bool:
    """A list of R5's CodeableReferences, which hold a concept or a reference."""
    return isinstance(found, list) and any(
        isinstance(part, dict) and {"concept", "reference"} & part.keys() for part in found
    )


def _doses(found: object) -> bool:
    """A list of STU3's Dosages, which hold the dose themselves; R4 has it in doseAndRate."""
    names = ("doseQuantity", "doseRange", "rateQuantity", "rateRatio", "rateRange")
    return isinstance(found, list) and any(isinstance(part, dict) and any(n in part for n in names) for part in found)


def _actors(found: object) -> bool:
    return isinstance(found, list) and any(isinstance(part, dict) and {"actor", "role"} & part.keys() for part in found)


def _has_family_list(found: object) -> bool:
    return isinstance(found, list) and any(
        isinstance(part, dict) and isinstance(part.get("family"), list) for part in found
    )


_SHAPES: Final[dict[str, tuple[tuple[str, Callable[[object], bool], str], ...]]] = {
    "Observation": (
        ("category", _is_object, DSTU2),
        ("interpretation", _is_object, OLD),
    ),
    "Condition": (
        ("clinicalStatus", _is_text, OLD),
        ("verificationStatus", _is_text, OLD),
        ("category", _is_object, DSTU2),
        ("evidence", _has_references, R5),
    ),
    "MedicationRequest": (
        ("requester", _has_agent, STU3),
        ("dosageInstruction", _doses, OLD),
        ("category", _is_object, STU3),
    ),
    "MedicationStatement": (
        ("dosage", _doses, OLD),
        ("category", _is_list, R5),
        ("informationSource", _is_list, R5),
        ("status", _is_recorded, R5),
    ),
    "MedicationAdministration": (("category", _is_list, R5),),
    "DiagnosticReport": (("category", _is_object, OLD), ("performer", _actors, STU3)),
    "Patient": (("name", _has_family_list, DSTU2),),
    "Encounter": (("class", _is_text, DSTU2), ("class", _is_list, R5)),
    "AllergyIntolerance": (
        ("clinicalStatus", _is_text, OLD),
        ("verificationStatus", _is_text, OLD),
        ("type", _is_object, R5),
    ),
    "Procedure": (("category", _is_list, R5),),
}
"""By type of resource: an element, what it looks like in another version, and which."""

_SAID: Final = re.compile(
    r"^https?://(?:www\.)?hl7\.org/fhir/(?:(?P<word>[Dd][Ss][Tt][Uu]2|[Ss][Tt][Uu]3|[Rr]5|[1356]\.[0-9])(?:\.[0-9])?/"
    r"|StructureDefinition/[A-Za-z-]+\|(?P<number>[1356]\.[0-9])(?:\.[0-9])?$)"
)
_NUMBERS: Final = {"1.": DSTU2, "3.": STU3, "5.": R5, "6.": "R6", "0.": "DSTU1"}
_WORDS: Final = {"dstu2": DSTU2, "stu3": STU3, "r5": R5}


def version_of_any(document: Resource) -> str | None:
    """What `other_version` says of the first resource in `document`, contained ones and bundles in bundles too."""
    waiting = [document]
    while waiting:
        resource = waiting.pop()
        if (found := other_version(resource)) is not None:
            return found
        contained = resource.get("contained")
        if isinstance(contained, list):
            waiting += [each for each in contained if isinstance(each, dict)]
        if resource.get("resourceType") == "Bundle" and isinstance(entries := resource.get("entry"), list):
            inside = [each.get("resource") for each in entries if isinstance(each, dict)]
            waiting += [each for each in reversed(inside) if isinstance(each, dict)]
    return None


def other_version(resource: Resource) -> str | None:
    """The version of FHIR that a resource is of, with the sign it is told by; None where nothing says it is not R4."""
    kind = resource.get("resourceType")
    if not isinstance(kind, str):
        return None
    if found := _TYPES.get(kind):
        return _named(found, f"{kind} is a resource of it")
    elements: Mapping[str, str] = _ELEMENTS.get(kind, {})
    if not resource.keys().isdisjoint(elements):
        name = min(elements.keys() & resource.keys())
        return _named(elements[name], f"{kind}.{name} is an element of it")
    for name, is_so, version in _SHAPES.get(kind, ()):
        if name in resource and is_so(resource[name]):
            return _named(version, f"{kind}.{name} has its form")
    if (meta := resource.get("meta")) is not None:
        return _by_profile(meta)
    if kind in {"CapabilityStatement", "ImplementationGuide", "StructureDefinition"}:
        return _by_number(resource.get("fhirVersion"))
    return None


def _named(version: str, sign: str) -> str:
    return f"FHIR {version} ({sign})"


def _by_profile(meta: Any) -> str | None:
    profiles = meta.get("profile") if isinstance(meta, dict) else None
    for profile in profiles if isinstance(profiles, list) else []:
        found = _SAID.match(profile) if isinstance(profile, str) else None
        if found is not None:
            word = found["word"] or found["number"]
            version = _WORDS.get(word.lower()) or _NUMBERS[word[:2]]
            return _named(version, "a profile in meta is of it")
    return None


def _by_number(number: Any) -> str | None:
    numbers = number if isinstance(number, list) else [number]
    for each in numbers:
        version = _NUMBERS.get(str(each)[:2])
        if version is not None:
            return _named(version, "fhirVersion says so")
    return None
