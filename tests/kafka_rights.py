"""Asking the broker as some user: what it lets one do, and the code of what it refuses."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from biokeel.settings import Settings

REFUSED = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED}


def produce(settings: Settings, topic: str, **config: object) -> KafkaError | None:
    """What the broker says of one message to partition 0."""
    answers: list[KafkaError | None] = []
    producer = Producer(settings.kafka_client() | {"message.timeout.ms": 15_000} | config)
    producer.produce(topic, b"x", partition=0, on_delivery=lambda error, _message: answers.append(error))
    producer.flush(20)
    assert len(answers) == 1
    return answers[0]


def consume(settings: Settings, topic: str, group: str | None = None) -> bytes:
    """The first message of partition 0; raises `KafkaException` with the broker's refusal."""
    consumer = Consumer(
        settings.kafka_client()
        | {
            "group.id": group or f"test-{uuid.uuid4().hex}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    try:
        if group:
            consumer.subscribe([topic])
        else:
            consumer.assign([TopicPartition(topic, 0, 0)])
        while (message := consumer.poll(20)) is not None:
            if message.error():
                raise KafkaException(message.error())
            return message.value()
        pytest.fail("no answer")
    finally:
        consumer.close()


def refusal(what: Callable[..., object], *arguments: object) -> int:
    """The code of the `KafkaException` that a call raises."""
    with pytest.raises(KafkaException) as caught:
        what(*arguments)
    return caught.value.args[0].code()
