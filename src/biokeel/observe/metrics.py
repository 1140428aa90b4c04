"""What a worker counts and times, and the HTTP server that shows it.

A worker makes one `WorkerMetrics`, calls it from its runner (stages hold no metrics of their own), and serves it while
it runs:

    metrics = WorkerMetrics("curate")
    with metrics.serve(settings.state_dir, settings.metrics_port):
        with metrics.stage("validate"):
            outcome = validate(batch, suite)
        metrics.passed(batch.event, Edge.CURATED, len(outcome.accepted))
        metrics.rejected(batch.event, Reason.RULE, len(outcome.rejected))

Labels are worker names, event types, registered sources, fields, partitions, stages, reasons: never a value of data.
Every method may be called
from any thread. What is counted is for people who watch; that nothing is lost is proved by `biokeel verify`, which
reads the tables and the vault, not these counters.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from biokeel.observe.serve import serve_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from biokeel.contracts.topics import EventType
    from biokeel.observe.serve import Served
    from biokeel.reasons import Reason

Table = Literal["curated", "quarantine"]


class Edge(StrEnum):
    """Every step of an event's way that is counted, as `<stage>/<outcome>`: the arrows of the console's drawing."""

    READ_RAW = "read/raw"
    """Taken from a raw topic by a pseudonymise worker (a replay counts again)."""
    PSEUDONYMISED = "pseudonymise/passed"
    """Went on to the pseudo topic."""
    PARKED = "pseudonymise/parked"
    """Sealed in the vault until the person is enrolled."""
    SEALED = "pseudonymise/sealed"
    """Sealed in the vault as a dead letter."""
    APPLIED = "pseudonymise/applied"
    """A person event that the vault took in."""
    RELEASED = "pseudonymise/released"
    """Parked before, and sent on to the pseudo topic now."""
    READ_PSEUDO = "read/pseudo"
    """Taken from a pseudo topic by a curate worker."""
    REPEATED = "link/repeated"
    """Dropped as a repeat of a row that had landed, or was about to."""
    CURATED = "land/curated"
    """Landed in the event type's curated table."""
    QUARANTINED = "land/quarantined"
    """Landed in the event type's quarantine table."""

    @property
    def stage(self) -> str:
        """The label `stage`."""
        return self.value.split("/")[0]

    @property
    def outcome(self) -> str:
        """The label `outcome`."""
        return self.value.split("/")[1]


STAGE_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds: a micro-batch of 20,000 rows takes a stage 2 to 50 ms, a landing a few tenths of a second."""


class ProcessMetrics:
    """What every worker process shows, in a registry of its own: that its loop turns, and how long it waits."""

    def __init__(self, worker: str) -> None:
        """`worker` is the worker's kind (`curate`, `books`, …); the process is told apart by its run file."""
        self.worker = worker
        self.registry = CollectorRegistry()
        self._beat = time.monotonic()
        self._waiting = Gauge(
            "biokeel_waiting_seconds",
            "For how long the worker has waited for something outside; 0 while it answers.",
            ["worker"],
            registry=self.registry,
        )

    def waiting(self, seconds: float) -> None:
        """Set for how long the worker has waited for something outside; 0 when that answers."""
        self._waiting.labels(self.worker).set(seconds)

    def beat(self) -> None:
        """Say that the worker is alive and not stuck: call it in every turn of the main loop, idle ones too."""
        self._beat = time.monotonic()

    def silence(self) -> float:
        """Seconds since the last `beat`."""
        return time.monotonic() - self._beat


class WorkerMetrics(ProcessMetrics):
    """The metrics of one worker process of the applications."""

    def __init__(self, worker: str) -> None:
        """`worker` is `pseudonymise` or `curate`."""
        super().__init__(worker)
        self._events = Counter(
            "biokeel_events",
            "Events by the step of their way that they took.",
            ["worker", "event", "stage", "outcome"],
            registry=self.registry,
        )
        self._rejected = Counter(
            "biokeel_rejected",
            "Events that left the main path, by reason.",
            ["worker", "event", "reason"],
            registry=self.registry,
        )
        self._withheld = Counter(
            "biokeel_withheld",
            "Values that did not have the form or range of their field, and did not cross the wall.",
            ["worker", "event", "source", "field"],
            registry=self.registry,
        )
        self._unreadable = Counter(
            "biokeel_unreadable_blocks",
            "Blocks of pseudo topics that could not be read and were put aside.",
            ["worker", "event"],
            registry=self.registry,
        )
        self._unsigned = Counter(
            "biokeel_unsigned_blocks",
            "Messages of pseudo topics that were left out because the vault zone did not sign them.",
            ["worker", "event"],
            registry=self.registry,
        )
        self._stages = Histogram(
            "biokeel_stage_seconds",
            "Seconds that one micro-batch spent in a stage.",
            ["worker", "stage"],
            buckets=STAGE_BUCKETS,
            registry=self.registry,
        )
        self._stages_cpu = Counter(
            "biokeel_stage_cpu_seconds",
            "CPU seconds that the thread of a stage spent in it; threads of libraries are not in it.",
            ["worker", "stage"],
            registry=self.registry,
        )
        self._lag_events = Gauge(
            "biokeel_lag_events",
            "Messages of the partition that wait to be read.",
            ["worker", "event", "topic", "partition"],
            registry=self.registry,
        )
        self._lag_seconds = Gauge(
            "biokeel_lag_seconds",
            "Age of the newest message read while more wait; 0 when none waits.",
            ["worker", "event", "topic", "partition"],
            registry=self.registry,
        )
        self._versions = Gauge(
            "biokeel_table_version",
            "Delta version that this worker last committed or saw.",
            ["event", "table"],
            registry=self.registry,
        )
        self._held = Gauge(
            "biokeel_held_bytes",
            "Bytes of rows that were judged and have not landed.",
            ["worker"],
            registry=self.registry,
        )
        self._parked = Gauge(
            "biokeel_parked", "Events that wait in the vault for an enrolment.", ["event"], registry=self.registry
        )

    @contextmanager
    def stage(self, stage: str) -> Iterator[None]:
        """Time one micro-batch in `stage` (a fixed word: `decode`, `validate`, `land`, …); a raise is timed too."""
        began, used = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            self._stages.labels(self.worker, stage).observe(time.perf_counter() - began)
            self._stages_cpu.labels(self.worker, stage).inc(time.thread_time() - used)

    def passed(self, event: EventType, edge: Edge, n: int) -> None:
        """Count `n` events that took `edge`, once it is done: after the flush, the vault's commit, the landing."""
        if n:
            self._events.labels(self.worker, str(event), edge.stage, edge.outcome).inc(n)
        self.beat()

    def rejected(self, event: EventType, reason: Reason, n: int) -> None:
        """Count `n` events that left the main path for `reason`; where they went is counted by `passed`."""
        if n:
            self._rejected.labels(self.worker, str(event), str(reason)).inc(n)

    def withheld(self, event: EventType, source: str, field: str, n: int) -> None:
        """Count `n` values of `field` that did not cross the wall; `source` is a registered one."""
        self._withheld.labels(self.worker, str(event), source, field).inc(n)

    def unreadable(self, event: EventType) -> None:
        """Count a block that was put aside because it cannot be read."""
        self._unreadable.labels(self.worker, str(event)).inc()

    def unsigned(self, event: EventType) -> None:
        """Count a message that was left out because the vault zone did not sign it."""
        self._unsigned.labels(self.worker, str(event)).inc()

    def held(self, size: int) -> None:
        """Set how many bytes wait to land."""
        self._held.labels(self.worker).set(size)

    def lag(self, event: EventType, at: tuple[str, int], events: int, seconds: float) -> None:
        """Set what waits in a partition (topic, number) that this worker reads: messages, and seconds behind."""
        self._lag_events.labels(self.worker, str(event), at[0], str(at[1])).set(events)
        self._lag_seconds.labels(self.worker, str(event), at[0], str(at[1])).set(seconds)

    def forget(self, event: EventType, at: tuple[str, int]) -> None:
        """Drop the lag of a partition that another worker has taken over."""
        for gauge in (self._lag_events, self._lag_seconds):
            gauge.remove_by_labels(
                {"worker": self.worker, "event": str(event), "topic": at[0], "partition": str(at[1])}
            )

    def table_version(self, event: EventType, table: Table, version: int) -> None:
        """Set the Delta version of a table after a commit, or as found when a partition was taken over."""
        self._versions.labels(str(event), table).set(version)

    def parked(self, event: EventType, n: int) -> None:
        """Set how many events of a type wait in the vault for an enrolment."""
        self._parked.labels(str(event)).set(n)

    def serve(
        self, state_dir: Path, port: int = 0, *, host: str = "127.0.0.1", stuck_after: float = 300.0
    ) -> AbstractContextManager[Served]:
        """Serve /metrics and /health on `host`:`port` (0: any free one) until the context ends.

        /health answers 200 while the last beat is younger than `stuck_after` seconds, else 503. Entering raises
        `SettingsError` where the port is taken.
        """
        return serve_metrics(self, state_dir, host, port, stuck_after=stuck_after)
