"""Which rows of a frame are of which pseudo partition: what is remembered of events is remembered by partition.

The dear part of a stage is one call for all partitions of a frame; only what asks or changes a partition's memory goes
over them one by one.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl


def rows_by_partition(frame: pl.DataFrame) -> dict[int, slice]:
    """The rows of each pseudo partition of `frame`. They must stand together, as those that are read together do."""
    partitions = frame["pseudo_partition"].to_numpy()
    if not len(partitions):
        return {}
    edges = [0, *(np.flatnonzero(partitions[1:] != partitions[:-1]) + 1).tolist(), len(partitions)]
    found = {int(partitions[first]): slice(first, end) for first, end in pairwise(edges)}
    assert len(found) == len(edges) - 1, "rows of one pseudo partition stand apart"
    return found
