"""FHIR Observation, Condition, MedicationRequest and MedicationStatement into clinical events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from biokeel.contracts.topics import EventType, event_type
from biokeel.source.adapters.base import Context, Record, Unusable, ending
from biokeel.source.adapters.fhir_bundle import Bundle
from biokeel.source.adapters.fhir_common import (
    LOINC,
    code_in,
    codings,
    display,
    envelope,
    first_moment,
    is_withdrawn,
    quantity,
)
from biokeel.source.adapters.fhir_references import Resource
from biokeel.source.times import end, moment

BLOOD_PRESSURE: Final = event_type("clinical.blood_pressure")
GLUCOSE: Final = event_type("clinical.glucose")
LAB_RESULT: Final = event_type("clinical.lab_result")
DIAGNOSIS: Final = event_type("clinical.diagnosis")
MEDICATION: Final = event_type("clinical.medication")

PANELS: Final = ("85354-9", "55284-4")
GLUCOSE_CODES: Final[dict[str, tuple[str | None, str | None]]] = {
    # LOINC code: (specimen, relation to meal)
    "2339-0": ("blood", None),
    "2345-7": ("serum", None),
    "2340-8": ("blood", None),
    "41653-7": ("capillary_blood", None),
    "32016-8": ("capillary_blood", None),
    "1558-6": ("serum", "fasting"),
    "1556-0": ("capillary_blood", "fasting"),
    "1521-4": ("serum", "after_meal"),
    "14743-9": ("capillary_blood", None),
    "14749-6": ("serum", None),
    "15074-8": ("blood", None),
    "74774-1": (None, None),
    "99504-3": ("interstitial_fluid", None),
}
"""Mass and substance concentrations; a code says specimen and, some of them, the meal."""
_UNITS: Final = {"mg/dl": "mg/dL", "mmol/l": "mmol/L", "mmhg": "mm[Hg]", "mm hg": "mm[Hg]"}
"""Ways to write a unit that are not UCUM's (which minds case)."""
_DIAGNOSIS_SYSTEMS: Final = (
    ("kcd-9", "KCD-9"),
    ("kcd9", "KCD-9"),
    ("kcd", "KCD-8"),
    ("icd-10-cm", "ICD-10-CM"),
    ("icd-10", "ICD-10"),
    ("snomed.info/sct", "SNOMED-CT"),
)
_MEDICATION_SYSTEMS: Final = (
    ("rxnorm", "RxNorm"),
    ("whocc.no/atc", "ATC"),
    ("snomed.info/sct", "SNOMED-CT"),
    ("kd-code", "KD"),
    ("drug-code", "KD"),
)
"""Parts of system URIs, most telling first: the Korean ones differ from hospital to hospital."""
_PERIODS_A_DAY: Final = {
    "s": 86_400.0,
    "min": 1_440.0,
    "h": 24.0,
    "d": 1.0,
    "wk": 1 / 7,
    "mo": 12 / 365.25,
    "a": 1 / 365.25,
}


def observation(resource: Resource, context: Context, bundle: Bundle) -> Iterator[tuple[EventType, Record]]:
    """The events of an Observation; none for vital signs, surveys and the like that are no event type of ours."""
    loinc = [code for system, code in codings(resource.get("code")) if system == LOINC]
    panel = next((code for code in loinc if code in PANELS), None)
    glucose = next((code for code in loinc if code in GLUCOSE_CODES), None)
    if panel:
        yield BLOOD_PRESSURE, _blood_pressure(resource, context, bundle, panel)
    elif glucose:
        yield GLUCOSE, _glucose(resource, context, bundle, glucose)
    elif any(code == "laboratory" for part in resource.get("category", []) for _, code in codings(part)):
        yield from _laboratory(resource, context, bundle, loinc)


def _observed(resource: Resource, event: EventType, context: Context, bundle: Bundle, part: str = "") -> Record:
    occurred = first_moment(resource, context, "effectiveDateTime", "effectiveInstant", "effectivePeriod")
    record = envelope(resource, event, context, bundle, occurred=occurred, recorded=resource.get("issued"), part=part)
    return record | {"status": resource.get("status") or "unknown"}


def _blood_pressure(resource: Resource, context: Context, bundle: Bundle, panel: str) -> Record:
    values: dict[str, float | None] = {}
    for component in resource.get("component", []):
        code = code_in(component.get("code"), LOINC)
        value, unit = quantity(component.get("valueQuantity"))
        wrong = code in {"8480-6", "8462-4"} and value is not None and _ucum(unit) != "mm[Hg]"
        if wrong and not is_withdrawn(resource):
            raise Unusable(f"the unit of component {code} is not mm[Hg]")
        if code:
            values[code] = value
    return _observed(resource, BLOOD_PRESSURE, context, bundle) | {
        "panel_code": panel,
        "systolic": values.get("8480-6"),
        "diastolic": values.get("8462-4"),
        "heart_rate": values.get("8867-4"),
        "body_position": None,
    }


def _glucose(resource: Resource, context: Context, bundle: Bundle, code: str) -> Record:
    value, unit = quantity(resource.get("valueQuantity"))
    if unit is None and not is_withdrawn(resource):
        raise Unusable("no valueQuantity with a unit")
    specimen, meal = GLUCOSE_CODES[code]
    return _observed(resource, GLUCOSE, context, bundle) | {
        "code": code,
        "value": value,
        "value_unit": _ucum(unit) or "",
        "relation_to_meal": meal,
        "specimen": specimen,
    }


def _laboratory(
    resource: Resource, context: Context, bundle: Bundle, loinc: list[str]
) -> Iterator[tuple[EventType, Record]]:
    components = [part for part in resource.get("component", []) if isinstance(part, dict)]
    if not components:
        if not loinc:
            raise Unusable("code has no LOINC coding")
        yield LAB_RESULT, _observed(resource, LAB_RESULT, context, bundle) | _result(resource, loinc[0])
    for index, component in enumerate(components):
        code = code_in(component.get("code"), LOINC)
        if code is None:
            raise Unusable(f"component {index}: code has no LOINC coding")
        yield LAB_RESULT, _observed(resource, LAB_RESULT, context, bundle, f"#{index}") | _result(component, code)


def _result(holder: Resource, code: str) -> Record:
    value, unit = quantity(holder.get("valueQuantity"))
    ranges = holder.get("referenceRange") or [{}]
    ranges = ranges if isinstance(ranges, list) else [ranges]
    meanings = codings((holder.get("interpretation") or [None])[0])
    answers = codings(holder.get("valueCodeableConcept"))
    return {
        "code": code,
        "display": display(holder.get("code")),
        "value": value,
        "value_unit": _ucum(unit),
        "value_code": answers[0][1] if answers else None,
        "reference_low": quantity(ranges[0].get("low"))[0],
        "reference_high": quantity(ranges[0].get("high"))[0],
        "interpretation": meanings[0][1] if meanings else None,
    }


def diagnosis(resource: Resource, context: Context, bundle: Bundle) -> Iterator[tuple[EventType, Record]]:
    """The diagnosis that a Condition is."""
    system, code = _coded(resource.get("code"), _DIAGNOSIS_SYSTEMS)
    occurred = first_moment(resource, context, "onsetDateTime", "onsetPeriod", "recordedDate")
    onset = moment(resource.get("onsetDateTime") or (resource.get("onsetPeriod") or {}).get("start"), context.zone)
    abated = end(resource.get("abatementDateTime"), context.zone)
    recorded = resource.get("recordedDate")
    yield (
        DIAGNOSIS,
        envelope(resource, DIAGNOSIS, context, bundle, occurred=occurred, recorded=recorded)
        | {
            "code_system": system,
            "code": code,
            "display": display(resource.get("code")),
            "clinical_status": _only_code(resource.get("clinicalStatus")),
            "verification_status": _only_code(resource.get("verificationStatus")),
            "onset_at": onset.at if onset else None,
            "onset_precision": onset.precision if onset else None,
            "abated_at": ending(onset or abated, abated, "abatement") if abated else None,
        },
    )


def medication(resource: Resource, context: Context, bundle: Bundle) -> Iterator[tuple[EventType, Record]]:
    """The medication that a MedicationRequest orders or a MedicationStatement states."""
    is_request = resource["resourceType"] == "MedicationRequest"
    concept = resource.get("medicationCodeableConcept")
    if concept is None:
        target = bundle.target(resource, resource.get("medicationReference"))
        if target is None:
            raise Unusable("medicationReference points at nothing in the file")
        concept = target.get("code")
    system, code = _coded(concept, _MEDICATION_SYSTEMS)
    occurred = first_moment(resource, context, "authoredOn", "effectiveDateTime", "effectivePeriod", "dateAsserted")
    recorded = resource.get("authoredOn") or resource.get("dateAsserted")
    ended = end((resource.get("effectivePeriod") or {}).get("end"), context.zone)
    dosage = (resource.get("dosageInstruction") or resource.get("dosage") or [{}])[0]
    dose, unit = quantity(((dosage.get("doseAndRate") or [{}])[0]).get("doseQuantity"))
    yield (
        MEDICATION,
        envelope(resource, MEDICATION, context, bundle, occurred=occurred, recorded=recorded)
        | {
            "code_system": system,
            "code": code,
            "display": display(concept),
            "kind": "request" if is_request else "statement",
            "status": resource.get("status") or "unknown",
            "dose_value": dose,
            "dose_unit": unit,
            "doses_per_day": _doses_per_day((dosage.get("timing") or {}).get("repeat") or {}),
            "ended_at": ending(occurred, ended, "effectivePeriod.end") if ended else None,
        },
    )


def _coded(concept: Any, systems: tuple[tuple[str, str], ...]) -> tuple[str, str]:
    """The (our name of the system, code) of the first coding in one of `systems`. Raises `Unusable`."""
    found = codings(concept)
    for part, name in systems:
        for uri, code in found:
            if part in uri.lower().replace("_", "-"):
                return name, code
    raise Unusable(f"no coding in {', '.join(dict.fromkeys(name for _, name in systems))}")


def _only_code(concept: Any) -> str | None:
    found = codings(concept)
    return found[0][1] if found else None


def _doses_per_day(repeat: dict[str, Any]) -> float | None:
    frequency, period, unit = repeat.get("frequency", 1), repeat.get("period"), repeat.get("periodUnit")
    if not period or unit not in _PERIODS_A_DAY:
        return None
    return float(frequency) * _PERIODS_A_DAY[unit] / float(period)


def _ucum(unit: str | None) -> str | None:
    return _UNITS.get(unit.strip().lower(), unit) if unit else None
