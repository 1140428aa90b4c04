"""Whatever stands in a suite's text: reading it raises nothing, and what is taken runs on any rows."""

from __future__ import annotations

import copy
import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biokeel.batch import PseudonymisedBatch
from biokeel.contracts.schema import load_schemas
from biokeel.contracts.topics import EventType
from biokeel.settings import PROJECT_ROOT
from biokeel.validate.document import MOST_CHARACTERS
from biokeel.validate.expectations import EVERY
from biokeel.validate.lint import Reading, read_suite
from biokeel.validate.stage import validate
from biokeel.validate.suites import suite_path
from biokeel.validate.trial import nasty_frames
from tests.event_types import LANDED_EVENTS

SCHEMAS = load_schemas(PROJECT_ROOT / "schemas")


def text_of(event: EventType) -> str:
    """The suite that ships, with waivers of one rule, which none that ships has."""
    suite = json.loads(suite_path(PROJECT_ROOT / "expectations", event).read_text("utf-8"))
    rule = next(rule for rule in suite["expectations"] if rule["severity"] == "critical")
    rule["meta"]["waivers"] = [
        {"source": "hospital-a", "until": "2027-03-31", "reason": "A gateway."},
        {"source": "hospital-b", "until": "9999-12-31", "reason": "For ever."},
    ]
    return json.dumps(suite, ensure_ascii=False, indent=2)


TEXTS = {event: text_of(event) for event in LANDED_EVENTS}
NASTY: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2.5,
    10**30,
    -(10**30),
    1e308,
    float("nan"),
    float("inf"),
    2**63,
    "",
    "\0",
    "a" * 5_000,
    "[",
    "(?=a)",
    "a{99999999999}",
    r"\w{900}",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "2024-01-01T00:00:00Z",
    "value",
    "occurred_at",
    "age_years",
    "\ud800",
    "not " * 500 + "x",
    "x" + " and x" * 300,
    [],
    {},
    [None],
    [[]],
    [{}],
    ["a", None],
    [1, "a"],
    ["final", "amended"],
    [["a", 1], ["b", None]],
    {"type": "comparison"},
    {"type": []},
    {"$PARAMETER": "a"},
    {"type": "and", "conditions": [{"type": "nullity", "column": {"name": "status"}, "is_null": True}] * 3},
    {"type": "comparison", "column": {"name": "value"}, "operator": ">", "parameter": 10**400},
    {"type": "pass_through", "pass_through_filter": "value > 1 & sex == 'female'"},
    "value > 1",
    "any",
    "all",
    "warning",
    "critical",
    ["critical"],
    [["any"]],
    *sorted(EVERY),
    [{"source": "hospital-a", "until": "2027-03-31", "reason": "A gateway."}] * 2,
    "0001-01-01",
]
KEYS = [
    "row_condition",
    "condition_parser",
    "mostly",
    "min_value",
    "max_value",
    "strict_min",
    "regex",
    "regex_list",
    "value_set",
    "column",
    "column_A",
    "column_B",
    "column_list",
    "value_pairs_set",
    "ignore_row_if",
    "sum_total",
    "match_on",
    "value",
    "or_equal",
    "rule",
    "notes",
    "severity",
    "type",
    "kwargs",
    "meta",
    "expectation_type",
    "window",
    "threshold",
]


def nodes(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key, each in value.items():
            found += nodes(each, (*path, key))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            found += nodes(each, (*path, number))
    return found


def mutated(document: Any, data: st.DataObject) -> Any:
    """The document with one of its nodes dropped, doubled, moved, or replaced by something nasty."""
    path = data.draw(st.sampled_from(nodes(document)))
    nasty = copy.deepcopy(data.draw(st.sampled_from(NASTY)))
    if not path:
        return nasty if data.draw(st.integers(0, 20)) == 0 else document
    parent = document
    for part in path[:-1]:
        parent = parent[part]
    node = parent[path[-1]]
    what = data.draw(st.sampled_from(["drop", "double", "replace", "replace", "replace", "wrap", "add", "swap"]))
    if what == "drop":
        del parent[path[-1]]
    elif what == "replace":
        parent[path[-1]] = nasty
    elif what == "wrap":
        parent[path[-1]] = [node] if data.draw(st.booleans()) else {"a": node}
    elif what == "add" and isinstance(node, dict):
        node[data.draw(st.sampled_from(KEYS))] = nasty
    elif what == "double" and isinstance(node, list):
        node += copy.deepcopy(node)
    elif what == "swap":
        other = data.draw(st.sampled_from(KEYS))
        if isinstance(parent, dict):
            parent[other] = parent.pop(path[-1])
    return document


def hold(text: str, event: Any) -> Reading:
    """Read `text`; what is taken must judge nasty rows, each of them once."""
    reading = read_suite(text, SCHEMAS[event])
    assert (reading.suite is None) == bool(reading.findings)
    assert all(len(str(finding)) < 2_000 for finding in reading.findings)
    if reading.suite is not None:
        columns = reading.suite.columns
        stored = tuple((name, dtype) for name, dtype in columns.types.items() if name not in columns.derived)
        for frame in nasty_frames(stored):
            outcome = validate(PseudonymisedBatch(event, frame), reading.suite)
            assert len(outcome.accepted) + len(outcome.rejected) == frame.height
    return reading


def fuzz(data: st.DataObject) -> None:
    event = data.draw(st.sampled_from(LANDED_EVENTS))
    document = json.loads(TEXTS[event])
    document["expectations"] = data.draw(
        st.lists(
            st.sampled_from(document["expectations"]),
            min_size=1,
            max_size=4,
            unique_by=lambda each: each["meta"]["rule"],
        )
    )
    document = copy.deepcopy(document)
    for _ in range(data.draw(st.integers(1, 3))):
        document = mutated(document, data)
    text = json.dumps(document)
    if data.draw(st.integers(0, 4)) == 0:
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(st.sampled_from(["", ",", "}", '"', "\\u12", "NaN", "\ufeff"])) + text[at + 1 :]
    hold(text, event)


@settings(max_examples=150)
@given(st.data())
def test_no_mutation_of_a_shipped_suite_raises_and_what_is_taken_runs(data: st.DataObject) -> None:
    fuzz(data)


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(max_examples=10_000)
@given(st.data())
def test_ten_thousand_mutations_of_shipped_suites(data: st.DataObject) -> None:
    fuzz(data)


@settings(max_examples=100)
@given(st.text(max_size=50), st.sampled_from(LANDED_EVENTS))
def test_no_text_raises(text: str, event: Any) -> None:
    assert hold(text, event).findings


@pytest.mark.parametrize("nasty", NASTY, ids=lambda value: repr(value)[:30])
@pytest.mark.parametrize("place", ["type", "kwargs", "severity", "meta", "rule", "notes", "column", "min_value"])
def test_nothing_nasty_raises_in_any_place_of_a_rule(place: str, nasty: Any) -> None:
    event = next(event for event in LANDED_EVENTS if str(event) == "clinical.glucose")
    kwargs = {"column": "value", "min_value": 1}
    rule = {"type": "expect_column_values_to_be_between", "kwargs": kwargs, "severity": "info"}
    rule["meta"] = meta = {"rule": "a.b", "notes": "why"}
    {"rule": meta, "notes": meta, "column": kwargs, "min_value": kwargs}.get(place, rule)[place] = nasty  # type: ignore[call-overload]
    hold(json.dumps({"name": str(event), "expectations": [rule]}), event)


def test_fifty_megabytes_are_refused_before_they_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("parsed"))
    (finding,) = hold("[" * 50_000_000, LANDED_EVENTS[0]).findings
    assert f"more than {MOST_CHARACTERS:,}" in str(finding)


def test_the_nasty_rows_hold_what_breaks_rules() -> None:
    types = (("x", pl.Float64()), ("s", pl.String()), ("i", pl.Int64()))
    empty, nulls, nasty = nasty_frames(types)
    assert (empty.height, nulls.null_count().row(0)) == (0, (3, 3, 3))
    assert nasty["x"].is_nan().any()
    assert nasty["x"].is_infinite().any()
    assert {"\0", "", "😀"} <= set(nasty["s"])
    assert {2**53 + 1, 2**63 - 1, -(2**63)} <= set(nasty["i"])
