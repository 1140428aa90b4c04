"""The linking stage: sequence, time since the previous event, age, days since enrolment; and the repeat filter.

Both are pure and see only a batch, of any number of pseudo partitions, and what was remembered of each. What they
stamp follows from the order of rows in the pseudo partition, which Kafka keeps, so a replay stamps the same: "previous"
means the person's curated event that **arrived** before this one, and a late event has a negative
`seconds_since_previous`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from biokeel.batch import ROW, LinkedBatch, PseudonymisedBatch, ValidatedBatch, run_starts
from biokeel.link.partitions import rows_by_partition
from biokeel.link.state import Marks, PersonState
from biokeel.link.table import Events
from biokeel.rows import Ints

Floats = npt.NDArray[np.float64]


def drop_repeats(
    batch: PseudonymisedBatch, marks: Mapping[int, Marks]
) -> tuple[PseudonymisedBatch, dict[int, Marks], int]:
    """`batch` without the rows that came before, the marks after it, and how many rows were dropped.

    `marks` are those of each pseudo partition, at least of all that have rows.

    Within one pseudo partition the rows of a (stream, source, raw partition) come with increasing `raw_offset`; a row
    at or below the highest already seen is the replay of one that went on. A block may hold rows of several, in any
    mixture; the order of what stays is kept. Call it before the rows are judged: a repeat must neither land nor count.
    """
    frame = batch.frame
    keep = np.ones(frame.height, dtype=np.bool_)
    after = {partition: dict(known) for partition, known in marks.items()}
    offsets = frame["raw_offset"].to_numpy()
    places = frame.select("pseudo_partition", *ROW[:-1])
    starts = run_starts(places)
    ends = [*starts[1:].tolist(), frame.height][: len(starts)]
    # A loop over runs, of which a block of many thin raw partitions has hundreds: little for each that only goes on.
    falls = np.setdiff1d(np.flatnonzero(np.diff(offsets) <= 0) + 1, starts, assume_unique=True)
    unsteady = set((np.searchsorted(starts, falls, side="right") - 1).tolist())
    firsts, lasts = offsets[starts].tolist(), offsets[np.array(ends, dtype=np.int64) - 1].tolist()
    for run, (partition, *place) in enumerate(places[starts].iter_rows()):
        stream, source, raw_partition = place
        known = after[partition].get((stream, source, raw_partition), -1)
        last = lasts[run]
        if firsts[run] <= known or run in unsteady:
            rows = slice(int(starts[run]), ends[run])
            before = np.maximum.accumulate(np.concatenate(([known], offsets[rows])))
            keep[rows] = offsets[rows] > before[:-1]
            last = int(before[-1])
        after[partition][stream, source, raw_partition] = last
    repeats = len(keep) - int(np.count_nonzero(keep))
    return (batch if not repeats else PseudonymisedBatch(batch.event, frame.filter(pl.Series(keep)))), after, repeats


def link(batch: ValidatedBatch, states: Mapping[int, PersonState]) -> tuple[LinkedBatch, dict[int, PersonState]]:
    """`batch` with its place in each person's history, and the states after it.

    `states` are those of each pseudo partition, at least of all that have rows. The rows of a partition must stand
    together, in its order. Adds the four columns of `LinkedBatch`. Age is the year of `occurred_at` where the source
    stood (by `occurred_offset_minutes`, else UTC) less the birth year; days since enrolment are whole days, negative
    for what happened before.
    """
    frame = batch.frame
    participants = frame["participant"].to_numpy()
    times = frame["occurred_at"].to_physical().to_numpy()
    sequence, seconds = np.empty(len(times), np.int64), np.empty(len(times), np.float64)
    after = dict(states)
    for partition, rows in rows_by_partition(frame).items():
        places = _placed(participants[rows], times[rows], states[partition])
        sequence[rows], seconds[rows], after[partition] = places
    return LinkedBatch(batch.event, _stamp(frame, sequence, seconds)), after


def _placed(participants: Ints, times: Ints, state: PersonState) -> tuple[Ints, Floats, PersonState]:
    """Sequence and seconds since the previous event of each row of one pseudo partition, and the state after them."""
    rows, fresh = state.find(participants)
    order, rows = _by_row(rows)
    times = times.take(order)
    starts = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))
    ends = np.concatenate((starts[1:], [len(order)]))
    count, previous, after = state.after(_events(rows, times, starts, ends), fresh)

    place = np.arange(1, len(order) + 1) + np.repeat(count - starts, ends - starts)
    before = np.concatenate(([0], times[:-1]))
    before[starts] = previous
    sequence, seconds = np.empty(len(order), np.int64), np.empty(len(order), np.float64)
    sequence[order] = place
    seconds[order] = np.where(place > 1, (times - before) / 1000.0, np.nan)
    return sequence, seconds, after


def _by_row(rows: Ints) -> tuple[Ints, Ints]:
    """The order that sorts `rows`, equal ones as they came, and `rows` in it.

    Row and place in one number need no indirect sort, and make equal rows different: six times as quick as a stable
    `argsort`. Rows are below 2^31, so a batch of 2^32 would still do.
    """
    bits = len(rows).bit_length()
    both = (rows << bits) | np.arange(len(rows))
    both.sort()
    return both & ((1 << bits) - 1), both >> bits


def _events(rows: Ints, times: Ints, starts: Ints, ends: Ints) -> Events:
    """What came for each participant, whose events stand at `starts` to `ends` of `rows` and `times`."""
    counts, last = ends - starts, times.take(ends - 1)
    earliest, latest = last.copy(), last.copy()
    # Few participants of a large state have more than one event in a batch, and `reduceat` is slow for many of one.
    several = np.flatnonzero(counts > 1)
    if len(several):
        spans = np.stack((starts[several], ends[several] - 1), axis=1).ravel()
        earliest[several] = np.minimum(last[several], np.minimum.reduceat(times, spans)[::2])
        latest[several] = np.maximum(last[several], np.maximum.reduceat(times, spans)[::2])
    return Events(rows.take(starts), counts, last, earliest, latest)


def _stamp(frame: pl.DataFrame, sequence: Ints, seconds: Floats) -> pl.DataFrame:
    local = pl.col("occurred_at") + pl.duration(minutes=pl.col("occurred_offset_minutes").fill_null(0))
    return frame.with_columns(
        pl.Series("sequence", sequence, pl.Int64),
        pl.Series("seconds_since_previous", seconds, pl.Float64, nan_to_null=True),
        (local.dt.year() - pl.col("birth_year")).cast(pl.Int32).alias("age_at_event"),
        (local.dt.date() - pl.col("enrolled_on")).dt.total_days().cast(pl.Int32).alias("days_since_enrolment"),
    )
