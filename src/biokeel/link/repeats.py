"""Events that a source sends again: what the stream remembers of the newest ones, and how it tells a repeat.

A replay has the coordinates of a row that went on, and `stage.drop_repeats` drops it. What is here has coordinates of
its own: the source published the event once more. Where the content is the one that was landed last under the key, it
is a **repeat** and goes to the quarantine table with the reason `event.repeated`: so each coordinate stays in one
place, and the commit that decides is the one that decides about all rows. Other content is a revision and lands as a
row; `biokeel.land.tidy` keeps the newest. The window is bounded, so a repeat that comes later lands, and is found then.

Pure, like the stage: what is a repeat follows from the rows before it in the pseudo partition. Where a window remembers
more or less after a restart, rows whose verdict stands are told by that (`decided`), not by the window.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from biokeel.batch import PseudonymisedBatch
from biokeel.contracts.identity import hashes, identities, withdrawals
from biokeel.link.partitions import rows_by_partition
from biokeel.reasons import Reason

Numbers = npt.NDArray[np.uint64]
Times = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]

GATHERED: Final = 4
"""Keys gather until they are this part of a window's limit."""
IDENTITY: Final = ("event_key", "event_content")
"""Columns that `identified` adds; they do not land."""


def identified(frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with `IDENTITY`: 64 bits each (UInt64) of `biokeel.contracts.identity`.

    That two keys share 64 bits makes one of them forgotten early; only where their contents do so too would a row be
    taken for a repeat wrongly, once in 2^128 pairs.
    """
    return frame.hstack([each.alias(name) for name, each in zip(IDENTITY, identities(frame), strict=True)])


@dataclass(frozen=True, slots=True, eq=False)
class Generation:
    """Keys (sorted, distinct), and of each the content and the `recorded_at` (ms) of its newest version: 24 bytes."""

    keys: Numbers = field(default_factory=lambda: np.empty(0, np.uint64))
    contents: Numbers = field(default_factory=lambda: np.empty(0, np.uint64))
    versions: Times = field(default_factory=lambda: np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, wanted: Numbers) -> tuple[npt.NDArray[np.intp], Truths]:
        """Where each of `wanted` (sorted or not) stands or would stand, and whether it is here."""
        at = np.searchsorted(self.keys, wanted)
        if not len(self):
            return at, np.zeros(len(wanted), np.bool_)
        return at, self.keys.take(at, mode="clip") == wanted


@dataclass(frozen=True, slots=True)
class Window:
    """The newest keys that landed in one (event type, pseudo partition); begin with `Window()`. Never changes.

    Two generations: the young one takes keys in until it has `limit`, then it becomes the old one, which is forgotten.
    To take keys in copies the generation, so they gather in `recent` until they are worth that. So a key is remembered
    until at least `limit` others came after it, and there are never more than twice `limit` and one batch, and what
    gathers, of each generation.
    """

    young: Generation = field(default_factory=Generation)
    old: Generation = field(default_factory=Generation)
    recent: Generation = field(default_factory=Generation)

    def __len__(self) -> int:
        return len(self.recent) + len(self.young) + len(self.old)

    def repeated(self, wanted: Numbers, said: Numbers) -> Truths:
        """Which of these rows, of keys `wanted`, say what the last with their key said, here or among themselves."""
        order, _ = _sorted(wanted)
        wanted, said = wanted[order], said[order]
        first = np.concatenate(([True], wanted[1:] != wanted[:-1])) if len(wanted) else np.empty(0, np.bool_)
        known = np.concatenate(([False], ~first[1:])) if len(wanted) else first
        before = np.roll(said, 1)
        for generation in (self.old, self.young, self.recent):
            at, here = generation.find(wanted)
            here &= first
            before[here] = generation.contents[at[here]]
            known |= here
        found = np.empty(len(wanted), np.bool_)
        found[order] = known & (before == said)
        return found

    def after(self, fresh: Generation, limit: int) -> Window:
        """The window that remembers `fresh` too. Of a key the newest version is remembered, of equal ones `fresh`'s."""
        for generation in (self.old, self.young):
            fresh = _newer(fresh, generation)
        recent = _merged(self.recent, fresh)
        if len(recent) * GATHERED < limit:
            return Window(self.young, self.old, recent)
        young = _merged(self.young, recent)
        return Window(Generation(), young) if len(young) >= limit else Window(young, self.old)

    def to_bytes(self) -> bytes:
        """The window as an Arrow IPC stream; it names the hashes that these are."""
        frame = pl.concat(
            pl.DataFrame(
                {"key": each.keys, "content": each.contents, "version": each.versions, "young": young},
                schema=_STORED,
            )
            for each, young in ((self.old, False), (_merged(self.young, self.recent), True))
        )
        sink = io.BytesIO(hashes().encode().ljust(_NAME))
        sink.seek(_NAME)
        frame.write_ipc_stream(sink)
        return sink.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Window:
        """The window that `to_bytes` wrote. One of other hashes is forgotten: they say nothing of ours."""
        if data[:_NAME].strip() != hashes().encode():
            return cls()
        frame = pl.read_ipc_stream(io.BytesIO(data[_NAME:]))
        young, old = (
            Generation(*(frame.filter(pl.col("young") == side)[name].to_numpy() for name in list(_STORED)[:3]))
            for side in (True, False)
        )
        return cls(young, old)


def remembered(windows: Mapping[int, Window], frames: Iterable[pl.DataFrame], limit: int) -> dict[int, Window]:
    """The windows of each pseudo partition after the rows of `frames` (`identified`): what landed, what withdraws.

    Of a key the newest version is remembered, of equal ones the one that came last, and a later frame's.
    """
    after = dict(windows)
    for frame in filter(len, frames):
        wanted, said = (frame[name].to_numpy() for name in IDENTITY)
        recorded = frame["recorded_at"].to_physical()
        versions = (recorded.fill_null(0) if recorded.has_nulls() else recorded).to_numpy()
        for partition, rows in rows_by_partition(frame).items():
            after[partition] = after[partition].after(_newest(wanted[rows], said[rows], versions[rows]), limit)
    return after


@dataclass(frozen=True, slots=True)
class SentAgain:
    """A batch without what is not judged: `rest` (`identified`) goes on, `decided` is what is known about its rows.

    `aside` goes to the quarantine table as it is; `withdrawals` are those rows of it that the window is to remember,
    `identified` where there are any.
    """

    rest: PseudonymisedBatch
    decided: pl.Series | None
    aside: pl.DataFrame
    withdrawals: pl.DataFrame


def sent_again(batch: PseudonymisedBatch, windows: Mapping[int, Window], decided: pl.Series | None = None) -> SentAgain:
    """Take out of `batch` the repeats and the withdrawals, which no suite judges.

    `windows` are those of each pseudo partition, at least of all that have rows; the rows of a partition must stand
    together. `decided` is as `validate` takes it: a row that the first commit let in goes on, whatever a window says
    now.
    """
    frame = identified(batch.frame)
    wanted, said = (frame[name].to_numpy() for name in IDENTITY)
    repeated = np.empty(len(wanted), np.bool_)
    for partition, rows in rows_by_partition(frame).items():
        repeated[rows] = windows[partition].repeated(wanted[rows], said[rows])
    stopped = repeated | withdrawals(frame).to_numpy()
    if decided is not None:
        stopped &= ~decided.fill_null(value=False).to_numpy()
    if not stopped.any():  # As nearly always: copy nothing.
        nothing = batch.frame.clear().hstack([pl.Series("reason", [], pl.String)])
        return SentAgain(PseudonymisedBatch(batch.event, frame), decided, nothing, nothing)
    stops = pl.Series(stopped)
    reason = pl.when(pl.Series(repeated)).then(pl.lit(Reason.REPEATED.value)).otherwise(pl.lit(Reason.RETRACTED.value))
    aside = frame.with_columns(
        pl.lit(None, pl.String).alias("suite_version"),
        reason.alias("reason"),
        *(pl.lit([], pl.List(pl.String)).alias(name) for name in ("failed_rules", "warnings")),
    ).filter(stops)
    return SentAgain(
        PseudonymisedBatch(batch.event, frame.filter(~stops)),
        None if decided is None else decided.filter(~stops),
        aside.drop(IDENTITY),
        aside.filter(pl.col("reason") == Reason.RETRACTED.value),
    )


_NAME: Final = 32
"""Bytes for the name of the hashes."""
_STORED: Final = {"key": pl.UInt64, "content": pl.UInt64, "version": pl.Int64, "young": pl.Boolean}


def _newest(wanted: Numbers, said: Numbers, versions: Times) -> Generation:
    """The newest version of each key; there is at least one row."""
    order, distinct = _sorted(wanted)
    if not distinct:
        order = np.lexsort((versions, wanted))
        ordered = wanted[order]
        order = order[np.concatenate((ordered[1:] != ordered[:-1], [True]))]
    return Generation(wanted[order], said[order], versions[order])


def _sorted(wanted: Numbers) -> tuple[npt.NDArray[np.intp], bool]:
    """The order that sorts `wanted`, equal ones as they came, and whether there are none.

    A sort that may mix equal ones is four times as quick, and nearly always there are none.
    """
    order = np.argsort(wanted)
    ordered = wanted[order]
    distinct = bool((ordered[1:] != ordered[:-1]).all())
    return (order if distinct else np.argsort(wanted, kind="stable")), distinct


def _newer(fresh: Generation, known: Generation) -> Generation:
    """`fresh` without the keys of which `known` has a newer version."""
    at, here = known.find(fresh.keys)
    if not here.any():
        return fresh
    newer = ~here
    newer[here] = fresh.versions[here] >= known.versions[at[here]]
    return Generation(fresh.keys[newer], fresh.contents[newer], fresh.versions[newer])


def _merged(into: Generation, fresh: Generation) -> Generation:
    """`into` with `fresh`, of a key in both the newer version."""
    at, here = into.find(fresh.keys)
    said, versions = into.contents, into.versions
    if here.any():
        said, versions = said.copy(), versions.copy()
        newer = here.copy()
        newer[here] = fresh.versions[here] >= versions[at[here]]
        said[at[newer]], versions[at[newer]] = fresh.contents[newer], fresh.versions[newer]
    more = ~here
    new = at[more] + np.arange(np.count_nonzero(more))
    old = np.ones(len(into) + len(new), np.bool_)
    old[new] = False
    columns = (
        _interleaved(old, new, mine, its[more])
        for mine, its in ((into.keys, fresh.keys), (said, fresh.contents), (versions, fresh.versions))
    )
    return Generation(*columns)


def _interleaved(
    old: Truths, new: npt.NDArray[np.intp], mine: npt.NDArray[Any], its: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """`mine` where `old` is true, `its` at the places `new`."""
    both = np.empty(len(old), mine.dtype)
    both[old], both[new] = mine, its
    return both
