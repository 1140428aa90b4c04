"""The research side's worker, without a broker: what it makes of blocks, and with what it refuses to start."""

from types import SimpleNamespace

import polars as pl
import pytest

from biokeel.batch import COORDINATES, ENVELOPE, POSITION, PseudonymisedBatch
from biokeel.contracts.blocks import split_blocks
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.topics import event_type
from biokeel.engine.build import curate_worker
from biokeel.engine.curate.reading import Placed, blocks_of, read_rows
from biokeel.errors import StoreRefused
from biokeel.land.columns import curated_columns, quarantine_columns, to_table
from biokeel.land.objects import DirectoryObjects
from biokeel.link.stage import link
from biokeel.link.state import PersonState
from biokeel.observe.metrics import WorkerMetrics
from biokeel.settings import Settings
from biokeel.validate.stage import validate
from biokeel.validate.suites import SuiteStore
from tests.signing import KEYS, SIGNER

PRESSURE = event_type("clinical.blood_pressure")


@pytest.fixture(scope="module")
def schema():
    return DirectoryCatalogue(Settings().schemas_dir).reader(PRESSURE).schema


def record(schema, offset, absent=()):
    """A block of two rows as Kafka gives it, without the columns `absent`: its schema did not have them yet."""
    columns = curated_columns(schema)
    names = [name for name in columns if name not in {*ENVELOPE, *COORDINATES, *POSITION, "participant_id"}]
    fields = {name: columns[name] for name in names[: names.index("sequence")] if name not in absent}
    rows = {
        "participant": [4, 8],
        "event_id": ["0" * 32, "1" * 32],
        "source_id": ["demo-one"] * 2,
        "occurred_at": [1_600_000_000_000] * 2,
        "recorded_at": [1_600_000_000_000] * 2,
        "stream": ["raw"] * 2,
        "raw_partition": [0] * 2,
        "raw_offset": [2 * offset, 2 * offset + 1],
        "first_partition": [0] * 2,
        "first_offset": [2 * offset, 2 * offset + 1],
        "panel_code": ["85354-9"] * 2,
        "status": ["final"] * 2,
        "systolic": [120.0, 900.0],
        "diastolic": [80.0] * 2,
        "heart_rate": [70.0] * 2,
    }
    types = {**ENVELOPE, **COORDINATES, **fields}
    frame = pl.DataFrame({name: rows.get(name, [None] * 2) for name in types}, schema=types)
    (block,) = split_blocks(PseudonymisedBatch(PRESSURE, frame), 1, "f" * 32, SIGNER)
    return SimpleNamespace(offset=offset, value=block.value, headers=block.headers)


def message(record):
    return record.offset, record.value, record.headers


@pytest.mark.parametrize("absent", [{"heart_rate"}, {"heart_rate", "body_position"}])
@pytest.mark.parametrize("mixed", [True, False])
def test_blocks_from_before_a_schema_had_a_field_are_judged_and_land_with_nulls(schema, absent, mixed):
    records = [record(schema, 5, absent), record(schema, 6, () if mixed else absent)]
    columns = curated_columns(schema)
    rows = [Placed(3, each.offset, read_rows(PRESSURE, 0, message(each), columns, KEYS)) for each in records]
    batch = blocks_of(PRESSURE, rows)
    assert batch.frame["pseudo_partition"].to_list() == [3] * 4
    assert batch.frame["pseudo_offset"].to_list() == [5, 5, 6, 6]
    suite = SuiteStore(Settings().expectations_dir, {PRESSURE: schema}).current(PRESSURE)
    outcome = validate(batch, suite)
    linked, _ = link(outcome.accepted, {3: PersonState()})
    landed = to_table(linked.frame, curated_columns(schema), "test")
    quarantined = to_table(outcome.rejected.frame, quarantine_columns(schema), "test")
    assert landed["systolic"].to_list() == [120.0, 120.0]
    assert quarantined["systolic"].to_list() == [900.0, 900.0]
    assert landed["heart_rate"].to_list() == [None, 70.0 if mixed else None]


def test_a_worker_does_not_start_on_a_store_that_lets_two_writers_create_one_object(tmp_path, monkeypatch):
    class Careless(DirectoryObjects):
        def put_new(self, key, data):
            self.put(key, data)
            return True

    settings = Settings(
        kafka_bootstrap="127.0.0.1:1",
        s3_endpoint="http://127.0.0.1:1",
        s3_access_key="key",
        s3_secret_key="secret",
        block_public_keys=SIGNER.public,
    )
    monkeypatch.setattr("biokeel.land.lake.S3Objects", lambda _settings, _bucket: Careless(tmp_path))
    with pytest.raises(StoreRefused):
        curate_worker(settings, WorkerMetrics("curate"))
    monkeypatch.setattr("biokeel.land.lake.S3Objects", lambda _settings, _bucket: DirectoryObjects(tmp_path))
    curate_worker(settings, WorkerMetrics("curate"))
