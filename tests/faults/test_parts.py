"""Kafka and the object store are killed and come back: workers wait or start anew, and nothing is lost or doubled."""

import time

import pytest

from tests.faults.world import KINDS

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(900)]


@pytest.mark.parametrize("part", ["objectstore", "kafka"])
def test_a_part_that_is_killed_and_comes_back_costs_no_event(world, part, long_run):
    experiment = world.experiment(f"SIGKILL of {part}, 2 s away", supervised=True)
    for _ in range(5 if long_run else 1):
        for kind in KINDS:
            world.ensure(f"{kind}-1")
        world.send(rows=2000)
        time.sleep(0.5)
        world.stack.kill(part)
        experiment.death()
        time.sleep(2)
        world.stack.restart(part)
        world.send(rows=2000)
        world.send_late()
        experiment.recovered()
