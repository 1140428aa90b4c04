"""Registers of sources for tests that need no file."""

from __future__ import annotations

from biokeel.contracts.sources import Register, Source
from biokeel.contracts.topics import PERSON_EVENTS, Domain

EVERY_EVENT = (*(f"{domain}.*" for domain in Domain if domain is not Domain.PERSON), *map(str, PERSON_EVENTS))


class Trusted(Source):
    """A source that may speak of anybody."""

    def may_speak_of(self, scheme: str) -> bool:
        del scheme
        return True


def source(source_id: str, kind: type[Source] = Source, **more: object) -> Source:
    """A source that may send everything, with what `more` says instead."""
    known: dict[str, object] = {
        "id": source_id,
        "name": "Of the tests",
        "contact": "whoever runs the tests",
        "events": EVERY_EVENT,
        "schemes": ("KR_RRN",),
        "time_zone": "Asia/Seoul",
        "cadence_seconds": 3_600,
    }
    return kind.model_validate(known | more)


def trusting(*source_ids: str) -> Register:
    """A register in which each of `source_ids` may send everything about anybody."""
    return Register(source(each, Trusted) for each in source_ids)
