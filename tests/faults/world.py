"""A stack whose workers the experiments start and kill, the events that flow, and the table that is printed."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

from biokeel.console.books import Bookkeeper
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.topics import Zone
from biokeel.source.client import Publisher
from biokeel.testing.crash import VARIABLE
from tests.faults.traffic import PRESSURE, send, send_late

KINDS = ("pseudonymise", "curate")
PATIENCE = 120.0
EXPERIMENTS = []
"""Every experiment of this run, for the table at its end."""


@dataclass
class Experiment:
    """One experiment and what it came to. `recovery`: longest time from a death to balanced books, in seconds."""

    world: "World"
    name: str
    supervised: bool
    sent_before: int
    deaths: int = 0
    events: int = 0
    lost: int = 0
    doubled: int = 0
    recovery: float = 0.0
    died_at: float = 0.0

    def death(self):
        """Note that something died just now."""
        self.deaths += 1
        self.died_at = time.monotonic()

    def recovered(self):
        """Wait until everything is settled, and fail where an event is not in exactly one place."""
        books = self.world.settled(self.supervised)
        self.recovery = max(self.recovery, time.monotonic() - self.died_at)
        self.events = self.world.sent - self.sent_before
        self.lost, self.doubled = books.total("missing"), books.total("doubled")
        assert books.total("raw") == self.world.sent
        assert books.balanced, books.as_json()
        assert books.total("parked") == 0
        assert min(books.total(place) for place in ("curated", "quarantined", "sealed", "applied")) > 0


class World:
    """A stack without workers of its own. A worker is known by its name: `curate-1`."""

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
        self.tags = 0
        self.late = None

    def start(self, name, crash_at=""):
        """Start a worker, made to die at `crash_at` if that names a point; its flushes are small and often."""
        own = {
            "BIOKEEL_STATE_DIR": str(self.stack.state_dir),
            "BIOKEEL_WORKER_NAME": name,
            "BIOKEEL_FLUSH_SECONDS": "1",
            "BIOKEEL_FLUSH_ROWS": "300",
            "BIOKEEL_MICRO_BATCH_ROWS": "200",
            VARIABLE: crash_at,
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", "biokeel", "worker", name.split("-")[0]],
                env=os.environ | own,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def end(self, name):
        """Stop a worker in order."""
        if name in self.running:
            self.running[name].terminate()
            assert self.running.pop(name).wait(60) == 0, f"{name} did not end in order"

    def kill(self, name):
        self.running[name].kill()
        self.running.pop(name).wait()

    def ensure(self, name):
        if name not in self.running or self.running[name].poll() is not None:
            self.start(name)

    def died(self, name):
        """Whether the worker has died at its point; an end of any other kind fails the test."""
        status = self.running[name].poll()
        assert status in (None, -signal.SIGKILL), f"{name} ended with {status}; see {self.folder}"
        return status is not None

    def send(self, rows=600):
        """More events, of new people, of whom some enrol only with the next call or `send_late`."""
        self.send_late()
        self.tags += 1
        self.late = f"p{self.tags}-"
        self.sent += send(self.publisher, self.schema, self.late, rows)

    def send_late(self):
        """Enrol those who are late."""
        if self.late is not None:
            self.sent += send_late(self.publisher, self.late)
            self.late = None

    def settled(self, supervised=False):
        """The books once nothing is missing or parked any more; the last ones where that takes too long.

        A worker that ends meanwhile is started anew if `supervised`, as the stack does; else it fails the test.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            for name, process in list(self.running.items()):
                if process.poll() is not None:
                    assert supervised, f"{name} ended with {process.poll()}; see {self.folder}"
                    self.start(name)
            books = self.bookkeeper.look()
            whole = books.total("raw") == self.sent and books.balanced and not books.total("parked")
            if whole or time.monotonic() > deadline:
                return books
            time.sleep(0.5)

    def experiment(self, name, supervised=False):
        """A new line of the table."""
        EXPERIMENTS.append(Experiment(self, name, supervised, self.sent))
        return EXPERIMENTS[-1]

    def stop(self):
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            process.wait(60)
