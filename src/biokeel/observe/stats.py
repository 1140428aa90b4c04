"""What all running workers say, gathered over HTTP into one typed snapshot; two snapshots give events a second."""

from __future__ import annotations

import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from http.client import HTTPException
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.error import HTTPError

from prometheus_client.parser import text_string_to_metric_families

from biokeel.contracts.topics import EventType, event_type
from biokeel.observe.metrics import Edge
from biokeel.observe.runfiles import RunFile, running
from biokeel.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from prometheus_client.samples import Sample

_ANSWER_WITHIN: Final = 2.0
"""Seconds that a worker may take to answer; one that takes longer is shown as silent."""


class WorkerHealth(StrEnum):
    """What a worker's /health answered."""

    OK = "ok"
    STUCK = "stuck"
    SILENT = "silent"
    """It runs, but does not answer."""


class Tally(NamedTuple):
    """Which counter a number is of: counters begin at 0 with the process, so processes are kept apart."""

    process: RunFile
    event: EventType
    edge: Edge


class Field(NamedTuple):
    """A field of what one source sends."""

    source: str
    event: EventType
    name: str


@dataclass(frozen=True, slots=True)
class Lag:
    """What waits in a topic: messages (blocks on the research side) over all partitions, and the worst age."""

    events: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the running workers said at `taken_at` (seconds since 1970). Counters are since each worker's start."""

    taken_at: float
    workers: Mapping[RunFile, WorkerHealth] = field(default_factory=dict)
    events: Mapping[Tally, int] = field(default_factory=dict)
    rejected: Mapping[tuple[EventType, Reason], int] = field(default_factory=dict)
    lags: Mapping[tuple[str, EventType], Lag] = field(default_factory=dict)
    """By worker kind and event type."""
    versions: Mapping[tuple[EventType, str], int] = field(default_factory=dict)
    parked: Mapping[EventType, int] = field(default_factory=dict)
    withheld: Mapping[Field, int] = field(default_factory=dict)
    """Values that did not cross the wall."""

    def most_withheld(self, most: int) -> dict[Field, int]:
        """The `most` fields of which the most values were withheld, those first."""
        return dict(sorted(self.withheld.items(), key=lambda item: (-item[1], item[0]))[:most])

    def total(self, edge: Edge, event: EventType | None = None) -> int:
        """Events that took `edge`, of one type or of all."""
        return sum(n for tally, n in self.events.items() if tally.edge is edge and event in {None, tally.event})

    @property
    def types(self) -> list[EventType]:
        """The event types that any worker spoke of."""
        return sorted({tally.event for tally in self.events} | {event for _, event in self.lags} | set(self.parked))

    def by_reason(self) -> dict[Reason, int]:
        """Rejected events by reason, most frequent first."""
        sums: dict[Reason, int] = {}
        for (_, reason), n in self.rejected.items():
            sums[reason] = sums.get(reason, 0) + n
        return dict(sorted(sums.items(), key=lambda item: -item[1]))


def rates(before: Snapshot, after: Snapshot) -> dict[tuple[EventType, Edge], float]:
    """Events a second by event type and edge between two snapshots.

    A worker that started in between counts from 0; one that ended, or was silent in the first, counts for nothing.
    """
    seconds = after.taken_at - before.taken_at
    if seconds <= 0:
        return {}
    sums: dict[tuple[EventType, Edge], float] = {}
    for tally, n in after.events.items():
        answered = before.workers.get(tally.process) in {WorkerHealth.OK, WorkerHealth.STUCK}
        if answered or tally.process.created >= before.taken_at:
            key = (tally.event, tally.edge)
            sums[key] = sums.get(key, 0.0) + (n - before.events.get(tally, 0)) / seconds
    return sums


def collect(state_dir: Path) -> Snapshot:
    """Ask every running worker once, all at the same time; takes at most a few seconds, whatever they do."""
    runs = running(state_dir)
    taken_at = time.time()
    if not runs:
        return Snapshot(taken_at)
    with ThreadPoolExecutor(min(len(runs), 8)) as pool:
        answers = dict(zip(runs, pool.map(_ask, runs), strict=True))
    gathered = _Gathered()
    for run, (_, text) in answers.items():
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                gathered.take(run, sample)
    return Snapshot(
        taken_at,
        {run: health for run, (health, _) in answers.items()},
        gathered.events,
        gathered.rejected,
        gathered.lags,
        gathered.versions,
        gathered.parked,
        gathered.withheld,
    )


_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Workers are asked straight, whatever proxies there are for the rest of the world."""


def _ask(run: RunFile) -> tuple[WorkerHealth, str]:
    try:
        return _health(run), _got(f"{run.url}/metrics").decode()
    except (OSError, HTTPException):  # it ends just now, or hangs: the page must say so, not fail
        return WorkerHealth.SILENT, ""


def _health(run: RunFile) -> WorkerHealth:
    try:
        _got(f"{run.url}/health")
    except HTTPError:  # it answers, and says that it is not well
        return WorkerHealth.STUCK
    return WorkerHealth.OK


def _got(url: str) -> bytes:
    with _OPENER.open(url, timeout=_ANSWER_WITHIN) as answer:
        got: bytes = answer.read()
    return got


@dataclass(slots=True)
class _Gathered:
    events: dict[Tally, int] = field(default_factory=dict)
    rejected: dict[tuple[EventType, Reason], int] = field(default_factory=dict)
    lags: dict[tuple[str, EventType], Lag] = field(default_factory=dict)
    versions: dict[tuple[EventType, str], int] = field(default_factory=dict)
    parked: dict[EventType, int] = field(default_factory=dict)
    withheld: dict[Field, int] = field(default_factory=dict)

    def take(self, run: RunFile, sample: Sample) -> None:
        labels = sample.labels
        if not sample.name.startswith("biokeel_") or "event" not in labels:
            return
        event, value = event_type(labels["event"]), sample.value
        match sample.name:
            case "biokeel_events_total":
                self.events[Tally(run, event, Edge(f"{labels['stage']}/{labels['outcome']}"))] = int(value)
            case "biokeel_rejected_total":
                reason = (event, Reason(labels["reason"]))
                self.rejected[reason] = self.rejected.get(reason, 0) + int(value)
            case "biokeel_withheld_total":
                of = Field(labels["source"], event, labels["field"])
                self.withheld[of] = self.withheld.get(of, 0) + int(value)
            case "biokeel_lag_events" | "biokeel_lag_seconds":
                key = (labels["worker"], event)
                lag = self.lags.get(key, Lag(0, 0.0))
                self.lags[key] = (
                    Lag(lag.events + int(value), lag.seconds)
                    if sample.name == "biokeel_lag_events"
                    else Lag(lag.events, max(lag.seconds, value))
                )
            case "biokeel_table_version":
                table = (event, labels["table"])
                self.versions[table] = max(self.versions.get(table, 0), int(value))
            case "biokeel_parked":
                self.parked[event] = max(self.parked.get(event, 0), int(value))
