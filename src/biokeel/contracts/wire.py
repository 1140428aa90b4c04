"""The fast way between framed datums and columns: pyruhvro, on schemas that it knows.

The frame is decoded and encoded as if it were the first two fields of the record: a boolean is one byte on the wire
and a float is four, so `{boolean, float}` reads magic byte and schema id without cutting up a single message.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyruhvro

from biokeel.contracts.columns import arrow_schema, without_null
from biokeel.contracts.framing import frame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FRAME_FIELDS: Final[list[dict[str, Any]]] = [
    {"name": "biokeel_frame_magic", "type": "boolean"},
    {"name": "biokeel_frame_schema", "type": "float"},
]
_KNOWN: Final = {"boolean", "int", "long", "float", "double", "string"}
_KNOWN_LOGICAL: Final = {("int", "date"), ("long", "timestamp-millis"), ("long", "timestamp-micros")}


class FastWire:
    """Datums of one schema version. Use only where `fits` says so: pyruhvro panics on what it does not know."""

    def __init__(self, avro: Mapping[str, Any], schema_id: int) -> None:
        self._text = json.dumps({**avro, "fields": [*_FRAME_FIELDS, *avro["fields"]]})
        self._columns = arrow_schema(avro)
        self._wire_columns = pyruhvro.avro_to_arrow_schema(self._text)
        self._frame = np.frombuffer(frame(schema_id)[1:], dtype="<f4")

    def decode(self, datums: Sequence[bytes]) -> pa.RecordBatch:
        """The columns of framed datums, in the types of `arrow_schema`.

        Raises `ValueError` if any of them is not what the schema says; bytes left over pass (see `lengths`).
        """
        batch = self._read(datums)
        columns = [
            column if column.type == field.type else column.cast(field.type)
            for column, field in zip(batch.columns[len(_FRAME_FIELDS) :], self._columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self._columns)

    def accepts(self, datums: Sequence[bytes]) -> bool:
        """Whether `decode` would take all of them."""
        try:
            self._read(datums)
        except ValueError:
            return False
        return True

    def encode(self, table: pa.Table) -> pa.BinaryArray:
        """The framed datums of a table in the types of `arrow_schema`, without nulls where the schema has none."""
        rows = table.num_rows
        columns = [
            pa.repeat(pa.scalar(False), rows),
            pa.array(np.repeat(self._frame, rows)),
            *(
                column.cast(field.type).combine_chunks()
                for column, field in zip(table.columns, list(self._wire_columns)[len(_FRAME_FIELDS) :], strict=True)
            ),
        ]
        batch = pa.RecordBatch.from_arrays(columns, schema=self._wire_columns)
        (datums,) = pyruhvro.serialize_record_batch(batch, self._text, 1)
        return datums  # type: ignore[no-any-return]  # pyruhvro has no types

    def _read(self, datums: Sequence[bytes]) -> pa.RecordBatch:
        batch: pa.RecordBatch = pyruhvro.deserialize_array(datums, self._text)
        # pyruhvro takes strings as they come, and polars may do anything with a string that is not UTF-8.
        batch.validate(full=True)
        return batch


def fits(avro: Any) -> bool:
    """Whether pyruhvro reads and writes this Avro type without panic or loss."""
    kind = without_null(avro)
    if isinstance(kind, str):
        return kind in _KNOWN
    if not isinstance(kind, dict):
        return False
    if "logicalType" in kind:
        return (kind["type"], kind["logicalType"]) in _KNOWN_LOGICAL
    match kind["type"]:
        case "record":
            return bool(kind["fields"]) and all(fits(field["type"]) for field in kind["fields"])
        case "array":
            return fits(kind["items"])
        case "map":
            return fits(kind["values"])
        case "enum":
            return True
        case other:
            return fits(other)
