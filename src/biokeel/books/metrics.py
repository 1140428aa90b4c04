"""The follower's metrics, on /metrics of its process: what the books came to, and alarms of sources.

Labels are ids of sources, event types, places and kinds of alarms: few words, and none that is a person's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

from biokeel.books.alarms import KINDS
from biokeel.observe.metrics import ProcessMetrics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from biokeel.books.alarms import Alarm
    from biokeel.books.balance import Books


class BooksMetrics(ProcessMetrics):
    """The metrics of one follower, in a registry of their own."""

    def __init__(self) -> None:
        super().__init__("books")
        self._shown: object = None
        """What was set last of `Books.sources`: where nothing came it is the same again."""
        self._raised: dict[tuple[str, str], bool] = {}
        labels = ["source", "place"]
        self._events = Gauge("biokeel_books_events", "Raw events by where they lie.", labels, registry=self.registry)
        self._taken_at = Gauge(
            "biokeel_books_taken_at_seconds", "When the books were looked at, since 1970.", registry=self.registry
        )
        self._saved_at = Gauge(
            "biokeel_books_saved_at_seconds", "When the books were saved, since 1970.", registry=self.registry
        )
        self._saved_bytes = Gauge("biokeel_books_saved_bytes", "Size of the saved books.", registry=self.registry)
        self._receipts = Counter(
            "biokeel_receipts", "Records of receipts that were sent.", ["source"], registry=self.registry
        )
        self._alarms = Gauge(
            "biokeel_source_alarm",
            "1 while something is strange about a source.",
            ["source", "kind"],
            registry=self.registry,
        )

    def books(self, books: Books) -> None:
        """Set what the books came to: events by place, and `missing` and `doubled` ones."""
        if books.sources is not self._shown:
            for source, sums in books.sources.items():
                for place, count in sums.figures().items():
                    self._events.labels(source, place).set(count)
            self._shown = books.sources
        self._taken_at.set(books.taken_at)

    def saved(self, at: float, size: int) -> None:
        """Set when the books were saved, and how many bytes they have."""
        self._saved_at.set(at)
        self._saved_bytes.set(size)

    def sent(self, sources: Iterable[str]) -> None:
        """Count a record sent to each of `sources`, which are named as often as records were sent."""
        for source in sources:
            self._receipts.labels(source).inc()

    def alarms(self, registered: Iterable[str], alarms: Iterable[Alarm]) -> None:
        """Set which alarms there are."""
        raised = {(alarm.source, alarm.kind) for alarm in alarms}
        shown = {(source, kind): (source, kind) in raised for source in registered for kind in KINDS}
        for labels, is_raised in shown.items() - self._raised.items():
            self._alarms.labels(*labels).set(is_raised)
        self._raised |= shown
