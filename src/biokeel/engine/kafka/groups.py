"""Who works: the members of a consumer group, as Kafka knows them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from biokeel.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from biokeel.settings import Settings

SESSION_SECONDS: Final = 10.0
"""A worker that is killed loses its partitions after this long, unless it comes back under its `worker_name` before:
then it has them again at once. Stages run in threads, so heartbeats go on."""
_TIMEOUT: Final = 15.0
"""Seconds that Kafka may take to answer."""
_PAUSE: Final = 0.5


def members(settings: Settings, group: str) -> int:
    """How many workers the group has; none where there is no such group. Raises `TransportError`.

    A worker with a name keeps its place for `SESSION_SECONDS` after its end, so this asks again for a little longer.
    """
    try:
        admin = AdminClient(settings.kafka_client())
        deadline = time.monotonic() + 1.5 * SESSION_SECONDS
        while True:
            answer = admin.describe_consumer_groups([group], request_timeout=_TIMEOUT)[group]
            count = len(answer.result().members)
            if not count or time.monotonic() > deadline:
                return count
            time.sleep(_PAUSE)
    except KafkaException as error:
        raise _refused(group, error) from None


def unread(settings: Settings, group: str, topics: Sequence[str]) -> list[str]:
    """Those of `topics` of which no member of the group has a partition; none while the group is not settled.

    Raises `TransportError`.
    """
    try:
        admin = AdminClient(settings.kafka_client())
        found = admin.describe_consumer_groups([group], request_timeout=_TIMEOUT)[group].result()
    except KafkaException as error:
        raise _refused(group, error) from None
    if found.state != ConsumerGroupState.STABLE:
        return []
    read = {at.topic for member in found.members for at in member.assignment.topic_partitions}
    return [topic for topic in topics if topic not in read]


def _refused(group: str, error: KafkaException) -> TransportError:
    return TransportError(
        f"Cannot ask Kafka for the workers of group {group}: {error.args[0].str()}.",
        "Is Kafka up, and may this user describe groups?",
    )
