"""The store follows the files of suites, and a broken edit never stops the stream."""

from __future__ import annotations

import json
import logging
import os
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


@pytest.fixture
def store(tmp_path: Path, path: Path) -> SuiteStore:
    return SuiteStore(tmp_path, SCHEMAS)


def settle(path: Path) -> None:
    """Make the file look as if it had last changed an hour ago."""
    hour_ago = path.stat().st_mtime_ns - 3600 * 10**9
    os.utime(path, ns=(hour_ago, hour_ago))


def test_an_edit_is_in_force_with_the_next_look(store: SuiteStore, path: Path) -> None:
    before = store.current(SLEEP)
    path.write_text(json.dumps(document(1000)))
    after = store.current(SLEEP)
    assert before.version != after.version
    assert store.current(SLEEP) is after


def test_two_edits_of_one_size_under_one_time_stamp_are_both_seen(store: SuiteStore, path: Path) -> None:
    stamp = path.stat().st_mtime_ns
    versions = []
    for limit in (1001, 1002, 1003):
        path.write_text(json.dumps(document(limit)))
        os.utime(path, ns=(stamp, stamp))
        versions.append(store.current(SLEEP).version)
    assert len(set(versions)) == 3


def test_a_settled_file_is_not_read_again(store: SuiteStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(path)
    suite = store.current(SLEEP)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: pytest.fail("read again"))
    assert store.current(SLEEP) is suite


def test_a_broken_edit_keeps_the_last_good_version_and_says_so_once(
    store: SuiteStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = store.current(SLEEP)
    path.write_text(json.dumps(document(1440))[:-20])
    with caplog.at_level(logging.WARNING):
        assert [store.current(SLEEP) for _ in range(3)] == [good] * 3
    assert len(caplog.records) == 1
    fault = store.fault(SLEEP)
    assert fault is not None
    assert "not JSON" in fault
    path.write_text(json.dumps(document(900)))
    assert store.fault(SLEEP) is None
    assert store.current(SLEEP).version != good.version


def test_a_suite_that_vanishes_stays_in_force(store: SuiteStore, path: Path) -> None:
    good = store.current(SLEEP)
    path.unlink()
    assert store.current(SLEEP) is good
    assert "cannot be read" in (store.fault(SLEEP) or "")


@pytest.mark.parametrize("text", [None, "{", json.dumps(document(1440) | {"name": "lifestyle.diet"})])
def test_without_any_good_version_the_worker_must_not_start(store: SuiteStore, path: Path, text: str | None) -> None:
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(SuiteError, match="Suite "):
        store.current(SLEEP)


def test_the_version_follows_the_content_and_not_the_white_space(store: SuiteStore, path: Path) -> None:
    version = store.current(SLEEP).version
    path.write_text(json.dumps(document(1440), indent=4))
    assert store.current(SLEEP).version == version
    path.write_text(json.dumps(document(1440, meta={"version": "2024.1"})))
    assert store.current(SLEEP).version.startswith("2024.1+")


def test_event_types_are_those_that_have_a_suite_by_now_and_what_is_missing_is_told_once(
    store: SuiteStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert store.events() == store.events() == (SLEEP,)
    missing = len([event for event in SCHEMAS if event != SLEEP])
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == missing
    diet = suite_path(path.parents[1], event_type("lifestyle.diet"))
    diet.write_text(suite_path(PROJECT_ROOT / "expectations", event_type("lifestyle.diet")).read_text("utf-8"))
    assert set(store.events()) == {SLEEP, event_type("lifestyle.diet")}
    path.write_text("{")
    assert SLEEP in store.events(), "a broken edit keeps the last good version"
