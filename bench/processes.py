"""CPU time and memory of the processes of a stack, by process and by the kind of thread, read from /proc (Linux)."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")

_THREADS: Final = (
    ("rdk:", "librdkafka"),
    ("polars", "polars pool"),
    ("tokio", "tokio (delta-rs)"),
    ("GC ", "JVM collector"),
    ("G1", "JVM collector"),
    ("C1 ", "JVM compiler"),
    ("C2 ", "JVM compiler"),
)
"""How the operating system's name of a thread begins, and what we call its kind."""


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds of a process since its start, by kind of thread; ended threads count among the others."""

    seconds: float
    threads: dict[str, float]

    def since(self, before: Usage) -> Usage:
        """What was used after `before`."""
        threads = {kind: round(used - before.threads.get(kind, 0.0), 2) for kind, used in self.threads.items()}
        return Usage(
            round(self.seconds - before.seconds, 2), {kind: used for kind, used in threads.items() if used > 0}
        )


def usage(pid: int) -> Usage:
    """What `pid` has used so far. Python's own threads have no names there: they are `other threads`."""
    threads: defaultdict[str, float] = defaultdict(float)
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name, seconds = _stat(task / "stat")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        threads["main thread" if task.name == str(pid) else _kind(name)] += seconds
    whole = _stat(Path(f"/proc/{pid}/stat"))[1]
    threads["other threads"] += max(0.0, whole - sum(threads.values()))
    return Usage(whole, dict(threads))


def peak_bytes(pid: int) -> int:
    """The most memory that `pid` ever had resident, as the kernel remembers it."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise ProcessLookupError(f"Process {pid} has ended.")


def _stat(file: Path) -> tuple[str, float]:
    """Name and CPU seconds (user and system) of a process or thread."""
    text = file.read_text("utf-8", "replace")
    begin, end = text.index("(") + 1, text.rindex(")")
    fields = text[end + 2 :].split()
    return text[begin:end], (int(fields[11]) + int(fields[12])) / _TICKS


def _kind(name: str) -> str:
    return next((kind for start, kind in _THREADS if name.startswith(start)), "other threads")
