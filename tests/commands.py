"""Commands of `biokeel` as a shell would run them, without the second or two in which a process of its own imports."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO
from unittest.mock import patch

from biokeel.cli import main

OWN = ("BIOKEEL_", "PYTEST_")


def environment(**more: str) -> dict[str, str]:
    """Ours without a setting of Biokeel, and `more`."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OWN)} | more


def biokeel(*arguments: str, given: Mapping[str, str], said: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end in this process: its exit status and what it wrote.

    `given` is its whole environment, `said` its input. What C writes is caught, too, and what is logged goes to
    standard error as in a process of its own. What has to die, or to run beside another, needs such a process instead.
    """
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        told.write(said.encode())
        told.seek(0)
        command = ["biokeel", *arguments]
        with (
            patch.dict(os.environ, given, clear=True),
            patch.object(sys, "argv", command),
            patch.object(logging.root, "handlers", []),
            _standing_for({0: told, 1: output, 2: errors}),
        ):
            try:
                main()
            except SystemExit as ended:
                status = int(ended.code or 0)
        return subprocess.CompletedProcess(command, status, _written(output), _written(errors))


@contextmanager
def _standing_for(files: Mapping[int, IO[bytes]]) -> Iterator[None]:
    """Let `files` be standard input, output and error, for Python and for C."""
    kept = {number: os.dup(number) for number in files}
    names = {0: "stdin", 1: "stdout", 2: "stderr"}
    try:
        for number, file in files.items():
            os.dup2(file.fileno(), number)
        streams = {names[number]: os.fdopen(number, "w" if number else "r", closefd=False) for number in files}
        with patch.multiple(sys, **streams):
            yield
            sys.stdout.flush()
            sys.stderr.flush()
    finally:
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)


def _written(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()
