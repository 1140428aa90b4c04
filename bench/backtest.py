"""How long a backtest over everything that ever landed takes, and how much memory.

A lake in a folder, landed in flushes as a worker lands them, by the suite that ships; then backtests in processes of
their own, so that each one's peak memory is its own.

`python -m bench.backtest FOLDER WAY` is such a process.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import orjson
import polars as pl

from bench.made import PRESSURE, pressures
from bench.processes import peak_bytes
from biokeel.batch import PseudonymisedBatch
from biokeel.contracts.schema import load_schema
from biokeel.land.lake import Lake
from biokeel.land.tables import EventTables
from biokeel.link.stage import link
from biokeel.link.state import PersonState
from biokeel.rules.backtest import Comparison
from biokeel.rules.backtest_rows import Scope
from biokeel.rules.backtest_suites import Written, read_written
from biokeel.rules.backtest_sweep import read_sweep
from biokeel.settings import Settings
from biokeel.validate.stage import validate
from biokeel.validate.suites import suite_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from biokeel.contracts.schema import EventSchema

FLUSH: Final = 262_144
SOURCES: Final = ("hospital-a", "hospital-b", "app-c")
WAYS: Final = ("one rule edited", "one rule edited, its limit slid", "believing no stamp")


@dataclass(frozen=True, slots=True)
class BacktestFigures:
    """One backtest: `seconds` of the clock and CPU seconds from its beginning to its figures, libraries loaded."""

    way: str
    events: int
    seconds: float
    cpu_seconds: float
    peak_mib: float


def run_backtest(folder: Path, events: int) -> Iterator[BacktestFigures]:
    """Land `events` blood pressures in a lake in `folder`, and try a draft on them in each of `WAYS`."""
    make_lake(folder, events)
    for way in WAYS:
        command = [sys.executable, "-m", "bench.backtest", str(folder), way]
        told = subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[1], env=os.environ)
        yield BacktestFigures(**json.loads(told.stdout))


def make_lake(folder: Path, events: int, people: int = 100_000) -> None:
    """A lake of `events` blood pressures, one in 200 of which a critical rule stops."""
    schema, suite, _ = _suites()
    tables = EventTables(Lake.local(folder), schema)
    tables.positions(0)
    state = {0: PersonState()}
    rng = np.random.default_rng(1)
    waiting: list[pl.DataFrame] = []
    landed = block = 0
    for frame in pressures(events, people):
        waiting.append(_pseudonymised(frame, rng, people, landed))
        landed += frame.height
        if sum(each.height for each in waiting) < FLUSH and landed < events:
            continue
        placed = pl.concat(waiting).with_columns(pseudo_offset=pl.lit(block, pl.Int64))
        outcome = validate(PseudonymisedBatch(PRESSURE, placed), suite.suite)
        linked, state = link(outcome.accepted, state)
        tables.land(linked.frame, outcome.rejected.frame, {0: block})
        waiting, block = [], block + 1


def try_on(folder: Path, way: str) -> BacktestFigures:
    """One backtest in this process."""
    schema, against, draft = _suites()
    began, used = time.perf_counter(), time.process_time()
    sweep = read_sweep("bp.systolic.range.max=180..320", draft, schema) if way == WAYS[1] else None
    stamps = {} if way == WAYS[2] else {against.suite.version: against}
    lake = Lake.local(folder)
    found = Comparison(lake, schema, draft, against, scope=Scope(), stamps=stamps, sweep=sweep).run()
    return BacktestFigures(
        way,
        found.judged,
        time.perf_counter() - began,
        time.process_time() - used,
        peak_bytes(os.getpid()) / 2**20,
    )


def _suites() -> tuple[EventSchema, Written, Written]:
    """The schema of blood pressures, the suite that ships, and a draft of it with a lower limit."""
    settings = Settings()
    schema = load_schema(settings.schemas_dir, PRESSURE)
    document = json.loads(suite_path(settings.expectations_dir, PRESSURE).read_text("utf-8"))
    shipped = read_written(json.dumps(document), schema, "the shipped suite")
    for each in document["expectations"]:
        if each["meta"]["rule"] == "bp.systolic.range":
            each["kwargs"]["max_value"] = 250
    return schema, shipped, read_written(json.dumps(document), schema, "the draft")


def _pseudonymised(frame: pl.DataFrame, rng: np.random.Generator, people: int, first: int) -> pl.DataFrame:
    """Raw blood pressures as they come behind the wall, without their having been there."""
    rows = frame.height
    offsets = np.arange(first, first + rows)
    return frame.drop("subject_scheme", "subject_id").with_columns(
        pl.Series("participant", rng.integers(0, people, rows)),
        pl.Series("source_id", SOURCES).gather(rng.integers(0, len(SOURCES), rows)),
        pl.lit(dt.date(2019, 1, 1)).alias("enrolled_on"),
        pl.Series("birth_year", rng.integers(1930, 2005, rows), pl.Int32),
        pl.lit("unknown").alias("sex"),
        *(pl.lit(None, pl.String).alias(name) for name in ("withheld", "occurred_precision")),
        pl.lit("raw").alias("stream"),
        *(pl.lit(0, pl.Int32).alias(name) for name in ("raw_partition", "first_partition", "pseudo_partition")),
        *(pl.Series(name, offsets) for name in ("raw_offset", "first_offset")),
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(orjson.dumps(asdict(try_on(Path(sys.argv[1]), sys.argv[2]))))
