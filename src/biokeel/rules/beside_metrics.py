"""The metrics of the worker beside the stream: what shadows count and cost.

Labels are ids of sources, event types, rules and words for changes: few words, and none that is a person's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Gauge

from biokeel.observe.metrics import ProcessMetrics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from biokeel.rules.shadow import Counted


class BesideMetrics(ProcessMetrics):
    """The metrics of one worker beside the stream, in a registry of their own."""

    def __init__(self) -> None:
        super().__init__("windows")
        self._rows = Gauge(
            "biokeel_shadow_rows",
            "Rows that the shadow of an event type has judged, by what it would do with them.",
            ["event", "source", "fate"],
            registry=self.registry,
        )
        self._changes = Gauge(
            "biokeel_shadow_changes",
            "Rows that a rule of the shadow judges otherwise than the version in force.",
            ["event", "rule", "source", "change"],
            registry=self.registry,
        )
        self._cpu = Gauge(
            "biokeel_shadow_cpu_seconds",
            "CPU seconds that the shadow of an event type took.",
            ["event"],
            registry=self.registry,
        )

    def shadows(self, running: Iterable[tuple[str, Counted]]) -> None:
        """Set what the shadows that run have counted, by event type; one that ended is shown no more."""
        for gauge in (self._rows, self._changes, self._cpu):
            gauge.clear()
        for event, counted in running:
            for source, counts in counted.sources.items():
                for fate, rows in counts._asdict().items():
                    self._rows.labels(event, source, "judged" if fate == "rows" else fate).set(rows)
            for (rule, change, source), rows in counted.changes.items():
                self._changes.labels(event, rule, source, change).set(rows)
            self._cpu.labels(event).set(counted.cpu_seconds)
