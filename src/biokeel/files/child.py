"""Runs `biokeel.files.rewrite` on one file, and takes whatever becomes of that process for an answer.

| the process | means |
| --- | --- |
| answers | what it says |
| takes its CPU or wall time, or writes more than it may | the file costs too much |
| ends by a fault in C (SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL) | htslib cannot read the file |
| ends in any other way | nothing about the file: somebody ended it, a disk is full, a release is broken |
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from biokeel.errors import EngineError
from biokeel.files.rewrite import Task, encode
from biokeel.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

ADDRESS_BYTES: Final = 384 << 20
"""Of virtual memory; Python with htslib takes 90 MB of it, and holds 50 MB."""
LEAST_SECONDS: Final = 60
SECONDS_A_MEBIBYTE: Final = 3
"""Of CPU: some fifteen times what a usual file takes, which is 4 s for 18 MB with a million records."""
_FAULTS: Final = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL})


@dataclass(frozen=True, slots=True)
class Claimed:
    """What an event says of its file."""

    file_format: str
    build: str
    samples: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Claimed({self.file_format}, {self.build}, {len(self.samples)} samples)"


@dataclass(frozen=True, slots=True)
class Answer:
    """`reason` is null for a good file; `what` says which rule a refused one breaks, without a value."""

    reason: Reason | None
    what: str = ""
    records: int = 0


def run(source: BinaryIO, target: BinaryIO, size: int, claimed: Claimed, names: Sequence[str]) -> Answer:
    """Check `source`, of `size` bytes, against what is `claimed`; write it anew to `target`, with `names` as samples.

    Raises `EngineError` where the process ends for a reason that is not the file's; what `target` holds then is
    nothing.
    """
    seconds = LEAST_SECONDS + SECONDS_A_MEBIBYTE * (size >> 20)
    task = Task(
        source=source.fileno(),
        target=target.fileno(),
        file_format=claimed.file_format,
        build=claimed.build,
        samples=list(claimed.samples),
        names=list(names),
        address_bytes=ADDRESS_BYTES,
        cpu_seconds=seconds,
        target_bytes=(64 << 20) + 4 * size,
    )
    command = [sys.executable, "-I", "-m", "biokeel.files.rewrite"]
    try:
        ended = subprocess.run(  # noqa: S603 - our own module
            command,
            input=encode(task),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # htslib quotes what it stumbles over
            pass_fds=(task.source, task.target),
            env={"LC_ALL": "C.UTF-8"},  # no credentials
            timeout=4 * seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(Reason.FILE_COSTLY, "The file takes more time than it may.")
    if ended.returncode == -signal.SIGXCPU:
        return Answer(Reason.FILE_COSTLY, "The file takes more CPU time than it may.")
    if -ended.returncode in _FAULTS:
        return Answer(Reason.FILE_NOT_A_VCF, "htslib fails on the file.")
    if ended.returncode:
        raise EngineError(f"The process that reads a genome file ended with status {ended.returncode}.", "Try again.")
    told: dict[str, Any] = json.loads(ended.stdout)
    if reason := told.get("reason"):
        return Answer(Reason(reason), told["what"])
    return Answer(None, records=int(told["records"]))
