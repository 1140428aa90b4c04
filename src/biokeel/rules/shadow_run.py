"""Counting for one shadow: each row that came live since its beginning, once, as both suites judge it.

A look reads the new commits of both tables, judges their rows, and saves the counts with how far it has come, as one
object. Whatever dies, what was not saved is read and counted again, and what was saved is not: each row is in the
counts once. Of two workers that count at once only the first one's object is saved, and the other begins anew from it.

The version that a row is held against is the one that judged it, as the row says; where the book does not have that
version, or this release cannot read it, both suites judge the row anew, and the other suite is the one in force.
"""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from biokeel.errors import BiokeelError, StoreUnavailable, SuiteError, where_raised
from biokeel.land.landings import Reached, is_still_known, landings_since, stands_at
from biokeel.land.pieces import read
from biokeel.poison import may_be_poison
from biokeel.rules.backtest_suites import read_written
from biokeel.rules.compared import Pair
from biokeel.rules.new_rows import TABLES, each_piece, new_rows, table_of
from biokeel.rules.shadow import SETTLE_SECONDS, Counted, OfSource, Running, store_of
from biokeel.testing.crash import reached

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from biokeel.contracts.schema import EventSchema
    from biokeel.land.lake import Lake
    from biokeel.land.pieces import Piece
    from biokeel.rules.backtest_suites import Written
    from biokeel.rules.backtest_verdicts import Truths
    from biokeel.rules.compared import Compared

CHECK_SECONDS: Final = 3600.0
"""How often it is made sure that the tables are those that were read: a log is cleared after days."""
IS_OVER: Final = "its time is over"


@dataclass(frozen=True, slots=True)
class InForce:
    """The versions of the book that can be read, by their stamps, and the one in force."""

    versions: Mapping[str, Written]
    now: Written


class ShadowRun:
    """The counting of one shadow. Not for several threads at once.

    `in_force` gives the versions of the book as they are now. `counted` is what was counted so far.
    """

    def __init__(self, lake: Lake, schema: EventSchema, running: Running, in_force: Callable[[], InForce]) -> None:
        """Go on from what was saved. Raises `StoreUnavailable`."""
        self._lake, self._schema, self.running = lake, schema, running
        self._in_force = in_force
        self._store = store_of(lake.objects, running)
        self._number, data = self._store.newest()
        begins = {lies: Reached(*at) for lies, at in running.page.begins.items()}
        self.counted = Counted(begins) if data is None else Counted.from_bytes(data)
        self._pairs: dict[str, Pair] = {}
        self._known: InForce | None = None
        self._check_at = 0.0

    def look(self, now: float) -> bool:
        """Count what landed since the last look, and save it; whether there was anything. `now` is since 1970.

        Raises `StoreUnavailable`, and `CommitConflict` where another worker went on: make this anew then. Nothing is
        counted in either case.
        """
        if self.counted.over:
            return False
        counted = deepcopy(self.counted)
        began = time.process_time()
        try:
            if is_due := now >= self._check_at:
                self._require_known(counted)
            more = [self._follow(lies, counted) for lies in TABLES]
            self._check_at = now + CHECK_SECONDS if is_due else self._check_at
        except StoreUnavailable:
            raise
        except BaseException as error:
            if not isinstance(error, BiokeelError) and not may_be_poison(error):
                raise
            # Whatever the draft does to us, the worker and the other drafts go on.
            counted = deepcopy(self.counted)
            counted.over = str(error) if isinstance(error, SuiteError) else f"it failed: {where_raised(error)}"
            more = [True]
        if not any(more) and now >= self.running.until.timestamp() + SETTLE_SECONDS:
            counted.over = f"stopped by {self.running.stopped_by}" if self.running.stopped_by else IS_OVER
        if counted == self.counted and self._number:
            return False  # the first look is saved even so: it says that somebody counts
        counted.at = now
        counted.cpu_seconds += time.process_time() - began
        reached("shadow.counted")
        self._store.save(self._number, counted.to_bytes())
        reached("shadow.saved")
        self._number, self.counted = self._number + 1, counted
        return True

    def _require_known(self, counted: Counted) -> None:
        """Go on from now where a table is not the one that was read, or its log was cleared before it was read."""
        for lies, at in counted.reached.items():
            uri = table_of(self._lake, self._schema.event, lies)
            if not is_still_known(self._lake, uri, at):
                counted.reached[lies] = stands_at(self._lake, uri)
                counted.gaps += 1

    def _follow(self, lies: str, counted: Counted) -> bool:
        """Count what is new in a table; whether there were commits."""
        event = self._schema.event
        uri = table_of(self._lake, event, lies)
        found = landings_since(self._lake, uri, event.pseudo_topic, counted.reached[lies])
        if found is None:
            return False
        until = self.running.until.timestamp()
        files = [file for landing in found.landings if landing.at < until for file in landing.files]
        counted.lost += each_piece(self._lake, files, lambda piece: self._count(lies, piece, counted))
        counted.reached[lies] = found.reached
        return True

    def _count(self, lies: str, piece: Piece, counted: Counted) -> None:
        rows, aside = new_rows(self._lake, lies, piece)
        found = []
        for some in rows.partition_by("suite_version", maintain_order=True):
            version = some["suite_version"][0] or ""

            def more(columns: Mapping[str, pl.DataType], some: pl.DataFrame = some) -> pl.DataFrame:
                return read(self._lake, piece, columns)[some["row"]]

            found.append((version, some["source_id"], self._pair(version).compare(some, more)))
        counted.aside += aside
        for version, sources, compared in found:
            counted.versions[version] += len(sources)
            _add(counted, sources, compared)

    def _pair(self, version: str) -> Pair:
        """The draft, and what its rows were judged by."""
        if version not in self._pairs:
            if self._known is None or version not in self._known.versions:
                self._known = self._in_force()
            against = self._known.versions.get(version)
            draft = read_written(self.running.page.suite, self._schema, "The draft")
            self._pairs[version] = Pair(draft, against or self._known.now, {version: against} if against else {})
        return self._pairs[version]


def _add(counted: Counted, sources: pl.Series, compared: Compared) -> None:
    newly = compared.would_stop & ~compared.was_stopped
    released = compared.was_stopped & ~compared.would_stop
    for source, rows in _by(sources, np.ones(len(sources), np.bool_)).items():
        before = counted.sources.get(source, OfSource())
        counted.sources[source] = before._replace(rows=before.rows + rows)
    for name, mask in (("newly_quarantined", newly), ("released", released)):
        for source, rows in _by(sources, mask).items():
            before = counted.sources[source]
            counted.sources[source] = before._replace(**{name: getattr(before, name) + rows})
    for rule, change, mask in compared.changes:
        for source, rows in _by(sources, mask).items():
            counted.changes[rule, change, source] += rows


def _by(sources: pl.Series, mask: Truths) -> dict[str, int]:
    """How many rows of each source `mask` is true of."""
    chosen = sources.filter(pl.Series(mask, dtype=pl.Boolean))
    return dict(chosen.value_counts().iter_rows()) if len(chosen) else {}
