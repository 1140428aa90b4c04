"""Every core expectation of the installed release has one answer, and the page for stewards gives it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.contracts.schema import load_schema
from biokeel.contracts.topics import event_type
from biokeel.settings import PROJECT_ROOT
from biokeel.validate.columns import Columns
from biokeel.validate.compile import compile_expectation, row_types
from biokeel.validate.expectations import ANSWERS, EVERY, OURS, How
from biokeel.validate.findings import Faults, Finding

COLUMNS = Columns.of(load_schema(PROJECT_ROOT / "schemas", event_type("clinical.glucose")))


def core_expectations() -> set[str]:
    import great_expectations.expectations.core  # noqa: F401
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    return {kind for kind in list_registered_expectation_implementations() if kind not in OURS}


def test_every_core_expectation_of_the_installed_release_has_an_answer_and_nothing_else_has() -> None:
    assert set(ANSWERS) == core_expectations()


def test_great_expectations_knows_each_of_ours_once_they_are_registered() -> None:
    from great_expectations.expectations.registry import get_expectation_impl

    import biokeel.validate.registered  # noqa: F401

    for kind in OURS:
        assert get_expectation_impl(kind).expectation_type == kind


def test_what_is_said_to_judge_rows_is_compiled_and_nothing_else_is() -> None:
    assert {kind for kind, answer in EVERY.items() if answer.how is How.ROW} == row_types()


def test_what_does_not_judge_rows_says_what_to_write_instead_and_names_only_what_does() -> None:
    for kind, answer in ANSWERS.items():
        assert bool(answer.instead) == (answer.how is not How.ROW), kind
        assert set(re.findall(r"expect_\w+", answer.instead)) <= row_types(), kind


@pytest.mark.parametrize("kind", sorted(kind for kind, answer in ANSWERS.items() if answer.how is How.REFUSED))
def test_what_is_refused_is_refused_with_that_sentence(kind: str) -> None:
    faults = Faults()
    assert compile_expectation(kind, {}, COLUMNS, faults) is None
    ((_, error),) = faults.found
    assert error.todo == ANSWERS[kind].instead


def test_an_unknown_name_gets_the_nearest_one() -> None:
    faults = Faults()
    assert compile_expectation("expect_column_values_to_be_betwen", {}, COLUMNS, faults) is None
    assert "expect_column_values_to_be_between" in faults.found[0][1].todo


def row_of_docs(kind: str) -> str:
    answer = EVERY[kind]
    return f"| `{kind}` | {answer.how} | {answer.instead} |".replace("|  |", "| |")


def test_the_page_for_stewards_has_the_table() -> None:
    page = (PROJECT_ROOT / "docs" / "stewards.md").read_text("utf-8").partition("## Every expectation")[2]
    listed = [line for line in page.splitlines() if re.match(r"\| `(expect|unexpected)_\w+` \|", line)]
    assert listed == [row_of_docs(kind) for kind in ANSWERS]


def test_the_page_for_stewards_tells_each_of_ours() -> None:
    page = (PROJECT_ROOT / "docs" / "stewards.md").read_text("utf-8")
    assert all(f"`{kind}`" in page for kind in OURS)


@given(st.text(max_size=3), st.text(max_size=2_000), st.text(max_size=2_000), st.integers(1, 9))
def test_a_finding_is_a_sentence_with_its_place_however_long_what_it_is_about(
    rule: str, what: str, fix: str, line: int
) -> None:
    words = str(Finding(rule, what, fix, "expectations[0]", line))
    assert f"(line {line}, expectations[0]):" in words
    assert len(words) < 1_000
