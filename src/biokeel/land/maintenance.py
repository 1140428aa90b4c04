"""Keeping the lake in order: the participants table, compaction, old files. Never on the hot path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake

from biokeel.contracts.topics import EventType
from biokeel.errors import CommitConflict
from biokeel.land.checkpoint import Mapped, conflicts, noted
from biokeel.land.lake import Lake
from biokeel.land.snapshots import Point, Snapshots

REFRESHES: Final = 5
"""How often to try while other processes make the participants table too: they are few, and each is done at once."""

COMPACTIONS: Final = 5
"""How often to try while others take rows out of the table."""
_WRITER: Final = WriterProperties(compression="ZSTD", compression_level=3)

Build = Callable[[Mapping[tuple[EventType, int], bytes], tuple[EventType, ...]], pl.DataFrame]
"""Makes the participants of some event types from all newest snapshots: `biokeel.link.participants.from_snapshots`."""


def refresh_participants(lake: Lake, build: Build) -> int | None:
    """Make the participants table anew from the newest snapshots; returns its rows, None where nothing is newer.

    The table carries the age of each snapshot that it was made from, as app transactions, so an idle worker can
    ask as often as it likes, and a slower process cannot put an older picture over a newer one: where another one was
    quicker, its picture is looked at, and replaced only if it is older. Raises `CommitConflict` where others are
    quicker each of `REFRESHES` times. A crash leaves the old table or the new one. Readers see no gap.
    """
    for _ in range(REFRESHES):
        with Mapped(lake.participants):
            table = _participants(lake, build)
        snapshots = _newer(Snapshots(lake), table)
        if snapshots is None:
            return None
        frame = build({key: data for key, (_point, data) in snapshots.items()}, lake.events())
        transactions = [Transaction(made_from(*key), point.age) for key, (point, _data) in snapshots.items()]
        try:
            with Mapped(lake.participants), conflicts():
                write_deltalake(
                    table,
                    frame,
                    mode="overwrite",
                    schema_mode="overwrite",
                    writer_properties=_WRITER,
                    commit_properties=CommitProperties(app_transactions=transactions),
                )
        except CommitConflict as error:
            conflict = error
            continue
        return frame.height
    raise conflict


def _newer(snapshots: Snapshots, table: DeltaTable) -> dict[tuple[EventType, int], tuple[Point, bytes]] | None:
    """All newest snapshots with their points; None where `table` was made from all of them."""
    points = snapshots.points()
    if all(noted(table, made_from(*key)) >= point.age for key, point in points.items()):
        return None
    found = {key: snapshots.latest(*key) for key in points}
    return {key: each for key, each in found.items() if each is not None}


@dataclass(frozen=True, slots=True)
class Compacted:
    """What `compact` did to one table: files before and after."""

    uri: str
    before: int
    after: int


def compact(lake: Lake, uri: str, *, by_participant: bool = False) -> Compacted:
    """Rewrite the small files of the table at `uri` as few; `by_participant` rewrites all, ordered by participant.

    Rows and positions stay as they are. A landing that happens meanwhile is not disturbed: it only adds files. Who
    takes rows out meanwhile wins, and the files are chosen anew; raises `CommitConflict` where that happens each of
    `COMPACTIONS` times. Also writes a checkpoint and clears away log entries past their time (`LOG_KEPT`), so that
    opening the table costs the same after a hundred thousand commits. A crash leaves files that `vacuum` takes.
    """
    for _ in range(COMPACTIONS):
        try:
            with Mapped(uri), conflicts():
                table = DeltaTable(uri, storage_options=lake.options)
                before = len(table.file_uris())
                if by_participant and before:
                    table.optimize.z_order(["participant_id"], writer_properties=_WRITER)
                else:
                    table.optimize.compact(writer_properties=_WRITER)
                after = len(table.file_uris())
                table.create_checkpoint()
                table.cleanup_metadata()
                return Compacted(uri, before, after)
        except CommitConflict as error:
            conflict = error
    raise conflict


@dataclass(frozen=True, slots=True)
class Vacuumed:
    """What `vacuum` found in one table, and deleted unless it was only asked."""

    uri: str
    files: int
    size: int
    """Bytes."""


def vacuum(lake: Lake, uri: str, *, hours: int, delete: bool) -> Vacuumed:
    """Files in the folder of the table at `uri` that no version of the last `hours` needs; deletes them if asked to.

    What a writer has put there and not committed yet is as young as its landing, so `hours` must be more than a landing
    or a long reading takes. Linking state, the log and the positions in it are no files of a table: they stay. After it
    the table can be restored only to versions of the last `hours`. A crash leaves the rest to the next call.
    """
    prefix = lake.key(uri)
    sizes = lake.objects.sizes(f"{prefix}/")
    with Mapped(uri):
        table = DeltaTable(uri, storage_options=lake.options)
        found = table.vacuum(hours, dry_run=not delete, enforce_retention_duration=False, full=True)
    # delta-rs names what the log has taken out, also where an earlier vacuum deleted it long ago.
    there = [size for name in found if (size := sizes.get(f"{prefix}/{name}")) is not None]
    return Vacuumed(uri, len(there), sum(there))


def _participants(lake: Lake, build: Build) -> DeltaTable:
    DeltaTable.create(
        lake.participants,
        build({}, lake.events()).to_arrow().schema,
        mode="ignore",
        # No statistics at all: they would put participants' IDs and lone persons' days into the log.
        configuration={"delta.dataSkippingNumIndexedCols": "0"},
        storage_options=lake.options,
    )
    return DeltaTable(lake.participants, storage_options=lake.options)


def made_from(event: EventType, partition: int) -> str:
    """The app transaction by which the participants table says which snapshot of a partition it was made from."""
    return f"{event.pseudo_topic}/{partition}/snapshot"
