"""How fast a source's events go into Kafka by the SDK, its spool included."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import polars as pl

from bench.end_to_end import BenchError
from bench.made import PRESSURE, pressures
from biokeel.source.models import BloodPressure
from biokeel.source.sdk import SourceClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from biokeel.stack.stack import Stack

SPOOLED: Final = "bench-clinic"


@dataclass(frozen=True, slots=True)
class SpoolFigures:
    """`events` through a spool into Kafka, `way` of sending them, until Kafka's last acknowledgement.

    `taken_seconds`: until `send` had returned for the last. CPU is that of the whole process, both threads and the
    producer.
    """

    way: str
    events: int
    taken_seconds: float
    seconds: float
    cpu_seconds: float


def run_spool(stack: Stack, folder: Path, events: int, singles: int) -> Iterator[SpoolFigures]:
    """Send blood pressures by the SDK: frames, and `singles` one by one, each with and without waiting for the disk.

    Of the singles that wait for the disk there are fewer, because a disk takes few a second.
    """
    settings = stack.source(SPOOLED)
    frames = [frame.with_columns(pl.lit(SPOOLED).alias("source_id")) for frame in pressures(events, 10_000)]
    models = [
        BloodPressure(
            event_id=f"{number:032x}",
            subject=("app/bench", f"u{number % 10_000}"),
            occurred_at=dt.datetime.fromtimestamp(number, dt.UTC),
            recorded_at=dt.datetime.fromtimestamp(number, dt.UTC),
            panel_code="85354-9",
            systolic=120.0,
            diastolic=80.0,
            heart_rate=70.0,
            body_position="sitting",
            status="final",
        )
        for number in range(singles)
    ]

    def many(client: SourceClient) -> int:
        return sum(len(client.send_many(frame, PRESSURE)) for frame in frames)

    def listed(client: SourceClient) -> int:
        return len(client.send_many(models))

    def each(client: SourceClient, count: int = singles) -> int:
        return sum(len(client.send(model)) > 0 for model in models[:count])

    ways = [
        ("frames, on the disk", True, many),
        ("frames", False, many),
        ("models, on the disk", True, listed),
        ("one by one, on the disk", True, partial(each, count=singles // 50)),
        ("one by one", False, each),
    ]
    for number, (way, sync, send) in enumerate(ways):
        with SourceClient(settings, folder / str(number), b"k" * 32, sync=sync) as client:
            client.send(models[0])
            client.flush()  # the connection and the topic are there
            began, used = time.perf_counter(), time.process_time()
            sent = send(client)
            taken = time.perf_counter() - began
            if client.flush(120.0).events:
                raise BenchError(f"Kafka has not all of {sent:,} events that were sent: {way}.")
            yield SpoolFigures(way, sent, taken, time.perf_counter() - began, time.process_time() - used)
