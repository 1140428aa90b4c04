"""A table by its mapping into events: the adapter of all families that are tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping as AnyMapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from fractions import Fraction
from pathlib import Path
from typing import Final, overload
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from biokeel.contracts.columns import frame_schema
from biokeel.contracts.forms import Values
from biokeel.contracts.grammars import GRAMMARS
from biokeel.contracts.schema import EventSchema, Field
from biokeel.contracts.topics import EventType, event_type
from biokeel.errors import AdapterError
from biokeel.observe.visible import visible
from biokeel.source.adapters.base import Batch, Context, Report, Unusable, subject_of
from biokeel.source.adapters.envelope import open_bytes
from biokeel.source.mappings import cells
from biokeel.source.mappings.contract import DATE, TIME, unit_field, units_of
from biokeel.source.mappings.model import (
    SOURCE_ZONE,
    EventRule,
    FieldRule,
    Mapping,
    Test,
    UnitColumn,
    When,
)
from biokeel.source.mappings.seen import Seen
from biokeel.source.mappings.table import HEADER_LINES, Header, Piece, column, find_header, read_pieces
from biokeel.source.mappings.units import factor

SEPARATOR: Final = "\x1f"
"""Stands between the parts of a record's key; no table holds it."""
COMPARATOR: Final = "comparator"
NO_EVENT: Final = "no event of the mapping is for such a line"
REPEATED: Final = "a line that says again what an earlier one said"
SAME_KEY: Final = "the record key of an earlier line, and other content"
_LONGEST_NAME: Final = 60
_LONGEST_LINE: Final = 1 << 16
"""Bytes of a line that may be a header."""
_PRECISIONS: Final = {"occurred_at": "occurred_precision", "onset_at": "onset_precision"}

Schemas = AnyMapping[EventType, EventSchema]
Cells = AnyMapping[str, pl.Series]


class Lines(Sequence[str]):
    """Places of rows, written only where somebody asks."""

    def __init__(self, numbers: npt.NDArray[np.int64]) -> None:
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Lines: ...
    def __getitem__(self, index: int | slice) -> str | Lines:
        return Lines(self._numbers[index]) if isinstance(index, slice) else f"line {self._numbers[index]}"


@dataclass(frozen=True, slots=True)
class Table:
    """Reads the tables of one mapping (`Adapter`). `schemas` are those that the mapping was held against."""

    mapping: Mapping
    schemas: Schemas

    def __call__(self, path: Path, context: Context, report: Report) -> Iterator[Batch]:
        """Yield the events of the table at `path`, a frame for each event type and piece.

        Raises `AdapterError` where the file has not the mapping's columns, names nobody and no person is named, or
        does not tell its days from its months.
        """
        header = self.header(path)
        run = _Run(self.mapping, self.schemas, path, context, report, header)
        with open_bytes(path, report, self.mapping.file.encoding) as file:
            for piece in read_pieces(file, path, header, self.mapping.file, report.problem):
                yield from run.batches(piece)
        yield from run.last()

    def header(self, path: Path) -> Header:
        """The header of the table at `path`. Raises `AdapterError` where it has none of this mapping."""
        found = find_header(first_lines(path, self.mapping.file.encoding), self.mapping.file, self.mapping.wanted)
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


class _Run:
    """One reading of one file."""

    def __init__(
        self, mapping: Mapping, schemas: Schemas, path: Path, context: Context, report: Report, header: Header
    ) -> None:
        self.mapping, self.path, self.context, self.report, self.header = mapping, path, context, report, header
        self.names = _resolved(mapping, header, path)
        self.times = self._decided()
        self._told: set[tuple[str, str]] = set()
        self._seen: dict[EventType, Seen] = {}
        self.makers = [_Maker(self, rule, schemas[event_type(rule.event)]) for rule in mapping.events]
        own = mapping.subject.column
        if mapping.events and (own is None or self.names[own] is None) and context.subject is None:
                raise AdapterError(f"{path.name} names no person.", "Say whose it is: --subject SCHEME=VALUE.")
        read = {index for index in self.names.values() if index is not None}
        for index, name in enumerate(header.names):
            if index not in read and name not in mapping.ignored:
                report.leave_out(f"line {header.line}", f"column {_short(name)}, which the mapping does not read")

    def zone(self, name: str) -> tzinfo | None:
        """The zone of times without an offset."""
        return self.context.zone if name == SOURCE_ZONE else ZoneInfo(name)

    def shown(self, own: str) -> str:
        """What the header calls a column of the mapping."""
        index = self.names[own]
        return _short(self.header.names[index] if index is not None else self.mapping.columns[own].names[0])

    def problem(self, line: int, reason: str) -> None:
        """Tell of a line once, though several events of it have the same fault."""
        place = f"line {line}"
        if (place, reason) not in self._told:
            self._told.add((place, reason))
            self.report.problem(place, reason)

    def seen(self, event: EventType) -> Seen:
        """The keys of an event type that came before."""
        return self._seen.setdefault(event, Seen())

    def batches(self, piece: Piece) -> Iterator[Batch]:
        """The events of a piece."""
        self._told.clear()
        rows = len(piece.lines)
        nothing = pl.Series([None], dtype=pl.String).new_from_index(0, rows)
        found = {
            own: piece.cells[column(index)] if index is not None else nothing for own, index in self.names.items()
        }
        open_ = np.ones(rows, np.bool_)
        for rule in self.mapping.leave_out:
            out = open_ & fitting(rule.when, found, rows)
            for line in piece.lines[out]:
                self.report.leave_out(f"line {line}", rule.why)
            open_ &= ~out
        taken = np.zeros(rows, np.bool_)
        for maker in self.makers:
            wanted = open_ & fitting(maker.rule.when, found, rows)
            taken |= wanted
            if wanted.any():
                index = np.flatnonzero(wanted)
                own = found if len(index) == rows else {name: cell.gather(index) for name, cell in found.items()}
                yield from maker.batches(own, piece.lines[index])
        for line in piece.lines[open_ & ~taken]:
            self.problem(int(line), NO_EVENT)

    def last(self) -> Iterator[Batch]:
        """Events whose other rows never came."""
        for maker in self.makers:
            yield from maker.last()

    def subjects(self, found: Cells, rows: int) -> tuple[pl.Series, pl.Series, Faults]:
        """Scheme and identifier of each row, and what is wrong with them."""
        faults = Faults(rows)
        own = self.mapping.subject.column
        if own is None or self.names[own] is None:
            subject = self.context.subject
            assert subject is not None, "asked for when the file was opened"
            return (
                pl.Series([subject.scheme]).new_from_index(0, rows),
                pl.Series([subject.value]).new_from_index(0, rows),
                faults,
            )
        kind = self.mapping.subject.scheme
        scheme = f"{kind}/{self.context.site}" if kind in ("hospital", "app", "sample") else str(kind)
        texts = found[own]
        faults.add(texts.is_null(), f"{self.shown(own)} is empty")
        values = texts.unique().drop_nulls()
        for value in values.to_list():
            try:
                subject_of(scheme, value, self.shown(own))
            except Unusable as fault:
                faults.add(texts.eq(value).fill_null(value=False), str(fault))
        return pl.Series([scheme]).new_from_index(0, rows), texts, faults

    def _decided(self) -> tuple[str, ...]:
        """The forms of times: declared, or the only ones of some that the whole file allows."""
        decide = self.mapping.times.decide
        if decide is None:
            return self.mapping.times.formats
        index = self.names[decide.column]
        only = [[False] * len(decide.among) for _ in decide.among]
        differs = False
        with open_bytes(self.path, None, self.mapping.file.encoding) as file:
            for piece in read_pieces(file, self.path, self.header, self.mapping.file, lambda _place, _why: None):
                texts = piece.cells[column(index or 0)].unique()
                read = [cells.moments(texts, forms, None).at for forms in decide.among]
                for one, first in enumerate(read):
                    for other, second in enumerate(read):
                        only[one][other] |= bool((first.is_not_null() & second.is_null()).any())
                        differs |= bool((first != second).fill_null(value=False).any())
        count = range(len(decide.among))
        beaten = [any(only[other][one] and not only[one][other] for other in count) for one in count]
        mixed = any(only[one][other] and only[other][one] for one in count for other in count)
        left = [one for one in count if not beaten[one]]
        if mixed or (len(left) > 1 and differs):
            why = "are written in two orders" if mixed else "may be read in two orders"
            raise AdapterError(
                f"{self.path.name}: day and month of {self.shown(decide.column)} {why}.",
                "Write a mapping that says the order: biokeel source map prints this one, to be decided.",
            )
        return decide.among[left[0]]


def _resolved(mapping: Mapping, header: Header, path: Path) -> dict[str, int | None]:
    """Where in the header each column of the mapping stands. Raises `AdapterError` where it stands there twice."""
    found: dict[str, int | None] = {}
    for own, wanted in mapping.columns.items():
        places = [index for index, name in enumerate(header.names) if name in wanted.names]
        if len(places) > 1:
            raise AdapterError(
                f"{path.name}: the header has {_short(header.names[places[1]])} more than once, or by two names.",
                "Keep the one that counts, or name it in a mapping of your own.",
            )
        found[own] = places[0] if places else None
    return found


def _short(name: str) -> str:
    shown = visible(name)
    return shown if len(shown) <= _LONGEST_NAME else shown[:_LONGEST_NAME] + "…"


def fitting(when: When, found: Cells, rows: int) -> npt.NDArray[np.bool_]:
    """Which rows fit every test of `when`."""
    result = np.ones(rows, np.bool_)
    for name, test in when.items():
        result &= _fits(test, found[name]).to_numpy()
    return result


def _fits(test: Test, texts: pl.Series) -> pl.Series:
    if test.among is not None:
        return texts.is_in(list(test.among)).fill_null(value=False)
    if test.but is not None:
        return ~texts.is_in(list(test.but)).fill_null(value=False)
    if test.is_ == "present":
        return texts.is_not_null()
    if test.is_ == "empty":
        return texts.is_null()
    if test.is_ == "number":
        return texts.str.contains(r"^[<>]?=?\s*[+-]?[0-9.,]+$").fill_null(value=False)
    if test.code is not None:
        fits = GRAMMARS[test.code].fits(texts.fill_null(""))
        return fits & texts.is_not_null()
    return texts.str.contains(test.matches or "").fill_null(value=False)


class Faults:
    """What is wrong with some rows: of each the first that was found."""

    def __init__(self, rows: int) -> None:
        self.bad = np.zeros(rows, np.bool_)
        self._found: list[tuple[npt.NDArray[np.bool_], str]] = []

    def add(self, bad: pl.Series, reason: str) -> None:
        """These rows are bad, for this reason, where they were not before."""
        new = bad.fill_null(value=False).to_numpy() & ~self.bad
        if new.any():
            self._found.append((new, reason))
            self.bad = self.bad | new

    def merge(self, other: Faults) -> None:
        """Take in the faults of another."""
        for bad, reason in other._found:
            self.add(pl.Series(bad), reason)

    def tell(self, run: _Run, lines: npt.NDArray[np.int64]) -> None:
        """Report them, in the order of the lines."""
        told = [(int(line), reason) for bad, reason in self._found for line in lines[bad]]
        for line, reason in sorted(told):
            run.problem(line, reason)


@dataclass(slots=True)
class _Maker:
    """Makes the events of one rule."""

    run: _Run
    rule: EventRule
    schema: EventSchema
    columns: dict[str, pl.DataType] = field(init=False)
    fields: dict[str, Field] = field(init=False)
    waiting: pl.DataFrame | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.columns = frame_schema(self.schema.avro)
        self.fields = {each.name: each for each in self.schema.fields}

    def batches(self, found: Cells, lines: npt.NDArray[np.int64]) -> Iterator[Batch]:
        """The events of some rows, which all fit the rule."""
        rows = len(lines)
        scheme, subject, faults = self.run.subjects(found, rows)
        made = self._made(found, rows, faults)
        faults.tell(self.run, lines)
        good = ~faults.bad
        key = pl.DataFrame({name: found[name] for name in self._key}).fill_null("")
        keys = pl.concat_str([scheme, subject.fill_null(""), *self._fixed(rows), *key.get_columns()], separator=SEPARATOR)
        frame = pl.DataFrame({"key": pl.select(keys).to_series(), "line": lines, **made}).with_columns(
            scheme.alias("subject_scheme"), subject.alias("subject_id")
        )
        frame = frame if good.all() else frame.filter(good)
        if self.rule.together:
            frame = self._joined(frame)
        if frame.height:
            yield from self._batch(frame)

    def last(self) -> Iterator[Batch]:
        """What waited for other rows of its event."""
        if self.waiting is not None and self.waiting.height:
            frame = self._grouped(self.waiting, self.waiting.select("key").unique())
            self.waiting = None
            if frame.height:
                yield from self._batch(frame)

    @property
    def _key(self) -> tuple[str, ...]:
        return self.rule.together or self.run.mapping.record_key

    def _fixed(self, rows: int) -> list[pl.Series]:
        """What stands in the key of every row: the mapping's name, and the event's part."""
        return [
            pl.Series(f"fixed{index}", [text]).new_from_index(0, rows)
            for index, text in enumerate((self.run.mapping.name, self.rule.part or ""))
        ]

    def _batch(self, frame: pl.DataFrame) -> Iterator[Batch]:
        content = frame.drop("key", "line").hash_rows()
        repeated, other = self.run.seen(self.schema.event).look(frame["key"].hash(), content)
        for line in frame["line"].filter(pl.Series(repeated)).to_list():
            self.run.report.leave_out(f"line {line}", REPEATED)
        for line in frame["line"].filter(pl.Series(other)).to_list():
            self.run.problem(line, SAME_KEY)
        fresh = ~(repeated | other)
        frame = frame if fresh.all() else frame.filter(fresh)
        if not frame.height:
            return
        ids, event = self.run.context.ids, self.schema.event
        series = {
            "event_id": pl.Series([ids.of(event, key) for key in frame["key"].to_list()], dtype=pl.String),
            "source_id": pl.Series([self.run.context.source_id]).new_from_index(0, frame.height),
        }
        whole = [
            (series[name] if name in series else frame[name]).cast(kind).alias(name)
            for name, kind in self.columns.items()
        ]
        yield Batch(event, pl.DataFrame(whole), Lines(frame["line"].to_numpy()))

    def _joined(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Events all of whose rows are here; the others wait."""
        frame = frame if self.waiting is None else pl.concat([self.waiting, frame])
        parts = [name for name, made in self.rule.fields.items() if made.when]
        complete = (
            frame.group_by("key").agg(pl.col(parts).is_not_null().any()).filter(pl.all_horizontal(parts)).select("key")
        )
        self.waiting = frame.join(complete, on="key", how="anti")
        return self._grouped(frame, complete)

    def _grouped(self, frame: pl.DataFrame, chosen: pl.DataFrame) -> pl.DataFrame:
        """One row for each key of `chosen`; rows of one key that contradict each other are problems."""
        frame = frame.join(chosen, on="key", how="semi")
        values = [name for name in frame.columns if name not in ("key", "line")]
        nested = [name for name in values if frame.schema[name].is_nested()]
        plain = [name for name in values if name not in nested]
        groups = frame.group_by("key", maintain_order=True).agg(
            pl.col(values).drop_nulls().first(),
            pl.col("line").min(),
            pl.any_horizontal(pl.col(plain).drop_nulls().n_unique() > 1).alias("contradicts"),
        )
        bad = groups.filter("contradicts").select("key")
        for line in frame.join(bad, on="key", how="semi")["line"].sort().to_list():
            self.run.problem(line, "lines of one event contradict each other")
        return groups.filter(~pl.col("contradicts")).select(frame.columns).sort("line")

    def _made(self, found: Cells, rows: int, faults: Faults) -> dict[str, pl.Series]:
        """Every field of the contract but those of the key and subject."""
        made: dict[str, pl.Series] = {}
        recorded = pl.Series([self.run.context.recorded_at], dtype=pl.Int64).new_from_index(0, rows)
        made["recorded_at"] = recorded
        rules = self.rule.fields
        order = sorted(rules, key=lambda name: name != "recorded_at")
        for name in order:
            self._field(name, rules[name], found, rows, made, faults)
        for name, kind in self.columns.items():
            if name not in made and name not in ("event_id", "source_id", "subject_scheme", "subject_id"):
                default = next((raw.get("default") for raw in self.schema.avro["fields"] if raw["name"] == name), None)
                made[name] = pl.Series([default], dtype=kind).new_from_index(0, rows)
        for name, each in self.fields.items():
            if not each.nullable and name in made and made[name].null_count():
                source = rules[name].column if name in rules else None
                unit = next((rule.unit for rule in rules.values() if isinstance(rule.unit, UnitColumn)), None)
                shown = self.run.shown(source or (unit.column if unit else next(iter(self.run.names))))
                faults.add(made[name].is_null(), f"{shown} is empty")
        return {name: values.alias(name) for name, values in made.items()}

    def _field(
        self, name: str, rule: FieldRule, found: Cells, rows: int, made: dict[str, pl.Series], faults: Faults
    ) -> None:
        each, kind = self.fields[name], self.columns[name]
        if rule.same_as is not None:
            made[name] = made[rule.same_as]
            return
        if rule.column is None:
            made[name] = _constant(rule.constant, kind, rows)
            return
        texts, shown = found[rule.column], self.run.shown(rule.column)
        apart = pl.Series(fitting(rule.when, found, rows)) if rule.when else None
        if apart is not None:
            texts = texts.set(~apart, None)
        if rule.map is not None:
            values, bad = cells.words(texts, rule.map, rule.otherwise, kind)
            faults.add(bad, f"{shown} holds a word that the mapping does not know")
        elif rule.present is not None:
            values = _constant(rule.present, kind, rows).set(texts.is_null(), None)
        elif each.kind == TIME:
            values = self._time(name, rule, texts, shown, found, made, faults)
        elif each.kind == DATE:
            values, bad = cells.days(texts, rule.formats or self.run.times)
            faults.add(bad, f"{shown} is no whole date of the forms that the mapping names")
        elif each.is_number:
            values = self._number(each, rule, texts, shown, found, made, faults)
        else:
            values = texts
            self._check_words(each, texts, shown, faults)
        if rule.empty is not None:
            values = values.cast(kind).zip_with(texts.is_not_null(), _constant(rule.empty, kind, rows))
        made[name] = values

    def _check_words(self, each: Field, texts: pl.Series, shown: str, faults: Faults) -> None:
        """Words of a closed set; whether a code can be one, the wall and the suites judge, for all sources alike."""
        if isinstance(each.form, Values):
            there = texts.is_not_null()
            fits = each.form.fits(texts.filter(there))
            bad = pl.Series(np.zeros(len(texts), np.bool_)).scatter(there.arg_true(), ~fits)
            faults.add(bad, f"{shown} is no {each.form.meaning}")

    def _time(
        self,
        name: str,
        rule: FieldRule,
        texts: pl.Series,
        shown: str,
        found: Cells,
        made: dict[str, pl.Series],
        faults: Faults,
    ) -> pl.Series:
        times = self.run.mapping.times
        zone = self.run.zone(rule.zone or times.zone)
        read = cells.moments(texts, rule.formats or self.run.times, zone)
        faults.add(read.bad, f"{shown} is no time of the forms that the mapping names")
        if name == "occurred_at":
            made["occurred_offset_minutes"] = read.offset
            if times.offset is not None and self.run.names[times.offset] is not None:
                minutes, bad = cells.stated_offsets(found[times.offset])
                faults.add(bad, f"{self.run.shown(times.offset)} is no offset such as UTC+0900")
                made["occurred_offset_minutes"] = minutes
        if (precise := _PRECISIONS.get(name)) in self.columns and precise is not None:
            made[precise] = read.precision.set(read.at.is_null(), None)
        return read.at

    def _number(
        self,
        each: Field,
        rule: FieldRule,
        texts: pl.Series,
        shown: str,
        found: Cells,
        made: dict[str, pl.Series],
        faults: Faults,
    ) -> pl.Series:
        read = cells.numbers(texts, self.run.mapping.file, rule.bounds)
        if read.comparator.null_count() < len(texts):
            if COMPARATOR in self.columns and each.name == "value":
                made[COMPARATOR] = read.comparator
            else:
                faults.add(read.comparator.is_not_null(), f"{shown} is only a bound, which the contract cannot hold")
        if each.unit and (rule.unit is not None):
            read = read._replace(values=self._in_unit(each, rule, read.values, found, made, faults))
        if each.kind in ("long", "int"):
            read = cells.whole(read)
        kind = "whole number" if each.kind in ("long", "int") else "number"
        faults.add(read.bad, f"{shown} holds no {kind} as the mapping writes it")
        return read.values

    def _in_unit(
        self, each: Field, rule: FieldRule, values: pl.Series, found: Cells, made: dict[str, pl.Series], faults: Faults
    ) -> pl.Series:
        """`values` in a unit of the contract, which is noted where a field of its own holds it."""
        beside = unit_field(each)
        known = units_of(self.fields[beside]) if beside else frozenset({str(each.unit)})
        if isinstance(rule.unit, UnitColumn):
            units = found[rule.unit.column]
            if rule.unit.map:
                units = units.replace(list(rule.unit.map), list(rule.unit.map.values()))
        else:
            units = pl.Series([rule.unit], dtype=pl.String).new_from_index(0, len(values))
        for unit in units.unique().drop_nulls().to_list():
            converted = _wanted(unit, known)
            here = (units == unit).fill_null(value=False)
            if converted is None:
                name = self.run.shown(rule.unit.column) if isinstance(rule.unit, UnitColumn) else "the unit"
                faults.add(here & values.is_not_null(), f"{name} is no unit that {each.name} can have")
            elif converted[0] != unit:
                wanted, times = converted
                values = values.zip_with(~here, values * times.numerator / times.denominator)
                units = units.set(here, wanted)
        if isinstance(rule.unit, UnitColumn):
            shown = self.run.shown(rule.unit.column)
            faults.add(units.is_null() & values.is_not_null(), f"{shown} is empty")
        if beside:
            made[beside] = units
        return values


def _wanted(unit: str, known: frozenset[str] | None) -> tuple[str, Fraction] | None:
    """The unit of `known` that numbers in `unit` are given in, and their factor; null where there is none."""
    if known is None or unit in known:
        return unit, Fraction(1)
    found = ((wanted, factor(unit, wanted)) for wanted in sorted(known))
    return next(((wanted, times) for wanted, times in found if times is not None), None)


def _constant(value: object, kind: pl.DataType, rows: int) -> pl.Series:
    return pl.Series([value], dtype=kind).new_from_index(0, rows)
