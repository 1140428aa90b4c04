"""Disks run full under the vault, the broker and the object store, and are freed again.

Each is a file system of its own in memory, and full by a ballast file that takes all that is free.
"""

import errno
import os
import subprocess
import time
from pathlib import Path

from confluent_kafka import Producer

from biokeel.contracts.topics import Zone
from biokeel.testing.events import SOURCE
from tests.faults.plan import Blocked, experiment
from tests.faults.traffic import PRESSURE

SIZE = 512 << 20
MARK = "biokeel-faults-"
FULL_SECONDS = 12.0
ATTEMPTS = 300


class Disk:
    """A small file system at `path`, a context manager; `fill` leaves it without a block, `free` gives them back."""

    def __init__(self, path):
        self.path = path
        self._ballast = path / "ballast"

    def __enter__(self):
        clear_up()
        self.path.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", f"{MARK}{os.getpid()}", str(self.path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Blocked(f"this user may not mount a tmpfs ({done.stderr.strip().rpartition(':')[2].strip()})")
        return self

    def __exit__(self, *_error):
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)

    def fill(self):
        """Take every free block."""
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(1 << 20)):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def free(self):
        self._ballast.unlink(missing_ok=True)


def clear_up():
    """Unmount what a process that was killed has left mounted."""
    for line in Path("/proc/mounts").read_text("utf-8").splitlines():
        name, path = line.split()[:2]
        if name.startswith(MARK) and not Path("/proc", name.removeprefix(MARK)).exists():
            subprocess.run(["umount", "--lazy", path], check=True)


@experiment("disk full under the vault, then freed", full=1, seconds=50, supervised=True, proof=False)
def full_vault(run):
    world, disk = world_on(run, "vault")
    disk.fill()
    world.publish(1500)
    world.publisher.publish_raw(PRESSURE, [b"to be sealed"] * 50)
    world.sent += 50
    world.live(FULL_SECONDS)
    assert world.bookkeeper.look().total("missing"), "the disk was not full enough to stop anything"
    freed(run, world, disk)


@experiment("disk full under the object store, then freed", full=1, seconds=60, supervised=True, proof=False)
def full_store(run):
    world, disk = world_on(run, "objects/data")
    disk.fill()
    world.live(FULL_SECONDS, rows=800, every=3)
    world.live(FULL_SECONDS / 2)  # on a disk with room all would have landed by now
    assert world.bookkeeper.look().total("missing"), "the disk was not full enough to stop anything"
    assert not world.restarts, "a worker that holds rows is to wait for the store"
    freed(run, world, disk)


@experiment("disk full under the broker, then freed", full=1, seconds=60, supervised=True, proof=False)
def full_broker(run):
    """Blocks and offsets cannot be written; what a source was told is kept must be there afterwards."""
    world, disk = world_on(run, "kafka/data")
    world.end("pseudonymise-1")
    world.publish(3000)
    world.start("pseudonymise-1")
    kept = acknowledged(world, disk)
    world.live(FULL_SECONDS)
    disk.free()
    world.stack.restart("kafka")
    sent, world.sent = (
        world.sent,
        sum(high - low for of in world.bookkeeper.watermarks().values() for low, high in of.values()),
    )
    assert kept < ATTEMPTS, "the disk was not full"
    assert sent + kept <= world.sent <= sent + ATTEMPTS, f"{kept} acknowledged, {world.sent - sent} kept"
    run.record.notes.append(
        f"on the full disk {kept} of {ATTEMPTS} messages were acknowledged, {world.sent - sent} kept"
    )
    freed(run, world, disk)


def world_on(run, folder):
    """A world of which `folder` is a disk of its own, and the disk."""
    disk = None

    def before(state):
        nonlocal disk
        disk = Disk(state / folder)
        return [disk]

    world = run.fresh_world(before=before)
    world.ensure()
    world.send(rows=500)
    world.settled()  # both workers hold partitions: it is not their start that is tried here
    run.record.events -= world.sent
    return world, disk


def freed(run, world, disk):
    disk.free()
    run.harmed()
    tags = range(1, world.tags + 1)
    for number in tags:
        world.enrol(f"late{number}-", range(20))
    world.late = None
    world.publish(200, late=0)
    run.recovered(world)
    run.record.events += world.sent
    run.record.restarts += world.restarts


def acknowledged(world, disk):
    """Fill the disk amid so many messages of some kilobytes each, and return how many the broker said that it keeps."""
    settings = world.stack.settings(Zone.VAULT)
    producer = Producer({**settings.kafka_client(), "message.timeout.ms": 8000, "acks": "all"})
    kept = 0

    def delivered(error, _message):
        nonlocal kept
        kept += error is None

    for number in range(ATTEMPTS):
        if number == ATTEMPTS // 3:
            disk.fill()
        producer.produce(PRESSURE.raw_topic(SOURCE), os.urandom(8192), partition=2, on_delivery=delivered)
        producer.poll(0)
        time.sleep(0.005)
    producer.flush(20)
    return kept
