"""The commit protocol: how one flush of one event type gets into two Delta tables exactly once.

Each table carries, inside its own commits, how far it has come: an app transaction `<topic>/<p>` for each pseudo
partition, whose version is the offset of the last block that the table accounts for. T is that number in the curated
table, Q in the quarantine table. A landing goes through these steps:

1. **compare**: both tables are read again; what lies at or below T or Q is dropped from what is to be written there.
   Q must still be what it was when the worker recovered the partition, else another worker has decided about rows that
   this one judged by itself: `CommitConflict`.
   *Crash after it*: nothing has happened; the rows are read and judged again.
2. **decide**: one commit to the quarantine table, with the quarantined rows (often none) and Q := the flush's
   positions. From here on the verdict on every row of the flush stands: quarantined if in that table, else curated.
   The commit happens even without a row, because it is the one thing that two workers with different suites, of which
   one does not know yet that it lost the partition, cannot both do.
   *Crash after it*: T < Q. Whoever recovers judges rows up to Q by the quarantine table, whatever its suite says, and
   lands the rest of them in step 3; its own step 2 drops what is at or below Q.
3. **land**: one commit to the curated table, with the accepted rows (perhaps none) and T := the flush's
   positions. When T has moved on meanwhile, whoever moved it landed the very rows that Q decided, so they are dropped
   and the landing has succeeded. When T has moved back, the table was restored (`restore`), and what this worker has is
   not all that is missing now: `CommitConflict`. The same where O (below) is not what it was: somebody has landed rows
   that this worker's linking state does not know.
   *Crash after it*: the flush is landed; Kafka's committed offset lags behind, but the worker goes by the table.
4. The caller saves a **snapshot** of the linking state (sometimes) and acknowledges to Kafka.
   *Crash between or after*: an older snapshot means more blocks to read again, and nothing else.

An answer can be lost after its commit landed; delta-rs or we try again, and that shows as a conflict with ourselves. So
after any error the table is read again before anything is repeated. In step 3 the position alone answers. In step 2 it
must be known whose commit it was: each carries a random number as the version of `<topic>/<p>/writer`.

**Operations of stewards** (`biokeel.land.operated`) land rows between two flushes. How far a partition has come with
them is O, the app transaction `<topic>/<p>/operated` of the curated table. Each landing writes the O that it knows, so
that the name is always there: to ask for one that is not costs ten times as much.

delta-rs does not skip a transaction that a table already has: it only refuses one that another writer committed since
the handle was read. So every write goes through the handle whose positions were compared. `last_updated` stays unset,
or the transactions would expire with the log.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, SchemaMismatchError

from biokeel.errors import CommitConflict, LandingError, StoreUnavailable
from biokeel.land.parquet import landing_writer

if TYPE_CHECKING:
    from collections.abc import Iterator

Positions = Mapping[int, int]
"""Pseudo partition → the offset of its last block that is accounted for; -1 for none."""
Hook = Callable[[str], None]
"""Called with a name of `STEPS` when that point is reached; tests raise from it to die there."""

STEPS: Final = (
    "land.compared",
    "land.decided",
    "land.decision_known",
    "land.landed",
    "land.landing_known",
)
"""The points between which a process can die. `decided` and `landed` lie between a commit and the knowledge of it."""

ATTEMPTS: Final = 6
"""Tries of one commit on a table that nobody else changes meanwhile."""
RACES: Final = 50
"""Tries lost to others. delta-rs refuses an append wherever rows were taken out since the table was read, though the
two have nothing to do with each other; who takes out rows is done after some commits, and so are a few other workers.
"""
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0


def nothing(_step: str) -> None:
    """The hook that lets everything go on."""


class PositionedTable:
    """One Delta table whose commits carry positions. Not for several threads at once."""

    def __init__(self, handle: DeltaTable, uri: str, options: dict[str, str], topic: str) -> None:
        """`handle` is the table at `uri`, opened with `options`; `topic` is the pseudo topic of its rows."""
        self.handle = handle
        self.uri = uri
        self._options = options
        self._topic = topic

    def refresh(self) -> None:
        """Read the table again. Raises `StoreUnavailable`."""
        with Mapped(self.uri):
            self.handle.update_incremental()

    def reopen(self) -> None:
        """Read the table from its log anew: after an error nothing that the handle remembers is trusted."""
        with Mapped(self.uri):
            self.handle = DeltaTable(self.uri, storage_options=self._options)

    def position(self, partition: int) -> int:
        """The last pseudo offset of `partition` that the table accounts for, -1 for none, as of the last reading.

        Raises `StoreUnavailable`, and so does `writer`.
        """
        return self._version(f"{self._topic}/{partition}")

    def operated(self, partition: int) -> int:
        """O: the last step of the stewards' operations that the table has of `partition`, 0 for none."""
        return max(0, self._version(f"{self._topic}/{partition}/operated"))

    def writer(self, partition: int) -> int:
        """The random number of the commit that last moved `partition`, -1 for none."""
        return self._version(f"{self._topic}/{partition}/writer")

    def append(self, rows: pl.DataFrame, positions: Positions, also: Mapping[str, int] | None = None) -> None:
        """One commit: `rows`, `positions`, and `also` (name below the topic → version). One try.

        Raises what delta-rs raises; the caller compares before it tries again.
        """
        versions = {str(partition): offset for partition, offset in positions.items()} | dict(also or {})
        append(self.handle, rows, {f"{self._topic}/{name}": version for name, version in versions.items()})

    def _version(self, name: str) -> int:
        return noted(self.handle, name)


class Mapped:
    """Maps delta-rs's errors about the table at `uri` to ours."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, SchemaMismatchError):
            raise LandingError(
                f"The table {self._uri} has other columns than the rows.", "Restart the worker: it adds new columns."
            ) from error
        if isinstance(error, (DeltaError, OSError)):
            raise StoreUnavailable(
                f"The table {self._uri} cannot be read or written ({type(error).__name__}).",
                "Check that the object store runs (biokeel stack status).",
            ) from error


def noted(table: DeltaTable, name: str) -> int:
    """The version of the app transaction `name` as of the last reading of `table`, -1 for none.

    delta-rs may go to the store for it: raises `StoreUnavailable`.
    """
    with Mapped(table.table_uri):
        version = table.transaction_version(name)
    return -1 if version is None else version


@contextmanager
def conflicts() -> Iterator[None]:
    """Raises `CommitConflict` where delta-rs refuses a commit because of another one. Within a `Mapped`."""
    try:
        yield
    except CommitFailedError as error:
        raise CommitConflict(
            "Another process changed the table meanwhile.", "What it did stands; try again."
        ) from error


def append(
    handle: DeltaTable, rows: pl.DataFrame | None, versions: Mapping[str, int], writer: WriterProperties | None = None
) -> None:
    """One commit of `rows` (None: of none) with `versions` (name → version) as app transactions. One try.

    Written as a landing's files are, unless there is a `writer`.

    Raises what delta-rs raises.
    """
    transactions = [Transaction(name, version) for name, version in versions.items()]
    if rows is None:
        rows = pl.DataFrame(schema=pl.Schema(handle.schema().to_arrow()))
    write_deltalake(
        handle,
        rows,
        mode="append",
        writer_properties=writer or landing_writer(rows.schema),
        commit_properties=CommitProperties(app_transactions=transactions),
    )


def is_above(positions: Positions) -> pl.Expr:
    """Whether a row lies above `positions`; false for a partition that is not named there."""
    partition, offset = pl.col("pseudo_partition"), pl.col("pseudo_offset")
    return pl.any_horizontal((partition == p) & (offset > last) for p, last in positions.items())


def reach(rows: pl.DataFrame) -> dict[int, tuple[int, int]]:
    """The least and the greatest pseudo offset of the rows of each pseudo partition.

    Of runs of one partition, of which a flush has a few: at 260,000 rows a hundredth of what a `group_by` costs.
    """
    if rows.is_empty():
        return {}
    partitions, offsets = rows["pseudo_partition"].to_numpy(), rows["pseudo_offset"].to_numpy()
    begins = np.flatnonzero(np.concatenate(([True], partitions[1:] != partitions[:-1])))
    least, greatest = np.minimum.reduceat(offsets, begins), np.maximum.reduceat(offsets, begins)
    found: dict[int, tuple[int, int]] = {}
    for partition, low, high in zip(partitions[begins].tolist(), least.tolist(), greatest.tolist(), strict=True):
        before = found.get(partition, (low, high))
        found[partition] = min(low, before[0]), max(high, before[1])
    return found


def above(rows: pl.DataFrame, positions: Positions) -> pl.DataFrame:
    """The rows that lie above `positions`; rows of a partition that is not named there are not kept."""
    if all(partition in positions and low > positions[partition] for partition, (low, _) in reach(rows).items()):
        return rows
    return rows.filter(is_above(positions))


def decide(table: PositionedTable, rows: pl.DataFrame, basis: Positions, positions: Positions, reached: Hook) -> int:
    """Step 2: commit the quarantined `rows` of everything above `basis` (Q as it was recovered) up to `positions`.

    Partitions whose `positions` are not above their basis were decided before, and are left alone. Returns how many
    rows were written. Raises `CommitConflict` when Q has been moved by anybody else, `StoreUnavailable` after the last
    try.
    """
    due = {partition: last for partition, last in positions.items() if last > basis[partition]}
    mine = above(rows, {partition: basis[partition] for partition in due}) if due else rows.clear()
    token = secrets.randbits(62)
    for failure in _tries(table):
        if failure and due and all(table.writer(partition) == token for partition in due):
            return mine.height
        if moved := [partition for partition in positions if table.position(partition) != basis[partition]]:
            raise CommitConflict(
                f"Another worker decided about rows of {table.uri}, partitions {moved}.",
                "Recover the partitions of this event and judge their rows again.",
            )
        if not due:
            return 0
        try:
            table.append(mine, due, {f"{partition}/writer": token for partition in due})
            reached("land.decided")
        except (DeltaError, OSError) as error:
            _give_up_on_mismatch(table, error)
            continue
        return mine.height
    raise _unavailable(table)


def land(
    table: PositionedTable,
    rows: pl.DataFrame,
    positions: Positions,
    reached: Hook,
    *,
    basis: Positions,
    operated: Positions,
) -> int:
    """Step 3: commit the accepted `rows` above T up to `positions`.

    `basis` is the least that T may be: what it was when the worker recovered, or landed last; `operated` is O as it was
    then. Returns how many rows were written, by the last try that knew. Raises `CommitConflict` when T has moved back
    or O is another, `StoreUnavailable` after the last try.
    """
    written = 0
    for _failure in _tries(table):
        stands = {partition: table.position(partition) for partition in positions}
        if back := [partition for partition, stand in stands.items() if stand < basis[partition]]:
            raise CommitConflict(
                f"The table {table.uri} was put back to an older version, partitions {back}.",
                "Recover the partitions of this event and read again what is missing.",
            )
        if moved := [partition for partition in positions if table.operated(partition) != operated[partition]]:
            raise CommitConflict(
                f"Another worker carried out a steward's operation on {table.uri}, partitions {moved}.",
                "Recover the partitions of this event, and link its rows after those of the operation.",
            )
        due = {partition: last for partition, last in positions.items() if last > stands[partition]}
        if not due:
            return written
        mine = above(rows, {partition: stands[partition] for partition in due})
        written = mine.height
        try:
            table.append(mine, due, {f"{partition}/operated": operated[partition] for partition in due})
            reached("land.landed")
        except (DeltaError, OSError) as error:
            _give_up_on_mismatch(table, error)
            continue
        return written
    raise _unavailable(table)


def operate(
    table: PositionedTable, rows: pl.DataFrame, partition: int, position: int, *, steps: tuple[int, int], reached: Hook
) -> None:
    """Commit the `rows` that one step of a steward's operation lands in `partition`, once.

    `position` is T, and the first of `steps` O, by which the rows were linked; the second is what O will be. T is
    written as it is, so that a landing of the partition by anybody else and this commit refuse each other. Raises
    `CommitConflict` where T or O is not what it was, `StoreUnavailable` after the last try.

    *Crash after it*: the rows have landed. Whoever recovers finds O past that of the snapshot, reads them from the
    tables, and links them where they stand (`biokeel.land.recovery`).
    """
    known, step = steps
    token = secrets.randbits(62)
    for failure in _tries(table):
        if failure and table.writer(partition) == token:
            return
        if (table.position(partition), table.operated(partition)) != (position, known):
            raise CommitConflict(
                f"Another worker changed partition {partition} of {table.uri} during a steward's operation.",
                "Recover the partitions of this event, and go on from there.",
            )
        try:
            table.append(rows, {partition: position}, {f"{partition}/operated": step, f"{partition}/writer": token})
            reached("land.operated")
        except (DeltaError, OSError) as error:
            _give_up_on_mismatch(table, error)
            continue
        return
    raise _unavailable(table)


def _tries(table: PositionedTable) -> Iterator[bool]:
    """Yield False for the first try, and True for each later one, after a pause and with the table read anew.

    Where the table has moved on, the store is there and somebody else was quicker: that is a race, and costs a short
    pause. Otherwise the store is in trouble; where it is away, so it is for the reading, and each such reading is a
    try. Those pauses grow. All have jitter, so that workers that met do not meet again.
    """
    yield False
    failures, races = 0, 0
    while failures < ATTEMPTS - 1 and races < RACES:
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (failures + 1))
        time.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - jitter, no secret
        before = table.handle.version()
        try:
            table.reopen()
        except StoreUnavailable:
            failures += 1
            continue
        if table.handle.version() > before:
            races += 1
        else:
            failures += 1
        yield True


def _give_up_on_mismatch(table: PositionedTable, error: Exception) -> None:
    if isinstance(error, SchemaMismatchError):
        with Mapped(table.uri):
            raise error


def _unavailable(table: PositionedTable) -> StoreUnavailable:
    return StoreUnavailable(
        f"The table {table.uri} took no commit in {ATTEMPTS} tries, or in {RACES} that others won.",
        "Check that the object store runs (biokeel stack status); the rows stay in Kafka.",
    )
