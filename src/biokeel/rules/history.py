"""From which block of which partition on a version judged: read from the tables, whose rows say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from biokeel.errors import LandingError, StoreUnavailable
from biokeel.land.reading import collect, scan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from biokeel.contracts.topics import EventType
    from biokeel.land.lake import Lake

_COLUMNS: Final = ("suite_version", "pseudo_partition", "pseudo_offset")


class Span(NamedTuple):
    """What a version judged of one partition of the pseudo topic: `first` and `last` block (offset), and the rows."""

    partition: int
    first: int
    last: int
    rows: int


def judged(lake: Lake, event: EventType) -> Mapping[str, list[Span]]:
    """By stamp of a version (`3+0f12ab34cd56`), what it judged, by partition; of what is in the tables now.

    Blocks of two versions may overlap where a worker died: what one had decided stays decided, and the other judged
    the rest. Raises `StoreUnavailable`.
    """
    frames = []
    for table in (lake.curated(event), lake.quarantine(event), lake.history(event)):
        try:
            rows = scan(table, lake)
        except StoreUnavailable:
            raise
        except LandingError:
            continue  # the table is made when something lands
        frames.append(rows.select(_COLUMNS).filter(pl.col("suite_version").is_not_null()))
    if not frames:
        return {}
    offset = pl.col("pseudo_offset")
    grouped = pl.concat(frames).group_by("suite_version", "pseudo_partition")
    found: dict[str, list[Span]] = {}
    told = collect(grouped.agg(offset.min().alias("first"), offset.max().alias("last"), pl.len().alias("rows")))
    for stamp, *span in told.sort("pseudo_partition").iter_rows():
        found.setdefault(stamp, []).append(Span(*span))
    return found
