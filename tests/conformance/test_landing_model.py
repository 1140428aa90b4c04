"""Any order of reading, landing, dying, changing suites and taking over leaves every row once and no gap."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from biokeel.contracts.ids import encode_ids
from biokeel.errors import CommitConflict
from biokeel.land.checkpoint import STEPS
from biokeel.land.lake import Lake
from tests.conformance.landing_world import Died, Worker, distinct, landed, multiples, topic

LOG = topic(partitions=1, blocks=6, size=8)
WORKERS = st.integers(0, 1)
ACTIONS = st.one_of(
    st.tuples(st.just("read"), WORKERS, st.integers(1, 3)),
    st.tuples(st.just("land"), WORKERS, st.none()),
    st.tuples(st.just("die"), WORKERS, st.sampled_from(STEPS)),
    st.tuples(st.just("suite"), WORKERS, st.integers(2, 5)),
)


def worker(lake, divisor, death):
    def reached(step):
        if death[0] == step:
            death[0] = None
            raise Died(step)

    return Worker(lake, LOG, multiples(divisor), reached=reached)


@settings(max_examples=12, deadline=None)
@given(st.lists(ACTIONS, min_size=4, max_size=14))
def test_two_workers_that_both_believe_to_own_a_partition_leave_each_row_once(actions):
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake.local(Path(folder))
        deaths = ([None], [None])
        workers = [worker(lake, 3 + at, death) for at, death in enumerate(deaths)]
        for action, at, argument in actions:
            if action == "read":
                workers[at].read(0, argument)
            elif action == "suite":
                workers[at].verdict = multiples(argument)
            else:
                deaths[at][0] = argument
                try:
                    workers[at].flush()
                except CommitConflict:
                    workers[at].recover()
                except Died:
                    workers[at] = worker(lake, 2 + at, deaths[at])
                deaths[at][0] = None
        heir = worker(lake, 7, [None])
        heir.run()

        curated, quarantined = landed(lake)
        key = ["raw_partition", "raw_offset"]
        both = pl.concat([curated.select(key), quarantined.select(key)])
        assert both.height == both.n_unique() == distinct(LOG)

        # The state is what the table says, and the table what counting it gives.
        run = heir.state[0].whole()
        counted = curated.group_by("participant_id").agg(
            pl.len().cast(pl.Int64), pl.col("sequence").max().alias("last")
        )
        counted = counted.sort("participant_id")
        known = pl.DataFrame(
            {
                "participant_id": encode_ids(pl.Series(run.participants)),
                "len": run.values[:, 0],
                "last": run.values[:, 0],
            }
        ).sort("participant_id")
        assert counted.equals(known)
        assert curated.select("participant_id", "sequence").n_unique() == curated.height
