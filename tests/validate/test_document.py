"""A suite's text is read once, within bounds, and each part of it is known by its place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.validate.document import LONGEST_TEXT, lines_of, path_text, read_document

KEYS = st.sampled_from(["", "a", "b", '"', "a.b", "{", "\\", "가", ":"])
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from(["", "{", ",", '"', "\\", "]"]))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=12,
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[str]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path_text(path), *(place for key, each in members for place in places(each, (*path, key)))]


@given(VALUES, st.sampled_from([None, 0, 2]))
def test_every_part_is_found_on_the_line_where_it_begins(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    assert not read_document(text).findings
    lines = lines_of(text)
    assert set(lines) == set(places(value))
    if indent is None:
        assert set(lines.values()) == {1}


def test_lines_are_counted_from_one() -> None:
    assert lines_of('{"a": [1,\n {"b": 2}],\n "c": 5}') == {"": 1, "a": 1, "a[0]": 1, "a[1]": 2, "a[1].b": 2, "c": 3}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1,\n "a": 2}', "(line 2, a): the key 'a' is written twice"),
        ('[{"a": {"b": 1, "b": 1}}]', "([0].a.b): the key 'b'"),
        ('{"a": [1,\n 2,\n ]}', "(line 2): not JSON: a comma stands before a closing bracket"),
        ('{"a": 1,\n}', "(line 1): not JSON: a comma"),
        ('{"a" 1}', "(line 1): not JSON"),
        ("", "not JSON"),
        ('{"a": [NaN]}', "(a[0]): NaN and infinity"),
        ('{"a": -Infinity}', "(a): NaN and infinity"),
        ('{"a": 1e999}', "(a): NaN and infinity"),
        ('{"a": "\\ud800"}', "(a): a text has half a character"),
        ('{"\\udfff": 1}', "half a character"),
        (json.dumps({"a": "x" * (LONGEST_TEXT + 1)}), "more than 4,000"),
        ("[" * 100_000, "nested"),
        ("[" * 30 + "]" * 30, "nested more than 20 deep"),
        ("1" * 5_000, "digits"),
        ("\ufeff{}", "byte order mark"),
    ],
)
def test_what_no_suite_may_have_is_a_finding_with_its_place(text: str, words: str) -> None:
    findings = read_document(text).findings
    assert any(words.replace("(line 1, ", "(") in str(finding).replace("(line 1, ", "(") for finding in findings), (
        findings
    )
