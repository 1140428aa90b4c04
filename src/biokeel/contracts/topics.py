"""Every event type, every topic name and the zone that a topic belongs to.

Sources write `raw.<domain>.<event>` (one Confluent-framed Avro event a message) and only the vault zone may read it.
The pseudonymiser writes `pseudo.<domain>.<event>` (one block of events a message, see `biokeel.contracts.blocks`) and
the research zone reads it. Person events end in the vault, so they have no pseudo topic.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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

    @property
    def raw_topic(self) -> str:
        """The topic that sources write."""
        return f"raw.{self}"

    @property
    def pseudo_topic(self) -> str:
        """The topic of pseudonymised blocks; person events have none, so this is only for the other domains."""
        return f"pseudo.{self}"

    @property
    def subject(self) -> str:
        """The subject of the event's schema in the catalogue (Confluent's TopicNameStrategy)."""
        return f"{self.raw_topic}-value"

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
    """The event type that `text` names: `clinical.glucose`, or a raw or pseudo topic of it.

    Raises `KeyError` for anything else; callers at an edge say what the reader should have written.
    """
    return _BY_TEXT[text.removeprefix("raw.").removeprefix("pseudo.")]
