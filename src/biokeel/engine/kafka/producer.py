"""The producer of blocks: idempotent, in order, and never giving up on one message while delivering a later one.

`curate` drops a row that is at or below the highest coordinate it has seen, so within one pseudo partition the order
of one raw partition may not have a gap: a message that times out while a later one arrives would be lost for ever.
Hence `message.timeout.ms=0` (never), `enable.gapless.guarantee`, and a full queue is waited for before anything else
is queued. Any delivery error fails every future, and the worker ends before it commits.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from biokeel.engine.library_logs import producer_log
from biokeel.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from biokeel.contracts.blocks import Block
    from biokeel.settings import Settings

MAX_MESSAGE_BYTES: Final = 16 << 20
"""The topics' max.message.bytes; a block of 20,000 rows is 1 to 4 MiB."""
QUEUE_KIBIBYTES: Final = 256 << 10
POLL_SECONDS: Final = 0.05
REST_SECONDS: Final = 1.0
"""Between two looks at what librdkafka has to say where nothing was sent: troubles with the broker, for the log."""
METADATA_SECONDS: Final = 30.0


class _Sending:
    """Counts the blocks of one `send` that Kafka has not acknowledged yet."""

    def __init__(self, blocks: int) -> None:
        self.done: Future[None] = Future()
        self._left = blocks
        if not blocks:
            self.done.set_result(None)

    def on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        """Called by the polling thread for each block."""
        if self.done.done():
            return
        if error is not None:
            self.fail(error)
            return
        self._left -= 1
        if not self._left:
            self.done.set_result(None)

    def fail(self, error: KafkaError) -> None:
        """Kafka will not acknowledge it."""
        if not self.done.done():
            self.done.set_exception(_mapped(error))


def _mapped(error: KafkaError) -> TransportError:
    return TransportError(f"Kafka did not take a block: {error.name()}.", "The worker ends and reads it again.")


class BlockProducer:
    """Sends blocks to pseudo topics. Usable from any one thread at a time; close it after use."""

    def __init__(self, settings: Settings) -> None:
        self._failure: KafkaError | None = None
        self._lock = threading.Lock()
        self._under_way: set[_Sending] = set()
        self._producer = Producer(
            settings.kafka_client()
            | {
                "client.id": "biokeel-pseudonymise",
                "enable.idempotence": True,
                "enable.gapless.guarantee": True,
                "acks": "all",
                "message.timeout.ms": 0,
                "message.max.bytes": MAX_MESSAGE_BYTES,
                "queue.buffering.max.kbytes": QUEUE_KIBIBYTES,
                "compression.type": "none",  # blocks are compressed already
                "linger.ms": 5,
                "error_cb": self._on_error,
                "log_level": 6,  # all of it: the logger below masks it and tells each trouble seldom
            },
            logger=producer_log(),
        )
        self._closing = threading.Event()
        self._wanted = threading.Event()
        """Set while delivery reports are waited for, and in the end."""
        self._poller = threading.Thread(target=self._poll, name="block-producer", daemon=True)
        self._poller.start()

    def partitions(self, topic: str) -> int:
        """How many partitions `topic` has. Raises `TransportError` where it is not there."""
        try:
            metadata = self._producer.list_topics(topic, METADATA_SECONDS).topics[topic]
        except KafkaException as error:
            raise TransportError(f"Kafka does not answer: {error.args[0].name()}.", "Is the broker up?") from None
        if metadata.error is not None:
            raise TransportError(f"Topic {topic}: {metadata.error.name()}.", "Run biokeel source apply.")
        return len(metadata.partitions)

    def send(self, topic: str, blocks: Sequence[Block]) -> Future[None]:
        """Queue `blocks` in order; the future is done when Kafka has acknowledged every one of them.

        If the process dies in between, some blocks may have arrived: the micro-batch is read again, makes the same
        rows, and `curate` drops those it has seen. Raises `TransportError` after a fatal error of the producer.
        """
        sending = _Sending(len(blocks))
        with self._lock:
            self._under_way.add(sending)
            self._wanted.set()
        for block in blocks:
            self._queue(topic, block, sending)
        if self._failure is not None:
            sending.fail(self._failure)
        return sending.done

    def _queue(self, topic: str, block: Block, sending: _Sending) -> None:
        while True:
            if self._failure is not None:
                raise _mapped(self._failure)
            try:
                self._producer.produce(
                    topic,
                    block.value,
                    partition=block.partition,
                    headers=[*block.headers],
                    on_delivery=sending.on_delivery,
                )
            except BufferError:
                self._closing.wait(POLL_SECONDS)  # the polling thread makes room; nothing else is queued meanwhile
            except KafkaException as error:
                raise _mapped(error.args[0]) from None
            else:
                return

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._failure = error

    def _poll(self) -> None:
        try:
            while not self._closing.is_set():
                busy = self._wanted.wait(REST_SECONDS)
                self._producer.poll(POLL_SECONDS if busy else 0)
                with self._lock:
                    self._under_way = {sending for sending in self._under_way if not sending.done.done()}
                    if not self._under_way and not self._closing.is_set():
                        self._wanted.clear()
        except KafkaException as error:  # a fatal one: delivery reports come no more
            self._failure = error.args[0]
            with self._lock:
                for sending in self._under_way:
                    sending.fail(error.args[0])

    def close(self, seconds: float = 10.0) -> None:
        """Wait at most `seconds` for what is queued, then stop."""
        self._producer.flush(seconds)
        self._closing.set()
        self._wanted.set()
        self._poller.join()
