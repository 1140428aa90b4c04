"""What was tried from outside: each case as Great Expectations has it, or refused with words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from biokeel.contracts.schema import load_schema
from biokeel.contracts.topics import event_type
from biokeel.settings import PROJECT_ROOT
from biokeel.validate.columns import Columns
from biokeel.validate.compile import compile_expectation
from biokeel.validate.findings import Faults
from biokeel.validate.lint import Reading, read_suite

SCHEMA = load_schema(PROJECT_ROOT / "schemas", event_type("clinical.glucose"))
OURS = {"s": "code", "i": "birth_year", "x": "value", "t": "occurred_at", "code": "code", "unit": "value_unit"}
"""The columns of the cases, as columns of an event type of ours."""
NOT_NULL = "expect_column_values_to_not_be_null"
LISTS: dict[str, Any] = {
    "400 to 3,000 pairs": [[f"{number}", f"mg/{number}"] for number in range(3_000)],
    "2,000 patterns": [f"^{number}$" for number in range(2_000)],
}
REFUSED = {
    "fractional-length": "whole",
    "null-in-regex-list": "something that is no text",
    "severity-is-a-list": "severity is missing or unknown",
    "match-on-is-a-list": "match_on is not known",
    "regex-repeats-beyond-any-number": "malformed",
    "bound-beyond-64-bits": "64 bits",
    "column-list-null": "column_list",
    "time-with-impossible-zone": "is no time",
    "duplicate-json-key": "'min_value' is written twice",
    "regexes-by-the-thousand": "regex_list must be a list of 1 to",
    "suite-of-5-megabytes": "it was not read",
    "windows-only": "judges a row",
    "trailing-comma-then-restart": "comma",
    "great-expectations-0.x-suite": "Great Expectations 0.x",
    "spark-condition-without-parser": "condition_parser is missing",
}


def cases(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "rules" / "suites.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def expectation(**parts: Any) -> dict[str, Any]:
    plain = {"type": NOT_NULL, "kwargs": {"column": "code"}, "severity": "warning"}
    return {**plain, "meta": {"rule": "a.b", "notes": "why"}, **parts}


def named(kwargs: dict[str, Any]) -> dict[str, Any]:
    named = {name: OURS.get(value, value) if isinstance(value, str) else value for name, value in kwargs.items()}
    return {name: LISTS.get(value, value) if isinstance(value, str) else value for name, value in named.items()}


def suite(*expectations: Any) -> str:
    return json.dumps({"name": "clinical.glucose", "expectations": list(expectations)})


def text_of(case: dict[str, Any]) -> str:
    match case:
        case {"id": "suite-of-5-megabytes"}:
            return suite(*[expectation(kwargs={"column": "code"})] * 40_000)
        case {"id": "windows-only"}:
            kind = "expect_column_mean_to_be_between"
            meta = {"rule": "a.b", "notes": "why"}
            return suite(expectation(type=kind, kwargs={"column": "value", "min_value": 1}, meta=meta))
        case {"id": "trailing-comma-then-restart"}:
            return suite(expectation())[:-2] + ",]}"
        case {"id": "duplicate-json-key"}:
            written = expectation(meta={"rule": "a.b", "notes": "why"})
            return suite(written).replace(json.dumps(written)[1:-1], case["text"][1:-1].replace('"i"', '"value"'))
        case {"text": str(text)}:
            return text
        case {"expectation": dict(parts)}:
            return suite(expectation(**parts | {"kwargs": named(parts["kwargs"])}))
        case {"meta": dict(meta)}:
            return suite(expectation(meta=meta | {"rule": "a.b"}))
    kwargs = named(case["kwargs"])
    return suite(
        expectation(
            type=case.get("type", NOT_NULL), kwargs={"column": "code"} | kwargs if "type" not in case else kwargs
        )
    )


def unexpected(case: dict[str, Any]) -> list[int]:
    types = {"s": pl.String(), "x": pl.Float64(), "i": pl.Int64()}
    columns = Columns(types, {})
    frame = pl.DataFrame(case["rows"], schema_overrides={name: types[name] for name in case["rows"]})
    compiled = compile_expectation(case["type"], case["kwargs"], columns, faults := Faults())
    assert compiled is not None, faults.found
    assert compiled.unexpected is not None
    _, view = columns.view(sorted(compiled.columns))
    return frame.select(view).select(compiled.unexpected.alias("unexpected"))["unexpected"].arg_true().to_list()


def read(case: dict[str, Any]) -> Reading:
    return read_suite(text_of(case), SCHEMA)


def test_rows_are_unexpected_as_great_expectations_has_it(shared_cases: Path) -> None:
    tried = [case for case in cases(shared_cases) if "unexpected" in case]
    assert tried
    for case in tried:
        assert unexpected(case) == case["unexpected"], case["id"]


def test_what_is_wrong_is_a_finding_with_its_place(shared_cases: Path) -> None:
    for case in cases(shared_cases):
        if "unexpected" in case or case["id"] not in REFUSED:
            continue
        reading = read(case)
        assert reading.suite is None, case["id"]
        words = " | ".join(map(str, reading.findings))
        assert REFUSED[case["id"]] in words, (case["id"], words)
        assert len(words) < 2_000, case["id"]


def test_what_is_right_is_taken_and_no_case_is_left_out(shared_cases: Path) -> None:
    taken = [case for case in cases(shared_cases) if "unexpected" not in case and case["id"] not in REFUSED]
    assert {case["id"] for case in taken} == {"pairs-by-the-hundred", "notes-as-markdown-object"}
    for case in taken:
        reading = read(case)
        assert not reading.findings, case["id"]
        assert reading.suite is not None
        assert reading.suite.rules[0].notes == "why"


def test_rows_cost_the_same_by_three_thousand_pairs(shared_cases: Path) -> None:
    (case,) = [case for case in cases(shared_cases) if case["id"] == "pairs-by-the-hundred"]
    compiled = read(case).suite
    assert compiled is not None
    frame = pl.DataFrame({"code": ["7", "7", None], "value_unit": ["mg/7", "mg/8", None]})
    assert compiled.view(frame).select(compiled.unexpected).to_series().to_list() == [False, True, False]
