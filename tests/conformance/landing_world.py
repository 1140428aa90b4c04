"""A small curate worker on real tables: the loop that `biokeel.engine` runs, without Kafka and without Faust."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from biokeel.batch import PseudonymisedBatch, RawPartition, ValidatedBatch
from biokeel.contracts.schema import load_schema
from biokeel.contracts.topics import event_type
from biokeel.land.checkpoint import nothing
from biokeel.land.reading import scan
from biokeel.land.recovery import recover
from biokeel.land.snapshots import Point, Snapshots
from biokeel.land.tables import EventTables
from biokeel.link.stage import drop_repeats, link
from biokeel.link.state import Snapshot, from_bytes, to_bytes

EVENT = event_type("clinical.glucose")
SCHEMA = load_schema(Path(__file__).parents[2] / "schemas", EVENT)
Verdict = Callable[[pl.DataFrame], pl.Series]
DAY = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
ORIGINS = RawPartition("hospital-a", 0), RawPartition("hospital-a", 1), RawPartition("hospital-b", 1)
"""Raw partitions whose offsets are the same numbers."""


class Died(BaseException):
    """The process ended here, for all the worker can tell: no handler of ours may catch it."""


def rows(
    participants: list[int],
    raw_offsets: list[int],
    *,
    source: str = "hospital-a",
    raw_partition: int = 0,
    stream: str = "raw",
) -> pl.DataFrame:
    """A block's rows; the glucose value is the raw offset, so that a verdict can be a function of it."""
    count = len(participants)
    return pl.DataFrame(
        {
            "participant": pl.Series(participants, dtype=pl.Int64),
            "event_id": [f"{stream}-{source}-{raw_partition}-{offset}" for offset in raw_offsets],
            "source_id": [source] * count,
            "occurred_at": pl.Series(
                [DAY + dt.timedelta(seconds=(offset * 7919) % 86_400) for offset in raw_offsets],
                dtype=pl.Datetime("ms", "UTC"),
            ),
            "occurred_offset_minutes": pl.Series([540] * count, dtype=pl.Int32),
            "recorded_at": pl.Series([DAY] * count, dtype=pl.Datetime("ms", "UTC")),
            "enrolled_on": pl.Series([dt.date(2023, 12, 1)] * count, dtype=pl.Date),
            "birth_year": pl.Series([1980] * count, dtype=pl.Int32),
            "sex": ["F"] * count,
            "stream": [stream] * count,
            "raw_partition": pl.Series([raw_partition] * count, dtype=pl.Int32),
            "raw_offset": pl.Series(raw_offsets, dtype=pl.Int64),
            "first_partition": pl.Series([raw_partition] * count, dtype=pl.Int32),
            "first_offset": pl.Series(raw_offsets, dtype=pl.Int64),
            "code": ["2339-0"] * count,
            "value": pl.Series(raw_offsets, dtype=pl.Float64),
            "value_unit": ["mg/dL"] * count,
            "relation_to_meal": pl.Series([None] * count, dtype=pl.String),
            "specimen": pl.Series([None] * count, dtype=pl.String),
            "status": ["final"] * count,
        }
    )


def topic(partitions: int, blocks: int, size: int = 20, seed: int = 1) -> dict[int, list[pl.DataFrame]]:
    """Blocks of each pseudo partition, of `ORIGINS` in turn; every fourth repeats rows, cut elsewhere."""
    random = np.random.default_rng(seed)
    made: dict[int, list[pl.DataFrame]] = {}
    for partition in range(partitions):
        following = dict.fromkeys(ORIGINS, 0)
        persons = {origin: random.integers(0, 7, size * blocks) * partitions + partition for origin in ORIGINS}
        made[partition] = []
        for number in range(blocks):
            origin = ORIGINS[number % len(ORIGINS)]
            begin = following[origin] - (size // 2 if number % 4 == 3 else 0)
            numbers = range(begin, begin + size)
            # A raw offset is in one pseudo partition only.
            offsets = [each * partitions + partition for each in numbers]
            people = [int(persons[origin][each]) for each in numbers]
            made[partition].append(rows(people, offsets, source=origin.source, raw_partition=origin.partition))
            following[origin] = begin + size
    return made


def multiples(of: int) -> Verdict:
    """The verdict of a suite that quarantines every value that is a multiple of `of`."""
    return lambda frame: (frame["value"] % of) != 0


@dataclass
class Worker:
    """Reads blocks of `log` for `partitions`, lands on `flush`. `version` is the suite's; `verdict` its judgement."""

    lake: object
    log: dict[int, list[pl.DataFrame]]
    verdict: Verdict
    version: str = "v1"
    partitions: tuple[int, ...] = (0,)
    reached: Callable[[str], None] = nothing
    snapshots: bool = True
    next: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tables = EventTables(self.lake, SCHEMA, reached=self.reached)
        self.recover()

    def recover(self) -> None:
        self.recovered = {p: recover(self.tables, p) for p in self.partitions}
        restored = {p: from_bytes(found.snapshot) for p, found in self.recovered.items()}
        self.state = {p: snapshot.state for p, snapshot in restored.items()}
        self.marks = {p: snapshot.marks for p, snapshot in restored.items()}
        self.next = {p: found.seek_to for p, found in self.recovered.items()}
        self.good: list[pl.DataFrame] = []
        self.bad: list[pl.DataFrame] = []

    def read(self, partition: int, blocks: int = 1) -> None:
        for _ in range(blocks):
            offset = self.next[partition]
            if offset >= len(self.log[partition]):
                return
            frame = self.log[partition][offset].with_columns(
                pl.lit(partition, pl.Int32).alias("pseudo_partition"), pl.lit(offset, pl.Int64).alias("pseudo_offset")
            )
            batch, self.marks, _ = drop_repeats(PseudonymisedBatch(EVENT, frame), self.marks)
            frame = batch.frame
            decided = self.recovered[partition].decide(frame)
            accepted = decided.zip_with(decided.is_not_null(), self.verdict(frame))
            stamps = {"suite_version": pl.lit(self.version), "warnings": pl.lit([], pl.List(pl.String))}
            linked, self.state = link(ValidatedBatch(EVENT, frame.filter(accepted).with_columns(**stamps)), self.state)
            self.good.append(linked.frame)
            refused = frame.filter(~accepted).with_columns(
                **stamps, reason=pl.lit("rule.failed"), failed_rules=pl.lit(["r1"])
            )
            self.bad.append(refused)
            self.next[partition] = offset + 1

    def flush(self) -> object:
        positions = {p: following - 1 for p, following in self.next.items() if following > 0}
        landed = self.tables.land(
            pl.concat(self.good) if self.good else None,
            pl.concat(self.bad) if self.bad else None,
            positions,
        )
        self.good, self.bad = [], []
        if self.snapshots:
            for p, last in positions.items():
                data = to_bytes(Snapshot(last, self.state[p], self.marks[p]))
                Snapshots(self.lake).save(EVENT, p, Point(last, 0), data)
        return landed

    def run(self, blocks_a_flush: int = 2) -> None:
        """Read all that is left, with a flush after every so many blocks of each partition."""
        while any(self.next[p] < len(self.log[p]) for p in self.partitions):
            for p in self.partitions:
                self.read(p, blocks_a_flush)
            self.flush()


def landed(lake: object) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Curated and quarantined rows, in an order of their own, without the stamps of the suite."""
    order = ["pseudo_partition", "source_id", "raw_partition", "raw_offset"]
    curated = scan(lake.curated(EVENT), lake).collect().drop("suite_version", "warnings").sort(order)
    quarantined = scan(lake.quarantine(EVENT), lake).collect().drop("suite_version", "warnings").sort(order)
    return curated, quarantined


def distinct(log: dict[int, list[pl.DataFrame]]) -> int:
    """How many events the log holds, repeats not counted."""
    every = pl.concat([block for blocks in log.values() for block in blocks])
    return every.select("source_id", "raw_partition", "raw_offset").n_unique()
