"""A condition selects the rows that pandas selects, with pandas' own precedence and missing values."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biokeel.errors import SuiteError
from biokeel.validate.conditions import compile_condition
from tests.validate.test_parity import COLUMNS, FRAMES, TYPES

VALUES = {
    "x": ["0.5", "1", "-1", "2.0", "1e0", "+3"],
    "i": ["0", "1", "2", "-1", "2.5"],
    "s": ["'a'", '"abc"', "''", "'가'", "'a|b'", "'&'", "'=='"],
    "b": ["True", "False"],
}
PAIRS = [("x", "y"), ("x", "i"), ("i", "j"), ("s", "u"), ("t", "v")]
ORDER = ["==", "!=", "<", "<=", ">", ">="]


@st.composite
def comparisons(draw: st.DrawFn) -> str:
    form = draw(st.sampled_from(["plain", "plain", "flipped", "chained", "set", "null", "pair", "isin"]))
    if form == "pair":
        first, second = draw(st.sampled_from(PAIRS))
        return f"{first} {draw(st.sampled_from(ORDER))} {second}"
    column = draw(st.sampled_from(["x", "i", "s"] if form != "plain" else list(VALUES)))
    value = st.sampled_from(VALUES[column])
    signs = st.sampled_from(ORDER[:2] if column == "b" else ORDER)
    if form == "null":
        return f"{column}.{draw(st.sampled_from(['isnull', 'notnull', 'isna', 'notna']))}()"
    if form in {"set", "isin"}:
        listed = f"[{', '.join(draw(st.lists(value, min_size=1, max_size=3)))}]"
        return f"{column}.isin({listed})" if form == "isin" else f"{column} {draw(st.sampled_from(IN))} {listed}"
    if form == "flipped":
        return f"{draw(value)} {draw(st.sampled_from(ORDER))} {column}"
    if form == "chained":
        low, high = draw(st.tuples(st.sampled_from(ORDER[2:]), st.sampled_from(ORDER[2:])))
        return f"{draw(value)} {low} {column} {high} {draw(value)}"
    return f"{column} {draw(signs)} {draw(value)}"


IN = ["in", "not in", "==", "!="]


@st.composite
def queries(draw: st.DrawFn, depth: int = 2) -> str:
    parts = []
    for number in range(draw(st.integers(1, 3))):
        part = draw(queries(depth=depth - 1)) if depth and draw(st.booleans()) else draw(comparisons())
        part = draw(st.sampled_from(["{}", "{}", "({})", "not {}", "not ({})", "~({})", " ({} )"])).format(part)
        parts.append(part if number == 0 else draw(st.sampled_from([" and ", " or ", " & ", " | ", "&", "|"])) + part)
    return "".join(parts)


def ours(frame: pl.DataFrame, condition: Any, parser: str | None) -> list[int]:
    selected, used = compile_condition(condition, parser, COLUMNS)
    _, view = COLUMNS.view(sorted(used))
    flags = frame.select(view).select(selected.alias("selected"))["selected"]
    assert flags.null_count() == 0
    return flags.arg_true().to_list()


def hold(frame: pl.DataFrame, query: str) -> None:
    """As Great Expectations asks: `PandasExecutionEngine._apply_row_condition_filter`, `data.query(row_condition)`."""
    try:
        expected = list(frame.to_pandas().query(query).index)
    except (TypeError, ValueError, NotImplementedError, SyntaxError):
        return  # pandas does not take it: Great Expectations says so in `suite check`
    try:
        found = ours(frame, query, "pandas")
    except SuiteError:
        return
    assert found == expected, query


@settings(max_examples=300)
@given(FRAMES, queries())
def test_a_query_selects_what_pandas_selects(frame: pl.DataFrame, query: str) -> None:
    hold(frame, query)


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(max_examples=10_000)
@given(FRAMES, queries())
def test_a_query_selects_what_pandas_selects_ten_thousand_times(frame: pl.DataFrame, query: str) -> None:
    hold(frame, query)


FRAME = pl.DataFrame(
    {
        "x": [1.0, 5.0, 5.0, None],
        "i": [1, 1, 3, 3],
        "s": ["b", "b", "a", None],
        "t": [dt.datetime(2024, 1, 1, tzinfo=dt.UTC)] * 4,
    },
    schema_overrides={name: TYPES[name] for name in ("x", "i", "s", "t")},
)


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("not (x > 1) | (i > 2)", [0, 2, 3]),
        ("not (x > 1) & (i > 2)", [3]),
        ("x > 1 & i > 2", [2]),
        ("x > 1 | i > 2", [1, 2, 3]),
        ("0 < x < 2", [0]),
        ("5 == x", [1, 2]),
        ("s == ['a', 'c']", [2]),
        ("s != ['a', 'c']", [0, 1, 3]),
        ("x > i", [1, 2]),
    ],
)
def test_the_order_of_evaluation_is_that_of_pandas(query: str, rows: list[int]) -> None:
    assert ours(FRAME, query, "pandas") == rows == list(FRAME.to_pandas().query(query).index)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "x >",
        "x > 1\nx > 2",
        "`x` > 1",
        "x > @i",
        "x + 1 > 2",
        "s.str.contains('a')",
        "x > 1 if i else s",
        "x > y > s",
        "t == '2024-01-01'",
        "1 < 2",
        "x in s",
        "'a' in s",
        "x == None",
        "b",
        "x.isnull(1)",
        "x > 10**400",
        "x > 1j",
        "x > " + "9" * 4000,
        "not " * 400 + "x > 1",
        "x = 5",
        "x > 'a'",
        "$x",
        "x ! 1",
        "[x] == 1",
        "x == [[1]]",
        "s in ['a', 1]",
        "\0",
    ],
)
def test_what_is_not_compiled_is_refused_with_words(query: str) -> None:
    with pytest.raises(SuiteError, match=r"row_condition|the set"):
        compile_condition(query, "pandas", COLUMNS)
