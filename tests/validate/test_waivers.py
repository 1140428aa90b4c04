"""A waiver lets rows of its source land, flagged, as long as they were recorded in time; and says so everywhere."""

from __future__ import annotations

import datetime as dt
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from biokeel.batch import PseudonymisedBatch
from biokeel.cli import build
from biokeel.contracts.schema import load_schema
from biokeel.contracts.topics import event_type
from biokeel.settings import PROJECT_ROOT
from biokeel.validate.lint import read_suite
from biokeel.validate.rules import CompiledSuite
from biokeel.validate.stage import validate
from biokeel.validate.suites import suite_path
from tests.validate.real_gx import load

EVENT = event_type("lifestyle.sleep")
SCHEMA = load_schema(PROJECT_ROOT / "schemas", EVENT)
UNTIL = {"source": "app-a", "until": "2027-03-31", "reason": "its clock counts naps twice"}
LAST = datetime(2027, 3, 31, 23, 59, 59, 999000, UTC)


def document(waivers: Any = None, severity: str = "critical") -> dict[str, Any]:
    def rule(name: str, severity: str, **more: Any) -> dict[str, Any]:
        kwargs = {"column": "minutes_asleep", "max_value": 1000}
        meta = {"rule": name, "notes": "why", **more}
        return {"type": "expect_column_values_to_be_between", "kwargs": kwargs, "severity": severity, "meta": meta}

    low = rule("sleep.low", "critical") | {
        "type": "expect_column_values_to_not_be_null",
        "kwargs": {"column": "minutes_in_bed"},
    }
    rules = [
        rule("sleep.much", "warning"),
        rule("sleep.limit", severity, **({} if waivers is None else {"waivers": waivers})),
        low,
    ]
    return {"name": str(EVENT), "expectations": rules}


def suite(*waivers: dict[str, str]) -> CompiledSuite:
    reading = read_suite(json.dumps(document(list(waivers))), SCHEMA)
    assert reading.suite is not None, reading.findings
    return reading.suite


SUITE = suite(UNTIL, {"source": "app-b", "until": "9999-12-31", "reason": "for ever"})


def batch(rows: list[dict[str, Any]]) -> PseudonymisedBatch:
    usual = {"source_id": "app-a", "recorded_at": LAST, "minutes_asleep": 1200.0, "minutes_in_bed": 1300.0}
    kinds = {"recorded_at": pl.Datetime("ms", "UTC"), "minutes_asleep": pl.Float64, "minutes_in_bed": pl.Float64}
    frame = pl.DataFrame([usual | row for row in rows], schema={"source_id": pl.String, **kinds})
    return PseudonymisedBatch(EVENT, frame.with_row_index("row"))


def verdicts(rows: list[dict[str, Any]], decided: pl.Series | None = None) -> list[tuple[bool, list[str], list[str]]]:
    """Of each row whether it lands, which rules stopped it, and with which it is flagged."""
    outcome = validate(batch(rows), SUITE, decided)
    landed = [(row["row"], True, [], row["warnings"]) for row in outcome.accepted.frame.iter_rows(named=True)]
    stopped = [
        (row["row"], False, row["failed_rules"], row["warnings"])
        for row in outcome.rejected.frame.iter_rows(named=True)
    ]
    return [each[1:] for each in sorted(landed + stopped)]


LANDS = (True, [], ["sleep.much", "sleep.limit"])
STOPS = (False, ["sleep.limit"], ["sleep.much"])


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        ({}, LANDS),
        ({"recorded_at": LAST + dt.timedelta(milliseconds=1)}, STOPS),
        ({"recorded_at": datetime(1970, 1, 1, tzinfo=UTC)}, LANDS),
        ({"recorded_at": None}, STOPS),
        ({"source_id": "app-c"}, STOPS),
        ({"source_id": "app-b", "recorded_at": datetime(9999, 12, 31, 23, 59, 59, 999000, UTC)}, LANDS),
        ({"minutes_in_bed": None}, (False, ["sleep.low"], ["sleep.much", "sleep.limit"])),
        ({"source_id": "app-c", "minutes_in_bed": None}, (False, ["sleep.limit", "sleep.low"], ["sleep.much"])),
        ({"minutes_asleep": 500.0}, (True, [], [])),
    ],
)
def test_a_row_that_fails_only_waived_rules_lands_with_their_ids(
    row: dict[str, Any], verdict: tuple[bool, list[str], list[str]]
) -> None:
    assert verdicts([row]) == [verdict]


def test_what_the_first_commit_decided_stands_whatever_is_waived_now() -> None:
    decided = pl.Series([True, False, None, True], dtype=pl.Boolean)
    rows: list[dict[str, Any]] = [{}, {}, {}, {"source_id": "app-c"}]
    assert verdicts(rows, decided) == [LANDS, (False, [], ["sleep.much", "sleep.limit"]), LANDS, LANDS]


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "source_id": st.sampled_from(["app-a", "app-b", "app-c"]),
                "recorded_at": st.sampled_from([None, LAST, LAST + dt.timedelta(milliseconds=1)]),
                "minutes_asleep": st.sampled_from([None, 500.0, 1200.0]),
                "minutes_in_bed": st.sampled_from([None, 1300.0]),
            }
        ),
        min_size=1,
        max_size=12,
    )
)
def test_the_verdict_of_a_row_depends_on_the_row_alone(rows: list[dict[str, Any]]) -> None:
    assert verdicts(rows) == [verdict for row in rows for verdict in verdicts([row])]


@pytest.mark.parametrize(
    ("waivers", "place"),
    [
        ({}, "meta.waivers"),
        ([UNTIL] * 101, "meta.waivers"),
        ([UNTIL, UNTIL | {"until": "2028-01-01"}], "meta.waivers"),
        (["app-a"], "meta.waivers[0]"),
        ([{"source": "app-a", "until": "2027-03-31"}], "meta.waivers[0]"),
        ([UNTIL | {"approver": "me"}], "meta.waivers[0]"),
        ([UNTIL | {"source": "App A"}], "meta.waivers[0].source"),
        ([UNTIL | {"source": 1}], "meta.waivers[0].source"),
        ([UNTIL | {"reason": " "}], "meta.waivers[0].reason"),
        ([UNTIL, UNTIL | {"source": "app-b", "until": "2027-02-29"}], "meta.waivers[1].until"),
        ([UNTIL | {"until": "31.03.2027"}], "meta.waivers[0].until"),
        ([UNTIL | {"until": "20270331"}], "meta.waivers[0].until"),
        ([UNTIL | {"until": None}], "meta.waivers[0].until"),
    ],
)
def test_a_waiver_that_is_not_whole_is_a_finding_at_its_place(waivers: Any, place: str) -> None:
    reading = read_suite(json.dumps(document(waivers)), SCHEMA)
    assert reading.suite is None
    assert [(each.rule, each.path) for each in reading.findings] == [("sleep.limit", f"expectations[1].{place}")]


@pytest.mark.parametrize("severity", ["warning", "info"])
def test_only_a_critical_rule_can_be_waived(severity: str) -> None:
    (finding,) = read_suite(json.dumps(document([UNTIL], severity)), SCHEMA).findings
    assert "only a critical rule" in finding.what


def test_check_tells_waivers_and_great_expectations_loads_them() -> None:
    (rule,) = [rule for rule in SUITE.rules if rule.waivers]
    assert "waived for app-a until 2027-03-31: its clock counts naps twice" in rule.runs
    load(document([UNTIL]))


def test_check_remarks_on_waivers_that_let_nothing_land(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = suite_path(tmp_path, EVENT)
    path.parent.mkdir()
    waivers = [UNTIL | {"until": "2020-01-31"}, UNTIL | {"source": "app-zzz", "until": "9999-12-31"}]
    path.write_text(json.dumps(document(waivers)))
    monkeypatch.setenv("BIOKEEL_EXPECTATIONS_DIR", str(tmp_path))
    monkeypatch.setenv("BIOKEEL_SOURCES_DIR", str(PROJECT_ROOT / "sources"))
    found = CliRunner().invoke(build(), ["suite", "check", str(EVENT)])
    assert found.exit_code == 0, found.output
    remarks = [line.split(maxsplit=1)[1] for line in found.output.splitlines() if line.startswith("  remark")]
    assert remarks == [
        "sleep.limit is waived for app-a until 2020-01-31: its clock counts naps twice; that is over.",
        "sleep.limit is waived for app-zzz, which is not registered.",
    ]


def test_a_waiver_is_over_on_the_day_after_its_last() -> None:
    (waiver, _) = SUITE.waivers["sleep.limit"]
    assert not waiver.expired(date(2027, 3, 31))
    assert waiver.expired(date(2027, 4, 1))
