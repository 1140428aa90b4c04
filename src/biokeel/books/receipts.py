"""From what changed in the books to receipts, and to Kafka: at least once, in order, none lost.

Receipts get their numbers when the books that gave them are saved, and are saved with them (`Saved.outbox`); only then
are they sent. So a number has one content, however often it is sent:

| the follower dies | what the next one finds | so |
| --- | --- | --- |
| before it saved | books from before | it reads the same news again; nothing of them was sent |
| after it saved, before all is sent | books with these receipts | it sends all of them, perhaps some a second time |
| after they were sent | the same | it sends them a second time, and readers drop the numbers they know |
"""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from biokeel.books.places import Place, Teller
from biokeel.contracts.receipts import Outcome, Receipt, encode, in_parts
from biokeel.contracts.topics import receipts_topic
from biokeel.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from biokeel.books.state import State, Told
    from biokeel.settings import Settings

log = logging.getLogger(__name__)

OUTCOMES: Final = {
    Place.CURATED: Outcome.LANDED,
    Place.QUARANTINED: Outcome.QUARANTINED,
    Place.REPEATED: Outcome.REPEATED,
    Place.SUPERSEDED: Outcome.SUPERSEDED,
    Place.WITHDRAWN: Outcome.WITHDRAWN,
    Place.PARKED: Outcome.PARKED,
    Place.SEALED: Outcome.SEALED,
    Place.APPLIED: Outcome.APPLIED,
}
FLUSH_SECONDS: Final = 30.0
TOPICS_SECONDS: Final = 15.0


def records(
    told: Iterable[Told], state: State, sent: dict[str, int], now: float
) -> tuple[list[tuple[str, bytes]], dict[str, int]]:
    """What is told as (source, record), and the last number of each source after it.

    `sent` are those before. A source's first number is the time in milliseconds: books that were made anew from
    nothing, which do not know what was sent before, go on above it.
    """
    numbers = dict(sent)
    found: list[tuple[str, bytes]] = []
    for each in told:
        if each.label.place is Place.VOID:
            continue  # nobody's event
        source = each.part.source
        for receipt in _receipts(each, state, dt.datetime.fromtimestamp(now, dt.UTC)):
            numbers[source] = numbers.get(source, int(now * 1000)) + 1
            found.append((source, encode(replace(receipt, number=numbers[source]))))
    return found, numbers


def _receipts(told: Told, state: State, at: dt.datetime) -> Iterator[Receipt]:
    label = told.label
    version = None
    if label.teller in {Teller.CURATED, Teller.HISTORY}:
        known = state.tables.get((told.part.event, Teller.CURATED))
        version = known.number if known else None
    for runs in in_parts(told.offsets.runs()):
        yield Receipt(
            0,
            told.part.event,
            told.part.partition,
            runs,
            OUTCOMES[label.place],
            at,
            told.amends,
            version,
            _words(label.rules),
            label.suite,
            label.reason,
            _words(label.withheld),
        )


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


class ReceiptSender:
    """Writes records to the sources' receipts topics. One thread at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: Producer | None = None
        self._failure: KafkaError | None = None
        self._without: set[str] = set()
        self._with: set[str] = set()
        """Sources whose topic was seen."""

    def send(self, records: Sequence[tuple[str, bytes]]) -> None:
        """Write `records` in order; all are in Kafka when this returns.

        A source without a receipts topic is none that could read it: its records are left out, and the log says so.
        Raises `TransportError`; then some are in Kafka, none of them after one that is not, and all are to be sent
        again.
        """
        if not records:
            return
        producer = self._open()
        missing = {source for source, _ in records} - self._with
        if missing:
            self._with = self._known(producer)
            missing -= self._with
        if new := missing - self._without:
            log.warning("No receipts for %s: there is no topic (biokeel source apply).", ", ".join(sorted(new)))
        self._without = missing
        try:
            for source, record in records:
                if source not in missing:
                    self._queue(producer, receipts_topic(source), record)
            left = producer.flush(FLUSH_SECONDS)
        except KafkaException as error:
            raise self._failed(error.args[0]) from None
        if self._failure is not None:
            raise self._failed(self._failure)
        if left:
            raise self._failed(None)

    def _queue(self, producer: Producer, topic: str, record: bytes) -> None:
        while True:
            try:
                producer.produce(topic, record, partition=0, on_delivery=self._on_delivery)
            except BufferError:
                producer.poll(1.0)
                if self._failure is not None:
                    raise self._failed(self._failure) from None
            else:
                return

    def _known(self, producer: Producer) -> set[str]:
        prefix = receipts_topic("")
        try:
            topics = producer.list_topics(timeout=TOPICS_SECONDS).topics
        except KafkaException as error:
            raise self._failed(error.args[0]) from None
        return {name.removeprefix(prefix) for name in topics if name.startswith(prefix)}

    def _open(self) -> Producer:
        if self._producer is None:
            self._failure = None
            self._producer = Producer(
                self._settings.kafka_client()
                | {
                    "client.id": "biokeel-books",
                    "enable.idempotence": True,
                    "enable.gapless.guarantee": True,
                    "acks": "all",
                    "message.timeout.ms": 0,
                    "compression.type": "zstd",
                    "linger.ms": 5,
                }
            )
        return self._producer

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None and self._failure is None:
            self._failure = error

    def _failed(self, error: KafkaError | None) -> TransportError:
        """What is queued is thrown away with the producer: it would come after what is sent again."""
        if self._producer is not None:
            self._producer.purge()
            self._producer = None
        self._with = set()
        name = error.name() if error is not None else f"no answer within {FLUSH_SECONDS:g} s"
        return TransportError(f"Kafka did not take receipts: {name}.", "They are sent again.")
