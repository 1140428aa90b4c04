"""Workers die by SIGKILL, at every named point and at random: every raw event still ends in exactly one place."""

import os
import random
import subprocess
import sys
import time

import pytest

from biokeel.console.books import Bookkeeper
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.topics import Zone
from biokeel.source.client import Publisher
from biokeel.stack.stack import Stack
from biokeel.testing.crash import POINTS, VARIABLE
from tests.faults.traffic import PRESSURE, send, send_late

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(900)]

KINDS = ("pseudonymise", "curate")


class World:
    """A stack without workers of its own; the tests start and kill them."""

    def __init__(self, stack, folder):
        self.stack = stack
        self.folder = folder
        settings = stack.settings(Zone.VAULT)
        catalogue = DirectoryCatalogue(settings.schemas_dir)
        self.schema = catalogue.reader(PRESSURE).schema
        self.publisher = Publisher(settings, catalogue)
        self.bookkeeper = Bookkeeper.of(stack.state_dir)
        self.running = {}
        self.sent = 0

    def start(self, kind, **environment):
        own = {
            "BIOKEEL_STATE_DIR": str(self.stack.state_dir),
            "BIOKEEL_FLUSH_SECONDS": "1",
            "BIOKEEL_FLUSH_ROWS": "300",
            "BIOKEEL_MICRO_BATCH_ROWS": "200",
        }
        with (self.folder / f"{kind}.log").open("ab") as log:
            self.running[kind] = subprocess.Popen(
                [sys.executable, "-m", "biokeel", "worker", kind],
                env=os.environ | own | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def end(self, kind):
        """Stop in order, so that the next one need not wait for Kafka to notice."""
        if kind in self.running:
            self.running[kind].terminate()
            assert self.running.pop(kind).wait(60) == 0

    def kill(self, kind):
        self.running[kind].kill()
        self.running.pop(kind).wait()

    def ensure(self, kind):
        if kind not in self.running or self.running[kind].poll() is not None:
            self.start(kind)

    def send(self, tag, rows=2000):
        self.sent += send(self.publisher, self.schema, tag, rows)

    def send_late(self, tag):
        self.sent += send_late(self.publisher, tag)

    def until_parked(self, seconds=90):
        deadline = time.monotonic() + seconds
        while not self.bookkeeper.look().total("parked"):
            assert time.monotonic() < deadline, "nothing was parked"

    def settled(self, seconds=120):
        """The books once nothing is missing or parked any more; the last ones where that takes too long."""
        deadline = time.monotonic() + seconds
        while True:
            books = self.bookkeeper.look()
            whole = books.total("raw") == self.sent and books.balanced and not books.total("parked")
            if whole or time.monotonic() > deadline:
                return books
            time.sleep(0.5)

    def stop(self):
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            process.wait(60)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with Stack.start(tmp_path_factory.mktemp("kill")) as stack:
        made = World(stack, tmp_path_factory.mktemp("logs"))
        try:
            yield made
        finally:
            made.stop()


def check(world):
    books = world.settled()
    assert books.total("raw") == world.sent
    assert books.balanced, books.as_json()
    assert books.total("parked") == 0
    assert min(books.total(place) for place in ("curated", "quarantined", "sealed", "applied")) > 0


@pytest.mark.parametrize("point", POINTS)
def test_a_death_at_a_named_point_loses_and_doubles_nothing(world, point):
    kind = point.split(".")[0]
    other = next(each for each in KINDS if each != kind)
    world.end(kind)
    world.ensure(other)
    tag = point.replace(".", "-").replace("_", "-") + "-"
    world.send(tag)
    world.start(kind, **{VARIABLE: point})
    if "release" in point:
        world.until_parked()
    world.send_late(tag)
    assert world.running[kind].wait(90) == -9, f"the worker never died at {point}"
    world.start(kind)
    check(world)


def test_deaths_at_random_while_events_flow_lose_and_double_nothing(world):
    rng = random.Random(6)
    for kind in KINDS:
        world.ensure(kind)
    for number in range(6):
        tag = f"random-{number}-"
        world.send(tag, rows=4000)
        time.sleep(rng.uniform(0.5, 4))
        world.kill(KINDS[number % 2])
        world.start(KINDS[number % 2])
        world.send_late(tag)
    check(world)
