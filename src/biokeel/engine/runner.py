"""Runs stages: times them, and counts what passed and what was rejected. Stages themselves hold no metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import polars as pl

    from biokeel.contracts.topics import EventType
    from biokeel.observe.metrics import Edge, WorkerMetrics
    from biokeel.reasons import Reason

P = ParamSpec("P")
T = TypeVar("T")


class StageRunner:
    """The one place where a worker's stages are observed. Usable from any thread."""

    def __init__(self, metrics: WorkerMetrics) -> None:
        self.metrics = metrics

    def run(self, name: str, stage: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `stage(*args, **kwargs)`, timed as `name`."""
        with self.metrics.stage(name):
            return stage(*args, **kwargs)

    def passed(self, event: EventType, edge: Edge, rows: int) -> None:
        """Count `rows` that took `edge`, once that is durable."""
        self.metrics.passed(event, edge, rows)

    def rejected(self, event: EventType, counts: Mapping[Reason, int]) -> None:
        """Count rows that left the main path, by reason."""
        for reason, rows in counts.items():
            self.metrics.rejected(event, reason, rows)

    def withheld(self, event: EventType, counts: Mapping[tuple[str, str], int]) -> None:
        """Count values that did not cross the wall, by source and field."""
        for (source, field), values in counts.items():
            self.metrics.withheld(event, source, field, values)

    def lag(self, event: EventType, delivery: Any, now: float) -> None:
        """Set how far behind the partition of `delivery` is: messages to its end, and the age of its newest."""
        waiting = max((delivery.highwater or 0) - delivery.last - 1, 0)
        age = max(now - delivery.records.timestamp / 1000.0, 0.0)
        self.metrics.lag(event, delivery.at, waiting, age if waiting else 0.0)


def count_reasons(rejected: pl.DataFrame) -> dict[str, int]:
    """How many rows of a quarantine frame each reason has."""
    counts = rejected.get_column("reason").value_counts()
    return dict(zip(counts.get_column("reason"), counts.get_column("count"), strict=True))
