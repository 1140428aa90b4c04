"""The newest messages of a topic, for a person who looks; leaves no trace in any consumer group."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from biokeel.errors import TransportError

if TYPE_CHECKING:
    import confluent_kafka as kafka

    from biokeel.settings import Settings

_TIMEOUT: Final = 15.0
"""Seconds that Kafka may take to answer."""
_POLL: Final = 0.2


TELLS_THE_END: Final = {"enable.partition.eof": True}
"""Setting of a consumer that is to say where a partition ends for it: perhaps with what is no message (a transaction's
marker, what was aborted), or where a transaction is open."""


def is_the_end(message: kafka.Message) -> bool:
    """Whether `message` only says that its partition has no more for now. Raises `KafkaException` for an error."""
    error = message.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - so it is called
        raise KafkaException(error)
    return error is not None


@dataclass(frozen=True, slots=True, order=True)
class Message:
    """One message. `timestamp_ms` is Kafka's, -1 for none."""

    timestamp_ms: int
    partition: int
    offset: int
    value: bytes | None = field(repr=False)
    headers: list[tuple[str, bytes]] = field(repr=False)


def newest(settings: Settings, topic: str, limit: int) -> list[Message]:
    """Up to `limit` newest messages of `topic` over all its partitions, oldest first.

    Raises `SettingsError` where no bootstrap server is set, `TransportError` when the topic does not exist, Kafka does
    not answer, or the user may not read it.
    """
    settings.require("kafka_bootstrap")
    consumer = Consumer(
        settings.kafka_client()
        | {"group.id": "biokeel-topic-cat", "enable.auto.commit": False, "auto.offset.reset": "error", **TELLS_THE_END}
    )
    try:
        return _newest(consumer, topic, limit)
    except KafkaException as error:
        raise TransportError(
            f"Cannot read topic {topic}: {error.args[0].str()}.", "Does it exist, and may this zone's user read it?"
        ) from None
    finally:
        consumer.close()


def _newest(consumer: Consumer, topic: str, limit: int) -> list[Message]:
    metadata = consumer.list_topics(topic, timeout=_TIMEOUT).topics[topic]
    if metadata.error is not None:
        raise KafkaException(metadata.error)
    ends: dict[int, int] = {}
    starts = []
    for partition in metadata.partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_TIMEOUT)
        if high > low:
            ends[partition] = high
            starts.append(TopicPartition(topic, partition, max(low, high - limit)))
    consumer.assign(starts)
    found: list[Message] = []
    deadline = time.monotonic() + _TIMEOUT
    while ends:
        # consume waits until it has as many as it was asked for, so it must not be asked to wait for long.
        messages = consumer.consume(limit, timeout=_POLL)
        if messages:
            deadline = time.monotonic() + _TIMEOUT
        elif time.monotonic() > deadline:
            raise TransportError(f"Topic {topic} gave nothing for {_TIMEOUT:.0f} s.", "Is Kafka well?")
        for message in messages:
            if is_the_end(message):
                ends.pop(int(message.partition() or 0), None)
                continue
            partition, offset = int(message.partition() or 0), int(message.offset() or 0)
            if offset + 1 >= ends.get(partition, 0):
                ends.pop(partition, None)
            # The stubs allow what only a producer may give; a consumer always gets a list of pairs.
            headers = cast("list[tuple[str, bytes]]", message.headers() or [])
            found.append(Message(message.timestamp()[1], partition, offset, message.value(), headers))
    return sorted(found)[-limit:]
