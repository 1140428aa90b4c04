"""Kafka dies, hangs, is cut off, loses answers, and refuses one message for long."""

import os
import signal
import time

from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from biokeel.engine.watermarks import pseudo_watermarks
from biokeel.stack.users import User
from tests.faults.plan import experiment
from tests.faults.traffic import PRESSURE
from tests.faults.world import KINDS


@experiment("SIGKILL of the broker, some seconds away", full=20, quick=1, seconds=18, supervised=True)
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
    lost = [proxy.fault(f"^{what}$", share=0.3, lose=True) for what in ("Produce", "OffsetCommit")]
    proxy.fault("^(Heartbeat|JoinGroup)$", share=0.3, lose=True)
    proxy.fault("", share=0.1, delay=0.3)
    proxy.rate = 2_000_000
    rounds, began = 3, time.monotonic()
    while rounds > 0 or not all(
        each.hits for each in lost
    ):  # workers that have just been started need a while to ask for anything
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

    Kafka refuses, in the first run, every block of one pseudo topic for want of replicas, which is worth a retry; in
    the second, blocks above a size that small ones stay below, which is none. No later row may pass an earlier one.
    """
    world = run.world
    world.settled()
    settings = world.stack.settings(User.OPERATOR)
    before = sum(high for _, high in pseudo_watermarks(settings, [PRESSURE])[PRESSURE].values())
    restarts = world.restarts
    name, value = (("min.insync.replicas", "2"), ("max.message.bytes", "2500"))[run.number % 2]
    configure(world, name, value)
    try:
        until = time.monotonic() + run.lasting(40, 600)
        while time.monotonic() < until:
            world.publish(run.rng.choice([1, 2, 3, 400, 900]))
            world.others(50)
            world.live(run.rng.uniform(0.5, 2))
        through = sum(high for _, high in pseudo_watermarks(settings, [PRESSURE])[PRESSURE].values()) - before
        assert world.restarts > restarts if run.number % 2 else not through, f"{through} blocks came through"
    finally:
        configure(world, name, None)
    run.harmed()
    for number in range(1, world.tags + 1):
        world.enrol(f"late{number}-", range(20))


def configure(world, name, value):
    """Set a configuration of the pseudo topic of blood pressures, or take it back."""
    how = AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
    entry = ConfigEntry(name, value or "", incremental_operation=how)
    if value is None and name == "max.message.bytes":
        entry = ConfigEntry(name, str(16 << 20), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, PRESSURE.pseudo_topic, incremental_configs=[entry])
    admin = world.stack.admin()
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)
