"""What the vault has decided about raw events, by offset and reason only, for those who keep the books.

It takes the database, opened read only, and no key: digests and sealed bytes stay shut for who has none. The columns
that are read are all that a reader's account on PostgreSQL has to be granted (docs/operations.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Self

import polars as pl
import sqlalchemy as sa

from biokeel.contracts.clients import Client
from biokeel.vault import decision_log
from biokeel.vault.database import Database
from biokeel.vault.tables import APPLIED, CLIENT, DEAD_LETTER, DECISION, PARKED, VOID, Parked, within

if TYPE_CHECKING:
    from biokeel.batch import RawPartition
    from biokeel.contracts.topics import EventType
    from biokeel.settings import Settings

BOOKS: Final = {"offset": pl.Int64(), "place": pl.String(), "reason": pl.String()}
DECIDED: Final = {
    "event": pl.String(),
    "source": pl.String(),
    "partition": pl.Int32(),
    "first": pl.Int64(),
    "last": pl.Int64(),
    "place": pl.String(),
    "reason": pl.String(),
}
"""What is known of a run of offsets: where its events lie, by the names of `decision_log`."""
_RUN: Final = ("event", "source", "partition", "first", "last")
MOST: Final = 20_000
"""Decisions that are read in one go."""
FETCHED: Final = 50_000
"""Rows of a table that are in memory at a time when all of it is read."""


class Decided(NamedTuple):
    """Decisions (`DECIDED`), in order, with the number and the mark of the last: see `vault.tables.DECISION`."""

    frame: pl.DataFrame
    number: int
    mark: int


class Decisions:
    """A reader of the vault's decisions. A vault that no worker has opened yet has decided nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._made = False

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open what `vault_url` names, which need not exist yet. Raises `SettingsError` where it is not set."""
        settings.require("vault_url")
        return cls(Database(settings.vault_url, read_only=True))

    def since(self, number: int, mark: int, up_to: int | None = None) -> Decided | None:
        """What was decided after `number` (-1: from the beginning), at most `MOST` of it and not above `up_to`.

        None where the decision of that number is not the one with that mark (any more): the vault was restored, so
        `whole` tells what holds. Raises `VaultUnavailable`.
        """
        if not self._is_made():
            return Decided(pl.DataFrame(schema=DECIDED), number, mark) if number == -1 else None
        query = sa.select(DECISION).where(DECISION.c.number >= number).order_by(DECISION.c.number).limit(MOST)
        if up_to is not None:
            query = query.where(DECISION.c.number <= up_to)
        with self._database.read() as connection:
            rows = list(connection.execute(query))
        if number >= 0:
            if not rows or (rows[0].number, rows[0].mark) != (number, mark):
                return None
            number, mark = rows[-1].number, rows[-1].mark
            rows = rows[1:]
        elif rows:
            number, mark = rows[-1].number, rows[-1].mark
        found = [[getattr(row, name) for name in DECIDED] for row in rows]
        return Decided(pl.DataFrame(found, schema=DECIDED, orient="row"), number, mark)

    def whole(self) -> Decided:
        """Where everything lies that is in the vault, and up to which decision that is so. Raises `VaultUnavailable`.

        Reads the tables themselves, all in one transaction.
        """
        if not self._is_made():
            return Decided(pl.DataFrame(schema=DECIDED), -1, 0)
        with self._database.read() as connection:
            newest = sa.select(DECISION.c.number, DECISION.c.mark).order_by(DECISION.c.number.desc()).limit(1)
            number, mark = connection.execute(newest).first() or (-1, 0)
            frames = [frame for query in _tables() for frame in _runs(connection, query)]
            void = connection.execute(sa.select(*(VOID.c[name] for name in _RUN)))
            rows = [(*row, decision_log.VOID, "") for row in void]
            frames.append(pl.DataFrame(rows, schema=DECIDED, orient="row"))
        return Decided(pl.concat([pl.DataFrame(schema=DECIDED), *frames]), number, mark)

    def clients(self) -> list[tuple[str, Client, float]]:
        """What each source sends with, and when that was last noted (seconds since 1970). Raises `VaultUnavailable`."""
        if not self._is_made():
            return []
        with self._database.read() as connection:
            rows = connection.execute(sa.select(CLIENT))
            return [(row.source, Client(row.name, row.version), row.seen / 1000) for row in rows]

    def _is_made(self) -> bool:
        # One transaction makes all tables.
        self._made = self._made or self._database.has(DECISION)
        return self._made

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def books(connection: sa.Connection, event: EventType, origin: RawPartition) -> pl.DataFrame:
    """`BOOKS` of one raw partition, by offset; place is parked, released, sealed, applied or, without event, void."""
    rows: list[tuple[int, str, str | None]] = []
    parked = sa.select(PARKED.c.offset, PARKED.c.state).where(*within(PARKED, event, origin))
    for offset, state in connection.execute(parked):
        rows.append((offset, "released" if state == Parked.RELEASED else "parked", None))
    dead = sa.select(DEAD_LETTER.c.offset, DEAD_LETTER.c.reason).where(*within(DEAD_LETTER, event, origin))
    rows += [(offset, "sealed", reason) for offset, reason in connection.execute(dead)]
    applied = sa.select(APPLIED.c.offset).where(*within(APPLIED, event, origin))
    rows += [(offset, "applied", None) for (offset,) in connection.execute(applied)]
    return pl.concat([pl.DataFrame(rows, schema=BOOKS, orient="row"), _void(connection, event, origin)]).sort("offset")


def _void(connection: sa.Connection, event: EventType, origin: RawPartition) -> pl.DataFrame:
    """`BOOKS` of the offsets that hold no event, each once."""
    runs = connection.execute(sa.select(VOID.c.first, VOID.c.last).where(*within(VOID, event, origin)))
    bounds = pl.DataFrame([tuple(run) for run in runs], schema=dict.fromkeys(("first", "last"), pl.Int64), orient="row")
    offsets = bounds.select(offset=pl.int_ranges("first", pl.col("last") + 1)).explode("offset").unique()
    return offsets.select("offset", place=pl.lit("void"), reason=pl.lit(None, pl.String))


def _tables() -> list[sa.Select[tuple[str, str, int, int, str, str]]]:
    """Of each table event, source, partition, offset, place and reason of its rows, in the order of the first four."""
    none = sa.literal("")
    kinds = (
        (PARKED, sa.literal(decision_log.PARKED), none, PARKED.c.state != Parked.RELEASED),
        (DEAD_LETTER, sa.literal(decision_log.SEALED), DEAD_LETTER.c.reason, sa.true()),
        (APPLIED, sa.literal(decision_log.APPLIED), none, sa.true()),
    )
    return [
        sa.select(*(order := [table.c[name] for name in ("event", "source", "partition", "offset")]), place, reason)
        .where(where)
        .order_by(*order)
        for table, place, reason, where in kinds
    ]


def _runs(connection: sa.Connection, query: sa.Select[tuple[str, str, int, int, str, str]]) -> list[pl.DataFrame]:
    """The rows of `query` as runs, a frame for each `FETCHED` rows."""
    frames: list[pl.DataFrame] = []
    names = ("event", "source", "partition", "first", "place", "reason")
    with connection.execute(query, execution_options={"yield_per": FETCHED}) as rows:
        for some in rows.partitions():
            frame = pl.DataFrame(
                [tuple(row) for row in some], schema={name: DECIDED[name] for name in names}, orient="row"
            )
            same = [pl.col(name).eq_missing(pl.col(name).shift()) for name in names if name != "first"]
            follows = pl.all_horizontal(*same, pl.col("first") == pl.col("first").shift() + 1).fill_null(value=False)
            runs = frame.with_columns((~follows).cum_sum().alias("run")).group_by("run", maintain_order=True)
            last = runs.agg(pl.exclude("first").first(), pl.col("first").first(), pl.col("first").last().alias("last"))
            frames.append(last.select(*DECIDED))
    return frames
