"""When snapshots are written: after a landing, so that none knows more than the tables, and not after each."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Final

from biokeel.contracts.topics import event_of
from biokeel.engine.kafka.deliveries import Partition
from biokeel.errors import CommitConflict
from biokeel.land.maintenance import refresh_participants
from biokeel.land.snapshots import Point, Snapshots
from biokeel.link.participants import from_snapshots
from biokeel.link.state import to_bytes
from biokeel.testing.crash import reached

if TYPE_CHECKING:
    from biokeel.contracts.topics import EventType
    from biokeel.engine.curate.buffer import Buffer
    from biokeel.engine.runner import StageRunner
    from biokeel.land.lake import Lake
    from biokeel.link.state import Snapshot
    from biokeel.settings import Settings

log = logging.getLogger(__name__)

SNAPSHOT_ROWS: Final = 4
"""Rows for each participant of a partition's last snapshot until the next one, under load. A state that grows with
every row is saved each time that it has grown fivefold, one that does not at every fourth row a participant: either
way a row pays for a bounded part of a snapshot. In a snapshot of a million a participant costs some 0.13 microseconds
of CPU, linking a row 0.2 to 0.3 (`bench/link.py`). The price: recovery may read that many rows again."""
SNAPSHOT_SECONDS: Final = 3600.0
"""Age of a partition's last snapshot at which there is another, however little has landed since. A quiet event type in
a busy stream would have none for months, and recovery would ask for blocks that retention has long taken from the
topic. An hour is short beside any retention, and long beside the 0.13 s that a snapshot of a million people costs."""
REFRESH_SECONDS: Final = SNAPSHOT_SECONDS / 2
"""Least time between two participants tables in a stream that never rests: each reads every snapshot that there is.
Less than between two rounds of snapshots, so that each round has its table although the one before took a while."""
AGED_AT_A_TIME: Final = 8
"""Snapshots that are written in one go because of their age. An hour after an assignment those of all partitions fall
due together, and nothing is taken or landed while they are written."""


class SnapshotSaver:
    """Writes the snapshots of all partitions of a worker. Its methods want one thread at a time, but for `aged`
    and `outdated`.
    """

    def __init__(self, settings: Settings, runner: StageRunner, lake: Lake) -> None:
        self._settings = settings
        self._runner = runner
        self._lake = lake
        self._snapshots = Snapshots(lake)
        self._landed: dict[Partition, Snapshot] = {}
        """What has landed and is in no snapshot yet."""
        self._rows_since: dict[Partition, int] = {}
        self._in_snapshot: dict[Partition, int] = {}
        self._saved: dict[Partition, float] = {}
        self._refreshed = monotonic()

    def adopt(self, at: Partition, standing: Snapshot) -> None:
        """Go on from `standing`, as it was recovered: the newest snapshot of `at` holds it."""
        self._in_snapshot[at] = len(standing.state)
        self._saved[at] = monotonic()
        self._landed.pop(at, None)
        self._rows_since.pop(at, None)

    def forget(self) -> None:
        """The partitions leave."""
        self._landed.clear()
        self._rows_since.clear()
        self._in_snapshot.clear()
        self._saved.clear()

    def save_due(self, event: EventType, buffer: Buffer) -> None:
        """Write snapshots of the partitions of `buffer`, which has landed, where enough came since the last ones."""
        for partition, standing in buffer.standings.items():
            at = Partition(event.pseudo_topic, partition)
            self._landed[at] = standing
            self._rows_since[at] = self._rows_since.get(at, 0) + buffer.rows_of[partition]
            share = self._settings.flush_rows // len(buffer.standings)
            if self._rows_since[at] >= max(SNAPSHOT_ROWS * self._in_snapshot[at], share):
                self.save(at, standing)

    def grown(self) -> list[Partition]:
        """The partitions that got rows since their last snapshot. For who knows that nothing lands meanwhile."""
        return [at for at, rows in self._rows_since.items() if rows]

    def save_grown(self) -> None:
        """Snapshots of what is `grown`, and then the participants table from all of them."""
        for at in self.grown():
            self.save(at, self._landed[at])
        self.refresh()

    def aged(self) -> list[Partition]:
        """The partitions of which something landed since their last snapshot, and that is old. Any thread may ask.

        Also where no row came of it: a block of which every row is a repeat moves the partition on, too.
        """
        oldest = monotonic() - SNAPSHOT_SECONDS
        # A copy, because a landing may add to it meanwhile.
        return [at for at in tuple(self._landed) if self._saved[at] <= oldest]

    def save_aged(self) -> None:
        """Snapshots of some of the partitions that are `aged`."""
        for at in self.aged()[:AGED_AT_A_TIME]:
            self.save(at, self._landed[at])

    def outdated(self) -> bool:
        """Whether the participants table is to be made anew after `save_aged`: with the last of a round, and seldom."""
        return monotonic() - self._refreshed >= REFRESH_SECONDS and not self.aged()

    def refresh(self) -> None:
        """Make the participants table anew from all snapshots that there are.

        Where many workers do so at once, others may be quicker each time; then the table is theirs, and as good as new.
        """
        try:
            self._runner.run("participants", refresh_participants, self._lake, from_snapshots)
        except CommitConflict:
            log.warning("The participants table is left as other workers made it meanwhile.")
        self._refreshed = monotonic()

    def save(self, at: Partition, standing: Snapshot) -> None:
        """Write a snapshot; what it covers has landed. If the process dies in here, the snapshot before is used."""
        data = to_bytes(standing)
        event = event_of(at.topic)
        point = Point(standing.offset, standing.operated)
        self._runner.run("snapshot", self._snapshots.save, event, at.partition, point, data)
        self._landed.pop(at, None)
        self._rows_since[at] = 0
        self._in_snapshot[at] = len(standing.state)
        self._saved[at] = monotonic()
        reached("curate.after_snapshot")
