"""One row of each event is left in the curated table, and every row is somewhere once, whatever dies in between."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biokeel.contracts.identity import is_withdrawal
from biokeel.errors import CommitConflict
from biokeel.land import tidy as tidying
from biokeel.land.columns import STATISTICS
from biokeel.land.contents import LakeReader
from biokeel.land.lake import Lake
from biokeel.land.reading import scan
from biokeel.land.tables import EventTables
from biokeel.land.tidy import STEPS, Tidied, begin_again, tidy
from tests.books.telling import lies
from tests.conformance.landing_world import DAY, EVENT, SCHEMA, Died, rows
from tests.examples import examples

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
# Rows of a topic: event, value (None withdraws it), minutes until it was recorded.
Sent = list[tuple[int, "float | None", int]]


class World:
    """A lake to which batches of sent events land, block by block, as `curate` lands them."""

    def __init__(self, folder: Path) -> None:
        self.lake = Lake.local(folder)
        self.tables = EventTables(self.lake, SCHEMA)
        self.tables.positions(0)
        self.block = self.offset = 0

    def land(self, sent: Sent) -> None:
        block = rows([1] * len(sent), list(range(self.offset, self.offset + len(sent)))).with_columns(
            pl.Series("event_id", [f"{event:032x}" for event, _, _ in sent], dtype=pl.String),
            pl.Series("value", [value for _, value, _ in sent], dtype=pl.Float64),
            pl.Series("status", ["entered-in-error" if v is None else "final" for _, v, _ in sent], dtype=pl.String),
            pl.Series(
                "recorded_at",
                [DAY + dt.timedelta(minutes=minutes) for _, _, minutes in sent],
                dtype=pl.Datetime("ms", "UTC"),
            ),
            pl.lit(DAY).cast(pl.Datetime("ms", "UTC")).alias("occurred_at"),
            pl.lit(0, pl.Int32).alias("pseudo_partition"),
            pl.lit(self.block, pl.Int64).alias("pseudo_offset"),
        )
        back = block.select(is_withdrawal(block.columns)).to_series()
        self.tables.land(
            block.filter(~back), block.filter(back).with_columns(reason=pl.lit("event.withdrawn")), {0: self.block}
        )
        self.block += 1
        self.offset += len(sent)

    def tidy(self, reached=tidying.nothing) -> Tidied:
        return tidy(self.lake, SCHEMA, NOW, reached=reached)

    def shown(self) -> dict[int, float]:
        """What the curated table shows of each event, which must be there once."""
        found = scan(self.lake.curated(EVENT), self.lake).select("event_id", "value").collect()
        assert found["event_id"].is_unique().all()
        return {int(name, 16): value for name, value in found.iter_rows()}

    def places(self) -> list[int]:
        """The coordinates of every row of the lake, as the books have them."""
        return sorted(offset for *_, offset in lies(self.lake, EVENT).elements())


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def newest(sent: Sent) -> dict[int, float]:
    """What must be shown, by a rule that looks at one event at a time."""
    shown = {}
    for event in {event for event, _, _ in sent}:
        mine = [(minutes, value is None, at, value) for at, (e, value, minutes) in enumerate(sent) if e == event]
        if (value := max(mine, key=lambda version: version[:3])[3]) is not None:
            shown[event] = value
    return shown


EVENTS = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from([0.0, 1.0, None]), st.integers(0, 3)), min_size=1, max_size=12
)


@settings(max_examples=examples(8), suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.lists(EVENTS, min_size=1, max_size=3), st.booleans())
def test_the_newest_version_is_shown_unless_it_was_withdrawn(tmp_path_factory, blocks, often):
    world = World(tmp_path_factory.mktemp("tidy"))
    for block in blocks:
        world.land(block)
        if often:
            world.tidy()
    world.tidy()
    assert world.shown() == newest([each for block in blocks for each in block])
    assert world.places() == list(range(world.offset))


def test_history_says_why_and_when_and_keeps_the_row(world):
    world.land([(1, 5.0, 0), (2, 5.0, 0), (3, 5.0, 0), (4, 5.0, 0)])
    world.land([(1, 6.0, 1), (2, 5.0, 1), (3, None, 0)])
    assert world.tidy() == Tidied(superseded=1, repeated=1, withdrawn=1)
    history = scan(world.lake.history(EVENT), world.lake).sort("first_offset").collect()
    assert history.select("event_id", "why", "value", "first_offset").rows() == [
        (f"{1:032x}", "superseded", 5.0, 0),
        (f"{2:032x}", "repeated", 5.0, 1),
        (f"{3:032x}", "withdrawn", 5.0, 2),
    ]
    assert set(history["moved_at"]) == {NOW}
    assert world.shown() == {1: 6.0, 2: 5.0, 4: 5.0}
    whys = sorted(Counter(told[:2] for told in lies(world.lake, EVENT)).items())
    assert whys == [
        (("curated", "curated"), 3),
        (("history", "repeated"), 1),
        (("history", "superseded"), 1),
        (("history", "withdrawn"), 1),
        (("quarantine", "withdrawn"), 1),
    ]


def test_a_row_that_was_withdrawn_before_it_came_does_not_stay_and_a_newer_one_does(world):
    world.land([(1, None, 5)])
    world.tidy()
    world.land([(1, 5.0, 4)])
    assert world.tidy() == Tidied(withdrawn=1)
    world.land([(1, 5.0, 5)])
    assert world.tidy() == Tidied(withdrawn=1)
    world.land([(1, 5.0, 6)])
    assert world.tidy() == Tidied()
    assert world.shown() == {1: 5.0}


def test_what_was_said_again_later_is_not_withdrawn_by_what_came_in_between(world):
    world.land([(1, 5.0, 0), (1, 5.0, 3)])
    assert world.tidy() == Tidied(repeated=1)
    world.land([(1, None, 2)])
    assert world.tidy() == Tidied()
    assert world.shown() == {1: 5.0}


def test_where_nothing_landed_since_nothing_is_written(world):
    world.land([(1, 5.0, 0), (1, 6.0, 1)])
    world.tidy()
    versions = [DeltaTable(uri).version() for uri in (world.lake.curated(EVENT), world.lake.history(EVENT))]
    assert world.tidy() == Tidied()
    assert [DeltaTable(uri).version() for uri in (world.lake.curated(EVENT), world.lake.history(EVENT))] == versions


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_leaves_every_row_in_one_place_and_the_next_tidy_ends_it(world, step):
    world.land([(1, 5.0, 0), (2, 5.0, 0), (1, 6.0, 1), (2, None, 2)])

    def die(at):
        if at == step:
            raise Died

    with pytest.raises(Died):
        world.tidy(die)
    assert world.places() == list(range(4))
    world.land([(2, 5.0, 0)])
    world.tidy()
    assert world.shown() == {1: 6.0}
    assert world.places() == list(range(5))
    history = scan(world.lake.history(EVENT), world.lake).select("first_offset").collect()["first_offset"]
    assert sorted(history) == [0, 1, 4]


@pytest.mark.parametrize("step", STEPS)
def test_a_second_tidy_at_once_is_refused_or_does_no_harm(world, step):
    world.land([(1, 5.0, 0), (1, 6.0, 1)])

    def another(at):
        if at == step:
            assert world.tidy() in (Tidied(superseded=1), Tidied())

    with pytest.raises(CommitConflict):
        world.tidy(another)
    assert world.shown() == {1: 6.0}
    assert world.places() == [0, 1]


def test_a_worker_that_lands_meanwhile_loses_nothing_and_keeps_its_positions(world):
    world.land([(1, 5.0, 0), (1, 6.0, 1)])
    world.tidy(lambda at: world.land([(2, 7.0, 0)]) if at == "tidy.appended" else None)
    world.land([(3, 8.0, 0)])
    assert world.shown() == {1: 6.0, 2: 7.0, 3: 8.0}
    assert LakeReader(world.lake).positions(EVENT, 0) == (2, 2)
    assert world.tidy() == Tidied()
    assert world.places() == list(range(4))


def test_a_delete_that_an_append_always_overtakes_gives_up_and_the_next_one_ends_it(world, monkeypatch):
    world.land([(1, 5.0, 0), (1, 6.0, 1)])
    update = DeltaTable.update_incremental

    def overtaken(table):
        update(table)
        other = DeltaTable(world.lake.curated(EVENT))
        one = scan(other, world.lake).head(1).collect().with_columns(raw_offset=pl.lit(99, pl.Int64))
        write_deltalake(other, one, mode="append")

    monkeypatch.setattr(DeltaTable, "update_incremental", overtaken)
    with pytest.raises(CommitConflict):
        world.tidy()
    monkeypatch.undo()
    assert 0 in world.places()


def test_a_rewritten_file_has_no_statistics_of_what_says_something_about_a_person(world):
    world.land([(1, 5.0, 0), (1, 6.0, 1), (2, 5.0, 0)])
    world.tidy()
    for uri in (world.lake.curated(EVENT), world.lake.history(EVENT)):
        for log in Path(uri).glob("_delta_log/*.json"):
            for line in log.read_text().splitlines():
                stats = json.loads(json.loads(line).get("add", {}).get("stats") or "{}")
                assert set(stats.get("minValues", {})) | set(stats.get("maxValues", {})) <= set(STATISTICS)


def test_an_event_type_without_tables_needs_no_tidying(tmp_path):
    assert tidy(Lake.local(tmp_path), SCHEMA, NOW) == Tidied()


def test_a_curated_table_that_was_put_back_is_tidied_anew(world):
    world.land([(1, 5.0, 0), (1, 6.0, 1)])
    before = DeltaTable(world.lake.curated(EVENT)).version()
    world.tidy()
    DeltaTable(world.lake.curated(EVENT)).restore(before)
    begin_again(world.lake, EVENT, [0])
    assert world.places() == [0, 1]
    assert world.tidy() == Tidied(superseded=1)
    assert world.shown() == {1: 6.0}
    assert scan(world.lake.history(EVENT), world.lake).collect().height == 1
