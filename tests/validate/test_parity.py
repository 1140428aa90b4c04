"""Every compiled expectation type calls the same rows unexpected as the real Great Expectations on pandas."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biokeel.validate.columns import Columns
from biokeel.validate.compile import compile_expectation, row_types
from biokeel.validate.findings import Faults
from tests.validate.real_gx import unexpected_rows

TYPES = {
    "x": pl.Float64(),
    "y": pl.Float64(),
    "i": pl.Int64(),
    "j": pl.Int32(),
    "k": pl.Int64(),
    "f": pl.Float32(),
    "s": pl.String(),
    "u": pl.String(),
    "b": pl.Boolean(),
    "t": pl.Datetime("ms", "UTC"),
    "v": pl.Datetime("ms", "UTC"),
    "d": pl.Date(),
    "offset": pl.Int32(),
    "year": pl.Int32(),
    "sex": pl.String(),
    "genetic": pl.String(),
}
COLUMNS = Columns(TYPES, {})
FLOATS = [
    0.0,
    -0.0,
    0.1,
    0.5,
    1.0,
    1.5,
    2.0,
    3.0,
    900.0,
    -1.0,
    float("inf"),
    float("-inf"),
    float("nan"),
    0.30000000000000004,
]
INTS = [-1, 0, 1, 2, 3, 900, 2**31 - 1]
EXACT = [0, 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)]
"""Of a column that is never null: pandas makes floats of whole numbers where one is missing, which are not exact."""
TEXTS = [
    "",
    "\0",
    "a\0b",
    "\u2028",
    "\U0010ffff",
    "٢",
    " ",
    "a",
    "A",
    "ab",
    "abc",
    "ab\n",
    "\n",
    "가",
    "가나다",
    "각",
    "é",
    "é",
    "I10",
    "I10.9",
    "8480-6",
    "12",
    "١٢",
    "😀",
    "nan",
    "None",
    "a|b",
]
TIMES = [dt.datetime(y, 1, 1, h, tzinfo=dt.UTC) for y in (1899, 1900, 2020) for h in (0, 12)]
EDGES = [dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.datetime(9999, 12, 31, 23, 59, 59, 999000, dt.UTC)]
DAYS = [dt.date(1, 1, 1), dt.date(1899, 12, 31), dt.date(1900, 1, 1), dt.date(2020, 1, 1), dt.date(9999, 12, 31)]
OFFSETS = [0, 540, -720, 1440, -1440, 841, 2**31 - 1, -(2**31)]
YEARS = [0, 1899, 1900, 1901, 2020, 9999, 10_000, 2**31 - 1, -(2**31)]
SEXES = ["female", "male", "unknown", "Female", ""]
REGEXES = [
    "^[a-z]+$",
    "^a",
    "b$",
    "[가-힣]",
    "^[A-Z][0-9]{2}(?:\\.[0-9]{1,2})?$",
    "^[0-9]+-[0-9]$",
    "",
    "^$",
    "a|b",
    "a\\|b",
    ".",
    "^.{2}$",
    "^(?:a|가)",
    "[^a]",
    "x*",
    "\\.",
    "^(?:ab|I10)$",
    "[.]",
    r"^\d+$",
    r"^\w+$",
    r"\s",
    r"^\<?[^\W\d]",
    r"\x00|\u2028",
]


def missing(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), st.sampled_from(values), st.sampled_from(values))


ROW = st.fixed_dictionaries(
    {
        "x": missing(FLOATS),
        "y": missing(FLOATS),
        "i": missing(INTS),
        "j": missing(INTS),
        "k": st.sampled_from(EXACT),
        "f": missing(FLOATS),
        "s": missing(TEXTS),
        "u": missing(TEXTS),
        "b": missing([True, False]),
        "t": missing(TIMES + EDGES),
        "v": missing(TIMES),
        "d": missing(DAYS),
        "offset": missing(OFFSETS),
        "year": missing(YEARS),
        "sex": missing(SEXES),
        "genetic": missing(SEXES),
    }
)
FRAMES = st.lists(ROW, min_size=1, max_size=12).map(lambda rows: pl.DataFrame(rows, schema=TYPES))
"""Never empty: Great Expectations is not asked about nothing, and neither is the compiler."""

LIMITS = {
    "x": [-1, 0, 0.5, 1.0, 2, 3],
    "i": [-1, 0, 1, 2.5, 900],
    "j": [0, 1.5, 3, 10**12],
    "k": [-(2**63), -(2**53) - 1, 0, 2**53 + 1, 2**63 - 1],
    "f": [-1, 0, 0.1, 0.5, 1.0, 2, 900],
    "t": ["1900-01-01T00:00:00+00:00", "2020-01-01T09:00:00+09:00"],
}
SETS = {
    "x": [0.0, 0.1, 1, 2, 900.0],
    "i": [0, 1, 2.0, 3.5, 900],
    "j": [0, 1, 2, 900],
    "k": EXACT,
    "f": [0.0, 0.1, 0.5, 1, 900.0],
    "s": TEXTS,
    "b": [True, False],
}


@st.composite
def conditions(draw: st.DrawFn, depth: str = "") -> dict[str, Any]:
    kind = draw(
        st.sampled_from(
            ["comparison", "comparison", "in", "nullity"] + {"": ["and", "or"], "or": ["and"], "and": []}[depth]
        )
    )
    if kind in {"and", "or"}:
        return {"type": kind, "conditions": draw(st.lists(conditions(depth=kind), min_size=1, max_size=3))}
    column = draw(
        st.sampled_from(["x", "i", "j", "k", "f", "s", "b"] if kind != "in" else ["x", "i", "j", "k", "f", "s"])
    )
    named = {"column": {"name": column}}
    if kind == "nullity":
        return {"type": kind, **named, "is_null": draw(st.booleans())}
    if kind == "in":
        values = draw(st.lists(st.sampled_from(SETS[column]), max_size=3))
        return {"type": "comparison", **named, "operator": draw(st.sampled_from(["IN", "NOT_IN"])), "parameter": values}
    signs = ["==", "!="] if column == "b" else ["==", "!=", "<", "<=", ">", ">="]
    return {
        "type": "comparison",
        **named,
        "operator": draw(st.sampled_from(signs)),
        "parameter": draw(st.sampled_from(SETS[column])),
    }


QUERIES = [
    "s == 'abc'", "s != 'abc'", "x > 0.5 and not (i > 1)", "x.isnull()", "~(x > 1)", "(s in ['a', '가']) | (j <= 1)",
    "s not in ['a', '가']", "x.notnull() and i.notna()", "not x.isna()", '(b == True) & (s != "a")', "b != True",
]  # fmt: skip
LEGACY = [
    'col("x") > 0.5',
    'col("s") == "abc"',
    'col("i") != 1',
    'col("x").notNull()',
    "col(\"s\") != 'a'",
    'col("i") <= 1e0',
]
CONDITIONS = st.one_of(
    st.just({}),
    conditions().map(lambda condition: {"row_condition": condition}),
    st.sampled_from(QUERIES).map(lambda text: {"row_condition": text, "condition_parser": "pandas"}),
    st.sampled_from(QUERIES).map(lambda text: {"row_condition": {"type": "pass_through", "pass_through_filter": text}}),
    st.sampled_from(LEGACY).map(lambda text: {"row_condition": text, "condition_parser": "great_expectations"}),
)
MOSTLY = st.sampled_from([{}, {}, {"mostly": 0.5}, {"mostly": 1}, {"mostly": 0.0}])


def one(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


def ranges(columns: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    def of(column: str) -> st.SearchStrategy[dict[str, Any]]:
        limits = LIMITS[column]
        low_high = st.tuples(one([None, *range(len(limits))]), one([None, *range(len(limits))])).filter(
            lambda pair: pair != (None, None) and (None in pair or pair[0] <= pair[1])
        )
        return st.tuples(low_high, st.booleans(), st.booleans()).map(
            lambda each: {
                "column": column,
                **({"min_value": limits[each[0][0]]} if each[0][0] is not None else {}),
                **({"max_value": limits[each[0][1]]} if each[0][1] is not None else {}),
                "strict_min": each[1],
                "strict_max": each[2],
            }
        )

    return one(columns).flatmap(of)


def sets() -> st.SearchStrategy[dict[str, Any]]:
    return one(list(SETS)).flatmap(
        lambda column: st.lists(one(SETS[column]), min_size=0, max_size=4).map(
            lambda values: {"column": column, "value_set": values}
        )
    )


ANY_COLUMN = one(list(TYPES)).map(lambda column: {"column": column})
LENGTHS = st.tuples(one([0, 1, 2]), one([2, 3]), st.booleans(), st.booleans()).map(
    lambda each: {
        "column": "s",
        "min_value": each[0],
        "max_value": each[1],
        "strict_min": each[2],
        "strict_max": each[3],
    }
)
IGNORE_PAIR = one(
    [{}, *({"ignore_row_if": each} for each in ("both_values_are_missing", "either_value_is_missing", "neither"))]
)
IGNORE_LIST = one(
    [{}, *({"ignore_row_if": each} for each in ("all_values_are_missing", "any_value_is_missing", "never"))]
)
PAIRS = [("x", "y"), ("x", "i"), ("i", "j"), ("t", "v"), ("s", "u")]


def pair(columns: tuple[str, str]) -> dict[str, Any]:
    return {"column_A": columns[0], "column_B": columns[1]}


ARGUMENTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "expect_column_values_to_not_be_null": ANY_COLUMN,
    "expect_column_values_to_be_null": ANY_COLUMN,
    "expect_column_values_to_be_between": ranges(list(LIMITS)),
    "expect_column_values_to_be_in_set": sets(),
    "expect_column_values_to_not_be_in_set": sets(),
    "expect_column_values_to_match_regex": one(REGEXES).map(lambda regex: {"column": "s", "regex": regex}),
    "expect_column_values_to_not_match_regex": one(REGEXES).map(lambda regex: {"column": "s", "regex": regex}),
    "expect_column_values_to_match_regex_list": st.tuples(
        st.lists(one(REGEXES), min_size=1, max_size=3), one([{}, {"match_on": "any"}, {"match_on": "all"}])
    ).map(lambda each: {"column": "s", "regex_list": each[0], **each[1]}),
    "expect_column_values_to_not_match_regex_list": st.lists(one(REGEXES), min_size=1, max_size=3).map(
        lambda each: {"column": "s", "regex_list": each}
    ),
    "expect_column_value_lengths_to_be_between": LENGTHS,
    "expect_column_value_lengths_to_equal": one([0, 1, 2, 3]).map(lambda value: {"column": "s", "value": value}),
    "expect_column_pair_values_a_to_be_greater_than_b": st.tuples(
        one(PAIRS), IGNORE_PAIR, one([{}, {"or_equal": True}])
    ).map(lambda each: pair(each[0]) | each[1] | each[2]),
    "expect_column_pair_values_to_be_equal": st.tuples(one(PAIRS), IGNORE_PAIR).map(
        lambda each: pair(each[0]) | each[1]
    ),
    "expect_column_pair_values_to_be_in_set": st.tuples(
        st.lists(st.tuples(one([None, 1.0, 0.5, 2]), one([None, "a", "가", ""])).map(list), min_size=1, max_size=4),
        IGNORE_PAIR,
    ).map(lambda each: pair(("x", "s")) | {"value_pairs_set": each[0]} | each[1]),
    "expect_multicolumn_sum_to_equal": st.tuples(one([0, 1, 1.5, 3, 0.30000000000000004]), IGNORE_LIST).map(
        lambda each: {"column_list": ["x", "y", "i"], "sum_total": each[0]} | each[1]
    ),
    "expect_multicolumn_values_to_be_equal": st.tuples(one([["x", "y", "i"], ["s", "u"], ["t", "v"]]), IGNORE_LIST).map(
        lambda each: {"column_list": each[0]} | each[1]
    ),
    "expect_multicolumn_time_to_not_precede_enrolment": st.tuples(
        one([{}, {"tolerance_days": 0}, {"tolerance_days": 1}, {"tolerance_days": 30}]), IGNORE_LIST
    ).map(lambda each: {"column_list": ["t", "offset", "d"]} | each[0] | each[1]),
    "expect_multicolumn_time_to_not_precede_birth": st.tuples(
        one([{}, {"tolerance_years": 0}, {"tolerance_years": 1}]), IGNORE_LIST
    ).map(lambda each: {"column_list": ["t", "offset", "year"]} | each[0] | each[1]),
    "expect_column_pair_recorded_sex_to_match_genetic_sex": IGNORE_PAIR.map(
        lambda each: pair(("sex", "genetic")) | each
    ),
    "expect_column_pair_unit_to_suit_code": st.tuples(
        st.dictionaries(one(TEXTS), st.lists(one(TEXTS), min_size=1, max_size=3), min_size=1, max_size=4),
        IGNORE_PAIR,
    ).map(lambda each: pair(("s", "u")) | {"units_by_code": each[0]} | each[1]),
    "expect_select_column_values_to_be_unique_within_record": st.tuples(
        one([["x", "y", "i"], ["s", "u"], ["t", "v"]]), IGNORE_LIST
    ).map(lambda each: {"column_list": each[0]} | each[1]),
}  # fmt: skip


def ours(frame: pl.DataFrame, kind: str, kwargs: dict[str, Any]) -> list[int]:
    compiled = compile_expectation(kind, kwargs, COLUMNS, faults := Faults())
    assert compiled is not None, faults.found
    assert compiled.unexpected is not None
    _, view = COLUMNS.view(sorted(compiled.columns))
    flags = frame.select(view).select(compiled.unexpected.alias("unexpected"))["unexpected"]
    assert flags.dtype == pl.Boolean
    assert flags.null_count() == 0
    return flags.arg_true().to_list()


def test_every_compiled_type_is_held_to_great_expectations() -> None:
    assert set(ARGUMENTS) == row_types()


def hold(kind: str, data: st.DataObject) -> None:
    frame = data.draw(FRAMES)
    kwargs = data.draw(ARGUMENTS[kind]) | data.draw(MOSTLY)
    if kind != "expect_column_pair_values_to_be_in_set":
        kwargs |= data.draw(CONDITIONS)
    assert ours(frame, kind, kwargs) == unexpected_rows(frame, kind, kwargs)


def test_whole_numbers_are_summed_exactly() -> None:
    frame = pl.DataFrame(
        {"k": [2**53, 2**53 - 1, 2**63 - 1], "i": [1, 1, 1]}, schema_overrides={"k": pl.Int64, "i": pl.Int64}
    )
    kwargs = {"column_list": ["k", "i"], "sum_total": 2**53 + 1}
    kind = "expect_multicolumn_sum_to_equal"
    assert ours(frame, kind, kwargs) == [1, 2], "Great Expectations makes a float of the total, and takes row 1 too"


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("limit", [2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1])
@pytest.mark.parametrize("name", ["min_value", "max_value"])
def test_a_limit_is_a_float_as_great_expectations_reads_it(name: str, limit: int, strict: bool) -> None:
    frame = pl.DataFrame({"k": [0, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 2, 2**63 - 1]})
    kwargs = {"column": "k", name: limit, f"strict_{name.removesuffix('_value')}": strict}
    kind = "expect_column_values_to_be_between"
    assert ours(frame, kind, kwargs) == unexpected_rows(frame, kind, kwargs)


@pytest.mark.parametrize("kind", ["expect_column_values_to_be_in_set", "expect_column_values_to_not_be_in_set"])
def test_a_number_of_32_bits_is_held_against_one_of_64(kind: str) -> None:
    frame = pl.DataFrame({"f": [0.1, 0.5, None]}, schema={"f": pl.Float32})
    kwargs = {"column": "f", "value_set": [0.1, 0.5]}
    assert ours(frame, kind, kwargs) == unexpected_rows(frame, kind, kwargs)
    assert ours(frame, kind, kwargs) == ([0] if kind == "expect_column_values_to_be_in_set" else [1])


UNHURRIED = [HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.parametrize("kind", sorted(ARGUMENTS))
@settings(max_examples=60, suppress_health_check=UNHURRIED)
@given(data=st.data())
def test_the_compiled_expectation_finds_the_rows_that_great_expectations_finds(kind: str, data: st.DataObject) -> None:
    hold(kind, data)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", sorted(ARGUMENTS))
@settings(max_examples=3_000, suppress_health_check=UNHURRIED)
@given(data=st.data())
def test_thousands_of_rows_are_unexpected_as_great_expectations_has_it(kind: str, data: st.DataObject) -> None:
    hold(kind, data)
