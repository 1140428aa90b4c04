"""Whether a worker is well: what /health answers."""

from __future__ import annotations

import os
from dataclasses import dataclass

import orjson


@dataclass(frozen=True, slots=True)
class Health:
    """One answer of /health. `silent_seconds` is the time since the worker's main loop last turned."""

    worker: str
    pid: int
    silent_seconds: float
    stuck_after: float

    @property
    def well(self) -> bool:
        """Whether the main loop turned lately enough."""
        return self.silent_seconds < self.stuck_after

    @property
    def status(self) -> str:
        """The HTTP status line: 200 or 503, so that a supervisor or Kubernetes needs no JSON."""
        return "200 OK" if self.well else "503 Service Unavailable"

    def body(self) -> bytes:
        """The answer as JSON."""
        return orjson.dumps(
            {
                "status": "ok" if self.well else "stuck",
                "worker": self.worker,
                "pid": self.pid,
                "silent_seconds": round(self.silent_seconds, 3),
                "stuck_after_seconds": self.stuck_after,
            }
        )


def health_of(worker: str, silent_seconds: float, stuck_after: float) -> Health:
    """The health of this process."""
    return Health(worker, os.getpid(), silent_seconds, stuck_after)
