"""What is wrong with a SQLite file that a source keeps for itself, told as an error of ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from biokeel.errors import SourceError


@contextmanager
def mapped(unusable: Callable[[Exception], SourceError]) -> Iterator[None]:
    """Raise what `unusable` makes of an error of SQLite's."""
    try:
        yield
    except sqlite3.Error as error:
        raise unusable(error) from None
