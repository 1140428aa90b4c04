"""Blocks: rows reach their partition in order, come back as they were, and damage is found."""

from __future__ import annotations

import io
from hashlib import sha256

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from biokeel.batch import COORDINATES, ENVELOPE, PseudonymisedBatch
from biokeel.contracts import blocks
from biokeel.contracts.blocks import Block, Named, Span, named, read_block, split_blocks
from biokeel.contracts.signatures import PublicKeys
from biokeel.contracts.topics import event_type
from biokeel.errors import ContractError, DamagedBlock, SettingsError, UnsignedBlock
from tests.block_bytes import memory
from tests.signing import KEYS, OTHER, SIGNER, signed

EVENT = event_type("clinical.blood_pressure")
SOURCES = ("demo", "app-a", "a-0")


def batch(
    participants: list[int],
    *,
    first: int = 0,
    note: str | None = "x",
    raw_partition: int = 3,
    source: str = "demo",
) -> PseudonymisedBatch:
    rows = len(participants)
    columns = {
        "participant": participants,
        "event_id": [f"{row:032x}" for row in range(rows)],
        "source_id": [source] * rows,
        "occurred_at": list(range(rows)),
        "occurred_offset_minutes": [None] * rows,
        "recorded_at": list(range(rows)),
        "enrolled_on": [19_000] * rows,
        "birth_year": [1980] * rows,
        "sex": ["female"] * rows,
        "withheld": [None] * rows,
        "stream": ["raw"] * rows,
        "raw_partition": [raw_partition] * rows,
        "raw_offset": list(range(first, first + 2 * rows, 2)),
        "first_partition": [raw_partition] * rows,
        "first_offset": list(range(rows)),
    }
    frame = pl.DataFrame(columns, schema={**ENVELOPE, **COORDINATES})
    return PseudonymisedBatch(EVENT, frame.with_columns(note=pl.lit(note), parts=pl.lit(["a", "b"])))


def together(*batches: PseudonymisedBatch) -> PseudonymisedBatch:
    return PseudonymisedBatch(EVENT, pl.concat([each.frame for each in batches]))


@given(texts=st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=1, max_size=12))
def test_a_block_holds_no_byte_of_a_row_that_was_stopped_or_is_in_another_block(texts: list[tuple[int, bool]]) -> None:
    whole = batch(list(range(len(texts))))
    said = [f"<{row}>" + "x" * length for row, (length, _) in enumerate(texts)]
    frame = whole.frame.with_columns(
        pl.Series("note", said), pl.Series("parts", [[text] for text in said], pl.List(pl.String))
    )
    passed = PseudonymisedBatch(EVENT, frame.filter(pl.Series([goes_on for _, goes_on in texts])))
    for block in split_blocks(passed, 3, "f" * 32, SIGNER):
        rows = {row for row, (_, goes_on) in enumerate(texts) if goes_on and row % 3 == block.partition}
        assert {row for row in range(len(texts)) if f"<{row}>".encode() in memory(block.value)} == rows


@settings(max_examples=50)
@given(
    by_raw=st.dictionaries(
        st.tuples(st.sampled_from(SOURCES), st.integers(0, 5)),
        st.lists(st.integers(0, 2**60 - 1), max_size=20),
        min_size=1,
    ),
    partitions=st.integers(1, 7),
)
def test_every_row_of_any_raw_partition_comes_back_once_from_its_partition_in_order(
    by_raw: dict[tuple[str, int], list[int]], partitions: int
) -> None:
    whole = together(
        *(batch(people, first=10 * raw, raw_partition=raw, source=source) for (source, raw), people in by_raw.items())
    )
    made = split_blocks(whole, partitions, "f" * 32, SIGNER)
    everybody = [number for people in by_raw.values() for number in people]
    assert [block.partition for block in made] == sorted({number % partitions for number in everybody})
    for block in made:
        rows = read_block(EVENT, block.partition, block.value, block.headers, KEYS).frame
        assert_frame_equal(rows, whole.frame.filter(pl.col("participant") % partitions == block.partition))
        holds = named(block.headers)
        assert holds is not None
        spans = rows.group_by("source_id", "raw_partition", maintain_order=True).agg(
            pl.first("raw_offset").alias("first"), pl.last("raw_offset").alias("last")
        )
        assert list(holds.spans) == spans.rows()


def test_headers_name_what_is_inside() -> None:
    whole = together(
        batch([5, 6, 7], first=100), batch([5], first=7, raw_partition=0), batch([9], raw_partition=0, source="app-a")
    )
    (block,) = split_blocks(whole, 1, "f" * 32, SIGNER)
    headers = dict(block.headers)
    del headers["biokeel-sha256"], headers["biokeel-signature"]
    assert headers == {
        "biokeel-format": b"4",
        "biokeel-schema": b"f" * 32,
        "biokeel-stream": b"raw",
        "biokeel-rows": b"demo/3:100-104,demo/0:7-7,app-a/0:0-0",
    }


def test_no_block_outgrows_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MAX_BLOCK_BYTES", 20_000)
    rng = np.random.default_rng(0)
    whole = batch(list(range(300)))
    noisy = PseudonymisedBatch(
        EVENT, whole.frame.with_columns(note=pl.Series([rng.bytes(200).hex() for _ in range(300)]))
    )
    made = split_blocks(noisy, 2, "f" * 32, SIGNER)
    assert len(made) > 4
    assert max(len(block.value) for block in made) <= 20_000
    for partition in range(2):
        parts = [
            read_block(EVENT, block.partition, block.value, block.headers, KEYS).frame
            for block in made
            if block.partition == partition
        ]
        assert_frame_equal(pl.concat(parts), noisy.frame.filter(pl.col("participant") % 2 == partition))


@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_block_is_a_contract_error(data: st.DataObject) -> None:
    (block,) = split_blocks(batch([1, 2, 3]), 1, "f" * 32, SIGNER)
    at = data.draw(st.integers(0, len(block.value) - 1))
    flipped = bytearray(block.value)
    flipped[at] ^= data.draw(st.integers(1, 255))
    for value in (bytes(flipped), block.value[:at]):
        with pytest.raises(ContractError):
            read_block(EVENT, 0, value, block.headers, KEYS)


def _header(block: Block, name: str, value: bytes | None) -> list[tuple[str, bytes]]:
    rest = [(key, old) for key, old in block.headers if key != name]
    return rest if value is None else [*rest, (name, value)]


@pytest.mark.parametrize("name", ["biokeel-format", "biokeel-stream", "biokeel-rows"])
@pytest.mark.parametrize("value", [None, b"9", b"demo/3:0-2", b"app-a/3:0-4", b"demo/3:0-4,demo/4:0-0"])
def test_headers_that_are_missing_or_lie_are_a_contract_error_even_if_they_are_signed(
    name: str, value: bytes | None
) -> None:
    (block,) = split_blocks(batch([1, 2, 3]), 1, "f" * 32, SIGNER)
    headers = _header(block, name, value)
    with pytest.raises(UnsignedBlock):
        read_block(EVENT, 0, block.value, headers, KEYS)
    with pytest.raises(ContractError):
        read_block(EVENT, 0, block.value, signed(EVENT.pseudo_topic, 0, headers), KEYS)


NAMES = ["format", "schema", "stream", "rows", "sha256", "signature"]


@given(data=st.data(), name=st.sampled_from(NAMES))
def test_a_block_of_which_any_header_was_changed_or_taken_away_is_not_signed(data: st.DataObject, name: str) -> None:
    (block,) = split_blocks(batch([1, 2, 3]), 1, "f" * 32, SIGNER)
    old = dict(block.headers)[f"biokeel-{name}"]
    value = data.draw(st.none() | st.binary(max_size=70).filter(lambda new: new != old))
    with pytest.raises(UnsignedBlock):
        read_block(EVENT, 0, block.value, _header(block, f"biokeel-{name}", value), KEYS)


def test_a_header_that_is_added_to_ours_breaks_the_signature_and_one_of_a_client_means_nothing() -> None:
    (block,) = split_blocks(batch([1, 2, 3]), 1, "f" * 32, SIGNER)
    with pytest.raises(UnsignedBlock):
        read_block(EVENT, 0, block.value, [*block.headers, ("biokeel-new", b"1")], KEYS)
    assert len(read_block(EVENT, 0, block.value, [*block.headers, ("traceparent", b"1")], KEYS)) == 3


def test_a_block_is_signed_for_its_topic_and_its_partition_only() -> None:
    (block,) = split_blocks(batch([1, 2, 3]), 1, "f" * 32, SIGNER)
    for event, partition in ((EVENT, 1), (event_type("clinical.glucose"), 0)):
        with pytest.raises(UnsignedBlock):
            read_block(event, partition, block.value, block.headers, KEYS)


def test_a_block_of_a_key_that_is_not_listed_is_not_signed_and_one_of_any_listed_key_is() -> None:
    (old,), (new,) = (split_blocks(batch([1]), 1, "f" * 32, signer) for signer in (SIGNER, OTHER))
    with pytest.raises(UnsignedBlock):
        read_block(EVENT, 0, new.value, new.headers, KEYS)
    both = PublicKeys.of_setting(f"{SIGNER.public}, {OTHER.public}")
    assert [len(read_block(EVENT, 0, each.value, each.headers, both)) for each in (old, new)] == [1, 1]


@given(value=st.none() | st.binary(max_size=99), headers=st.lists(st.tuples(st.sampled_from(NAMES), st.binary())))
def test_whatever_somebody_else_writes_is_not_signed(value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
    with pytest.raises(UnsignedBlock):
        read_block(EVENT, 0, value, [(f"biokeel-{name}", each) for name, each in headers], KEYS)


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "Not set"), (" , ", "Not set"), ("abc", "no public key"), (SIGNER.public[:-2], "no public key")],
)
def test_without_a_public_key_that_makes_sense_the_setting_is_named_and_where_to_get_one(text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told) as refusal:
        PublicKeys.of_setting(text)
    assert "BIOKEEL_BLOCK_PUBLIC_KEYS" in str(refusal.value)
    assert "biokeel vault block-keys" in str(refusal.value)


def test_a_signer_prints_as_its_public_key() -> None:
    assert repr(SIGNER) == f"Signer({SIGNER.public})"


@pytest.mark.parametrize(
    "mixed",
    [
        {"raw_partition": [1, 2, 1]},
        {"stream": ["raw", "raw", "parking"]},
        {"source_id": ["app-a", "demo", "app-a"]},
    ],
)
def test_rows_of_two_streams_or_of_raw_partitions_in_turns_make_no_block(mixed: dict[str, list[object]]) -> None:
    whole = batch([1, 2, 3]).frame
    columns = [pl.Series(name, values, (ENVELOPE | COORDINATES)[name]) for name, values in mixed.items()]
    with pytest.raises(ContractError, match="mixes"):
        split_blocks(PseudonymisedBatch(EVENT, whole.with_columns(columns)), 1, "f" * 32, SIGNER)


def test_a_block_without_the_coordinates_is_refused() -> None:
    whole = batch([1, 2])
    (block,) = split_blocks(PseudonymisedBatch(EVENT, whole.frame.drop("first_offset")), 1, "f" * 32, SIGNER)
    with pytest.raises(ContractError, match="first_offset"):
        read_block(EVENT, block.partition, block.value, block.headers, KEYS)


@pytest.mark.parametrize("name", ["event_id", "source_id", "occurred_at", "participant", "raw_offset"])
def test_a_block_whose_rows_could_neither_land_nor_be_quarantined_is_damaged(name: str) -> None:
    whole = batch([1, 2])
    (block,) = split_blocks(whole, 1, "f" * 32, SIGNER)
    frame = whole.frame.with_columns(pl.lit(None, whole.frame.schema[name]).alias(name))
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer)
    digest = sha256(buffer.getvalue()).hexdigest().encode()
    headers = signed(EVENT.pseudo_topic, 0, _header(block, "biokeel-sha256", digest))
    with pytest.raises(DamagedBlock, match=name):
        read_block(EVENT, 0, buffer.getvalue(), headers, KEYS)


def test_headers_say_what_a_block_was_to_hold_and_those_of_a_foreign_message_say_nothing() -> None:
    (block,) = split_blocks(together(batch([1, 2, 3]), batch([4], first=9, raw_partition=0)), 1, "f" * 32, SIGNER)
    holds = named(block.headers)
    assert holds == Named("raw", (Span("demo", 3, 0, 4), Span("demo", 0, 9, 9)))
    assert holds.rows == "demo/3:0-4,demo/0:9-9"
    foreign = ("d/3", "d/3:0", "d/3:0-", "d/3:0--1", "d/3:0-1,", "d/3:0-1;d/0:1-2", "3:0-1", "850101-1234567", "x", "")
    for name, value in (
        ("biokeel-stream", b"850101"),
        ("biokeel-format", None),
        *(("biokeel-rows", rows.encode()) for rows in foreign),
    ):
        assert named(_header(block, name, value)) is None
