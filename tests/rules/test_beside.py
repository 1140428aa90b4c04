"""The worker beside the stream as a process: it waits for a store that is away, and ends when it is told to."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from biokeel.errors import StoreUnavailable
from biokeel.rules.beside import BesideWorker
from biokeel.settings import PROJECT_ROOT
from tests.rules.beside import World
from tests.rules.lake import between, suite_text
from tests.rules.test_windows import RANGE

PROCESS = """
import subprocess, sys
from pathlib import Path
from concurrent.futures import ThreadPoolExecutor
from biokeel.observe.logs import leave
from biokeel.rules import beside
from biokeel.rules.beside_metrics import BesideMetrics
from tests.rules.beside import World
from tests.rules.lake import suite_text
from tests.rules.test_windows import RANGE, window

def hangs(*_):
    child = subprocess.Popen(["sleep", "600"])
    print(child.pid, flush=True)
    child.wait()

world = World(Path(sys.argv[1]), suite_text(RANGE, window("bp.mean", every="1h")))
worker = world.worker(pool=ThreadPoolExecutor(1), judge=hangs)
worker.turn()
world.land({})
world.ahead = 7200
beside.BesideWorker.of = classmethod(lambda *_: worker)
leave(beside.run_until_signal(None, BesideMetrics()))
"""


def test_who_is_told_to_end_while_a_window_is_judged_ends_and_so_does_the_process_that_judges(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROCESS, str(tmp_path)]
    with subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = psutil.Process(int(process.stdout.readline()))
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        psutil.wait_procs([child], timeout=60)
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_store_that_is_away_is_waited_for_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, suite_text(RANGE, between("bp.low", "info", min_value=1)))
    worker = world.worker()
    stop, waited, told = threading.Event(), [], []

    def turn(self: BesideWorker) -> bool:
        told.append(self.metrics.registry.get_sample_value("biokeel_waiting_seconds", {"worker": "windows"}))
        if len(told) < 4:
            world.ahead += 10
            raise StoreUnavailable("The object store does not answer.")
        stop.set()
        return False

    monkeypatch.setattr(BesideWorker, "turn", turn)
    monkeypatch.setattr(stop, "wait", lambda pause: waited.append(pause) or stop.is_set())
    worker.run(stop)
    assert waited[:5] == [0.0, 5.0, 10.0, 20.0, 15.0]
    assert told[3] is not None
    assert told[3] > told[2] > 0  # type: ignore[operator]
    assert worker.metrics.registry.get_sample_value("biokeel_waiting_seconds", {"worker": "windows"}) == 0
