"""How long an event takes at a fixed rate, from time stamps that Kafka and the tables hold of each.

Raw: the time stamp of its message. Pseudonymised: the time stamp of the block that holds it. Landed: the time of the
first commit of its curated table whose transaction reaches its block.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import polars as pl
from confluent_kafka import Consumer, TopicPartition

from bench.end_to_end import LOOK_SECONDS, PROCESSES, BenchError, Plan, used
from bench.made import PRESSURE, pressures
from bench.registers import CLINIC_ID
from bench.scrape import scrape
from biokeel.contracts.blocks import read_block
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.signatures import PublicKeys
from biokeel.contracts.topics import Zone
from biokeel.land.lake import Lake
from biokeel.source.client import Publisher

if TYPE_CHECKING:
    from collections.abc import Iterator

    from confluent_kafka import Message

    from biokeel.settings import Settings
    from biokeel.stack.stack import Stack

RAW: Final = PRESSURE.raw_topic(CLINIC_ID)
TICKS: Final = 20
"""Portions that a second's events are published in."""
REST_SECONDS: Final = 90.0
"""After this long snapshots are written, and the books look seldom (`biokeel.books.worker.QUIET_LOOKS`)."""
IDLE_PROCESSES: Final = (*PROCESSES, "console")
LEAST_SHARE: Final = 0.95
"""Of the wanted rate; below it the source, not the workers, was measured."""


@dataclass(frozen=True, slots=True)
class SmallLoad:
    """What `rate` events a second cost: `cores` is the share of one core that each process took."""

    rate: int
    seconds: float
    cores: dict[str, float]


def run_small_load(stack: Stack, plan: Plan, rate: int, seconds: float) -> SmallLoad:
    """Publish `rate` blood pressures a second for `seconds`, and see what the processes use meanwhile.

    Raises `BenchError` where not everything lands in `plan.seconds`.
    """
    wanted = scrape(stack.state_dir).settled
    began, before = time.monotonic(), used(stack)
    count, _ = _publish(stack.source(CLINIC_ID), plan.people, rate, seconds)
    spent, after = time.monotonic() - began, used(stack)
    _settled(stack, wanted + count, plan.seconds)
    return SmallLoad(rate, spent, {name: after[name].since(before[name]).seconds / spent for name in after})


def run_idle(stack: Stack, seconds: float) -> SmallLoad:
    """What the processes use for `seconds` while nothing comes, after `REST_SECONDS` for them to see that."""
    time.sleep(REST_SECONDS)
    began, before = time.monotonic(), used(stack, IDLE_PROCESSES)
    time.sleep(seconds)
    spent, after = time.monotonic() - began, used(stack, IDLE_PROCESSES)
    return SmallLoad(0, spent, {name: after[name].since(before[name]).seconds / spent for name in after})


@dataclass(frozen=True, slots=True)
class LatencyFigures:
    """`rate` as it was reached; `seconds`: (median, 99th percentile, most) to each place."""

    events: int
    rate: float
    flush_seconds: float
    seconds: dict[str, tuple[float, float, float]]


def run_latency(stack: Stack, plan: Plan, rate: int, seconds: float) -> LatencyFigures:
    """Publish `rate` blood pressures a second for `seconds` to running workers, and follow each to its table.

    Raises `BenchError` where the rate was not reached or not everything landed in `plan.seconds`.
    """
    vault, research = stack.settings(Zone.VAULT), stack.settings(Zone.RESEARCH)
    ends = _ends(vault, RAW), _ends(research, PRESSURE.pseudo_topic)
    wanted = scrape(stack.state_dir).settled
    count, reached = _publish(stack.source(CLINIC_ID), plan.people, rate, seconds)
    if reached < rate * LEAST_SHARE:
        raise BenchError(f"Only {reached:,.0f} of {rate:,} events a second could be published.")
    _settled(stack, wanted + count, plan.seconds)
    raw = _raw(vault, ends[0], count)
    rows = _pseudo(research, ends[1], count).join(raw, on=["raw_partition", "raw_offset"], how="inner")
    rows = rows.join(_passed_to(research), on="pseudo_partition", how="left").filter(
        pl.col("reaches") >= pl.col("pseudo_offset")
    )
    rows = rows.group_by("raw_partition", "raw_offset", "raw_ms", "pseudo_ms").agg(pl.col("landed_ms").min())
    if rows.height != count:
        raise BenchError(f"Of {count:,} events {rows.height:,} could be followed.")
    places = {"pseudonymised": "pseudo_ms", "landed": "landed_ms"}
    return LatencyFigures(
        count,
        reached,
        plan.flush_seconds,
        {place: _summary(rows[column] - rows["raw_ms"]) for place, column in places.items()},
    )


def _summary(milliseconds: pl.Series) -> tuple[float, float, float]:
    median, high, most = np.percentile(milliseconds.to_numpy() / 1000.0, [50, 99, 100])
    return float(median), float(high), float(most)


def _publish(settings: Settings, people: int, rate: int, seconds: float) -> tuple[int, float]:
    portion = max(1, rate // TICKS)
    events = list(pressures(int(rate * seconds), people, seed=1))
    whole = pl.concat(events)
    with Publisher(settings, DirectoryCatalogue(settings.schemas_dir)) as publisher:
        publisher.publish(PRESSURE, whole.head(0))  # its first call asks Kafka for the topic, and counts for no rate
        began = time.monotonic()
        for number, start in enumerate(range(0, whole.height, portion)):
            time.sleep(max(0.0, began + number * portion / rate - time.monotonic()))
            publisher.publish(PRESSURE, whole[start : start + portion])
        spent = time.monotonic() - began
        publisher.flush()
    return whole.height, whole.height / (spent + portion / rate)


def _settled(stack: Stack, wanted: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (settled := scrape(stack.state_dir).settled) < wanted:
        if time.monotonic() > deadline:
            raise BenchError(f"{wanted - settled:,} events did not land within {seconds:g} s.")
        stack.supervisor.check()
        time.sleep(LOOK_SECONDS)


def _consumer(settings: Settings) -> Consumer:
    return Consumer(settings.kafka_client() | {"group.id": "biokeel-bench", "enable.auto.commit": False})


def _ends(settings: Settings, topic: str) -> dict[int, int]:
    """The end of each partition."""
    consumer = _consumer(settings)
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    ends = {each: consumer.get_watermark_offsets(TopicPartition(topic, each), timeout=10)[1] for each in partitions}
    consumer.close()
    return ends


def _messages(settings: Settings, topic: str, since: dict[int, int]) -> Iterator[Message]:
    """What came to `topic` after `since`."""
    ends = _ends(settings, topic)
    left = sum(ends.values()) - sum(since.values())
    consumer = _consumer(settings)
    consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in since.items()])
    while left > 0:
        some = consumer.consume(min(left, 10_000), timeout=10)
        if not some:
            raise BenchError(f"Topic {topic} gave nothing for 10 s.")
        left -= len(some)
        yield from some
    consumer.close()


def _raw(settings: Settings, since: dict[int, int], count: int) -> pl.DataFrame:
    rows = [(m.partition(), m.offset(), m.timestamp()[1]) for m in _messages(settings, RAW, since)]
    if len(rows) != count:
        raise BenchError(f"{len(rows):,} raw messages where {count:,} were published.")
    return pl.DataFrame(
        rows, schema={"raw_partition": pl.Int32, "raw_offset": pl.Int64, "raw_ms": pl.Int64}, orient="row"
    )


def _pseudo(settings: Settings, since: dict[int, int], count: int) -> pl.DataFrame:
    """Each row's coordinates, its block's place and its block's time."""
    keys = PublicKeys.of_setting(settings.block_public_keys)
    frames = [
        read_block(PRESSURE, message.partition() or 0, message.value(), _headers(message), keys)
        .frame.select("raw_partition", "raw_offset")
        .with_columns(
            pseudo_partition=pl.lit(message.partition(), pl.Int32),
            pseudo_offset=pl.lit(message.offset(), pl.Int64),
            pseudo_ms=pl.lit(message.timestamp()[1], pl.Int64),
        )
        for message in _messages(settings, PRESSURE.pseudo_topic, since)
    ]
    rows = pl.concat(frames)
    if rows.height != count:
        raise BenchError(f"{rows.height:,} pseudonymised events where {count:,} were published.")
    return rows


def _headers(message: Message) -> list[tuple[str, bytes]]:
    """A block's headers; the stubs allow what only a producer may give, a consumer always gets a list of pairs."""
    return cast("list[tuple[str, bytes]]", message.headers() or [])


def _passed_to(settings: Settings) -> pl.DataFrame:
    """For each commit of the curated table: its time, and the pseudo offset that it reaches in each partition."""
    lake = Lake.of(settings)
    prefix = lake.curated(PRESSURE).removeprefix(f"{lake.root}/") + "/_delta_log/"
    rows = []
    for key in lake.objects.keys(prefix):
        if not key.endswith(".json"):
            continue
        actions = [json.loads(line) for line in lake.objects.get(key).splitlines()]
        at = next(action["commitInfo"]["timestamp"] for action in actions if "commitInfo" in action)
        for action in actions:
            topic, _, partition = action.get("txn", {}).get("appId", "").rpartition("/")
            if topic == PRESSURE.pseudo_topic:
                rows.append((int(partition), action["txn"]["version"], at))
    return pl.DataFrame(
        rows, schema={"pseudo_partition": pl.Int32, "reaches": pl.Int64, "landed_ms": pl.Int64}, orient="row"
    )
