"""Messages of pseudo topics that were left out, kept beside the lake so that nothing is lost without a word.

| what | kept under `aside/<topic>/<partition>/` |
| --- | --- |
| a block of ours that cannot be read | `<offset>.json`: its place, what its headers name; `<offset>.block`: its bytes |
| a message that is not signed | `<offset>.unsigned.json`: its place and size |

Of an unsigned message nothing says that it came through the privacy wall, so neither its bytes nor what it says of
itself is kept.

The bytes are written before the description, and both before the tables pass the message. A process that dies in
between reads the message again and writes the same. What is aside stays aside: `Aside.offsets` is asked when a
partition is recovered, so that a replay leaves out the same rows, whatever a later release could make of them. Only
where a table goes back below it is a message looked at anew (`Aside.forget_above`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from biokeel.contracts.blocks import Named
    from biokeel.contracts.topics import EventType
    from biokeel.land.lake import Lake

PREFIX: Final = "aside/"
_SUFFIX: Final = ".json"
_UNSIGNED: Final = ".unsigned"
_BLOCK: Final = ".block"


@dataclass(slots=True)
class Offsets:
    """The offsets of one pseudo partition that lie aside, by what is wrong with them."""

    damaged: set[int] = field(default_factory=set)
    unsigned: set[int] = field(default_factory=set)

    def __contains__(self, offset: int) -> bool:
        return offset in self.damaged or offset in self.unsigned


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that was put aside: its place, size in bytes, why, and which raw events it was to hold.

    `rows` names them as a block's header does: `hospital-a/0:100-180,app-a/3:7-7` are offsets 100 to 180 of a raw
    partition of one source, and 7 of another's.
    Of a message that is not signed nobody knows; then `stream` and `rows` are None.
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
            return f"{place} (not from the vault zone)"
        return f"{place} (rows of {self.stream} {self.rows})"


@dataclass(frozen=True, slots=True)
class Aside:
    """What was put aside in `lake`."""

    lake: Lake

    def keep(
        self, event: EventType, partition: int, offset: int, value: bytes, *, why: str, holds: Named | None
    ) -> Unreadable:
        """Put a message aside; it is durable when this returns. Doing so again changes nothing.

        `holds`: what its headers name, and None for one that is not signed.
        """
        stream, rows = (holds.stream, holds.rows) if holds is not None else (None, None)
        unreadable = Unreadable(event.pseudo_topic, partition, offset, len(value), why, stream, rows)
        name = f"{_prefix(event)}{partition}/{offset:020d}"
        if holds is not None:
            self.lake.objects.put(f"{name}{_BLOCK}", value)
        kind = _UNSIGNED if holds is None else ""
        self.lake.objects.put(f"{name}{kind}{_SUFFIX}", orjson.dumps(asdict(unreadable)))
        return unreadable

    def offsets(self, event: EventType) -> dict[int, Offsets]:
        """By pseudo partition of `event`, the offsets of what was put aside."""
        found: dict[int, Offsets] = {}
        for key in self._keys(_prefix(event)):
            partition, offset = _place(key)
            those = found.setdefault(partition, Offsets())
            (those.unsigned if key.endswith(f"{_UNSIGNED}{_SUFFIX}") else those.damaged).add(offset)
        return found

    def forget_above(self, event: EventType, positions: Mapping[int, int]) -> None:
        """Forget what lies aside above the last offset of each pseudo partition that the tables account for.

        No worker may run. Dying in here leaves some of it; done once more it comes to the same.
        """
        for key in self.lake.objects.keys(_prefix(event)):
            partition, offset = _place(key)
            if offset > positions.get(partition, -1):
                self.lake.objects.delete(key)

    def told(self) -> tuple[str, ...]:
        """What lies aside, in words: each damaged block, and of unsigned messages how many of each partition.

        Of those only names are read: there may be many, and they say nothing about any event.
        """
        damaged: list[str] = []
        unsigned: dict[str, list[int]] = {}
        for key in self._keys(PREFIX):
            partition, offset = _place(key)
            if key.endswith(f"{_UNSIGNED}{_SUFFIX}"):
                unsigned.setdefault(f"{key.split('/')[1]}/{partition}", []).append(offset)
            else:
                damaged.append(str(self._read(key)))
        counts = (
            f"{place}: {len(offsets)} messages that are not from the vault zone, the first @{min(offsets)}"
            for place, offsets in unsigned.items()
        )
        return (*damaged, *counts)

    def all(self) -> list[Unreadable]:
        """Everything that was put aside, by topic, partition and offset."""
        return [self._read(key) for key in self._keys(PREFIX)]

    def _read(self, key: str) -> Unreadable:
        return Unreadable(**orjson.loads(self.lake.objects.get(key)))

    def _keys(self, prefix: str) -> list[str]:
        return [key for key in self.lake.objects.keys(prefix) if key.endswith(_SUFFIX)]


def _place(key: str) -> tuple[int, int]:
    """Pseudo partition and offset of an object."""
    partition, name = key.split("/")[-2:]
    return int(partition), int(name.partition(".")[0])


def _prefix(event: EventType) -> str:
    return f"{PREFIX}{event.pseudo_topic}/"
