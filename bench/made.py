"""Events for the benchmark, made quickly: blood pressures, and a mix of all event types, of enrolled people.

People are accounts `app/bench` `u0`, `u1`, …; ids are random and times rise. One blood pressure in `FAILING` breaks a
critical rule, so that both tables are written to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
import pyarrow as pa

from bench.registers import CLINIC_ID, MADE_EVENTS, OFFICE_ID, SCHEME, THIN_EVENTS, THIN_SOURCES, thin_id
from biokeel.contracts.topics import event_type
from biokeel.demo import demo_corpus

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from biokeel.contracts.topics import EventType

ENROLMENT: Final = event_type("person.enrolment")
PRESSURE: Final = event_type("clinical.blood_pressure")
FAILING: Final = 200
CHUNK: Final = 100_000
"""Events of one frame."""

_START_MS: Final = 1_577_836_800_000  # 2020-01-01
_DOMAINS: Final = ["genome", "clinical", "lifestyle"]
_POSITIONS: Final = ("sitting", "standing", "supine", "semi-recumbent", "unknown")
_CORPUS_PEOPLE: Final = 500


def event_ids(rng: np.random.Generator, rows: int) -> pl.Series:
    """`rows` random ids of 32 hexadecimal digits."""
    digits = pa.py_buffer(rng.bytes(16 * rows).hex().encode())
    offsets = pa.py_buffer(np.arange(0, 32 * rows + 1, 32, dtype=np.int32).tobytes())
    return pl.Series("event_id", pa.StringArray.from_buffers(rows, offsets, digits), pl.String)


def enrolments(people: int) -> pl.DataFrame:
    """One enrolment for each of `people` accounts, consenting to everything."""
    rng = np.random.default_rng(people)
    return pl.DataFrame([event_ids(rng, people)]).with_columns(
        _moment(np.full(people, _START_MS), "occurred_at"),
        _moment(np.full(people, _START_MS), "recorded_at"),
        pl.lit(OFFICE_ID).alias("source_id"),
        pl.lit(SCHEME).alias("subject_scheme"),
        _accounts(np.arange(people)),
        pl.lit(540, pl.Int32).alias("occurred_offset_minutes"),
        pl.lit([], pl.List(pl.Struct({"scheme": pl.String, "value": pl.String}))).alias("identifiers"),
        pl.date(1900 + 50 + pl.int_range(pl.len()) % 50, 6, 15).alias("birth_date"),
        pl.lit("unknown").alias("sex"),
        pl.lit(_DOMAINS).alias("consent_scope"),
    )


def pressures(rows: int, people: int, seed: int = 0) -> Iterator[pl.DataFrame]:
    """Blood pressure events in frames of at most `CHUNK`, times rising from one to the next."""
    rng = np.random.default_rng(seed)
    clock = _START_MS
    for start in range(0, rows, CHUNK):
        count = min(CHUNK, rows - start)
        yield _pressures(rng, count, people, clock)
        clock += count * 1_000


def _pressures(rng: np.random.Generator, rows: int, people: int, clock: int) -> pl.DataFrame:
    occurred = clock + np.sort(rng.integers(0, rows * 1_000, rows))
    diastolic = np.clip(rng.normal(78, 9, rows).round(), 45, 120)
    systolic = diastolic + np.clip(rng.normal(45, 9, rows).round(), 10, 90)
    systolic[::FAILING] = 900.0
    return pl.DataFrame([event_ids(rng, rows)]).with_columns(
        pl.lit(CLINIC_ID).alias("source_id"),
        pl.lit(SCHEME).alias("subject_scheme"),
        _accounts(rng.integers(0, people, rows)),
        _moment(occurred, "occurred_at"),
        pl.lit(540, pl.Int32).alias("occurred_offset_minutes"),
        _moment(occurred + 60_000, "recorded_at"),
        pl.lit("85354-9").alias("panel_code"),
        pl.Series("systolic", systolic),
        pl.Series("diastolic", diastolic),
        pl.Series("heart_rate", np.clip(rng.normal(72, 11, rows).round(), 40, 180)),
        pl.Series("body_position", np.array(_POSITIONS)[rng.integers(0, len(_POSITIONS), rows)]),
        pl.lit("final").alias("status"),
    )


def mixture(
    rows: int, people: int, seed: int = 0, events: Collection[EventType] = MADE_EVENTS
) -> Iterator[tuple[EventType, pl.DataFrame]]:
    """About `rows` of `events`, in the proportions that the demo's made-up programme has them in.

    The demo's events without defects, over and over, with ids and people of their own.
    """
    rng = np.random.default_rng(seed)
    corpus = demo_corpus(_CORPUS_PEOPLE, seed, 0.0)
    frames = {event: frame for event, frame in corpus.events.items() if event in events}
    total = sum(frame.height for frame in frames.values())
    for event, frame in frames.items():
        left = max(1, round(rows * frame.height / total))
        while left:
            count = min(left, CHUNK)
            some = frame[np.arange(count) % frame.height]
            yield (
                event,
                some.with_columns(
                    event_ids(rng, count),
                    pl.lit(SCHEME).alias("subject_scheme"),
                    _accounts(rng.integers(0, people, count)),
                ),
            )
            left -= count


def thin(rows: int, people: int) -> Iterator[tuple[EventType, pl.DataFrame]]:
    """About `rows` of `THIN_EVENTS` as `mixture` has them, each source in turn sending one."""
    ids = pl.Series("source_id", [thin_id(number) for number in range(THIN_SOURCES)])
    for event, frame in mixture(rows, people, events=THIN_EVENTS):
        yield event, frame.with_columns(ids.gather(np.arange(frame.height) % THIN_SOURCES))


def _accounts(numbers: np.ndarray) -> pl.Series:
    return ("u" + pl.Series("subject_id", numbers).cast(pl.String)).alias("subject_id")


def _moment(milliseconds: np.ndarray, name: str) -> pl.Series:
    return pl.Series(name, milliseconds.astype(np.int64)).cast(pl.Datetime("ms", "UTC"))
