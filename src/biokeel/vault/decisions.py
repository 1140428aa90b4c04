"""What the vault has decided about raw events, by offset and reason only, for those who keep the books.

It takes the database, opened read only, and no key: digests and sealed bytes stay shut for who has none. The columns
that are read are all that a reader's account on PostgreSQL has to be granted (docs/operations.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import polars as pl
import sqlalchemy as sa

from biokeel.vault.database import Database
from biokeel.vault.tables import APPLIED, DEAD_LETTER, PARKED, Parked, within

if TYPE_CHECKING:
    from biokeel.batch import RawPartition
    from biokeel.contracts.topics import EventType
    from biokeel.settings import Settings

BOOKS: Final = {"offset": pl.Int64(), "place": pl.String(), "reason": pl.String()}


class Decisions:
    """A reader of the vault's decisions."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._made = False

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open what `vault_url` names, which need not exist yet. Raises `SettingsError` where it is not set."""
        settings.require("vault_url")
        return cls(Database(settings.vault_url, read_only=True))

    def books(self, event: EventType, origin: RawPartition) -> pl.DataFrame:
        """See `books`. A vault that no worker has opened yet has decided nothing. Raises `VaultUnavailable`."""
        # One transaction makes all tables.
        self._made = self._made or self._database.has(APPLIED)
        if not self._made:
            return pl.DataFrame(schema=BOOKS)
        with self._database.read() as connection:
            return books(connection, event, origin)

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def books(connection: sa.Connection, event: EventType, origin: RawPartition) -> pl.DataFrame:
    """`BOOKS` of one raw partition, by offset; place is parked, released, sealed or applied."""
    rows: list[tuple[int, str, str | None]] = []
    parked = sa.select(PARKED.c.offset, PARKED.c.state).where(*within(PARKED, event, origin))
    for offset, state in connection.execute(parked):
        rows.append((offset, "released" if state == Parked.RELEASED else "parked", None))
    dead = sa.select(DEAD_LETTER.c.offset, DEAD_LETTER.c.reason).where(*within(DEAD_LETTER, event, origin))
    rows += [(offset, "sealed", reason) for offset, reason in connection.execute(dead)]
    applied = sa.select(APPLIED.c.offset).where(*within(APPLIED, event, origin))
    rows += [(offset, "applied", None) for (offset,) in connection.execute(applied)]
    return pl.DataFrame(rows, schema=BOOKS, orient="row").sort("offset")
