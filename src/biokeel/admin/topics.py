"""The topics of Biokeel: `raw.*` that sources write, `pseudo.*` that the pseudonymiser writes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from biokeel.contracts.sources import Register
from biokeel.contracts.topics import EVENTS, LANDED_EVENTS
from biokeel.errors import StackError
from biokeel.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

MESSAGE_BYTES = 16 << 20
CREATE_SECONDS = 60.0
LED_SECONDS = 60.0
PAUSE_SECONDS = 0.05
CONFIG = {
    "max.message.bytes": str(MESSAGE_BYTES),
    "retention.ms": "-1",
    "retention.bytes": "-1",
    # The producers compress; a broker that did it again would only cost time.
    "compression.type": "producer",
}


def wanted(settings: Settings) -> dict[str, int]:
    """Every topic of Biokeel with its number of partitions."""
    register = Register.load(settings.sources_dir)
    raw = {
        event.raw_topic(source.id): source.partitions
        for source in register.values()
        for event in EVENTS
        if source.may_send(event)
    }
    return raw | {event.pseudo_topic: settings.pseudo_partitions for event in LANDED_EVENTS}


def create_topics(admin: AdminClient, settings: Settings) -> list[str]:
    """Create what is missing of `wanted`, and return its names; what is there already stays as it is.

    Raises `StackError` where Kafka does not answer or refuses. A process that dies in between leaves some topics
    missing, which the next call creates.
    """
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]  # it does not say what it exports

    new = [
        NewTopic(name, num_partitions=partitions, replication_factor=-1, config=CONFIG)
        for name, partitions in wanted(settings).items()
    ]
    created = []
    for name, future in admin.create_topics(new, operation_timeout=CREATE_SECONDS).items():
        try:
            future.result(CREATE_SECONDS)
            created.append(name)
        except TimeoutError as error:
            raise StackError(
                f"Kafka did not create the topic {name} within {CREATE_SECONDS:g} s.",
                "See that it runs: biokeel stack status.",
            ) from error
        except KafkaException as error:
            fault: KafkaError = error.args[0]
            if fault.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise StackError(
                    f"Kafka did not create the topic {name} ({fault.name()}).",
                    "See that it runs: biokeel stack status.",
                ) from error
    return sorted(created)


def wait_led(admin: AdminClient, settings: Settings) -> None:
    """Wait until every partition of `wanted` has a leader that answers: a young cluster has topics before it has those.

    Raises `StackError` after `LED_SECONDS`.
    """
    deadline = time.monotonic() + LED_SECONDS
    while unled := _unled(admin, list(wanted(settings))):
        if time.monotonic() > deadline:
            raise StackError(
                f"{len(unled)} topics have no leader after {LED_SECONDS:g} s, {unled[0]} among them.",
                "See logs/kafka-broker.log.",
            )
        time.sleep(PAUSE_SECONDS)


def _unled(admin: AdminClient, names: list[str]) -> list[str]:
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
