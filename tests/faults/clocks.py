"""Clocks jump by a day, and events come from the ends of the range of times."""

import datetime as dt
import os
from pathlib import Path

import polars as pl

from tests.faults.plan import Blocked, experiment
from tests.faults.traffic import PRESSURE, pressures
from tests.faults.world import KINDS

LIBRARY = "libfaketime.so.1"
PLACES = (
    "/usr/lib/x86_64-linux-gnu/faketime",
    "/usr/lib/aarch64-linux-gnu/faketime",
    "/usr/lib64/faketime",
    "/usr/lib/faketime",
)
HERE_SECONDS = 6.0


def library():
    named = os.environ.get("BIOKEEL_FAKETIME")
    for path in [Path(named)] if named else [Path(place) / LIBRARY for place in PLACES]:
        if path.is_file():
            return path
    raise Blocked("libfaketime is not installed (Debian: libfaketime), nor does BIOKEEL_FAKETIME name it")


@experiment("the workers' clocks jump a day on and a day back", full=1, seconds=60, supervised=True)
def jumps(run):
    """Kafka's and the store's clocks stay, so a store that checks signatures refuses workers that live tomorrow."""
    world = run.world
    clock = world.folder / "clock"
    clock.write_text("+0\n", "utf-8")
    faked = {
        "LD_PRELOAD": str(library()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    for kind in KINDS:
        world.end(f"{kind}-1")
        world.start(f"{kind}-1", **faked)
    world.live(HERE_SECONDS, rows=400)
    for jump in ("+1d", "+0", "-1d", "+0"):
        clock.write_text(f"{jump}\n", "utf-8")
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


@experiment("events of 1900 and 2100, and beyond", full=5, quick=1, seconds=6)
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
