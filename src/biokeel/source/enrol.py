"""Enrolment events for files that hold measurements of people and nothing about the people (`publish --enrol`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from biokeel.contracts.topics import EventType
from biokeel.source.adapters.base import Context, Record
from biokeel.source.adapters.fhir_patient import ALL_DOMAINS, ENROLMENT


class Enroller:
    """Puts an enrolment before the first event of each subject that has none; one run of a source, one enroller."""

    def __init__(self) -> None:
        self._known: set[tuple[str, str]] = set()

    def before(
        self, event: EventType, rows: Sequence[Record] | pl.DataFrame, context: Context
    ) -> Iterator[tuple[EventType, Sequence[Record] | pl.DataFrame]]:
        """Yield what must be published for `rows`: enrolments of its new subjects, then `rows`.

        The person is taken to have consented when the first of these events happened; sex is unknown and every domain
        is consented to, because the file says nothing.
        """
        records = rows.to_dicts() if isinstance(rows, pl.DataFrame) else rows
        if event.is_person:
            for record in records:
                self._known.add((record["subject_scheme"], record["subject_id"]))
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
                yield ENROLMENT, [_enrolment(record, context) for record in first.values()]
        yield event, rows


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
        "consent_scope": ALL_DOMAINS,
    }
