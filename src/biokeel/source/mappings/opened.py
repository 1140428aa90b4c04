"""One reading of one file: where each column of the mapping stands, whose the rows are, and what is told of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl

from biokeel.contracts.topics import EventType
from biokeel.errors import AdapterError
from biokeel.observe.visible import visible
from biokeel.source.adapters.base import Context, Report, Unusable, known_subject
from biokeel.source.adapters.envelope import open_bytes
from biokeel.source.mappings import cells
from biokeel.source.mappings.model import SOURCE_ZONE, Mapping
from biokeel.source.mappings.rows import Cells, Faults
from biokeel.source.mappings.seen import Seen
from biokeel.source.mappings.table import Header, column, read_pieces

_LONGEST_NAME: Final = 60
"""Characters of a column's name that a report shows."""
_SITED: Final = ("hospital", "app", "sample")
"""Schemes that go on with the site."""


@dataclass
class Opened:
    """A file that is read by a mapping. `names` say where in the header each column of the mapping stands, or nowhere.

    `forms` are how its times are written. Raises `AdapterError` where a column stands there twice, nobody is named, or
    the file does not tell its days from its months.
    """

    mapping: Mapping
    path: Path
    header: Header
    context: Context
    report: Report
    names: dict[str, int | None] = field(init=False)
    forms: tuple[str, ...] = field(init=False)
    _told: set[tuple[str, str]] = field(init=False, default_factory=set)
    _seen: dict[EventType, Seen] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.names = self._resolved()
        self.forms = self._decided()
        if self.mapping.events and self._person is None and self.context.subject is None:
            raise AdapterError(f"{self.path.name} names no person.", "Say whose it is: --subject SCHEME=VALUE.")
        read = {index for index in self.names.values() if index is not None}
        for index, name in enumerate(self.header.names):
            if self.mapping.events and index not in read and not self.mapping.knows(name):
                what = f"column {shortened(name)}, which the mapping does not read"
                self.report.leave_out(f"line {self.header.line}", what)

    @property
    def _person(self) -> int | None:
        own = self.mapping.subject.column
        return None if own is None else self.names[own]

    @property
    def scheme(self) -> str:
        """The scheme of the subjects."""
        rule = self.mapping.subject
        if self._person is None:
            assert self.context.subject is not None, "asked for when the file was opened"
            return self.context.subject.scheme
        if rule.scheme in _SITED:
            return f"{rule.scheme}/{self.context.site}" + (f"-{rule.system}" if rule.system else "")
        return str(rule.scheme)

    def subjects(self, found: Cells, rows: int) -> tuple[pl.Series, Faults]:
        """The identifier of each row, and what is wrong with them."""
        faults = Faults(rows)
        own = self.mapping.subject.column
        if own is None or self._person is None:
            assert self.context.subject is not None, "asked for when the file was opened"
            return pl.Series([self.context.subject.value]).new_from_index(0, rows), faults
        texts, shown, scheme = found[own], self.shown(own), self.scheme
        faults.add(texts.is_null(), f"{shown} is empty")
        for value in texts.unique().drop_nulls().to_list():
            try:
                known_subject(scheme, value, shown)
            except Unusable as fault:
                faults.add(texts == value, str(fault))
        return texts, faults

    def zone(self, name: str) -> tzinfo | None:
        """The zone of times without an offset."""
        return self.context.zone if name == SOURCE_ZONE else ZoneInfo(name)

    def shown(self, own: str) -> str:
        """What the header calls a column of the mapping."""
        index = self.names[own]
        return shortened(self.header.names[index] if index is not None else self.mapping.columns[own].names[0])

    def new_piece(self) -> None:
        """Forget of which lines was told: there come others."""
        self._told.clear()

    def problem(self, line: int, reason: str) -> None:
        """Tell of a line once, though several events of it have the same fault."""
        place = f"line {line}"
        if (place, reason) not in self._told:
            self._told.add((place, reason))
            self.report.problem(place, reason)

    def seen(self, event: EventType) -> Seen:
        """The keys of an event type that came before."""
        return self._seen.setdefault(event, Seen())

    def _resolved(self) -> dict[str, int | None]:
        found = self.mapping.resolved(self.header.names)
        for places in found.values():
            if len(places) > 1:
                name = shortened(self.header.names[places[1]])
                raise AdapterError(
                    f"{self.path.name}: the header has {name} more than once, or by two names.",
                    "Keep the one that counts, or name it in a mapping of your own.",
                )
        return {own: places[0] if places else None for own, places in found.items()}

    def _decided(self) -> tuple[str, ...]:
        """The forms of times: declared, or the only ones of some that the whole file, or whoever publishes, allows."""
        decide = self.mapping.times.decide
        if decide is None:
            return self.mapping.times.formats
        index, count = self.names[decide.column], range(len(decide.among))
        only = [[False for _ in count] for _ in count]
        differs = False
        with open_bytes(self.path, None, self.mapping.file.encoding) as file:
            for piece in read_pieces(file, self.path, self.header, self.mapping.file, lambda _place, _why: None):
                texts = piece.cells[column(index or 0)].unique()
                read = [cells.moments(texts, forms, None).at for forms in decide.among]
                for one, first in enumerate(read):
                    for other, second in enumerate(read):
                        only[one][other] |= bool((first.is_not_null() & second.is_null()).any())
                        differs |= bool((first != second).fill_null(value=False).any())
        # A date that only one of them can read tells for it.
        mixed = any(only[one][other] and only[other][one] for one in count for other in count)
        left = [one for one in count if not any(only[other][one] for other in count)]
        stated = self.context.day_month
        said = [one for one in left if _order(decide.among[one]) in (stated, None)] if stated else left
        if not mixed and said and (len(said) == 1 or not differs):
            return decide.among[said[0]]
        if mixed:
            why = "are written in two orders"
        elif said:
            why = "may be read in two orders"
        else:
            why = "are not in the order that --day-month says"
        raise AdapterError(
            f"{self.path.name}: day and month of {self.shown(decide.column)} {why}.",
            "Say the order: --day-month, or a mapping of yours (biokeel source map).",
        )


def _order(forms: tuple[str, ...]) -> str | None:
    """Which of day and month comes first, as `Context.day_month` says it; null where the year does."""
    first = forms[0]
    day, month = first.find("%d"), first.find("%m")
    if first.find("%Y") < max(day, month) or -1 in (day, month):
        return None
    return "dmy" if day < month else "mdy"


def shortened(name: str) -> str:
    """The name of a column, fit for a report."""
    shown = visible(name)
    return shown if len(shown) <= _LONGEST_NAME else shown[:_LONGEST_NAME] + "…"
