"""How many bytes each row takes in Avro, from its columns alone.

`pyruhvro` does not say where a datum ended, so bytes left over after it would pass unseen. Avro has one shortest
encoding of every value, and a datum can only be longer than that. So a message whose length is its row's shortest
length has nothing left over; any other is *doubtful*: left-over bytes, or a writer with longer encodings (array
blocks, padded integers), which only reading that one datum can tell apart. Counting costs a quarter of encoding again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biokeel.contracts.columns import is_nullable, without_null

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Lengths = int | npt.NDArray[np.int64]
    """Bytes a row; one number where all rows take as many."""

# Columns are `Any` here: pyarrow's types do not know what an array of a nested type has.

_FIXED: Final[dict[str, int]] = {"boolean": 1, "float": 4, "double": 8}
_LONGEST: Final[dict[str, int]] = {"int": 5, "long": 10}
_UNSURE: Final = 1 << 40
"""Added to a row's length to make it doubtful: no message is that long."""


def shortest_lengths(batch: pa.RecordBatch, avro: Mapping[str, Any]) -> npt.NDArray[np.int64]:
    """The shortest Avro encoding of each row of `batch`, in bytes, as pyruhvro decoded it with the record `avro`.

    Rows with an integer of the longest encoding get an impossible length: pyruhvro drops the bits that do not fit, so
    such a value may not be what was written.
    """
    total = _record(batch.columns, avro["fields"])
    return np.broadcast_to(np.asarray(total, dtype=np.int64), (batch.num_rows,))


def _record(columns: list[Any], fields: list[dict[str, Any]]) -> Lengths:
    total: Lengths = 0
    for column, field in zip(columns, fields, strict=True):
        total = total + _column(column, field["type"])
    return total


def _column(column: Any, avro: Any) -> Lengths:
    if not is_nullable(avro):
        return _value(column, avro)
    inner = _value(column, without_null(avro))
    if not column.null_count:
        return 1 + inner
    valid: npt.NDArray[np.int64] = column.is_valid().to_numpy(zero_copy_only=False).astype(np.int64)
    return 1 + valid * inner


def _value(column: Any, avro: Any) -> Lengths:
    kind = avro["type"] if isinstance(avro, dict) else avro
    if kind in _FIXED:
        return _FIXED[kind]
    if kind in _LONGEST:
        return _integer(_integers(column), _LONGEST[kind])
    if kind == "string":
        counts = _counts(column)
        return _varint(counts << 1) + counts
    if kind == "enum":
        return _enum(column, avro["symbols"])
    if kind == "array":
        return _repeated(column, _column(column.values, avro["items"]))
    if kind == "map":
        return _repeated(column, _value(column.keys, "string") + _column(column.items, avro["values"]))
    return _record([column.field(index) for index in range(column.type.num_fields)], avro["fields"])


def _integers(column: Any) -> npt.NDArray[np.int64]:
    width = np.int64 if column.type.bit_width == 64 else np.int32
    return _numbers(column, width, len(column))


def _offsets(column: Any) -> npt.NDArray[np.int64]:
    """The offsets of a string, list or map column; one more than it has rows."""
    return _numbers(column, np.int32, len(column) + 1)


def _numbers(column: Any, width: type[np.signedinteger[Any]], count: int) -> npt.NDArray[np.int64]:
    data = column.buffers()[1]
    if not count or data is None or not data.size:  # pyruhvro gives an empty column no numbers at all
        return np.zeros(count, dtype=np.int64)
    numbers = np.frombuffer(memoryview(data), dtype=width)
    return numbers[column.offset : column.offset + count].astype(np.int64, copy=False)


def _counts(column: Any) -> npt.NDArray[np.int64]:
    return np.diff(_offsets(column))


def _integer(numbers: npt.NDArray[np.int64], longest: int) -> Lengths:
    lengths = _varint((numbers << 1) ^ (numbers >> 63))
    if isinstance(lengths, int):
        return lengths if lengths < longest else _UNSURE
    return np.where(lengths < longest, lengths, _UNSURE)


def _varint(zigzag: npt.NDArray[np.int64]) -> Lengths:
    """Bytes of each number as a varint, seven bits a byte."""
    if not len(zigzag):
        return 1
    unsigned = zigzag.view(np.uint64)
    least, most = (max(1, -(-int(end).bit_length() // 7)) for end in (unsigned.min(), unsigned.max()))
    if least == most:
        return least
    lengths = np.full(len(unsigned), least, dtype=np.int64)
    for size in range(least, most):
        lengths += unsigned >= np.uint64(1 << 7 * size)
    return lengths


def _enum(column: Any, symbols: list[str]) -> Lengths:
    if len(symbols) <= 64:
        return 1
    numbers = pc.index_in(column, value_set=pa.array(symbols)).fill_null(0)
    return _varint(_integers(numbers) << 1)


def _repeated(column: Any, items: Lengths) -> Lengths:
    """An array or map in one block: the items' count and bytes where there are any, and the closing 0."""
    offsets = _offsets(column)
    counts = _counts(column)
    if isinstance(items, int):
        bytes_of_items = counts * items
    else:
        bytes_of_items = np.diff(np.concatenate(([0], np.cumsum(items)))[offsets])
    return bytes_of_items + np.where(counts > 0, _varint(counts << 1), 0) + 1
