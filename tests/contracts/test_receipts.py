import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.contracts.receipts import MOST_RUNS, Outcome, Receipt, decode, encode, in_parts
from biokeel.errors import ContractError

AT = dt.datetime(2026, 1, 31, 12, 0, 0, 123_000, dt.UTC)
words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)
times = st.integers(946_684_800_000, 4_102_444_800_000).map(
    lambda ms: dt.datetime.fromtimestamp(ms // 1_000, dt.UTC) + dt.timedelta(milliseconds=ms % 1_000)
)


def runs_of(steps):
    """Runs from pairs of a gap before each and its length."""
    runs, at = [], 0
    for gap, length in steps:
        runs.append((at + gap, at + gap + length - 1))
        at += gap + length
    return tuple(runs)


runs = st.lists(st.tuples(st.integers(1, 1 << 40), st.integers(1, 1 << 40)), min_size=1, max_size=9).map(runs_of)
receipts = st.builds(
    Receipt,
    number=st.integers(0, 1 << 53),
    event=words,
    partition=st.integers(0, 1_000),
    offsets=runs,
    outcome=st.sampled_from(Outcome),
    at=times,
    amends=st.booleans(),
    table_version=st.none() | st.integers(0, 1 << 53),
    rules=st.lists(words, max_size=3).map(tuple),
    suite=st.just("") | words,
    reason=st.just("") | words,
    fields=st.lists(words, max_size=3).map(tuple),
)


@given(receipts)
def test_a_receipt_is_read_as_it_was_written(receipt):
    assert decode(encode(receipt)) == receipt


@given(st.lists(st.tuples(runs, st.sampled_from(Outcome)), max_size=5))
def test_the_newest_record_about_an_offset_says_the_same_after_the_wire(changes):
    def told(records):
        return {offset: record.outcome for record in records for run in record.offsets for offset in run}

    written = [Receipt(n, "clinical.glucose", 0, those, what, AT) for n, (those, what) in enumerate(changes)]
    assert told(map(decode, map(encode, written))) == told(written)


def test_twenty_thousand_events_that_landed_are_one_small_record():
    receipt = Receipt(
        1_764_513_443_000, "clinical.blood_pressure", 3, ((99_980_000, 99_999_999),), Outcome.LANDED, AT, False, 12_345
    )
    assert len(receipt) == 20_000
    assert len(encode(receipt)) < 300
    assert b"amends" not in encode(receipt)


def test_many_scattered_offsets_are_several_records_of_bounded_size():
    scattered = [(offset, offset) for offset in range(10**12, 10**12 + 30_000, 3)]
    parts = list(in_parts(scattered))
    assert [run for part in parts for run in part] == scattered
    assert max(map(len, parts)) == MOST_RUNS
    records = [encode(Receipt(1, "clinical.glucose", 0, part, Outcome.PARKED, AT)) for part in parts]
    assert max(map(len, records)) < 200_000


def test_what_a_newer_release_adds_is_passed_over():
    known = encode(Receipt(1, "clinical.glucose", 0, ((0, 0),), Outcome.SEALED, AT, reason="wire.empty"))
    assert decode(known[:-1] + b',"mood":"fine"}').reason == "wire.empty"


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b'{"number":1}', encode(Receipt(1, "a.b", 0, (), Outcome.LANDED, AT))[:-2]]
)
def test_what_is_no_receipt_is_one_sentence(data):
    with pytest.raises(ContractError, match=f"A record of {len(data)} bytes is no receipt"):
        decode(data)
