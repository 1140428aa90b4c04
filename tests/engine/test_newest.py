"""The newest messages of a topic, also of one that ends with what is no message."""

import uuid

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from biokeel.contracts.topics import Zone
from biokeel.engine.kafka.newest import newest

pytestmark = pytest.mark.integration


def test_a_topic_that_ends_with_what_was_aborted_or_is_open_is_read_to_what_stands_there(stack):
    settings, topic = stack.settings(Zone.VAULT), f"test.newest.{uuid.uuid4().hex}"
    admin = stack.admin()  # its futures end with it
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(30)
    producer = Producer(settings.kafka_client() | {"transactional.id": topic})
    producer.init_transactions(30)
    for value, partition, end in (
        (b"1", 0, producer.commit_transaction),
        (b"2", 0, producer.abort_transaction),
        (b"3", 1, producer.abort_transaction),
        (b"4", 0, None),
    ):
        producer.begin_transaction()
        producer.produce(topic, value, partition=partition)
        producer.flush(30)
        if end is not None:
            end(30)
    assert [(each.partition, each.offset, each.value) for each in newest(settings, topic, 10)] == [(0, 0, b"1")]
    producer.abort_transaction(30)
