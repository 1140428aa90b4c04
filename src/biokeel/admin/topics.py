"""The topics of Biokeel as Kafka is asked for them, and how each kind is configured."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from biokeel.admin.answers import SECONDS, answered
from biokeel.errors import AdminError
from biokeel.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

MESSAGE_BYTES = 16 << 20
LED_SECONDS = 60.0
PAUSE_SECONDS = 0.05
CONFIG = {
    "max.message.bytes": str(MESSAGE_BYTES),
    "retention.ms": "-1",
    "retention.bytes": "-1",
    # The producers compress; a broker that did it again would only cost time.
    "compression.type": "producer",
}
RECEIPTS_CONFIG = {
    # What a source does not fetch within a year it does not miss; the books can say it anew at any time.
    "retention.ms": str(365 * 86_400_000),
    "retention.bytes": "-1",
    "cleanup.policy": "delete",
    "compression.type": "producer",
}


def create(admin: AdminClient, topics: Mapping[str, tuple[int, Mapping[str, str]]]) -> list[str]:
    """Create topics with their numbers of partitions and configurations; those that are there stay as they are.

    Returns the names of the new ones. Raises `AdminError` where Kafka does not answer or refuses.
    """
    from confluent_kafka import KafkaError
    from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]  # it does not say what it exports

    new = [
        NewTopic(name, num_partitions=partitions, replication_factor=-1, config=dict(config))
        for name, (partitions, config) in topics.items()
    ]
    if not new:
        return []
    futures = admin.create_topics(new, operation_timeout=SECONDS)
    there = KafkaError.TOPIC_ALREADY_EXISTS
    answers = answered(futures.values(), "create a topic", tolerated=(there,))
    return sorted(name for name, answer in zip(futures, answers, strict=True) if answer != there)


def grow(admin: AdminClient, topics: Mapping[str, int]) -> None:
    """Give topics as many partitions as `topics` says; those that have as many already stay as they are.

    Raises `AdminError` where Kafka does not answer or refuses, as it does where a topic would have fewer.
    """
    from confluent_kafka import KafkaError
    from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]

    new = [NewPartitions(name, partitions) for name, partitions in topics.items()]
    if new:
        # It is how Kafka says that there are as many already.
        there = (KafkaError.INVALID_PARTITIONS,)
        answered(admin.create_partitions(new, operation_timeout=SECONDS).values(), "raise partitions", tolerated=there)


def wait_led(admin: AdminClient, names: Collection[str]) -> None:
    """Wait until every partition of these topics has a leader that answers: a young topic is there before it has one.

    Raises `AdminError` after `LED_SECONDS`.
    """
    deadline = time.monotonic() + LED_SECONDS
    while unled := _unled(admin, names):
        if time.monotonic() > deadline:
            raise AdminError(
                f"{len(unled)} topics have no leader after {LED_SECONDS:g} s, {unled[0]} among them.",
                "See logs/kafka-broker.log.",
            )
        time.sleep(PAUSE_SECONDS)


def _unled(admin: AdminClient, names: Collection[str]) -> list[str]:
    """Those of `names` that the broker does not know yet, or that have a partition whose leader does not answer."""
    from confluent_kafka import KafkaException, TopicPartition
    from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]  # it does not say what it exports

    known = admin.list_topics(timeout=LED_SECONDS).topics
    if missing := [name for name in names if name not in known]:
        return missing
    latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    partitions = [TopicPartition(name, number) for name in names for number in known[name].partitions]
    unled = []
    for partition, future in admin.list_offsets(dict.fromkeys(partitions, latest), request_timeout=LED_SECONDS).items():
        try:
            future.result()
        except KafkaException:
            unled.append(partition.topic)
    return unled


def admin_client(settings: Settings) -> AdminClient:
    """A client with the rights of the user of `settings`. Hold it while its futures are pending."""
    from confluent_kafka.admin import AdminClient

    return AdminClient(settings.kafka_client())
