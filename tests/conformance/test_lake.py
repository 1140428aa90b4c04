"""Objects, tables, the participants table and what operators read, on a folder and on the real object store."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import polars as pl
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from biokeel.batch import ROW
from biokeel.contracts.schema import Field, Tag
from biokeel.engine.build import curate_worker
from biokeel.errors import CommitConflict, LandingError, StoreRefused, StoreUnavailable
from biokeel.land import checkpoint, person
from biokeel.land.check import faults
from biokeel.land.checkpoint import PositionedTable
from biokeel.land.columns import STATISTICS
from biokeel.land.contents import LakeReader
from biokeel.land.lake import Lake
from biokeel.land.log import commits
from biokeel.land.maintenance import compact, refresh_participants, vacuum
from biokeel.land.objects import S3Objects, check_store
from biokeel.land.reading import scan
from biokeel.land.restore import plan
from biokeel.land.snapshots import Point, Snapshots
from biokeel.land.tables import EventTables
from biokeel.link.participants import from_snapshots
from biokeel.observe.metrics import WorkerMetrics
from tests.books.telling import lies
from tests.conformance.landing_world import EVENT, SCHEMA, Worker, landed, multiples, topic

LOG = topic(partitions=2, blocks=6)


@pytest.fixture
def lake(lakes):
    return lakes()


@pytest.fixture
def full(lake):
    Worker(lake, LOG, multiples(5), partitions=(0, 1)).run()
    return lake


def test_objects_are_put_got_listed_and_deleted(lake):
    lake.objects.put("a/1", b"one")
    lake.objects.put("a/1", b"first")
    lake.objects.put("a/2", b"two")
    lake.objects.put("b/3", b"three")
    assert lake.objects.get("a/1") == b"first"
    assert lake.objects.keys("a/") == ["a/1", "a/2"]
    assert lake.objects.sizes("a/") == {"a/1": 5, "a/2": 3}
    lake.objects.delete("a/1")
    lake.objects.delete("a/1")
    assert lake.objects.keys("") == ["a/2", "b/3"]
    with pytest.raises(LandingError, match="a/1"):
        lake.objects.get("a/1")


def test_of_two_that_create_an_object_the_second_is_refused(lake):
    assert lake.objects.put_new("a", b"first")
    assert not lake.objects.put_new("a", b"second")
    assert lake.objects.get("a") == b"first"


def test_a_store_that_honours_conditional_puts_passes_and_keeps_nothing_of_the_check(lake):
    check_store(lake.objects)
    assert lake.objects.keys("") == []


def test_a_store_that_lets_both_create_is_refused(lake):
    class Careless(type(lake.objects)):
        def put_new(self, key, data):
            self.put(key, data)
            return True

    careless = object.__new__(Careless)
    careless.__dict__.update(lake.objects.__dict__)
    with pytest.raises(StoreRefused, match="If-None-Match"):
        check_store(careless)
    assert lake.objects.keys("") == []


@pytest.mark.integration
def test_a_worker_does_not_start_on_a_store_that_lets_both_create(new_bucket, monkeypatch):
    lake, settings = new_bucket()
    monkeypatch.setattr(S3Objects, "put_new", lambda self, key, data: self.put(key, data) or True)
    with pytest.raises(StoreRefused, match="does not honour If-None-Match: two writers could both create"):
        curate_worker(settings, WorkerMetrics("curate"))
    assert lake.objects.keys("") == []


def test_researchers_see_empty_tables_before_the_first_event(lake):
    EventTables(lake, SCHEMA)
    EventTables(lake, SCHEMA)
    for uri in (lake.curated(EVENT), lake.quarantine(EVENT)):
        frame = scan(uri, lake).collect()
        assert frame.height == 0
        assert frame.columns[0] == "participant_id"
        assert DeltaTable(uri, storage_options=lake.options).version() == 0


def test_a_field_that_the_schema_gains_becomes_a_nullable_column(full):
    newer = dataclasses.replace(SCHEMA, fields=(*SCHEMA.fields, Field("device", ["null", "string"], "x", Tag.NONE)))
    EventTables(full, newer)
    frame = scan(full.curated(EVENT), full).collect()
    assert frame["device"].null_count() == frame.height > 0
    longer = {
        p: [*blocks, blocks[0].with_columns(raw_offset=pl.col("raw_offset") + 10_000)] for p, blocks in LOG.items()
    }
    worker = Worker(full, longer, multiples(5), partitions=(0, 1))
    worker.tables = EventTables(full, newer)
    worker.recover()
    worker.run()
    assert scan(full.curated(EVENT), full).collect().height > frame.height


def test_a_field_that_changes_its_type_is_refused(full):
    fields = tuple(Field(f.name, ["null", "string"], f.doc, f.tag) if f.name == "value" else f for f in SCHEMA.fields)
    with pytest.raises(LandingError, match="value"):
        EventTables(full, dataclasses.replace(SCHEMA, fields=fields))


def test_the_logs_hold_statistics_of_times_and_positions_and_of_nothing_else(full):
    refresh_participants(full, from_snapshots)
    people = scan(full.participants, full).collect()["participant_id"].to_list()
    logs = [key for key in full.objects.keys("") if "_delta_log/" in key and key.endswith(".json")]
    assert any("participants/" in key for key in logs)
    for key in logs:
        text = full.objects.get(key).decode()
        assert not any(participant in text for participant in people)
        for line in text.splitlines():
            stats = json.loads(json.loads(line).get("add", {}).get("stats") or "{}")
            assert set(stats.get("minValues", {})) | set(stats.get("maxValues", {})) <= set(STATISTICS)


def test_the_books_name_every_row_with_its_table(full):
    curated, quarantined = landed(full)
    books = Counter(teller for teller, *_ in lies(full, EVENT).elements())
    assert books == {"curated": curated.height, "quarantine": quarantined.height}
    assert LakeReader(full).counts()["rows"].to_list() == [curated.height, quarantined.height]
    assert LakeReader(full).positions(EVENT, 1) == (5, 5)
    assert set(LakeReader(full).table_versions()) == {(str(EVENT), "curated"), (str(EVENT), "quarantine")}


def test_the_books_of_an_empty_lake_are_empty(lake):
    assert not lies(lake, EVENT)
    assert LakeReader(lake).counts().is_empty()
    assert LakeReader(lake).positions(EVENT, 0) == (-1, -1)


def test_the_participants_table_counts_what_the_curated_tables_hold_and_is_made_once(full):
    rows = refresh_participants(full, from_snapshots)
    table = scan(full.participants, full).collect()
    curated, _ = landed(full)
    counted = curated.group_by("participant_id").len().sort("participant_id").rows()
    assert (
        table.select("participant_id", pl.col("clinical_glucose_count").cast(pl.UInt32)).sort("participant_id").rows()
        == counted
    )
    assert rows == table.height
    assert refresh_participants(full, from_snapshots) is None


def test_a_slower_refresh_does_not_replace_a_newer_picture(full):
    def slow(snapshots, events):
        if snapshots:
            refresh_participants(full, from_snapshots)
        return from_snapshots(snapshots, events)

    assert refresh_participants(full, slow) is None
    assert DeltaTable(full.participants, storage_options=full.options).version() == 1


def test_who_is_always_slower_is_told(full):
    def slowest(snapshots, events):
        if snapshots:
            table = DeltaTable(full.participants, storage_options=full.options)
            oldest = [Transaction(f"{event.pseudo_topic}/{partition}/snapshot", 0) for event, partition in snapshots]
            properties = CommitProperties(app_transactions=oldest)
            write_deltalake(table, from_snapshots({}, events), mode="append", commit_properties=properties)
        return from_snapshots(snapshots, events)

    with pytest.raises(CommitConflict, match="Another process"):
        refresh_participants(full, slowest)


def test_compaction_changes_no_row_and_a_worker_that_lands_meanwhile_goes_on(full):
    longer = {
        p: [*blocks, blocks[0].with_columns(raw_offset=pl.col("raw_offset") + 10_000)] for p, blocks in LOG.items()
    }
    worker = Worker(full, longer, multiples(5), partitions=(0, 1))
    before = landed(full)
    done = compact(full, full.curated(EVENT), by_participant=True)
    assert (done.before, done.after) == (3, 1)
    assert landed(full)[0].equals(before[0])
    worker.run()
    assert landed(full)[0].height > before[0].height
    assert LakeReader(full).positions(EVENT, 0) == (6, 6)


def test_compaction_keeps_the_log_free_of_values(full):
    for by_participant in (False, True):
        compact(full, full.curated(EVENT), by_participant=by_participant)
    for key in full.objects.keys(f"{full.key(full.curated(EVENT))}/_delta_log/"):
        if key.endswith(".json"):
            for line in full.objects.get(key).splitlines():
                stats = json.loads(json.loads(line).get("add", {}).get("stats") or "{}")
                assert set(stats.get("minValues", {})) <= set(STATISTICS)


def test_compaction_beside_landings_and_deletions_loses_and_doubles_nothing(lakes, tmp_path_factory):
    """All three at once, for as long as the landings take: each on its own handle, as each is a process of its own."""
    lake = lakes()
    log = topic(partitions=2, blocks=24, size=10)
    worker = Worker(lake, log, multiples(5), partitions=(0, 1), snapshots=False)
    uri = lake.curated(EVENT)
    over = threading.Event()
    compacted, deleted = [], []

    def compacting():
        while not over.is_set():
            with suppress(CommitConflict):  # rows were taken out each time that it tried
                compacted.append(compact(lake, uri))

    def deleting():
        """As tidying does: some rows are taken out, by whoever is not in another's way; but not without a pause."""
        for offset in range(1, 1000):
            if over.wait(0.03):
                return
            with suppress(CommitFailedError):
                DeltaTable(uri, storage_options=lake.options).delete(f"raw_offset = {offset}")
                deleted.append(offset)

    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(compacting), pool.submit(deleting)]
        try:
            worker.run(blocks_a_flush=1)
        finally:
            over.set()  # else the pool would be waited for without end
        for each in done:
            each.result()
    compact(lake, uri)
    assert compacted
    assert deleted
    ideal = Lake.local(tmp_path_factory.mktemp("ideal"))
    Worker(ideal, log, multiples(5), partitions=(0, 1), snapshots=False).run()
    # What a deletion found was taken out; what landed after it stays, like everything else.
    wanted = landed(ideal)[0]
    rows = landed(lake)[0]
    assert rows.join(wanted, on=wanted.columns, how="anti", nulls_equal=True).is_empty()
    gone = wanted.join(rows, on=["source_id", "raw_partition", "raw_offset"], how="anti")
    assert set(gone["raw_offset"]) <= set(deleted)
    assert list(faults(lake, EVENT)) == []


def test_a_landing_goes_on_trying_while_others_commit_to_its_table_and_gives_up_where_nobody_can(full, monkeypatch):
    """delta-rs refuses an append wherever rows were taken out since the table was read: nobody's fault, no outage."""
    longer = {
        p: [*blocks, blocks[0].with_columns(raw_offset=pl.col("raw_offset") + 10_000)] for p, blocks in LOG.items()
    }
    worker = Worker(full, longer, multiples(5), partitions=(0, 1))
    append, offsets = PositionedTable.append, iter(landed(full)[0]["raw_offset"].head(10).to_list())

    def beaten(table, *arguments):
        if table.uri == full.curated(EVENT) and (offset := next(offsets, None)) is not None:
            DeltaTable(table.uri, storage_options=full.options).delete(f"raw_offset = {offset}")
        append(table, *arguments)

    monkeypatch.setattr(checkpoint, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(PositionedTable, "append", beaten)
    worker.run()
    assert next(offsets, None) is None
    assert LakeReader(full).positions(EVENT, 0) == (6, 6)

    def failing(*_arguments):
        raise DeltaError("away")

    monkeypatch.setattr(PositionedTable, "append", failing)
    with pytest.raises(StoreUnavailable, match="took no commit in 6 tries"):
        Worker(full, LOG | {0: [*longer[0], longer[0][-1].with_columns(raw_offset=50_000)]}, multiples(5)).run()


def test_vacuum_tells_before_it_deletes_and_leaves_what_readers_and_workers_need(full):
    before = landed(full)
    state = {key: full.objects.get(key) for key in full.objects.keys("state/")}
    open_reader = DeltaTable(full.curated(EVENT), storage_options=full.options)
    compact(full, full.curated(EVENT))
    assert vacuum(full, full.curated(EVENT), hours=1, delete=True).files == 0
    assert scan(open_reader, full).collect().height == before[0].height
    told = vacuum(full, full.curated(EVENT), hours=0, delete=False)
    assert told.files == 3
    assert told.size > 0
    assert scan(open_reader, full).collect().height == before[0].height
    assert vacuum(full, full.curated(EVENT), hours=0, delete=True) == told
    assert vacuum(full, full.curated(EVENT), hours=0, delete=False).files == 0
    assert {key: full.objects.get(key) for key in full.objects.keys("state/")} == state
    assert landed(full)[0].equals(before[0])
    assert list(faults(full, EVENT)) == []
    Worker(full, LOG, multiples(5), partitions=(0, 1)).run()
    assert LakeReader(full).positions(EVENT, 0) == (5, 5)


def test_vacuum_takes_what_a_writer_that_died_had_not_committed(full):
    uri = full.curated(EVENT)
    full.objects.put(f"{full.key(uri)}/part-00000-orphan.parquet", b"left behind")
    assert vacuum(full, uri, hours=1, delete=False).files == 0
    done = vacuum(full, uri, hours=0, delete=True)
    assert (done.files, done.size) == (1, 11)


def test_a_history_tells_version_operation_rows_and_positions(full):
    history = list(commits(full, full.curated(EVENT), 10))
    assert [commit.version for commit in history] == [3, 2, 1, 0]
    assert history[0].positions == {0: 5, 1: 5}
    assert sum(commit.rows for commit in history) == landed(full)[0].height
    assert history[0].operation == "WRITE"
    compact(full, full.curated(EVENT))
    newest = next(commits(full, full.curated(EVENT), 1))
    assert (newest.operation, newest.rows, newest.files_added, newest.files_removed) == ("OPTIMIZE", 0, 1, 3)


def test_log_entries_past_their_time_are_cleared_and_positions_rows_and_workers_stay(tmp_path):
    lake = Lake.local(tmp_path)
    Worker(lake, LOG, multiples(5), partitions=(0, 1)).run()
    before = landed(lake)
    eight_days_ago = time.time() - 8 * 86_400
    for key in lake.objects.keys("curated/"):
        os.utime(tmp_path / key, (eight_days_ago, eight_days_ago))
    compact(lake, lake.curated(EVENT))
    compact(lake, lake.curated(EVENT))
    assert [commit.version for commit in commits(lake, lake.curated(EVENT), 10)][-1] > 0
    assert landed(lake)[0].equals(before[0])
    assert LakeReader(lake).positions(EVENT, 0) == (5, 5)
    assert list(faults(lake, EVENT)) == []
    with pytest.raises(LandingError, match="has no version 1"):
        plan(lake, EVENT, 1, 2)
    longer = {p: [*blocks, blocks[0].with_columns(raw_offset=pl.col("raw_offset") + 9000)] for p, blocks in LOG.items()}
    Worker(lake, longer, multiples(5), partitions=(0, 1)).run()
    assert LakeReader(lake).positions(EVENT, 0) == (6, 6)


def damage_gone(lake, key):
    lake.objects.delete(key)


def damage_cut(lake, key):
    lake.objects.put(key, lake.objects.get(key)[:-10])


def damage_bits(lake, key):
    data = bytearray(lake.objects.get(key))
    data[4 : len(data) // 2] = bytes(len(data) // 2 - 4)
    lake.objects.put(key, bytes(data))


@pytest.mark.parametrize(
    ("damage", "said"),
    [(damage_gone, "is gone"), (damage_cut, "in the log"), (damage_bits, "cannot be read")],
    ids=["gone", "cut", "bits"],
)
def test_a_damaged_file_is_found_and_named(full, damage, said):
    assert list(faults(full, EVENT)) == []
    key = next(key for key in full.objects.keys(f"{full.key(full.curated(EVENT))}/part"))
    damage(full, key)
    (fault,) = faults(full, EVENT)
    assert said in fault
    assert key.rsplit("/", 1)[1] in fault


@pytest.mark.parametrize("table", ["curated", "quarantine"])
def test_a_row_that_stands_twice_is_found_by_its_coordinates(full, table):
    curated, quarantined = (scan(uri, full).collect() for uri in (full.curated(EVENT), full.quarantine(EVENT)))
    row = curated[:1]
    if table == "quarantine":
        row = quarantined[:1].with_columns(row[name] for name in ROW)
    write_deltalake(getattr(full, table)(EVENT), row, mode="append", storage_options=full.options)
    (fault,) = faults(full, EVENT)
    where = f"raw {row['source_id'][0]}/{row['raw_partition'][0]}@{row['raw_offset'][0]}"
    assert fault == f"clinical.glucose: 1 coordinates stand more than once: {where}."


def test_rows_past_their_tables_position_and_state_past_its_table_are_found(full):
    row = (
        scan(full.curated(EVENT), full)
        .collect()[:1]
        .with_columns(raw_offset=pl.lit(10_000, pl.Int64), pseudo_offset=pl.lit(77, pl.Int64))
    )
    write_deltalake(full.curated(EVENT), row, mode="append", storage_options=full.options)
    Snapshots(full).save(EVENT, 0, Point(99, 0), b"")
    found = list(faults(full, EVENT))
    assert any("has rows up to 77, past its position 5" in fault for fault in found)
    assert any("linking state of partition 0 is at 99, past its table at 5" in fault for fault in found)


def test_a_persons_timeline_is_in_the_order_of_time_with_all_the_event_says(full):
    curated, _ = landed(full)
    someone = curated["participant_id"][0]
    timeline = person.timeline(full, someone)
    assert timeline.height == curated.filter(pl.col("participant_id") == someone).height
    assert timeline["occurred_at"].is_sorted()
    fields = json.loads(timeline["fields"][0])
    assert (fields["code"], fields["value_unit"]) == ("2339-0", "mg/dL")
    assert person.summary(full, someone) is None
    refresh_participants(full, from_snapshots)
    assert person.summary(full, someone)["events"] == timeline.height
