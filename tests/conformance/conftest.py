"""Lakes for the conformance tests: a folder, and the real S3-compatible store."""

from __future__ import annotations

import itertools

import pytest

from biokeel.land.lake import Lake

_NUMBERS = itertools.count()


@pytest.fixture(params=["folder"])
def lakes(request, tmp_path):
    """A function that makes empty lakes on the store in question."""

    def make():
        folder = tmp_path / f"lake-{next(_NUMBERS)}"
        folder.mkdir()
        return Lake.local(folder)

    return make
