"""What a block holds, for those who search it: its rows are not all that may be in it."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.ipc


def memory(value: bytes) -> bytes:
    """All bytes of a block's columns, unpacked: also those that belong to no row."""

    def of(array: pa.Array) -> Iterator[bytes]:
        yield from (buffer.to_pybytes() for buffer in array.buffers() if buffer is not None)

    table = pa.ipc.open_stream(value).read_all()
    return b"".join(part for column in table.columns for chunk in column.chunks for part in of(chunk))
