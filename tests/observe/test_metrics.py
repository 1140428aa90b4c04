import json
import os
import subprocess
import sys
import time

import httpx
import psutil
import pytest

from biokeel.contracts.topics import event_type
from biokeel.errors import SettingsError
from biokeel.observe.metrics import Edge, WorkerMetrics
from biokeel.observe.runfiles import RunFile, running
from biokeel.reasons import Reason

GLUCOSE = event_type("clinical.glucose")


def scrape(served):
    return httpx.get(f"http://127.0.0.1:{served.port}/metrics", timeout=5).text


def test_counts_lags_versions_and_timings_are_served_under_their_names(tmp_path):
    metrics = WorkerMetrics("curate")
    with metrics.serve(tmp_path) as served:
        with metrics.stage("validate"):
            pass
        metrics.passed(GLUCOSE, Edge.CURATED, 40)
        metrics.passed(GLUCOSE, Edge.CURATED, 2)
        metrics.rejected(GLUCOSE, Reason.RULE, 3)
        topic = GLUCOSE.pseudo_topic
        metrics.lag(GLUCOSE, (topic, 2), 17, 1.5)
        metrics.table_version(GLUCOSE, "curated", 9)
        metrics.parked(GLUCOSE, 5)
        text = scrape(served)
    for line in (
        'biokeel_events_total{event="clinical.glucose",outcome="curated",stage="land",worker="curate"} 42.0',
        'biokeel_rejected_total{event="clinical.glucose",reason="rule.failed",worker="curate"} 3.0',
        'biokeel_stage_seconds_count{stage="validate",worker="curate"} 1.0',
        f'biokeel_lag_events{{event="clinical.glucose",partition="2",topic="{topic}",worker="curate"}} 17.0',
        f'biokeel_lag_seconds{{event="clinical.glucose",partition="2",topic="{topic}",worker="curate"}} 1.5',
        'biokeel_table_version{event="clinical.glucose",table="curated"} 9.0',
        'biokeel_parked{event="clinical.glucose"} 5.0',
    ):
        assert line in text


def test_a_stage_that_raises_is_timed_too(tmp_path):
    metrics = WorkerMetrics("curate")
    with pytest.raises(ZeroDivisionError), metrics.stage("land"):
        raise ZeroDivisionError
    assert metrics.registry.get_sample_value("biokeel_stage_seconds_count", {"worker": "curate", "stage": "land"}) == 1


def test_a_stage_that_works_counts_its_cpu_and_one_that_waits_does_not():
    metrics = WorkerMetrics("curate")
    with metrics.stage("link"):
        began = time.thread_time()
        while time.thread_time() - began < 0.05:
            pass
    with metrics.stage("land"):
        time.sleep(0.3)
    used = {
        stage: metrics.registry.get_sample_value(
            "biokeel_stage_cpu_seconds_total", {"worker": "curate", "stage": stage}
        )
        for stage in ("link", "land")
    }
    assert used["link"] >= 0.05
    assert used["land"] < 0.3


def test_the_lag_of_a_partition_that_went_elsewhere_is_forgotten():
    metrics = WorkerMetrics("curate")
    at = (GLUCOSE.pseudo_topic, 0)
    labels = {"worker": "curate", "event": str(GLUCOSE), "topic": GLUCOSE.pseudo_topic, "partition": "0"}
    metrics.lag(GLUCOSE, at, 10, 1.0)
    assert metrics.registry.get_sample_value("biokeel_lag_events", labels) == 10
    metrics.forget(GLUCOSE, at)
    assert metrics.registry.get_sample_value("biokeel_lag_events", labels) is None


def test_health_says_ok_while_the_loop_turns_and_503_when_it_does_not(tmp_path):
    metrics = WorkerMetrics("pseudonymise")
    with metrics.serve(tmp_path, stuck_after=60) as served:
        answer = httpx.get(f"http://127.0.0.1:{served.port}/health", timeout=5)
        assert answer.status_code == 200
        assert answer.json()["status"] == "ok"
        assert answer.json()["pid"] == os.getpid()
    with metrics.serve(tmp_path, stuck_after=0) as served:
        answer = httpx.get(f"http://127.0.0.1:{served.port}/health", timeout=5)
        assert answer.status_code == 503
        assert answer.json()["status"] == "stuck"


def test_the_run_file_is_there_exactly_while_the_worker_serves(tmp_path):
    with WorkerMetrics("curate").serve(tmp_path) as served:
        assert served.run_file.name == f"curate-{os.getpid()}.json"
        assert [(run.worker, run.port) for run in running(tmp_path)] == [("curate", served.port)]
    assert not served.run_file.exists()
    assert running(tmp_path) == []


def test_the_run_file_of_a_killed_worker_is_recognised_and_removed(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from biokeel.observe.metrics import WorkerMetrics\n"
        "with WorkerMetrics('curate').serve(Path(sys.argv[1])): print('up', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout.readline().strip() == "up"
        assert [run.pid for run in running(tmp_path)] == [worker.pid]
        worker.kill()
    assert len(list((tmp_path / "run").iterdir())) == 1
    assert running(tmp_path) == []
    assert list((tmp_path / "run").iterdir()) == []


def test_a_pid_that_was_used_again_is_not_taken_for_the_worker():
    mine = psutil.Process().create_time()
    assert RunFile("curate", os.getpid(), mine, 1).alive()
    assert not RunFile("curate", os.getpid(), mine - 3600, 1).alive()


def test_a_file_that_is_no_run_file_is_left_alone(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "other.json").write_text(json.dumps({"hello": 1}))
    assert running(tmp_path) == []
    assert (tmp_path / "run" / "other.json").exists()


def test_a_taken_port_is_named_with_what_to_do(tmp_path):
    second = WorkerMetrics("other")
    with (
        WorkerMetrics("curate").serve(tmp_path) as served,
        pytest.raises(SettingsError, match=f":{served.port}.*BIOKEEL_METRICS_PORT"),
        second.serve(tmp_path, served.port),
    ):
        pass


@pytest.mark.parametrize(
    ("host", "answers"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.2", "127.0.0.2")]
)
def test_a_worker_answers_on_the_address_that_it_was_given_and_status_finds_it_there(tmp_path, host, answers):
    with WorkerMetrics("curate").serve(tmp_path, host=host) as served:
        (run,) = running(tmp_path)
        assert run.url == f"http://{answers}:{served.port}"
        assert httpx.get(f"{run.url}/health").is_success


def test_an_address_that_is_not_this_machines_is_refused_with_what_to_do(tmp_path):
    with (
        pytest.raises(SettingsError, match=r"192\.0\.2\.1:0.*BIOKEEL_METRICS_HOST"),
        WorkerMetrics("curate").serve(tmp_path, host="192.0.2.1"),
    ):
        pass
