"""Two workers of each kind: one joins, leaves, dies, or sleeps past its session and wakes up as a zombie."""

import time

from biokeel.engine.kafka.groups import SESSION_SECONDS
from biokeel.observe.metrics import Edge
from biokeel.observe.stats import collect
from tests.faults.plan import experiment
from tests.faults.traffic import PRESSURE
from tests.faults.world import KINDS, PATIENCE

NAMES = tuple(f"{kind}-{number}" for kind in KINDS for number in (1, 2))
ASLEEP_SECONDS = SESSION_SECONDS + 4
ROWS = 400


@experiment("a second worker joins and leaves", full=1, seconds=22, supervised=True)
def joins_and_leaves(run):
    world, kind = run.world, run.rng.choice(KINDS)
    world.send(rows=800)
    world.start(f"{kind}-2")
    world.await_members(kind, f"{kind}-1", f"{kind}-2")
    world.live(1, rows=500)
    world.end(f"{kind}-2")
    run.harmed()
    world.send(rows=300)


@experiment("told to stop, a worker lands what nothing else would land", full=5, seconds=14)
def stop_lands(run):
    """Its buffers are never full or old, so what is in the tables when it has ended is there because it was stopped."""
    world = run.world
    world.settled()
    world.end("curate-1")
    world.start("curate-1", BIOKEEL_FLUSH_SECONDS="100000", BIOKEEL_FLUSH_ROWS="1000000")
    world.publish(ROWS, late=0)
    until = time.monotonic() + PATIENCE
    while collect(world.stack.state_dir).total(Edge.READ_PSEUDO, PRESSURE) < ROWS:
        assert time.monotonic() < until, "curate has not read what it is to land"
        world.watch(supervised=False)
        time.sleep(0.2)
    held = world.bookkeeper.look().total("missing")
    assert held == ROWS, f"{held} of {ROWS} rows wait for the stop"
    world.end("curate-1")
    run.harmed()
    missing = world.bookkeeper.look().total("missing")
    assert not missing, f"{missing} rows were left behind"
    world.start("curate-1")


@experiment("two of each kind: joins, leaves, sleeps past its session", full=30, least=5, seconds=34, supervised=True)
def membership(run):
    """A worker that has a name keeps its place for a session's time; the other one has it all after that."""
    world = run.world
    world.ensure(*NAMES)
    for kind in KINDS:
        world.await_members(kind, *(each for each in NAMES if each.startswith(kind)))
    world.send(rows=600)
    name = run.rng.choice(NAMES)
    kind, _, number = name.partition("-")
    heir, third = f"{kind}-{3 - int(number)}", f"{kind}-3"
    what = ("sleeps", "leaves", "joins", "sleeps", "dies")[run.number % 5]
    if what == "joins":
        world.start(third)
        world.await_members(kind, name, heir, third)
        world.live(1, rows=600)
        world.end(third)
    elif what == "sleeps":
        world.pause(name)
        try:
            world.live(ASLEEP_SECONDS, rows=600, every=3)
            world.await_members(kind, heir)
        finally:
            world.go_on(name)
    else:
        world.end(name) if what == "leaves" else world.kill(name)
        world.live(1, rows=600)
        world.await_members(kind, heir)
        world.start(name)
    run.harmed()
    world.send(rows=400)
    time.sleep(1)
