"""A pattern that is taken finds what Python and pandas find; what could differ is refused with words."""

from __future__ import annotations

import re
import warnings

import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biokeel.errors import SuiteError
from biokeel.validate.patterns import translate

CHARACTERS = [
    "a",
    "b",
    "K",
    "i",
    "1",
    "٢",
    "²",
    "_",
    "-",
    "<",
    ">",
    "]",
    "[",
    "^",
    "$",
    ".",
    "\\",
    "{",
    "}",
    ",",
    "&",
    "~",
    "|",
    "(",
    ")",
    " ",
    "\t",
    "\n",
    "\r",
    "\x0b",
    "\x1c",
    "\x85",
    "\u2028",
    "\u200d",
    "\0",
    "é",
    "e\u0301",
    "가",
    "ß",
    "ſ",
    "İ",
    "ı",
    "K",
    "😀",
    "\U0010ffff",
    "\u0345",
    "Ⅷ",
    "½",
    "〇",
    "\u00a0",
]
TEXTS = st.lists(st.sampled_from(CHARACTERS), max_size=6).map("".join)
ATOMS = st.sampled_from(
    [
        ".",
        "^",
        "$",
        r"\d",
        r"\D",
        r"\w",
        r"\W",
        r"\s",
        r"\S",
        r"\A",
        r"\Z",
        r"\b",
        r"\<",
        r"\>",
        r"\.",
        r"\-",
        r"\]",
        r"\[",
        r"\x41",
        r"\u00e9",
        r"\0",
        r"\07",
        r"\n",
        r"\t",
        r"\v",
        r"\f",
        r"\a",
        r"\_",
        r"\é",
        r"\&",
        r"\~",
        r"\ ",
        r"\{",
        r"\}",
        r"\N{DIGIT ONE}",
        r"\1",
        r"\pL",
        r"\Q",
        r"\E",
        r"\C",
        r"\z",
        r"\h",
        "{",
        "}",
        "]",
        "{1",
        "a{,2}",
        "a{0}",
        "a{1,2}",
        "(?i)",
        "(?i:k)",
        "(?=a)",
        "(?!a)",
        "(?P<n>a)",
        "(?P=n)",
        "(?#c)",
        "(?>a)",
        "a*+",
        "[[:alpha:]]",
        "[^[:digit:]]",
        "[a&&b]",
        "[a--b]",
        "[a~~b]",
        "[a||b]",
        "[]a]",
        "[^]a]",
        "[-a]",
        "[a-]",
        r"[\b]",
        r"[\d_]",
        r"[^\w]",
        r"[\s\S]",
        r"[^\s\S]",
        r"[\x00-\x1f]",
        "[가-힣]",
        "[!-~]",
        "[+--]",
        r"[\]\-\\]",
        "[^a]",
        "[^\n]",
        "[.$^]",
        r"[\W1]",
    ]
)
PIECES = st.one_of(ATOMS, st.sampled_from(CHARACTERS).map(re.escape), st.sampled_from(CHARACTERS))


@st.composite
def patterns(draw: st.DrawFn, depth: int = 2) -> str:
    parts = []
    for _ in range(draw(st.integers(0, 4))):
        piece = draw(PIECES)
        if depth and draw(st.booleans()):
            inner = draw(patterns(depth=depth - 1))
            piece = draw(st.sampled_from(["({})", "(?:{})", "(?:{}|a)", "{}|"])).format(inner)
        parts.append(
            piece + draw(st.sampled_from(["", "", "", "?", "*", "+", "{2}", "{1,3}", "{1,}", "*?", "{,2}", "++"]))
        )
    return "".join(parts)


def found_by_polars(pattern: str, texts: list[str]) -> list[bool]:
    return pl.Series(texts, dtype=pl.String).str.contains(translate(pattern).written, strict=True).to_list()


def found_by_pandas(pattern: str, texts: list[str]) -> list[bool]:
    """As Great Expectations asks: `column_values_match_regex`, `column.astype(str).str.contains(regex)`."""
    return pd.Series(texts, dtype="str").astype(str).str.contains(pattern).to_list()


def hold(pattern: str, texts: list[str]) -> bool:
    """Whether `pattern` is taken; then all three must find it in the same texts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python announces set operations, pandas mentions groups
        try:
            ours = found_by_polars(pattern, texts)
        except SuiteError:
            return False
        assert ours == [re.search(pattern, text) is not None for text in texts], pattern
        assert ours == found_by_pandas(pattern, texts), pattern
        for text in texts:  # pandas chooses its engine by the look of all the texts together
            assert found_by_pandas(pattern, [text]) == found_by_polars(pattern, [text]), (pattern, text)
    return True


@settings(max_examples=400)
@given(patterns(), st.lists(TEXTS, min_size=1, max_size=6))
def test_what_is_taken_finds_what_python_and_pandas_find(pattern: str, texts: list[str]) -> None:
    hold(pattern, texts)


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(max_examples=10_000)
@given(patterns(), st.lists(TEXTS, min_size=1, max_size=6))
def test_what_is_taken_finds_what_python_and_pandas_find_ten_thousand_times(pattern: str, texts: list[str]) -> None:
    hold(pattern, texts)


@pytest.mark.parametrize("character", CHARACTERS)
@pytest.mark.parametrize("pattern", [r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", ".", "[^a]", "$", "^$", "a?$"])
def test_each_class_holds_each_character_as_python_does(pattern: str, character: str) -> None:
    assert hold(pattern, [character, "a" + character, character + "\n", ""])


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\<[0-9]+$",
        r"^[0-9]{1,7}-[0-9]$",
        r"^\d{3}$",
        r"^\w+\s\w+$",
        r"[\]\-\\]",
        r"\x41|\u00e9|\0",
        "(?P<name>a)|b$",
        "{",
        "a{2",
        r"^(?:final|amended)$",
        "[!-~]",
        r"\.",
        "^[^,]*$",
    ],
)
def test_what_stewards_write_is_taken(pattern: str) -> None:
    assert hold(
        pattern, ["<5", "5", "8480-6", "123", "١٢٣", "a b", "A", "é", "\0", "{", "a{2", "final", "final\n", ",", "]"]
    )


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("a{99999999999}", "malformed"),
        ("a{1001}", "repeats up to 1000"),
        ("(" * 400 + "a" + ")" * 400, "the regular expression"),
        ("a" * 1001, "more than 1,000"),
        (r"(?:\w{900}){900}", "the regular expression"),
        (r"(?:[a-z\d]{30}x){30}", "ranges of characters"),
        ("[a-\ud800]", "half a character"),
        ("a$b", r"Write \$"),
        ("(?:a$)*", r"Write \$"),
        ("(?i)final", "[Aa]"),
        ("(?i:final)", "[Aa]"),
        (r"(a)(?(1)b|c)", "both cases"),
    ],
)
def test_what_is_refused_says_what_to_write(pattern: str, words: str) -> None:
    with pytest.raises(SuiteError) as caught:
        translate(pattern)
    assert words in str(caught.value)


@pytest.mark.parametrize("pattern", [r"^(a+)+$", r"^(a|aa)+$", r"(x+x+)+y", r"^(?:[a-z]+)*$"])
def test_a_pattern_that_python_would_search_for_ever_is_searched_once(pattern: str) -> None:
    texts = ["a" * 5_000 + "!", "x" * 5_000]
    assert found_by_polars(pattern, texts) == [False, pattern == r"^(?:[a-z]+)*$"]
