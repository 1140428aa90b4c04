"""FHIR Condition, MedicationRequest, MedicationStatement and MedicationAdministration into clinical events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from biokeel.contracts.topics import event_type
from biokeel.source.adapters.base import Record, Unusable
from biokeel.source.adapters.fhir_codes import (
    CLINICAL_STATUS,
    HIRA_MEDICINE,
    KD,
    SNOMED,
    VERIFICATION_STATUS,
    best,
    codings,
    display,
    word,
)
from biokeel.source.adapters.fhir_common import Case, Made, end_after, time_of
from biokeel.source.adapters.fhir_observations import parts_of, status_of
from biokeel.source.adapters.fhir_values import quantity
from biokeel.source.adapters.numbers import number

DIAGNOSIS: Final = event_type("clinical.diagnosis")
MEDICATION: Final = event_type("clinical.medication")

_DIAGNOSIS_SYSTEMS: Final = ("KCD-9", "KCD-8", "KCD-7", "ICD-10-CM", "ICD-10", SNOMED)
_MEDICATION_SYSTEMS: Final = ("RxNorm", "ATC", KD, HIRA_MEDICINE, SNOMED)
"""Code systems, those that count first where a concept has codings in several."""
_CLINICAL: Final = ("active", "recurrence", "relapse", "inactive", "remission", "resolved")
_VERIFICATION: Final = ("unconfirmed", "provisional", "differential", "confirmed", "refuted", "entered-in-error")
_NOT_ORDERED: Final = frozenset({"proposal", "plan", "option"})
"""Intents of a MedicationRequest that nobody has ordered."""
_KINDS: Final = {
    "MedicationRequest": "request",
    "MedicationStatement": "statement",
    "MedicationAdministration": "administration",
}
_PERIODS_A_DAY: Final = {
    "s": 86_400.0,
    "min": 1_440.0,
    "h": 24.0,
    "d": 1.0,
    "wk": 1 / 7,
    "mo": 12 / 365.25,
    "a": 1 / 365.25,
}


def diagnosis(case: Case) -> Iterator[Made]:
    """The diagnosis that a Condition is."""
    resource = case.resource
    system, code = _coded(resource.get("code"), _DIAGNOSIS_SYSTEMS)
    occurred = case.first_moment("onsetDateTime", "onsetPeriod", "recordedDate")
    onset = time_of(resource.get("onsetDateTime") or resource.get("onsetPeriod"), case.context)
    for name in ("onsetAge", "onsetRange", "onsetString", "abatementAge", "abatementRange", "abatementString"):
        if resource.get(name) is not None:
            case.leave_out(f"Condition.{name}")
    abated, precision = _end(case, _abatement(resource), onset, "abatement")
    yield Made(
        DIAGNOSIS,
        case.envelope(DIAGNOSIS, occurred)
        | {
            "code_system": system,
            "code": code,
            "display": display(resource.get("code")),
            "clinical_status": _word(case, "clinicalStatus", CLINICAL_STATUS, _CLINICAL),
            "verification_status": _word(case, "verificationStatus", VERIFICATION_STATUS, _VERIFICATION),
            "onset_at": onset.at if onset else None,
            "onset_precision": onset.precision if onset else None,
            "abated_at": abated,
            "abated_precision": precision,
        },
    )


def _abatement(resource: dict[str, Any]) -> Any:
    period = resource.get("abatementPeriod")
    return resource.get("abatementDateTime") or (period.get("start") if isinstance(period, dict) else None)


def _end(case: Case, text: Any, start: Any, name: str) -> tuple[int | None, str | None]:
    """`end_after`; one that cannot be is a problem and is not sent."""
    try:
        return end_after(text, start, case.context, name)
    except Unusable as fault:
        case.problem(f"{fault}; it is not sent")
        return None, None


def _word(case: Case, name: str, system: str, allowed: tuple[str, ...]) -> str | None:
    concept = case.resource.get(name)
    found = word(concept, system, allowed)
    if found is None and codings(concept):
        case.problem(f"{name} has no word of its code system; it is not sent")
    return found


def medication(case: Case) -> Iterator[Made]:
    """The medication that a MedicationRequest orders, a MedicationStatement states, a MedicationAdministration gives.

    What must not be given, and what is proposed or planned only, is none.
    """
    resource = case.resource
    if resource.get("doNotPerform") is True:
        case.leave_out("MedicationRequest that forbids a medicine")
        return
    if resource.get("intent") in _NOT_ORDERED:
        case.leave_out("MedicationRequest that is no order")
        return
    concept = _concept(case)
    system, code = _coded(concept, _MEDICATION_SYSTEMS)
    occurred = case.first_moment("authoredOn", "effectiveDateTime", "effectivePeriod", "dateAsserted")
    period = resource.get("effectivePeriod")
    ended, precision = _end(case, period.get("end") if isinstance(period, dict) else None, occurred, "effectivePeriod")
    yield Made(
        MEDICATION,
        case.envelope(MEDICATION, occurred)
        | {
            "code_system": system,
            "code": code,
            "display": display(concept),
            "kind": _KINDS[case.kind],
            "status": status_of(resource),
            "ended_at": ended,
            "ended_precision": precision,
        }
        | _dosage(case),
    )


def _concept(case: Case) -> Any:
    concept = case.resource.get("medicationCodeableConcept")
    if concept is not None:
        return concept
    reference = case.resource.get("medicationReference")
    if reference is None:
        raise Unusable("no medication")
    target = case.bundle.target(case.holder, reference)
    if target is None:
        raise Unusable("medicationReference points at nothing in the file")
    return target.get("code")


def _dosage(case: Case) -> Record:
    """Dose and doses a day; none where there are several instructions, which one event cannot say."""
    resource = case.resource
    if case.kind == "MedicationAdministration":
        given = resource.get("dosage")
        return _dose(case, given.get("dose") if isinstance(given, dict) else None)
    found = parts_of(resource, "dosageInstruction") or parts_of(resource, "dosage")
    if len(found) > 1:
        case.leave_out("dosages of a medication with several")
    if len(found) != 1:
        return {}
    rates = parts_of(found[0], "doseAndRate")
    timing = found[0].get("timing")
    repeat = timing.get("repeat") if isinstance(timing, dict) else None
    try:
        often = _doses_per_day(repeat) if isinstance(repeat, dict) else None
    except Unusable as fault:
        case.problem(f"{fault}; it is not sent")
        often = None
    dose = rates[0].get("doseQuantity") if len(rates) == 1 else None
    if rates and dose is None:
        case.leave_out("dose that is a range, or one of several")
    return _dose(case, dose) | {"doses_per_day": often}


def _dose(case: Case, found: Any) -> Record:
    if found is None:
        return {}
    try:
        dose = quantity(found, "the dose").exact("the dose")
    except Unusable as fault:
        case.problem(f"{fault}; it is not sent")
        return {}
    return {"dose_value": dose.value, "dose_unit": dose.unit}


def _doses_per_day(repeat: dict[str, Any]) -> float | None:
    period, unit = repeat.get("period"), repeat.get("periodUnit")
    if period is None or unit not in _PERIODS_A_DAY:
        return None
    length = number(period, "timing.repeat.period")
    if length <= 0:
        raise Unusable("timing.repeat.period is not above 0")
    return number(repeat.get("frequency", 1), "timing.repeat.frequency") * _PERIODS_A_DAY[unit] / length


def _coded(concept: Any, systems: tuple[str, ...]) -> tuple[str, str]:
    """Our name of the system, and the code, of the coding that counts. Raises `Unusable`."""
    found = best(codings(concept), systems)
    if found is None or found.system is None:
        raise Unusable(f"no coding in {', '.join(systems)}")
    return found.system, found.code
