"""Kafka dies, hangs, is cut off, loses answers, and refuses one message for long."""

import os
import signal
import time

from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from biokeel.admin.users import User
from biokeel.engine.kafka.watermarks import pseudo_watermarks
from tests.faults.plan import experiment
from tests.faults.traffic import GLUCOSE, PRESSURE
from tests.faults.world import KINDS


@experiment("SIGKILL of the broker, some seconds away", full=20, seconds=18, supervised=True)
def broker_killed(run):
    run.without("kafka", 0.5, 4)


@experiment("SIGSTOP of the broker for 60 s", full=2, least=2, seconds=90, supervised=True)
def broker_stopped(run):
    """In the first run while workers start, if they are the world's first; then while they hold partitions."""
    world = run.world
    if run.number:
        world.settled()
    world.send(rows=1500)
    time.sleep(run.rng.uniform(0.1, 1))
    pid = world.stack.pid("kafka")
    os.kill(pid, signal.SIGSTOP)
    try:
        world.live(60)
    finally:
        os.kill(pid, signal.SIGCONT)
    run.harmed()
    world.send(rows=500)


@experiment("both workers killed during a broker restart", full=20, seconds=20, supervised=True)
def workers_during_a_restart(run):
    world = run.world
    world.send(rows=1500)
    time.sleep(run.rng.uniform(0.1, 2))
    world.stack.kill("kafka")
    for kind in KINDS:
        world.kill(f"{kind}-1")
        world.start(f"{kind}-1")
        world.live(run.rng.uniform(0, 2))
    world.stack.restart("kafka")
    run.harmed()
    world.send(rows=500)


@experiment("Kafka's connections cut, answers lost, slow", full=20, seconds=17, supervised=True)
def bad_network(run):
    """Produced blocks whose acknowledgement is lost are sent again by librdkafka; so are commits of offsets."""
    world, proxy = run.world, run.world.kafka
    lost = [proxy.fault(f"^{what}", share=0.3, lose=True) for what in ("Produce", "OffsetCommit")]
    proxy.fault("^(Heartbeat|JoinGroup)$", share=0.3, lose=True)
    proxy.fault("", share=0.1, delay=0.3)
    proxy.rate = 2_000_000
    rounds, began = 3, time.monotonic()
    # Workers that have just been started need a while to ask for anything.
    while rounds > 0 or not all(each.hits for each in lost):
        assert time.monotonic() - began < 90, "no answer was there to be lost"
        world.live(run.rng.uniform(0.5, 2), rows=500)
        proxy.cut()
        rounds -= 1
    proxy.heal()
    run.harmed()


@experiment(
    "one message is undeliverable for long, others are not", full=2, least=2, seconds=75, limit=900, supervised=True
)
def undeliverable(run):
    """Ten minutes (40 s where runs are scaled): all of one topic and nothing of another, then only what is large of it.

    In the first run no block of one pseudo topic reaches Kafka, which is worth a retry; in the second it refuses blocks
    above a size that small ones stay below, which is none. No later row may pass an earlier one.
    """
    world = run.world
    world.settled()
    restarts, before = world.restarts, blocks(world)
    too_large = run.number % 2
    stopped = None
    if too_large:
        limit_blocks(world, 2500)
    else:
        stopped = world.kafka.fault(f"^Produce {PRESSURE.pseudo_topic}$", drop=True)
    try:
        until = time.monotonic() + run.lasting(40, 600)
        while time.monotonic() < until:
            world.publish(run.rng.choice([1, 2, 3, 400, 900]))
            world.others(50)
            world.live(run.rng.uniform(0.5, 2))
            if stopped is not None:
                world.kafka.cut()  # what was never answered is tried again
        came = {event: after - before[event] for event, after in blocks(world).items()}
        assert came[GLUCOSE], "no block of the other topic came through"
        assert stopped is None or (stopped.hits and not came[PRESSURE]), f"{came[PRESSURE]} blocks came through"
        assert stopped is not None or world.restarts > restarts, "nothing was refused"
    finally:
        world.kafka.heal()
        limit_blocks(world, 16 << 20)
    run.harmed()
    for number in range(1, world.tags + 1):
        world.enrol(f"late{number}-", range(20))


def blocks(world):
    """How many messages lie in the two pseudo topics."""
    settings = world.stack.settings(User.OPERATOR)
    return {
        event: sum(high for _, high in pseudo_watermarks(settings, event).values()) for event in (PRESSURE, GLUCOSE)
    }


def limit_blocks(world, size):
    """Let the pseudo topic of blood pressures take no batch above `size` bytes."""
    entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, PRESSURE.pseudo_topic, incremental_configs=[entry])
    admin = world.stack.admin()
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)
