"""Merges and replays: an event that was decided before a merge keeps its participant.

A row's participant says to which pseudo partition it goes, and there `curate` drops what comes twice. If a replay gave
another participant than the first time, the row would go to another partition, which has not seen it, and land twice.
So a merge takes effect for undecided events only: in its transaction it writes down how far each partition was decided
(`MERGE_MARK`), and a replay of what lies at or below that mark is answered as before the merge.

The marks are written with the merge or not at all; dying changes nothing about that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa

from biokeel.batch import STREAM_PARKING, STREAM_RAW
from biokeel.vault.database import chunks
from biokeel.vault.tables import MERGE_MARK, PARKED, PARTICIPANT, PROGRESS, Parked, within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from biokeel.batch import RawPartition
    from biokeel.contracts.topics import EventType

    Place = tuple[EventType, RawPartition, str]

_STEPS: Final = {"then": pl.Int64(), "into": pl.Int64(), "last": pl.Int64()}


def mark(connection: sa.Connection, merged: Sequence[int]) -> None:
    """Write down how far every partition is decided, for participants that are merged in this exclusive transaction."""
    if not merged:
        return
    offered = (
        sa.select(*_partition(PARKED), sa.func.max(PARKED.c.release_number).label("last"))
        .where(PARKED.c.state.in_((Parked.OFFERED, Parked.RELEASED)))
        .group_by(*_partition(PARKED))
    )
    decided = sa.select(*_partition(PROGRESS), PROGRESS.c.decided.label("last"))
    rows: list[dict[str, Any]] = [
        {"participant": participant, "stream": stream, **row}
        for stream, query in ((STREAM_RAW, decided), (STREAM_PARKING, offered))
        for row in connection.execute(query).mappings().all()
        for participant in merged
    ]
    if rows:
        connection.execute(sa.insert(MERGE_MARK), rows)


def before_merges(connection: sa.Connection, place: Place, first: pl.Series, numbers: pl.Series) -> pl.Series:
    """Whose each event was when it was decided: `first` (Int64), followed through the merges that came earlier.

    `place` is event type, raw partition and stream; `numbers` (Int64) are the events' offsets or release numbers in it.
    """
    event, origin, stream = place
    here = sa.and_(
        MERGE_MARK.c.participant == PARTICIPANT.c.participant,
        *within(MERGE_MARK, event, origin),
        MERGE_MARK.c.stream == stream,
    )
    then = first.alias("then")
    while True:
        steps = _steps(connection, here, then.unique().to_list())
        reached = pl.DataFrame([then, numbers.alias("number")]).join(
            steps, on="then", how="left", maintain_order="left"
        )
        follows = pl.col("into").is_not_null() & (pl.col("last").fill_null(-1) < pl.col("number"))
        after = reached.select(pl.when(follows).then("into").otherwise("then").alias("then")).to_series()
        if after.equals(then):
            return then
        then = after


def _partition(table: sa.Table) -> tuple[sa.Column[Any], ...]:
    return table.c.event, table.c.source, table.c.partition


def _steps(connection: sa.Connection, here: sa.ColumnElement[bool], participants: list[int]) -> pl.DataFrame:
    """Into whom each of `participants` was merged, if at all, and how far it was decided `here` then."""
    query = sa.select(PARTICIPANT.c.participant, PARTICIPANT.c.merged_into, MERGE_MARK.c.last).join_from(
        PARTICIPANT, MERGE_MARK, here, isouter=True
    )
    found: list[tuple[Any, ...]] = []
    for some in chunks(participants):
        where = (PARTICIPANT.c.participant.in_(some), PARTICIPANT.c.merged_into.is_not(None))
        found += [tuple(row) for row in connection.execute(query.where(*where))]
    return pl.DataFrame(found, schema=_STEPS, orient="row")
