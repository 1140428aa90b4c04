"""The low and high watermarks of topics: what Kafka holds, for those who prove that it all arrived."""

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from biokeel.batch import RawPartition
from biokeel.contracts.topics import raw_of
from biokeel.engine.kafka.topics import is_raw
from biokeel.errors import TransportError
from biokeel.observe.reach import require_kafka

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from biokeel.contracts.topics import EventType
    from biokeel.settings import Settings

Watermarks = dict["EventType", dict[RawPartition, tuple[int, int]]]
"""By event type and raw partition: the first offset that Kafka still holds, and the one that the next event will get.

Where a transaction is open, the second is where the first of these begins: nobody is given what stands behind it.
"""

_EARLIEST: Final = -2
"""What the protocol's ListOffsets has in place of a time; also the next."""
_LATEST: Final = -1

_TIMEOUT: Final = 15.0
"""Seconds that Kafka may take to answer."""
SELDOM: Final = 30.0
ASKED_AT_A_TIME: Final = 400
"""Partitions. librdkafka looks for each in the list of all that were asked for: half of what 1,620 at once took."""
_PAUSE: Final = 0.1
_LEADERLESS: Final = (
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
)
"""What a broker says of a partition whose leader is being elected, or of which it has not heard yet.

Also of one whose leader it became or ceased to be a moment ago: one that hung for a minute comes back with an older
epoch than the client's, and a new leader does not know at once how far the partition reaches.
"""


def raw_watermarks(settings: Settings) -> Watermarks:
    """The watermarks of all sources' raw topics.

    Raises `TransportError` when Kafka does not answer or refuses.
    """
    return _by_event(_watermarks(settings, is_raw))


class RawWatermarks:
    """The watermarks of all raw topics for who asks every few seconds: over one connection.

    New topics are found, and what was deleted at the beginnings of old ones, within `SELDOM` seconds.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Consumer | None = None
        self._lows: dict[tuple[str, int], int] = {}
        self._highs: dict[tuple[str, int], int] = {}
        self._marks: Watermarks = {}
        self._seldom_at = 0.0

    def look(self) -> Watermarks:
        """As `raw_watermarks`; the same object again where nothing has changed. Raises `TransportError`."""
        deadline = monotonic() + _TIMEOUT
        try:
            if self._client is None:
                require_kafka(self._settings)
                self._client = _client(self._settings)
            lows = self._lows
            if monotonic() >= self._seldom_at:
                lows = _offsets(self._client, _partitions(self._client, is_raw), _EARLIEST, deadline)
                self._seldom_at = monotonic() + SELDOM
            highs = _offsets(self._client, lows, _LATEST, deadline)
        except KafkaException as error:
            self._client, self._seldom_at = None, 0.0
            raise _failed(error) from None
        if (lows, highs) != (self._lows, self._highs):
            self._marks = _by_event({place: (low, highs[place]) for place, low in sorted(lows.items())})
            self._lows, self._highs = lows, highs
        return self._marks


def pseudo_watermarks(settings: Settings, event: EventType) -> dict[int, tuple[int, int]]:
    """The same of the partitions of the pseudo topic of `event`."""
    found = _watermarks(settings, lambda topic: topic == event.pseudo_topic)
    return {partition: bounds for (_, partition), bounds in found.items()}


def beginnings(settings: Settings, places: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """The first offset that Kafka still holds of each of `places` (topic, partition), which exist."""
    return _asked(settings, places, _EARLIEST)


def ends(settings: Settings, places: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """The offset that the next event of each of `places` will get."""
    return _asked(settings, places, _LATEST)


def _asked(settings: Settings, places: Iterable[tuple[str, int]], time: int) -> dict[tuple[str, int], int]:
    try:
        return _offsets(_client(settings), places, time, monotonic() + _TIMEOUT)
    except KafkaException as error:
        raise _failed(error) from None


def _watermarks(settings: Settings, wanted: Callable[[str], bool]) -> dict[tuple[str, int], tuple[int, int]]:
    require_kafka(settings)
    try:
        client = _client(settings)
        partitions = _partitions(client, wanted)
        deadline = monotonic() + _TIMEOUT
        lows = _offsets(client, partitions, _EARLIEST, deadline)
        highs = _offsets(client, partitions, _LATEST, deadline)
    except KafkaException as error:
        raise _failed(error) from None
    return {place: (low, highs[place]) for place, low in sorted(lows.items())}


def _client(settings: Settings) -> Consumer:
    """A consumer that only asks: it joins no group, though its class wants the name of one.

    Kafka's administration client answers the same with a future for each partition: of 1,620 that takes twice the CPU.
    """
    return Consumer(settings.kafka_client() | {"group.id": "none", "isolation.level": "read_committed"})


def _partitions(client: Consumer, wanted: Callable[[str], bool]) -> list[tuple[str, int]]:
    known = client.list_topics(timeout=_TIMEOUT).topics
    return [(topic, partition) for topic in known if wanted(topic) for partition in known[topic].partitions]


def _by_event(found: Mapping[tuple[str, int], tuple[int, int]]) -> Watermarks:
    marks: Watermarks = {}
    for (topic, partition), bounds in found.items():
        source, event = raw_of(topic)
        marks.setdefault(event, {})[RawPartition(source, partition)] = bounds
    return marks


def _failed(error: KafkaException) -> TransportError:
    return TransportError(
        f"Cannot read the watermarks of topics: {error.args[0].str()}.",
        "Is Kafka up, and may this user describe them?",
    )


def _offsets(
    client: Consumer, partitions: Iterable[tuple[str, int]], time: int, deadline: float
) -> dict[tuple[str, int], int]:
    """The offset at `time` of each partition; one that has no leader yet is asked again until `deadline`."""
    found: dict[tuple[str, int], int] = {}
    left = list(partitions)
    while left:
        asked = [TopicPartition(*place, time) for place in left]
        left = []
        for answer in _answers(client, asked):
            if answer.error is None:
                found[answer.topic, answer.partition] = answer.offset
            elif answer.error.code() in _LEADERLESS and monotonic() < deadline:
                left.append((answer.topic, answer.partition))
            else:
                raise KafkaException(answer.error)
        if left:
            sleep(_PAUSE)
    return found


def _answers(client: Consumer, asked: list[TopicPartition]) -> Iterator[TopicPartition]:
    for start in range(0, len(asked), ASKED_AT_A_TIME):
        yield from client.offsets_for_times(asked[start : start + ASKED_AT_A_TIME], timeout=_TIMEOUT)
