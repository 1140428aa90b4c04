"""FHIR Patient into `person.enrolment`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from biokeel.contracts.topics import EventType, event_type
from biokeel.source.adapters.base import Context, Record
from biokeel.source.adapters.fhir_bundle import Bundle
from biokeel.source.adapters.fhir_common import envelope
from biokeel.source.adapters.fhir_references import Resource
from biokeel.source.times import Moment, day, moment, year

ENROLMENT: Final = event_type("person.enrolment")
_SEXES: Final = frozenset({"female", "male", "other", "unknown"})


def enrolment(resource: Resource, context: Context, bundle: Bundle) -> Iterator[tuple[EventType, Record]]:
    """The enrolment that a Patient stands for.

    A register of patients knows people, not what they agreed to: no consent is stated, and the record was last written
    when it says so. Identifiers are sent that the source's table maps, no others: a US social security number is no
    Korean resident number, and a hospital is no authority for licences and passports.
    """
    recorded = (resource.get("meta") or {}).get("lastUpdated")
    known = moment(recorded, context.zone) or Moment(context.recorded_at, None)
    record = envelope(resource, ENROLMENT, context, bundle, occurred=known, recorded=recorded)
    record |= {"occurred_offset_minutes": None}
    del record["occurred_precision"]  # A person event has none.
    sex = resource.get("gender")
    record |= {
        "identifiers": [{"scheme": each.scheme, "value": each.value} for each in bundle.person(resource).others],
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
    yield ENROLMENT, record


def _first(parts: Any) -> dict[str, Any]:
    return parts[0] if isinstance(parts, list) and parts else {}


def _name(resource: Resource) -> str | None:
    name = _first(resource.get("name"))
    return name.get("text") or " ".join([*name.get("given", []), name.get("family") or ""]).strip() or None


def _telecom(resource: Resource, system: str) -> str | None:
    return next((part.get("value") for part in resource.get("telecom", []) if part.get("system") == system), None)


def _address(resource: Resource) -> str | None:
    address = _first(resource.get("address"))
    parts = [address.get("state"), address.get("city"), *address.get("line", [])]
    return address.get("text") or " ".join(part for part in parts if part) or None
