"""Which processes a stack runs, on disk, so that a later command finds them: to stop them, or to clear up a crash.

A pid alone proves nothing, for another program may have it by now: a process is itself only if it was also created at
the recorded time.
"""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from biokeel.errors import StackError

SAME_TIME_SECONDS = 2.0
"""The kernel counts from boot, and the clock may be set meanwhile by an NTP step; pids do not come round that fast."""
END_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Running:
    """A process: its pid, and when it was created (Unix seconds)."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> Running:
        """The process that has `pid` now; one that ended meanwhile has the present as its time of creation."""
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return cls(pid, time.time())

    @staticmethod
    def age(created: float) -> float:
        """Seconds since `created`."""
        return time.time() - created

    def find(self) -> psutil.Process | None:
        """The process, if it still runs and is the same one."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < SAME_TIME_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


class Ledger:
    """The processes of one stack, in one small file that is replaced atomically on each change."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()

    def read(self) -> dict[str, Running]:
        """What the file says ran; nothing where there is no file. Raises `StackError` where it makes no sense."""
        try:
            entries = json.loads(self._file.read_text("utf-8"))
            return {name: Running(**entry) for name, entry in entries.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise StackError(
                f"The list of running processes, {self._file}, cannot be read ({type(error).__name__}).",
                "See that no java or biokeel process of this stack runs, then delete the file.",
            ) from error

    def add(self, name: str, running: Running) -> None:
        """Record a process."""
        with self._lock:
            self._write(self.read() | {name: running})

    def remove(self, name: str) -> None:
        """Forget a process."""
        with self._lock:
            self._write({key: value for key, value in self.read().items() if key != name})

    def clear(self) -> None:
        """Forget every process."""
        self._file.unlink(missing_ok=True)

    def _write(self, entries: dict[str, Running]) -> None:
        temporary = self._file.with_suffix(f".{os.getpid()}.tmp")
        try:
            temporary.write_text(json.dumps({name: asdict(entry) for name, entry in entries.items()}), "utf-8")
            temporary.replace(self._file)
        except OSError as error:
            raise StackError(
                f"The list of running processes, {self._file}, cannot be written ({error.strerror}).",
                "Is the disk full?",
            ) from error

    def end_leftovers(self) -> list[str]:
        """End every recorded process that still runs, and forget them all; returns their names.

        Only for one who holds the stack's lock: nobody else's processes may be in the file.
        """
        leftovers = {name: process for name, running in self.read().items() if (process := running.find())}
        for process in leftovers.values():
            process.terminate()
        _, stubborn = psutil.wait_procs(list(leftovers.values()), timeout=END_SECONDS)
        for process in stubborn:
            process.kill()
        psutil.wait_procs(stubborn, timeout=END_SECONDS)
        self.clear()
        return sorted(leftovers)
