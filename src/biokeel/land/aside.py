"""Messages of pseudo topics that could not be read, kept beside the lake so that nothing is lost without a word.

One object for each, `aside/<topic>/<partition>/<offset>.json`, says where it was and what its headers name; beside it
`.block` has its bytes, if its headers are a block's. Of any other message only the place and the size are kept: it did
not come through the privacy wall.

The bytes are written before the description, and both before the tables pass the message. A process that dies in
between reads the message again and writes the same. What is aside stays aside: `Aside.offsets` is asked when a
partition is recovered, so that a replay leaves out the same rows, whatever a later release could make of them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import orjson

if TYPE_CHECKING:
    from biokeel.contracts.blocks import Named
    from biokeel.contracts.topics import EventType
    from biokeel.land.lake import Lake

PREFIX: Final = "aside/"
_SUFFIX: Final = ".json"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that was put aside: its place, size in bytes, why, and which raw events it was to hold, if known.

    `rows` names them as a block's header does: `0:100-180,3:7-7` are offsets 100 to 180 of raw partition 0, and 7 of 3.
    """

    topic: str
    partition: int
    offset: int
    size: int
    why: str
    stream: str | None = None
    rows: str | None = None

    def __str__(self) -> str:
        place = f"{self.topic}/{self.partition}@{self.offset}"
        if self.stream is None:
            return f"{place} (no block)"
        return f"{place} (rows of {self.stream} {self.rows})"


@dataclass(frozen=True, slots=True)
class Aside:
    """What was put aside in `lake`."""

    lake: Lake

    def keep(
        self, event: EventType, partition: int, offset: int, value: bytes, *, why: str, holds: Named | None
    ) -> Unreadable:
        """Put a message aside; it is durable when this returns. Doing so again changes nothing."""
        stream, rows = (holds.stream, holds.rows) if holds is not None else (None, None)
        unreadable = Unreadable(event.pseudo_topic, partition, offset, len(value), why, stream, rows)
        name = f"{_prefix(event)}{partition}/{offset:020d}"
        if holds is not None:
            self.lake.objects.put(f"{name}.block", value)
        self.lake.objects.put(f"{name}{_SUFFIX}", orjson.dumps(asdict(unreadable)))
        return unreadable

    def offsets(self, event: EventType) -> dict[int, set[int]]:
        """By pseudo partition of `event`, the offsets of what was put aside."""
        found: dict[int, set[int]] = {}
        for key in self._keys(_prefix(event)):
            partition, name = key.split("/")[-2:]
            found.setdefault(int(partition), set()).add(int(name.removesuffix(_SUFFIX)))
        return found

    def all(self) -> list[Unreadable]:
        """Everything that was put aside, by topic, partition and offset."""
        return [Unreadable(**orjson.loads(self.lake.objects.get(key))) for key in self._keys(PREFIX)]

    def _keys(self, prefix: str) -> list[str]:
        return [key for key in self.lake.objects.keys(prefix) if key.endswith(_SUFFIX)]


def _prefix(event: EventType) -> str:
    return f"{PREFIX}{event.pseudo_topic}/"
