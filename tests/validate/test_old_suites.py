"""A suite of Great Expectations 0.x is named as one, and converted on request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from biokeel.cli import suite as suite_commands
from biokeel.contracts.schema import load_schema
from biokeel.contracts.topics import event_type
from biokeel.errors import SuiteError
from biokeel.settings import PROJECT_ROOT
from biokeel.validate.lint import read_suite
from biokeel.validate.old_suites import convert_suite
from biokeel.validate.rules import Severity

SCHEMA = load_schema(PROJECT_ROOT / "schemas", event_type("clinical.glucose"))
NOTES = {"notes": {"format": "markdown", "content": ["A glucose meter", "reads to 900 mg/dL."]}}


def old(*expectations: Any, **more: Any) -> str:
    document = {"expectation_suite_name": "clinical.glucose", "ge_cloud_id": None, "data_asset_type": None, **more}
    return json.dumps({**document, "expectations": expectations, "meta": {"great_expectations_version": "0.15.50"}})


BETWEEN = {
    "expectation_type": "expect_column_values_to_be_between",
    "kwargs": {"column": "value", "min_value": None, "max_value": {"$PARAMETER": "top"}, "result_format": "BASIC"},
    "meta": NOTES,
}
NOT_NULL = {"expectation_type": "expect_column_values_to_not_be_null", "kwargs": {"column": "code"}, "meta": NOTES}


def test_an_old_suite_is_named_as_one_and_not_taken_apart() -> None:
    (finding,) = read_suite(old(BETWEEN, NOT_NULL), SCHEMA).findings
    assert "Great Expectations 0.x" in str(finding)
    assert "biokeel suite convert" in str(finding)


def test_an_old_expectation_in_a_new_suite_is_named_as_one() -> None:
    text = json.dumps({"name": "clinical.glucose", "expectations": [NOT_NULL]})
    assert any("Write type for expectation_type" in str(finding) for finding in read_suite(text, SCHEMA).findings)


def test_what_is_converted_is_in_force_with_the_same_rules() -> None:
    text = old(BETWEEN, NOT_NULL, NOT_NULL, evaluation_parameters={"top": 900})
    reading = read_suite(convert_suite(text, "", Severity.WARNING), SCHEMA)
    assert not reading.findings
    assert [rule.id for rule in reading.rules] == [
        "glucose.value.be_between",
        "glucose.code.not_be_null",
        "glucose.code.not_be_null_2",
    ]
    assert {rule.severity for rule in reading.rules} == {Severity.WARNING}
    assert reading.rules[0].notes == "A glucose meter\nreads to 900 mg/dL."


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"name": "x", "expectations": []}', old()[:-1] + ', "meta": 1}'])
def test_what_is_no_old_suite_is_refused(text: str) -> None:
    with pytest.raises(SuiteError, match="suite"):
        convert_suite(text, "", Severity.INFO)


def test_parts_that_are_no_expectations_are_left_for_the_check_to_name() -> None:
    converted = convert_suite(old(7, {"kwargs": []}, {"kwargs": {}}), "clinical.glucose", Severity.INFO)
    assert {finding.line is not None for finding in read_suite(converted, SCHEMA).findings} == {True}


def test_the_command_prints_the_suite_and_says_what_is_left_to_do(tmp_path: Path) -> None:
    app = typer.Typer()
    suite_commands.register(app)
    file = tmp_path / "old.json"
    file.write_text(old(NOT_NULL, expectation_suite_name="warnings"), encoding="utf-8")
    whole = CliRunner().invoke(
        app, ["suite", "convert", str(file), "--event", "clinical.glucose"], catch_exceptions=False
    )
    assert whole.exit_code == 0, whole.output
    assert json.loads(whole.stdout)["name"] == "clinical.glucose"
    file.write_text(old({**NOT_NULL, "meta": {}}), encoding="utf-8")
    lacking = CliRunner().invoke(app, ["suite", "convert", str(file)], catch_exceptions=False)
    assert lacking.exit_code == 1
    assert "meta.notes is missing" in lacking.stderr
