"""The low and high watermarks of raw topics: what Kafka holds, for those who prove that it all arrived."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from biokeel.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from biokeel.contracts.topics import EventType
    from biokeel.settings import Settings

Watermarks = dict["EventType", dict[int, tuple[int, int]]]
"""By event type and partition: the first offset that Kafka still holds, and the one that the next event will get."""

_EARLIEST: Final[OffsetSpec] = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final[OffsetSpec] = OffsetSpec.latest()  # type: ignore[no-untyped-call]

_TIMEOUT: Final = 15.0
"""Seconds that Kafka may take to answer."""


def raw_watermarks(settings: Settings, events: Iterable[EventType]) -> Watermarks:
    """The watermarks of the raw topics of `events`; an event type whose topic does not exist has no partitions.

    Raises `TransportError` when Kafka does not answer or refuses.
    """
    events = list(events)
    try:
        admin = AdminClient(settings.kafka_client())
        known = admin.list_topics(timeout=_TIMEOUT).topics
        partitions = [
            TopicPartition(event.raw_topic, partition)
            for event in events
            if event.raw_topic in known
            for partition in known[event.raw_topic].partitions
        ]
        lows = _offsets(admin, partitions, _EARLIEST)
        highs = _offsets(admin, partitions, _LATEST)
    except KafkaException as error:
        raise TransportError(
            f"Cannot read the watermarks of the raw topics: {error.args[0].str()}.",
            "Is Kafka up, and may the vault zone's user read raw.*?",
        ) from None
    marks: Watermarks = {event: {} for event in events}
    by_topic = {event.raw_topic: event for event in events}
    for (topic, partition), low in sorted(lows.items()):
        marks[by_topic[topic]][partition] = (low, highs[topic, partition])
    return marks


def _offsets(admin: AdminClient, partitions: list[TopicPartition], spec: OffsetSpec) -> dict[tuple[str, int], int]:
    if not partitions:
        return {}
    answers = admin.list_offsets(
        dict.fromkeys(partitions, spec),
        isolation_level=IsolationLevel.READ_UNCOMMITTED,
        request_timeout=_TIMEOUT,
    )
    return {(asked.topic, asked.partition): answer.result().offset for asked, answer in answers.items()}
