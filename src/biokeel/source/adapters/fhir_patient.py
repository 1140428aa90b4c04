"""FHIR Patient into `person.enrolment`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from biokeel.contracts.topics import EventType, event_type
from biokeel.source.adapters.base import Context, Record
from biokeel.source.adapters.fhir_common import Bundle, Resource, codings, envelope
from biokeel.source.times import Moment, day

ENROLMENT: Final = event_type("person.enrolment")
ALL_DOMAINS: Final = ["genome", "clinical", "lifestyle"]
_SEXES: Final = frozenset({"female", "male", "other", "unknown"})


def enrolment(resource: Resource, context: Context, bundle: Bundle) -> Iterator[tuple[EventType, Record]]:
    """The enrolment that a Patient stands for.

    FHIR does not say when the person consented: it is when the record was last written. The medical record number is
    an identifier of the same hospital. A US social security number is no Korean resident number, and a hospital is no
    authority for licences and passports: they are not sent at all.
    """
    recorded = (resource.get("meta") or {}).get("lastUpdated")
    record = envelope(
        resource, ENROLMENT, context, bundle, occurred=Moment(context.recorded_at, None), recorded=recorded
    )
    record["occurred_at"] = record["recorded_at"]
    scheme = record["subject_scheme"]
    numbers = {
        str(part["value"])
        for part in resource.get("identifier", [])
        if part.get("value") and any(code == "MR" for _, code in codings(part.get("type")))
    } - {record["subject_id"]}
    sex = resource.get("gender")
    record |= {
        "identifiers": [{"scheme": scheme, "value": number} for number in sorted(numbers)],
        "name": _name(resource),
        "phone": _telecom(resource, "phone"),
        "email": _telecom(resource, "email"),
        "address": _address(resource),
        "birth_date": day(resource.get("birthDate")),
        "sex": sex if sex in _SEXES else "unknown",
        "consent_scope": ALL_DOMAINS,
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
