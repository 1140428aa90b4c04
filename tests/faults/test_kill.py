"""Workers die by SIGKILL, at every named point and at random: every raw event still ends in exactly one place."""

import random
import time

import pytest

from biokeel.testing.crash import POINTS
from tests.faults.world import KINDS, PATIENCE

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(900)]

SEED = 6
ROUNDS = 3
SHORT_KILLS, LONG_KILLS = 4, 20


def test_deaths_at_every_point_while_events_flow_lose_and_double_nothing(world):
    """Each kind of worker dies at one of its points after the other, both at the same time, each point once."""
    experiment = world.experiment("SIGKILL at each point, events flowing")
    left = {f"{kind}-1": [point for point in POINTS if point.startswith(kind)] for kind in KINDS}
    for name, points in left.items():
        world.end(name)
        world.start(name, points[0])
    next_events = time.monotonic()
    experiment.died_at = next_events
    while any(left.values()):
        waited = time.monotonic() - experiment.died_at
        assert waited < PATIENCE, f"never reached: {[points[0] for points in left.values() if points]}"
        if time.monotonic() >= next_events:
            world.send(rows=400)
            next_events = time.monotonic() + 1.0
        for name, points in left.items():
            if points and world.died(name):
                experiment.death()
                points.pop(0)
                world.start(name, points[0] if points else "")
        time.sleep(0.05)
    world.send_late()
    experiment.recovered()


def test_deaths_at_random_while_events_flow_lose_and_double_nothing(world, long_run):
    rng = random.Random(SEED)
    names = [f"{kind}-{number}" for kind in KINDS for number in (range(1, 3) if long_run else (1,))]
    experiment = world.experiment(f"SIGKILL at random, {len(names)} workers, seed {SEED}")
    for name in names:
        world.ensure(name)
    for number in range(LONG_KILLS if long_run else SHORT_KILLS):
        world.send(rows=2000)
        time.sleep(rng.uniform(0.2, 3))
        name = names[number % len(names)]
        world.kill(name)
        experiment.death()
        world.start(name)
    world.send_late()
    experiment.recovered()
    for name in names:
        if not name.endswith("-1"):
            world.end(name)


@pytest.mark.long
@pytest.mark.parametrize("point", POINTS)
def test_a_death_at_a_named_point_loses_and_doubles_nothing(world, point):
    """One point alone, at the first, second and third time that it is passed, so that a failure says which."""
    experiment = world.experiment(f"SIGKILL at {point}")
    name = f"{point.split('.')[0]}-1"
    for number in range(1, ROUNDS + 1):
        world.end(name)
        world.start(name, f"{point}:{number}")
        for kind in KINDS:
            world.ensure(f"{kind}-1")
        deadline = time.monotonic() + PATIENCE
        while not world.died(name):
            assert time.monotonic() < deadline, f"the worker never died at {point}"
            world.send(rows=400)
            time.sleep(1.0)
        experiment.death()
        world.start(name)
        world.send_late()
        experiment.recovered()
