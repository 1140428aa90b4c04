"""The SDK's client: publishes ready records as framed Avro events, one a message, to the raw topics."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Any, Final, NamedTuple, NoReturn, Self, TypeAlias

import confluent_kafka as kafka
import numpy as np
import polars as pl
import pyarrow as pa

from biokeel.contracts.catalogue import Catalogue
from biokeel.contracts.codec import Codec
from biokeel.contracts.topics import RAW, EventType
from biokeel.errors import DeliveryError, NoTopic
from biokeel.settings import Settings
from biokeel.source.adapters.base import Record
from biokeel.source.encoding import Encoder, Withheld, event_id_in
from biokeel.source.partition import partitions_of

Placed: TypeAlias = Callable[[EventType, int, int, str], None]
"""Hears of an event that Kafka has: its type, partition, offset and id."""

QUEUE_MESSAGES: Final = 400_000
"""Messages that wait inside the producer at most; `publish` blocks beyond."""
CHUNK: Final = 20_000
"""Messages handed over at once: large enough to be fast, small beside the queue."""
MESSAGE_MAX_BYTES: Final = 16 << 20
"""What the raw topics take; a single event may be no larger than `max_event_bytes`."""
METADATA_SECONDS: Final = 30.0
"""How long to wait for the broker's answer about a topic."""
FORBIDDEN: Final = (kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED, kafka.KafkaError.CLUSTER_AUTHORIZATION_FAILED)
"""The second is said of a user who may write no topic at all."""


_TRIES: Final = 5
"""How often a producer that throws everything away is asked whether it is done."""


class Handed(NamedTuple):
    """What became of events that were handed to Kafka, by event type: it has them, or has not said so."""

    acknowledged: Counter[str]
    unanswered: Counter[str]


class Publisher:
    """Publishes the events of one source to Kafka: idempotent producer, all replicas, explicit partition, no key.

    Use it as a context manager: leaving it flushes. An event counts as delivered when Kafka said so; if the process
    dies before, send the file again: its events have the same ids. Not for several threads at once.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue, placed: Placed | None = None) -> None:
        """Connect by `settings.kafka_*`, as `settings.source_id`. Raises `SettingsError` where they are not set.

        `placed` is called for each event that Kafka has, which takes some microseconds.
        """
        settings.require("kafka_bootstrap", "source_id")
        self._encoder = Encoder(catalogue, settings.max_event_bytes)
        self._settings = settings
        self._placed = placed
        self._producer = kafka.Producer({**producer_settings(settings), "delivery.report.only.error": placed is None})
        self._reporting: kafka.Producer | None = None
        self._partitions: dict[str, int] = {}
        self._queued: Counter[str] = Counter()
        self._refused_of: Counter[str] = Counter()
        """By topic, what was handed to Kafka, and what of it Kafka has refused or not answered."""
        self._failed: Counter[str] = Counter()
        self._forbidden: set[str] = set()
        """Topics that Kafka's user may not write, as Kafka has said."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()

    @property
    def codec(self) -> Codec:
        """The codec that events are written with."""
        return self._encoder.codec

    def publish(self, event: EventType, rows: pl.DataFrame | Sequence[Record], withheld: Withheld | None = None) -> int:
        """Queue `rows` (columns or keys of the event's schema) and return how many. Blocks while the queue is full.

        `withheld` is told of rows that are sent with a field that will not cross the privacy wall.
        Raises `SourceError` where a row does not fit the schema, and `DeliveryError` where an event is too large, the
        topic does not exist or Kafka has refused events queued earlier; then some of `rows` may be on their way.
        """
        frame, values = self._encoder.many(event, rows)
        if frame.is_empty():
            return 0
        topic = self._topic(event)
        self._raise_failures()
        partitions = partitions_of(frame, self._partitions_of(topic))
        for partition in np.unique(partitions).tolist():
            self._queue(event, topic, partition, values.filter(pa.array(partitions == partition)))
        if withheld is not None:
            self._encoder.tell_withheld(event, frame, withheld)
        return frame.height

    def _topic(self, event: EventType) -> str:
        return event.raw_topic(self._settings.source_id)

    def publish_raw(self, event: EventType, values: Sequence[bytes | None], partition: int = 0) -> list[int]:
        """Send `values` as they are (tests and the demo send broken ones) and return their offsets in `partition`.

        Raises `DeliveryError` where Kafka refuses one.
        """
        producer = self._reporting_producer()
        offsets: dict[int, int | None] = {}
        topic = self._topic(event)
        self._partitions[topic] = self._asked(producer, topic)

        def delivered(index: int, error: kafka.KafkaError | None, message: kafka.Message) -> None:
            self._refused(error, message)
            offsets[index] = message.offset()

        for index, value in enumerate(values):
            try:
                producer.produce(
                    topic,
                    value,
                    partition=partition,
                    on_delivery=partial(delivered, index),
                )
                self._queued[topic] += 1
            except kafka.KafkaException as error:
                self._refuse(producer, error.args[0], topic)
        while self._left(producer):
            self._raise_failures()
        self._raise_failures()
        return [offset for index in range(len(values)) if (offset := offsets[index]) is not None]

    def _reporting_producer(self) -> kafka.Producer:
        """A second producer, which reports every delivery: too slow for ready frames, made when it is first needed."""
        if self._reporting is None:
            self._reporting = kafka.Producer(producer_settings(self._settings))
        return self._reporting

    def flush(self) -> int:
        """Wait until Kafka has answered for everything; returns the events delivered so far.

        Raises `DeliveryError` with counts and Kafka's reasons where it refused events.
        """
        while self._left(self._producer):
            self._raise_failures()
        self._raise_failures()
        return self._queued.total()

    def give_up(self) -> Handed:
        """Send nothing further, once an error has ended the run; what became of what was handed over until then.

        What Kafka has not acknowledged may stand in its topic all the same. Takes some seconds at most.
        """
        for producer in (self._producer, self._reporting):
            for _ in range(_TRIES if producer else 0):
                assert producer is not None
                # What ends the client is raised in the middle of the reports about what is thrown away.
                with suppress(kafka.KafkaException, SystemError):
                    producer.purge()
                    if not producer.flush(1.0):
                        break
        head = len(f"{RAW}{self._settings.source_id}.")
        refused = {topic[head:]: count for topic, count in self._refused_of.items()}
        acknowledged = {topic[head:]: count - self._refused_of[topic] for topic, count in self._queued.items()}
        return Handed(Counter(acknowledged), Counter(refused))

    def _queue(self, event: EventType, topic: str, partition: int, values: pa.BinaryArray) -> None:
        answered = self._refused if self._placed is None else partial(self._answered, self._placed, event)
        for start in range(0, len(values), CHUNK):
            messages: list[dict[str, Any]] = [{"value": value} for value in values.slice(start, CHUNK).to_pylist()]
            while len(self._producer) > QUEUE_MESSAGES - CHUNK:
                self._poll(0.05)
                self._raise_failures()
            while messages:
                taken = self._producer.produce_batch(topic, messages, partition=partition, on_delivery=answered)
                self._queued[topic] += taken
                messages = [
                    {"value": message["value"]} for message in messages if self._waits(message.get("_error"), topic)
                ]
                if messages:  # The queue's bytes are full, though its messages were not.
                    self._poll(0.05)

    def _waits(self, error: kafka.KafkaError | None, topic: str) -> bool:
        if error is None:
            return False
        if error.code() != kafka.KafkaError._QUEUE_FULL:  # noqa: SLF001 - librdkafka's own codes have such names
            self._refuse(self._producer, error, topic)
        return True

    def _refuse(self, producer: kafka.Producer, error: kafka.KafkaError, topic: str) -> NoReturn:
        """Raise what became of a message that was not even queued."""
        if error.code() == kafka.KafkaError._FATAL:  # noqa: SLF001
            with self._ended():
                producer.poll(0)  # raises what ended the client
        raise self._not_authorised([topic]) if error.code() in FORBIDDEN else _refusal(Counter([str(error.name())]))

    def _refused(self, error: kafka.KafkaError | None, message: kafka.Message) -> None:
        """Called from `poll` and `flush`; by our main producer only for what was not delivered."""
        if error is not None:
            self._failed[str(error.name())] += 1
            self._refused_of[str(message.topic())] += 1
            if error.code() in FORBIDDEN:
                self._forbidden.add(str(message.topic()))

    def _answered(
        self, placed: Placed, event: EventType, error: kafka.KafkaError | None, message: kafka.Message
    ) -> None:
        """Called as `_refused`, for whatever was delivered, too."""
        self._refused(error, message)
        value, partition, offset = message.value(), message.partition(), message.offset()
        if error is None and isinstance(value, bytes) and partition is not None and offset is not None:
            placed(event, partition, offset, event_id_in(value))

    def _poll(self, seconds: float) -> None:
        with self._ended():
            self._producer.poll(seconds)

    def _left(self, producer: kafka.Producer) -> int:
        """How many messages are still on their way after a second."""
        with self._ended():
            return int(producer.flush(1.0))

    @contextmanager
    def _ended(self) -> Iterator[None]:
        """Map what ends the client for good, which it raises from whatever call comes next.

        An idempotent producer ends so at once where its user may write no topic at all. It raises in the middle of
        the reports of what it throws away then, and Python takes that for a defect of the report.
        """
        try:
            yield
        except (kafka.KafkaException, SystemError) as raised:
            error = raised if isinstance(raised, kafka.KafkaException) else raised.__cause__
            if not isinstance(error, kafka.KafkaException):
                raise
            self._failed[str(error.args[0].name())] += 1
            if error.args[0].code() in FORBIDDEN:
                self._forbidden.update(self._partitions)
            self._raise_failures()

    def _raise_failures(self) -> None:
        if self._forbidden:
            raise self._not_authorised(self._forbidden) from None
        if self._failed:
            raise _refusal(self._failed) from None

    def _not_authorised(self, topics: Iterable[str]) -> DeliveryError:
        user = self._settings.kafka_username
        return DeliveryError(
            f"Not authorised for topic {', '.join(sorted(topics))}: Kafka's "
            f"{f'user {user}' if user else 'unnamed user'} may not write it.",
            "Load the source's own settings (BIOKEEL_KAFKA_USERNAME and BIOKEEL_KAFKA_PASSWORD; of the local stack, "
            'Settings.load("source")), or ask the operator for the right. Then send again: event ids repeat.',
        )

    def _partitions_of(self, topic: str) -> int:
        if topic not in self._partitions:
            self._partitions[topic] = self._asked(self._producer, topic)
        return self._partitions[topic]

    def _asked(self, producer: kafka.Producer, topic: str) -> int:
        """How many partitions `topic` has, once each has a leader (a new topic takes a moment)."""
        deadline = time.monotonic() + METADATA_SECONDS
        while True:
            try:
                found = producer.list_topics(topic, timeout=METADATA_SECONDS).topics[topic]
            except kafka.KafkaException as error:
                raise DeliveryError(
                    f"Kafka does not answer: {error.args[0].name()}.", "Is it up? Is BIOKEEL_KAFKA_BOOTSTRAP right?"
                ) from None
            if found.error is not None and found.error.code() in FORBIDDEN:
                raise self._not_authorised([topic])
            if found.error is not None and found.error.code() != kafka.KafkaError.LEADER_NOT_AVAILABLE:
                raise NoTopic(
                    f"Kafka has no topic {topic}, or hides it.",
                    "Have the programme grant the event type and run biokeel source apply.",
                )
            if found.partitions and all(part.leader >= 0 for part in found.partitions.values()):
                return len(found.partitions)
            if time.monotonic() > deadline:
                raise DeliveryError(f"A partition of {topic} has no leader.", "See that every broker runs.")
            with self._ended():
                producer.poll(0.1)


def _refusal(failed: Counter[str]) -> DeliveryError:
    reasons = ", ".join(f"{reason} ({count})" for reason, count in sorted(failed.items()))
    return DeliveryError(
        f"Kafka did not take {failed.total()} events: {reasons}.", "Mend the cause and send again: event ids repeat."
    )


def producer_settings(settings: Settings) -> dict[str, Any]:
    """How a source's producer is set up: idempotent, acknowledged by all replicas."""
    return {
        **settings.kafka_client(),
        "enable.idempotence": True,
        "acks": "all",
        "message.max.bytes": MESSAGE_MAX_BYTES,
        "queue.buffering.max.messages": QUEUE_MESSAGES,
        "queue.buffering.max.kbytes": 1 << 20,
        "batch.size": 1 << 20,
        "batch.num.messages": CHUNK,
        "compression.type": "lz4",
        "linger.ms": 20,
    }
