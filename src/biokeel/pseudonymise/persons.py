"""Person events, from decoded rows to what the vault applies: names, phones and addresses end here."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from biokeel.contracts.misfits import Judge, outside
from biokeel.pseudonymise.policy import coarsen
from biokeel.pseudonymise.stage import Verdicts, judge_envelope, may_speak
from biokeel.reasons import Reason
from biokeel.vault.enrolment import PersonEvent
from biokeel.vault.identifiers import normalise

if TYPE_CHECKING:
    from biokeel.batch import At, DecodedBatch, SealedRejection
    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.sources import Register
    from biokeel.vault.identifiers import Identifier

_PLAIN: Final = (
    "identifiers",
    "consent_scope",
    "consent_stated",
    "sex",
    "birth_year",
    "merged_scheme",
    "merged_id",
    "scope",
)


def read_persons(
    batch: DecodedBatch, schema: EventSchema, register: Register
) -> tuple[list[PersonEvent], list[SealedRejection]]:
    """The events of `batch` that can be applied, in order, and those whose envelope or a field's form is not valid.

    Of these nothing is withheld: what a person event says is stamped on the person's others, or decides about them.
    A loop over events: person events are few, and each is a change of a database.
    """
    frame = batch.frame
    subjects = [normalise(*pair) for pair in frame.select("subject_scheme", "subject_id").iter_rows()]
    verdicts = Verdicts(frame.height)
    valid = pl.Series([each is not None for each in subjects], dtype=pl.Boolean)
    judge_envelope(batch, valid, register, verdicts)
    for name, schemes in _others(frame).items():
        owners = batch.raw.sources.gather(schemes["row"])
        refused = schemes["row"].filter(~may_speak(owners, schemes["scheme"], register))
        verdicts.reject(np.isin(np.arange(frame.height), refused.to_numpy()), Reason.SCHEME_NOT_GRANTED, name)
    for field in schema.kept():
        if field.form is not None and (wrong := Judge(field.form).misfits(frame[field.name], frame)) is not None:
            verdicts.reject(wrong, Reason.PERSON_INVALID, field.name)
        if field.form is None and field.range is not None:
            wrong = outside(frame[field.name], field.range.least, field.range.greatest)
            if wrong is not None:
                verdicts.reject(wrong, Reason.PERSON_INVALID, field.name)
    good = verdicts.good
    coarse = [expression for each in schema.payload if each.coarsen and (expression := coarsen(each)) is not None]
    columns = frame.select(
        "occurred_at", "occurred_offset_minutes", *(name for name in _PLAIN if name in frame.columns), *coarse
    )
    raw = batch.raw
    events = [
        _event(raw.at(row), raw.values[row] or b"", subject, values)
        for row, (subject, values) in enumerate(zip(subjects, columns.iter_rows(named=True), strict=True))
        if good[row] and subject is not None
    ]
    return events, verdicts.rejections(batch)


def _others(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The schemes that a person event speaks of beside its subject's, by field: `row` and `scheme`."""
    rows = frame.with_row_index("row")
    found = {}
    if "identifiers" in frame.columns:
        each = rows.select("row", "identifiers").explode("identifiers").drop_nulls("identifiers")
        found["identifiers"] = each.select("row", pl.col("identifiers").struct.field("scheme"))
    if "merged_scheme" in frame.columns:
        found["merged_scheme"] = rows.select("row", pl.col("merged_scheme").alias("scheme"))
    return found


def _event(at: At, payload: bytes, subject: Identifier, row: dict[str, Any]) -> PersonEvent:
    decided: dt.datetime = row["occurred_at"]
    local = decided + dt.timedelta(minutes=row["occurred_offset_minutes"] or 0)
    merged = normalise(row["merged_scheme"], row["merged_id"]) if "merged_id" in row else None
    return PersonEvent(
        at=at,
        payload=payload,
        subject=subject,
        decided_at=round(decided.timestamp() * 1000),
        day=local.date(),
        identifiers=tuple(normalise(each["scheme"], each["value"]) for each in row.get("identifiers") or ()),
        consent_scope=tuple(row.get("consent_scope") or ()) if row.get("consent_stated", True) else None,
        birth_year=row["birth_date_year"] if row.get("birth_date_year") is not None else row.get("birth_year"),
        sex=row.get("sex"),
        province=row.get("address_province"),
        merged=merged,
        scope=row.get("scope") or "",
    )
