"""The snapshots of linking state: one small object for each (event type, pseudo partition), the last two kept.

A snapshot is written after the curated commit that it belongs to, so the one at offset S never knows more than the
table at T. A crash before it is written costs reading more blocks again; a crash before old ones are deleted leaves an
object too many until the next save. What is in one is `biokeel.link`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass

from biokeel.contracts.topics import EventType
from biokeel.land.lake import Lake

KEPT = 2
SUFFIX = ".arrow"


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The snapshots in `lake`, at `state/<domain>/<event>/<partition>/<offset>.arrow`."""

    lake: Lake

    def save(self, event: EventType, partition: int, offset: int, data: bytes) -> None:
        """Keep `data` as the state of `partition` as of and including pseudo offset `offset`.

        Only after `EventTables.land` returned for that offset. Two workers that save the same offset save the same:
        state follows from the topic and the verdicts.
        """
        prefix = _prefix(event, partition)
        # Twenty digits, so that names sort as the offsets do.
        self.lake.objects.put(f"{prefix}{offset:020d}{SUFFIX}", data)
        for old in self._keys(event, partition)[:-KEPT]:
            self.lake.objects.delete(old)

    def latest(self, event: EventType, partition: int) -> tuple[int, bytes] | None:
        """Offset and bytes of the newest snapshot, None where there is none yet."""
        keys = self._keys(event, partition)
        return (_offset(keys[-1]), self.lake.objects.get(keys[-1])) if keys else None

    def kept(self, event: EventType, partition: int) -> list[int]:
        """The offsets of the snapshots that there are, lowest first."""
        return [_offset(key) for key in self._keys(event, partition)]

    def delete_above(self, event: EventType, partition: int, offset: int) -> None:
        """Delete the snapshots of `partition` that know more than `offset`; -1 deletes all."""
        for key in self._keys(event, partition):
            if _offset(key) > offset:
                self.lake.objects.delete(key)

    def offsets(self) -> dict[tuple[EventType, int], int]:
        """The offset of the newest snapshot of every event type and partition that has one."""
        found = {}
        for event in self.lake.events():
            for key in self.lake.objects.keys(f"state/{event.domain}/{event.name}/"):
                if key.endswith(SUFFIX):
                    found[event, int(key.split("/")[-2])] = _offset(key)
        return found

    def _keys(self, event: EventType, partition: int) -> list[str]:
        return [key for key in self.lake.objects.keys(_prefix(event, partition)) if key.endswith(SUFFIX)]


def _prefix(event: EventType, partition: int) -> str:
    return f"state/{event.domain}/{event.name}/{partition}/"


def _offset(key: str) -> int:
    return int(key.rsplit("/", 1)[1].removesuffix(SUFFIX))
