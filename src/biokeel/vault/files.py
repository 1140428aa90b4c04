"""What the check of an event's file found, by the event's coordinates: what a parked event is let on, or sealed, by.

The verdict is written in the transaction in which the event gets its release number, so there is none without the
other, and an event that waits has none that counts. A verdict is about the participant whose ID the new file has: where
the person was merged into another before the event goes on, it waits for its file once more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlalchemy as sa

from biokeel.batch import At
from biokeel.contracts.ids import encode_id
from biokeel.errors import VaultError
from biokeel.reasons import Reason
from biokeel.vault.database import chunks
from biokeel.vault.tables import AUDIT, DELETED_FILE, FILE_VERDICT, place, within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from biokeel.batch import RawPartition
    from biokeel.contracts.topics import EventType
    from biokeel.vault.database import Database


@dataclass(frozen=True, slots=True)
class FileVerdict:
    """`reason` is null for a good file, which stands anew as `size` bytes of `sha256` in `file_format`.

    `detail` says which rule a refused file breaks, without a value. `deletions` is what the function says of `key`
    before the file is written or found there: if it was deleted since, the verdict is none.
    """

    participant: int
    reason: Reason | None = None
    detail: str = ""
    size: int = 0
    sha256: str = ""
    file_format: str = ""
    deletions: int = field(default=0, compare=False)

    @property
    def key(self) -> str:
        """The name of a good file in the genome bucket: of the participant and of its content."""
        return f"{encode_id(self.participant)}/{self.sha256}.{self.file_format}"


def write(connection: sa.Connection, database: Database, event: EventType, at: At, verdict: FileVerdict) -> None:
    """Write what was found, in place of what an earlier check found.

    Raises `VaultError` where the new file was deleted since it was written, or is about to be.
    """
    if verdict.reason is None and deletions(connection, verdict.key) != verdict.deletions:
        raise VaultError("The new file of an event was deleted while it was checked.", "It is checked again.")
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


def named(connection: sa.Connection) -> set[str]:
    """The keys of all files in the genome bucket that a good verdict names."""
    columns = FILE_VERDICT.c
    found = connection.execute(
        sa.select(columns.participant, columns.sha256, columns.file_format).where(columns.reason == "")
    )
    return {FileVerdict(row[0], sha256=row[1], file_format=row[2]).key for row in found}


def known_since(connection: sa.Connection) -> int:
    """When (ms) an older vault was accepted last, 0 for never: of files from before it nobody knows what names them."""
    at = sa.select(sa.func.max(AUDIT.c.at)).where(AUDIT.c.action == "accept_older_vault")
    return int(connection.execute(at).scalar_one() or 0)


def deletions(connection: sa.Connection, key: str) -> int:
    """How many times the file `key` was deleted. Raises `VaultError` where it is to be deleted just now."""
    row = connection.execute(sa.select(DELETED_FILE).where(DELETED_FILE.c.key == key)).one_or_none()
    if row is not None and row.condemned:
        raise VaultError(
            "The new file of an event is being deleted, as one that no event named.",
            "If biokeel vault tidy-files was stopped, run it again; then the event goes on.",
        )
    return 0 if row is None else int(row.times)


def condemned(connection: sa.Connection) -> list[str]:
    """The keys of files that are to be deleted."""
    return list(connection.execute(sa.select(DELETED_FILE.c.key).where(DELETED_FILE.c.condemned)).scalars())


def condemn(connection: sa.Connection, database: Database, key: str) -> bool:
    """Let no verdict name `key` until it is deleted; false, and nothing is written, where one does."""
    if key in named(connection):
        return False
    database.insert_new(connection, DELETED_FILE, [{"key": key, "condemned": False, "times": 0}])
    connection.execute(sa.update(DELETED_FILE).where(DELETED_FILE.c.key == key).values(condemned=True))
    return True


def deleted(connection: sa.Connection, key: str) -> bool:
    """Note that the condemned file `key` is deleted; false where it is not condemned (any more)."""
    columns = DELETED_FILE.c
    change = sa.update(DELETED_FILE).where(columns.key == key, columns.condemned)
    return connection.execute(change.values(condemned=False, times=columns.times + 1)).rowcount == 1
