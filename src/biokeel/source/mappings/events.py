"""Events of one rule: their ids from the record keys, rows joined that are one event, each record once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl

from biokeel.contracts.schema import EventSchema
from biokeel.source.adapters.base import Batch
from biokeel.source.mappings.fields import Fields
from biokeel.source.mappings.model import EventRule
from biokeel.source.mappings.opened import Opened
from biokeel.source.mappings.rows import Lines, Rows

SEPARATOR: Final = "\x1f"
"""Stands between the parts of a record's key; no table holds it."""
REPEATED: Final = "a line that says again what an earlier one said"
SAME_KEY: Final = "the record key of an earlier line, and other content"
CONTRADICTION: Final = "lines of one event contradict each other"
_KEY, _LINE = "key", "line"


class Events:
    """Makes the events of one rule."""

    def __init__(self, opened: Opened, rule: EventRule, schema: EventSchema) -> None:
        self.rule = rule
        self._opened = opened
        self._event = schema.event
        self._fields = Fields(opened, rule, schema)
        self._key = rule.together or opened.mapping.record_key
        self._waiting: pl.DataFrame | None = None
        self.reads = self._fields.reads | {*self._key}

    def batches(self, rows: Rows) -> Iterator[Batch]:
        """The events of `rows`, which all fit the rule; those that wait for further rows come later."""
        self._fields.make(rows)
        rows.faults.tell(rows.lines, self._opened.problem)
        scheme = rows.all(self._opened.scheme)
        frame = pl.DataFrame(
            {
                _KEY: self._keys(rows, scheme),
                _LINE: rows.lines,
                **rows.made,
                "subject_scheme": scheme,
                "subject_id": rows.subject,
            }
        )
        if rows.faults.bad.any():
            frame = frame.filter(~rows.faults.bad)
        yield from self._batch(self._joined(frame) if self.rule.together else frame)

    def last(self) -> Iterator[Batch]:
        """Events whose other rows never came."""
        if self._waiting is not None:
            frame, self._waiting = self._waiting, None
            yield from self._batch(self._grouped(frame, frame.select(_KEY).unique()))

    def _keys(self, rows: Rows, scheme: pl.Series) -> pl.Series:
        """The key of each record: whose it is, the mapping's name, the event's part, and the columns of the key."""
        fixed = (rows.all(text) for text in (self._opened.mapping.name, self.rule.part or ""))
        parts = [scheme, rows.subject, *fixed, *(rows.cells[name] for name in self._key)]
        named = [part.fill_null("").alias(str(index)) for index, part in enumerate(parts)]
        return pl.DataFrame(named).select(pl.concat_str(pl.all(), separator=SEPARATOR)).to_series()

    def _batch(self, frame: pl.DataFrame) -> Iterator[Batch]:
        """What of `frame` did not come before."""
        content = frame.drop(_KEY, _LINE).hash_rows()
        repeated, other = self._opened.seen(self._event).look(frame[_KEY].hash(), content)
        for line in frame[_LINE].filter(pl.Series(repeated)).to_list():
            self._opened.report.leave_out(f"line {line}", REPEATED)
        for line in frame[_LINE].filter(pl.Series(other)).to_list():
            self._opened.problem(line, SAME_KEY)
        frame = frame.filter(~(repeated | other))
        if not frame.height:
            return
        context = self._opened.context
        ids = pl.Series(context.ids.of_many(self._event, frame[_KEY].to_list()), dtype=pl.String)
        whole = frame.with_columns(event_id=ids, source_id=pl.lit(context.source_id)).select(
            pl.col(name).cast(kind) for name, kind in self._fields.columns.items()
        )
        yield Batch(self._event, whole, Lines(frame[_LINE].to_numpy()))

    def _joined(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Events all of whose rows are here; the others wait."""
        frame = frame if self._waiting is None else pl.concat([self._waiting, frame])
        parts = [name for name, rule in self.rule.fields.items() if rule.when]
        whole = frame.group_by(_KEY).agg(pl.col(parts).is_not_null().any()).filter(pl.all_horizontal(parts))
        self._waiting = frame.join(whole, on=_KEY, how="anti")
        return self._grouped(frame, whole.select(_KEY))

    def _grouped(self, frame: pl.DataFrame, chosen: pl.DataFrame) -> pl.DataFrame:
        """One row for each key of `chosen`; rows of one key that contradict each other are problems."""
        frame = frame.join(chosen, on=_KEY, how="semi")
        values = [name for name in frame.columns if name not in (_KEY, _LINE)]
        plain = [name for name in values if not frame.schema[name].is_nested()]
        groups = frame.group_by(_KEY, maintain_order=True).agg(
            pl.col(values).drop_nulls().first(),
            pl.col(_LINE).min(),
            pl.any_horizontal(pl.col(plain).drop_nulls().n_unique() > 1).alias(CONTRADICTION),
        )
        bad = groups.filter(CONTRADICTION).select(_KEY)
        for line in frame.join(bad, on=_KEY, how="semi")[_LINE].sort().to_list():
            self._opened.problem(line, CONTRADICTION)
        return groups.filter(~pl.col(CONTRADICTION)).select(frame.columns).sort(_LINE)
