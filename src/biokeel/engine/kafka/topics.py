"""Which topics there are, for workers that begin to read new ones while they run."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from biokeel.contracts.topics import raw_of
from biokeel.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from biokeel.contracts.sources import Register
    from biokeel.contracts.topics import EventType
    from biokeel.settings import Settings

    Events = Callable[[], tuple[EventType, ...]]
    """Gives the event types that there are now."""

_SELDOM: Final = 60.0
"""Seconds after which Kafka is asked for its topics, though none is wanted."""
_TIMEOUT: Final = 15.0
"""Seconds that Kafka may take to answer."""


class TopicNames:
    """The names of the topics that the user of `settings` may see.

    `events` gives the event types that there are now; a topic of any other is left alone.
    """

    def __init__(self, settings: Settings, events: Events) -> None:
        self._admin = AdminClient(settings.kafka_client())
        self._events = events
        self._found: tuple[str, ...] = ()
        self._list_at = 0.0

    def raw(self) -> list[str]:
        """Every raw topic, whoever's it is, whose events have somewhere to go. Raises `TransportError`."""
        names = set(self._all())
        events = {event for event in self._events() if event.is_person or event.pseudo_topic in names}
        return [name for name in names if is_raw(name) and raw_of(name)[1] in events]

    def raw_of_registered(self, register: Callable[[], Register]) -> tuple[str, ...]:
        """The raw topics of the sources in `register`, which is asked last, so that it is not older than the topics.

        The topic of a source that is not registered (yet) is left alone: what would be read would be sealed.
        Kafka is asked where a topic is wanted that was not there the last time, and seldom otherwise: its list of 400
        topics with 1,620 partitions takes 9 ms, and the question comes every few seconds, for ever.
        """
        if monotonic() < self._list_at and self._wanted(register()) <= set(self._found):
            return self._found
        names = self.raw()
        sources = register()
        self._found = tuple(sorted(name for name in names if raw_of(name)[0] in sources))
        self._list_at = monotonic() + _SELDOM
        return self._found

    def _wanted(self, register: Register) -> set[str]:
        """The topics of everything that a source of `register` may send."""
        events = self._events()
        return {
            event.raw_topic(source) for source, each in register.items() for event in events if each.may_send(event)
        }

    def pseudo(self) -> tuple[str, ...]:
        """Every pseudo topic."""
        names = set(self._all())
        return tuple(sorted(topic for event in self._events() if (topic := event.pseudo_topic) in names))

    def _all(self) -> list[str]:
        try:
            return list(self._admin.list_topics(timeout=_TIMEOUT).topics)
        except KafkaException as error:
            raise TransportError(
                f"Kafka did not say which topics it has ({error.args[0].name()}).", "Is it up, and is this user known?"
            ) from None


def is_raw(name: str) -> bool:
    """Whether it can be the raw topic of an event type."""
    try:
        raw_of(name)
    except KeyError:
        return False
    return True
