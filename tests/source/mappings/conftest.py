"""What the tests of mappings share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from biokeel.contracts.schema import load_schemas
from biokeel.settings import PROJECT_ROOT
from biokeel.source.adapters.base import Context, Report, Subject
from biokeel.source.ids import EventIds
from biokeel.source.mappings.library import Library
from biokeel.source.mappings.load import Schemas, parse_mapping
from biokeel.source.mappings.model import Mapping
from biokeel.source.mappings.run import Table

SEOUL = ZoneInfo("Asia/Seoul")
RECORDED = 1_750_000_000_000
"""June 2025: later than all that the tests tell."""


@pytest.fixture(scope="session")
def schemas() -> Schemas:
    return load_schemas(PROJECT_ROOT / "schemas")


@pytest.fixture(scope="session")
def shipped(schemas: Schemas) -> Library:
    return Library(schemas)


@dataclass
class Found:
    """What a table became: frames by event type, the line of each row, and the report."""

    report: Report = field(default_factory=Report)
    frames: dict[str, pl.DataFrame] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        return {event: frame.height for event, frame in self.frames.items()}

    @property
    def problems(self) -> list[tuple[str, str]]:
        return [(each.position, each.reason) for each in self.report.problems]


Read = Callable[..., Found]


def mapping_of(text: str, schemas: Schemas) -> Mapping:
    found = parse_mapping(text, "m.yaml", schemas)
    assert isinstance(found, Mapping), [str(each) for each in found]
    return found


def read_table(table: Table, path: Path, zone: ZoneInfo | None = SEOUL, day_month: str | None = None) -> Found:
    ids, subject = EventIds("clinic-emr", b"key"), Subject("app/omh", "u-1")
    context = Context("clinic-emr", "clinic", ids, RECORDED, subject, zone, day_month=day_month)
    found = Found()
    parts: dict[str, list[pl.DataFrame]] = {}
    for event, rows, places in table(path, context, found.report):
        assert isinstance(rows, pl.DataFrame)
        assert len(places) == rows.height
        parts.setdefault(str(event), []).append(rows)
        found.places.setdefault(str(event), []).extend(places)
    found.frames = {event: pl.concat(frames) for event, frames in parts.items()}
    return found


@pytest.fixture
def read(shipped: Library) -> Read:
    """Reads a file by the shipped mapping that recognises it."""

    def run(path: Path, zone: ZoneInfo | None = SEOUL, day_month: str | None = None) -> Found:
        table = shipped.shipped_for(path)
        assert table is not None, path.name
        return read_table(table, path, zone, day_month)

    return run
