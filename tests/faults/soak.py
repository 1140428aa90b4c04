"""Events at full speed for long, with a crash a minute: memory flat, files flat, lag back to nothing."""

import statistics
import time
from collections import defaultdict

import psutil

from biokeel.contracts.topics import Zone
from tests.faults.plan import Length, experiment
from tests.faults.proofs import open_files, resident
from tests.faults.world import KINDS

CHUNK = 50_000
BETWEEN_CRASHES = {Length.SCALED: 20.0, Length.FULL: 60.0}
YOUNG_SECONDS = 10.0
"""A worker younger than this is still filling its buffers: its memory says nothing."""
SAMPLES = 24
"""Looks, some seconds apart, that say whether a process grows."""
LAG_SECONDS = 1800.0


@experiment("soak at full speed with a crash a minute", full=1, seconds=200, limit=7200, supervised=True, proof=False)
def soak(run):
    wanted = 10_000_000 if run.length is Length.FULL else run.options["soak"]
    run.record.notes.append(f"{wanted:,} of 10,000,000 events, a crash every {BETWEEN_CRASHES[run.length]:.0f} s")
    world = run.fresh_world(environment={}, remembers=False)
    direct = world.stack.settings(Zone.RESEARCH)
    world.environment |= {"BIOKEEL_KAFKA_BOOTSTRAP": direct.kafka_bootstrap, "BIOKEEL_S3_ENDPOINT": direct.s3_endpoint}
    world.ensure()
    names = [f"{kind}-1" for kind in KINDS]
    samples = defaultdict(list)
    began = crashed = time.monotonic()
    crashes = 0
    while world.sent < wanted or world.bookkeeper.look().total("missing") > CHUNK:
        if world.sent < wanted:
            world.enrol(world.publish(CHUNK, late=0.02), range(20))
            published = time.monotonic() - began
        world.watch(supervised=True)
        for name in names:
            sample(world, name, samples)
        if time.monotonic() - crashed > BETWEEN_CRASHES[run.length]:
            name = names[world.sent < wanted / 2]  # so that the other one's memory is seen over half of the time
            world.kill(name)
            world.start(name)
            crashed = time.monotonic()
            crashes += 1
        time.sleep(1)
    run.harmed()
    run.recovered(world, LAG_SECONDS)
    run.record.events += world.sent
    run.record.restarts += world.restarts
    rate = world.sent / (time.monotonic() - began)
    run.record.notes.append(
        f"published in {published:.0f} s; landed at {rate:,.0f} events/s, {crashes} crashes and the last flush included"
    )
    for name in names:
        flat(run, name, max((found for (of, _), found in samples.items() if of == name), key=len, default=[]))


def sample(world, name, samples):
    """Memory (MiB) and open files of a worker that is no longer young; of each process by itself."""
    process = psutil.Process(world.running[name].pid)
    if process.is_running() and process.status() != "zombie" and time.time() - process.create_time() > YOUNG_SECONDS:
        samples[name, process.pid].append((resident(process.pid), open_files(process.pid)))


def flat(run, name, samples):
    """In the process that lived longest the last quarter of `samples` is no higher than the second, but for a little.

    The little: rows that wait to land, and connections to the store that come and go.
    """
    if len(samples) < SAMPLES:
        run.record.notes.append(f"{name}: only {len(samples)} samples; whether memory is flat was not seen")
        return
    part = len(samples) // 4
    for what, at, room in (("MiB", 0, 100), ("open files", 1, 40)):
        early, last = (
            statistics.median(each[at] for each in some) for some in (samples[part : 2 * part], samples[-part:])
        )
        highest = max(each[at] for each in samples)
        run.record.notes.append(
            f"{name}, one process, {len(samples)} looks: {early:.0f} {what} early, {last:.0f} late, {highest} at most"
        )
        assert last <= early * 1.1 + room, f"{name} grew from {early:.0f} to {last:.0f} {what}"
