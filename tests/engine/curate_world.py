"""A research worker on real tables in a folder, without a broker: blocks go in by hand."""

import asyncio
from types import SimpleNamespace

import numpy as np
import polars as pl

from biokeel.batch import COORDINATES, ENVELOPE, POSITION, PseudonymisedBatch
from biokeel.contracts.blocks import split_blocks
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.topics import event_type
from biokeel.engine.curate.worker import CurateWorker
from biokeel.engine.kafka.deliveries import Partition
from biokeel.engine.kafka.records import Records
from biokeel.land.columns import curated_columns
from biokeel.land.lake import Lake
from biokeel.land.reading import scan
from biokeel.observe.metrics import WorkerMetrics
from biokeel.rulebook.follow import FollowedBook
from biokeel.settings import Settings
from tests.signing import KEYS, SIGNER, signed

PRESSURE = event_type("clinical.blood_pressure")
SCHEMA = DirectoryCatalogue(Settings().schemas_dir).reader(PRESSURE).schema
AT = Partition(PRESSURE.pseudo_topic, 0)
MINUTE = 60_000
BEGAN = 1_600_000_000_000


def block(offset, values, first=None, raw_partition=0, source="demo-one", *, of=None, recorded=0, status="final"):
    """A block as Kafka gives it: a row a value of `systolic`, of `source` from offset `first` on, two people in turn.

    `of`: the offset at which the event came first that its one row says something of anew, `recorded` minutes later.

    It is signed when it is delivered, for the partition that it is delivered to.
    """
    columns = curated_columns(SCHEMA)
    names = [name for name in columns if name not in {*ENVELOPE, *COORDINATES, *POSITION, "participant_id"}]
    fields = {name: columns[name] for name in names[: names.index("sequence")]}
    count = len(values)
    start = 100 * offset if first is None else first
    offsets = list(range(start, start + count))
    events = offsets if of is None else [of]
    rows = {
        "participant": [4 * (each % 2 + 1) for each in events],
        "event_id": [f"{each:032x}" for each in events],
        "source_id": [source] * count,
        "occurred_at": [BEGAN + MINUTE * each for each in events],
        "recorded_at": [BEGAN + MINUTE * recorded] * count,
        "stream": ["raw"] * count,
        "raw_partition": [raw_partition] * count,
        "raw_offset": offsets,
        "first_partition": [raw_partition] * count,
        "first_offset": offsets,
        "panel_code": ["85354-9"] * count,
        "status": [status] * count,
        "systolic": [float(value) for value in values],
        "diastolic": [80.0] * count,
        "heart_rate": [70.0] * count,
    }
    types = {**ENVELOPE, **COORDINATES, **fields}
    frame = pl.DataFrame({name: rows.get(name, [None] * count) for name in types}, schema=types)
    (made,) = split_blocks(PseudonymisedBatch(PRESSURE, frame), 1, "f" * 32, SIGNER)
    return SimpleNamespace(offset=offset, value=made.value, headers=made.headers, signer=SIGNER)


def damaged(record):
    """`record` with one bit of its value turned over."""
    return SimpleNamespace(
        **{**vars(record), "value": record.value[:-9] + bytes([record.value[-9] ^ 1]) + record.value[-8:]}
    )


def made_worker(lake, keys=KEYS, **changed):
    settings = Settings(**({"flush_rows": 1_000_000, "flush_seconds": 1e6} | changed))
    schemas = {PRESSURE: SCHEMA}
    book = FollowedBook(lake.objects, schemas, begin=settings.expectations_dir)
    return CurateWorker(settings, WorkerMetrics("curate"), lake, schemas, book, keys=keys)


async def assign(worker, *partitions):
    """Give the worker `partitions`, as the transport does; where each goes on."""
    places = await worker.assigned(set(partitions or [AT]))
    for at, position in places.items():
        worker.ledger.assign(at, position)
    return places


def by_somebody_else(record, **changed):
    """`record` as it is, signed when it was made, for partition 0, with what `changed` says: not signed again."""
    return SimpleNamespace(**{**vars(record), "signer": None, **changed})


def together(at, *records):
    """What the transport makes of these records of partition `at`."""
    offsets = np.array([each.offset for each in records], dtype=np.int64)
    values = [each.value for each in records]
    headers = [
        signed(at.topic, at.partition, each.headers, each.signer) if each.signer else each.headers for each in records
    ]
    return Records(offsets, values, headers, BEGAN)


async def feed(worker, *records, at=AT):
    """Hand `records` to the worker as one delivery; those that it has had are left out, as by the transport."""
    delivery = worker.ledger.deliver(at, together(at, *records))
    if delivery is not None:
        await worker.take([delivery])
    return delivery


async def land(worker):
    """Land what the worker holds, and go on."""
    async with worker._turn:
        await worker._landing.land_all()


def landed(lake):
    """Curated and quarantined rows, by raw coordinates."""
    order = ["source_id", "raw_partition", "raw_offset"]
    return (
        scan(lake.curated(PRESSURE), lake).collect().sort(order),
        scan(lake.quarantine(PRESSURE), lake).collect().sort(order),
    )


def offsets(frame):
    return frame["raw_offset"].to_list()


async def landing(worker, lake, *records):
    """What landed when each of `records` was delivered by itself, and all landed then."""
    await assign(worker)
    for record in records:
        await feed(worker, record)
    await land(worker)
    worker.check()
    return landed(lake)


def scenario(*records):
    """For `run`: `landing` of `records`."""
    return lambda worker, lake: landing(worker, lake, *records)


def run(folder, scenario, **changed):
    """Run `scenario(worker, lake)` with a worker of its own (`made_worker`); its result."""
    lake = Lake.local(folder)

    async def whole():
        return await scenario(made_worker(lake, **changed), lake)

    return asyncio.run(whole())


__all__ = ["AT", "PRESSURE", "assign", "block", "damaged", "feed", "land", "landed", "made_worker", "run"]
