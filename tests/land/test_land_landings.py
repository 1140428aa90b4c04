"""Of all commits of a table only those of a landing bring what came live."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from biokeel.land.commits import commit_key
from biokeel.land.lake import Lake
from biokeel.land.landings import Landing, Reached, gone, landings_since
from biokeel.settings import PROJECT_ROOT
from tests.rulebook.desk import MemoryObjects

URI, TOPIC = "s3://lake/curated/clinical/glucose", "pseudo.clinical.glucose"
ADD = {"add": {"path": "a.parquet", "dataChange": True, "stats": '{"numRecords": 7}'}}
COMPACTED = {"add": {"path": "b.parquet", "dataChange": False, "stats": '{"numRecords": 7}'}}


def names(*what: str) -> list[dict[str, Any]]:
    return [{"txn": {"appId": f"{TOPIC}/{each}", "version": 1}} for each in what]


def operation(name: str) -> dict[str, Any]:
    return {"commitInfo": {"operation": name, "timestamp": 5_000}}


def lake_of(*commits: list[dict[str, Any]]) -> Lake:
    lake = Lake("s3://lake", MemoryObjects(), PROJECT_ROOT / "schemas")
    for version, actions in enumerate(commits):
        lake.objects.put(commit_key(lake, URI, version), b"\n".join(map(orjson.dumps, actions)))
    return lake


@pytest.mark.parametrize(
    ("actions", "lands"),
    [
        ([*names("0", "0/operated"), ADD], True),  # a landing
        ([*names("0", "1", "0/writer"), ADD], True),  # what it quarantined
        ([*names("0", "0/operated", "0/writer"), ADD], False),  # a steward's operation
        ([*names("0/withdrawn"), ADD], False),  # what an operation moved
        ([*names("0"), {"remove": {"path": "b", "dataChange": True}}, ADD], False),
        ([operation("RESTORE"), *names("0"), ADD], False),
        ([operation("OPTIMIZE"), {"remove": {"path": "b", "dataChange": False}}, COMPACTED], False),
        ([{"txn": {"appId": "pseudo.clinical.other/0", "version": 1}}, ADD], False),
        ([*names("0")], False),  # nothing was in it
    ],
)
def test_only_a_landing_brings_what_came_live(actions: list[dict[str, Any]], lands: bool) -> None:
    lake = lake_of([operation("CREATE TABLE")], [operation("WRITE"), *actions])
    found = landings_since(lake, URI, TOPIC, Reached())
    assert found is not None
    assert found.reached.version == 1
    assert [landing.rows for landing in found.landings] == [7] * lands
    assert landings_since(lake, URI, TOPIC, found.reached) is None


def test_landings_are_told_up_to_a_version_with_when_they_were_written_and_their_files() -> None:
    lake = lake_of(*([operation("WRITE"), *names("0"), ADD] for _ in range(3)))
    found = landings_since(lake, URI, TOPIC, Reached(0), up_to=1)
    assert found is not None
    file = f"{URI}/a.parquet", 7
    assert found.landings == (Landing(1, 5.0, (file,)),)
    assert gone(lake, [file]) == [file]
    lake.objects.put("curated/clinical/glucose/a.parquet", b"")
    assert gone(lake, [file]) == []
