"""The shortest encoding, counted from columns, is exactly what encoding gives."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings

from biokeel.contracts.codec import Codec
from biokeel.contracts.framing import FRAME_BYTES
from biokeel.contracts.lengths import shortest_lengths
from biokeel.contracts.wire import FastWire
from biokeel.testing.events import frames, random_frame
from tests.contracts.made_schemas import FAST_TYPES, GLUCOSE, Versions, typed

CATALOGUE = Versions(typed({name: kind for name, kind in FAST_TYPES.items() if name != "an_int"}))
SCHEMA = CATALOGUE.reader(GLUCOSE).schema


@settings(max_examples=25)
@given(frame=frames(SCHEMA, min_rows=1))
def test_counted_lengths_are_those_of_the_encoded_datums_or_say_that_they_are_unsure(frame: pl.DataFrame) -> None:
    datums = Codec(CATALOGUE, 1 << 20).encode(GLUCOSE, frame).to_pylist()
    counted = shortest_lengths(FastWire(SCHEMA.avro, 7).decode(datums), SCHEMA.avro)
    real = np.array([len(datum) - FRAME_BYTES for datum in datums])
    unsure = counted >= 1 << 40
    assert (counted[~unsure] == real[~unsure]).all()
    for row in np.flatnonzero(unsure):
        assert _has_longest_number(frame[int(row)].to_dicts()[0])


def _has_longest_number(record: dict) -> bool:
    """Whether some integer needs all five or all ten bytes, the only ground for being unsure."""
    offset = record["occurred_offset_minutes"]
    longs = [record["a_long"], *(value for _, value in _pairs(record["a_map"]))]
    return (offset is not None and not -(2**27) <= offset < 2**27) or any(
        value is not None and not -(2**62) <= value < 2**62 for value in longs
    )


def _pairs(entries) -> list[tuple[str, int]]:
    if isinstance(entries, dict):
        return list(entries.items())
    return [tuple(entry.values()) if isinstance(entry, dict) else tuple(entry) for entry in entries]


@pytest.mark.parametrize("power", range(1, 9))
def test_each_step_of_a_varint_is_counted(power: int) -> None:
    catalogue = Versions(typed({"number": "long"}))
    schema = catalogue.reader(GLUCOSE).schema
    edge = 2 ** (7 * power - 1)
    numbers = [edge - 1, edge, -edge, -edge - 1]
    frame = random_frame(schema, 4).with_columns(number=pl.Series(numbers))
    datums = Codec(catalogue, 1 << 20).encode(GLUCOSE, frame).to_pylist()
    counted = shortest_lengths(FastWire(schema.avro, 7).decode(datums), schema.avro)
    assert counted.tolist() == [len(datum) - FRAME_BYTES for datum in datums]
