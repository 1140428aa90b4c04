"""Valid events for any schema: hypothesis strategies for laws, and a quick generator for volume.

`frames` leaves no corner out (every number that fits, every text, every null); `random_frame` makes plausible events
by the million. Both give frames in the reader schema's columns, which `Codec.encode` turns into datums.
"""

from __future__ import annotations

import json
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import polars as pl
import pyarrow as pa

from biokeel.batch import RawBatch, RawPartition
from biokeel.contracts.columns import arrow_schema, is_nullable, named_types, without_null

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hypothesis.strategies import SearchStrategy

    from biokeel.contracts.codec import Codec
    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.topics import EventType

_DAY_MS: Final = 86_400_000
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
_START_MS: Final = 1_420_070_400_000  # 2015-01-01
SOURCE: Final = "demo-one"
"""Whose the made-up events are."""
_WORDS: Final = np.array(["final", "sitting", "mmol/L", "E11.9", "나트륨", "고혈압", "rice", "", "a longer note"])
_PER_DAY: Final = {"ms": 1, "us": 1000}


def frames(schema: EventSchema, *, min_rows: int = 0, max_rows: int = 5) -> SearchStrategy[pl.DataFrame]:
    """Frames of any events that `schema` allows. Needs hypothesis, which only the development set-up installs."""
    from hypothesis import strategies as st

    rows = st.lists(_events(schema.text), min_size=min_rows, max_size=max_rows)
    return rows.map(lambda records: _frame(schema, records))


def random_frame(schema: EventSchema, rows: int, *, seed: int = 0, people: int = 1_000) -> pl.DataFrame:
    """`rows` plausible events of `people` persons; the same arguments give the same events.

    Subjects are `app/demo` accounts `u0`, `u1`, …; times rise from 2015 on; a tenth of what may be null is null.
    """
    rng = np.random.default_rng(seed)
    occurred = _START_MS + np.cumsum(rng.integers(1, 120_000, rows))
    envelope: dict[str, Any] = {
        "event_id": [number.tobytes().hex() for number in rng.integers(0, 256, (rows, 16), dtype=np.uint8)],
        "source_id": pa.array(np.full(rows, SOURCE)),
        "subject_scheme": pa.array(np.full(rows, "app/demo")),
        "subject_id": pa.array([f"u{number}" for number in rng.integers(0, people, rows).tolist()]),
        "occurred_at": pa.array(occurred).cast(pa.timestamp("ms", "UTC")),
        "occurred_offset_minutes": pa.array(np.full(rows, 540, dtype=np.int32)),
        "recorded_at": pa.array(occurred + 3_600_000).cast(pa.timestamp("ms", "UTC")),
    }
    columns = [
        envelope[field["name"]] if field["name"] in envelope else _column(field["type"], rows, rng, {})
        for field in schema.avro["fields"]
    ]
    table = pa.Table.from_arrays([*columns], schema=arrow_schema(schema.avro))
    return cast("pl.DataFrame", pl.from_arrow(table))


def raw_batch(
    codec: Codec,
    event: EventType,
    frame: pl.DataFrame,
    *,
    partition: int = 0,
    first_offset: int = 0,
    source: str = SOURCE,
) -> RawBatch:
    """The micro-batch that Kafka would give if `source` had published `frame` to one of its raw partitions."""
    offsets = np.arange(first_offset, first_offset + frame.height, dtype=np.int64)
    return RawBatch.of(event, [(RawPartition(source, partition), offsets, codec.encode(event, frame).to_pylist())])


@lru_cache
def _events(text: str) -> SearchStrategy[Any]:
    """Any event of the schema; kept, because hypothesis takes longer to check a strategy than to draw from it."""
    return _values(json.loads(text), {})


def _frame(schema: EventSchema, records: list[dict[str, Any]]) -> pl.DataFrame:
    table = pa.Table.from_pylist(records, schema=arrow_schema(schema.avro))
    return cast("pl.DataFrame", pl.from_arrow(table))


def _values(avro: Any, names: Mapping[str, Any]) -> SearchStrategy[Any]:
    """Any value of an Avro type, as pyarrow takes it."""
    from hypothesis import strategies as st

    if isinstance(avro, list):
        inner = _values(without_null(avro), names)
        return st.none() | inner if is_nullable(avro) else inner
    if isinstance(avro, str):
        return _values(names[avro], names) if avro in names else _numbers_and_texts(avro)
    kind, logical = avro["type"], avro.get("logicalType", "")
    if kind == "record":
        known = {**names, **named_types(avro["fields"])}
        return st.fixed_dictionaries({field["name"]: _values(field["type"], known) for field in avro["fields"]})
    if kind == "array":
        return st.lists(_values(avro["items"], names), max_size=4)
    if kind == "map":
        return st.dictionaries(st.text(max_size=5), _values(avro["values"], names), max_size=4).map(
            lambda entries: list(entries.items())
        )
    if kind == "enum":
        return st.sampled_from(avro["symbols"])
    if logical == "decimal":
        scale, most = int(avro.get("scale", 0)), 10 ** int(avro["precision"]) - 1
        return st.integers(-most, most).map(lambda number: Decimal(number).scaleb(-scale))
    if kind == "fixed":
        return st.binary(min_size=avro["size"], max_size=avro["size"])
    if logical:
        return _times(logical)
    return _values(kind, names)


def _numbers_and_texts(kind: str) -> SearchStrategy[Any]:
    from hypothesis import strategies as st

    strategies: dict[str, SearchStrategy[Any]] = {
        "boolean": st.booleans(),
        "int": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**63), 2**63 - 1),
        "float": st.floats(width=32),
        "double": st.floats(),
        "bytes": st.binary(max_size=20),
        "string": st.text(max_size=20),
    }
    return strategies[kind]


def _times(logical: str) -> SearchStrategy[Any]:
    """Dates and times within the years 1 to 9999, as numbers."""
    from hypothesis import strategies as st

    if logical == "date":
        return st.integers(_FIRST_DAY, _LAST_DAY)
    if logical == "uuid":
        return st.uuids().map(str)
    day = _DAY_MS * (1000 if logical.endswith("micros") else 1)
    if logical.startswith("time-"):
        return st.integers(0, day - 1)
    return st.integers(_FIRST_DAY * day, (_LAST_DAY + 1) * day - 1)


def _column(avro: Any, rows: int, rng: np.random.Generator, names: Mapping[str, Any]) -> Any:
    """A plausible column of an Avro type; pyarrow has no common type for what comes out."""
    column = _plain_column(without_null(avro), rows, rng, names)
    if not is_nullable(avro):
        return column
    return pa.compute.if_else(pa.array(rng.random(rows) < 0.9), column, pa.scalar(None, column.type))


def _plain_column(avro: Any, rows: int, rng: np.random.Generator, names: Mapping[str, Any]) -> Any:
    if isinstance(avro, str):
        return _column(names[avro], rows, rng, names) if avro in names else _PLAIN[avro](rows, rng)
    kind = avro["type"]
    if kind == "record":
        known = {**names, **named_types(avro["fields"])}
        fields = avro["fields"]
        columns = [_column(field["type"], rows, rng, known) for field in fields]
        return pa.StructArray.from_arrays(columns, fields=list(arrow_schema(avro)))
    if kind == "array":
        counts = rng.integers(0, 3, rows)
        offsets: Any = pa.array(np.concatenate(([0], np.cumsum(counts))).astype(np.int32))
        return pa.ListArray.from_arrays(offsets, _column(avro["items"], int(counts.sum()), rng, names))
    if kind == "enum":
        return pa.array(rng.choice(avro["symbols"], rows))
    logical = avro.get("logicalType", "")
    if logical == "date":
        return pa.array(rng.integers(-14_600, 12_775, rows).astype(np.int32)).cast(pa.date32())
    if logical.endswith(("timestamp-millis", "timestamp-micros")):
        unit = "us" if logical.endswith("micros") else "ms"
        zone = None if logical.startswith("local") else "UTC"
        times = (_START_MS + rng.integers(0, 3_650 * _DAY_MS, rows)) * _PER_DAY[unit]
        return pa.array(times).cast(pa.timestamp(unit, zone))
    return _plain_column(kind, rows, rng, names)


_PLAIN: Final[dict[str, Callable[[int, np.random.Generator], Any]]] = {
    "boolean": lambda rows, rng: pa.array(rng.random(rows) < 0.5),
    "int": lambda rows, rng: pa.array(rng.integers(0, 1_000, rows, dtype=np.int32)),
    "long": lambda rows, rng: pa.array(rng.integers(0, 1_000_000, rows)),
    "float": lambda rows, rng: pa.array(rng.normal(100, 20, rows).round(1).astype(np.float32)),
    "double": lambda rows, rng: pa.array(rng.normal(100, 20, rows).round(1)),
    "bytes": lambda rows, rng: pa.array([rng.bytes(8) for _ in range(rows)]),
    "string": lambda rows, rng: pa.array(rng.choice(_WORDS, rows)),
}
