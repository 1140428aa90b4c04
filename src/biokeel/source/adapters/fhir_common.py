"""What all FHIR resources share: references, codings, times, quantities, the envelope."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from biokeel.contracts.identity import ENTERED_IN_ERROR
from biokeel.contracts.topics import EventType
from biokeel.source.adapters.base import Context, Record, Unusable, content_key
from biokeel.source.times import Moment, moment

Resource: TypeAlias = dict[str, Any]
"""A FHIR resource as JSON has it; Any because it is whatever the file says."""

LOINC: Final = "http://loinc.org"


@dataclass(frozen=True, slots=True)
class Bundle:
    """The resources of a file with their positions, and what their references point at (by full URL and by type/id)."""

    resources: list[tuple[str, Resource]]
    by_reference: dict[str, Resource]

    @classmethod
    def of(cls, document: Resource) -> Bundle:
        """All resources of a bundle, or the one resource."""
        if document["resourceType"] != "Bundle":
            return cls([("the resource", document)], {})
        resources: list[tuple[str, Resource]] = []
        known: dict[str, Resource] = {}
        for index, entry in enumerate(document.get("entry", [])):
            resource = entry.get("resource") if isinstance(entry, dict) else None
            if not isinstance(resource, dict):
                continue
            resources.append((f"entry {index}", resource))
            if isinstance(entry.get("fullUrl"), str):
                known[entry["fullUrl"]] = resource
            if isinstance(resource.get("id"), str):
                known[f"{resource.get('resourceType')}/{resource['id']}"] = resource
        return cls(resources, known)

    def target(self, holder: Resource, reference: Any) -> Resource | None:
        """The resource that `reference` of `holder` points at: contained in it, or in the bundle."""
        text = reference.get("reference") if isinstance(reference, dict) else None
        if not isinstance(text, str):
            return None
        if text.startswith("#"):
            return next((part for part in holder.get("contained", []) if part.get("id") == text[1:]), None)
        return self.by_reference.get(text)


Maker: TypeAlias = Callable[[Resource, Context, Bundle], Iterator[tuple[EventType, Record]]]
"""Makes the events of one resource. Raises `Unusable`; yields nothing for what is no event of ours."""


def envelope(
    resource: Resource,
    event: EventType,
    context: Context,
    bundle: Bundle,
    *,
    occurred: Moment,
    recorded: object,
    part: str = "",
) -> Record:
    """The envelope of an event that `resource` is made into; `part` tells several events of one resource apart.

    `recorded` is the resource's own time of being written down. It was written anew since where its meta says so:
    the newer of the two is the version, by which a correction is told from what it corrects.
    """
    meta = resource.get("meta")
    updated = meta.get("lastUpdated") if isinstance(meta, dict) else None
    times = [at for text in (recorded, updated) if (at := moment(text, context.zone)) is not None]
    written = max(times, key=lambda time: time.at, default=None)
    return {
        "event_id": context.ids.of(event, record_key(resource) + part),
        "source_id": context.source_id,
        "subject_scheme": f"hospital/{context.site}",
        "subject_id": _patient_id(resource, bundle),
        "occurred_at": occurred.at,
        "occurred_offset_minutes": occurred.offset_minutes,
        "recorded_at": written.at if written else context.recorded_at,
    }


def is_withdrawn(resource: Resource) -> bool:
    """Whether the resource says that it should never have been recorded."""
    verification = codings(resource.get("verificationStatus"))
    return ENTERED_IN_ERROR in (resource.get("status"), *(code for _, code in verification))


def record_key(resource: Resource) -> str:
    """The source's own key: type and id; a resource without an id is known by its content."""
    return f"{resource['resourceType']}/{resource.get('id') or content_key(resource)}"


def _patient_id(resource: Resource, bundle: Bundle) -> str:
    if resource["resourceType"] == "Patient":
        found = resource.get("id")
    else:
        subject = resource.get("subject") or {}
        target = bundle.target(resource, subject)
        if target is not None and target.get("resourceType") != "Patient":
            raise Unusable("subject is no Patient")
        text = str(subject.get("reference", "")) if target is None else ""
        if target is None and "/" in text and "Patient/" not in text:
            raise Unusable("subject is no Patient")
        found = target.get("id") if target is not None else text.rsplit("/", 1)[-1].removeprefix("urn:uuid:")
    if not isinstance(found, str) or not found:
        raise Unusable("no subject" if resource["resourceType"] != "Patient" else "no id")
    return found


def codings(concept: Any) -> list[tuple[str, str]]:
    """The (system, code) pairs of a CodeableConcept, in its order."""
    if not isinstance(concept, dict):
        return []
    return [
        (str(coding.get("system", "")), str(coding["code"]))
        for coding in concept.get("coding", [])
        if coding.get("code")
    ]


def code_in(concept: Any, system: str) -> str | None:
    """The first code of a CodeableConcept in `system`."""
    return next((code for found, code in codings(concept) if found == system), None)


def display(concept: Any) -> str | None:
    """The source's text for a CodeableConcept."""
    if not isinstance(concept, dict):
        return None
    return concept.get("text") or next((c["display"] for c in concept.get("coding", []) if c.get("display")), None)


def quantity(found: Any) -> tuple[float | None, str | None]:
    """Value and UCUM unit of a Quantity (the human unit where no code is given). Raises `Unusable` for a mere bound."""
    if not isinstance(found, dict):
        return None, None
    if found.get("comparator"):
        raise Unusable("a quantity is only a bound (comparator)")
    value = found.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None, None
    return float(value), found.get("code") or found.get("unit")


def first_moment(resource: Resource, context: Context, *names: str) -> Moment:
    """The first of the elements `names` that holds a time (a Period counts by its start). Raises `Unusable`."""
    for name in names:
        value = resource.get(name)
        found = moment(value.get("start") if isinstance(value, dict) else value, context.zone)
        if found is not None:
            return found
    raise Unusable(f"no usable time in {' or '.join(names)}")
