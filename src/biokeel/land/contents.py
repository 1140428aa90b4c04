"""What operators read from the lake: which raw event is where, how much is there, how far it has come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl
from deltalake import DeltaTable

from biokeel.batch import COORDINATES, ENVELOPE, ROW
from biokeel.contracts.topics import EventType
from biokeel.land.checkpoint import Mapped, noted
from biokeel.land.lake import Lake
from biokeel.land.reading import collect, scan

CURATED, QUARANTINE, HISTORY = "curated", "quarantine", "history"
BOOKS = {
    "source_id": pl.String(),
    "first_partition": pl.Int32(),
    "first_offset": pl.Int64(),
    "table": pl.String(),
    "stream": pl.String(),
    "why": pl.String(),
}
"""`why`: of a quarantined row its reason, of a row of the history table why it is there, of a curated one null."""


@dataclass(frozen=True, slots=True)
class LakeReader:
    """The lake as operators see it: coordinates, counts and versions, never a value of an event."""

    lake: Lake

    def landed(self, event: EventType, partition: int | None = None) -> pl.DataFrame:
        """Where each event of `event` that came past the wall is (`BOOKS`), of one raw partition or of all.

        A row for each row of a table, so an event that is there twice is here twice: this is what `biokeel verify`
        balances against the raw topic and the vault. An event that was released from quarantine has two rows, one in
        the quarantine table and one with the stream `quarantine`. Empty where no worker has run yet.

        While `tidy` works a row is in the history table before it leaves the curated one. It is here once: the
        curated table is read first, so a row on its way is in one of the two readings at least, and one that is in
        both counts as curated still.
        """
        curated = self._rows(event, CURATED, partition)
        landed = pl.concat([curated, self._rows(event, QUARANTINE, partition)])
        # A restored table is judged anew, so what was curated then may be quarantined now.
        moved = self._rows(event, HISTORY, partition).join(landed, on=ROW, how="anti", nulls_equal=True)
        return pl.concat([landed, moved]).select(*BOOKS)

    def _rows(self, event: EventType, table: str, partition: int | None) -> pl.DataFrame:
        """`BOOKS` and `ROW` of one table."""
        why = {CURATED: pl.lit(None, pl.String), QUARANTINE: pl.col("reason"), HISTORY: pl.col("why")}[table]
        columns = (*BOOKS, *(name for name in ROW if name not in BOOKS))
        uri = self.lake.history(event) if table == HISTORY else self._tables(event)[table]
        if not self._exists(uri):
            return pl.DataFrame(schema=BOOKS | {name: (ENVELOPE | COORDINATES)[name] for name in ROW}).select(columns)
        rows = scan(uri, self.lake).with_columns(pl.lit(table).alias("table"), why.alias("why"))
        if partition is not None:
            rows = rows.filter(pl.col("first_partition") == partition)
        return collect(rows.select(columns))

    def counts(self) -> pl.DataFrame:
        """Rows of each table: `event`, `table` (String), `rows` (Int64); read from the logs, not from the files."""
        found = [
            {"event": str(event), "table": name, "rows": self._open(uri).count()}
            for event in self.lake.events()
            for name, uri in self._tables(event).items()
            if self._exists(uri)
        ]
        return pl.DataFrame(found, schema={"event": pl.String, "table": pl.String, "rows": pl.Int64})

    def table_versions(self) -> dict[tuple[str, str], int]:
        """(event, `curated` or `quarantine`) → the version of the table, of those that exist."""
        return {
            (str(event), name): self._open(uri).version()
            for event in self.lake.events()
            for name, uri in self._tables(event).items()
            if self._exists(uri)
        }

    def positions(self, event: EventType, partition: int) -> tuple[int, int]:
        """(T, Q): up to where the curated and the quarantine table account for pseudo `partition`; -1 for nothing."""
        name = f"{event.pseudo_topic}/{partition}"
        uris = self._tables(event).values()
        curated, quarantine = (noted(self._open(uri), name) if self._exists(uri) else -1 for uri in uris)
        return curated, quarantine

    def tables(self, events: Iterable[EventType] | None = None) -> Iterator[tuple[EventType, str, str]]:
        """(event type, `curated` or `quarantine`, URI) of every table of `events`, None for all, that exists."""
        for event in self.lake.events() if events is None else events:
            yield from ((event, name, uri) for name, uri in self._tables(event).items() if self._exists(uri))

    def with_history(self, events: Iterable[EventType] | None = None) -> Iterator[tuple[EventType, str, str]]:
        """The same, and `history` tables too: all that maintenance keeps in order."""
        for event in self.lake.events() if events is None else events:
            yield from self.tables((event,))
            if self._exists(self.lake.history(event)):
                yield event, HISTORY, self.lake.history(event)

    def has_participants(self) -> bool:
        """Whether the participants table exists yet."""
        return self._exists(self.lake.participants)

    def _tables(self, event: EventType) -> dict[str, str]:
        return {CURATED: self.lake.curated(event), QUARANTINE: self.lake.quarantine(event)}

    def _exists(self, uri: str) -> bool:
        with Mapped(uri):
            return DeltaTable.is_deltatable(uri, self.lake.options)

    def _open(self, uri: str) -> DeltaTable:
        with Mapped(uri):
            return DeltaTable(uri, storage_options=self.lake.options)
