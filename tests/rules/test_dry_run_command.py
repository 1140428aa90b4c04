"""`biokeel source dry-run`: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from biokeel.cli import build
from biokeel.contracts.sources import written
from biokeel.errors import AdapterError, ContractError, SuiteError
from biokeel.settings import PROJECT_ROOT
from tests.registers import source

GOOD = {
    "event": "lifestyle.sleep",
    "subject_scheme": "app/a",
    "subject_id": "77310042",
    "occurred_at": "2024-05-01T23:00:00+09:00",
    "ended_at": "2024-05-02T06:30:00+09:00",
    "minutes_asleep": 430.0,
}
ENDLESS = GOOD | {"minutes_asleep": 9_000.0}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("BIOKEEL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("BIOKEEL_SOURCES_DIR", str(tmp_path / "no register"))

    def call(*records: dict[str, Any], options: tuple[str, ...] = (), source_id: str = "app-a") -> Result:
        path = tmp_path / "records.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        whose = ("--source-id", source_id) if source_id else ()
        arguments = ["source", "dry-run", str(path), *whose, *options]
        return CliRunner(env={"COLUMNS": "200"}).invoke(build(), arguments)

    return call


def test_it_ends_with_0_where_all_would_land(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    result = run(GOOD)
    assert result.exit_code == 0, result.output
    assert "All would land. Events: 1 landed." in result.output
    assert "Not looked at: consent, enrolment, grants, and what was sent before." in result.output
    assert not (tmp_path / "state").exists(), "it leaves nothing behind"


def test_it_ends_with_2_where_something_would_not_and_says_where_and_why(run) -> None:  # type: ignore[no-untyped-def]
    result = run(GOOD, ENDLESS)
    assert result.exit_code == 2
    assert "Not all would land. Events: 1 landed, 1 quarantined." in result.output
    assert "records.jsonl: line 2" in result.output
    assert "sleep." in result.output
    assert "9000" not in result.output


def test_what_cannot_be_used_is_a_problem_and_no_error(run) -> None:  # type: ignore[no-untyped-def]
    result = run(GOOD, GOOD | {"minutes_asleep": "long"}, {"event": "no.event"})
    assert result.exit_code == 2
    assert "2 files or parts of files could not be used" in result.output


def test_an_error_ends_with_1_so_that_nobody_takes_it_for_a_verdict(run, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("BIOKEEL_EXPECTATIONS_DIR", str(tmp_path / "nowhere"))
    result = run(GOOD)
    assert result.exit_code == 1
    assert isinstance(result.exception, SuiteError)
    gone = CliRunner().invoke(build(), ["source", "dry-run", str(tmp_path / "gone"), "--source-id", "a"])
    assert gone.exit_code == 1
    assert isinstance(gone.exception, AdapterError)


def test_as_json_it_is_one_object_of_this_form(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    result = run(GOOD | {"event_id": "a" * 32}, ENDLESS | {"event_id": "b" * 32}, {}, options=("--json",))
    assert result.exit_code == 2
    report = json.loads(result.stdout)
    file = str(tmp_path / "records.jsonl")
    suite, findings = report["suites"].pop("lifestyle.sleep"), report.pop("findings")
    assert suite.startswith("1+")
    assert report == {
        "source_id": "app-a",
        "all_would_land": False,
        "not_looked_at": ["consent", "enrolment", "grants"],
        "suites": {},
        "events": {"lifestyle.sleep": {"landed": 1, "applied": 0, "quarantined": 1, "sealed": 0, "set_aside": 0}},
        "files": [
            {
                "file": file,
                "format": "ready records",
                "failure": None,
                "problems": [{"place": "line 3", "reason": "event is missing or no event type"}],
                "unused": 1,
                "left_out": {},
            }
        ],
    }
    assert {each["outcome"] for each in findings} == {"quarantined"}
    for each in findings:
        assert each["event"] == "lifestyle.sleep"
        assert each["reason"] == "rule.failed"
        assert each["what"].startswith("sleep.")
        assert each["why"]
        assert each["count"] == 1
        assert each["places"] == [{"file": file, "place": "line 2", "event_id": "b" * 32}]


def test_a_source_is_named_by_its_id_in_the_register_or_by_its_file(run, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "app-b.toml"
    file.write_text(written(source("app-b", events=("lifestyle.sleep",), schemes=("app/b",))))
    monkeypatch.setenv("BIOKEEL_SOURCES_DIR", str(tmp_path))
    for named in ("app-b", str(file)):
        result = run(GOOD, GOOD | {"subject_scheme": "app/b"}, options=("--source", named), source_id="")
        assert result.exit_code == 2, result.output
        assert "source.scheme_not_granted" in result.output
        assert "Events: 1 landed, 1 sealed." in result.output
        assert "grants" not in result.output
    assert isinstance(run(GOOD, options=("--source", "nobody"), source_id="").exception, ContractError)
    assert "no such source" in str(run(GOOD, source_id="nobody").exception)


@pytest.mark.parametrize("options", [(), ("--source-id", "App A"), ("--source", "canary", "--source-id", "app-a")])
def test_one_source_must_be_named(run, options: tuple[str, ...], monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("BIOKEEL_SOURCES_DIR", str(PROJECT_ROOT / "tests" / "sources"))
    result = run(GOOD, options=options, source_id="")
    assert result.exit_code == 2
    assert "--source" in result.output
    assert "landed" not in result.output
