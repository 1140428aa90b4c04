"""A table by its mapping into events: the adapter of all families that are tables."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from biokeel.contracts.schema import EventSchema
from biokeel.contracts.topics import EventType, event_type
from biokeel.errors import AdapterError
from biokeel.source.adapters.base import Batch, Context, Report
from biokeel.source.adapters.envelope import open_bytes
from biokeel.source.mappings.events import Events
from biokeel.source.mappings.model import Mapping
from biokeel.source.mappings.opened import Opened
from biokeel.source.mappings.rows import Faults, Rows, fitting
from biokeel.source.mappings.table import HEADER_LINES, Header, Piece, column, find_header, read_pieces

NO_EVENT: Final = "no event of the mapping is for such a line"
_LONGEST_LINE: Final = 1 << 16
"""Bytes of a line that may be a header."""


@dataclass(frozen=True, slots=True)
class Table:
    """Reads the tables of one mapping (`Adapter`). `schemas` are those that the mapping was held against."""

    mapping: Mapping
    schemas: AnyMapping[EventType, EventSchema]

    def __call__(self, path: Path, context: Context, report: Report) -> Iterator[Batch]:
        """Yield the events of the table at `path`, a frame for each event type and piece.

        Raises `AdapterError` where the file has not the mapping's columns, names nobody and no person is named, or
        does not tell its days from its months.
        """
        header = self.header(path)
        opened = Opened(self.mapping, path, header, context, report)
        rules = [Events(opened, rule, self.schemas[event_type(rule.event)]) for rule in self.mapping.events]
        with open_bytes(path, report, self.mapping.file.encoding) as file:
            for piece in read_pieces(file, path, header, self.mapping.file, report.problem):
                yield from _batches(piece, opened, rules)
        for events in rules:
            yield from events.last()

    def header(self, path: Path) -> Header:
        """The header of the table at `path`. Raises `AdapterError` where it has none of this mapping."""
        found = find_header(first_lines(path, self.mapping.file.encoding), self.mapping)
        if found is None:
            raise AdapterError(
                f"{path.name} has not the columns of the mapping {self.mapping.name}.",
                f"One of its first {HEADER_LINES} lines must name them all.",
            )
        return found


def first_lines(path: Path, encoding: str | None = None) -> list[str]:
    """The first lines of a file, as far as one of them can be a header. Raises `AdapterError`."""
    with open_bytes(path, None, encoding) as file:
        return [file.readline(_LONGEST_LINE).decode("utf-8", "replace") for _ in range(HEADER_LINES)]


def _batches(piece: Piece, opened: Opened, rules: list[Events]) -> Iterator[Batch]:
    """The events of a piece."""
    opened.new_piece()
    mapping, rows = opened.mapping, len(piece.lines)
    nothing = pl.Series([None], dtype=pl.String).new_from_index(0, rows)
    found = {own: nothing if index is None else piece.cells[column(index)] for own, index in opened.names.items()}
    left = np.ones(rows, np.bool_)
    for out, tell in ((mapping.leave_out, opened.report.leave_out), (mapping.refuse, opened.report.problem)):
        for rule in out:
            fit = left & fitting(rule.when, found, rows)
            for line in piece.lines[fit].tolist():
                tell(f"line {line}", rule.why)
            left &= ~fit
    taken = np.zeros(rows, np.bool_)
    subject, faults = opened.subjects(found, rows) if rules else (nothing, Faults(rows))
    for events in rules:
        wanted = left & fitting(events.rule.when, found, rows)
        taken |= wanted
        if wanted.any():
            index = np.flatnonzero(wanted)
            own = {name: found[name].gather(index) for name in events.reads}
            yield from events.batches(Rows(own, piece.lines[index], subject.gather(index), faults.at(index)))
    for line in piece.lines[left & ~taken].tolist():
        opened.problem(line, NO_EVENT)
