"""One participant's events of all domains, in the order in which they happened."""

from __future__ import annotations

from typing import Any, Final

import polars as pl
from deltalake import DeltaTable

from biokeel.batch import COORDINATES, ENVELOPE, POSITION
from biokeel.contracts.identity import KEY, VERSION, is_withdrawal
from biokeel.contracts.topics import EventType
from biokeel.land.checkpoint import Mapped
from biokeel.land.columns import CURATED_STAMPS
from biokeel.land.lake import Lake
from biokeel.land.reading import collect, scan

TIMELINE: Final[dict[str, pl.DataType]] = {
    "occurred_at": pl.Datetime("us", "UTC"),
    "event": pl.String(),
    "sequence": pl.Int64(),
    "source_id": pl.String(),
    "age_at_event": pl.Int32(),
    "days_since_enrolment": pl.Int32(),
    "warnings": pl.List(pl.String()),
    "fields": pl.String(),
}
"""Columns of `timeline`; `fields` is a JSON object of what the event itself says, without nulls left out."""

_OURS = {"participant_id", *ENVELOPE, *CURATED_STAMPS, *COORDINATES, *POSITION}


def timeline(lake: Lake, participant_id: str) -> pl.DataFrame:
    """All curated events of the participant (`TIMELINE`), by `occurred_at`; empty where there is none.

    Of an event that was corrected the newest version only, also while `tidy` has not come by yet.

    Raises `StoreUnavailable`.
    """
    found = [pl.DataFrame(schema=TIMELINE)]
    for event in lake.events():
        if (rows := _rows(lake, event)) is not None:
            own = [name for name in rows.collect_schema() if name not in _OURS]
            theirs = rows.filter(pl.col("participant_id") == participant_id).with_columns(
                is_withdrawal(own).alias("withdrawal")
            )
            newest = theirs.sort(VERSION).unique(KEY, keep="last").filter(~pl.col("withdrawal"))
            told = newest.with_columns(
                pl.lit(str(event)).alias("event"), pl.struct(own).struct.json_encode().alias("fields")
            )
            found.append(collect(told.select(pl.col(name).cast(kind) for name, kind in TIMELINE.items())))
    return pl.concat(found).sort("occurred_at", "event", "sequence")


def summary(lake: Lake, participant_id: str) -> dict[str, Any] | None:
    """The participant's row of the participants table, None where it has none (yet).

    Values are those of `biokeel.link.participants.participants_columns`.
    """
    with Mapped(lake.participants):
        if not DeltaTable.is_deltatable(lake.participants, lake.options):
            return None
    rows = collect(scan(lake.participants, lake).filter(pl.col("participant_id") == participant_id))
    return rows.row(0, named=True) if rows.height else None


def _rows(lake: Lake, event: EventType) -> pl.LazyFrame | None:
    uri = lake.curated(event)
    with Mapped(uri):
        there = DeltaTable.is_deltatable(uri, lake.options)
    return scan(uri, lake) if there else None
