"""Waiting until everything that was published has arrived somewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from biokeel.books.balance import Books
    from biokeel.books.bookkeeper import Bookkeeper

_BETWEEN: Final = (0.5, 5.0)
"""Seconds between two looks, at least and at most; in between, as long as a look takes."""


def wait_until_landed(bookkeeper: Bookkeeper, patience: float, seen: Callable[[Books], None]) -> Books:
    """Look again and again until nothing is missing, or until nothing moved for `patience` seconds.

    The watermarks of the first look hold for all of them: what is published later is not waited for, so a source that
    never stops cannot keep this from ending. `seen` is called with each look's books.
    """
    marks = bookkeeper.watermarks()
    books = bookkeeper.look(marks)
    moved = time.monotonic()
    seen(books)
    while books.total("missing") and time.monotonic() - moved < patience:
        time.sleep(min(max(books.seconds, _BETWEEN[0]), _BETWEEN[1], patience))
        later = bookkeeper.look(marks)
        if later.total("missing") != books.total("missing"):
            moved = time.monotonic()
        books = later
        seen(books)
    return books
