"""`python -m bench`: measure, print tables, write JSON."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from bench.end_to_end import Load, Plan, bench_stack, enrol, mixed_load, pressure_load, run_load
from bench.latency import run_latency, run_small_load
from bench.machine import machine
from bench.report import Report
from bench.stages import Sizes, stages

PARTS = ("stages", "pressures", "mix", "latency", "small")
if TYPE_CHECKING:
    from biokeel.stack.stack import Stack

SIZES = Sizes()
SMALL_RATE = 10
MIX_PARTITIONS = 12


def main(
    parts: Annotated[list[str] | None, typer.Argument(help=f"Which of: {', '.join(PARTS)}. Default: all.")] = None,
    *,
    events: Annotated[int, typer.Option(help="Blood pressure events of the run end to end.", min=1)] = 2_000_000,
    mix_events: Annotated[int, typer.Option(help="Events of all types of the second run.", min=1)] = 1_000_000,
    people: Annotated[int, typer.Option(help="Enrolled people.", min=1)] = 100_000,
    rate: Annotated[int, typer.Option(help="Events a second when latency is measured.", min=20)] = 20_000,
    rate_seconds: Annotated[float, typer.Option(help="How long that rate is kept up.")] = 20.0,
    small_seconds: Annotated[float, typer.Option(help="How long ten events a second are kept up.")] = 20.0,
    rows: Annotated[int, typer.Option(help="Events of a micro-batch of the stages.", min=1)] = SIZES.rows,
    runs: Annotated[int, typer.Option(help="Runs of each stage; the median counts.", min=1)] = SIZES.runs,
    flush_seconds: Annotated[float, typer.Option(help="Age of the oldest row that causes a landing.")] = 5.0,
    seconds: Annotated[float, typer.Option(help="Most seconds of one run's reading.")] = 120.0,
    json: Annotated[Path, typer.Option(help="Where the figures go.")] = Path(".biokeel-bench.json"),
) -> None:
    """Measure each stage by itself, then the whole way on a stack of its own; some minutes, at most ten."""
    chosen = parts or list(PARTS)
    if unknown := set(chosen) - set(PARTS):
        raise typer.BadParameter(f"There is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}.")
    console = Console() if Console().is_terminal else Console(width=140)
    began = time.monotonic()
    report = Report(machine())
    if "stages" in chosen:
        sizes = Sizes(rows=rows, people=people, land_rows=min(SIZES.land_rows, events), runs=runs)
        with tempfile.TemporaryDirectory(prefix="biokeel-bench-") as folder:
            report.stages.extend(stages(Path(folder), sizes))
    if {"pressures", "latency", "small"} & set(chosen):
        plan = Plan("blood pressures", people, flush_seconds=flush_seconds, seconds=seconds)
        with _on_a_stack(report, plan, pressure_load(events, people), console) as stack:
            if "small" in chosen:
                report.small_load = run_small_load(stack, plan, SMALL_RATE, small_seconds)
            if "latency" in chosen:
                report.latency = run_latency(stack, plan, rate, rate_seconds)
    if "mix" in chosen:
        plan = Plan("mix of all types", people, MIX_PARTITIONS, flush_seconds, seconds)
        with _on_a_stack(report, plan, mixed_load(mix_events, people), console):
            pass
    report.show(console)
    report.write(json)
    console.print(f"{time.monotonic() - began:.0f} s in all; written to {json}")


@contextmanager
def _on_a_stack(report: Report, plan: Plan, load: Load, console: Console) -> Iterator[Stack]:
    """One load on a stack of its own, which then is there for more."""
    with (
        tempfile.TemporaryDirectory(prefix="biokeel-bench-") as folder,
        bench_stack(Path(folder), plan, console.print) as stack,
    ):
        enrol_rate = enrol(stack, plan.people)
        report.runs.append(run_load(stack, plan, load, enrol_rate, console.print))
        yield stack


if __name__ == "__main__":
    typer.run(main)
