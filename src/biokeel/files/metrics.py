"""The metrics of who checks files, on /metrics of its process. Labels are reasons: never a value."""

from __future__ import annotations

from prometheus_client import Counter

from biokeel.observe.metrics import ProcessMetrics


class FilesMetrics(ProcessMetrics):
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        super().__init__("files")
        self._checked = Counter(
            "biokeel_files_checked",
            "Genome files by the reason for which they were refused; good: they were not.",
            ["reason"],
            registry=self.registry,
        )

    def checked(self, reason: str) -> None:
        """Count one file; an empty reason is a good one."""
        self._checked.labels(reason or "good").inc()
