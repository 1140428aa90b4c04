"""The metrics of the worker beside the stream: what shadows count and cost, windows, and thresholds.

Labels are ids of sources, event types, rules and words for changes: few words, and none that is a person's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Gauge

from biokeel.observe.metrics import ProcessMetrics
from biokeel.rules.window_results import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from biokeel.rules.beside_seen import Level
    from biokeel.rules.shadow import Counted
    from biokeel.rules.window_results import Result
    from biokeel.rules.window_state import WindowState

_LEVELS: Final = {Outcome.WARNS: 1, Outcome.FAILS: 2}


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

        self._windows = Counter(
            "biokeel_windows",
            "Results of windows and thresholds, by what became of the rule.",
            ["event", "outcome"],
            registry=self.registry,
        )
        self._due = Gauge(
            "biokeel_windows_due", "Windows that are over and not judged yet.", ["event"], registry=self.registry
        )
        self._failing = Gauge(
            "biokeel_window_failing",
            "1 while the last window does not meet the rule, or could not be judged; of all sources: source is empty.",
            ["event", "rule", "source"],
            registry=self.registry,
        )
        self._share = Gauge(
            "biokeel_threshold_share",
            "Share of the rows of a source that fail a rule which has a threshold.",
            ["event", "rule", "source"],
            registry=self.registry,
        )
        self._level = Gauge(
            "biokeel_threshold_level",
            "0 below the threshold, 1 where it warns, 2 where it fails.",
            ["event", "rule", "source"],
            registry=self.registry,
        )

    def judged(self, event: str, results: Iterable[Result]) -> None:
        """Count results of a window."""
        for result in results:
            self._windows.labels(event, result.outcome).inc()

    def windows(self, states: Iterable[tuple[str, WindowState]], levels: Iterable[tuple[str, Level]]) -> None:
        """Set what is due, what fails, and where sources stand at thresholds."""
        for gauge in (self._due, self._failing, self._share, self._level):
            gauge.clear()
        for event, state in states:
            self._due.labels(event).set(len(state.due))
            for result in state.latest:
                is_failing = result.outcome in {Outcome.FAILS, Outcome.NOT_JUDGED}
                self._failing.labels(event, result.rule, result.source or "").set(is_failing)
        for event, level in levels:
            self._share.labels(event, level.rule, level.source).set(level.share.share)
            self._level.labels(event, level.rule, level.source).set(_LEVELS.get(level.outcome, 0))

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
