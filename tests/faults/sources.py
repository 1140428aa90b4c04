"""One source floods, or falls silent in the middle of a transaction: the others must not feel it."""

import threading
import time
import uuid

import polars as pl
from confluent_kafka import Producer

from biokeel.source.client import Publisher
from biokeel.testing.events import SOURCE
from tests.faults.plan import experiment
from tests.faults.traffic import GLUCOSE, glucose
from tests.faults.world import PATIENCE

OTHER = "wearable-one"
"""Its quota is 100 kB a second, some 700 events."""
FLOOD_ROWS = 10_000
"""What it sends at once; some 15 s of its quota."""
SILENT_ROWS = 50
TRANSACTION_SECONDS = 60.0
"""When the broker aborts what a source has begun and not ended; it looks every ten seconds."""


def of_the_other(world, rows, seed):
    """`rows` events of the steady people, of the same type as some of the first source's."""
    frame = glucose(world.catalogue.reader(GLUCOSE).schema, rows, seed)
    return frame.with_columns(source_id=pl.lit(OTHER))


def await_the_first(world):
    """Wait until every event of the first source is in its place."""
    until = time.monotonic() + PATIENCE
    while world.bookkeeper.look().sources[SOURCE].missing:
        assert time.monotonic() < until, "the others' events wait"
        world.watch(supervised=False)
        time.sleep(0.2)


@experiment("a source floods, the others' events land meanwhile", full=10, seconds=40)
def flood(run):
    """As fast as its quota lets it, with events of a type that another source sends, too.

    The quota is the cure: what the wall let through stands in one topic for all, and lands in its order.
    """
    world, over, sent = run.world, threading.Event(), []

    def pour():
        publisher = Publisher(world.stack.source(OTHER), world.catalogue)
        while not over.is_set():
            sent.append(publisher.publish(GLUCOSE, of_the_other(world, FLOOD_ROWS, run.rng.getrandbits(32))))
            publisher.flush()

    flooding = threading.Thread(target=pour)
    flooding.start()
    try:
        for _ in range(3):
            world.send(rows=300)
            await_the_first(world)
            assert flooding.is_alive(), "it was no flood, or the others' events landed behind it only"
    finally:
        over.set()
        flooding.join()
        world.sent += sum(sent)
    assert sum(sent), "it was no flood"
    run.harmed()


@experiment("a source falls silent in its transaction, the others' events land meanwhile", full=5, seconds=90)
def silence(run):
    """What it began is in no place and missed nowhere; once the broker has aborted it, its offsets are void."""
    world = run.world
    own = {"transactional.id": f"{OTHER}.{uuid.uuid4().hex}", "transaction.timeout.ms": int(TRANSACTION_SECONDS * 1000)}
    producer = Producer(world.stack.source(OTHER).kafka_client() | own)
    producer.init_transactions(30)
    producer.begin_transaction()
    began = time.monotonic()
    for _ in range(SILENT_ROWS):
        producer.produce(GLUCOSE.raw_topic(OTHER), b"never committed", partition=1)
    producer.flush(30)
    world.send(rows=300)
    await_the_first(world)
    assert time.monotonic() - began < TRANSACTION_SECONDS, (
        "the broker may have ended it before the others' events landed"
    )
    world.live(TRANSACTION_SECONDS + 12 - (time.monotonic() - began))
    run.harmed()
    world.send(rows=100)
    world.sent += Publisher(world.stack.source(OTHER), world.catalogue).publish(
        GLUCOSE, of_the_other(world, 30, run.number)
    )
