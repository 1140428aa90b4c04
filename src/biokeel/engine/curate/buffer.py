"""What waits to be landed of one event type: judged rows, and how far they reach in each pseudo partition."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from biokeel.engine.curate.judging import Judged
    from biokeel.engine.kafka.deliveries import Delivery
    from biokeel.link.state import Snapshot
    from biokeel.settings import Settings


@dataclass(slots=True)
class Buffer:
    """Judged deliveries of one event type, in the order of their partitions."""

    deliveries: list[Delivery] = field(default_factory=list)
    standings: dict[int, Snapshot] = field(default_factory=dict)
    rows_of: Counter[int] = field(default_factory=Counter)
    """Rows by pseudo partition."""
    size: int = 0
    began: float = field(default_factory=monotonic)
    _curated: list[pl.DataFrame] = field(default_factory=list)
    _quarantined: list[pl.DataFrame] = field(default_factory=list)

    def add(self, deliveries: Iterable[Delivery], judged: Judged) -> None:
        """Take in what `deliveries` came to. Those of a partition come in order, so the last standing is the one."""
        self.deliveries += deliveries
        self.standings |= judged.standings
        for frame, kept in ((judged.curated, self._curated), (judged.quarantined, self._quarantined)):
            if not frame.is_empty():
                kept.append(frame)
                counts = np.bincount(frame["pseudo_partition"].to_numpy())
                self.rows_of.update({partition: int(count) for partition, count in enumerate(counts) if count})
                self.size += _size(frame)

    @property
    def rows(self) -> int:
        """All rows."""
        return self.rows_of.total()

    def due(self, settings: Settings) -> bool:
        """Whether there is enough to land, by rows, bytes or the age of the oldest row."""
        return bool(self.deliveries) and (
            self.rows >= settings.flush_rows
            or self.size >= settings.flush_bytes
            or monotonic() - self.began >= settings.flush_seconds
        )

    def curated(self) -> pl.DataFrame | None:
        """All rows that land, or None."""
        return _one(self._curated)

    def quarantined(self) -> pl.DataFrame | None:
        """All rows that are quarantined, or None."""
        return _one(self._quarantined)


def _size(frame: pl.DataFrame) -> int:
    """Bytes of `frame`: polars counts what strings point to, not the 16 bytes of each that say where that is."""
    strings = sum(kind == pl.String for kind in frame.dtypes)
    return int(frame.estimated_size()) + 16 * strings * frame.height


def _one(frames: list[pl.DataFrame]) -> pl.DataFrame | None:
    return pl.concat(frames, how="diagonal") if frames else None
