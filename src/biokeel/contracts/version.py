"""Reading datums of one schema version into the current one, and writing the current one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import polars as pl
import pyarrow as pa

from biokeel.contracts.catalogue import fingerprint
from biokeel.contracts.columns import arrow_schema, frame_schema
from biokeel.contracts.datum import BadDatum, DatumWire
from biokeel.contracts.framing import FRAME_BYTES
from biokeel.contracts.lengths import shortest_lengths
from biokeel.contracts.resolve import resolution
from biokeel.contracts.usable import require_usable
from biokeel.contracts.wire import FastWire, fits
from biokeel.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from biokeel.contracts.catalogue import Locked, Registered
    from biokeel.contracts.schema import EventSchema

_FEW: Final = 8
"""A refused run of datums is halved down to this many, which are then read one by one."""


class VersionReader:
    """Reads datums written with the schema `written` into the columns of the version `reader`."""

    def __init__(self, written: Registered, reader: Locked) -> None:
        """Raises `UnusableSchema` where no such datum can be read."""
        avro, target = written.avro, reader.schema.avro
        require_usable(avro, target)
        same = fingerprint(avro) == reader.fingerprint
        self._avro = avro
        self._columns = frame_schema(target)
        self._resolution = None if same else resolution(avro, target)
        fast = fits(avro) and (same or self._resolution is not None)
        self._fast = _fast_wire(avro, written.id) if fast else None
        self._general = DatumWire(avro, avro if same else target, written.id)

    def decode(
        self, datums: Sequence[bytes], lengths: npt.NDArray[np.int64]
    ) -> tuple[pl.DataFrame, npt.NDArray[np.int64], list[BadDatum]]:
        """The rows of the good datums in order, their positions in `datums`, and the bad datums.

        `lengths` are the messages' lengths in bytes, frames included.
        """
        if self._fast is None:
            return self._one_by_one(datums, np.arange(len(datums)))
        batch, doubtful = self._fast_rows(self._fast, datums, lengths)
        fast = self._resolved(batch)
        if not doubtful.any():
            return fast, np.arange(len(datums)), []
        slow, slow_rows, bad = self._one_by_one(datums, np.flatnonzero(doubtful))
        rows = np.concatenate([np.flatnonzero(~doubtful), slow_rows])
        order = np.argsort(rows)
        return pl.concat([fast, slow])[order], rows[order], bad

    def _fast_rows(
        self, wire: FastWire, datums: Sequence[bytes], lengths: npt.NDArray[np.int64]
    ) -> tuple[pa.RecordBatch, npt.NDArray[np.bool_]]:
        """What the fast way decodes for certain, and which datums must be read one by one instead."""
        doubtful = np.zeros(len(datums), dtype=np.bool_)
        try:
            batch = wire.decode(datums)
        except ValueError:
            doubtful = _refused(wire, datums)
            batch = wire.decode([datum for datum, bad in zip(datums, doubtful, strict=True) if not bad])
        unsure = shortest_lengths(batch, self._avro) + FRAME_BYTES != lengths[~doubtful]
        if unsure.any():
            batch = batch.filter(pa.array(~unsure))
            doubtful[~doubtful] = unsure
        return batch, doubtful

    def _resolved(self, batch: pa.RecordBatch) -> pl.DataFrame:
        frame = cast("pl.DataFrame", pl.from_arrow(batch))
        return frame if self._resolution is None else frame.select(self._resolution)

    def _one_by_one(
        self, datums: Sequence[bytes], rows: npt.NDArray[np.int64]
    ) -> tuple[pl.DataFrame, npt.NDArray[np.int64], list[BadDatum]]:
        table, good, bad = self._general.decode([datums[row] for row in rows])
        frame = cast("pl.DataFrame", pl.from_arrow(table))
        moved = [BadDatum(int(rows[datum.row]), datum.reason, datum.detail) for datum in bad]
        return frame, rows[np.asarray(good, dtype=np.int64)], moved


def _fast_wire(avro: Mapping[str, Any], schema_id: int) -> FastWire | None:
    """The fast way, if pyruhvro takes the schema: it is stricter than fastavro is."""
    try:
        return FastWire(avro, schema_id)
    except ValueError:
        return None


def _refused(wire: FastWire, datums: Sequence[bytes]) -> npt.NDArray[np.bool_]:
    """Datums in runs that pyruhvro refuses: a refused run is halved until few are left, bad ones and neighbours."""
    refused = np.zeros(len(datums), dtype=np.bool_)
    runs = [(0, len(datums))]
    while runs:
        start, end = runs.pop()
        if wire.accepts(datums[start:end]):
            continue
        if end - start <= _FEW:
            refused[start:end] = True
        else:
            middle = (start + end) // 2
            runs += [(start, middle), (middle, end)]
    return refused


class VersionWriter:
    """Writes frames as framed datums of one schema version, with its id in their frames."""

    def __init__(self, schema: EventSchema, schema_id: int) -> None:
        avro = schema.avro
        self._where = f"Frame for {schema.event}:"
        self._arrow = arrow_schema(avro)
        self._columns = frame_schema(avro)
        self._defaults: dict[str, Any] = {
            field["name"]: field["default"] for field in avro["fields"] if "default" in field
        }
        self._wire = FastWire(avro, schema_id) if fits(avro) else DatumWire(avro, avro, schema_id)

    def encode(self, frame: pl.DataFrame) -> pa.BinaryArray:
        """One framed datum a row. Raises `ContractError` naming the column that does not fit."""
        table = self._table(frame)
        if not table.num_rows:
            return pa.array([], type=pa.binary())
        try:
            return self._wire.encode(table)
        except (ValueError, TypeError):
            # The library's message quotes the value.
            raise ContractError(f"{self._where} a value has no place in the schema.") from None

    def _table(self, frame: pl.DataFrame) -> pa.Table:
        unknown = sorted(set(frame.columns) - set(self._columns))
        if unknown:
            raise ContractError(f"{self._where} the schema has no field {', '.join(unknown)}.", "Drop it.")
        missing = sorted(set(self._columns) - set(frame.columns) - set(self._defaults))
        if missing:
            raise ContractError(f"{self._where} no column {', '.join(missing)}.", "The schema has no default for it.")
        full = frame.select(
            pl.col(name) if name in frame.columns else pl.repeat(self._defaults[name], pl.len()).cast(dtype).alias(name)
            for name, dtype in self._columns.items()
        )
        for name, dtype in self._columns.items():
            if full.schema[name] != dtype:
                raise ContractError(f"{self._where} column {name} is {full.schema[name]}.", f"Make it {dtype}.")
        table = full.to_arrow(compat_level=pl.CompatLevel.newest())
        for field in self._arrow:
            if not field.nullable and table.column(field.name).null_count:
                raise ContractError(f"{self._where} column {field.name} has nulls.", "The field may not be null.")
        return table.cast(self._arrow)
