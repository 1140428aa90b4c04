"""What the tests of sources share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.settings import PROJECT_ROOT
from biokeel.source.adapters.base import Adapter, Context, Record, Report, Subject
from biokeel.source.columns import frame_of, records_of
from biokeel.source.ids import EventIds


@pytest.fixture(scope="session")
def catalogue() -> DirectoryCatalogue:
    return DirectoryCatalogue(PROJECT_ROOT / "schemas")


@pytest.fixture
def context() -> Context:
    ids = EventIds("clinic-emr", b"key")
    return Context("clinic-emr", "clinic", ids, 1_790_000_000_000, Subject("app/omh", "u-1"))


Reader = Callable[[Adapter, Path], tuple[dict[str, list[Record]], Report]]


@pytest.fixture
def read(context: Context, catalogue: DirectoryCatalogue) -> Reader:
    """Reads a file whole; checks on the way that every record fits its schema."""

    def run(adapter: Adapter, path: Path) -> tuple[dict[str, list[Record]], Report]:
        report = Report()
        events: dict[str, list[Record]] = {}
        for event, found, places in adapter(path, context, report):
            rows = records_of(found)
            assert len(places) == len(rows)
            assert frame_of(catalogue.reader(event).schema, rows).height == len(rows)
            events.setdefault(str(event), []).extend(rows)
        return events, report

    return run
