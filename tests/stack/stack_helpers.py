"""What several tests of the stack need: a stack in a process of its own, and proof that nothing is left of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from biokeel.books.balance import Books
from biokeel.books.bookkeeper import Bookkeeper


def biokeel(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start the command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "biokeel", *arguments],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until `condition` holds; fail naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def balanced(bookkeeper: Bookkeeper, enough: Callable[[Books], bool], seconds: float = 180) -> Books:
    """The books once they balance and `enough` says so; the last ones seen if that takes too long.

    Each look costs CPU time that the workers need, so there are two a second at most.
    """
    deadline = time.monotonic() + seconds
    while True:
        books = bookkeeper.look()
        if (books.balanced and enough(books)) or time.monotonic() > deadline:
            return books
        time.sleep(0.5)


def processes_of(folder: Path) -> list[psutil.Process]:
    """Every process whose command line names `folder`, as all of a stack's parts do."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        named = any(str(folder) in argument for argument in process.info["cmdline"] or ())
        if named and process.info["status"] != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
            found.append(process)
    return found
