"""The fields of an event from the cells of some rows: each by its rule, strictly, and each row for itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

import numpy as np
import polars as pl

from biokeel.contracts.columns import frame_schema
from biokeel.contracts.forms import Values
from biokeel.contracts.schema import EventSchema, Field
from biokeel.source.adapters.base import BEFORE_IT_HAPPENED, Unusable
from biokeel.source.mappings import cells
from biokeel.source.mappings.contract import DATE, TIME, unit_field, units_of
from biokeel.source.mappings.model import EventRule, FieldRule, UnitColumn
from biokeel.source.mappings.opened import Opened
from biokeel.source.mappings.rows import Rows, fitting
from biokeel.source.mappings.units import factor

COMPARATOR: Final = "comparator"
"""The field that says of a value that it is only a bound."""
_PRECISIONS: Final = {"occurred_at": "occurred_precision", "onset_at": "onset_precision"}
_ENDS: Final = (("occurred_at", "ended_at"), ("onset_at", "abated_at"))
"""Fields of which the second ends what the first begins."""
_OF_THE_KEY: Final = frozenset({"event_id", "source_id", "subject_scheme", "subject_id"})
_WHOLE: Final = ("long", "int")


@dataclass
class Fields:
    """Makes the fields of the events of one rule."""

    opened: Opened
    rule: EventRule
    schema: EventSchema
    columns: dict[str, pl.DataType] = field(init=False)
    _fields: dict[str, Field] = field(init=False)

    def __post_init__(self) -> None:
        self.columns = frame_schema(self.schema.avro)
        self._fields = {each.name: each for each in self.schema.fields}

    @property
    def reads(self) -> frozenset[str]:
        """The columns of the mapping that the fields are made from."""
        offset = self.opened.mapping.times.offset
        found = {offset} if offset else set()
        for rule in self.rule.fields.values():
            found |= {*rule.column, *rule.when, *([rule.clock] if rule.clock else [])}
            if isinstance(rule.unit, UnitColumn):
                found.add(rule.unit.column)
        return frozenset(found)

    def make(self, rows: Rows) -> None:
        """Fill `rows.made` with every field of the contract but those that the key and the subject make."""
        rules, made = self.rule.fields, rows.made
        made["recorded_at"] = rows.all(None, pl.Int64())
        for name in sorted(rules, key=lambda name: rules[name].same_as is not None):
            if rules[name].same_as is not None:
                self._record(rows)
                made[name] = made["recorded_at"]
            else:
                self._make(name, rules[name], rows)
        self._record(rows)
        for begun, ended in _ENDS:
            if begun in made and ended in made and rules[ended].column:
                shown = " or ".join(map(self.opened.shown, rules[ended].column))
                rows.faults.add(made[ended] < made[begun], f"{shown} lies before the beginning")
        defaults = {raw["name"]: raw.get("default") for raw in self.schema.avro["fields"]}
        for name, kind in self.columns.items():
            if name not in made and name not in _OF_THE_KEY:
                made[name] = rows.all(defaults[name], kind)
        for name, each in self._fields.items():
            if not each.nullable and name in made and made[name].null_count():
                source = rules[name].column if name in rules else ()
                shown = " and ".join(map(self.opened.shown, source)) or f"what {name} comes from"
                rows.faults.add(made[name].is_null(), f"{shown} is empty")

    def _record(self, rows: Rows) -> None:
        """Where a record does not say when it was written down, the file's time stands for it, if that can be."""
        said, occurred = rows.made["recorded_at"], rows.made.get("occurred_at")
        missing = said.is_null()
        if not missing.any():
            return
        try:
            file_time = self.opened.context.recorded_at
        except Unusable as fault:
            rows.faults.add(missing, str(fault))
            return
        rows.made["recorded_at"] = said.fill_null(file_time)
        if occurred is not None:
            rows.faults.add(missing & (occurred > file_time).fill_null(value=False), BEFORE_IT_HAPPENED)

    def _make(self, name: str, rule: FieldRule, rows: Rows) -> None:
        each, kind = self._fields[name], self.columns[name]
        if not rule.column:
            rows.made[name] = rows.all(rule.constant, kind)
            return
        texts = rows.cells[rule.column[0]]
        for further in rule.column[1:]:
            texts = texts.zip_with(texts.is_not_null(), rows.cells[further])
        if rule.clock is not None:
            texts = texts + (" " + rows.cells[rule.clock]).fill_null("")
        if rule.when:
            texts = texts.set(~pl.Series(fitting(rule.when, rows.cells, len(rows))), None)
        shown = " or ".join(map(self.opened.shown, rule.column))
        if rule.map is not None:
            values, bad = cells.words(texts, rule.map, rule.otherwise, kind)
            rows.faults.add(bad, f"{shown} holds a word that the mapping does not know")
        elif rule.present is not None:
            values = rows.all(rule.present, kind).set(texts.is_null(), None)
        elif each.kind == TIME:
            values = self._time(name, rule, texts, rows)
        elif each.kind == DATE:
            values, bad = cells.days(texts, rule.formats or self.opened.forms)
            rows.faults.add(bad, f"{shown} is no whole date of the forms that the mapping names")
        elif each.is_number:
            values = self._number(each, rule, texts, rows)
        else:
            values = texts
            self._check_words(each, texts, shown, rows)
        if rule.empty is not None:
            values = values.cast(kind).zip_with(texts.is_not_null(), rows.all(rule.empty, kind))
        rows.made[name] = values

    def _check_words(self, each: Field, texts: pl.Series, shown: str, rows: Rows) -> None:
        """Words of a closed set; whether a code can be one, the wall and the suites judge, for all sources alike."""
        if isinstance(each.form, Values):
            there = texts.is_not_null()
            fits = each.form.fits(texts.filter(there))
            bad = pl.Series(np.zeros(len(texts), np.bool_)).scatter(there.arg_true(), ~fits)
            rows.faults.add(bad, f"{shown} is no {each.form.meaning}")

    def _time(self, name: str, rule: FieldRule, texts: pl.Series, rows: Rows) -> pl.Series:
        times, shown = self.opened.mapping.times, " or ".join(map(self.opened.shown, rule.column))
        read = cells.moments(texts, rule.formats or self.opened.forms, self.opened.zone(rule.zone or times.zone))
        rows.faults.add(read.bad, f"{shown} is no time of the forms that the mapping names")
        if (limits := self._fields[name].range) is not None:  # Some exports write the year 1 for no time at all.
            inside = read.at.cast(pl.Datetime("ms", "UTC")).is_between(limits.least, limits.greatest)
            rows.faults.add(~inside, f"{shown} is no time {limits.meaning}")
        if name == "occurred_at":
            rows.made["occurred_offset_minutes"] = read.offset
            if times.offset is not None and self.opened.names[times.offset] is not None:
                minutes, bad = cells.stated_offsets(rows.cells[times.offset])
                rows.faults.add(bad, f"{self.opened.shown(times.offset)} is no offset such as UTC+0900")
                rows.made["occurred_offset_minutes"] = minutes
        precision = _PRECISIONS.get(name)
        if precision is not None and precision in self.columns:
            rows.made[precision] = read.precision.set(read.at.is_null(), None)
        return read.at

    def _number(self, each: Field, rule: FieldRule, texts: pl.Series, rows: Rows) -> pl.Series:
        shown = " or ".join(map(self.opened.shown, rule.column))
        read = cells.numbers(texts, self.opened.mapping.file, rule.bounds)
        if read.comparator.null_count() < len(texts):
            if COMPARATOR in self.columns and each.name == "value":
                rows.made[COMPARATOR] = read.comparator
            else:
                only = f"{shown} is only a bound, which {self.rule.event} cannot hold"
                rows.faults.add(read.comparator.is_not_null(), only)
        if (unit := rule.unit or self._shared_unit(each)) is not None:
            read = read._replace(values=self._in_unit(each, unit, read.values, rows))
        if each.kind in _WHOLE:
            read = cells.whole(read)
        kind = "whole number" if each.kind in _WHOLE else "number"
        rows.faults.add(read.bad, f"{shown} holds no {kind} as the mapping writes it")
        return read.values

    def _shared_unit(self, each: Field) -> str | UnitColumn | None:
        """The unit of another field that says it for both: a reference range is in the value's unit."""
        beside = unit_field(each)
        others = (rule.unit for name, rule in self.rule.fields.items() if unit_field(self._fields[name]) == beside)
        return next((unit for unit in others if unit is not None), None) if beside else None

    def _in_unit(self, each: Field, unit: str | UnitColumn, values: pl.Series, rows: Rows) -> pl.Series:
        """`values` in a unit of the contract, which is noted where a field of its own holds it."""
        beside = unit_field(each)
        known = units_of(self._fields[beside]) if beside else frozenset({str(each.unit)})
        shown = self.opened.shown(unit.column) if isinstance(unit, UnitColumn) else "the unit"
        if isinstance(unit, UnitColumn):
            units = rows.cells[unit.column]
            if unit.map:
                units = units.replace(list(unit.map), list(unit.map.values()))
            rows.faults.add(units.is_null() & values.is_not_null(), f"{shown} is empty")
        else:
            units = rows.all(unit, pl.String())
        for word in units.unique().drop_nulls().to_list():
            converted = _wanted(word, known)
            here = (units == word).fill_null(value=False)
            if converted is None:
                rows.faults.add(here & values.is_not_null(), f"{shown} is no unit that {each.name} can have")
            elif converted[0] != word:
                wanted, times = converted
                values = values.zip_with(~here, values * times.numerator / times.denominator)
                units = units.set(here, wanted)
        if beside:
            rows.made[beside] = units
        return values


def _wanted(unit: str, known: frozenset[str] | None) -> tuple[str, Fraction] | None:
    """The unit of `known` that numbers in `unit` are given in, and their factor; null where there is none."""
    if known is None or unit in known:
        return unit, Fraction(1)
    found = ((wanted, factor(unit, wanted)) for wanted in sorted(known))
    return next(((wanted, times) for wanted, times in found if times is not None), None)
