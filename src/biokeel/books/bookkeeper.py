"""The books as whoever asks for them has them: proof that every raw event lies in exactly one place.

Only operators look at both sides of the privacy wall at once, with rights of their own: Kafka's positions, the tables,
and the vault's decisions without its keys. Who asks begins from the books that the follower saved last, reads what came
since, and balances; so what it costs goes by what is new, and nobody need trust that a follower runs.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from biokeel.books.balance import Balancer, Books, Seen
from biokeel.books.full import read_all
from biokeel.books.saved import Saved, SavedBooks
from biokeel.observe.metrics import Edge
from biokeel.observe.stats import collect
from biokeel.settings import OPERATOR, Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from biokeel.books.follower import DecisionsReader, Follower
    from biokeel.books.tables import Tables
    from biokeel.contracts.topics import EventType
    from biokeel.engine.kafka.watermarks import Watermarks


@dataclass(slots=True)
class Bookkeeper:
    """Looks at Kafka, goes on from the saved books, and balances what it sees."""

    watermarks: Callable[[], Watermarks]
    tables: Tables
    vault: DecisionsReader
    replays: Callable[[], dict[EventType, int]] = dict
    aside: Callable[[], tuple[str, ...]] = tuple
    _follower: Follower | None = None
    _saved_at: float | None = None
    _balancer: Balancer = field(default_factory=Balancer)

    @classmethod
    def of(cls, state_dir: Path) -> Bookkeeper:
        """The bookkeeper of the stack whose env files lie in `state_dir`, with an operator's rights.

        Raises `SettingsError` without them.
        """
        from biokeel.books.tables import Tables
        from biokeel.engine.kafka.watermarks import raw_watermarks
        from biokeel.land.aside import Aside
        from biokeel.land.lake import Lake
        from biokeel.vault.decisions import Decisions

        settings = Settings.load(OPERATOR, state_dir=state_dir)
        settings.require("kafka_bootstrap", "vault_url", "s3_endpoint")
        lake = Lake.of(settings)
        return cls(
            lambda: raw_watermarks(settings),
            Tables(lake),
            Decisions.open(settings),
            lambda: replays(state_dir),
            Aside(lake).told,
        )

    def look(self, watermarks: Watermarks | None = None) -> Books:
        """Balance all event types against `watermarks` (default: those of now)."""
        taken_at = time.time()
        # Kafka may be asked while the saved books are read, which are older than it anyway; the tables only after it.
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(self.watermarks if watermarks is None else lambda: watermarks)
            follower = self._begun()
            marks = asked.result()
        follower.look()
        return Books.of(self._balancer.balance(follower.state, marks), self._seen(taken_at))

    def full(self, seen: Callable[[str], None]) -> tuple[Books, list[str]]:
        """Read everything anew: its balance, and where the books say otherwise. `seen` is told what is read now."""
        taken_at = time.time()
        found = read_all(self._begun(), self.watermarks(), seen)
        return Books.of(found.partitions, self._seen(taken_at)), found.differences

    def _begun(self) -> Follower:
        from biokeel.books.follower import Follower

        if self._follower is None:
            _, saved = SavedBooks(self.tables.lake.objects).newest()
            self._saved_at = None if saved is None else saved.at
            follower = Follower(self.tables, self.vault, (saved or Saved()).state)
            follower.begin()
            self._follower = follower
        return self._follower

    def _seen(self, taken_at: float) -> Seen:
        return Seen(taken_at, self.replays(), self.aside(), self._saved_at)


def replays(state_dir: Path) -> dict[EventType, int]:
    """By event type, rows that were read again and dropped since the workers started."""
    snapshot = collect(state_dir)
    return {event: snapshot.total(Edge.REPEATED, event) for event in snapshot.types}
