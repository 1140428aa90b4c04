"""A stack whose workers the experiments start, kill and cut off from Kafka and the object store by proxies."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

from biokeel.books.bookkeeper import Bookkeeper
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.topics import Zone
from biokeel.land.lake import Lake
from biokeel.source.client import Publisher
from biokeel.stack.kafka import Detour
from biokeel.stack.stack import Stack
from biokeel.stack.state import HOST, free_ports
from biokeel.stack.supervisor import LAUNCH as LAUNCHER
from biokeel.testing.crash import VARIABLE
from biokeel.testing.events import SOURCE
from biokeel.vault.event_ids import EventIdCipher
from biokeel.vault.keys import load_key_file
from tests.faults.proofs import Content, Leaks, Positions
from tests.faults.proxy import Http, Kafka, Proxy
from tests.faults.stewards import Stewards
from tests.faults.traffic import (
    BROKEN,
    ENROLMENT,
    GLUCOSE,
    HIGHEST,
    LATE,
    PRESSURE,
    STEADY,
    enrolments,
    glucose,
    pressures,
)

KINDS = ("pseudonymise", "curate")
PATIENCE = 120.0
"""How long the books may take to balance when all is well again, in seconds."""
END_SECONDS = 60.0
RESTART_SECONDS = 1.0
"""Pause before a worker that ended by itself is started again, so that one that cannot start does not spin."""
LAUNCH = (sys.executable, "-I", "-S", str(LAUNCHER))
"""Workers end with us, however we end."""
SMALL = {
    "BIOKEEL_FLUSH_SECONDS": "1",
    "BIOKEEL_FLUSH_ROWS": "300",
    "BIOKEEL_MICRO_BATCH_ROWS": "200",
}
"""Small and frequent landings: more commits and more places to die at."""


class World:
    """A stack without workers of its own, in `folder`. A worker is known by its name: `curate-1`.

    Workers reach Kafka and the store through `kafka` and `s3`, proxies that do nothing until they are told to. `sent`
    counts what lies in the raw topics. `environment` is given to every worker that is started. Verdicts are checked of
    what is published while `fixed_suite` holds.
    """

    def __init__(self, folder, environment=SMALL, before=lambda _state: (), *, remembers=True):
        """`before` is called with the state directory before anything starts, and returns what is held meanwhile.

        `remembers`: what was published is kept, to compare with the tables.
        """
        self.folder = folder
        self.logs = folder / "worker-logs"
        self.logs.mkdir(parents=True)
        self.environment = dict(environment)
        self.running = {}
        self.sent = self.restarts = self.tags = 0
        self.late = None
        self.fixed_suite = True
        self.remembers = remembers
        self._ended_at = {}
        self._held = ExitStack()
        for held in before(folder / "state"):
            self._held.enter_context(held)
        (door,) = free_ports(1)
        try:
            self.kafka = self._held.enter_context(Proxy(f"{HOST}:{door}", Kafka()))
            self.stack = self._held.enter_context(Stack.start(folder / "state", detour=Detour(door, self.kafka.port)))
            self.s3 = self._held.enter_context(Proxy(self.stack.settings(Zone.RESEARCH).s3_endpoint, Http()))
            self._look_around()
        except BaseException:
            self._held.close()
            raise

    def _look_around(self):
        settings = self.stack.settings(Zone.VAULT)
        self.catalogue = DirectoryCatalogue(settings.schemas_dir)
        self.schema = self.catalogue.reader(PRESSURE).schema
        self.publisher = Publisher(self.stack.source(SOURCE), self.catalogue)
        self.bookkeeper = Bookkeeper.of(self.stack.state_dir)
        self.bucket = self.stack.state_dir / "objects" / "data" / settings.lake_bucket
        self.positions = Positions(self.bucket)
        keys = load_key_file(self.stack.state_dir / "vault" / "vault.keys")
        ids = EventIdCipher(keys.event_ids)
        lake = Lake.of(self.stack.settings(Zone.RESEARCH))
        self.content = Content(lake, PRESSURE, HIGHEST, ids)
        self.stewards = Stewards(lake, self.schema)
        self.leaks = Leaks(self.stack, self.logs)
        self.enrol("steady", range(STEADY))

    # -- workers

    def start(self, name, crash_at="", **environment):
        """Start a worker, made to die at `crash_at` if that names a point, with more environment if wished."""
        own = {
            "BIOKEEL_STATE_DIR": str(self.stack.state_dir),
            "BIOKEEL_WORKER_NAME": name,
            "BIOKEEL_KAFKA_BOOTSTRAP": self.kafka.address,
            "BIOKEEL_S3_ENDPOINT": self.s3.url,
            VARIABLE: crash_at,
        }
        with (self.logs / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [*LAUNCH, str(os.getpid()), sys.executable, "-m", "biokeel", "worker", name.split("-")[0]],
                env=os.environ | own | self.environment | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def ensure(self, *names):
        """Let exactly these workers run (default: one of each kind)."""
        wanted = names or tuple(f"{kind}-1" for kind in KINDS)
        for name in [name for name in self.running if name not in wanted]:
            self.end(name)
        for name in wanted:
            if name not in self.running or self.running[name].poll() is not None:
                self.start(name)

    def end(self, name):
        """Stop a worker in order."""
        process = self.running.pop(name, None)
        if process is not None:
            process.terminate()
            try:
                status = process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError(f"{name} did not end within {END_SECONDS:g} s of SIGTERM") from None
            in_order = (0, -signal.SIGTERM)  # the latter while it was still starting
            assert status in in_order, f"{name} ended with {status}; {self.last_words(name)}"

    def kill(self, name):
        self.running[name].kill()
        self.running.pop(name).wait()

    def pause(self, name):
        os.kill(self.running[name].pid, signal.SIGSTOP)

    def go_on(self, name):
        os.kill(self.running[name].pid, signal.SIGCONT)

    def died(self, name):
        """Whether the worker has died at its point; an end of any other kind fails the run."""
        status = self.running[name].poll()
        assert status in (None, -signal.SIGKILL), f"{name} ended with {status}; {self.last_words(name)}"
        return status is not None

    def await_deaths(self, *names, sending=0):
        """Wait until all of `names` have died at their points; meanwhile send so many rows every two seconds."""
        began = sent_at = time.monotonic()
        while left := [name for name in names if not self.died(name)]:
            assert time.monotonic() - began < PATIENCE, f"{left} never passed its point"
            if sending and time.monotonic() - sent_at > 2:
                self.send(sending)
                sent_at = time.monotonic()
            time.sleep(0.05)

    def watch(self, supervised):
        """Start a worker that has ended by itself again if `supervised`, as the stack does; else fail the run."""
        for name, process in list(self.running.items()):
            if process.poll() is None:
                self._ended_at.pop(name, None)
                continue
            assert supervised, f"{name} ended with {process.poll()}; {self.last_words(name)}"
            ended = self._ended_at.setdefault(name, time.monotonic())
            if time.monotonic() - ended >= RESTART_SECONDS:
                self._ended_at.pop(name)
                self.restarts += 1
                self.start(name)

    def await_members(self, kind, *names):
        """Wait until exactly these workers share the partitions of a kind, each having some; workers supervised."""
        until = time.monotonic() + PATIENCE
        while (holding := self._members(kind)) != set(names):
            assert time.monotonic() < until, f"{sorted(holding)} have partitions, not {sorted(names)}"
            self.watch(supervised=True)
            time.sleep(0.2)

    def _members(self, kind):
        admin, group = self.stack.admin(), f"biokeel-{kind}"  # named: an answer dies with the client that asked
        found = admin.describe_consumer_groups([group])[group].result(30)
        return {each.group_instance_id for each in found.members if each.assignment.topic_partitions}

    def live(self, seconds, *, rows=0, every=2.0):
        """Let time pass, workers supervised, with `rows` events sent at once and again `every` so many seconds."""
        until = time.monotonic() + seconds
        following = time.monotonic()
        while time.monotonic() < until:
            self.watch(supervised=True)
            if rows and time.monotonic() >= following:
                self.send(rows)
                following = time.monotonic() + every
            time.sleep(0.1)

    def until(self, reached, patience=PATIENCE):
        """Wait, workers watched, until `reached()`."""
        deadline = time.monotonic() + patience
        while not reached():
            self.watch(supervised=False)
            assert time.monotonic() < deadline, f"{reached.__name__} takes too long"
            time.sleep(0.3)

    def last_words(self, name):
        """The last line of a worker's log that says why it ended."""
        lines = (self.logs / f"{name}.log").read_text("utf-8", "replace").splitlines()
        told = [line for line in lines if "Worker ends" in line or "biokeel:" in line or "Error" in line]
        return (told or lines or ["it said nothing"])[-1][:400]

    # -- events

    def enrol(self, tag, numbers):
        self.sent += self.publisher.publish(ENROLMENT, enrolments(tag, numbers))
        self.publisher.flush()

    def publish(self, rows, *, late=0.15):
        """Events with a new tag, which is returned; the people of that tag are not enrolled."""
        self.tags += 1
        tag = f"late{self.tags}-"
        frame = pressures(self.schema, tag, rows, late=late)
        self.sent += self.publisher.publish(PRESSURE, frame)
        if self.remembers:
            self.content.sent(frame, judged=self.fixed_suite)
        self.publisher.flush()
        return tag

    def others(self, rows):
        """Events of another type, of people who are enrolled; whatever its suite says of them."""
        schema = self.catalogue.reader(GLUCOSE).schema
        self.sent += self.publisher.publish(GLUCOSE, glucose(schema, rows, seed=self.sent))

    def send(self, rows):
        """More events of two types, some of people who enrol only with the next call or `send_late`, and a broken
        message of each kind."""
        self.send_late()
        self.others(rows // 10)
        self.late = self.publish(rows)
        self.sent += len(self.publisher.publish_raw(PRESSURE, BROKEN, partition=1))

    def send_late(self):
        """Enrol those who are late."""
        if self.late is not None:
            self.enrol(self.late, range(LATE))
            self.late = None

    # -- proof

    def settled(self, supervised=False, patience=PATIENCE):
        """The books once every sent event is in its place and nobody is late; the last ones where that takes too
        long."""
        self.send_late()
        deadline = time.monotonic() + patience
        while True:
            self.watch(supervised)
            books = self.bookkeeper.look()
            if books.total("raw") == self.sent and books.balanced and not books.total("parked"):
                return books
            if time.monotonic() > deadline:
                return books
            time.sleep(0.3)

    def check(self):
        """Rows as they were sent, no identifier outside the vault zone, no position that goes back."""
        self.content.check()
        self.positions.check()
        self.leaks.check()

    def idle(self):
        """Everything whole and the ordinary workers running, for the next run."""
        self.s3.heal()
        self.kafka.heal()
        self.ensure()

    def stop(self):
        """End everything, however it stands."""
        for process in self.running.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running.clear()
        self.bookkeeper = None
        self._held.close()


class Harness:
    """The world that the experiments share, made when it is first needed, and anew after a run has failed in it."""

    def __init__(self, new_folder):
        self._new_folder = new_folder
        self._shared = None
        self._own = []

    def world(self):
        """The shared world, whole, with an ordinary worker of each kind."""
        self._end_own()
        if self._shared is None:
            self._shared = World(self._new_folder())
        self._shared.idle()
        return self._shared

    def fresh(self, **how):
        """A world for one run alone; it is ended after the run."""
        self._own.append(World(self._new_folder(), **how))
        return self._own[-1]

    def broken(self, record):
        """A run failed: note where its logs are, and begin anew."""
        worlds = [*self._own, *([self._shared] if self._shared else [])]
        record.notes += [f"logs of a failed run: {world.folder.name}" for world in worlds[:1]]
        self._end_own()
        if self._shared is not None:
            shared, self._shared = self._shared, None
            shared.stop()

    def _end_own(self):
        while self._own:
            self._own.pop().stop()

    def stop(self):
        """End what runs."""
        self._end_own()
        if self._shared is not None:
            shared, self._shared = self._shared, None
            shared.stop()
