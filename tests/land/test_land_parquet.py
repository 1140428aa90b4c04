"""The files of a landing: what they keep of each column, and that other readers than ours read them."""

import datetime as dt
from pathlib import Path

import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from biokeel.contracts.schema import load_schemas
from biokeel.land.checkpoint import append
from biokeel.land.columns import STATISTICS, curated_columns
from biokeel.land.tables import open_table
from tests.event_types import LANDED_EVENTS

SCHEMAS = load_schemas(Path(__file__).parents[2] / "schemas")
ROWS = 3_000
NOON = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)


def values(kind):
    """`ROWS` values of a column: rising, falling, repeated, far apart."""
    if isinstance(kind, pl.List):
        return [[], ["rule.a"], ["rule.a", "rule.b"]] * (ROWS // 3)
    numbers = [each * each if each % 3 else -each for each in range(ROWS)]
    if isinstance(kind, pl.Datetime):
        return [NOON + dt.timedelta(seconds=each) for each in numbers]
    if isinstance(kind, pl.Date):
        return [NOON.date() + dt.timedelta(days=each % 9000) for each in range(ROWS)]
    if isinstance(kind, pl.Boolean):
        return [each % 2 == 0 for each in numbers]
    return numbers if kind.is_numeric() else [f"{each:032x}" for each in range(ROWS)]


@pytest.mark.parametrize("event", LANDED_EVENTS, ids=str)
def test_a_landing_is_read_back_as_it_was_and_has_statistics_of_times_and_positions_only(tmp_path, event):
    columns = curated_columns(SCHEMAS[event])
    frame = pl.DataFrame({name: pl.Series(values(kind)).cast(kind) for name, kind in columns.items()})
    handle = open_table(str(tmp_path), {}, columns)
    append(handle, frame, {"one": 1})
    (path,) = tmp_path.glob("*.parquet")
    # Delta keeps microseconds.
    assert pl.from_arrow(ds.dataset(path).to_table()).cast(frame.schema).equals(frame)
    assert pl.read_parquet(path).cast(frame.schema).equals(frame)
    group = pq.read_metadata(path).row_group(0)
    found = [group.column(number) for number in range(group.num_columns)]
    kept = {each.path_in_schema for each in found if each.is_stats_set and each.statistics.has_min_max}
    assert kept == set(STATISTICS)
    assert {each.compression for each in found} == {"ZSTD"}
