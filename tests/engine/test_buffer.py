"""What waits to be landed: when it is due, and what it comes to."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from biokeel.engine.curate import buffer as module
from biokeel.engine.curate.buffer import Buffer
from biokeel.engine.curate.judging import Judged
from biokeel.engine.kafka.deliveries import Delivery
from biokeel.engine.kafka.records import Records
from biokeel.link.state import PersonState, Snapshot
from biokeel.settings import Settings


def judged(offset, good, bad=(), repeats=0, partitions=(0,)):
    """`good` and `bad` are values of rows, of each of `partitions`."""
    frame, refused = (
        pl.DataFrame(
            {"pseudo_partition": np.repeat(partitions, len(values)), "value": list(values) * len(partitions)},
            schema={"pseudo_partition": pl.Int32, "value": pl.Int64},
        )
        for values in (good, bad)
    )
    standing = Snapshot(offset, PersonState(), {("raw", 0): offset})
    standings = dict.fromkeys(partitions, standing)
    return Judged(frame, refused.with_columns(reason=pl.lit("rule")), standings, repeats)


def delivery(partition=0):
    return Delivery("pseudo.clinical.glucose", partition, 1, Records(np.array([]), [], None, 0))


def settings(**changed):
    return Settings(**({"flush_rows": 1000, "flush_bytes": 1 << 30, "flush_seconds": 1e6} | changed))


def test_rows_come_out_in_the_order_in_which_they_came_in_and_the_last_standing_counts():
    buffer = Buffer()
    buffer.add([delivery()], judged(4, [1, 2], [9]))
    buffer.add([delivery(1)], judged(2, [3], partitions=[1]))
    buffer.add([delivery(), delivery(2)], judged(7, [4], partitions=[0, 2]))
    assert buffer.curated()["value"].to_list() == [1, 2, 3, 4, 4]
    assert buffer.quarantined()["value"].to_list() == [9]
    assert {partition: standing.offset for partition, standing in buffer.standings.items()} == {0: 7, 1: 2, 2: 7}
    assert (buffer.rows, buffer.rows_of, len(buffer.deliveries)) == (6, {0: 4, 1: 1, 2: 1}, 4)


def test_deliveries_of_nothing_but_repeats_are_due_by_age_although_they_have_no_row():
    buffer = Buffer()
    assert not buffer.due(settings(flush_seconds=1e-9)), "nothing was delivered"
    buffer.add([delivery()], judged(4, [], repeats=10))
    assert (buffer.curated(), buffer.quarantined(), buffer.rows) == (None, None, 0)
    assert not buffer.due(settings())
    assert buffer.due(settings(flush_seconds=1e-9))


@pytest.mark.parametrize("limit", [{"flush_rows": 3}, {"flush_bytes": 36}])
def test_a_buffer_is_due_by_rows_and_by_bytes_of_both_kinds_of_row_together(limit):
    buffer = Buffer()
    buffer.add([delivery()], judged(1, [1], []))
    assert not buffer.due(settings(**limit))
    buffer.add([delivery()], judged(2, [2], [3]))
    assert buffer.due(settings(**limit))


def test_the_age_is_that_of_the_first_delivery(monkeypatch):
    now = [10.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    buffer = Buffer(began=10.0)
    buffer.add([delivery()], judged(1, [1]))
    now[0] = 39.0
    buffer.add([delivery()], judged(2, [1]))
    assert not buffer.due(settings(flush_seconds=30.0))
    now[0] = 40.0
    assert buffer.due(settings(flush_seconds=30.0))


def test_a_short_text_counts_with_the_bytes_that_say_where_it_is():
    buffer = Buffer()
    one = judged(0, [1])
    buffer.add([delivery()], replace(one, curated=one.curated.with_columns(text=pl.lit("x"))))
    plain = Buffer()
    plain.add([delivery()], one)
    assert buffer.size >= plain.size + 16
