"""Suites in files: drafts, and what a source judges its own files by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from biokeel.contracts.schema import load_schemas
from biokeel.contracts.topics import event_type
from biokeel.errors import SuiteError
from biokeel.settings import PROJECT_ROOT
from biokeel.validate.suites import SuiteStore, suite_path

SLEEP = event_type("lifestyle.sleep")
SCHEMAS = load_schemas(PROJECT_ROOT / "schemas")


def document(limit: float, **more: Any) -> dict[str, Any]:
    return {
        "name": "lifestyle.sleep",
        "expectations": [
            {
                "type": "expect_column_values_to_be_between",
                "kwargs": {"column": "minutes_asleep", "max_value": limit},
                "severity": "critical",
                "meta": {"rule": "sleep.minutes_asleep.range", "notes": "A day has 1,440 minutes."},
            }
        ],
        **more,
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = suite_path(tmp_path, SLEEP)
    file.parent.mkdir()
    file.write_text(json.dumps(document(1440)))
    return file


def version(tmp_path: Path) -> str:
    return SuiteStore(tmp_path, SCHEMAS).current(SLEEP).version


def test_a_file_is_read_once_so_that_one_run_judges_by_one_suite(tmp_path: Path, path: Path) -> None:
    store = SuiteStore(tmp_path, SCHEMAS)
    before = store.current(SLEEP)
    path.write_text(json.dumps(document(1000)))
    assert store.current(SLEEP) is before
    assert version(tmp_path) != before.version


@pytest.mark.parametrize("text", [None, "{", json.dumps(document(1440) | {"name": "lifestyle.diet"})])
def test_a_file_that_is_no_suite_is_named(tmp_path: Path, path: Path, text: str | None) -> None:
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(SuiteError, match=r"Suite .*sleep\.json"):
        version(tmp_path)


def test_the_version_follows_the_content_and_not_the_white_space(tmp_path: Path, path: Path) -> None:
    before = version(tmp_path)
    path.write_text(json.dumps(document(1440), indent=4))
    assert version(tmp_path) == before
    path.write_text(json.dumps(document(1440, meta={"version": "2024.1"})))
    assert version(tmp_path).startswith("2024.1+")
