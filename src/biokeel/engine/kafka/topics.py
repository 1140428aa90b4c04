"""Which topics there are, for workers that begin to read new ones while they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from biokeel.contracts.topics import PSEUDO, event_of, raw_of
from biokeel.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from biokeel.contracts.sources import Register
    from biokeel.settings import Settings

_TIMEOUT: Final = 15.0
"""Seconds that Kafka may take to answer."""


class TopicNames:
    """The names of the topics that the user of `settings` may see."""

    def __init__(self, settings: Settings) -> None:
        self._admin = AdminClient(settings.kafka_client())

    def raw(self) -> list[str]:
        """Every raw topic of an event type that is known, whoever's it is. Raises `TransportError`."""
        return [name for name in self._all() if is_raw(name)]

    def raw_of_registered(self, register: Callable[[], Register]) -> tuple[str, ...]:
        """The raw topics of the sources in `register`, which is asked last, so that it is not older than the topics.

        The topic of a source that is not registered (yet) is left alone: what would be read would be sealed.
        """
        names = self.raw()
        sources = register()
        return tuple(sorted(name for name in names if raw_of(name)[0] in sources))

    def pseudo(self) -> tuple[str, ...]:
        """Every pseudo topic of an event type that is known."""
        return tuple(sorted(name for name in self._all() if name.startswith(PSEUDO) and _is_known(name)))

    def _all(self) -> list[str]:
        try:
            return list(self._admin.list_topics(timeout=_TIMEOUT).topics)
        except KafkaException as error:
            raise TransportError(
                f"Kafka did not say which topics it has ({error.args[0].name()}).", "Is it up, and is this user known?"
            ) from None


def is_raw(name: str) -> bool:
    """Whether it is the raw topic of an event type that is known."""
    try:
        raw_of(name)
    except KeyError:
        return False
    return True


def _is_known(name: str) -> bool:
    try:
        event_of(name)
    except KeyError:
        return False
    return True
