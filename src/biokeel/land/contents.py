"""What operators read from the lake: how much is there, how far it has come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl
from deltalake import DeltaTable

from biokeel.contracts.topics import EventType
from biokeel.land.checkpoint import Mapped, noted
from biokeel.land.lake import Lake

CURATED, QUARANTINE, HISTORY = "curated", "quarantine", "history"


@dataclass(frozen=True, slots=True)
class LakeReader:
    """The lake as operators see it: counts and versions, never a value of an event."""

    lake: Lake

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
