"""Starting, watching and ending processes, with small real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from biokeel.errors import ProcessDied, StackError
from biokeel.stack import supervisor as module
from biokeel.stack.processes import Ledger, Running
from biokeel.stack.supervisor import Program, Supervisor
from tests.stack.stack_helpers import until

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)",
)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "processes.json")


@pytest.fixture
def supervisor(tmp_path: Path, ledger: Ledger, said: list[str]) -> Iterator[Supervisor]:
    running = Supervisor(tmp_path, ledger, said.append)
    yield running
    running.close()


def program(name: str, command: tuple[str, ...] = SLEEP, **options: bool) -> Program:
    return Program(name, command, {"PATH": os.environ["PATH"]}, **options)


def test_what_runs_is_in_the_ledger_and_what_ended_is_not(supervisor: Supervisor, ledger: Ledger) -> None:
    supervisor.start(program("one"))
    pid = supervisor.pid("one")
    assert ledger.read()["one"].find() == psutil.Process(pid)
    supervisor.kill("one")
    assert supervisor.pid("one") is None
    assert not psutil.pid_exists(pid)
    assert ledger.read() == {}


def test_a_part_that_ends_by_itself_is_an_error_that_names_it_and_its_log(supervisor: Supervisor) -> None:
    supervisor.start(program("kafka", (sys.executable, "-c", "raise SystemExit(3)")))
    with pytest.raises(ProcessDied, match=r"kafka ended by itself with status 3.*kafka\.log"):
        supervisor.wait(threading.Event())


def test_a_part_that_ends_while_it_starts_is_told_with_its_own_last_complaint_not_that_of_an_earlier_life(
    supervisor: Supervisor,
) -> None:
    said = "print('java.net.BindException: Address already in use'); print('an idle word')"
    supervisor.start(program("kafka", (sys.executable, "-c", said)))
    assert supervisor.ended_within("kafka", 10)
    assert "ended while it started: java.net.BindException: Address already in use Its log" in str(
        supervisor.ended_early("kafka")
    )
    supervisor.start(program("kafka", (sys.executable, "-c", "print('an idle word')")))
    assert supervisor.ended_within("kafka", 10)
    assert "ended while it started. Its log: " in str(supervisor.ended_early("kafka"))


def test_a_part_that_was_killed_from_outside_is_an_error_that_names_the_signal(supervisor: Supervisor) -> None:
    supervisor.start(program("kafka"))
    os.kill(supervisor.pid("kafka"), signal.SIGKILL)
    with pytest.raises(ProcessDied, match="kafka was ended by SIGKILL"):
        supervisor.wait(threading.Event())


def test_a_part_that_was_killed_on_purpose_is_no_error_and_stays_ended(supervisor: Supervisor) -> None:
    supervisor.start(program("kafka"))
    supervisor.kill("kafka")
    supervisor.check()
    assert supervisor.pid("kafka") is None
    supervisor.restart("kafka")
    assert supervisor.pid("kafka") is not None


def test_a_worker_that_ends_by_itself_comes_back(supervisor: Supervisor, said: list[str]) -> None:
    supervisor.start(program("worker", comes_back=True))
    first = supervisor.pid("worker")
    os.kill(first, signal.SIGKILL)
    until(lambda: supervisor.pid("worker") not in (None, first), 10, "the worker is back")
    supervisor.check()
    assert "comes back in 0.5 s" in said[0]


def test_a_worker_that_keeps_ending_is_given_longer_and_longer_pauses(supervisor: Supervisor, said: list[str]) -> None:
    supervisor.start(program("worker", (sys.executable, "-c", "raise SystemExit(1)"), comes_back=True))
    until(lambda: len(said) >= 3, 10, "three pauses")
    assert ["0.5 s" in said[0], "1 s" in said[1], "2 s" in said[2]] == [True, True, True]


def test_a_worker_that_never_holds_is_never_given_up_and_the_longest_pause_stays(
    supervisor: Supervisor, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACKOFF_SECONDS", (0.01, 0.02))
    supervisor.start(program("worker", (sys.executable, "-S", "-c", "raise SystemExit(1)"), comes_back=True))
    until(lambda: len(said) >= 5, 20, "five deaths")
    assert "0.01 s" in said[0]
    assert all("0.02 s" in each for each in said[1:5])


def test_a_worker_that_ran_well_for_long_begins_with_the_shortest_pause_again(
    supervisor: Supervisor, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACKOFF_SECONDS", (0.01, 0.02, 60.0))
    monkeypatch.setattr(module, "STEADY_SECONDS", 0.0)
    supervisor.start(program("worker", (sys.executable, "-S", "-c", "raise SystemExit(1)"), comes_back=True))
    until(lambda: len(said) >= 4, 20, "four deaths")
    assert all("0.01 s" in each for each in said[:4])


def test_a_worker_that_cannot_even_be_started_anew_is_tried_again_until_it_can(
    supervisor: Supervisor, said: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The folder of the logs is away for a while: so would be a full disk, or too many processes."""
    monkeypatch.setattr(module, "BACKOFF_SECONDS", (0.05, 0.1))
    supervisor.start(program("worker", comes_back=True))
    first = supervisor.pid("worker")
    aside = tmp_path.with_name(f"{tmp_path.name}-aside")
    tmp_path.rename(aside)
    os.kill(first, signal.SIGKILL)
    until(lambda: sum("could not be started" in each for each in said) >= 2, 20, "it was tried twice")
    assert any("cannot be written" in each for each in said), "the ledger's folder is away, too"
    aside.rename(tmp_path)
    until(lambda: supervisor.pid("worker") not in (None, first), 20, "the worker is back")


def test_a_worker_that_was_stopped_during_its_pause_stays_stopped(supervisor: Supervisor, said: list[str]) -> None:
    supervisor.start(program("worker", (sys.executable, "-c", "raise SystemExit(1)"), comes_back=True))
    until(lambda: len(said) == 2, 10, "the second pause, of a second")
    supervisor.stop("worker")
    assert not threading.Event().wait(1.5)
    assert len(said) == 2


def test_a_process_that_ignores_the_request_to_end_is_killed(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biokeel.stack.supervisor.STOP_SECONDS", 0.5)
    supervisor.start(program("deaf", STUBBORN))
    until(lambda: "deaf" in supervisor.log("deaf").read_text(), 10, "it ignores SIGTERM")
    supervisor.stop("deaf")
    assert supervisor.pid("deaf") is None


def test_a_name_is_given_once(supervisor: Supervisor) -> None:
    supervisor.start(program("one"))
    with pytest.raises(StackError, match="runs already"):
        supervisor.start(program("one"))


def test_an_unknown_name_is_answered_with_the_names_there_are(supervisor: Supervisor) -> None:
    supervisor.start(program("one"))
    with pytest.raises(StackError, match=r"no process two.*There are: one"):
        supervisor.kill("two")


def test_a_leftover_is_ended_and_named(ledger: Ledger) -> None:
    left = subprocess.Popen(SLEEP)
    ledger.add("kafka", Running.of(left.pid))
    assert ledger.end_leftovers() == ["kafka"]
    assert not psutil.pid_exists(left.pid)
    assert ledger.read() == {}


def test_a_process_that_only_has_the_pid_of_a_leftover_is_let_be(ledger: Ledger) -> None:
    other = subprocess.Popen(SLEEP)
    ledger.add("kafka", Running(other.pid, created=psutil.Process(other.pid).create_time() - 3600))
    assert ledger.end_leftovers() == []
    assert other.poll() is None
    other.kill()
    other.wait()


def test_a_damaged_ledger_is_one_sentence_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "processes.json"
    file.write_text('{"kafka": 3}')
    with pytest.raises(StackError, match=r"cannot be read.*delete the file"):
        Ledger(file).read()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_process_ends_with_its_parent_even_when_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, time\n"
        "from biokeel.stack.processes import Ledger\n"
        "from biokeel.stack.supervisor import Program, Supervisor\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "supervisor = Supervisor(folder, Ledger(folder / 'processes.json'), print)\n"
        f"supervisor.start(Program('one', {SLEEP!r}, {{}}))\n"
        "print(supervisor.pid('one'), flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    until(lambda: child.cmdline()[-1] == SLEEP[-1], 10, "it has become the program")
    parent.kill()
    parent.wait()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 5, "it ended with its parent")
