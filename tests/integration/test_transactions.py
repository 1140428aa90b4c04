"""A source that writes in transactions: what it aborted landed nowhere, the books balance, and nothing lags behind."""

import time

import polars as pl
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from biokeel.books.bookkeeper import Bookkeeper
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.codec import Codec
from biokeel.contracts.topics import Zone, event_type
from biokeel.engine.pseudonymise import GROUP
from biokeel.land.lake import Lake
from biokeel.land.reading import scan
from biokeel.source.columns import frame_of
from biokeel.stack.stack import Stack
from biokeel.testing.events import random_frame
from tests.faults.traffic import enrolments

pytestmark = [pytest.mark.integration, pytest.mark.long]

SOURCE = "hospital-one"
ENROLMENT, GLUCOSE = event_type("person.enrolment"), event_type("clinical.glucose")
ROWS = 50
SECONDS = 120


class Source:
    """A source's producers, each with a transaction at a time, and how far the vault's group has read."""

    def __init__(self, stack):
        self.settings = stack.source(SOURCE)
        schemas = DirectoryCatalogue(self.settings.schemas_dir)
        self.schema, self.enrolment = (schemas.reader(event).schema for event in (GLUCOSE, ENROLMENT))
        self.codec = Codec(schemas, 1 << 20)
        self.topic = GLUCOSE.raw_topic(SOURCE)
        self.reader = Consumer(
            stack.settings(Zone.VAULT).kafka_client() | {"group.id": GROUP, "isolation.level": "read_uncommitted"}
        )

    def producer(self, name, timeout_ms=60_000):
        own = {"transactional.id": f"{SOURCE}.{name}", "transaction.timeout.ms": timeout_ms}
        producer = Producer(self.settings.kafka_client() | own)
        producer.init_transactions(30)
        return producer

    def say(self, producer, seed, partition=0, rows=ROWS):
        """Events of a seed of their own, within the producer's transaction; they are at the broker then."""
        frame = random_frame(self.schema, rows, seed=seed).with_columns(
            source_id=pl.lit(SOURCE), subject_scheme=pl.lit("app/demo"), subject_id=pl.lit("person")
        )
        for value in self.codec.encode(GLUCOSE, frame).to_pylist():
            producer.produce(self.topic, value, partition=partition)
        producer.flush(30)

    def whole(self, seed, producer, partition=0, *, commit):
        producer.begin_transaction()
        self.say(producer, seed, partition)
        (producer.commit_transaction if commit else producer.abort_transaction)(30)

    def lag(self):
        """Offsets of the topic, markers included, that the vault's group has not read."""
        partitions = [
            TopicPartition(self.topic, each)
            for each in self.reader.list_topics(self.topic).topics[self.topic].partitions
        ]
        bounds = {each.partition: self.reader.get_watermark_offsets(each, 30) for each in partitions}
        committed = {each.partition: each.offset for each in self.reader.committed(partitions, 30)}
        return sum(high - max(low, committed[each]) for each, (low, high) in bounds.items() if high > low)


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIOKEEL_FLUSH_SECONDS", "1")
        with Stack.start(tmp_path_factory.mktemp("transactions"), workers=1) as running:
            yield running


def until(condition, what):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {SECONDS} s: {what}"
        time.sleep(0.5)


def test_what_a_source_aborts_never_existed(stack):
    source, books = Source(stack), Bookkeeper.of(stack.state_dir)
    first, second, hangs = source.producer("first"), source.producer("second"), source.producer("hangs", 1000)

    # A person comes by a transaction, too, behind one that was aborted.
    for commit in (False, True):
        first.begin_transaction()
        rows = [each | {"subject_id": "person", "source_id": SOURCE} for each in enrolments("person", [0])]
        for value in source.codec.encode(ENROLMENT, frame_of(source.enrolment, rows)).to_pylist():
            first.produce(ENROLMENT.raw_topic(SOURCE), value, partition=0)
        (first.commit_transaction if commit else first.abort_transaction)(30)

    # Two in turns, of which one aborts; then a partition that ends with what was aborted, by its producer or in time.
    first.begin_transaction()
    second.begin_transaction()
    for seed in (1, 2, 3):
        source.say(first, seed)
        source.say(second, seed + 10)
    first.abort_transaction(30)
    second.commit_transaction(30)
    source.whole(21, first, commit=True)
    source.whole(22, first, commit=False)
    hangs.begin_transaction()
    source.say(hangs, 31, partition=1)
    source.whole(32, second, 1, commit=True)

    kept = 5 * ROWS
    until(lambda: (seen := books.look()).total("raw") == kept + 1 and seen.balanced, "the books balance")
    until(lambda: source.lag() == 0, "everything is read")
    assert next(each.raw for each in books.look().events if each.event == GLUCOSE) == kept
    lake = Lake.of(stack.settings(Zone.RESEARCH))
    curated, quarantined = (
        scan(uri, lake).select("event_id").collect() for uri in (lake.curated(GLUCOSE), lake.quarantine(GLUCOSE))
    )
    assert pl.concat([curated, quarantined]).n_unique() == kept
    # After a restart nothing of that is news: the vault knows as much as was read.
    stack.restart("pseudonymise-1")
    source.whole(41, first, commit=True)
    kept += ROWS
    until(
        lambda: (seen := books.look()).total("raw") == kept + 1 and seen.balanced, "a worker that begins anew goes on"
    )
    until(lambda: source.lag() == 0, "everything is read")
