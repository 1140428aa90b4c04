"""The object store takes a commit, and the network loses its answer."""

from __future__ import annotations

import pytest
from polars.testing import assert_frame_equal

from biokeel.land.lake import Lake
from tests.conformance.landing_world import Worker, landed, multiples, topic
from tests.faults.proxy import Http, Proxy

pytestmark = [pytest.mark.integration, pytest.mark.faults]
LOG = topic(partitions=1, blocks=6)


@pytest.mark.parametrize("table", ["quarantine", "curated"])
@pytest.mark.parametrize("version", [1, 2])
def test_a_commit_whose_answer_is_lost_is_neither_doubled_nor_missed(new_bucket, table, version, tmp_path):
    lake, settings = new_bucket()
    with Proxy(settings.s3_endpoint, Http()) as proxy:
        lost = proxy.fault(rf"^PUT /.*{table}/clinical/glucose/_delta_log/0*{version}\.json", lose=True, times=1)
        through = Lake.of(settings.model_copy(update={"s3_endpoint": proxy.url}))
        Worker(through, LOG, multiples(5)).run()
        assert lost.hits == 1
    ideal = Lake.local(tmp_path)
    Worker(ideal, LOG, multiples(5)).run()
    for mine, its in zip(landed(lake), landed(ideal), strict=True):
        assert_frame_equal(mine, its)
