"""What the tests of the demo share."""

import pytest

from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.settings import PROJECT_ROOT


@pytest.fixture(scope="session")
def catalogue() -> DirectoryCatalogue:
    return DirectoryCatalogue(PROJECT_ROOT / "schemas")
