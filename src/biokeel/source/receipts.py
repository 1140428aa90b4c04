"""Reading a source's receipts: what became of its events, as `biokeel.contracts.receipts` says.

Nothing is kept at the broker of how far a source has read: whoever reads keeps the number of the last receipt that he
has taken in, and passes over what he knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from biokeel.contracts.receipts import Receipt, decode
from biokeel.contracts.topics import receipts_topic
from biokeel.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from biokeel.settings import Settings

ANSWER_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.5
AT_A_TIME: Final = 500


def read_receipts(settings: Settings, source: str, *, above: int = -1, follow: bool = False) -> Iterator[Receipt]:
    """The receipts of `source` with numbers above `above`, in order and each once.

    All that there are when it begins; with `follow` it then waits for more, for ever. Raises `DeliveryError` where
    Kafka does not answer or refuses, and `ContractError` for a record that is no receipt.
    """
    topic = receipts_topic(source)
    # A group has to be named, and is not used: partitions are chosen here, and nothing is committed.
    consumer = Consumer(settings.kafka_client() | {"group.id": "none", "enable.auto.commit": False})
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=ANSWER_SECONDS)
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        while follow or consumer.position([TopicPartition(topic, 0)])[0].offset < end:
            for message in consumer.consume(AT_A_TIME, POLL_SECONDS):
                receipt = decode(_value(message))
                if receipt.number > above:
                    above = receipt.number
                    yield receipt
    except KafkaException as error:
        raise _failed(error.args[0], topic) from None
    finally:
        consumer.close()


def _value(message: Message) -> bytes:
    if (error := message.error()) is not None:
        raise KafkaException(error)
    return message.value() or b""


def _failed(error: KafkaError, topic: str) -> DeliveryError:
    return DeliveryError(
        f"Kafka does not let {topic} be read: {error.str()}.",
        "Is Kafka up, are these the credentials of that source, and is it registered (biokeel source apply)?",
    )
