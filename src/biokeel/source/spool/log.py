"""The log of a spool: appends events, reads them by number, and deletes what is done with.

One process writes, any number of its threads append, one reads. What `append` has returned for is in the file; with
`sync` it has also reached the disk, one `fdatasync` for all that appended meanwhile. If the process dies in the middle
of `append`, the frame is whole and will be sent although nobody was told, or it is torn and cut at the next start.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from threading import Condition, Lock
from types import TracebackType
from typing import Final, NamedTuple, Self

from biokeel.errors import SpoolError, SpoolFull, SpoolTaken
from biokeel.source.spool import cursor as cursors
from biokeel.source.spool.cursor import Cursor
from biokeel.source.spool.frames import (
    HEAD_BYTES,
    MARK_BYTES,
    Events,
    Gathering,
    Head,
    head_at,
    heads,
    is_whole,
    next_head,
    pack,
)

LIMIT_BYTES: Final = 8 << 30
KEEP_BYTES: Final = 256 << 20
SEGMENT_BYTES: Final = 32 << 20
APPEND_BYTES: Final = 8 << 20
"""Most bytes of one `append`."""
_CHUNK: Final = 4 << 20
"""Bytes read at once."""
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SEGMENT_NAME: Final = re.compile(r"([0-9]{20})-([0-9a-f]{16})\.log")
_SKIPPED: Final = ""
"""Topic of a frame without events: its numbers were given to events that the disk has lost, and stay unused."""


@dataclass(slots=True, eq=False)
class Segment:
    """A file of frames with the events `[first, end)`; `size` bytes of it may be read."""

    first: int
    mark: bytes
    path: Path
    size: int = 0
    end: int = 0

    @property
    def index(self) -> Path:
        """Where it says which event got which place in Kafka."""
        return self.path.with_suffix(".at")


@dataclass(slots=True)
class Damage:
    """What could not be read, since the spool was opened: events as far as their number is known, and what to say."""

    events: int = 0
    findings: list[str] = field(default_factory=list)


class _Here(NamedTuple):
    """A segment as it may be read now."""

    segment: Segment
    size: int
    end: int


class Spool:
    """A spool in `folder`, made where there is none. A context manager; `close` gives the folder free.

    `limit_bytes`: the files take no more. `keep_bytes`: so much of what Kafka has is kept, to be sent again on request.
    `sync`: `append` returns when the disk has the events, not only the operating system.

    Raises `SpoolTaken` where another process has it, and `SpoolError` where the folder cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        *,
        limit_bytes: int = LIMIT_BYTES,
        keep_bytes: int = KEEP_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
        sync: bool = True,
    ) -> None:
        self.folder = folder
        self.sync = sync
        self.damage = Damage()
        self._limit, self._keep, self._segment_bytes = limit_bytes, keep_bytes, segment_bytes
        self._room = Condition(Lock())
        self._syncing = Lock()
        self._handle: int | None = None
        """The newest segment's file; None until something is appended to it, and after it is full."""
        self._aside: set[tuple[str, int]] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _hold(folder)
            self.cursor, finding = cursors.load(folder)
            if finding:
                self.damage.findings.append(finding)
            self._segments = _segments(folder)
            self._synced = self._total = 0
            self._next = self._reopen()
        except OSError as error:
            raise SpoolError(
                f"The spool {folder} cannot be used: {error.strerror}.", "Is the disk all right?"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Bring what was appended to the disk and give the folder free. What waits is sent by who opens it next."""
        with self._syncing, self._room:
            if self._handle is not None:
                with suppress(OSError):
                    os.fdatasync(self._handle)
                os.close(self._handle)
                self._handle = None
        os.close(self._lock)

    @property
    def next_number(self) -> int:
        """The number that the next event gets; all below it were appended."""
        return self._next

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return self._total

    @property
    def segments(self) -> Sequence[Segment]:
        """Every segment, oldest first, those that Kafka has wholly too."""
        return tuple(self._segments)

    # -- appending

    def append(self, topic: str, count: int, columns: bytes, data: bytes | memoryview, wait: float = 0.0) -> int:
        """Append `count` events (at most `APPEND_BYTES` in all) as one frame and return the number of the first.

        `columns` are those of `frames.columns_of`. All of them are in the spool when it returns, or none is: raises
        `SpoolFull` where there is no room, after `wait` seconds of waiting for some, and `SpoolError` where the disk
        fails.
        """
        size = HEAD_BYTES + 2 + len(topic.encode()) + len(columns) + len(data)
        with self._room:
            self._find_room(size, wait)
            segment = self._writable()
            number = self._next
            self._write(segment, pack(segment.mark, number, topic, count, columns, data), data, size)
            segment.size += size
            self._total += size
            self._next = segment.end = number + count
            self._room.notify_all()
        if self.sync:
            self.flush(number + count)
        return number

    def flush(self, number: int | None = None) -> None:
        """Return when the disk has all events below `number` (default: all). Raises `SpoolError` where it fails."""
        wanted = self._next if number is None else number
        with self._syncing:  # who waits here finds its events synced by the one before
            if self._synced >= wanted:
                return
            try:
                with self._room:
                    reached = self._next
                    handle = None if self._handle is None else os.dup(self._handle)  # it may be closed meanwhile
                if handle is not None:
                    try:
                        os.fdatasync(handle)
                    finally:
                        os.close(handle)
            except OSError as error:
                raise SpoolError(
                    f"The disk of the spool {self.folder} fails: {error.strerror}.",
                    "Events of the last moment may be lost if the machine goes down; send them again.",
                ) from None
            self._synced = reached

    def wait_appended(self, number: int, seconds: float) -> None:
        """Return when an event with `number` or above was appended, at the latest after `seconds`."""
        with self._room:
            self._room.wait_for(lambda: self._next > number, seconds)

    def _find_room(self, size: int, wait: float) -> None:
        if size > min(APPEND_BYTES, self._limit):
            raise SpoolFull(
                f"{size} bytes at once are more than the spool {self.folder} takes.", "Send fewer events at a time."
            )
        deadline = time.monotonic() + wait
        while self._total + size > self._limit:
            if self._give_up_oldest():
                continue
            left = deadline - time.monotonic()
            if left <= 0 or not self._room.wait(left):
                raise SpoolFull(
                    f"The spool {self.folder} is full: {self._limit} bytes of events wait for Kafka.",
                    "Nothing of this was taken. See why Kafka does not take them, wait (block=seconds), or let the "
                    "spool have more (limit_bytes).",
                )

    def _give_up_oldest(self) -> bool:
        """Delete the oldest segment if Kafka has all of it, and say whether it was so."""
        oldest = self._segments[0]
        if oldest.end > self.cursor.low:
            return False
        if oldest is self._segments[-1]:
            self._finish()
        _delete(oldest)
        self._total -= oldest.size
        del self._segments[0]
        return True

    def _writable(self) -> Segment:
        """The segment that is appended to, opened, or a new one."""
        if self._handle is None:
            self._begin()
        elif self._segments[-1].size >= self._segment_bytes:
            self._finish()
            self._begin()
        return self._segments[-1]

    def _begin(self) -> None:
        mark = secrets.token_bytes(MARK_BYTES)
        path = self.folder / f"{self._next:020d}-{mark.hex()}.log"
        try:
            self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            if self.sync:
                _sync_folder(self.folder)
        except OSError as error:
            raise self._refused(error) from None
        self._segments.append(Segment(self._next, mark, path, 0, self._next))

    def _finish(self) -> None:
        """Bring the newest segment to the disk and close it; nothing is appended to it any more."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            try:
                os.fdatasync(handle)
            except OSError as error:
                raise self._refused(error) from None
            finally:
                os.close(handle)

    def _write(self, segment: Segment, head: bytes, data: bytes | memoryview, size: int) -> None:
        assert self._handle is not None
        try:
            written = os.pwritev(self._handle, (head, data), segment.size)
            if written < size:  # a disk that fills takes a part, and says why at the next attempt
                rest = head + bytes(data)
                while written < size:
                    written += os.pwrite(self._handle, rest[written:], segment.size + written)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._handle, segment.size)  # if not, the next frame is written over it
            raise self._refused(error) from None

    def _refused(self, error: OSError) -> SpoolError:
        if error.errno in _NO_ROOM:
            return SpoolFull(
                f"The disk of the spool {self.folder} is full.",
                "Nothing of this was taken. Make room on it; what waits goes to Kafka meanwhile, and frees some.",
            )
        return SpoolError(f"The spool {self.folder} cannot be written: {error.strerror}.", "Nothing of this was taken.")

    # -- what Kafka has

    def acknowledged(self, cursor: Cursor) -> None:
        """Remember how far Kafka has acknowledged, and delete what is not kept.

        Neither needs room on the disk to make some: where the cursor cannot be written, files are deleted all the
        same, and it is written then, or the next time. If the process dies in between, see `cursor`.
        """
        with self._room:
            self.cursor = cursor
            done = [segment for segment in self._segments[:-1] if segment.end <= cursor.low]
            kept = sum(segment.size for segment in done)
            for segment in done:
                if kept <= self._keep:
                    break
                kept -= segment.size
                self._give_up_oldest()
            self._room.notify_all()
        with suppress(OSError):
            cursors.save(self.folder, cursor, sync=self.sync)

    # -- reading

    def located(self, number: int) -> _Here | None:
        """The segment that holds event `number`, or the next behind it that there is."""
        with self._room:
            for segment in self._segments:
                if segment.end > number:
                    return _Here(segment, segment.size, segment.end)
        return None

    def put_aside(self, segment: Segment, start: int, data: bytes, lost: int) -> None:
        """Keep `data`, which cannot be read, in a file of its own, and note it."""
        if (segment.path.name, start) in self._aside:
            return
        self._aside.add((segment.path.name, start))
        kept = self.put_away("damaged", f"{segment.path.stem}-{start}.bin", data)
        self.damage.events += lost
        self.damage.findings.append(
            f"{len(data)} bytes of {segment.path.name} are damaged from byte {start} on; {kept} "
            f"Events that are lost with them: {lost or 'not known'}. Send them again."
        )

    def put_away(self, folder: str, name: str, data: bytes) -> str:
        """Keep `data` in a file of its own below the spool, and say in a sentence where it lies."""
        try:
            (self.folder / folder).mkdir(exist_ok=True, mode=0o700)
            handle = os.open(self.folder / folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
        except OSError as error:
            return f"the disk did not keep it ({error.strerror})."
        return f"it lies in {folder}/{name}."

    # -- opening

    def _reopen(self) -> int:
        """Look at the newest segment, cut what is torn at its end; returns the number of the next event."""
        reached = self.cursor.low
        if self._segments:
            newest = self._segments[-1]
            data = newest.path.read_bytes()
            newest.size, reached = _end_of(data, newest)
            newest.end = reached
            if newest.size < len(data):
                torn = sum(head.events for head in heads(data, newest.size, newest.mark))
                self.put_aside(newest, newest.size, data[newest.size :], torn)
                os.truncate(newest.path, newest.size)
            if not newest.size:  # or there would be two that begin with the same number
                _delete(newest)
                self._segments.pop()
        self._total = sum(segment.size for segment in self._segments)
        highest = self.cursor.highest
        if reached >= highest:
            return reached
        # The machine died: Kafka has events that this disk does not. Their numbers must not be given again, or what
        # gets them would count as acknowledged.
        self._next = reached
        with suppress(SpoolFull):  # then the gap is taken for damage by a later start, which costs nothing either
            self.append(_SKIPPED, highest - reached, b"", b"")
        return highest


class Reader:
    """Reads the events of a spool from `number` on. For one thread."""

    def __init__(self, spool: Spool, number: int) -> None:
        self._spool = spool
        self._segment: Segment | None = None
        self._file = -1
        self._offset = 0
        self._expected = 0
        """The number of the first event of the frame at `_offset`."""
        self.number = number

    def seek(self, number: int) -> None:
        """Go on at event `number`, or with the frame that holds it."""
        self.close()
        self.number = number

    @property
    def segment(self) -> Segment:
        """That of the events that were read last."""
        assert self._segment is not None
        return self._segment

    def close(self) -> None:
        """Close the file that is read."""
        if self._segment is not None:
            os.close(self._file)
            self._segment = None

    def read(self, most: int) -> list[Events]:
        """Events from `number` on, by topic, of one segment: about `most` or `MOST_BYTES`; none where all are read.

        A frame that is damaged is put aside and passed over.
        """
        gathered = Gathering()
        while not gathered.enough(most) and (here := self._spool.located(self.number)) is not None:
            if here.segment is not self._segment:
                if gathered.count:
                    break
                self._open(here.segment)
            if self._offset >= here.size:
                self._gap(here)
                continue
            self._some(here, gathered, most)
        return gathered.take()

    def _open(self, segment: Segment) -> None:
        self.close()
        self._file = os.open(segment.path, os.O_RDONLY)
        self._segment, self._offset, self._expected = segment, 0, segment.first
        self.number = max(self.number, segment.first)

    def _some(self, here: _Here, gathered: Gathering, most: int) -> None:
        """Take frames of the next bytes, or pass over what is damaged."""
        data = os.pread(self._file, min(_CHUNK, here.size - self._offset), self._offset)
        head = head_at(data, 0, here.segment.mark)
        if head is not None and head.end > len(data) and self._offset + head.end <= here.size:
            data = os.pread(self._file, head.end, self._offset)
        used = 0
        for each in heads(data, 0, here.segment.mark):
            if each.number != self._expected or not is_whole(data, each):
                break
            self._take(data, each, gathered)
            used = each.end
            if gathered.enough(most):
                break
        if used:
            self._offset += used
        else:
            self._pass_over(here)

    def _take(self, data: bytes, head: Head, gathered: Gathering) -> None:
        self._expected = head.number + head.events
        if self._expected <= self.number:
            return
        self.number = self._expected
        topic, columns = gathered.topic_of(data, head)
        if topic != _SKIPPED:
            gathered.add(data, head, topic, columns)

    def _pass_over(self, here: _Here) -> None:
        data = os.pread(self._file, here.size - self._offset, self._offset)
        found = next_head(data, 1, here.segment.mark)
        while found is not None and found.number < self._expected:
            found = next_head(data, found.end, here.segment.mark)
        end, number = (found.start, found.number) if found else (len(data), here.end)
        self._spool.put_aside(here.segment, self._offset, data[:end], number - self._expected)
        self._offset += end
        self._expected = number
        self.number = max(self.number, number)

    def _gap(self, here: _Here) -> None:
        """The file ends before its last event: somebody has cut it."""
        self._spool.put_aside(here.segment, self._offset, b"", here.end - self._expected)
        self._expected = here.end
        self.number = max(self.number, here.end)


def _hold(folder: Path) -> int:
    """Take the folder for this process. Raises `SpoolTaken` naming who has it."""
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(handle, 200).decode(errors="replace").strip()
        os.close(handle)
        raise SpoolTaken(
            f"The spool {folder} is in use by {holder or 'another process'}.",
            "One process has a spool: give each its own folder, or send through the one that has it.",
        ) from None
    with suppress(OSError):  # a full disk: then a second is told less
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
    return handle


def _segments(folder: Path) -> list[Segment]:
    """The segments in a folder, oldest first; each ends where the next begins, the newest is still to be looked at."""
    found = []
    for path in sorted(folder.iterdir()):
        if match := _SEGMENT_NAME.fullmatch(path.name):
            first = int(match[1])
            found.append(Segment(first, bytes.fromhex(match[2]), path, path.stat().st_size, first))
    for segment, following in pairwise(found):
        segment.end = following.first
    return found


def _end_of(data: bytes, segment: Segment) -> tuple[int, int]:
    """Where the last whole frame ends, and the number behind its last event."""
    end, number, start = 0, segment.first, 0
    while True:
        run = list(heads(data, start, segment.mark))
        last = next((head for head in reversed(run) if is_whole(data, head)), None)
        if last is not None:
            end, number = last.end, last.number + last.events
        found = next_head(data, run[-1].end if run else start + 1, segment.mark)
        if found is None:
            return end, number
        start = found.start


def _delete(segment: Segment) -> None:
    for path in (segment.path, segment.index):
        with suppress(OSError):  # what is left is deleted by the next start
            path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
