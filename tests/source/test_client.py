"""The publisher on a real Kafka."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from biokeel.admin.users import User
from biokeel.batch import RawBatch, RawPartition
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.codec import Codec
from biokeel.contracts.topics import EventType, Zone, event_type
from biokeel.errors import DeliveryError, SettingsError
from biokeel.settings import Settings
from biokeel.source.client import CHUNK, Publisher
from biokeel.source.columns import frame_of
from biokeel.source.encoding import event_id_in
from biokeel.source.partition import partitions_of
from biokeel.stack.stack import Stack

pytestmark = pytest.mark.integration

DIET = event_type("lifestyle.diet")
SOURCE, PARTITIONS = "demo-one", 4


@pytest.fixture
def settings(stack: Stack) -> Settings:
    return stack.source(SOURCE)


@pytest.fixture
def vault(stack: Stack) -> Settings:
    """Who may read what sources write."""
    return stack.settings(Zone.VAULT)


@pytest.fixture
def publisher(settings: Settings, catalogue: DirectoryCatalogue) -> Iterator[Publisher]:
    with Publisher(settings, catalogue) as publisher:
        yield publisher


def frame(catalogue: DirectoryCatalogue, count: int, people: int = 50, mark: str = "0") -> pl.DataFrame:
    record = {"source_id": "a", "subject_scheme": "app/a", "occurred_at": 1, "recorded_at": 2, "meal": "lunch"}
    rows = [
        record | {"event_id": f"{mark}{i:031x}", "subject_id": str(i % people), "energy": float(i)}
        for i in range(count)
    ]
    return frame_of(catalogue.reader(DIET).schema, rows)


def high_water_mark(consumer: Consumer, part: TopicPartition, tries: int = 20) -> int:
    """The broker answers NOT_LEADER_FOR_PARTITION for a moment after it has made a topic."""
    try:
        return consumer.get_watermark_offsets(part, timeout=10)[1]
    except KafkaException:
        if not tries:
            raise
        consumer.poll(0.5)
        return high_water_mark(consumer, part, tries - 1)


def ends(settings: Settings, event: EventType, source: str = SOURCE) -> dict[int, int]:
    consumer = Consumer({**settings.kafka_client(), "group.id": "test"})
    try:
        parts = [TopicPartition(event.raw_topic(source), number) for number in range(PARTITIONS)]
        return {part.partition: high_water_mark(consumer, part) for part in parts}
    finally:
        consumer.close()


def since(settings: Settings, event: EventType, start: dict[int, int]) -> dict[int, list[Message]]:
    end = ends(settings, event)
    consumer = Consumer({**settings.kafka_client(), "group.id": "test", "enable.auto.commit": False})
    consumer.assign([TopicPartition(event.raw_topic(SOURCE), partition, offset) for partition, offset in start.items()])
    wanted = sum(end.values()) - sum(start.values())
    found: dict[int, list[Message]] = {partition: [] for partition in start}
    while wanted:
        # It waits its whole time for as many as are asked for.
        messages = consumer.consume(min(wanted, 10_000), timeout=10)
        assert messages, "Kafka holds fewer messages than its offsets say"
        wanted -= len(messages)
        for message in messages:
            found[message.partition()].append(message)
    consumer.close()
    return found


def test_every_row_arrives_once_in_its_partition_in_order_and_reads_back_as_it_was(
    publisher: Publisher, settings: Settings, vault: Settings, catalogue: DirectoryCatalogue
) -> None:
    start = ends(vault, DIET)
    rows = frame(catalogue, CHUNK + 1_234)
    assert publisher.publish(DIET, rows) == rows.height
    assert publisher.flush() == rows.height
    expected = partitions_of(rows, PARTITIONS)
    codec = Codec(catalogue, settings.max_event_bytes)
    for partition, messages in since(vault, DIET, start).items():
        assert all(message.key() is None and message.headers() is None for message in messages)
        values = [message.value() for message in messages]
        outcome = codec.decode(RawBatch.of(DIET, [(RawPartition(SOURCE, partition), np.arange(len(values)), values)]))
        assert not outcome.rejected
        assert outcome.accepted.frame.equals(rows.filter(pl.lit(pl.Series(expected == partition))))


def test_who_wants_to_know_hears_where_kafka_put_each_event(
    settings: Settings, vault: Settings, catalogue: DirectoryCatalogue
) -> None:
    start = ends(vault, DIET)
    rows = frame(catalogue, CHUNK + 77, mark="b")
    placed: dict[str, tuple[int, int]] = {}
    with Publisher(
        settings, catalogue, lambda _event, partition, offset, event_id: placed.update({event_id: (partition, offset)})
    ) as publisher:
        publisher.publish(DIET, rows)
    found = {
        event_id_in(message.value() or b""): (partition, message.offset())
        for partition, messages in since(vault, DIET, start).items()
        for message in messages
    }
    assert placed == found
    assert placed.keys() == set(rows["event_id"])


def test_broken_messages_are_sent_as_they_are_and_their_offsets_are_known(
    publisher: Publisher, vault: Settings
) -> None:
    start = ends(vault, DIET)
    values = [b"\x00\x01", None, b"x"]
    offsets = publisher.publish_raw(DIET, values, partition=2)
    messages = since(vault, DIET, start)[2]
    assert [(m.offset(), m.value()) for m in messages] == list(zip(offsets, values, strict=True))


def test_an_event_that_is_too_large_is_refused_before_anything_is_queued(
    publisher: Publisher, settings: Settings, vault: Settings, catalogue: DirectoryCatalogue
) -> None:
    start = ends(vault, DIET)
    rows = frame(catalogue, 3)
    large = rows.with_columns(food_name=pl.lit("x" * settings.max_event_bytes))
    with pytest.raises(DeliveryError, match="claim check"):
        publisher.publish(DIET, pl.concat([rows, large]))
    publisher.flush()
    assert ends(vault, DIET) == start


def test_what_kafka_refuses_is_counted_and_reported(settings: Settings, catalogue: DirectoryCatalogue) -> None:
    publisher = Publisher(settings.model_copy(update={"max_event_bytes": 64 << 20}), catalogue)
    rows = frame(catalogue, 1).with_columns(food_name=pl.lit("x" * (17 << 20)))
    with pytest.raises(DeliveryError, match="MSG_SIZE_TOO_LARGE"):
        publisher.publish(DIET, rows)


def test_who_gives_up_knows_of_each_event_whether_kafka_has_acknowledged_it(
    settings: Settings, vault: Settings, catalogue: DirectoryCatalogue
) -> None:
    start = ends(vault, DIET)
    publisher = Publisher(settings, catalogue)
    publisher.publish(DIET, frame(catalogue, 500, mark="a"))
    publisher.publish_raw(DIET, [b"x"])
    assert publisher.flush() == 501
    publisher.publish(DIET, frame(catalogue, 3 * CHUNK, mark="b"))
    acknowledged, unanswered = publisher.give_up()
    assert acknowledged.total() + unanswered.total() == 3 * CHUNK + 501
    assert acknowledged[str(DIET)] >= 501
    arrived = sum(ends(vault, DIET).values()) - sum(start.values())
    assert acknowledged[str(DIET)] <= arrived <= acknowledged[str(DIET)] + unanswered[str(DIET)]


def test_a_partition_or_topic_that_is_not_there_is_an_error_that_says_so(publisher: Publisher) -> None:
    with pytest.raises(DeliveryError, match="did not take"):
        publisher.publish_raw(DIET, [b"x"], partition=99)
    missing = EventType(DIET.domain, "unheard_of")
    with pytest.raises(DeliveryError, match="no topic raw"):
        publisher.publish_raw(missing, [b"x"])


def test_a_broker_that_does_not_answer_is_an_error_that_says_so(
    catalogue: DirectoryCatalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biokeel.source.client.METADATA_SECONDS", 1.0)
    publisher = Publisher(Settings(kafka_bootstrap="127.0.0.1:9", source_id=SOURCE), catalogue)
    with pytest.raises(DeliveryError, match="does not answer"):
        publisher.publish(DIET, frame(catalogue, 1))


def test_without_bootstrap_servers_there_is_no_publisher(catalogue: DirectoryCatalogue) -> None:
    with pytest.raises(SettingsError, match="BIOKEEL_KAFKA_BOOTSTRAP, BIOKEEL_SOURCE_ID"):
        Publisher(Settings(), catalogue)


@pytest.mark.parametrize("user", [User.OPERATOR, User.RESEARCH])
@pytest.mark.parametrize("way", ["publish and flush", "publish on and on", "publish raw", "publish raw on and on"])
def test_a_user_who_may_not_write_a_topic_is_told_which_who_and_what_to_do(
    stack: Stack, catalogue: DirectoryCatalogue, user: User, way: str
) -> None:
    publisher = Publisher(stack.settings(user).model_copy(update={"source_id": SOURCE}), catalogue)
    rows = frame(catalogue, 10)
    with pytest.raises(DeliveryError) as refusal:  # noqa: PT012 - the refusal comes from whichever call comes next
        for _ in range(100 if way.endswith("on") else 1):
            if "raw" in way:
                publisher.publish_raw(DIET, [b"x"])
            else:
                publisher.publish(DIET, rows)
                time.sleep(0.05)
        publisher.flush()
    topic = DIET.raw_topic(SOURCE)
    assert refusal.value.what == f"Not authorised for topic {topic}: Kafka's user {user} may not write it."
    assert "source's own settings" in refusal.value.todo
