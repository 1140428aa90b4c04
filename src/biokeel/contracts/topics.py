"""Event types, topic names, and the zone that a topic belongs to.

Which event types there are is no matter of code: those that the catalogue holds (`biokeel.contracts.catalogue`). Only
person events are a closed set, because the vault acts on each in its own way.

A source writes `raw.<source>.<domain>.<event>` (one Confluent-framed Avro event a message), a topic of its own that
only the vault zone may read, and reads `receipts.<source>`. The pseudonymiser writes `pseudo.<domain>.<event>` (one
block of events a message, see `biokeel.contracts.blocks`) and the research zone reads it. Person events end in the
vault, so they have no pseudo topic.
"""

from __future__ import annotations

import re
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


PERSON_EVENTS: Final[tuple[EventType, ...]] = tuple(
    EventType(Domain.PERSON, name) for name in ("enrolment", "identifier_link", "consent_change", "merge", "withdrawal")
)
_NAME: Final = re.compile("[a-z][a-z0-9_]{0,59}")
"""The name of an event type within its domain: a part of topics, folders and columns."""


@cache
def event_type(text: str) -> EventType:
    """The event type that `text` names, for example `clinical.glucose`; whether there is one, the catalogue knows.

    Raises `KeyError` for what has not the form of one, and for a person event that the vault does not know; callers at
    an edge say what the reader should have written.
    """
    domain, _, name = text.partition(".")
    if domain not in set(Domain) or not _NAME.fullmatch(name):
        raise KeyError(text)
    event = EventType(Domain(domain), name)
    if event.is_person and event not in PERSON_EVENTS:
        raise KeyError(text)
    return event


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
