import subprocess
import sys

import pytest

from biokeel.contracts.topics import event_type
from biokeel.observe.metrics import Edge, WorkerMetrics
from biokeel.observe.runfiles import RunFile
from biokeel.observe.stats import Lag, Snapshot, Tally, WorkerHealth, collect, rates
from biokeel.reasons import Reason

GLUCOSE = event_type("clinical.glucose")
SLEEP = event_type("lifestyle.sleep")


def test_no_workers_give_an_empty_snapshot(tmp_path):
    snapshot = collect(tmp_path)
    assert snapshot.workers == {}
    assert snapshot.total(Edge.CURATED) == 0


def test_the_snapshot_adds_up_what_several_workers_say(tmp_path):
    wall, curate = WorkerMetrics("pseudonymise"), WorkerMetrics("curate")
    wall.passed(GLUCOSE, Edge.PSEUDONYMISED, 90)
    wall.passed(SLEEP, Edge.PSEUDONYMISED, 10)
    wall.rejected(GLUCOSE, Reason.MALFORMED, 2)
    wall.withheld(GLUCOSE, "hospital-a", "status", 3)
    wall.withheld(GLUCOSE, "hospital-a", "value", 4)
    wall.parked(GLUCOSE, 7)
    curate.rejected(GLUCOSE, Reason.RULE, 5)
    curate.rejected(SLEEP, Reason.RULE, 1)
    curate.lag(GLUCOSE, (GLUCOSE.pseudo_topic, 0), 4, 2.5)
    curate.lag(GLUCOSE, (GLUCOSE.pseudo_topic, 1), 3, 0.5)
    curate.table_version(GLUCOSE, "curated", 12)
    with wall.serve(tmp_path), curate.serve(tmp_path):
        snapshot = collect(tmp_path)
    assert [(run.worker, health) for run, health in snapshot.workers.items()] == [
        ("curate", WorkerHealth.OK),
        ("pseudonymise", WorkerHealth.OK),
    ]
    assert snapshot.total(Edge.PSEUDONYMISED) == 100
    assert snapshot.total(Edge.PSEUDONYMISED, GLUCOSE) == 90
    assert list(snapshot.by_reason().items()) == [(Reason.RULE, 6), (Reason.MALFORMED, 2)]
    assert snapshot.most_withheld(1) == {("hospital-a", GLUCOSE, "value"): 4}
    assert len(snapshot.most_withheld(9)) == 2
    assert snapshot.lags == {("curate", GLUCOSE): Lag(7, 2.5)}
    assert snapshot.versions == {(GLUCOSE, "curated"): 12}
    assert snapshot.parked == {GLUCOSE: 7}


def test_a_stuck_and_a_silent_worker_are_told_apart(tmp_path):
    code = (
        "import sys; from pathlib import Path; from biokeel.observe.runfiles import write_run_file\n"
        "write_run_file(Path(sys.argv[1]), 'pseudonymise', 1); print('up', flush=True); sys.stdin.read()"
    )
    with (
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as silent,
        WorkerMetrics("curate").serve(tmp_path, stuck_after=0),
    ):
        assert silent.stdout.readline().strip() == "up"
        snapshot = collect(tmp_path)
        silent.stdin.close()
    assert {run.worker: health for run, health in snapshot.workers.items()} == {
        "curate": WorkerHealth.STUCK,
        "pseudonymise": WorkerHealth.SILENT,
    }


def snapshot(at, **counts):
    """Processes `a` (created at 0), `b` (created at 15)."""
    runs = {"a": RunFile("curate", 1, 0.0, 1), "b": RunFile("curate", 2, 15.0, 2)}
    return Snapshot(
        at,
        {runs[name]: WorkerHealth.OK if n is not None else WorkerHealth.SILENT for name, n in counts.items()},
        {Tally(runs[name], GLUCOSE, Edge.CURATED): n for name, n in counts.items() if n is not None},
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (snapshot(10, a=1000), snapshot(12, a=1500), 250.0),
        (snapshot(10, a=1000), snapshot(20, a=2000, b=500), 150.0),  # b started in between: counts from 0
        (snapshot(20, a=1000, b=700), snapshot(30, a=1000), 0.0),  # b ended: no negative rate
        (snapshot(20, a=0, b=None), snapshot(30, a=100, b=5000), 10.0),  # b was silent: no spike
    ],
)
def test_rates_follow_processes_that_come_and_go(before, after, expected):
    assert rates(before, after)[GLUCOSE, Edge.CURATED] == expected


def test_two_snapshots_at_one_moment_have_no_rates():
    assert rates(snapshot(10, a=1), snapshot(10, a=2)) == {}
