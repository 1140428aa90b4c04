"""Single events of a topic, fit for a person's eyes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from biokeel.batch import RawBatch, RawPartition
from biokeel.contracts.blocks import read_block
from biokeel.contracts.codec import Codec
from biokeel.contracts.framing import read_frames
from biokeel.contracts.ids import encode_ids
from biokeel.contracts.schema import Tag
from biokeel.contracts.topics import raw_of
from biokeel.errors import DamagedBlock, UnsignedBlock
from biokeel.observe.logs import masked
from biokeel.pseudonymise.leaks import find_leaks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from biokeel.contracts.catalogue import Catalogue
    from biokeel.contracts.signatures import PublicKeys
    from biokeel.contracts.topics import EventType
    from biokeel.engine.kafka.newest import Message

MASK: Final = "[masked]"


def raw_events(
    topic: str, messages: Sequence[Message], catalogue: Catalogue, max_event_bytes: int
) -> Iterator[dict[str, Any]]:
    """Each event of a raw `topic` as a dictionary: its coordinates, schema id and size, and its fields that say nothing
    of a person.

    A person event shows none of its fields. Of any other only those tagged NONE are there, masked where the wall would
    find a leak in them (the person's own identifier, for one); in their text whatever looks like an identifier is
    masked. What does not decode shows its reason.
    """
    source, event = raw_of(topic)
    codec = Codec(catalogue, max_event_bytes)
    shown = {field.name for field in catalogue.reader(event).schema.fields if field.tag is Tag.NONE}
    for message in messages:
        where = {"source": source, **_where(message)}
        if event.is_person:
            yield where
            continue
        part = RawPartition(source, message.partition), np.array([message.offset], np.int64), [message.value]
        outcome = codec.decode(RawBatch.of(event, [part]))
        for rejection in outcome.rejected:
            yield where | {"rejected": str(rejection.reason)}
        open_fields = outcome.accepted.frame.select(
            pl.col(name) for name in outcome.accepted.frame.columns if name in shown
        )
        leaks = find_leaks(open_fields, outcome.accepted.frame["subject_id"])
        leaking = {leak.field.partition(".")[0] for leak in leaks}  # one message, so one row
        for row in open_fields.iter_rows(named=True):
            yield where | {name: MASK if name in leaking else _masked_text(value) for name, value in row.items()}


def _where(message: Message) -> dict[str, Any]:
    """What may be known of any raw message."""
    frames = read_frames([message.value])
    return {
        "partition": message.partition,
        "offset": message.offset,
        "schema_id": int(frames.ids[0]) if frames.framed[0] else None,
        "bytes": int(frames.lengths[0]),
    }


def pseudo_events(event: EventType, messages: Sequence[Message], keys: PublicKeys) -> Iterator[dict[str, Any]]:
    """Each row of each block as a dictionary, with the participant ID as its text.

    Of a message that none of `keys` has signed, or that cannot be read, why and its size: it may hold anything.
    """
    for message in messages:
        position = {"pseudo_partition": message.partition, "pseudo_offset": message.offset}
        try:
            frame = read_block(event, message.partition, message.value, message.headers, keys).frame
        except (UnsignedBlock, DamagedBlock) as error:
            yield position | {"left out": error.what, "bytes": len(message.value or b"")}
            continue
        shown = frame.with_columns(encode_ids(frame["participant"]).alias("participant"))
        for row in shown.rename({"participant": "participant_id"}).iter_rows(named=True):
            yield position | row


def _masked_text(value: Any) -> Any:
    """`value` (of any type that Avro knows) as it may be seen."""
    match value:
        case str():
            return masked(value)
        case list() | pl.Series():
            return [_masked_text(item) for item in value]
        case dict():
            return {name: _masked_text(item) for name, item in value.items()}
        case bytes():
            return MASK
        case _:
            return value
