"""The linking stage: sequence, time since the previous event, age, days since enrolment; and the repeat filter.

Both are pure and see only a batch and what was remembered. What they stamp follows from the order of rows in the
pseudo partition, which Kafka keeps, so a replay stamps the same: "previous" means the person's curated event that
**arrived** before this one, and a late event has a negative `seconds_since_previous`.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from biokeel.batch import LinkedBatch, PseudonymisedBatch, ValidatedBatch
from biokeel.link.state import COUNT, FIRST, LAST, PREVIOUS, RECORD, Ints, Marks, PersonState, Run


def drop_repeats(batch: PseudonymisedBatch, marks: Marks) -> tuple[PseudonymisedBatch, Marks, int]:
    """`batch` without the rows that came before, the marks after it, and how many rows were dropped.

    Within one pseudo partition the rows of a (stream, raw partition) come with increasing `raw_offset`; a row at or
    below the highest already seen is the replay of one that went on. A block may hold several streams and raw
    partitions, in any mixture; the order of what stays is kept. Call it once per pseudo partition, before the rows
    are judged: a repeat must neither land nor count.
    """
    frame = batch.frame
    offsets = frame["raw_offset"].to_numpy()
    keep = np.ones(len(offsets), dtype=np.bool_)
    after = dict(marks)
    for stream, partition in frame.select("stream", "raw_partition").unique().iter_rows():
        chosen = ((frame["stream"] == stream) & (frame["raw_partition"] == partition)).to_numpy()
        mine = offsets[chosen]
        before = np.maximum.accumulate(np.concatenate(([marks.get((stream, partition), -1)], mine)))
        keep[chosen] = mine > before[:-1]
        after[stream, partition] = int(before[-1])
    repeats = len(keep) - int(np.count_nonzero(keep))
    return (batch if not repeats else PseudonymisedBatch(batch.event, frame.filter(pl.Series(keep)))), after, repeats


def link(batch: ValidatedBatch, state: PersonState) -> tuple[LinkedBatch, PersonState]:
    """`batch` with its place in each person's history, and the state after it.

    All rows must be of one pseudo partition, in its order. Adds the four columns of `LinkedBatch`. Age is the year of
    `occurred_at` where the source stood (by `occurred_offset_minutes`, else UTC) less the birth year; days since
    enrolment are whole days, negative for what happened before.
    """
    frame = batch.frame
    if frame.is_empty():
        return LinkedBatch(batch.event, _stamp(frame, np.empty(0, np.int64), np.empty(0, np.float64))), state
    participants = frame["participant"].to_numpy()
    times = frame["occurred_at"].to_physical().to_numpy()

    order = np.argsort(participants, kind="stable")
    sorted_participants, sorted_times = participants[order], times[order]
    starts = np.flatnonzero(np.concatenate(([True], sorted_participants[1:] != sorted_participants[:-1])))
    ends = np.concatenate((starts[1:], [len(order)]))
    lengths = ends - starts
    persons = sorted_participants[starts]
    records = state.records(persons)

    sequence = np.empty(len(order), np.int64)
    sequence[order] = np.arange(1, len(order) + 1) + np.repeat(records[:, COUNT] - starts, lengths)
    before = np.concatenate(([0], sorted_times[:-1]))
    before[starts] = records[:, PREVIOUS]
    seconds = np.empty(len(order), np.float64)
    seconds[order] = np.where(sequence[order] > 1, (sorted_times - before) / 1000.0, np.nan)

    linked = LinkedBatch(batch.event, _stamp(frame, sequence, seconds))
    return linked, state.put(_after(persons, records, sorted_times, starts, ends))


def _after(persons: Ints, records: Ints, times: Ints, starts: Ints, ends: Ints) -> Run:
    """The records of `persons` after their rows, which stand at `starts` to `ends` of `times`."""
    values = np.empty((len(persons), len(RECORD)), dtype=np.int64)
    known = records[:, COUNT] > 0
    values[:, COUNT] = records[:, COUNT] + (ends - starts)
    values[:, PREVIOUS] = times[ends - 1]
    first, last = np.minimum.reduceat(times, starts), np.maximum.reduceat(times, starts)
    values[:, FIRST] = np.where(known, np.minimum(records[:, FIRST], first), first)
    values[:, LAST] = np.where(known, np.maximum(records[:, LAST], last), last)
    return Run(persons, values)


def _stamp(frame: pl.DataFrame, sequence: Ints, seconds: np.ndarray[tuple[int], np.dtype[np.float64]]) -> pl.DataFrame:
    local = pl.col("occurred_at") + pl.duration(minutes=pl.col("occurred_offset_minutes").fill_null(0))
    return frame.with_columns(
        pl.Series("sequence", sequence, pl.Int64),
        pl.Series("seconds_since_previous", seconds, pl.Float64).fill_nan(None),
        (local.dt.year() - pl.col("birth_year")).cast(pl.Int32).alias("age_at_event"),
        (local.dt.date() - pl.col("enrolled_on")).dt.total_days().cast(pl.Int32).alias("days_since_enrolment"),
    )
