"""The project's own schemas, and a codec over them."""

from __future__ import annotations

from pathlib import Path

import pytest

from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.codec import Codec
from biokeel.settings import PROJECT_ROOT


@pytest.fixture(scope="session")
def schemas_root() -> Path:
    return PROJECT_ROOT / "schemas"


@pytest.fixture(scope="session")
def catalogue(schemas_root: Path) -> DirectoryCatalogue:
    return DirectoryCatalogue(schemas_root)


@pytest.fixture(scope="session")
def codec(catalogue: DirectoryCatalogue) -> Codec:
    return Codec(catalogue, max_event_bytes=1 << 20)
