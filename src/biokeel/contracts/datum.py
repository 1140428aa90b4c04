"""The general way: one datum at a time with fastavro, for schemas pyruhvro does not know and datums it refused."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import fastavro
import pyarrow as pa

from biokeel.contracts.columns import arrow_schema
from biokeel.contracts.framing import FRAME_BYTES, frame
from biokeel.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_AS_NUMBERS: Final = ("date", "time-", "timestamp-", "local-timestamp-", "uuid")
"""Logical types that are read as what they are on the wire: fastavro's datetimes end with year 9999."""

_PARTS: Final = ("type", "items", "values", "fields")
"""Where an Avro type has other types inside."""


@dataclass(frozen=True, slots=True)
class BadDatum:
    """A datum that is not what its schema says: which row, why, and where in its bytes."""

    row: int
    reason: Reason
    detail: str


class DatumWire:
    """Datums written with one schema version and read into another (or the same)."""

    def __init__(self, writer: Mapping[str, Any], reader: Mapping[str, Any], schema_id: int) -> None:
        self._writer = fastavro.parse_schema(_physical(writer))
        self._reader = fastavro.parse_schema(_physical(reader)) if reader is not writer else None
        self._columns = arrow_schema(reader)
        self._frame = frame(schema_id)

    def decode(self, datums: Sequence[bytes]) -> tuple[pa.Table, list[int], list[BadDatum]]:
        """The columns of the good datums, their positions in `datums`, and the bad ones."""
        records: list[dict[str, Any]] = []
        rows: list[int] = []
        bad: list[BadDatum] = []
        for row, datum in enumerate(datums):
            record = self._read(row, datum)
            if isinstance(record, BadDatum):
                bad.append(record)
            else:
                records.append(record)
                rows.append(row)
        try:
            return self._table(records), rows, bad
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            return self._table_without_misfits(records, rows, bad)

    def encode(self, table: pa.Table) -> pa.BinaryArray:
        """The framed datums of a table in the types of `arrow_schema`. Raises `ValueError` for what does not fit."""
        physical = pa.schema([pa.field(field.name, _number_type(field.type)) for field in table.schema])
        datums = []
        for record in table.cast(physical).to_pylist(maps_as_pydicts="strict"):
            buffer = io.BytesIO(self._frame)
            buffer.seek(FRAME_BYTES)
            fastavro.schemaless_writer(buffer, self._writer, record, strict=True)
            datums.append(buffer.getvalue())
        return pa.array(datums, type=pa.binary())

    def _read(self, row: int, datum: bytes) -> dict[str, Any] | BadDatum:
        buffer = io.BytesIO(datum)
        buffer.seek(FRAME_BYTES)
        try:
            record = fastavro.schemaless_reader(buffer, self._writer, self._reader)
        except Exception:  # noqa: BLE001 - fastavro raises whatever its bytes lead it to; the bytes are at fault
            return BadDatum(row, Reason.MALFORMED, f"unreadable at byte {buffer.tell()} of {len(datum)}")
        if buffer.tell() != len(datum):
            return BadDatum(row, Reason.TRAILING_BYTES, f"the event ends at byte {buffer.tell()} of {len(datum)}")
        return record  # type: ignore[return-value]  # a record schema gives a dict

    def _table(self, records: list[dict[str, Any]]) -> pa.Table:
        return pa.Table.from_pylist(records, schema=self._columns)

    def _table_without_misfits(
        self, records: list[dict[str, Any]], rows: list[int], bad: list[BadDatum]
    ) -> tuple[pa.Table, list[int], list[BadDatum]]:
        """The same, but a record with a number too large for its type is bad, as it must be."""
        tables, kept = [self._columns.empty_table()], []
        for record, row in zip(records, rows, strict=True):
            try:
                tables.append(self._table([record]))
                kept.append(row)
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
                bad.append(BadDatum(row, Reason.MALFORMED, "a number does not fit its type"))
        return pa.concat_tables(tables), kept, bad


def _physical(avro: Any) -> Any:
    """The schema with dates and times as the numbers they are on the wire."""
    if isinstance(avro, list):
        return [_physical(part) for part in avro]
    if not isinstance(avro, dict):
        return avro
    plain = {key: _physical(part) if key in _PARTS else part for key, part in avro.items()}
    if str(avro.get("logicalType", "")).startswith(_AS_NUMBERS):
        del plain["logicalType"]
    return plain


def _number_type(kind: Any) -> Any:
    """The Arrow type with dates and times as the numbers they are on the wire."""
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_number_type(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_number_type(kind.value_type)))
    if pa.types.is_map(kind):
        return pa.map_(kind.key_type, _number_type(kind.item_type))
    if pa.types.is_temporal(kind):
        return pa.int32() if kind.bit_width == 32 else pa.int64()
    return kind
