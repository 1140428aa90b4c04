"""What the check of an event's file found, by the event's coordinates: what a parked event is let on, or sealed, by.

The verdict is written in the transaction in which the event gets its release number, so there is none without the
other, and an event that waits has none that counts. A verdict is about the participant whose ID the new file has: where
the person was merged into another before the event goes on, it waits for its file once more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from biokeel.batch import At
from biokeel.reasons import Reason
from biokeel.vault.database import chunks
from biokeel.vault.tables import FILE_VERDICT, place, within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from biokeel.batch import RawPartition
    from biokeel.contracts.topics import EventType
    from biokeel.vault.database import Database


@dataclass(frozen=True, slots=True)
class FileVerdict:
    """`reason` is null for a good file, which stands anew as `size` bytes of `sha256` in `file_format`.

    `detail` says which rule a refused file breaks, without a value.
    """

    participant: int
    reason: Reason | None = None
    detail: str = ""
    size: int = 0
    sha256: str = ""
    file_format: str = ""


def write(connection: sa.Connection, database: Database, event: EventType, at: At, verdict: FileVerdict) -> None:
    """Write what was found, in place of what an earlier check found."""
    row = {
        **place(event, at),
        "participant": verdict.participant,
        "reason": verdict.reason or "",
        "detail": verdict.detail[:256],
        "size": verdict.size,
        "sha256": verdict.sha256,
        "file_format": verdict.file_format,
    }
    database.upsert(connection, FILE_VERDICT, [row])


def verdicts(
    connection: sa.Connection, event: EventType, origin: RawPartition, offsets: Sequence[int]
) -> dict[int, FileVerdict]:
    """By offset, what was found of the events of one raw partition; one without a verdict is left out."""
    columns = FILE_VERDICT.c
    found = (
        row
        for some in chunks(offsets)
        for row in connection.execute(
            sa.select(FILE_VERDICT).where(*within(FILE_VERDICT, event, origin), columns.offset.in_(some))
        )
    )
    return {
        row.offset: FileVerdict(
            row.participant,
            Reason(row.reason) if row.reason else None,
            row.detail,
            row.size,
            row.sha256,
            row.file_format,
        )
        for row in found
    }
