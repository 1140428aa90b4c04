"""A vault in a folder, a real codec, and events by the dozen."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest

from biokeel.batch import PseudonymisedBatch, RawBatch, RawPartition
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.codec import Codec
from biokeel.contracts.schema import load_schemas
from biokeel.contracts.topics import EventType, event_type
from biokeel.pseudonymise.wall import Wall, WallResult
from biokeel.settings import PROJECT_ROOT, Settings
from biokeel.vault.keys import create_key_file
from biokeel.vault.store import Vault
from tests.event_types import EVENTS
from tests.registers import trusting
from tests.vaults import CHOSEN, MEMORY, vault_url

SCHEMAS = PROJECT_ROOT / "schemas"
START = dt.datetime(2024, 3, 1, 9, tzinfo=dt.UTC)
CATALOGUE = DirectoryCatalogue(SCHEMAS)
GLUCOSE = event_type("clinical.glucose")
SOURCES = ("hospital-one", "hospital-two")
REGISTER = trusting(*SOURCES)


def origin(number: int) -> RawPartition:
    """A raw partition for each number: even ones are of one source, odd ones of another, both from 0 on."""
    return RawPartition(SOURCES[number % 2], number // 2)


def numbers(frame: pl.DataFrame) -> list[int]:
    """The number of each row's raw partition, as `origin` has it."""
    rows = frame.select("source_id", "raw_partition").iter_rows()
    return [2 * partition + SOURCES.index(source) for source, partition in rows]


class World:
    """One vault on the disk; `wall()` opens it as a fresh process would. `landing` as of `Wall`."""

    landing = ""

    def __init__(self, folder: Path, unstated_consent: str = "") -> None:
        folder.mkdir(exist_ok=True)
        self.settings = Settings(
            vault_url=vault_url(folder),
            vault_key_file=folder / "vault.keys",
            unstated_consent=unstated_consent,
        )
        self.folder = folder
        if not (folder / "vault.keys").exists():
            create_key_file(folder / "vault.keys")
        self.schemas, self.codec = load_schemas(SCHEMAS), Codec(CATALOGUE, 1 << 20)
        self.offsets: dict[tuple[EventType, int], int] = {}
        self.open: list[Vault] = []

    def vault(self) -> Vault:
        self.open.append(Vault.open(self.settings))
        return self.open[-1]

    def wall(self, unknown_person: str = "park") -> Wall:
        more = {"unknown_person": unknown_person, "landing": self.landing}
        return Wall(self.codec, self.vault(), self.schemas, lambda: REGISTER, **more)

    def close(self) -> None:
        for vault in self.open:
            vault.close()

    def batch(self, event: EventType, rows: list[dict[str, object]], partition: int = 0) -> RawBatch:
        """`rows` name what differs from a good event; offsets go on from batch to batch."""
        first = self.offsets.get((event, partition), 0)
        self.offsets[event, partition] = first + len(rows)
        offsets = np.arange(first, first + len(rows), dtype=np.int64)
        full = [
            {
                "event_id": f"{abs(hash((str(event), partition, int(offset)))) % 16**12:032x}",
                "source_id": origin(partition).source,
                "subject_scheme": "hospital/one",
                "occurred_at": START + dt.timedelta(minutes=int(offset)),
                "occurred_offset_minutes": 540,
                "recorded_at": START + dt.timedelta(hours=2),
                **DEFAULTS.get(event.name, {}),
                **row,
            }
            for offset, row in zip(offsets, rows, strict=True)
        ]
        frame = pl.DataFrame(full, schema=self.columns(event), orient="row")
        return RawBatch.of(event, [(origin(partition), offsets, self.codec.encode(event, frame).to_pylist())])

    def columns(self, event: EventType) -> dict[str, pl.DataType]:
        from biokeel.contracts.columns import frame_schema

        return frame_schema(self.schemas[event].avro)

    def person(self, wall: Wall, kind: str, *rows: dict[str, object]) -> WallResult:
        return wall.process(self.batch(event_type(f"person.{kind}"), list(rows)))

    def enrol(self, wall: Wall, *subjects: str, **more: object) -> WallResult:
        return self.person(wall, "enrolment", *({"subject_id": each, **more} for each in subjects))

    def glucose(self, *subjects: str, partition: int = 0, **more: object) -> RawBatch:
        return self.batch(GLUCOSE, [{"subject_id": each, **more} for each in subjects], partition)


DEFAULTS: dict[str, dict[str, object]] = {
    "glucose": {"code": "2339-0", "value": 98.0, "value_unit": "mg/dL", "status": "final"},
    "enrolment": {
        "identifiers": [],
        "sex": "female",
        "birth_date": dt.date(1980, 5, 17),
        "consent_scope": ["genome", "clinical", "lifestyle"],
        "consent_stated": True,
    },
    "identifier_link": {"identifiers": []},
    "consent_change": {"consent_scope": []},
    "merge": {"merged_scheme": "hospital/one"},
    "withdrawal": {"scope": "further_collection"},
}


def together(*batches: RawBatch) -> RawBatch:
    """What one fetch would bring of several partitions: batches of one each, of one event type."""
    parts = [(batch.origins[0], batch.offsets, batch.values) for batch in batches]
    return RawBatch.of(batches[0].event, parts)


def offsets(batch: PseudonymisedBatch | None) -> list[int]:
    return [] if batch is None else batch.frame["raw_offset"].to_list()


def drain(wall: Wall, partition: int = 0, event: EventType = GLUCOSE) -> list[int]:
    """First offsets of everything that is released, marked as the worker marks it."""
    got: list[int] = []
    while (batch := wall.releases(event, origin(partition), 1000).batch) is not None:
        got += batch.frame["first_offset"].to_list()
        wall.released(event, origin(partition), int(batch.frame["raw_offset"].max()))
    return got


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where the system has one: what dies here is a process, and each commit would wait for a disk.

    What a vault keeps when a disk or a machine dies is SQLite's part and not shown here.
    """
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


@pytest.fixture
def world(tmp_path: Path):
    made = World(tmp_path)
    yield made
    made.close()


__all__ = ["EVENTS", "World", "drain", "offsets", "origin", "together"]


@pytest.fixture(params=["some steps", pytest.param("every step", marks=pytest.mark.long)])
def stride(request):
    """From one step at which the process dies to the next; a database of PostgreSQL takes long to copy for each."""
    if request.param == "every step":
        return 1
    return 7 if CHOSEN else 3
