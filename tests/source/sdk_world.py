"""A client on topics of its own, that everybody may use, and what the tests of the SDK share."""

from __future__ import annotations

import datetime as dt

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import NewTopic

from biokeel.admin.users import User
from biokeel.contracts.topics import EventType
from biokeel.settings import Settings
from biokeel.source.sdk import SourceClient
from tests.source.test_client import high_water_mark

SOURCE = "hospital-a"
PARTITIONS = 3
"""What the tests need no more of than that everybody may use them."""


class Client(SourceClient):
    """Its topics begin with `prefix`."""

    prefix = "test.sdk"

    def _topic(self, kind: EventType) -> str:
        return f"{self.prefix}.{kind}"


def client_of(prefix, settings, spool, **more):
    kind = type("ClientOfTest", (Client,), {"prefix": prefix})
    return kind(settings, spool, b"k" * 32, **more)


def settings_of(stack, user=User.VAULT, **more) -> Settings:
    return stack.settings(user).model_copy(update={"source_id": SOURCE, **more})


def make_topic(stack, topic, **config):
    admin = stack.admin()
    for future in admin.create_topics([NewTopic(topic, PARTITIONS, 1, config=config)]).values():
        future.result(30)


def messages_of(settings, topic):
    """Every message of a topic, by partition."""
    consumer = Consumer({**settings.kafka_client(), "group.id": "test-sdk", "enable.auto.commit": False})
    try:
        parts = [TopicPartition(topic, number, 0) for number in range(PARTITIONS)]
        ends = {part.partition: high_water_mark(consumer, part) for part in parts}
        consumer.assign(parts)
        found = {part.partition: [] for part in parts}
        while wanted := sum(ends.values()) - sum(map(len, found.values())):
            # It waits its whole time for as many as are asked for.
            messages = consumer.consume(min(wanted, 10_000), timeout=10)
            assert messages
            for message in messages:
                found[message.partition()].append(message)
        return found
    finally:
        consumer.close()


def id_in(value: bytes) -> str:
    """The event id in a framed datum: the first field, a text of 32 bytes."""
    assert value[5] == 64
    return value[6:38].decode()


def moment(number=0):
    return dt.datetime(2026, 1, 1, 9, tzinfo=dt.UTC) + dt.timedelta(seconds=number)
