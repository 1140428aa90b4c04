"""Clocks jump by a day, and events come from the ends of the range of times."""

import datetime as dt
import shutil
import struct
import subprocess
from pathlib import Path

import polars as pl

from tests.faults.plan import Blocked, experiment
from tests.faults.traffic import PRESSURE, pressures
from tests.faults.world import KINDS

SOURCE = Path(__file__).with_name("clock.c")

DAY_SECONDS = 86_400
HERE_SECONDS = 6.0
"""How long a clock stays where it jumped to."""


class Clock:
    """A wall clock for processes that are started with `environment`; it is wrong by what `jump` last said."""

    def __init__(self, folder):
        self._file = folder / "clock"
        self._library = folder / "clock.so"
        self.jump(0)
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(self._library), str(SOURCE), "-ldl", "-lpthread"]
        if shutil.which("cc") is None:
            raise Blocked("there is no C compiler (cc) here to make the library that moves a process's clock")
        subprocess.run(command, check=True)

    def jump(self, seconds):
        """Move the wall clock, of processes that run too. In place: they have the file mapped."""
        self._file.touch()
        with self._file.open("r+b", buffering=0) as file:
            file.write(struct.pack("q", seconds))

    @property
    def environment(self):
        return {"LD_PRELOAD": str(self._library), "BIOKEEL_CLOCK": str(self._file)}


@experiment("the workers' clocks jump a day on and a day back", full=1, seconds=60, supervised=True)
def jumps(run):
    """Kafka's and the store's clocks stay, so a store that checks signatures refuses workers that live tomorrow."""
    world = run.world
    clock = Clock(world.folder)
    for kind in KINDS:
        world.end(f"{kind}-1")
        world.start(f"{kind}-1", **clock.environment)
    world.live(HERE_SECONDS, rows=400)
    for days in (1, 0, -1, 0):
        clock.jump(days * DAY_SECONDS)
        world.live(HERE_SECONDS, rows=400, every=3)
    run.harmed()
    run.recovered(world, timed=False)
    for kind in KINDS:
        world.end(f"{kind}-1")
    world.ensure()


TIMES = [
    (dt.datetime(1, 1, 1, tzinfo=dt.UTC), False),
    (dt.datetime(1899, 12, 31, 23, 59, 59, 999000, tzinfo=dt.UTC), False),
    (dt.datetime(1900, 1, 1, tzinfo=dt.UTC), True),
    (dt.datetime(1970, 1, 1, tzinfo=dt.UTC), True),
    (dt.datetime(2099, 12, 31, 23, 59, 59, 999000, tzinfo=dt.UTC), True),
    (dt.datetime(2101, 1, 1, tzinfo=dt.UTC), False),
    (dt.datetime(9999, 12, 31, tzinfo=dt.UTC), False),
]


@experiment("events of 1900 and 2100, and beyond", full=5, seconds=6)
def ends_of_time(run):
    """Inside the range an event is judged like any other; outside it is sealed."""
    world, times = run.world, [run.rng.choice(TIMES) for _ in range(200)]
    sealed = world.settled().total("sealed")
    frame = pressures(world.schema, f"times{run.rng.random()}", len(times), late=0).with_columns(
        occurred_at=pl.Series([when for when, _ in times], dtype=pl.Datetime("ms", "UTC"))
    )
    world.sent += world.publisher.publish(PRESSURE, frame)
    world.publisher.flush()
    run.harmed()
    books = world.settled()
    assert books.total("sealed") - sealed == sum(not inside for _, inside in times)
