"""The block producer on a real Kafka: in order, acknowledged as a whole, and no success where Kafka refused."""

import os
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import NewTopic

from biokeel.contracts.blocks import Block
from biokeel.contracts.topics import Zone
from biokeel.engine.kafka import producer as module
from biokeel.engine.kafka.producer import BlockProducer
from biokeel.errors import TransportError
from biokeel.settings import Settings

pytestmark = pytest.mark.integration


@pytest.fixture
def producer(stack):
    made = BlockProducer(stack.settings(Zone.VAULT))
    yield made
    made.close()


@pytest.fixture
def topic(stack):
    name = f"pseudo.test.{uuid.uuid4().hex}"
    admin = stack.admin()  # its futures end with it
    admin.create_topics([NewTopic(name, 2, 1, config={"max.message.bytes": "20000"})])[name].result(30)
    return name


def read(settings, topic, partition, count):
    consumer = Consumer(settings.kafka_client() | {"group.id": "test-read", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, 0)])
    try:
        messages = []
        while len(messages) < count:
            messages += consumer.consume(count - len(messages), 20)
        return messages
    finally:
        consumer.close()


def test_blocks_arrive_in_order_without_a_key_and_with_their_headers(stack, producer, topic):
    blocks = [Block(number % 2, str(number).encode(), [("biokeel-format", b"1")]) for number in range(40)]
    producer.send(topic, blocks).result(30)
    messages = read(stack.settings(Zone.VAULT), topic, 1, 20)
    assert [int(message.value()) for message in messages] == list(range(1, 40, 2))
    assert {message.key() for message in messages} == {None}
    assert messages[0].headers() == [("biokeel-format", b"1")]


def test_no_blocks_are_done_at_once(producer, topic):
    assert producer.send(topic, []).done()


def test_a_block_that_kafka_refuses_fails_the_whole_send(producer, topic):
    with pytest.raises(TransportError, match="did not take a block"):
        producer.send(topic, [Block(0, os.urandom(40_000), [])]).result(30)


def test_while_kafka_is_away_the_queue_holds_no_more_than_its_bytes_and_sending_waits(monkeypatch):
    monkeypatch.setattr(module, "QUEUE_KIBIBYTES", 4 << 10)
    producer = BlockProducer(Settings(kafka_bootstrap="127.0.0.1:1"))
    blocks = [Block(0, bytes(256 << 10), []) for _ in range(64)]
    try:
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(producer.send, "pseudo.test", blocks)
            with pytest.raises(TimeoutError):
                sending.result(2)
            assert 8 <= len(producer._producer) <= 16, "of 256 KiB each"
            producer._failure = KafkaError(KafkaError._ALL_BROKERS_DOWN)  # so that the test can end
            with pytest.raises(TransportError):
                sending.result(5)
    finally:
        producer.close(0.1)


def test_the_number_of_partitions_is_the_topics_own_and_a_missing_topic_is_an_error(producer, topic):
    assert producer.partitions(topic) == 2
    with pytest.raises(TransportError):
        producer.partitions("pseudo.test.missing")
