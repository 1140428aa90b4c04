"""The one place where stages are observed."""

import numpy as np
import polars as pl
import pytest

from biokeel.contracts.topics import event_type
from biokeel.engine.kafka.deliveries import Delivery
from biokeel.engine.kafka.records import Records
from biokeel.engine.runner import StageRunner, count_reasons
from biokeel.observe.metrics import Edge, WorkerMetrics
from biokeel.reasons import Reason

GLUCOSE = event_type("clinical.glucose")


@pytest.fixture
def runner():
    return StageRunner(WorkerMetrics("curate"))


def value(runner, name, **labels):
    return runner.metrics.registry.get_sample_value(name, labels)


def test_a_stage_gives_its_result_and_is_timed_even_where_it_raises(runner):
    assert runner.run("link", lambda first, *, second: first + second, 1, second=2) == 3
    with pytest.raises(ZeroDivisionError):
        runner.run("link", lambda: 1 / 0)
    assert value(runner, "biokeel_stage_seconds_count", worker="curate", stage="link") == 2


def test_rows_are_counted_by_edge_and_by_reason(runner):
    runner.passed(GLUCOSE, Edge.CURATED, 7)
    runner.rejected(GLUCOSE, {Reason.RULE: 3})
    labels = {"worker": "curate", "event": "clinical.glucose"}
    assert value(runner, "biokeel_events_total", stage="land", outcome="curated", **labels) == 7
    assert value(runner, "biokeel_rejected_total", reason=str(Reason.RULE), **labels) == 3


@pytest.mark.parametrize(("highwater", "waiting", "seconds"), [(20, 9, 5.0), (11, 0, 0.0), (None, 0, 0.0)])
def test_lag_is_what_waits_and_the_age_of_the_newest_only_while_something_waits(runner, highwater, waiting, seconds):
    records = Records(np.array([9, 10]), [b"", b""], None, 95_000)
    runner.lag(GLUCOSE, Delivery("pseudo.clinical.glucose", 2, 1, records, highwater), now=100.0)
    labels = {"worker": "curate", "event": str(GLUCOSE), "topic": GLUCOSE.pseudo_topic, "partition": "2"}
    assert value(runner, "biokeel_lag_events", **labels) == waiting
    assert value(runner, "biokeel_lag_seconds", **labels) == seconds


def test_reasons_of_a_quarantine_frame_are_counted():
    assert count_reasons(pl.DataFrame({"reason": ["a", "b", "a"]})) == {"a": 2, "b": 1}
