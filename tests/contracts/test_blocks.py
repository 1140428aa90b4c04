"""Blocks: rows reach their partition in order, come back as they were, and damage is found."""

from __future__ import annotations

import io
import zlib

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from biokeel.batch import COORDINATES, ENVELOPE, PseudonymisedBatch
from biokeel.contracts import blocks
from biokeel.contracts.blocks import Block, Named, named, read_block, split_blocks
from biokeel.contracts.topics import event_type
from biokeel.errors import ContractError, DamagedBlock

EVENT = event_type("clinical.blood_pressure")


def batch(participants: list[int], *, first: int = 0, note: str | None = "x") -> PseudonymisedBatch:
    rows = len(participants)
    columns = {
        "participant": participants,
        "event_id": [f"{row:032x}" for row in range(rows)],
        "source_id": ["demo"] * rows,
        "occurred_at": list(range(rows)),
        "occurred_offset_minutes": [None] * rows,
        "recorded_at": list(range(rows)),
        "enrolled_on": [19_000] * rows,
        "birth_year": [1980] * rows,
        "sex": ["female"] * rows,
        "stream": ["raw"] * rows,
        "raw_partition": [3] * rows,
        "raw_offset": list(range(first, first + 2 * rows, 2)),
        "first_partition": [3] * rows,
        "first_offset": list(range(rows)),
    }
    frame = pl.DataFrame(columns, schema={**ENVELOPE, **COORDINATES})
    return PseudonymisedBatch(EVENT, frame.with_columns(note=pl.lit(note), parts=pl.lit(["a", "b"])))


@settings(max_examples=50)
@given(participants=st.lists(st.integers(0, 2**60 - 1), max_size=40), partitions=st.integers(1, 7))
def test_every_row_comes_back_once_from_its_partition_in_order(participants: list[int], partitions: int) -> None:
    whole = batch(participants)
    made = split_blocks(whole, partitions, "f" * 32)
    assert [block.partition for block in made] == sorted({number % partitions for number in participants})
    for block in made:
        rows = read_block(EVENT, block.value, block.headers).frame
        assert_frame_equal(rows, whole.frame.filter(pl.col("participant") % partitions == block.partition))


def test_headers_name_what_is_inside() -> None:
    (block,) = split_blocks(batch([5, 6, 7], first=100), 1, "f" * 32)
    headers = dict(block.headers)
    del headers["biokeel-crc32"]
    assert headers == {
        "biokeel-format": b"1",
        "biokeel-schema": b"f" * 32,
        "biokeel-stream": b"raw",
        "biokeel-raw-partition": b"3",
        "biokeel-first-offset": b"100",
        "biokeel-last-offset": b"104",
    }


def test_no_block_outgrows_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MAX_BLOCK_BYTES", 20_000)
    rng = np.random.default_rng(0)
    whole = batch(list(range(300)))
    noisy = PseudonymisedBatch(
        EVENT, whole.frame.with_columns(note=pl.Series([rng.bytes(200).hex() for _ in range(300)]))
    )
    made = split_blocks(noisy, 2, "f" * 32)
    assert len(made) > 4
    assert max(len(block.value) for block in made) <= 20_000
    for partition in range(2):
        parts = [read_block(EVENT, block.value, block.headers).frame for block in made if block.partition == partition]
        assert_frame_equal(pl.concat(parts), noisy.frame.filter(pl.col("participant") % 2 == partition))


@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_block_is_a_contract_error(data: st.DataObject) -> None:
    (block,) = split_blocks(batch([1, 2, 3]), 1, "f" * 32)
    at = data.draw(st.integers(0, len(block.value) - 1))
    flipped = bytearray(block.value)
    flipped[at] ^= data.draw(st.integers(1, 255))
    for value in (bytes(flipped), block.value[:at]):
        with pytest.raises(ContractError):
            read_block(EVENT, value, block.headers)


def _header(block: Block, name: str, value: bytes | None) -> list[tuple[str, bytes]]:
    rest = [(key, old) for key, old in block.headers if key != name]
    return rest if value is None else [*rest, (name, value)]


@pytest.mark.parametrize("name", ["biokeel-format", "biokeel-stream", "biokeel-raw-partition", "biokeel-last-offset"])
@pytest.mark.parametrize("value", [None, b"9"])
def test_headers_that_are_missing_or_lie_are_a_contract_error(name: str, value: bytes | None) -> None:
    (block,) = split_blocks(batch([1, 2, 3]), 1, "f" * 32)
    with pytest.raises(ContractError):
        read_block(EVENT, block.value, _header(block, name, value))


def test_rows_of_two_raw_partitions_make_no_block() -> None:
    whole = batch([1, 2])
    mixed = PseudonymisedBatch(EVENT, whole.frame.with_columns(raw_partition=pl.Series([1, 2], dtype=pl.Int32)))
    with pytest.raises(ContractError, match="mixes"):
        split_blocks(mixed, 1, "f" * 32)


def test_a_block_without_the_coordinates_is_refused() -> None:
    whole = batch([1, 2])
    (block,) = split_blocks(PseudonymisedBatch(EVENT, whole.frame.drop("first_offset")), 1, "f" * 32)
    with pytest.raises(ContractError, match="first_offset"):
        read_block(EVENT, block.value, block.headers)


@pytest.mark.parametrize("name", ["event_id", "occurred_at", "participant", "raw_offset"])
def test_a_block_whose_rows_could_neither_land_nor_be_quarantined_is_damaged(name: str) -> None:
    whole = batch([1, 2])
    (block,) = split_blocks(whole, 1, "f" * 32)
    frame = whole.frame.with_columns(pl.lit(None, whole.frame.schema[name]).alias(name))
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer)
    checksum = f"{zlib.crc32(buffer.getvalue()):08x}".encode()
    with pytest.raises(DamagedBlock, match=name):
        read_block(EVENT, buffer.getvalue(), _header(block, "biokeel-crc32", checksum))


def test_headers_say_what_a_block_was_to_hold_and_those_of_a_foreign_message_say_nothing() -> None:
    (block,) = split_blocks(batch([1, 2, 3]), 1, "f" * 32)
    first, last = (int(dict(block.headers)[name]) for name in ("biokeel-first-offset", "biokeel-last-offset"))
    assert named(block.headers) == Named("raw", int(dict(block.headers)["biokeel-raw-partition"]), first, last)
    for name, value in (("biokeel-stream", b"850101"), ("biokeel-first-offset", b"-1"), ("biokeel-format", None)):
        assert named(_header(block, name, value)) is None
