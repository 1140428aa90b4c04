"""Receipts at the source: what the programme says became of each event, and which are worth sending again."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Final, Protocol, TypeAlias

import confluent_kafka as kafka
import numpy as np

from biokeel.contracts.receipts import Outcome, Receipt, decode
from biokeel.contracts.topics import receipts_topic
from biokeel.errors import DeliveryError
from biokeel.reasons import Owner, Reason
from biokeel.settings import Settings

FINAL: Final = frozenset(Outcome) - {Outcome.PARKED}
"""What an event has come to, until an amendment says otherwise."""
_AFTER: Final = {Outcome.REPEATED: 1, Outcome.PARKED: 2, Outcome.QUARANTINED: 3, Outcome.SEALED: 3}
_POLL_SECONDS: Final = 0.2
_ANSWER_SECONDS: Final = 10.0
_RECORDS: Final = 1_000

Place: TypeAlias = tuple[str, int, int]
"""Event type, partition of the raw topic, offset."""


class Following(Protocol):
    """Receipts as they come: none for a while is an empty list."""

    @property
    def ended(self) -> bool:
        """Whether all that there were when it began have come."""

    def more(self, seconds: float) -> list[Receipt]:
        """The next receipts, after waiting `seconds` for one at most."""

    def close(self) -> None:
        """Stop."""


class Follower:
    """Reads a source's receipts from the first on. Needs the right to read its topic, and no consumer group.

    Nothing is kept at the broker of how far a source has read: whoever reads keeps the number of the last receipt that
    he has taken in. Records that the programme told twice come once.
    """

    def __init__(self, settings: Settings, above: int = -1) -> None:
        """Begin, with receipts whose number is above `above`.

        Raises `DeliveryError` where Kafka does not answer, or shows this user no receipts.
        """
        settings.require("kafka_bootstrap", "source_id")
        topic = receipts_topic(settings.source_id)
        self._consumer = kafka.Consumer(
            {
                **settings.kafka_client(),
                # The library wants a name, of those that a source has a right to; nothing is committed under it.
                "group.id": f"{settings.source_id}.receipts",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )
        try:
            found = self._consumer.list_topics(topic, timeout=_ANSWER_SECONDS).topics[topic]
        except kafka.KafkaException as error:
            raise DeliveryError(f"Kafka does not answer ({error.args[0].name()}).", "Is it up?") from None
        if found.error is not None:
            raise _refused(settings.source_id, found.error)
        self._at = [kafka.TopicPartition(topic, number, 0) for number in found.partitions]
        try:
            self._ends = [self._consumer.get_watermark_offsets(at, timeout=_ANSWER_SECONDS)[1] for at in self._at]
        except kafka.KafkaException as error:
            raise _refused(settings.source_id, error.args[0]) from None
        self._consumer.assign(self._at)
        self._highest = above

    @property
    def ended(self) -> bool:
        """Whether all that there were when it began have come."""
        reached = [max(each.offset, 0) for each in self._consumer.position(self._at)]
        return all(position >= end for position, end in zip(reached, self._ends, strict=True))

    def more(self, seconds: float) -> list[Receipt]:
        """The next receipts, after waiting `seconds` for one at most.

        Raises `ContractError` for a record that is no receipt.
        """
        found = []
        for message in self._consumer.consume(_RECORDS, seconds):
            value = message.value()
            if message.error() is not None or value is None:
                continue  # a broker that is away is asked again
            receipt = decode(value if isinstance(value, bytes) else value.encode())
            if receipt.number > self._highest:
                self._highest = receipt.number
                found.append(receipt)
        return found

    def close(self) -> None:
        """Stop."""
        self._consumer.close()


def _refused(source: str, error: kafka.KafkaError) -> DeliveryError:
    return DeliveryError(
        f"Kafka shows {source} no receipts ({error.name()}).",
        "Are these its own credentials, and is it registered (biokeel source apply)? Ask the programme.",
    )


def told(following: Following, *, on: bool = True) -> Iterator[Receipt]:
    """Every receipt, oldest first: all that there are, and with `on` then those that come, for ever.

    Raises `DeliveryError` where without `on` no more come, though there are some.
    """
    with closing(following):
        quiet = time.monotonic()
        while on or not following.ended:
            if found := following.more(_POLL_SECONDS):
                quiet = time.monotonic()
            elif not on and time.monotonic() - quiet > _ANSWER_SECONDS:
                raise DeliveryError("Kafka gives no more receipts, though it has some.", "Is it up? Ask again.")
            yield from found


class Fates:
    """What became of some places, as receipts tell it. Sixteen bytes for each place, and the receipts."""

    def __init__(self, wanted: Iterable[Place]) -> None:
        offsets: dict[tuple[str, int], list[int]] = defaultdict(list)
        for event, partition, offset in wanted:
            offsets[event, partition].append(offset)
        self._offsets = {part: np.unique(np.array(each, np.int64)) for part, each in offsets.items()}
        self._newest = {part: np.full(len(each), -1, np.int64) for part, each in self._offsets.items()}
        """The index in `_receipts` of the newest receipt about each offset; -1: none was."""
        self._receipts: list[Receipt] = []

    def add(self, receipt: Receipt) -> None:
        """Take the next receipt."""
        part = receipt.event, receipt.partition
        if part not in self._offsets or not receipt.offsets:
            return
        offsets, newest = self._offsets[part], self._newest[part]
        begins = np.searchsorted(offsets, [first for first, _ in receipt.offsets], "left")
        ends = np.searchsorted(offsets, [last for _, last in receipt.offsets], "right")
        if (begins == ends).all():
            return
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
            newest[begin:end] = len(self._receipts)
        self._receipts.append(receipt)

    def of(self, place: Place) -> Receipt | None:
        """The newest receipt about `place`, one of those that are wanted; None where there was none."""
        event, partition, offset = place
        part = event, partition
        index = int(self._newest[part][np.searchsorted(self._offsets[part], offset)])
        return None if index < 0 else self._receipts[index]

    def all_final(self) -> bool:
        """Whether each place has come to an end."""
        last = [index for index, receipt in enumerate(self._receipts) if receipt.outcome in FINAL]
        return all(bool(np.isin(newest, last).all()) for newest in self._newest.values())


def gather(following: Following, wanted: Iterable[Place], *, on: bool) -> Fates:
    """What became of the places in `wanted` by all receipts that there are; with `on`, once each has come to an end.

    Raises `DeliveryError` where without `on` no more receipts come, though there are some.
    """
    fates = Fates(wanted)
    if not on:
        for receipt in told(following, on=False):
            fates.add(receipt)
        return fates
    with closing(following):
        while not (following.ended and fates.all_final()):
            for receipt in following.more(_POLL_SECONDS):
                fates.add(receipt)
    return fates


def best(places: Iterable[Place], fates: Fates) -> Receipt | None:
    """What became of an event that was sent to several places, None where nothing is known.

    That it came through counts before that it repeats itself, that it waits, and that it was rejected, in this order:
    one that was rejected may have been mended and sent again.
    """
    known = [receipt for place in places if (receipt := fates.of(place)) is not None]
    return min(known, key=lambda each: (_AFTER.get(each.outcome, 0), -each.number), default=None)


def wait_for(following: Following, wanted: Mapping[str, list[Place]], seconds: float) -> dict[str, Receipt]:
    """The final receipt of each id in `wanted`, as soon as all have one; after `seconds`, of those that have."""
    fates = Fates(place for places in wanted.values() for place in places)
    deadline = time.monotonic() + seconds
    while True:
        known = {name: best(places, fates) for name, places in wanted.items()}
        found = {name: receipt for name, receipt in known.items() if receipt is not None and receipt.outcome in FINAL}
        left = deadline - time.monotonic()
        if len(found) == len(wanted) or left <= 0:
            return found
        for receipt in following.more(min(left, _POLL_SECONDS)):
            fates.add(receipt)


def rejected_places(receipts: Iterable[Receipt], numbers: Collection[int] = ()) -> dict[tuple[str, int], set[int]]:
    """The offsets by event type and partition of what was rejected and is the source's to mend.

    With `numbers`, of what those receipts speak of, whatever it is.
    """
    found: dict[tuple[str, int], set[int]] = defaultdict(set)
    for receipt in receipts:
        offsets = {offset for first, last in receipt.offsets for offset in range(first, last + 1)}
        of_it = found[receipt.event, receipt.partition]
        if receipt.number in numbers if numbers else is_the_sources_to_mend(receipt):
            of_it |= offsets
        elif not numbers:
            of_it -= offsets  # an amendment: it has come through since
    return {place: offsets for place, offsets in found.items() if offsets}


def is_the_sources_to_mend(receipt: Receipt) -> bool:
    """Whether an event was rejected for something that its source can change, and send it again."""
    if receipt.outcome not in (Outcome.SEALED, Outcome.QUARANTINED):
        return False
    return receipt.reason in set(Reason) and Reason(receipt.reason).owner is Owner.SOURCE
