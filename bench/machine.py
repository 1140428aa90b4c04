"""What the figures were measured on: they mean nothing without it."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

_LIBRARIES = ("faust-streaming", "aiokafka", "confluent-kafka", "polars", "pyarrow", "deltalake", "pyruhvro", "numpy")


@dataclass(frozen=True, slots=True)
class Machine:
    """`load` is the load average over one minute before the benchmark began: above 1 something else was running."""

    taken_at: str
    cores: int
    memory_gib: float
    processor: str
    load: float
    python: str
    libraries: dict[str, str]
    commit: str


def machine() -> Machine:
    """This machine, now."""
    return Machine(
        taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
        cores=len(psutil.Process().cpu_affinity() or ()) or psutil.cpu_count() or 0,
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        processor=_processor(),
        load=round(os.getloadavg()[0], 2),
        python=platform.python_version(),
        libraries={name: version(name) for name in _LIBRARIES},
        commit=_commit(),
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text("utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    command = ("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty")
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"
