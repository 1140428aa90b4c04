"""The metrics of who checks files, on /metrics of its process. Labels are reasons: never a value."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge


class FilesMetrics:
    """The metrics of one process, in a registry of their own; see `biokeel.observe.serve.Observed`."""

    worker = "files"

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._beat = time.monotonic()
        self._checked = Counter(
            "biokeel_files_checked",
            "Genome files by the reason for which they were refused; good: they were not.",
            ["reason"],
            registry=self.registry,
        )
        self._waiting = Gauge(
            "biokeel_waiting_seconds",
            "For how long the worker has waited for something outside; 0 while it answers.",
            ["worker"],
            registry=self.registry,
        )

    def checked(self, reason: str) -> None:
        """Count one file; an empty reason is a good one."""
        self._checked.labels(reason or "good").inc()

    def waiting(self, seconds: float) -> None:
        """Set for how long something outside has not answered."""
        self._waiting.labels(self.worker).set(seconds)

    def beat(self) -> None:
        """Say that the loop turns."""
        self._beat = time.monotonic()

    def silence(self) -> float:
        """Seconds since the last `beat`."""
        return time.monotonic() - self._beat
