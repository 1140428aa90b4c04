"""The drain's way to a real Kafka: an idempotent producer that never gives a message up for its age."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import confluent_kafka as kafka

from biokeel.contracts.clients import HEADER
from biokeel.settings import Settings
from biokeel.source.client import FORBIDDEN, producer_settings
from biokeel.source.spool.drain import Answers, Away, Kind, Refusal, TopicRefused

ANSWER_SECONDS: Final = 5.0
"""How long to wait for what the broker says of a topic."""
_OF_ONE_EVENT: Final = frozenset(
    (
        kafka.KafkaError.MSG_SIZE_TOO_LARGE,
        kafka.KafkaError.INVALID_MSG_SIZE,
        kafka.KafkaError.RECORD_LIST_TOO_LARGE,
        kafka.KafkaError.INVALID_RECORD,
        kafka.KafkaError.INVALID_TIMESTAMP,
    )
)
"""What Kafka refuses of one event, or of a batch of several, and will refuse again."""
_FATAL: Final = kafka.KafkaError._FATAL  # noqa: SLF001 - librdkafka's own codes have such names


class KafkaTransport:
    """Kafka, by `settings.kafka_*`. `software` goes into the header of the first message of each batch.

    A header on every message would cost a third of the throughput; one of a batch tells as much.
    """

    def __init__(self, settings: Settings, software: str) -> None:
        """Nothing is asked of Kafka yet. Raises `SettingsError` where its address is not set."""
        self._settings = {
            **producer_settings(settings),
            "message.timeout.ms": 0,
            # What waits is in the spool; the producer holds no more than the drain hands over.
            "queue.buffering.max.messages": 0,
            "error_cb": self._said,
        }
        self._headers: list[tuple[str, str | bytes | None]] = [(HEADER, software.encode())]
        self._producer = kafka.Producer(self._settings)
        self._ended: Refusal | None = None
        self.trouble = ""
        """What the client says of its connection; empty after it has got an answer."""

    @property
    def ended(self) -> Refusal | None:
        """Why the producer has ended."""
        return self._ended

    def renew(self) -> None:
        """A new producer; what the old one held is not sent."""
        self._producer = kafka.Producer(self._settings)
        self._ended = None

    def partitions(self, topic: str) -> int:
        """How many partitions `topic` has, once each of them has a leader."""
        try:
            found = self._producer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic]
        except kafka.KafkaException as error:
            self.poll(0.0)  # what the client says of itself comes by it
            raise Away(self.trouble or f"Kafka does not answer ({error.args[0].name()}).") from None
        self.trouble = ""
        if found.error is not None and found.error.code() in FORBIDDEN:
            raise TopicRefused(str(found.error.name()))
        if found.error is not None and found.error.code() != kafka.KafkaError.LEADER_NOT_AVAILABLE:
            raise TopicRefused(str(found.error.name()))
        if not found.partitions or any(part.leader < 0 for part in found.partitions.values()):
            raise Away(f"A partition of {topic} has no leader.")
        return len(found.partitions)

    def send(self, topic: str, partition: int, values: Sequence[bytes], answers: Answers) -> None:
        """Queue `values`; what the producer refuses at once is reported at once."""
        took = answers.took

        def delivered(error: kafka.KafkaError | None, message: kafka.Message) -> None:
            if error is None:
                took(message.offset())  # type: ignore[arg-type]  # None only where there is an error
            else:
                self._refused(error, answers)

        try:
            self._producer.produce(topic, values[0], partition=partition, headers=self._headers, on_delivery=delivered)
        except kafka.KafkaException as error:
            for _ in values:  # nothing of the rest may arrive before the first
                self._refused(error.args[0], answers)
            return
        # Typed as the library types it: it writes an error into those that it does not take.
        messages: list[dict[str, Any]] = [{"value": value} for value in values[1:]]
        if messages and self._producer.produce_batch(topic, messages, partition, delivered) < len(messages):
            for message in messages:
                if "_error" in message:
                    self._refused(message["_error"], answers)

    def poll(self, seconds: float) -> None:
        """Serve what Kafka has answered."""
        try:
            self._producer.poll(seconds)
        except (kafka.KafkaException, SystemError) as raised:
            # It raises in the middle of the reports of what it throws away, which Python takes for their defect.
            error = raised if isinstance(raised, kafka.KafkaException) else raised.__cause__
            if not isinstance(error, kafka.KafkaException):
                raise
            self._end(error.args[0])

    def _refused(self, error: kafka.KafkaError, answers: Answers) -> None:
        if error.code() == _FATAL or error.fatal():
            self._end(error)
            return
        kind = Kind.EVENT if error.code() in _OF_ONE_EVENT else Kind.TOPIC
        answers.refuse(Refusal(kind, str(error.name())))

    def _end(self, error: kafka.KafkaError) -> None:
        if self._ended is None or self._ended.reason == "_FATAL":
            kind = Kind.TOPIC if error.code() in FORBIDDEN else Kind.PRODUCER
            self._ended = Refusal(kind, str(error.name()))

    def _said(self, error: kafka.KafkaError) -> None:
        """What the client says of itself, past single messages."""
        if error.fatal():
            self._end(error)
        elif error.code() == kafka.KafkaError._AUTHENTICATION:  # noqa: SLF001
            self.trouble = "Kafka does not know this user or its password."
        elif error.code() == kafka.KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self.trouble = self.trouble or "Kafka cannot be reached."
