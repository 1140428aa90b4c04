"""The benchmark runs and its figures make sense; how fast anything is, no test says."""

import json

import pytest
from bench.__main__ import main
from bench.stages import Sizes, stages


def test_every_stage_is_measured(tmp_path):
    figures = list(stages(tmp_path, Sizes(rows=300, people=100, land_rows=600, runs=1)))
    assert [each.stage for each in figures if each.cpu_microseconds < 0 or each.wall_microseconds <= 0] == []
    measured = {each.stage for each in figures}
    assert {"decode", "look-up", "scan", "wall", "blocks, split", "validate", "link", "land"} <= measured


@pytest.mark.integration
def test_everything_that_was_published_lands_and_is_followed(tmp_path):
    file = tmp_path / "figures.json"
    main(
        ["pressures", "latency", "small", "publish"],
        events=2_000,
        people=100,
        hospital_people=3,
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
    cores = figures["small_load"]["cores"]
    assert all(0 <= share < 2 for share in cores.values())
    assert cores["curate-1"] > 0
    pseudonymised, landed = (figures["latency"]["seconds"][place] for place in ("pseudonymised", "landed"))
    assert 0 <= pseudonymised[0] <= landed[0]


def test_the_mix_holds_every_event_type_that_the_demo_makes():
    from bench.made import mixture

    from biokeel.demo import demo_corpus

    made = {}
    for event, frame in mixture(5_000, 10):
        made[event] = made.get(event, 0) + frame.height
    assert set(made) == set(demo_corpus(20, 1).events)
    assert abs(sum(made.values()) - 5_000) <= len(made)
