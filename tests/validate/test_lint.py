"""What a steward may not write is refused with words, never ignored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from biokeel.contracts.schema import load_schema
from biokeel.contracts.topics import event_type
from biokeel.errors import SuiteError
from biokeel.settings import PROJECT_ROOT
from biokeel.validate.expectations import How
from biokeel.validate.lint import Reading, read_suite
from biokeel.validate.native import native_findings
from biokeel.validate.samples import run_samples

SCHEMA = load_schema(PROJECT_ROOT / "schemas", event_type("clinical.glucose"))
BETWEEN = "expect_column_values_to_be_between"
REGEX = "expect_column_values_to_match_regex"
IN_SET = "expect_column_values_to_be_in_set"
PAIR = "expect_column_pair_values_a_to_be_greater_than_b"


def expectation(
    kind: str = BETWEEN, severity: str | None = "critical", rule: str = "a.b", **kwargs: Any
) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, "severity": severity, "meta": {"rule": rule, "notes": "why"}}


def read(*expectations: Any, **more: Any) -> Reading:
    return read_suite(json.dumps({"name": "clinical.glucose", "expectations": list(expectations)} | more), SCHEMA)


def condition(**parts: Any) -> dict[str, Any]:
    return {"row_condition": {"type": "comparison", "column": {"name": "value"}} | parts}


GOOD = expectation(column="value", min_value=1)


def test_a_sound_suite_has_no_findings() -> None:
    reading = read(GOOD)
    assert not reading.findings
    assert reading.suite is not None


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (expectation(column="valu", min_value=1), "Did you mean 'value'?"),
        (expectation(column="participant_name", min_value=1), "is not there"),
        (expectation(column="value"), "both missing"),
        (expectation(column="value", min_value=2, max_value=1), "min_value is above"),
        (expectation(column="value", min_value="1"), "does not suit"),
        (expectation(column="code", min_value=1), "does not suit"),
        (expectation(column="occurred_at", min_value="2020-01-01T00:00:00"), "without a zone"),
        (expectation(column="occurred_at", min_value="yesterday"), "is no time"),
        (expectation(column="value", min_value=1, min_valu=1), "takes no min_valu"),
        (expectation(column="value", min_value={"$PARAMETER": "x"}), "suite parameters"),
        (expectation(column="value", min_value=1, strict_min="yes"), "true or false"),
        (expectation(column="value", min_value=1, strict_max="yes"), "true or false"),
        (expectation(column="value", min_value=1, mostly=2), "from 0 to 1"),
        (expectation(column="value", min_value=1, mostly=0.9), "cannot quarantine"),
        (expectation(column="value", min_value=1, rule="Range"), "no rule id"),
        (expectation(column="value", min_value=1, severity=None), "severity"),
        (GOOD | {"meta": {"rule": "a.b"}}, "meta.notes is missing"),
        (GOOD | {"windows": []}, "unknown keys: windows"),
        ("text", "an object with type"),
        (expectation(IN_SET, column="value", value_set=["1"]), "each value a number"),
        (expectation(IN_SET, column="occurred_at", value_set=["x"]), "Use a range"),
        (expectation(IN_SET, column="code", value_set=["a", None]), "each value a text"),
        (expectation(REGEX, column="value", regex="a"), "Compare columns of one kind"),
        (expectation(REGEX, column="code", regex="["), "malformed"),
        (expectation(REGEX, column="code", regex=r"\bfinal"), "differ between engines"),
        (expectation(REGEX, column="code", regex=r"final\Z"), "Write $"),
        (expectation(REGEX, column="code", regex="a{,3}"), "Write {0,n}"),
        (expectation(REGEX, column="code", regex="[[:alpha:]]"), "bracket or a set operation"),
        (expectation(REGEX, column="code", regex="(?=a)b"), "look-around"),
        (expectation(REGEX, column="code", regex="(?i)a"), "inline flags"),
        (expectation(REGEX, column="code", regex=r"(a)\1"), "back-references"),
        (expectation(REGEX, column="code", regex="[a&&b]"), "set operation"),
        (expectation(REGEX, column="code", regex="a$b"), "before its end"),
        (expectation(REGEX, column="code", regex="a*+b"), "possessive"),
        (expectation(PAIR, column_A="value", column_B="code"), "columns of one kind"),
        (expectation(PAIR, column_A="value", column_B="birth_year", ignore_row_if="never"), "ignore_row_if"),
        (expectation("expect_column_values_to_match_like_pattern", column="code", like_pattern="a%"), "match_regex"),
        (expectation("unexpected_rows_expectation", unexpected_rows_query="select"), "a query of SQL"),
        (expectation("expect_column_mean_to_be_between", column="value", min_value=1), "cannot quarantine a row"),
        (expectation(column="value", min_value=1, row_condition="value > 1"), "condition_parser is missing"),
        (
            expectation(column="value", min_value=1, row_condition="value + 1 > 1", condition_parser="pandas"),
            "no column",
        ),
        (
            expectation(column="value", min_value=1, row_condition="value > 1", condition_parser="spark"),
            "condition_parser is not known",
        ),
        (
            expectation(column="value", min_value=1, row_condition="value > @limit", condition_parser="pandas"),
            "Write column names plainly",
        ),
        (
            expectation(column="value", min_value=1, row_condition="__import__('os')", condition_parser="pandas"),
            "not compiled",
        ),
        (expectation(column="value", min_value=1, **condition(operator="~", parameter=1)), "operator"),
        (expectation(column="value", min_value=1, **condition(operator="==", parameter="1")), "with something else"),
        (expectation(column="value", min_value=1, **condition(operator="==", parameter=None)), "with something else"),
    ],
)
def test_what_does_not_run_is_refused_with_words(bad: Any, words: str) -> None:
    reading = read(GOOD | {"meta": {"rule": "good.one", "notes": "why"}}, bad)
    assert reading.suite is None
    assert [words in str(finding) for finding in reading.findings] == [True], reading.findings


def test_every_fault_of_a_suite_is_found_at_once() -> None:
    reading = read(expectation(column="nothing", min_value=1), GOOD, GOOD, name="x", suite_parameters={"a": 1}, more=1)
    assert len(reading.findings) == 5


MEAN = expectation("expect_column_mean_to_be_between", "warning", "a.mean", column="value", min_value=1)


def with_meta(rule: dict[str, Any], **meta: Any) -> dict[str, Any]:
    return rule | {"meta": rule["meta"] | meta}


WARNING = expectation(severity="warning", column="value", min_value=1)
UNTIL = {"until": "2027-06-30", "reason": "why"}


def test_what_is_about_many_rows_runs_on_a_window_and_judges_no_row() -> None:
    reading = read(GOOD, MEAN)
    assert reading.suite is not None
    mean = reading.suite.rules[1]
    assert mean.how is How.WINDOW
    assert mean not in reading.suite.row_rules
    assert reading.suite.window_rules == (mean,)
    assert "judged by Great Expectations beside the stream, every 1d or 500,000 rows; no row" in mean.runs


def test_a_suite_of_windows_only_is_refused_like_an_empty_one() -> None:
    (finding,) = read(MEAN).findings
    assert "lands unjudged" in str(finding)


def test_a_suite_says_what_its_windows_are_and_a_rule_may_say_otherwise() -> None:
    reading = read(
        GOOD,
        MEAN,
        with_meta(MEAN | {"meta": {"rule": "a.own", "notes": "why"}}, window={"every": "6h", "by": None}),
        meta={"window": {"every": "12h", "rows": 1000, "by": "source"}},
    )
    assert [str(rule.window) for rule in reading.rules] == [
        "None",
        "every 12h or 1,000 rows, each source by itself",
        "every 6h or 1,000 rows",
    ]


def test_a_threshold_is_read_and_said() -> None:
    (rule,) = read(with_meta(GOOD, threshold={"warn": 0.02, "fail": 0.1, "window": "6h", **UNTIL})).rules
    assert rule.runs == (
        "row: a failing row is quarantined; "
        "it warns from 0.02 and fails from 0.1 of a source's rows in 6h, until 2027-06-30"
    )


@pytest.mark.parametrize(
    ("bad", "place", "words"),
    [
        (with_meta(MEAN, window="1d"), "meta.window", "is an object"),
        (with_meta(MEAN, window={"nvr": "1d"}), "meta.window", "takes no nvr"),
        (with_meta(MEAN, window={"every": "1m"}), "meta.window.every", 'Write "5m" to "5d"'),
        (with_meta(MEAN, window={"every": "6d"}), "meta.window.every", "no length"),
        (with_meta(MEAN, window={"every": 5}), "meta.window.every", "no length"),
        (with_meta(MEAN, window={"rows": 99}), "meta.window.rows", "100 to 2000000"),
        (with_meta(MEAN, window={"rows": True}), "meta.window.rows", "no number"),
        (with_meta(MEAN, window={"by": "sex"}), "meta.window.by", "by source"),
        (with_meta(GOOD, window={"every": "1d"}), "meta.window", "judges each row"),
        (MEAN | {"severity": "critical"}, "severity", "cannot quarantine a row"),
        (with_meta(MEAN, threshold={"warn": 0.1, **UNTIL}), "meta.threshold", "judges none"),
        (with_meta(WARNING | {"severity": "info"}, threshold={"warn": 0.1, **UNTIL}), "meta.threshold", "no share"),
        (with_meta(GOOD, threshold=0.1), "meta.threshold", "is an object"),
        (with_meta(GOOD, threshold={"warn": 0.1, "max": 1, **UNTIL}), "meta.threshold", "takes no max"),
        (with_meta(GOOD, threshold=UNTIL), "meta.threshold", "neither warns nor fails"),
        (with_meta(GOOD, threshold={"warn": 0, **UNTIL}), "meta.threshold.warn", "no share"),
        (with_meta(GOOD, threshold={"fail": 1.5, **UNTIL}), "meta.threshold.fail", "no share"),
        (with_meta(GOOD, threshold={"warn": 0.2, "fail": 0.1, **UNTIL}), "meta.threshold", "Exchange them"),
        (with_meta(GOOD, threshold={"warn": 0.1, "window": "9d", **UNTIL}), "meta.threshold.window", "no length"),
        (with_meta(GOOD, threshold={"warn": 0.1, "until": "soon", "reason": "why"}), "meta.threshold.until", "no end"),
        (with_meta(GOOD, threshold={"warn": 0.1, "until": "2027-06-30"}), "meta.threshold.reason", "no reason"),
        (
            expectation(MEAN["type"], "warning", column="value", row_condition="@pd.io.sql", condition_parser="pandas"),
            "kwargs.row_condition",
            "",
        ),
        (
            expectation(
                "expect_column_values_to_match_json_schema",
                "warning",
                column="code",
                json_schema={"items": [{"$ref": "https://example.org/a.json"}]},
            ),
            "kwargs.json_schema",
            "another document",
        ),
    ],
)
def test_what_is_wrong_with_windows_and_thresholds_is_found(bad: dict[str, Any], place: str, words: str) -> None:
    other = GOOD if bad["meta"]["rule"] != "a.b" else expectation(rule="a.c", column="value", min_value=1)
    (finding,) = read(other, bad).findings
    assert finding.path == f"expectations[1].{place}"
    assert words in str(finding)


def test_what_is_wrong_with_the_window_of_a_suite_is_found_where_it_stands() -> None:
    (finding,) = read(GOOD, meta={"window": {"every": "1y"}}).findings
    assert (finding.path, finding.line) == ("meta.window.every", 1)


def test_mostly_is_said_to_be_held_of_a_window() -> None:
    reading = read(expectation(column="value", min_value=1, severity="warning", mostly=0.95))
    assert reading.rules[0].runs == (
        "row: a failing row lands with a flag; mostly 0.95 is held of a window, every 1d or 500,000 rows"
    )


def test_rules_may_not_look_at_coordinates_or_at_the_subject() -> None:
    for column in ("subject_id", "raw_offset", "first_partition"):
        assert read(expectation(column=column, min_value=1)).findings


def test_great_expectations_is_asked_about_what_only_it_can_run() -> None:
    kind = "expect_column_quantile_values_to_be_between"
    ranges = {"quantiles": [0.5], "value_ranges": [[60, 120]]}
    sound = expectation(kind, "warning", "a.median", column="value", quantile_ranges=ranges)
    broken = expectation(kind, "warning", "a.quantiles", column="value")
    document = {"name": "clinical.glucose", "expectations": [GOOD, sound, broken]}
    assert not read(GOOD, sound, broken).findings
    findings = native_findings(json.dumps(document))
    assert [finding.rule for finding in findings] == ["a.quantiles"]
    assert "quantile_ranges: field required" in findings[0].what


def test_every_fault_of_one_expectation_is_found_at_once_with_its_place() -> None:
    bad = expectation(column="valu", min_value=1, severity=["critical"], rule="Range", row_condition="value >", more=1)
    text = json.dumps({"name": "clinical.glucose", "expectations": [GOOD, bad | {"meta": {"rule": "a.c"}}]}, indent=1)
    findings = read_suite(text, SCHEMA).findings
    assert {finding.rule for finding in findings} == {"a.c"}
    assert {finding.path.removeprefix("expectations[1].") for finding in findings} == {
        "meta",
        "severity",
        "kwargs",
        "kwargs.row_condition",
    }
    lines = text.splitlines()
    for finding in findings:
        assert finding.line is not None
        assert finding.line > 1
        key = finding.path.rpartition(".")[2]
        assert f'"{key}"' in lines[finding.line - 1]


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"kind": IN_SET, "column": "code", "value_set": [str(each) for each in range(20_001)]}, "more than 20,000"),
        (
            {
                "kind": "expect_column_pair_values_to_be_in_set",
                "column_A": "code",
                "column_B": "value",
                "value_pairs_set": [["a", each] for each in range(20_001)],
            },
            "more than 20,000",
        ),
        ({"kind": "expect_column_values_to_match_regex_list", "column": "code", "regex_list": ["a"] * 101}, "1 to 100"),
        ({"kind": REGEX, "column": "code", "regex": "a" * 1_001}, "more than 1,000"),
        ({"kind": REGEX, "column": "code", "regex": "a", "row_condition": "x" * 2_001}, "more than 2,000"),
    ],
)
def test_what_is_too_large_is_refused_with_its_bound(kwargs: dict[str, Any], words: str) -> None:
    (finding,) = read(expectation(severity="warning", **kwargs)).findings
    assert words in str(finding)


def test_a_suite_has_bounds_of_its_own() -> None:
    many = [expectation(column="value", min_value=each, rule=f"a.r{each}") for each in range(501)]
    assert "more than 500" in str(read(*many).findings[0])
    kind = "expect_column_values_to_match_regex_list"
    patterns = [expectation(kind, "warning", f"a.r{each}", column="code", regex_list=["a"] * 100) for each in range(11)]
    (finding,) = read(*patterns).findings
    assert "1,100 regular expressions, more than 1,000" in str(finding)
    heavy = [expectation(REGEX, "warning", f"a.r{each}", column="code", regex=rf"\w{{20}}{each}") for each in range(10)]
    (finding,) = read(*heavy).findings
    assert "ranges of characters, more than 100,000" in str(finding)
    endless = {"row_condition": " or ".join(["value > 1"] * 150), "condition_parser": "pandas"}
    looking = [expectation(column="value", min_value=1, rule=f"a.r{each}", **endless) for each in range(100)]
    (finding,) = read(*looking).findings
    assert "more than 10,000" in str(finding)


def test_findings_beyond_all_reason_are_counted() -> None:
    findings = read(*[7] * 400).findings
    assert len(findings) == 201
    assert "and 200 findings more" in str(findings[-1])


@pytest.mark.parametrize("version", [["1"], 1, "", "1+2", "x" * 41, "a\nb"])
def test_a_version_that_rows_could_not_carry_is_refused(version: Any) -> None:
    (finding,) = read(GOOD, meta={"version": version}).findings
    assert finding.path == "meta.version"


@pytest.mark.parametrize(
    ("notes", "read_as"),
    [
        ("why", "why"),
        (["a", "b"], "a\nb"),
        ({"format": "string", "content": "why"}, "why"),
        ({"format": "markdown", "content": ["# why", "because"]}, "# why\nbecause"),
    ],
)
@pytest.mark.parametrize("place", ["meta", "expectation"])
def test_notes_may_have_any_form_that_great_expectations_writes(notes: Any, read_as: str, place: str) -> None:
    meta = {"rule": "a.b"}
    reading = read(GOOD | ({"meta": meta | {"notes": notes}} if place == "meta" else {"meta": meta, "notes": notes}))
    assert not reading.findings
    assert reading.rules[0].notes == read_as


@pytest.mark.parametrize("notes", [None, "", " ", 1, [], [1], {"format": "html", "content": "why"}, {"content": "why"}])
def test_a_reason_in_no_form_is_none(notes: Any) -> None:
    (finding,) = read(GOOD | {"meta": {"rule": "a.b", "notes": notes}}).findings
    assert "meta.notes is missing" in finding.what


SAMPLED = read(GOOD).suite


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ('{"samples": [], "samples": []}', "written twice"),
        ('{"samples": 1}', "are empty"),
        ('{"samples": [1]}', "an object with why and row"),
        ('{"samples": [{"row": {}, "failed": 1}]}', "a list of rule ids"),
        ('{"samples": [{"row": {}, "failed": [["a.b"]]}]}', "a list of rule ids"),
        ('{"samples": [{"row": {"birth_year": 1e30}}]}', "does not suit"),
        (f'{{"samples": [{{"row": {{"birth_year": {10**30}}}}}]}}', "does not suit"),
        ('{"samples": [{"row": {"occurred_at": 5}}]}', "does not suit"),
        ('{"samples": [{"row": {"value": [1]}}]}', "does not suit"),
    ],
)
def test_what_is_wrong_with_samples_is_said_in_words(text: str, words: str) -> None:
    assert SAMPLED is not None
    with pytest.raises(SuiteError) as caught:
        run_samples(SAMPLED, text)
    assert words in str(caught.value)
