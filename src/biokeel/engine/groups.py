"""Who works: the members of a consumer group, as Kafka knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from biokeel.errors import TransportError

if TYPE_CHECKING:
    from biokeel.settings import Settings

_TIMEOUT: Final = 15.0
"""Seconds that Kafka may take to answer."""


def members(settings: Settings, group: str) -> int:
    """How many workers the group has now; none where there is no such group. Raises `TransportError`.

    One that was killed still counts until its session is over, some ten seconds.
    """
    try:
        admin = AdminClient(settings.kafka_client())
        answer = admin.describe_consumer_groups([group], request_timeout=_TIMEOUT)[group]
        return len(answer.result().members)
    except KafkaException as error:
        raise TransportError(
            f"Cannot ask Kafka for the workers of group {group}: {error.args[0].str()}.",
            "Is Kafka up, and may this user describe groups?",
        ) from None
