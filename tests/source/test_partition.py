from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.source.partition import partitions_of, stable_hash


@pytest.mark.parametrize(
    "text", ["900101-1234568", "9001011234568", "900101 1234568", "９００１０１－１２３４５６８", "900101.1234568"]
)
def test_a_registration_number_hashes_alike_in_every_writing(text: str) -> None:
    assert stable_hash("KR_RRN", text) == stable_hash("KR_FRN", "9001011234568")


def test_the_hash_is_pinned_so_that_a_new_release_keeps_a_person_in_their_partition() -> None:
    assert stable_hash("app/fitbit", "1503960366") == 979994234


def test_the_scheme_counts() -> None:
    assert stable_hash("app/a", "1") != stable_hash("app/b", "1")


@given(st.lists(st.tuples(st.sampled_from(["app/a", "hospital/b"]), st.text(min_size=1, max_size=6)), max_size=40))
def test_every_row_gets_the_partition_of_its_own_identifier(subjects: list[tuple[str, str]]) -> None:
    frame = pl.DataFrame(subjects, schema={"subject_scheme": pl.String, "subject_id": pl.String}, orient="row")
    assert partitions_of(frame, 7).tolist() == [stable_hash(*subject) % 7 for subject in subjects]
