"""What the first lines of a table would become by a mapping: events and fields, never a value."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

import polars as pl

from biokeel.contracts.schema import ENVELOPE_FIELDS
from biokeel.source.adapters.base import Context, Report
from biokeel.source.mappings.run import Table

_BATCHES: Final = 40
"""Frames that are looked at: those of the first piece of the file, whatever it is made into."""


@dataclass
class Preview:
    """By event type how many events there would be, and in how many of them each field is filled."""

    events: Counter[str] = field(default_factory=Counter)
    filled: dict[str, Counter[str]] = field(default_factory=dict)
    report: Report = field(default_factory=Report)


def preview(table: Table, path: Path, context: Context) -> Preview:
    """Read the beginning of `path`. Raises `AdapterError` as `Table` does."""
    found = Preview()
    for event, rows, _ in islice(table(path, context, found.report), _BATCHES):
        assert isinstance(rows, pl.DataFrame), "a table's events are frames"
        found.events[str(event)] += rows.height
        counts = found.filled.setdefault(str(event), Counter())
        for name in rows.columns:
            if name not in ENVELOPE_FIELDS or name == "occurred_at":
                counts[name] += rows.height - rows[name].null_count()
    return found
