"""Where running workers are found: one small file each in `<state_dir>/run/`.

A file is believed only while the process that wrote it lives: its pid must run and must have been created when the
file says, for pids are used again. A worker that was killed leaves its file behind; the next reader removes it.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import orjson
import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - recognised, not chosen
_SAME_CREATION = 1.0
"""Seconds: psutil computes creation from the boot time, which may move a little when the clock is set."""


@dataclass(frozen=True, slots=True, order=True)
class RunFile:
    """A worker process. `created` is its creation in seconds since 1970, `host` and `port` where its server listens."""

    worker: str
    pid: int
    created: float
    port: int
    host: str = "127.0.0.1"

    @property
    def url(self) -> str:
        """Where the worker's HTTP server answers on this machine."""
        return f"http://{'127.0.0.1' if self.host == EVERY_ADDRESS else self.host}:{self.port}"

    def alive(self) -> bool:
        """Whether the very process that wrote the file still runs."""
        try:
            process = psutil.Process(self.pid)
            return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - self.created) < (
                _SAME_CREATION
            )
        except psutil.NoSuchProcess:
            return False


def write_run_file(state_dir: Path, worker: str, port: int, host: str = "127.0.0.1") -> Path:
    """Write this process's run file, whole or not at all, and return its path."""
    pid = os.getpid()
    folder = state_dir / "run"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{worker}-{pid}.json"
    half = path.with_suffix(".tmp")
    half.write_bytes(orjson.dumps(asdict(RunFile(worker, pid, psutil.Process(pid).create_time(), port, host))))
    half.replace(path)
    return path


def running(state_dir: Path) -> list[RunFile]:
    """Every worker that runs, by worker and pid; files of dead ones are removed on the way."""
    return sorted(_living(state_dir))


def _living(state_dir: Path) -> Iterator[RunFile]:
    for path in (state_dir / "run").glob("*.json"):
        try:
            run = RunFile(**orjson.loads(path.read_bytes()))
        except FileNotFoundError:
            continue  # its worker ended between the listing and the reading
        except (orjson.JSONDecodeError, TypeError):
            continue  # not a run file of ours: leave it to whoever wrote it
        if run.alive():
            yield run
        else:
            path.unlink(missing_ok=True)
