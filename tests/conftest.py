"""Fixtures that all tests may use: the real data, and one local stack for the whole run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from biokeel.settings import PROJECT_ROOT
from biokeel.stack.stack import Stack


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real data (read only); tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("BIOKEEL_SHARED_DATA") or PROJECT_ROOT.parent / "shared" / "data")
    if not folder.is_dir() and (worktree := PROJECT_ROOT.parent.parent / "shared" / "data").is_dir():
        folder = worktree
    if not folder.is_dir():
        pytest.skip("the real data are not here: set BIOKEEL_SHARED_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Kafka and the object store with every topic and bucket, but no workers; one for the whole run, so share it kindly.

    A test that kills parts, fills topics that others read, or needs a clean start, starts a stack of its own.
    """
    with Stack.start(tmp_path_factory.mktemp("stack")) as running:
        yield running
