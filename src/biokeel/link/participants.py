"""The participants table: one row a person, made from the linking states of every event type and partition.

It is the index of the lake: who has what, since when, and how much. Nobody merges into it: it is made anew from the
snapshots, so it is as old as the oldest of them, and it counts curated events only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

import polars as pl

from biokeel.contracts.ids import encode_ids
from biokeel.contracts.topics import Domain, EventType
from biokeel.link.state import PersonState, from_bytes
from biokeel.link.table import RECORD

COVERED: Final = (Domain.GENOME, Domain.CLINICAL, Domain.LIFESTYLE)
_NO_EVENT: Final = EventType(Domain.CLINICAL, "none")
_TIME = pl.Datetime("ms", "UTC")


def participants_columns(events: Iterable[EventType]) -> dict[str, pl.DataType]:
    """Names and types of the participants table over `events`, the types that land, in order.

    `participant_id`; `events`, `first_at`, `last_at` over all event types (by `occurred_at`); whether there is
    anything of each domain; then for each event type `<domain>_<event>_count`, `_first_at` and `_last_at` (null where
    there is none).
    """
    columns: dict[str, pl.DataType] = {
        "participant_id": pl.String(),
        "events": pl.Int64(),
        "first_at": _TIME,
        "last_at": _TIME,
    }
    columns |= {f"has_{domain}": pl.Boolean() for domain in COVERED}
    for event in events:
        prefix = _prefix(event)
        columns |= {f"{prefix}_count": pl.Int64(), f"{prefix}_first_at": _TIME, f"{prefix}_last_at": _TIME}
    return columns


def participants_frame(states: Iterable[tuple[EventType, PersonState]], events: Collection[EventType]) -> pl.DataFrame:
    """One row for each participant in any of `states`, by participant number, in `participants_columns` of `events`.

    An event type may come many times, once for each pseudo partition; a participant is in one partition of each type.
    """
    long = pl.concat([_long(event, state) for event, state in states] or [_long(_NO_EVENT, PersonState())])
    of = {event: pl.col("event") == str(event) for event in events}
    kinds = []
    for event, mine in of.items():
        prefix = _prefix(event)
        kinds += [
            pl.col("count").filter(mine).sum().alias(f"{prefix}_count"),
            pl.col("first_ms").filter(mine).min().cast(_TIME).alias(f"{prefix}_first_at"),
            pl.col("last_ms").filter(mine).max().cast(_TIME).alias(f"{prefix}_last_at"),
        ]
    frame = (
        long.group_by("participant")
        .agg(
            pl.col("count").sum().alias("events"),
            pl.col("first_ms").min().cast(_TIME).alias("first_at"),
            pl.col("last_ms").max().cast(_TIME).alias("last_at"),
            *(pl.col("domain").eq(str(domain)).any().alias(f"has_{domain}") for domain in COVERED),
            *kinds,
        )
        .sort("participant")
    )
    return frame.select(
        encode_ids(frame["participant"]).alias("participant_id"),
        *(pl.col(name).cast(kind) for name, kind in participants_columns(events).items() if name != "participant_id"),
    )


def from_snapshots(snapshots: Mapping[tuple[EventType, int], bytes], events: Collection[EventType]) -> pl.DataFrame:
    """`participants_frame` of what `biokeel.land` keeps: (event type, pseudo partition) → bytes of the snapshot."""
    states = ((event, from_bytes(data).state) for (event, _partition), data in snapshots.items())
    return participants_frame(states, events)


def _long(event: EventType, state: PersonState) -> pl.DataFrame:
    run = state.whole()
    records = dict(zip(RECORD, run.values.T, strict=True))
    return pl.DataFrame(
        {
            "participant": pl.Series(run.participants, dtype=pl.Int64),
            "count": records["count"],
            "first_ms": records["first_ms"],
            "last_ms": records["last_ms"],
        }
    ).with_columns(pl.lit(str(event)).alias("event"), pl.lit(str(event.domain)).alias("domain"))


def _prefix(event: EventType) -> str:
    return f"{event.domain}_{event.name}"
