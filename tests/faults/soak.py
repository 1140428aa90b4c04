"""Events at full speed for long, with a crash a minute: memory flat, files flat, lag back to nothing."""

import statistics
import time
from collections import defaultdict
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from biokeel.contracts.topics import RAW, Zone
from biokeel.engine.pseudonymise import GROUP
from biokeel.observe.metrics import Edge
from biokeel.observe.stats import collect
from tests.faults.plan import Length, experiment
from tests.faults.proofs import open_files, resident
from tests.faults.traffic import PRESSURE
from tests.faults.world import KINDS

CHUNK = 50_000
AHEAD = 4 * CHUNK
"""Events that may wait for the pseudonymiser: workers never run dry, and are not left behind by what is published."""
BETWEEN_CRASHES = {Length.SCALED: 20.0, Length.FULL: 60.0}
"""Seconds after which a worker is killed, counted from when it has done `CHUNK` events for good: on a busy machine it
may take as long before it begins, and must get on all the same."""
READ = {"pseudonymise": {Edge.READ_RAW}, "curate": {Edge.READ_PSEUDO}}
DONE = {
    "pseudonymise": {Edge.PSEUDONYMISED, Edge.PARKED, Edge.SEALED},
    "curate": {Edge.CURATED, Edge.QUARANTINED, Edge.REPEATED},
}
YOUNG = (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS)
"""What a broker says of a group that nobody has asked about yet."""
WARM = 100_000
"""Events that a process has read before its memory says anything: it imports, recovers and fills its buffers first."""
LOOKS = 3
"""At least so many in each of the two parts that are compared."""
LAG_SECONDS = 1800.0


class Look(NamedTuple):
    """At a worker that works: how many events it has read since its start, its memory and its open files."""

    read: int
    mib: int
    files: int


@experiment("soak at full speed with a crash a minute", full=1, seconds=200, limit=7200, supervised=True, proof=False)
def soak(run):
    wanted = 10_000_000 if run.length is Length.FULL else run.options["soak"]
    run.record.notes.append(f"{wanted:,} of 10,000,000 events, a crash every {BETWEEN_CRASHES[run.length]:.0f} s")
    # Small buffers, which fill and empty all the time: so each part that is compared has some of each.
    world = run.fresh_world(environment={"BIOKEEL_FLUSH_ROWS": str(CHUNK)}, remembers=False)
    direct = world.stack.settings(Zone.RESEARCH)
    world.environment |= {"BIOKEEL_KAFKA_BOOTSTRAP": direct.kafka_bootstrap, "BIOKEEL_S3_ENDPOINT": direct.s3_endpoint}
    world.ensure()
    names = [f"{kind}-1" for kind in KINDS]
    looks, worked, crashes = defaultdict(list), {}, 0
    began = time.monotonic()
    while world.sent < wanted or world.bookkeeper.look().total("missing") > CHUNK:
        if world.sent < wanted and waiting(world) < AHEAD:
            world.enrol(world.publish(CHUNK, late=0.02), range(20))
            published = time.monotonic() - began
        world.watch(supervised=True)
        look(world, looks, worked)
        name = names[world.sent < wanted / 2]  # so that the other one's memory is seen over half of the time
        pid = world.running[name].pid
        if time.monotonic() - worked.get(pid, time.monotonic()) > BETWEEN_CRASHES[run.length]:
            world.kill(name)
            world.start(name)
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
    for kind in KINDS:
        mine = [found for (of, _), found in looks.items() if of == kind]
        flat(run, kind, max(mine, key=lambda found: found[-1].read - found[0].read, default=[]))


def waiting(world):
    """Events in the raw topics that the vault's group has not read."""
    consumer = Consumer(world.stack.settings(Zone.VAULT).kafka_client() | {"group.id": GROUP})
    try:
        topics = consumer.list_topics(timeout=30).topics
        raw = [topic for topic in topics if topic.startswith(RAW) and topic.endswith(f".{PRESSURE}")]
        partitions = [TopicPartition(topic, each) for topic in raw for each in topics[topic].partitions]
        read = sum(max(each.offset, 0) for each in consumer.committed(partitions, 30))
        return sum(consumer.get_watermark_offsets(each, 30)[1] for each in partitions) - read
    except KafkaException as error:
        if error.args[0].code() not in YOUNG:
            raise
        return AHEAD
    finally:
        consumer.close()


def look(world, looks, worked):
    """Look at each worker that has read something since it was looked at last; of each process by itself.

    `worked` notes since when a process has done its share before it may be killed.
    """
    said = collect(world.stack.state_dir)
    for run in said.workers:
        read, done = (
            sum(n for tally, n in said.events.items() if tally.process == run and tally.edge in edges[run.worker])
            for edges in (READ, DONE)
        )
        if done >= CHUNK:
            worked.setdefault(run.pid, time.monotonic())
        mine = looks[run.worker, run.pid]
        if read > max(WARM, mine[-1].read if mine else 0):
            mine.append(Look(read, resident(run.pid), open_files(run.pid)))


def flat(run, kind, looks):
    """Of the process that was seen to read most: over the later half of these events it is no bigger than over the
    first, but for a little: rows that wait to land, and connections to the store that come and go.

    It works all the while. One that starts or waits has little memory, one that works has its buffers: to compare these
    two says how busy the machine was.
    """
    middle = (looks[0].read + looks[-1].read) / 2 if looks else 0
    early = [each for each in looks if each.read <= middle]
    late = [each for each in looks if each.read > middle]
    if min(len(early), len(late)) < LOOKS:
        run.record.notes.append(f"{kind}: only {len(looks)} looks; whether memory is flat was not seen")
        return
    for what, room in (("mib", 100), ("files", 40)):
        before, after = (statistics.median(getattr(each, what) for each in some) for some in (early, late))
        highest = max(getattr(each, what) for each in looks)
        run.record.notes.append(
            f"{kind}, one process, {len(looks)} looks from {looks[0].read:,} to {looks[-1].read:,} events read: "
            f"{before:.0f} {what} early, {after:.0f} late, {highest} at most"
        )
        assert after <= before * 1.1 + room, f"{kind} grew from {before:.0f} to {after:.0f} {what}"
