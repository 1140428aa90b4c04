"""The figures as tables for people and as JSON for whoever compares them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import orjson
from rich.table import Table

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from bench.backtest import BacktestFigures
    from bench.books import BooksFigures
    from bench.end_to_end import RunFigures
    from bench.latency import LatencyFigures, SmallLoad
    from bench.machine import Machine
    from bench.reading import ReadingFigures
    from bench.sources import PublishFigures
    from bench.spool import SpoolFigures
    from bench.stages import StageFigure


@dataclass(slots=True)
class Report:
    """Everything that one call measured."""

    machine: Machine
    stages: list[StageFigure] = field(default_factory=list)
    runs: list[RunFigures] = field(default_factory=list)
    latency: LatencyFigures | None = None
    small_load: SmallLoad | None = None
    idle: SmallLoad | None = None
    books: list[BooksFigures] = field(default_factory=list)
    publish: PublishFigures | None = None
    spool: list[SpoolFigures] = field(default_factory=list)
    backtests: list[BacktestFigures] = field(default_factory=list)
    reading: list[ReadingFigures] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Parts for which there was no time."""

    def write(self, file: Path) -> None:
        """As JSON, all of it or nothing."""
        half = file.with_name(f".{file.name}.tmp")
        half.write_bytes(orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2))
        half.replace(file)

    def show(self, console: Console) -> None:
        """As tables."""
        machine = self.machine
        console.print(
            f"{machine.taken_at} · {machine.cores} cores, {machine.processor}, {machine.memory_gib} GiB"
            f" · load before: {machine.load} · Python {machine.python} · {machine.commit}"
        )
        if self.stages:
            console.print(_stages(self.stages))
        if self.runs:
            console.print(_runs(self.runs))
            for run in self.runs:
                console.print(_cpu(run))
                console.print(_run_stages(run))
        if self.latency is not None:
            console.print(_latency(self.latency))
        if self.small_load is not None:
            console.print(_small_load(self.small_load))
        if self.idle is not None:
            console.print(_small_load(self.idle))
        if self.books:
            console.print(_books(self.books))
        if self.publish is not None:
            console.print(_publish(self.publish))
        if self.spool:
            console.print(_spool(self.spool))
        if self.backtests:
            console.print(_backtests(self.backtests))
        if self.reading:
            console.print(_reading(self.reading))
        if self.left_out:
            console.print(f"Left out, because time was up: {', '.join(self.left_out)}.")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


def _stages(figures: list[StageFigure]) -> Table:
    table = _table("Stages by themselves", "stage", "of", "events", "events/s", "events/CPU s", "CPU µs/event")
    for each in figures:
        table.add_row(
            each.stage,
            each.what,
            f"{each.events:,}",
            f"{each.per_second:,.0f}",
            f"{each.per_cpu_second:,.0f}",
            f"{each.cpu_microseconds:.3f}",
        )
    return table


def _runs(runs: list[RunFigures]) -> Table:
    table = _table("End to end: raw topic to Delta on S3", "measure", *(run.name for run in runs))
    rows = {
        "events": [f"{run.events:,}" for run in runs],
        "landed, of which quarantined": [f"{run.settled:,}, {run.quarantined:,}" for run in runs],
        "participants; sources": [f"{run.people:,}; {run.sources}" for run in runs],
        "raw partitions; pseudo partitions a topic": [f"{run.raw_partitions:,}; {run.partitions}" for run in runs],
        "events/s, first read to all landed": [f"{run.overall:,.0f}" for run in runs],
        "events/s, middle half, curate": [f"{run.steady:,.0f}" for run in runs],
        "events/s, middle half, pseudonymise": [f"{run.pseudonymise_rate:,.0f}" for run in runs],
        "seconds, first read to all landed": [f"{run.seconds:.1f}" for run in runs],
        "seconds, start of workers to first read": [f"{run.start_seconds:.1f}" for run in runs],
        "CPU µs an event, everything": [f"{_each(run, sum(u['all'] for u in run.cpu.values())):.2f}" for run in runs],
        "peak MiB: pseudonymise, curate": [
            f"{run.peak_mib['pseudonymise-1']:,.0f}, {run.peak_mib['curate-1']:,.0f}" for run in runs
        ],
        "peak MiB: kafka, object store": [
            f"{run.peak_mib['kafka']:,.0f}, {run.peak_mib['objectstore']:,.0f}" for run in runs
        ],
        "published, events/s": [f"{run.publish_rate:,.0f}" for run in runs],
        "enrolled, people/s": [f"{run.enrol_rate:,.0f}" for run in runs],
        "books balance": ["yes" if run.balanced else "NO" for run in runs],
    }
    for measure, cells in rows.items():
        table.add_row(measure, *cells)
    return table


def _each(run: RunFigures, seconds: float) -> float:
    """Microseconds an event (or seconds a million events)."""
    return seconds / max(run.settled, 1) * 1e6


def _cpu(run: RunFigures) -> Table:
    table = _table(
        f"{run.name}: CPU seconds a million events, by process and kind of thread", "process", "all", "of it"
    )
    for name, used in run.cpu.items():
        kinds = sorted(((spent, kind) for kind, spent in used.items() if kind != "all"), reverse=True)
        parts = ", ".join(f"{kind} {_each(run, spent):.2f}" for spent, kind in kinds)
        table.add_row(name, f"{_each(run, used['all']):.2f}", parts)
    table.add_row("(the harness itself)", f"{_each(run, run.harness_cpu):.2f}", "")
    return table


def _run_stages(run: RunFigures) -> Table:
    table = _table(
        f"{run.name}: seconds a million events by stage, by the workers' metrics",
        "worker, stage",
        "CPU of its thread",
        "clock",
        "of the run",
        "calls",
        "events a call",
    )
    for stage, seconds in run.stage_seconds.items():
        calls = run.stage_calls[stage]
        table.add_row(
            stage,
            f"{_each(run, run.stage_cpu[stage]):.2f}",
            f"{_each(run, seconds):.2f}",
            f"{seconds / run.seconds:.0%}",
            f"{calls:,}",
            f"{run.settled / calls:,.0f}",
        )
    for worker in ("pseudonymise", "curate"):
        used = run.cpu[f"{worker}-1"]
        python = sum(used.get(kind, 0.0) for kind in ("main thread", "other threads"))
        inside = sum(spent for stage, spent in run.stage_cpu.items() if stage.startswith(worker))
        table.add_row(f"{worker}, outside of stages: fetch, event loops", f"{_each(run, python - inside):.2f}")
    return table


def _latency(figures: LatencyFigures) -> Table:
    table = _table(
        f"Latency at {figures.rate:,.0f} events/s, {figures.events:,} events, flush age {figures.flush_seconds:g} s",
        "from the raw message's time stamp to",
        "median s",
        "p99 s",
        "most s",
    )
    for name, (median, high, most) in figures.seconds.items():
        table.add_row(name, f"{median:.2f}", f"{high:.2f}", f"{most:.2f}")
    return table


def _small_load(figures: SmallLoad) -> Table:
    table = _table(f"At {figures.rate} events/s for {figures.seconds:.0f} s", "process", "of one core")
    for name, share in figures.cores.items():
        table.add_row(name, f"{share:.1%}")
    return table


def _books(figures: list[BooksFigures]) -> Table:
    table = _table("Books, CPU s", "events", "raw partitions", "MB saved", "to write", "to read", "to balance")
    for each in figures:
        table.add_row(
            f"{each.events:,}",
            f"{each.partitions:,}",
            f"{each.size / 1e6:.1f}",
            f"{each.write:.2f}",
            f"{each.read:.2f}",
            f"{each.balance:.2f}",
        )
    return table


def _publish(figures: PublishFigures) -> Table:
    table = _table("biokeel publish, FHIR bundles", "files", "MB", "events", "MB/s", "MB/CPU s", "events/s")
    table.add_row(
        f"{figures.files:,}",
        f"{figures.megabytes:,.0f}",
        f"{figures.events:,}",
        f"{figures.megabytes / figures.seconds:.1f}",
        f"{figures.megabytes / figures.cpu_seconds:.1f}",
        f"{figures.events / figures.seconds:,.0f}",
    )
    return table


def _spool(figures: list[SpoolFigures]) -> Table:
    table = _table("SDK, spool included", "sent as", "events", "taken/s", "in Kafka, events/s", "CPU µs/event")
    for each in figures:
        table.add_row(
            each.way,
            f"{each.events:,}",
            f"{each.events / each.taken_seconds:,.0f}",
            f"{each.events / each.seconds:,.0f}",
            f"{each.cpu_seconds / each.events * 1e6:.1f}",
        )
    return table


def _backtests(figures: list[BacktestFigures]) -> Table:
    table = _table("A draft tried on all that landed", "how", "events", "seconds", "CPU seconds", "peak MiB")
    for each in figures:
        table.add_row(
            each.way, f"{each.events:,}", f"{each.seconds:.2f}", f"{each.cpu_seconds:.2f}", f"{each.peak_mib:,.0f}"
        )
    return table


def _reading(figures: list[ReadingFigures]) -> Table:
    table = _table(
        "Files read, of a core", "file", "MB", "records", "events", "CPU s", "MB/CPU s", "records/CPU s", "peak MiB"
    )
    for each in figures:
        table.add_row(
            each.what,
            f"{each.megabytes:,.0f}",
            f"{each.rows:,}",
            f"{each.events:,}",
            f"{each.cpu_seconds:.2f}",
            f"{each.megabytes / each.cpu_seconds:.1f}",
            f"{each.rows / each.cpu_seconds:,.0f}",
            f"{each.peak_mib:,.0f}",
        )
    return table
