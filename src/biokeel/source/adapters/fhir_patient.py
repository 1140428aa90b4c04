"""FHIR Patient into `person.enrolment`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from biokeel.contracts.topics import event_type
from biokeel.source.adapters.fhir_common import Case, Made
from biokeel.source.adapters.fhir_references import Resource
from biokeel.source.times import Moment, day, year

ENROLMENT: Final = event_type("person.enrolment")
_SEXES: Final = frozenset({"female", "male", "other", "unknown"})


def enrolment(case: Case) -> Iterator[Made]:
    """The enrolment that a Patient stands for.

    A register of patients knows people, not what they agreed to: no consent is stated, and the record was last written
    when it says so. Identifiers are sent that the source's table maps, no others: a US social security number is no
    Korean resident number, and a hospital is no authority for licences and passports.
    """
    resource = case.resource
    record = case.envelope(ENROLMENT, Moment(case.recorded_at, None))
    sex = resource.get("gender")
    record |= {
        "identifiers": [{"scheme": each.scheme, "value": each.value} for each in case.bundle.person(resource).others],
        "name": _name(resource),
        "phone": _telecom(resource, "phone"),
        "email": _telecom(resource, "email"),
        "address": _address(resource),
        "birth_date": day(resource.get("birthDate")),
        "birth_year": year(resource.get("birthDate")),
        "sex": sex if sex in _SEXES else "unknown",
        "consent_scope": [],
        "consent_stated": False,
    }
    yield Made(ENROLMENT, record)


def _first(parts: Any) -> dict[str, Any]:
    return parts[0] if isinstance(parts, list) and parts else {}


def _texts(parts: Any) -> list[str]:
    """The texts of a list: R4 writes null for one that only an extension says."""
    return [part for part in parts if isinstance(part, str) and part] if isinstance(parts, list) else []


def _name(resource: Resource) -> str | None:
    name = _first(resource.get("name"))
    return name.get("text") or " ".join([*_texts(name.get("given")), *_texts([name.get("family")])]) or None


def _telecom(resource: Resource, system: str) -> str | None:
    found = (part for part in resource.get("telecom") or [] if part.get("system") == system)
    return next(iter(_texts([part.get("value") for part in found])), None)


def _address(resource: Resource) -> str | None:
    address = _first(resource.get("address"))
    parts = [*_texts([address.get("state"), address.get("city")]), *_texts(address.get("line"))]
    return address.get("text") or " ".join(parts) or None
