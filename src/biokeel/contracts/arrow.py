"""Arrow arrays of numbers without pandas.

`pyarrow.array` looks whether it was given something of pandas, and imports all of pandas to know: 50 MiB in each worker
and, at its first micro-batch, a fifth of a second of CPU (a whole one where Python keeps no compiled files).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import numpy.typing as npt


def integers(values: npt.NDArray[np.int64]) -> pa.Int64Array:
    """`values` for Arrow; their memory where it is in one piece, else a copy."""
    found = pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(np.ascontiguousarray(values).data)])
    assert isinstance(found, pa.Int64Array)
    return found
