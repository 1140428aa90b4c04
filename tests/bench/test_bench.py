"""The benchmark runs and its figures make sense; how fast anything is, no test says."""

import json
from collections import Counter

import pytest
from bench.__main__ import main
from bench.backtest import WAYS, run_backtest
from bench.made import thin
from bench.reading import KINDS, run_reading
from bench.registers import THIN_EVENTS, of_a_clinic, of_many, of_the_mix, raw_partitions
from bench.stages import Sizes, stages

from biokeel.contracts.sources import Register


def test_every_stage_is_measured(tmp_path):
    figures = list(stages(tmp_path, Sizes(rows=300, people=100, land_rows=600, runs=1)))
    assert [each.stage for each in figures if each.cpu_microseconds < 0 or each.wall_microseconds <= 0] == []
    measured = {each.stage for each in figures}
    assert {"decode", "look-up", "scan", "wall", "blocks, split", "validate", "link", "land"} <= measured


def test_a_backtest_is_measured_over_all_events_in_each_way(tmp_path):
    figures = list(run_backtest(tmp_path, 3_000))
    assert [(each.way, each.events) for each in figures] == [(way, 3_000) for way in WAYS]
    assert all(each.seconds > 0 and each.peak_mib > 50 for each in figures)


def test_each_kind_of_file_is_read_and_gives_events(tmp_path):
    figures = list(run_reading(tmp_path, 0.2))
    assert [each.what for each in figures] == [kind.what for kind in KINDS]
    assert all(0 < each.events <= each.rows and each.cpu_seconds > 0 for each in figures)
    assert not [file for file in tmp_path.rglob("*") if file.suffix in {".json", ".ndjson", ".csv", ".xml"}]


@pytest.mark.integration
def test_everything_that_was_published_lands_and_is_followed(tmp_path):
    file = tmp_path / "figures.json"
    main(
        ["pressures", "latency", "small", "publish", "spool"],
        events=2_000,
        people=100,
        hospital_people=3,
        spool_events=1_000,
        single_events=100,
        rate=400,
        rate_seconds=2.0,
        small_seconds=2.0,
        flush_seconds=1.0,
        json=file,
    )
    figures = json.loads(file.read_text())
    (run,) = figures["runs"]
    assert run["balanced"]
    assert run["settled"] == run["events"] == 2_000
    assert run["quarantined"] == 10
    assert figures["latency"]["events"] == 800
    assert figures["publish"]["files"] == 3
    assert [each["events"] for each in figures["spool"]] == [1_000, 1_000, 100, 2, 100]
    cores = figures["small_load"]["cores"]
    assert all(0 <= share < 2 for share in cores.values())
    assert cores["curate-1"] > 0
    pseudonymised, landed = (figures["latency"]["seconds"][place] for place in ("pseudonymised", "landed"))
    assert 0 <= pseudonymised[0] <= landed[0]


def test_the_registers_have_as_many_raw_partitions_as_the_runs_are_told_of():
    assert [raw_partitions(sources) for sources in (of_a_clinic(), of_the_mix())] == [64, 192]
    assert raw_partitions(of_many()[1:]) == 1_600


def test_of_many_sources_each_sends_its_even_share_of_what_it_is_registered_for():
    register, sent = Register(of_many()), Counter()
    for event, frame in thin(20_000, 10):
        of_each = dict(frame["source_id"].value_counts().iter_rows())
        assert all(register[source].may_send(event) for source in of_each)
        sent.update(of_each)
    assert len(sent) == 50
    assert max(sent.values()) - min(sent.values()) <= len(THIN_EVENTS)


def test_the_mix_holds_every_event_type_that_the_demo_makes():
    from bench.made import mixture

    from biokeel.demo import demo_corpus

    made = {}
    for event, frame in mixture(5_000, 10):
        made[event] = made.get(event, 0) + frame.height
    assert set(made) == set(demo_corpus(20, 1).events)
    assert abs(sum(made.values()) - 5_000) <= len(made)
