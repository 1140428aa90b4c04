"""The kept events of a spool with the places that Kafka gave them: what receipts speak of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from biokeel.source.spool import index
from biokeel.source.spool.frames import Events
from biokeel.source.spool.log import Reader, Segment, Spool

_AT_ONCE: Final = 50_000


class Kept(NamedTuple):
    """Some events of one partition of a topic: the offset of each (int64), its hash (uint32), and its bytes."""

    topic: str
    partition: int
    offsets: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.uint32]
    values: list[bytes]


def kept(spool: Spool) -> Iterator[Kept]:
    """Every event that Kafka has acknowledged and that the spool still holds, a segment at a time, oldest first.

    An event that was sent twice comes once for each place.
    """
    for segment in spool.segments:
        entries = index.read(segment.index)
        topics = _events(spool, segment) if entries else {}
        for entry in entries:
            if (events := topics.get(entry.topic)) is not None and (some := _placed(entry, events)) is not None:
                yield some


def _events(spool: Spool, segment: Segment) -> dict[str, Events]:
    """All events of a segment by topic: some ten megabytes."""
    reader = Reader(spool, segment.first)
    parts: dict[str, list[Events]] = defaultdict(list)
    try:
        while reader.number < segment.end and (found := reader.read(_AT_ONCE)):
            for events in found:
                parts[events.topic].append(events)
    except FileNotFoundError:  # it was deleted meanwhile
        return {}
    finally:
        reader.close()
    return {
        topic: Events(
            topic,
            np.concatenate([part.numbers for part in some]),
            np.concatenate([part.hashes for part in some]),
            [value for part in some for value in part.values],
        )
        for topic, some in parts.items()
    }


def _placed(entry: index.Placed, events: Events) -> Kept | None:
    """What an entry of the index speaks of; None where that is not certain."""
    inside = (events.numbers >= entry.first) & (events.numbers <= entry.last)
    at = np.flatnonzero(inside & (events.hashes % entry.partitions == entry.partition))
    if len(at) != entry.events:  # damaged meanwhile, or the topic gained partitions between two of them
        return None
    offsets = np.arange(entry.offset, entry.offset + entry.events)
    return Kept(entry.topic, entry.partition, offsets, events.hashes[at], [events.values[each] for each in at.tolist()])
