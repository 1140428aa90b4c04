"""The spool keeps what it has taken, in order, whatever happens to process, disk and files."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from biokeel.errors import SpoolError, SpoolFull, SpoolTaken
from biokeel.source.spool import cursor as cursors
from biokeel.source.spool.log import APPEND_BYTES, Reader
from tests.source.spool_world import TOPIC, World, append, drain, make, newest, some


def read_all(spool, number=0):
    reader = Reader(spool, number)
    found = []
    while events := reader.read(1000):
        for each in events:
            found += zip(each.numbers.tolist(), each.values, strict=True)
    reader.close()
    return found


def test_what_was_appended_is_read_by_number_and_in_order(tmp_path):
    values = some(500)
    with make(tmp_path) as spool:
        assert append(spool, values[:1]) == 0
        assert append(spool, values[1:300]) == 1
        for value in values[300:]:
            append(spool, [value])
        assert spool.next_number == 500
        assert read_all(spool) == list(enumerate(values))
    with make(tmp_path) as spool:
        assert spool.next_number == 500
        assert read_all(spool) == list(enumerate(values))


def test_events_of_several_topics_keep_the_order_within_each(tmp_path):
    with make(tmp_path) as spool:
        for number in range(50):
            append(spool, some(1 + number % 3, 10 * number), topic=f"test.{number % 2}")
        reader = Reader(spool, 0)
        for events in reader.read(1000):
            assert events.numbers.tolist() == sorted(events.numbers.tolist())
            assert events.values == sorted(events.values)
        reader.close()


def test_segments_are_bounded_and_deleted_when_kafka_has_them(tmp_path):
    world = World()
    with make(tmp_path, segment_bytes=4096, keep_bytes=0) as spool:
        for start in range(0, 2000, 100):
            append(spool, some(100, start))
        assert len(spool.segments) > 5
        drain(spool, world)
        assert sorted(world.values()) == some(2000)
        assert len(spool.segments) == 1
        assert len(list(tmp_path.glob("*.log"))) == 1
        assert spool.size == newest(tmp_path).stat().st_size


def test_so_much_is_kept_of_what_kafka_has_as_was_asked_for(tmp_path):
    with make(tmp_path, segment_bytes=4096, keep_bytes=10_000) as spool:
        for start in range(0, 2000, 100):
            append(spool, some(100, start))
        drain(spool, World())
        whole = sum(segment.size for segment in spool.segments[:-1])
        assert 10_000 - 4096 - 3000 < whole <= 10_000


def test_a_torn_tail_is_cut_and_reported_and_all_before_it_stays(tmp_path):
    with make(tmp_path) as spool:
        append(spool, some(3))
        append(spool, some(3, 3))
    whole = newest(tmp_path).read_bytes()
    for cut in range(1, len(whole) // 2):
        newest(tmp_path).write_bytes(whole[:-cut])
        with make(tmp_path) as spool:
            assert read_all(spool) == list(enumerate(some(3)))
            assert spool.next_number == 3
            assert len(spool.damage.findings) == 1
            assert append(spool, some(1, 9)) == 3
            assert read_all(spool, 3) == [(3, some(1, 9)[0])]


def test_a_tail_of_zeros_as_a_dead_machine_leaves_it_is_cut(tmp_path):
    with make(tmp_path) as spool:
        append(spool, some(3))
    with newest(tmp_path).open("ab") as file:
        file.write(bytes(5000))
    with make(tmp_path) as spool:
        assert read_all(spool) == list(enumerate(some(3)))
        assert "5000 bytes" in spool.damage.findings[0]


def test_damage_in_the_middle_is_put_aside_and_counted_and_what_follows_is_delivered(tmp_path):
    with make(tmp_path) as spool:
        for start in range(0, 50, 5):
            append(spool, some(5, start))
    whole = newest(tmp_path).read_bytes()
    frame = len(whole) // 10
    for at in (0, 8, 13, 30, 60, frame - 1):  # mark, checksum of the head, number, events, body
        folder = tmp_path / str(at)
        folder.mkdir()
        hurt = bytearray(whole)
        hurt[3 * frame + at] ^= 0xFF
        (folder / newest(tmp_path).name).write_bytes(hurt)
        world = World()
        with make(folder) as spool:
            drain(spool, world)
            expected = [value for value in some(50) if value not in some(5, 15)]
            assert sorted(world.values()) == expected
            assert spool.damage.events == 5
            assert spool.cursor.low == 50
            (kept,) = (folder / "damaged").iterdir()
            assert kept.read_bytes() == bytes(hurt[3 * frame : 4 * frame])


def test_a_damaged_segment_in_the_middle_does_not_keep_the_spool_from_starting(tmp_path):
    with make(tmp_path, segment_bytes=1000) as spool:
        for start in range(0, 200, 20):
            append(spool, some(20, start))
        middle = spool.segments[2]
    middle.path.write_bytes(b"\xff" * middle.path.stat().st_size)
    world = World()
    with make(tmp_path, segment_bytes=1000) as spool:
        drain(spool, world)
        lost = middle.end - middle.first
        assert spool.damage.events == lost
        assert len(world.values()) == 200 - lost
        assert append(spool, some(1, 500)) == 200


def test_a_segment_that_somebody_has_cut_or_emptied_is_reported_as_lost(tmp_path):
    with make(tmp_path, segment_bytes=1000) as spool:
        for start in range(0, 200, 20):
            append(spool, some(20, start))
        middle, other = spool.segments[1], spool.segments[3]
    middle.path.write_bytes(b"")
    other.path.unlink()
    world = World()
    with make(tmp_path, segment_bytes=1000) as spool:
        drain(spool, world)
        assert spool.damage.events == (middle.end - middle.first) + (other.end - other.first)
        assert len(world.values()) == 200 - spool.damage.events


def test_bytes_of_an_event_are_never_taken_for_a_frame(tmp_path):
    with make(tmp_path) as spool:
        append(spool, some(2))
        frame = newest(tmp_path).read_bytes()
        append(spool, [frame[8:], frame])  # as a source would that has read an older segment
        append(spool, some(2, 50))
    whole = bytearray(newest(tmp_path).read_bytes())
    whole[len(frame) + 40] ^= 0xFF
    newest(tmp_path).write_bytes(whole)
    # The mark is another in each segment, so take what a source can know: that of another segment.
    other = tmp_path / "other"
    with make(other) as spool:
        append(spool, [frame, *some(2)])
        append(spool, some(2, 50))
    data = bytearray(newest(other).read_bytes())
    data[40] ^= 0xFF
    newest(other).write_bytes(data)
    with make(other) as spool:
        assert [value for _, value in read_all(spool)] == some(2, 50)


def test_numbers_that_kafka_has_are_not_given_again_though_the_disk_has_lost_their_events(tmp_path):
    world = World()
    with make(tmp_path) as spool:
        append(spool, some(5))
        size = newest(tmp_path).stat().st_size
        append(spool, some(5, 5))
        drain(spool, world)
        assert spool.cursor.low == 10
    os.truncate(newest(tmp_path), size)  # the machine died before these bytes were on the disk; the cursor was
    with make(tmp_path) as spool:
        assert append(spool, some(3, 20)) == 10
        drain(spool, world)
        assert sorted(world.values()) == [*some(10), *some(3, 20)]
        assert spool.damage.events == 0
    with make(tmp_path) as spool:
        assert spool.next_number == 13
        assert not spool.damage.findings


def test_a_segment_that_is_wholly_torn_leaves_no_file_that_could_hide_the_next(tmp_path):
    for _ in range(10):  # whichever of two files of one number sorts first
        world = World()
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        with make(folder) as spool:
            append(spool, some(3))
        os.truncate(newest(folder), 20)
        with make(folder) as spool:
            append(spool, some(3, 3))
        with make(folder) as spool:
            drain(spool, world)
        assert sorted(world.values()) == some(3, 3)


def test_a_second_writer_is_refused_by_the_name_of_the_first(tmp_path):
    with make(tmp_path), pytest.raises(SpoolTaken, match=f"in use by process {os.getpid()} on "):
        make(tmp_path)
    make(tmp_path).close()


def test_a_writer_that_was_killed_leaves_no_lock(tmp_path):
    code = f"""
import os, signal, pathlib
from biokeel.source.spool.log import Spool
Spool(pathlib.Path({str(tmp_path)!r}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    make(tmp_path).close()


def test_a_full_spool_refuses_clearly_and_takes_nothing_of_it(tmp_path):
    with make(tmp_path, limit_bytes=4000, segment_bytes=1000) as spool:
        taken = 0
        with pytest.raises(SpoolFull, match="4000 bytes of events wait for Kafka"):  # noqa: PT012 - whichever is the last
            while True:
                append(spool, some(10, taken))
                taken += 10
        assert spool.next_number == taken > 50
        assert spool.size <= 4000
        world = World()
        drain(spool, world)
        assert append(spool, some(10, taken)) == taken
        drain(spool, world)
        assert sorted(world.values()) == some(taken + 10)


def test_who_waits_for_room_goes_on_when_kafka_has_taken_some(tmp_path):
    with make(tmp_path, limit_bytes=4000, segment_bytes=1000) as spool:
        taken = 0
        while spool.size < 3500:
            append(spool, some(10, taken))
            taken += 10
        waiting = threading.Thread(target=append, args=(spool, some(30, taken)), kwargs={"wait": 60.0})
        waiting.start()
        drain(spool, World())
        waiting.join(60)
        assert spool.next_number == taken + 30


def test_who_waits_for_room_in_vain_is_refused(tmp_path):
    with make(tmp_path, limit_bytes=600) as spool:
        append(spool, some(10))
        with pytest.raises(SpoolFull):
            append(spool, some(10), wait=0.05)


def test_more_at_once_than_the_spool_ever_takes_is_refused_at_once(tmp_path):
    with make(tmp_path) as spool, pytest.raises(SpoolFull, match="fewer"):
        append(spool, [bytes(APPEND_BYTES)], wait=60.0)


class FullDisk:
    """A disk with `left` bytes, in place of the calls that write."""

    def __init__(self, monkeypatch, left):
        self.left = left
        self._pwritev, self._pwrite, self._write = os.pwritev, os.pwrite, os.write
        monkeypatch.setattr(os, "pwritev", self.pwritev)
        monkeypatch.setattr(os, "pwrite", self.pwrite)
        monkeypatch.setattr(os, "write", self.write)

    def _room(self, size):
        if not self.left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = min(size, self.left)
        self.left -= taken
        return taken

    def pwritev(self, handle, parts, offset):
        data = b"".join(parts)
        return self._pwrite(handle, data[: self._room(len(data))], offset)

    def pwrite(self, handle, data, offset):
        return self._pwrite(handle, data[: self._room(len(data))], offset)

    def write(self, handle, data):
        return self._write(handle, data[: self._room(len(data))])


def test_a_disk_that_runs_full_in_the_middle_of_an_event_takes_nothing_of_it_and_says_what_to_do(tmp_path, monkeypatch):
    for left in (0, 1, 20, 70, 130):
        with make(tmp_path / str(left)) as spool:
            append(spool, some(3))
            size = newest(spool.folder).stat().st_size
            with monkeypatch.context() as patch:
                disk = FullDisk(patch, left)
                with pytest.raises(SpoolFull, match="disk of the spool") as refusal:
                    append(spool, some(30, 3))
                assert "Make room" in refusal.value.todo
                assert newest(spool.folder).stat().st_size == size
                disk.left = 10_000
                assert append(spool, some(30, 3)) == 3
            assert [value for _, value in read_all(spool)] == some(33)


def test_a_full_disk_lets_everything_out_and_draining_makes_room(tmp_path, monkeypatch):
    world = World()
    with make(tmp_path, segment_bytes=1000, keep_bytes=0) as spool:
        for start in range(0, 200, 20):
            append(spool, some(20, start))
        FullDisk(monkeypatch, 0)
        drain(spool, world)
        assert sorted(world.values()) == some(200)
        assert len(list(tmp_path.glob("*.log"))) == 1
    with make(tmp_path, segment_bytes=1000, keep_bytes=0) as spool:  # the cursor could not be written
        drain(spool, world)
        assert set(world.values()) == set(some(200))
        assert len(world.values()) <= 240  # one segment twice


def test_a_small_file_system_fills_and_is_drained(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "spool", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a file system")
    try:
        world = World()
        with make(disk, segment_bytes=16_384, keep_bytes=0, sync=True) as spool:
            taken = 0
            for _ in range(3):
                with pytest.raises(SpoolFull):  # noqa: PT012 - whichever is the last
                    while True:
                        append(spool, some(100, taken))
                        taken += 100
                drain(spool, world)
            assert sorted(world.values()) == some(taken)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_damaged_cursor_costs_repeats_and_no_event(tmp_path):
    world = World()
    with make(tmp_path) as spool:
        append(spool, some(50))
        drain(spool, world)
        append(spool, some(50, 50))
    text = (tmp_path / cursors.FILE).read_bytes()
    (tmp_path / cursors.FILE).write_bytes(text.replace(b"50", b"99"))
    with make(tmp_path) as spool:
        assert "sent once more" in spool.damage.findings[0]
        drain(spool, world)
    assert set(world.values()) == set(some(100))


def test_no_clock_of_the_wall_decides_anything(tmp_path, monkeypatch):
    def stopped():
        raise AssertionError("it looked at the clock of the wall")

    monkeypatch.setattr(time, "time", stopped)
    monkeypatch.setattr(time, "time_ns", stopped)
    world = World()
    with make(tmp_path, segment_bytes=1000, keep_bytes=2000) as spool:
        for start in range(0, 200, 20):
            append(spool, some(20, start))
        drain(spool, world)
    with make(tmp_path, keep_bytes=0) as spool:
        append(spool, some(20, 200))
        drain(spool, world)
    assert sorted(world.values()) == some(220)


def test_files_of_another_time_than_now_are_read_all_the_same(tmp_path):
    with make(tmp_path, segment_bytes=1000) as spool:
        for start in range(0, 200, 20):
            append(spool, some(20, start))
    for number, path in enumerate(sorted(tmp_path.glob("*.log"))):
        os.utime(path, (10**9 * (number % 3), 10**9 * (number % 5)))
    world = World()
    with make(tmp_path) as spool:
        drain(spool, world)
    assert sorted(world.values()) == some(200)


def test_one_sync_serves_all_that_append_meanwhile(tmp_path, monkeypatch):
    synced = []
    real = os.fdatasync

    def slow(handle):
        time.sleep(0.02)  # so that the others append meanwhile
        synced.append(handle)
        real(handle)

    monkeypatch.setattr(os, "fdatasync", slow)
    with make(tmp_path, sync=True) as spool:
        senders = [threading.Thread(target=append, args=(spool, some(1, number))) for number in range(40)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        assert len(synced) < 20
        assert sorted(value for _, value in read_all(spool)) == some(40)


def test_a_disk_that_fails_is_an_error_that_says_so(tmp_path, monkeypatch):
    with make(tmp_path) as spool:
        append(spool, some(1))

        def broken(*_args):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", broken)
            with pytest.raises(SpoolError, match="fails: Input/output error"):
                spool.flush()
        spool.flush()
    file = tmp_path / "file"
    file.write_text("", "utf-8")
    with pytest.raises(SpoolError, match="cannot be used"):
        make(file)


def test_nobody_else_may_read_the_spool(tmp_path):
    with make(tmp_path / "spool") as spool:
        append(spool, some(3))
        drain(spool, World())
    folder = tmp_path / "spool"
    assert folder.stat().st_mode & 0o077 == 0
    assert [path for path in folder.rglob("*") if path.stat().st_mode & 0o077] == []


def test_the_newest_segment_alone_is_read_at_start(tmp_path, monkeypatch):
    with make(tmp_path, segment_bytes=1000) as spool:
        for start in range(0, 200, 20):
            append(spool, some(20, start))
    read = []
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path.suffix) or real(path))
    make(tmp_path).close()
    assert read.count(".log") == 1


def test_topics_have_their_names_in_the_frames(tmp_path):
    with make(tmp_path) as spool:
        append(spool, some(3), topic="test.가나다")
        (events,) = Reader(spool, 0).read(10)
        assert events.topic == "test.가나다" != TOPIC
