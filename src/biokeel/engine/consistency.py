"""Whether the vault and Kafka fit together, before a pseudonymise worker begins.

The vault may be behind what was published: a restored backup from before, see `biokeel.vault.age`. Or Kafka may hold
less than the vault knows: its new events would get offsets about which the vault has decided, and would go through the
wall unchecked as replays.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from biokeel.batch import STREAM_RAW
from biokeel.contracts.blocks import named
from biokeel.contracts.catalogue import landed_events, locked_events
from biokeel.contracts.topics import event_of, raw_of
from biokeel.engine.kafka.newest import TELLS_THE_END, is_the_end
from biokeel.engine.kafka.topics import TopicNames
from biokeel.engine.kafka.transport import taken
from biokeel.engine.kafka.watermarks import beginnings, ends
from biokeel.engine.pseudonymise import GROUP
from biokeel.errors import TransportError, VaultError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from biokeel.contracts.signatures import PublicKeys
    from biokeel.settings import Settings
    from biokeel.vault.age import Place
    from biokeel.vault.store import Vault

_TIMEOUT: Final = 30.0
"""Seconds that Kafka may take to answer."""
_PAUSE: Final = 0.5
_YOUNG: Final = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)
_NEWEST: Final = 2
"""Blocks of each pseudo partition that are looked at: whatever came after a backup is newer than all before it."""
_FURTHER: Final = 32
"""Times as many messages are looked at next where none of those was signed."""


def require_current(settings: Settings, vault: Vault) -> None:
    """Raise `VaultError` where more was published than the vault knows of, unless an operator has accepted that.

    Also where Kafka holds less than the vault knows, which nobody can accept. Called before a worker begins. Raises
    `TransportError` where Kafka does not answer, or where retention took what a lost consumer group had yet to read.
    """
    group = _group(settings)
    _require_held(settings, vault, group)
    lacking = _lacking(settings, vault, group)
    if not lacking:
        vault.forget_acceptance()
    elif not vault.may_be_behind():
        raise VaultError(
            f"The vault is older than what was published: {told(lacking)}. It was restored from a backup from before, "
            "and would give people who were enrolled since new IDs.",
            "Restore a newer backup, or accept the loss (biokeel vault accept): docs/operations.md.",
        )


def _require_held(settings: Settings, vault: Vault, group: Mapping[Place, int]) -> None:
    """Compare what Kafka holds of each raw partition with what the vault knows of it. `group`: see `_group`."""
    knows = vault.known(group)
    held = ends(settings, group)  # asked after the vault: other workers go on meanwhile, and Kafka is always ahead
    for place, end in sorted(held.items()):
        if knows[place] >= end:
            raise VaultError(
                f"The vault knows {place[0]}/{place[1]} up to offset {knows[place]}, but Kafka's ends at {end}: new "
                "events would get offsets about which was decided, and go on unchecked.",
                "Kafka lost events that it had confirmed, or the topic was made anew. Stop the sources and bring back "
                "the disk or replica that has them: docs/operations.md.",
            )
    # The others have a committed offset, which the transport compares when it goes there.
    lost = {place for place, offset in group.items() if offset < 0 <= knows[place]}
    for place, beginning in sorted(beginnings(settings, lost).items() if lost else ()):
        if beginning > knows[place] + 1:
            raise taken(place, knows[place] + 1, beginning)


def told(lacking: Mapping[Place, int]) -> str:
    """How far behind a vault is, in a few words."""
    worst = max(lacking, key=lambda place: lacking[place])
    return f"it lacks {sum(lacking.values()):,} events, {lacking[worst]:,} of them of {worst[0]}/{worst[1]}"


def behind(settings: Settings, vault: Vault) -> dict[Place, int]:
    """How many events of each raw partition were taken through the wall that the vault knows nothing of.

    By Kafka's committed offsets, which lag by a second or are lost with the group, and by the newest blocks themselves.
    """
    return _lacking(settings, vault, _group(settings))


def taken_up_to(settings: Settings, keys: PublicKeys) -> dict[Place, int]:
    """Of every raw partition, the offset behind all that was taken through the wall, as far as can be told; 0: nothing.

    Committed offsets alone lag: what was published behind them would be decided a second time, and of people whom an
    older vault does not know under new IDs. `keys`: only blocks count that one of them has signed.
    """
    group = _group(settings)
    reached = _reached(settings, group, keys)
    return {place: reached[place] for place in group}


def _lacking(settings: Settings, vault: Vault, group: Mapping[Place, int]) -> dict[Place, int]:
    reached = _reached(settings, group, vault.block_keys)
    knows = vault.known(reached)  # asked last: other workers go on meanwhile, and the vault is always ahead of Kafka
    return {place: end - 1 - knows[place] for place, end in reached.items() if end - 1 > knows[place]}


def _reached(settings: Settings, group: Mapping[Place, int], keys: PublicKeys) -> dict[Place, int]:
    """The offset behind what `group` (see `_group`) and the newest blocks say was taken; 0 where they say nothing."""
    reached = {place: max(offset, 0) for place, offset in group.items()}
    for place, last in _published(settings, keys).items():
        reached[place] = max(last + 1, reached.get(place, 0))
    return reached


def _group(settings: Settings) -> dict[Place, int]:
    """The group's offset in every raw partition, below 0 where it has none."""
    consumer = _consumer(settings)
    try:
        names = TopicNames(settings, partial(locked_events, settings.schemas_dir))
        found = _offsets(consumer, _partitions(consumer, names.raw()))
        return {(each.topic, each.partition): each.offset for each in found}
    except KafkaException as error:
        raise _failed(error) from None
    finally:
        consumer.close()


def _offsets(consumer: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
    """The group's offsets; a broker that has just started is asked again until it has read them itself."""
    deadline = time.monotonic() + _TIMEOUT
    while True:
        try:
            return consumer.committed(partitions, timeout=_TIMEOUT)
        except KafkaException as error:
            if error.args[0].code() not in _YOUNG or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE)


def place_group(settings: Settings, vault: Vault, taken: Mapping[Place, int]) -> dict[Place, int]:
    """Put the group where a vault that is behind goes on, and say where that is. No worker may run meanwhile.

    Kafka gives the person events after those that the vault knows once more, as far back as it holds them; the others
    from `taken` on (`taken_up_to`), or from where it begins to hold them. Dying after it, before the vault has
    accepted, leaves a vault that is refused as before; done once more it comes to the same.
    """
    consumer = _consumer(settings)
    try:
        partitions = [TopicPartition(*place) for place in taken]
        knows, held = vault.known(taken), beginnings(settings, taken)
        for each in partitions:
            place = each.topic, each.partition
            goes_on = knows[place] + 1 if raw_of(each.topic)[1].is_person else taken[place]
            each.offset = max(goes_on, held[place])
        done = consumer.commit(offsets=partitions, asynchronous=False) or []
        refused = [each.error for each in done if each.error is not None]
    except KafkaException as error:
        raise _failed(error) from None
    finally:
        consumer.close()
    if refused:
        raise _failed(KafkaException(refused[0]))
    return {(each.topic, each.partition): each.offset for each in partitions}


def _published(settings: Settings, keys: PublicKeys) -> dict[Place, int]:
    """The highest raw offset of each raw partition among the newest blocks of the pseudo topics that are signed.

    Others may have written behind them: where the newest messages are nobody's, as many more are looked at.
    """
    consumer = _consumer(settings)
    try:
        topics = [event.pseudo_topic for event in landed_events(settings.schemas_dir)]
        bounds = {
            (each.topic, each.partition): consumer.get_watermark_offsets(each, timeout=_TIMEOUT)
            for each in _partitions(consumer, topics)
        }
        left = {place for place, (low, high) in bounds.items() if high > low}
        found: dict[Place, int] = {}
        newest = _NEWEST
        while left:
            begins = {place: max(bounds[place][0], bounds[place][1] - newest) for place in left}
            consumer.assign([TopicPartition(*place, begin) for place, begin in begins.items()])
            signed = _highest(consumer, {place: bounds[place][1] for place in left}, found, keys)
            left = {place for place in left - signed if begins[place] > bounds[place][0]}
            newest *= _FURTHER
    except KafkaException as error:
        raise _failed(error) from None
    finally:
        consumer.close()
    return found


def _highest(
    consumer: Consumer, ends: dict[tuple[str, int], int], found: dict[Place, int], keys: PublicKeys
) -> set[tuple[str, int]]:
    """Read up to `ends` (pseudo topic and partition → offset) and raise `found`; where there was a signed block."""
    signed = set()
    deadline = time.monotonic() + _TIMEOUT
    while ends:
        message = consumer.poll(0.5)
        if message is None:
            if time.monotonic() > deadline:
                raise TransportError("The pseudo topics gave nothing to read.", "Is Kafka well?")
            continue
        topic, partition, offset = str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)
        if is_the_end(message):
            ends.pop((topic, partition), None)
            continue
        if offset + 1 >= ends.get((topic, partition), 0):
            ends.pop((topic, partition), None)
        # The stubs allow what only a producer may give; a consumer always gets a list of pairs.
        headers = cast("list[tuple[str, bytes]]", message.headers() or [])
        if not keys.have_signed(topic, partition, dict(headers)):
            continue
        signed.add((topic, partition))
        holds = named(headers)
        for span in holds.spans if holds is not None and holds.stream == STREAM_RAW else ():
            place = event_of(topic).raw_topic(span.source), span.partition
            found[place] = max(span.last, found.get(place, -1))
    return signed


def _consumer(settings: Settings) -> Consumer:
    """A consumer that knows the group's offsets and never joins it."""
    own = {"group.id": GROUP, "enable.auto.commit": False, "auto.offset.reset": "error", "fetch.max.bytes": 16 << 20}
    return Consumer(settings.kafka_client() | own | TELLS_THE_END)


def _partitions(consumer: Consumer, topics: list[str]) -> list[TopicPartition]:
    there = consumer.list_topics(timeout=_TIMEOUT).topics
    return [TopicPartition(topic, number) for topic in topics if topic in there for number in there[topic].partitions]


def _failed(error: KafkaException) -> TransportError:
    return TransportError(
        f"Cannot tell from Kafka whether the vault is behind: {error.args[0].str()}.",
        "Is Kafka up, may this user read raw.* and pseudo.*, and does no worker run?",
    )
