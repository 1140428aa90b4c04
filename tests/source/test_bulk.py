"""The status manifest of a source's receipts, and an OperationOutcome for each event that was rejected."""

import datetime as dt
import json

import pytest

from biokeel.contracts.receipts import Outcome, Receipt
from biokeel.errors import SourceError
from biokeel.source.bulk import write_manifest

AT = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def receipt(number, offsets, outcome, **more):
    return Receipt(number, "clinical.glucose", 1, tuple(offsets), outcome, AT, **more)


RECEIPTS = (
    receipt(1, [(0, 9)], Outcome.PARKED),
    receipt(2, [(0, 6)], Outcome.LANDED, amends=True, table_version=4),
    receipt(3, [(7, 7)], Outcome.QUARANTINED, amends=True, reason="rule.failed", rules=("glucose.unit",), suite="1+ab"),
    receipt(4, [(8, 8)], Outcome.SEALED, amends=True, reason="privacy.leak"),
    receipt(5, [(12, 12)], Outcome.QUARANTINED, reason="rule.failed", rules=("a", "b"), fields=("status",)),
)


def test_the_newest_word_about_each_event_counts_and_each_reject_is_one_outcome_with_its_place(tmp_path):
    counts = write_manifest(tmp_path / "out", "hospital-a", RECEIPTS, AT)
    assert counts == {"landed": 7, "quarantined": 2, "sealed": 1, "parked": 1}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["transactionTime"] == "2026-03-01T12:00:00.000Z"
    assert manifest["extension"]["outcomes"] == counts
    assert manifest["error"] == [{"type": "OperationOutcome", "url": "errors.ndjson", "count": 3}]
    outcomes = [json.loads(line) for line in (tmp_path / "out" / "errors.ndjson").read_text().splitlines()]
    assert {each["resourceType"] for each in outcomes} == {"OperationOutcome"}
    issues = [issue for each in outcomes for issue in each["issue"]]
    assert [issue["diagnostics"] for issue in issues] == [
        "raw.hospital-a.clinical.glucose/1@7: rule.failed by glucose.unit",
        "raw.hospital-a.clinical.glucose/1@8: privacy.leak",
        "raw.hospital-a.clinical.glucose/1@12: rule.failed by a, b",
    ]
    assert [issue["code"] for issue in issues] == ["business-rule", "invalid", "business-rule"]
    assert issues[2]["expression"] == ["status"]
    assert issues[1]["details"]["text"] == "A field that should hold no identifier holds something that looks like one."


def test_without_a_reject_there_is_no_error_file_to_fetch(tmp_path):
    write_manifest(tmp_path, "hospital-a", RECEIPTS[:2], AT)
    assert json.loads((tmp_path / "manifest.json").read_text())["error"] == []
    assert (tmp_path / "errors.ndjson").read_bytes() == b""


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="Cannot write"):
        write_manifest(tmp_path / "file", "hospital-a", RECEIPTS, AT)
