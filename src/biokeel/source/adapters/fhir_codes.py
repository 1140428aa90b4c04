"""Code systems by the names that sources write, and which coding of a concept counts.

A code means something only in its system, so a system is known by its whole name and never by a part of it:
`icd-10-pcs` is no ICD-10. A name that differs in scheme, `www.`, case or a last slash only is the same name, because
that is how they are misspelt; beside the standard's URI a system is known by its OID. Sources: "Using Codes" of FHIR R4
(terminologies-systems), the naming systems of KR Core 2.0.0 (HL7 Korea), and the MyHealthWay profile, which uses those.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

LOINC: Final = "LOINC"
SNOMED: Final = "SNOMED-CT"
UCUM: Final = "UCUM"
HIRA_PROCEDURE: Final = "HIRA-EDI-procedure"
"""Claim codes of procedures and tests; those of medicines are a list of their own."""
HIRA_MEDICINE: Final = "HIRA-EDI"
KD: Final = "KD"
OBSERVATION_CATEGORY: Final = "observation-category"
REPORT_CATEGORY: Final = "v2-0074"
CLINICAL_STATUS: Final = "condition-clinical"
VERIFICATION_STATUS: Final = "condition-ver-status"
ABSENT_REASON: Final = "data-absent-reason"
INTERPRETATION: Final = "v3-ObservationInterpretation"
RANGE_MEANING: Final = "referencerange-meaning"

_LABORATORIES: Final = frozenset(
    {"LAB", "BG", "BLB", "CH", "HM", "IMM", "MB", "MCB", "MYC", "OSL", "SR", "TX", "URN", "VR"}
)
"""Sections of HL7 table 0074 whose results are laboratory results."""
_OF_OBSERVATIONS: Final = frozenset({OBSERVATION_CATEGORY, ""})
_KOREAN: Final = ("www.hl7korea.or.kr/codesystem", "www.hl7korea.or.kr/fhir/krcore/codesystem")
_HL7: Final = "terminology.hl7.org/codesystem"

_NAMES: Final[dict[str, tuple[str, ...]]] = {
    LOINC: ("loinc.org", "urn:oid:2.16.840.1.113883.6.1"),
    SNOMED: ("snomed.info/sct", "urn:oid:2.16.840.1.113883.6.96"),
    UCUM: ("unitsofmeasure.org", "urn:oid:2.16.840.1.113883.6.8"),
    "ICD-10": ("hl7.org/fhir/sid/icd-10", "urn:oid:2.16.840.1.113883.6.3"),
    "ICD-10-CM": ("hl7.org/fhir/sid/icd-10-cm", "urn:oid:2.16.840.1.113883.6.90"),
    "KCD-7": tuple(f"{base}/kostat-kcd-7" for base in _KOREAN),
    "KCD-8": tuple(f"{base}/kostat-kcd-8" for base in _KOREAN),
    "KCD-9": tuple(f"{base}/kostat-kcd-9" for base in _KOREAN),
    "RxNorm": ("www.nlm.nih.gov/research/umls/rxnorm", "urn:oid:2.16.840.1.113883.6.88"),
    "ATC": ("www.whocc.no/atc", "urn:oid:2.16.840.1.113883.6.73"),
    KD: (*(f"{base}/kpis-kdcode" for base in _KOREAN), "biz.kpis.or.kr/codesystem/kdcode"),
    HIRA_MEDICINE: tuple(f"{base}/hira-edi-medication" for base in _KOREAN),
    HIRA_PROCEDURE: tuple(f"{base}/hira-edi-procedure" for base in _KOREAN),
    OBSERVATION_CATEGORY: (f"{_HL7}/observation-category", "hl7.org/fhir/observation-category"),
    REPORT_CATEGORY: (f"{_HL7}/v2-0074", "hl7.org/fhir/v2/0074"),
    CLINICAL_STATUS: (f"{_HL7}/condition-clinical", "hl7.org/fhir/condition-clinical"),
    VERIFICATION_STATUS: (f"{_HL7}/condition-ver-status", "hl7.org/fhir/condition-ver-status"),
    ABSENT_REASON: (f"{_HL7}/data-absent-reason", "hl7.org/fhir/data-absent-reason"),
    INTERPRETATION: (f"{_HL7}/v3-observationinterpretation", "hl7.org/fhir/v2/0078", f"{_HL7}/v2-0078"),
    RANGE_MEANING: (f"{_HL7}/referencerange-meaning", "hl7.org/fhir/referencerange-meaning"),
}
"""Our name of a system, and the names that mean it, as `_plain` writes them."""
_SCHEME: Final = re.compile(r"^(?:https?://)?(?:www\.)?")


def _plain(name: str) -> str:
    return _SCHEME.sub("", name.strip().lower()).rstrip("/")


_SYSTEMS: Final = {_plain(name): system for system, names in _NAMES.items() for name in names}
_SNOMED_EDITION: Final = "snomed.info/sct/"
"""SNOMED CT's URI of an edition, which some write where the system belongs."""


@lru_cache(maxsize=4096)
def system_of(name: str) -> str | None:
    """Our name of the code system that a source calls `name`; None where the table does not know it."""
    plain = _plain(name)
    return _SYSTEMS.get(plain) or (SNOMED if plain.startswith(_SNOMED_EDITION) else None)


class Coding(NamedTuple):
    """One coding: our name of its system ("" where the source names none, None for one that is not known), its code."""

    system: str | None
    code: str
    chosen: bool = False
    """Whether the user chose this coding (FHIR's userSelected)."""


def codings(concept: Any) -> list[Coding]:
    """The codings of a CodeableConcept that have a code, in its order."""
    parts = concept.get("coding") if isinstance(concept, dict) else None
    if not isinstance(parts, list):
        return []
    return [_coding(*each) for each in map(_said, parts) if each[1]]


def _said(part: Any) -> tuple[str | None, str, bool]:
    """System, code and choice of a coding as they are written; the code is empty where there is none."""
    code = part.get("code") if isinstance(part, dict) else None
    if not isinstance(code, str):
        return None, "", False
    system = part.get("system")
    return system if isinstance(system, str) else None, code, part.get("userSelected") is True


@lru_cache(maxsize=16_384)
def _coding(system: str | None, code: str, chosen: bool) -> Coding:
    """Files say the same codings again and again."""
    return Coding("" if system is None else system_of(system), code.strip(), chosen)


def codes_in(found: Iterable[Coding], *systems: str) -> list[str]:
    """The codes in any of `systems`, chosen ones first, then in the order of the alphabet: never in the source's."""
    inside = [each for each in found if each.system in systems]
    if len(inside) > 1:
        inside.sort(key=lambda each: (not each.chosen, each.code))
    return [each.code for each in inside]


def best(found: Sequence[Coding], systems: Iterable[str]) -> Coding | None:
    """The coding that counts where `systems` are wanted, the best first; its place in the concept says nothing."""
    for system in systems:
        if codes := codes_in(found, system):
            return Coding(system, codes[0])
    return None


def word(concept: Any, system: str, allowed: Iterable[str]) -> str | None:
    """The word of a closed set that a CodeableConcept says: a coding in `system`, or one that names no system."""
    wanted = {*allowed}
    found = codings(concept)
    return next((code for code in (*codes_in(found, system), *codes_in(found, "")) if code in wanted), None)


def is_of_laboratory(resource: dict[str, Any]) -> bool:
    """Whether a DiagnosticReport or an Observation says itself that it is of a laboratory."""
    categories = resource.get("category")
    for concept in categories if isinstance(categories, list) else ():
        for coding in codings(concept):
            if coding.code == "laboratory" and coding.system in _OF_OBSERVATIONS:
                return True
            if coding.system == REPORT_CATEGORY and coding.code in _LABORATORIES:
                return True
    return False


def display(concept: Any) -> str | None:
    """The source's text for a CodeableConcept."""
    if not isinstance(concept, dict):
        return None
    text = concept.get("text")
    if isinstance(text, str) and text:
        return text
    parts = concept.get("coding")
    shown = (part.get("display") for part in parts or () if isinstance(part, dict)) if isinstance(parts, list) else ()
    return min((each for each in shown if isinstance(each, str) and each), default=None)
