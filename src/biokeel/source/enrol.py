"""Enrolment events for files that hold measurements of people and nothing about the people (`publish --enrol`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

import polars as pl

from biokeel.contracts.topics import Domain, EventType
from biokeel.source.adapters.base import Context, Record
from biokeel.source.adapters.fhir_patient import ENROLMENT
from biokeel.source.columns import records_of

CONSENT_WORDS: Final = tuple(str(domain) for domain in Domain if domain is not Domain.PERSON)
"""What a person may consent to."""


class Enroller:
    """Puts an enrolment before the first event of each subject that has none; one run of a source, one enroller.

    `consent` is what whoever publishes says that these people agreed to, of `CONSENT_WORDS`; None where nothing is
    said, and then the enrolments state no consent. It stands in for enrolments of files that state none, too.
    """

    def __init__(self, consent: Collection[str] | None = None) -> None:
        self._known: set[tuple[str, str]] = set()
        self._consent = None if consent is None else [word for word in CONSENT_WORDS if word in consent]

    def before(
        self, event: EventType, rows: Sequence[Record] | pl.DataFrame, context: Context
    ) -> Iterator[tuple[EventType, Sequence[Record] | pl.DataFrame]]:
        """Yield what must be published for `rows`: enrolments of its new subjects, then `rows`.

        The person is taken to have been enrolled when the first of these events happened; sex is unknown, because the
        file says nothing.
        """
        records = records_of(rows)
        if event.is_person:
            for record in records:
                self._known.add((record["subject_scheme"], record["subject_id"]))
                if event == ENROLMENT:
                    self._known.update((each["scheme"], each["value"]) for each in record.get("identifiers") or ())
            if event == ENROLMENT and self._consent is not None:
                rows = [record if _states(record) else record | self._stated() for record in records]
        else:
            first: dict[tuple[str, str], Record] = {}
            for record in records:
                subject = (record["subject_scheme"], record["subject_id"])
                if subject not in self._known:
                    earliest = first.setdefault(subject, record)
                    if record["occurred_at"] < earliest["occurred_at"]:
                        first[subject] = record
            self._known.update(first)
            if first:
                yield ENROLMENT, [_enrolment(record, context) | self._stated() for record in first.values()]
        yield event, rows

    def _stated(self) -> Record:
        return {"consent_scope": self._consent or [], "consent_stated": self._consent is not None}


def states_no_consent(event: EventType, rows: Sequence[Record] | pl.DataFrame) -> int:
    """How many of `rows` are enrolments of people whose consent is not known yet."""
    if event != ENROLMENT:
        return 0
    if isinstance(rows, pl.DataFrame):
        return rows.filter(~pl.col("consent_stated")).height if "consent_stated" in rows.columns else 0
    return sum(not _states(record) for record in rows)


def _states(record: Record) -> bool:
    return record.get("consent_stated") is not False


def _enrolment(record: Record, context: Context) -> Record:
    scheme, value = record["subject_scheme"], record["subject_id"]
    return {
        "event_id": context.ids.of(ENROLMENT, f"{scheme}/{value}"),
        "source_id": context.source_id,
        "subject_scheme": scheme,
        "subject_id": value,
        "occurred_at": record["occurred_at"],
        "occurred_offset_minutes": record.get("occurred_offset_minutes"),
        "recorded_at": context.recorded_at,
        "identifiers": [],
        "sex": "unknown",
    }
