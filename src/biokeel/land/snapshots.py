"""The snapshots of linking state: one small object for each (event type, pseudo partition), the last two kept.

A snapshot is written after the curated commit that it belongs to, so the one at offset S never knows more than the
table at T. A crash before it is written costs reading more blocks again; a crash before old ones are deleted leaves an
object too many until the next save. What is in one is `biokeel.link`'s business.

Between two blocks a steward's operation may land rows (`biokeel.land.operated`), so a snapshot is of an offset and of a
step of operations, and of two with one offset the one with the later step is the newer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from biokeel.contracts.topics import EventType
from biokeel.land.lake import Lake

KEPT = 2
SUFFIX = ".arrow"


class Point(NamedTuple):
    """As of what a snapshot is: pseudo offset, and step of stewards' operations (0 for none)."""

    offset: int
    operated: int

    @property
    def age(self) -> int:
        """A number that grows from each snapshot of a partition to the next."""
        return self.offset + self.operated


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The snapshots in `lake`, at `state/<domain>/<event>/<partition>/<offset>.<operated>.arrow`."""

    lake: Lake

    def save(self, event: EventType, partition: int, point: Point, data: bytes) -> None:
        """Keep `data` as the state of `partition` as of and including `point`.

        Only after `EventTables.land`, or `operate`, returned for it. Two workers that save the same point save the
        same: state follows from the topic, the verdicts and the operations.
        """
        prefix = _prefix(event, partition)
        # Twenty digits, so that names sort as the points do.
        self.lake.objects.put(f"{prefix}{point.offset:020d}.{point.operated:020d}{SUFFIX}", data)
        for old in self._keys(event, partition)[:-KEPT]:
            self.lake.objects.delete(old)

    def latest(self, event: EventType, partition: int) -> tuple[Point, bytes] | None:
        """Point and bytes of the newest snapshot, None where there is none yet."""
        keys = self._keys(event, partition)
        return (_point(keys[-1]), self.lake.objects.get(keys[-1])) if keys else None

    def kept(self, event: EventType, partition: int) -> list[Point]:
        """The points of the snapshots that there are, lowest first."""
        return [_point(key) for key in self._keys(event, partition)]

    def delete_above(self, event: EventType, partition: int, point: Point) -> None:
        """Delete the snapshots of `partition` that know more than `point`; an offset of -1 deletes all."""
        for key in self._keys(event, partition):
            its = _point(key)
            if its.offset > point.offset or its.operated > point.operated:
                self.lake.objects.delete(key)

    def points(self) -> dict[tuple[EventType, int], Point]:
        """The point of the newest snapshot of every event type and partition that has one."""
        found = {}
        for event in self.lake.events():
            for key in self.lake.objects.keys(f"state/{event.domain}/{event.name}/"):
                if key.endswith(SUFFIX):
                    found[event, int(key.split("/")[-2])] = _point(key)
        return found

    def _keys(self, event: EventType, partition: int) -> list[str]:
        return [key for key in self.lake.objects.keys(_prefix(event, partition)) if key.endswith(SUFFIX)]


def _prefix(event: EventType, partition: int) -> str:
    return f"state/{event.domain}/{event.name}/{partition}/"


def _point(key: str) -> Point:
    return Point(*map(int, key.rsplit("/", 1)[1].removesuffix(SUFFIX).split(".")))
