"""What all FHIR resources share: codings, times, quantities, the envelope."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from biokeel.contracts.identity import ENTERED_IN_ERROR
from biokeel.contracts.topics import EventType
from biokeel.source.adapters.base import Context, Record, Unusable, stated_times
from biokeel.source.adapters.fhir_bundle import Bundle
from biokeel.source.adapters.fhir_references import Resource
from biokeel.source.times import Moment, moment

LOINC: Final = "http://loinc.org"


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
    subject = bundle.subject(resource)
    return {
        "event_id": context.ids.of(event, bundle.key(resource) + part),
        "source_id": context.source_id,
        "subject_scheme": subject.scheme,
        "subject_id": subject.value,
    } | stated_times(occurred, written, context)


def is_withdrawn(resource: Resource) -> bool:
    """Whether the resource says that it should never have been recorded."""
    verification = codings(resource.get("verificationStatus"))
    return ENTERED_IN_ERROR in (resource.get("status"), *(code for _, code in verification))


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
