"""What Kafka has acknowledged, in one small file that is replaced as a whole.

An event counts as acknowledged where its number is below `low`, or below the mark of its partition: one mark list for
each number of partitions that its topic has had, `marks[topic] = [[mark of partition 0, mark of partition 1, …], …]`.

If the process dies between Kafka's answer and the replacement, or the machine between that and the disk, events that
Kafka has are sent once more, with the same ids. A file that is gone or damaged costs the same, for all that the spool
still holds: never an event.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from zlib import crc32

import orjson

FILE: Final = "cursor.json"


@dataclass(slots=True)
class Cursor:
    """How far Kafka has acknowledged."""

    low: int = 0
    marks: dict[str, list[list[int]]] = field(default_factory=dict)

    @property
    def highest(self) -> int:
        """A number that no event has which was acknowledged, nor any above it."""
        return max([self.low, *(mark for lists in self.marks.values() for marks in lists for mark in marks)])


def load(folder: Path) -> tuple[Cursor, str]:
    """The cursor of a spool, and what is wrong with its file (empty where nothing is)."""
    try:
        text = (folder / FILE).read_bytes()
    except FileNotFoundError:
        return Cursor(), ""
    except OSError as error:
        return Cursor(), f"Its cursor cannot be read ({error.strerror}): what the spool holds is sent once more."
    checksum, _, body = text.partition(b"\n")
    if checksum != b"%08x" % crc32(body):
        return Cursor(), "Its cursor is damaged: what the spool holds is sent once more, with the same ids."
    read = orjson.loads(body)
    return Cursor(read["low"], read["marks"]), ""


def save(folder: Path, cursor: Cursor, *, sync: bool) -> None:
    """Replace the cursor's file; raises `OSError` where the disk is full, and leaves what was there."""
    body = orjson.dumps({"low": cursor.low, "marks": cursor.marks})
    new = folder / (FILE + ".new")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, b"%08x\n" % crc32(body) + body)
        if sync:
            os.fdatasync(handle)
    finally:
        os.close(handle)
    new.replace(folder / FILE)
