"""Every message that cannot be a row is rejected with its own reason, and takes no neighbour along."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from biokeel.batch import Outcome, RawBatch, RawPartition
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.codec import Codec
from biokeel.contracts.topics import event_type
from biokeel.errors import ContractError
from biokeel.reasons import Reason
from biokeel.testing.events import frames, random_frame
from tests.contracts.made_schemas import GLUCOSE, SLOW_TYPES, TIMESTAMP, Versions, avro, field, typed

LIMIT = 1 << 20
FRAME = 5
Spoil = Callable[[bytes], bytes | None]
SPOILS: dict[str, tuple[Spoil, Reason]] = {
    "null": (lambda _: None, Reason.EMPTY),
    "empty": (lambda _: b"", Reason.EMPTY),
    "ten megabytes": (lambda datum: datum + b"\0" * (10 << 20), Reason.TOO_LARGE),
    "no magic byte": (lambda datum: b"{" + datum[1:], Reason.NOT_FRAMED),
    "bare": (lambda datum: datum[FRAME:], Reason.NOT_FRAMED),
    "shorter than a frame": (lambda datum: datum[:4], Reason.NOT_FRAMED),
    "unknown id": (lambda datum: datum[:1] + b"\xff\xff\xff\xff" + datum[5:], Reason.UNKNOWN_SCHEMA),
    "id of another event": (lambda datum: datum[:1] + b"\0\0\0\1" + datum[5:], Reason.WRONG_SUBJECT),
    "truncated by one": (lambda datum: datum[:-1], Reason.MALFORMED),
    "truncated to the frame": (lambda datum: datum[:FRAME], Reason.MALFORMED),
    "one byte left over": (lambda datum: datum + b"\0", Reason.TRAILING_BYTES),
    "a second event behind it": (lambda datum: datum + datum[FRAME:], Reason.TRAILING_BYTES),
    "negative length": (lambda datum: datum[:FRAME] + b"\x01" + datum[FRAME + 1 :], Reason.MALFORMED),
    "not UTF-8": (lambda datum: datum[: FRAME + 1] + b"\xff" + datum[FRAME + 2 :], Reason.MALFORMED),
}


def decode(codec: Codec, datums: list[bytes | None]) -> Outcome:
    return codec.decode(
        RawBatch.of(GLUCOSE, [(RawPartition("demo-one", 2), np.arange(1000, 1000 + len(datums)), datums)])
    )


@settings(max_examples=20)
@given(
    spoiled=st.dictionaries(st.integers(0, 199), st.sampled_from(sorted(SPOILS)), max_size=8),
    rows=st.integers(1, 200),
)
def test_each_bad_message_gets_its_reason_and_its_neighbours_stay_as_they_were(
    codec: Codec, catalogue: DirectoryCatalogue, spoiled: dict[int, str], rows: int
) -> None:
    frame = random_frame(catalogue.reader(GLUCOSE).schema, rows)
    datums = codec.encode(GLUCOSE, frame).to_pylist()
    spoiled = {row: how for row, how in spoiled.items() if row < rows}
    for row, how in spoiled.items():
        datums[row] = SPOILS[how][0](datums[row])
    outcome = decode(codec, datums)
    good = [row for row in range(rows) if row not in spoiled]
    assert_frame_equal(outcome.accepted.frame, frame[good])
    assert outcome.accepted.raw.offsets.tolist() == [1000 + row for row in good]
    assert list(outcome.accepted.raw.values) == [datums[row] for row in good]
    expected = [(1000 + row, SPOILS[how][1], datums[row] or b"") for row, how in sorted(spoiled.items())]
    assert [(bad.at.offset, bad.reason, bad.payload) for bad in outcome.rejected] == expected
    assert all(bad.at.origin == ("demo-one", 2) for bad in outcome.rejected)


@pytest.mark.parametrize("how", ["truncated by one", "one byte left over", "not UTF-8"])
def test_one_bad_datum_among_twenty_thousand_is_found(codec: Codec, catalogue: DirectoryCatalogue, how: str) -> None:
    frame = random_frame(catalogue.reader(GLUCOSE).schema, 20_000)
    datums = codec.encode(GLUCOSE, frame).to_pylist()
    datums[12_345] = SPOILS[how][0](datums[12_345])
    outcome = decode(codec, datums)
    assert [(bad.at.offset, bad.reason) for bad in outcome.rejected] == [(13_345, SPOILS[how][1])]
    assert outcome.accepted.frame.equals(pl.concat([frame[:12_345], frame[12_346:]]))


@settings(max_examples=20)
@given(data=st.data())
def test_bad_datums_are_isolated_on_the_general_way_too(data: st.DataObject) -> None:
    catalogue = Versions(typed(SLOW_TYPES))
    codec = Codec(catalogue, LIMIT)
    frame = data.draw(frames(catalogue.reader(GLUCOSE).schema, min_rows=3))
    datums = codec.encode(GLUCOSE, frame).to_pylist()
    datums[1] = data.draw(st.sampled_from([datums[1][:-1], datums[1][:FRAME]]))
    datums[2] += b"\0"
    outcome = decode(codec, datums)
    assert [bad.reason for bad in outcome.rejected] == [Reason.MALFORMED, Reason.TRAILING_BYTES]
    assert_frame_equal(outcome.accepted.frame, pl.concat([frame[:1], frame[3:]]))


@settings(max_examples=100)
@given(garbage=st.lists(st.binary(max_size=60), max_size=40))
def test_garbage_under_a_valid_frame_never_breaks_the_codec(
    codec: Codec, catalogue: DirectoryCatalogue, garbage: list[bytes]
) -> None:
    head = codec.encode(GLUCOSE, random_frame(catalogue.reader(GLUCOSE).schema, 1))[0].as_py()
    outcome = decode(codec, [head, *(head[:FRAME] + noise for noise in garbage)])
    assert len(outcome.accepted) + len(outcome.rejected) == 1 + len(garbage)
    assert outcome.accepted.raw.offsets[0] == 1000
    outcome.accepted.frame.rows()


@pytest.mark.parametrize("kind", ["int", {"type": "int", "logicalType": "date"}], ids=["int", "date"])
def test_a_number_too_large_for_its_type_is_malformed_not_wrapped(kind: object) -> None:
    writer = Versions(avro(field("number", "long")))
    frame = random_frame(writer.reader(GLUCOSE).schema, 4).with_columns(number=pl.Series([1, 2**31, -(2**40), 2**20]))
    datums = Codec(writer, LIMIT).encode(GLUCOSE, frame).to_pylist()
    outcome = decode(Codec(Versions(avro(field("number", kind))), LIMIT), datums)
    assert [(bad.at.offset, bad.reason) for bad in outcome.rejected] == [
        (1001, Reason.MALFORMED),
        (1002, Reason.MALFORMED),
    ]
    assert outcome.accepted.frame["number"].to_physical().to_list() == [1, 2**20]


def test_numbers_at_the_ends_of_their_types_are_accepted() -> None:
    ends = [-(2**31), 2**31 - 1, 0]
    catalogue = Versions(avro(field("number", "int"), field("long", "long")))
    frame = random_frame(catalogue.reader(GLUCOSE).schema, 3).with_columns(
        number=pl.Series(ends, dtype=pl.Int32), long=pl.Series([-(2**63), 2**63 - 1, 0])
    )
    codec = Codec(catalogue, LIMIT)
    outcome = decode(codec, codec.encode(GLUCOSE, frame).to_pylist())
    assert_frame_equal(outcome.accepted.frame, frame)


@pytest.mark.parametrize("instant", [2**63 - 1, -(2**63), 253_402_300_800_000, -62_135_596_800_001])
def test_a_time_that_polars_cannot_show_is_rejected_by_the_name_of_its_field(
    codec: Codec, catalogue: DirectoryCatalogue, instant: int
) -> None:
    frame = random_frame(catalogue.reader(GLUCOSE).schema, 3)
    spoiled = frame.with_columns(occurred_at=pl.Series([0, instant, 0], dtype=pl.Int64).cast(pl.Datetime("ms", "UTC")))
    outcome = decode(codec, codec.encode(GLUCOSE, spoiled).to_pylist())
    assert [(bad.at.offset, bad.reason) for bad in outcome.rejected] == [(1001, Reason.TIME_RANGE)]
    assert "occurred_at" in outcome.rejected[0].detail
    assert outcome.accepted.frame["event_id"].to_list() == frame["event_id"].to_list()[::2]
    str(outcome.accepted.frame)


def test_a_time_deep_inside_a_row_is_held_to_the_same_limits() -> None:
    part = {"type": "record", "name": "Part", "fields": [{"name": "at", "type": ["null", TIMESTAMP]}]}
    numbers = {"type": "record", "name": "Part", "fields": [{"name": "at", "type": ["null", "long"]}]}
    writer = Versions(avro(field("parts", {"type": "array", "items": numbers})))
    parts = [[{"at": 1}], [], [{"at": None}, {"at": 2**62}], [{"at": 2}]]
    frame = random_frame(writer.reader(GLUCOSE).schema, 4).with_columns(parts=pl.Series(parts))
    datums = Codec(writer, LIMIT).encode(GLUCOSE, frame).to_pylist()
    outcome = decode(Codec(Versions(avro(field("parts", {"type": "array", "items": part}))), LIMIT), datums)
    assert [(bad.at.offset, bad.reason) for bad in outcome.rejected] == [(1002, Reason.TIME_RANGE)]


def test_no_rejection_shows_a_value_outside_its_payload(codec: Codec, catalogue: DirectoryCatalogue) -> None:
    frame = random_frame(catalogue.reader(GLUCOSE).schema, len(SPOILS)).with_columns(subject_id=pl.lit("u-secret-u"))
    datums = codec.encode(GLUCOSE, frame).to_pylist()
    outcome = decode(codec, [spoil(datum) for datum, (spoil, _) in zip(datums, SPOILS.values(), strict=True)])
    assert len(outcome.rejected) == len(SPOILS)
    assert not any("secret" in repr(bad) + bad.detail for bad in outcome.rejected)


class _Down(DirectoryCatalogue):
    def by_id(self, schema_id: int):
        raise ContractError("The schema registry does not answer.")


def test_events_are_not_rejected_because_nobody_can_be_asked(
    schemas_root, codec: Codec, catalogue: DirectoryCatalogue
) -> None:
    datums = codec.encode(GLUCOSE, random_frame(catalogue.reader(GLUCOSE).schema, 2)).to_pylist()
    with pytest.raises(ContractError, match="does not answer"):
        decode(Codec(_Down(schemas_root), LIMIT), datums)


def test_a_subject_of_another_event_is_named_in_the_detail(codec: Codec, catalogue: DirectoryCatalogue) -> None:
    other = event_type("clinical.diagnosis")
    datums = codec.encode(other, random_frame(catalogue.reader(other).schema, 2)).to_pylist()
    rejected = decode(codec, datums).rejected
    assert [bad.reason for bad in rejected] == [Reason.WRONG_SUBJECT] * 2
    assert other.subject in rejected[0].detail
