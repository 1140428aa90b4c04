"""Who works: the members of a consumer group, as Kafka knows them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from biokeel.engine.app import SESSION_SECONDS
from biokeel.errors import TransportError

if TYPE_CHECKING:
    from biokeel.settings import Settings

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
        raise TransportError(
            f"Cannot ask Kafka for the workers of group {group}: {error.args[0].str()}.",
            "Is Kafka up, and may this user describe groups?",
        ) from None
