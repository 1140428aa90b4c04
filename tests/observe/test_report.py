import json

from typer.testing import CliRunner

from biokeel.cli import build
from biokeel.contracts.topics import event_type
from biokeel.observe.metrics import Edge, WorkerMetrics
from biokeel.observe.report import edge_rates, report
from biokeel.observe.stats import collect
from biokeel.reasons import Reason

GLUCOSE = event_type("clinical.glucose")


def test_the_report_is_json_with_rates_lag_rejects_with_owner_and_meaning_and_versions(tmp_path):
    curate = WorkerMetrics("curate")
    with curate.serve(tmp_path):
        before = collect(tmp_path)
        curate.passed(GLUCOSE, Edge.CURATED, 500)
        curate.rejected(GLUCOSE, Reason.RULE, 5)
        curate.withheld(GLUCOSE, "hospital-a", "status", 8)
        curate.lag(GLUCOSE, (GLUCOSE.pseudo_topic, 0), 4, 2.5)
        curate.table_version(GLUCOSE, "curated", 3)
        after = collect(tmp_path)
    found = json.loads(json.dumps(report(before, after)))
    assert found["events_per_second"]["clinical.glucose"]["land/curated"] > 0
    assert edge_rates(before, after)[Edge.CURATED] > edge_rates(before, after)[Edge.QUARANTINED] == 0
    assert found["totals"]["land/curated"] == 500
    assert found["lag"] == [{"worker": "curate", "event": "clinical.glucose", "messages": 4, "seconds": 2.5}]
    assert found["rejected"] == [
        {"reason": "rule.failed", "events": 5, "owner": "steward", "meaning": Reason.RULE.meaning}
    ]
    assert found["withheld"] == [{"source": "hospital-a", "event": "clinical.glucose", "field": "status", "values": 8}]
    assert found["table_versions"] == {"curated/clinical.glucose": 3}


def test_status_shows_every_figure_in_a_terminal_and_says_so_when_no_worker_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("BIOKEEL_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    run = CliRunner()
    assert "No worker runs" in run.invoke(build(), ["status"]).output
    curate = WorkerMetrics("curate")
    curate.rejected(GLUCOSE, Reason.RULE, 5)
    curate.withheld(GLUCOSE, "hospital-a", "specimen", 8)
    curate.lag(GLUCOSE, (GLUCOSE.pseudo_topic, 0), 1234, 2.5)
    curate.table_version(GLUCOSE, "curated", 77)
    with curate.serve(tmp_path):
        output = run.invoke(build(), ["status"]).output
    for word in (
        "curate",
        "ok",
        "clinical.glucose",
        "1,234",
        "2.5 s",
        "rule.failed",
        "steward",
        "critical rule",
        "77",
        "hospital-a",
        "specimen",
    ):
        assert word in output
