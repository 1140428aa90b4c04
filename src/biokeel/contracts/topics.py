"""Every event type, every topic name and the zone that a topic belongs to.

A source writes `raw.<source>.<domain>.<event>` (one Confluent-framed Avro event a message), a topic of its own that
only the vault zone may read, and reads `receipts.<source>`. The pseudonymiser writes `pseudo.<domain>.<event>` (one
block of events a message, see `biokeel.contracts.blocks`) and the research zone reads it. Person events end in the
vault, so they have no pseudo topic.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Final

RAW: Final = "raw."
PSEUDO: Final = "pseudo."
RECEIPTS: Final = "receipts."


class Zone(StrEnum):
    """Which side of the privacy wall may read a topic."""

    VAULT = "vault"
    RESEARCH = "research"


class Domain(StrEnum):
    """What an event is about."""

    GENOME = "genome"
    CLINICAL = "clinical"
    LIFESTYLE = "lifestyle"
    PERSON = "person"


@dataclass(frozen=True, slots=True, order=True)
class EventType:
    """One kind of event, for example `clinical.blood_pressure`."""

    domain: Domain
    name: str

    def __str__(self) -> str:
        return f"{self.domain}.{self.name}"

    def raw_topic(self, source: str) -> str:
        """The topic that `source` writes."""
        return f"{RAW}{source}.{self}"

    @property
    def pseudo_topic(self) -> str:
        """The topic of pseudonymised blocks; person events have none, so this is only for the other domains."""
        return f"{PSEUDO}{self}"

    @property
    def subject(self) -> str:
        """The subject of the event's schema in the catalogue: one for all sources."""
        return f"{RAW}{self}-value"

    @property
    def is_person(self) -> bool:
        """Whether the event is applied in the vault instead of being landed."""
        return self.domain is Domain.PERSON


PERSON_EVENTS: tuple[EventType, ...] = tuple(
    EventType(Domain.PERSON, name) for name in ("enrolment", "identifier_link", "consent_change", "merge", "withdrawal")
)
LANDED_EVENTS: tuple[EventType, ...] = (
    *(EventType(Domain.GENOME, name) for name in ("sample_manifest", "qc_metrics", "variant_file_ready")),
    *(
        EventType(Domain.CLINICAL, name)
        for name in ("blood_pressure", "glucose", "diagnosis", "lab_result", "medication", "vital_sign")
    ),
    *(EventType(Domain.LIFESTYLE, name) for name in ("diet", "exercise", "sleep", "questionnaire")),
)
EVENTS: tuple[EventType, ...] = (*PERSON_EVENTS, *LANDED_EVENTS)

_BY_TEXT = {str(event): event for event in EVENTS}


def event_type(text: str) -> EventType:
    """The event type that `text` names, for example `clinical.glucose`.

    Raises `KeyError` for anything else; callers at an edge say what the reader should have written.
    """
    return _BY_TEXT[text]


@cache
def raw_of(topic: str) -> tuple[str, EventType]:
    """Whose raw topic it is, and of which event type. Raises `KeyError` for any other topic."""
    prefix, source, event = (*topic.split(".", 2), "", "")[:3]
    if prefix + "." != RAW:
        raise KeyError(topic)
    return source, event_type(event)


@cache
def event_of(topic: str) -> EventType:
    """The event type of a raw or pseudo topic. Raises `KeyError` for any other topic."""
    return event_type(topic.removeprefix(PSEUDO)) if topic.startswith(PSEUDO) else raw_of(topic)[1]


def receipts_topic(source: str) -> str:
    """The topic that says to `source` what became of its events."""
    return f"{RECEIPTS}{source}"
