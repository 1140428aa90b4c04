"""`python -m bench`: measure, print tables, write JSON."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from bench.backtest import run_backtest
from bench.books import run_books
from bench.end_to_end import (
    Plan,
    bench_stack,
    enrol,
    made_up_stewards,
    mixed_load,
    pressure_load,
    run_load,
    stop_workers,
    thin_load,
)
from bench.latency import run_idle, run_latency, run_small_load
from bench.machine import machine
from bench.made import PRESSURE
from bench.reading import run_reading
from bench.registers import MIX_PARTITIONS, THIN_EVENTS, THIN_SOURCES, of_many, of_the_mix
from bench.report import Report
from bench.sources import run_publish
from bench.spool import run_spool
from bench.stages import FEW_PEOPLE, MANY_PEOPLE, MANY_RULES, RULES, SAMPLES, Sizes, stages, suite_of
from biokeel.settings import Settings
from biokeel.stack.environment import VaultUrls
from biokeel.testing.postgres import BOOKS, VAULT, Postgres

PARTS = {
    "stages": 45,
    "pressures": 110,
    "postgresql": 130,
    "latency": 40,
    "small": 35,
    "rules": 80,
    "publish": 30,
    "spool": 30,
    "backtest": 20,
    "reading": 70,
    "mix": 70,
    "thin": 110,
    "idle": 180,
    "books": 30,
    "people": 260,
}
"""Each part and the seconds that it takes on two cores of today; it is not begun when fewer are left."""
if TYPE_CHECKING:
    from biokeel.stack.stack import Stack

SIZES = Sizes()
SMALL_RATE = 10
OF_PRESSURES = ("pressures", "latency", "small", "rules", "publish", "spool")
"""Parts that share one stack, whose people are enrolled once."""


def main(
    parts: Annotated[list[str] | None, typer.Argument(help=f"Which of: {', '.join(PARTS)}. Default: all.")] = None,
    *,
    events: Annotated[int, typer.Option(help="Blood pressure events of the run end to end.", min=1)] = 5_000_000,
    mix_events: Annotated[int, typer.Option(help="Events of each run for mix and thin.", min=1)] = 3_000_000,
    side_events: Annotated[int, typer.Option(help="Events of each run for rules and for people.", min=1)] = 2_000_000,
    people: Annotated[int, typer.Option(help="Enrolled people.", min=1)] = 100_000,
    many_people: Annotated[int, typer.Option(help="Enrolled people of the part people.", min=1)] = MANY_PEOPLE,
    hospital_people: Annotated[int, typer.Option(help="FHIR bundles to publish.", min=1)] = 400,
    spool_events: Annotated[int, typer.Option(help="Events that the SDK sends at once.", min=1)] = 1_000_000,
    single_events: Annotated[int, typer.Option(help="Events that it sends one by one.", min=50)] = 100_000,
    backtest_events: Annotated[
        int, typer.Option(help="Landed events of a backtest; 50000000 takes minutes.", min=1)
    ] = (1_000_000),
    megabytes: Annotated[float, typer.Option(help="Megabytes of each kind of file that is read.", min=0.1)] = 60.0,
    rate: Annotated[int, typer.Option(help="Events a second when latency is measured.", min=20)] = 20_000,
    rate_seconds: Annotated[float, typer.Option(help="How long that rate is kept up.")] = 20.0,
    small_seconds: Annotated[float, typer.Option(help="How long ten events a second are kept up.")] = 20.0,
    idle_seconds: Annotated[float, typer.Option(help="How long the part idle looks on.")] = 60.0,
    book_events: Annotated[int, typer.Option(help="Most events of the part books.", min=100_000)] = 100_000_000,
    rows: Annotated[int, typer.Option(help="Events of a micro-batch of the stages.", min=1)] = SIZES.rows,
    runs: Annotated[int, typer.Option(help="Runs of each stage; the median counts.", min=1)] = SIZES.runs,
    flush_seconds: Annotated[float, typer.Option(help="Age of the oldest row that causes a landing.")] = 5.0,
    seconds: Annotated[float, typer.Option(help="Most seconds of one run's reading.")] = 120.0,
    minutes: Annotated[float, typer.Option(help="Most minutes of all; parts that do not fit are left out.")] = 10.0,
    json: Annotated[Path, typer.Option(help="Where the figures go.")] = Path(".biokeel-bench.json"),
) -> None:
    """Measure each stage by itself, then the whole way on stacks of its own."""
    chosen = parts or list(PARTS)
    if unknown := set(chosen) - set(PARTS):
        raise typer.BadParameter(f"There is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}.")
    console = Console() if Console().is_terminal else Console(width=140)
    began = time.monotonic()
    report = Report(machine())

    def wanted(part: str) -> bool:
        if part not in chosen:
            return False
        if parts is None and time.monotonic() - began + PARTS[part] > 60 * minutes:
            report.left_out.append(part)
            return False
        return True

    if wanted("stages"):
        sizes = Sizes(rows=rows, people=people, land_rows=min(SIZES.land_rows, events), runs=runs)
        with tempfile.TemporaryDirectory(prefix="biokeel-bench-") as folder:
            report.stages.extend(stages(Path(folder), sizes))
    if wanted("backtest"):
        with tempfile.TemporaryDirectory(prefix="biokeel-bench-") as folder:
            report.backtests.extend(run_backtest(Path(folder), backtest_events))
    if wanted("reading"):
        with tempfile.TemporaryDirectory(prefix="biokeel-bench-") as folder:
            report.reading.extend(run_reading(Path(folder), megabytes))
    if set(OF_PRESSURES) & set(chosen):
        plan = Plan("blood pressures", people, flush_seconds=flush_seconds, seconds=seconds)
        with _on_a_stack(plan, console) as (stack, enrolled):
            if wanted("pressures"):
                report.runs.append(run_load(stack, plan, pressure_load(events, people), enrolled, console.print))
            if wanted("small"):
                report.small_load = run_small_load(stack, plan, SMALL_RATE, small_seconds)
            if wanted("latency"):
                report.latency = run_latency(stack, plan, rate, rate_seconds)
            if wanted("rules"):
                stewards = made_up_stewards(stack)
                # The first run of a stack is always the dearest; the few rules come before and after the many.
                for count, when in ((RULES, ", before"), (MANY_RULES, ""), (RULES, ", after")):
                    suite = suite_of(Settings(), count)
                    stewards.put_in_force(PRESSURE, suite, SAMPLES, f"A benchmark of {count} rules{when}.")
                    of_rules = replace(plan, name=f"{count} rules{when}")
                    load = pressure_load(side_events, people)
                    report.runs.append(run_load(stack, of_rules, load, enrolled, console.print))
            if wanted("publish"):
                stop_workers(stack)
                with tempfile.TemporaryDirectory(prefix="biokeel-bench-") as folder:
                    report.publish = run_publish(stack, Path(folder), hospital_people)
            if wanted("spool"):
                stop_workers(stack)
                with tempfile.TemporaryDirectory(prefix="biokeel-bench-") as folder:
                    report.spool.extend(run_spool(stack, Path(folder), spool_events, single_events))
    if wanted("postgresql"):
        plan = Plan("vault on PostgreSQL", people, flush_seconds=flush_seconds, seconds=seconds)
        with _a_postgresql() as database, _on_a_stack(plan, console, database) as (stack, enrolled):
            report.runs.append(run_load(stack, plan, pressure_load(events, people), enrolled, console.print))
    if wanted("mix"):
        plan = Plan("mix of all types", people, of_the_mix(), MIX_PARTITIONS, flush_seconds, seconds)
        with _on_a_stack(plan, console) as (stack, enrolled):
            report.runs.append(run_load(stack, plan, mixed_load(mix_events, people), enrolled, console.print))
    if wanted("thin"):
        plan = Plan("of many sources", people, of_many(), MIX_PARTITIONS, flush_seconds, seconds)
        with _on_a_stack(plan, console) as (stack, enrolled):
            report.runs.append(run_load(stack, plan, thin_load(mix_events, people), enrolled, console.print))
    if wanted("idle"):
        plan = Plan("of many sources, idle", people, of_many(), MIX_PARTITIONS, flush_seconds, seconds)
        with (
            tempfile.TemporaryDirectory(prefix="biokeel-bench-") as folder,
            bench_stack(Path(folder), plan, console.print, console=True) as stack,
        ):
            report.idle = run_idle(stack, idle_seconds)
    if wanted("books"):
        report.books.extend(run_books(events, THIN_SOURCES, THIN_EVENTS) for events in (book_events // 10, book_events))
    if wanted("people"):
        plan = Plan(f"of {many_people:,} people", many_people, flush_seconds=flush_seconds, seconds=seconds)
        with _on_a_stack(plan, console) as (stack, enrolled):
            for number in (min(FEW_PEOPLE, many_people), many_people):
                of_people = replace(plan, name=f"{number:,} {plan.name}")
                load = pressure_load(side_events, number)
                report.runs.append(run_load(stack, of_people, load, enrolled, console.print))
    report.show(console)
    report.write(json)
    console.print(f"{time.monotonic() - began:.0f} s in all; written to {json}")


@contextmanager
def _a_postgresql() -> Iterator[VaultUrls]:
    """A vault's database in a PostgreSQL on this disk."""
    with tempfile.TemporaryDirectory(prefix="biokeel-bench-") as folder:
        Path(folder).chmod(0o755)  # the server runs as another user
        with Postgres.make(Path(folder) / "server") as server:
            server.make_vault("vault")
            yield VaultUrls(server.url("vault", VAULT), server.url("vault", BOOKS))


@contextmanager
def _on_a_stack(plan: Plan, console: Console, database: VaultUrls | None = None) -> Iterator[tuple[Stack, float]]:
    """A stack of its own whose people are enrolled, and how many of them a second were."""
    with (
        tempfile.TemporaryDirectory(prefix="biokeel-bench-") as folder,
        bench_stack(Path(folder), plan, console.print, database=database) as stack,
    ):
        yield stack, enrol(stack, plan)


if __name__ == "__main__":
    typer.run(main)
