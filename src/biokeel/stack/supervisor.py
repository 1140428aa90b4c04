"""Starts, watches and ends the processes of a stack.

Every process is started through `launch.py`, so that the kernel ends it when this process ends, however that happens.
The kernel means the *thread* that started it, so one thread, which lives as long as the supervisor, starts them all.
A thread waits for each process: a worker that ends by itself comes back after a back-off, a broker or a store that
ends by itself is an error, which `check` and `wait` raise.

What runs is written into a ledger file, with the time of creation (a pid alone may be another program's by now).
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from biokeel.errors import ProcessDied, StackError
from biokeel.stack.processes import Ledger, Running

LAUNCH = Path(__file__).with_name("launch.py")
BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses before a worker that ended by itself comes back; the last one repeats."""
STEADY_SECONDS = 60.0
"""A worker that ran this long starts at the first pause again."""
STOP_SECONDS = 20.0
"""How long a process may take to end after SIGTERM before it is killed."""
COMPLAINT = re.compile(r"\b(?:ERROR|FATAL|error)\b|Exception|Error:")
"""How Java and Python write of an error in a log."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: a name that is unique in its stack, the command, its environment, and whether it comes back."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    comes_back: bool = False


@dataclass(slots=True)
class _Child:
    program: Program
    process: subprocess.Popen[bytes]
    started: float
    log_from: int
    """Where its own lines begin in the log, which holds those of earlier lives too."""
    ended: threading.Event = field(default_factory=threading.Event)
    wanted: bool = True
    failures: int = 0


class Supervisor:
    """The processes of one stack. Safe to call from several threads."""

    def __init__(self, logs: Path, ledger: Ledger, say: Callable[[str], None]) -> None:
        self._logs = logs
        self._ledger = ledger
        self._say = say
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._children: dict[str, _Child] = {}
        self._closing = threading.Event()
        self._died: ProcessDied | None = None
        self._starter = ThreadPoolExecutor(1, "stack-starter")

    def start(self, program: Program) -> None:
        """Start a program. Raises `StackError` where one of that name runs already or the command cannot be run."""
        with self._lock:
            if program.name in self._children and not self._children[program.name].ended.is_set():
                raise StackError(f"The process {program.name} runs already.", "Stop it first.")
            self._spawn(program, failures=0)

    def _spawn(self, program: Program, failures: int) -> None:
        log = self.log(program.name)
        log_from = log.stat().st_size if log.is_file() else 0
        process = self._starter.submit(self._popen, program).result()
        running = Running.of(process.pid)
        child = _Child(program, process, running.created, log_from, failures=failures)
        self._children[program.name] = child
        self._note(lambda: self._ledger.add(program.name, running))
        threading.Thread(target=self._watch, args=(child,), name=f"stack-watch-{program.name}", daemon=True).start()

    def _popen(self, program: Program) -> subprocess.Popen[bytes]:
        launch = (sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()))
        try:
            with (self._logs / f"{program.name}.log").open("ab") as log:
                return subprocess.Popen(  # noqa: S603 - our own commands
                    (*launch, *program.command),
                    env=dict(program.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is ours to hear; we end the others in order
                )
        except OSError as error:
            raise StackError(f"The process {program.name} could not be started ({error.strerror}).") from error

    def _watch(self, child: _Child) -> None:
        code = child.process.wait()
        name = child.program.name
        with self._changed:
            self._note(lambda: self._ledger.remove(name))
            child.ended.set()
            self._changed.notify_all()
            if not child.wanted or self._closing.is_set():
                return
            if not child.program.comes_back:
                self._died = self._obituary(name, code)
                return
            failures = 1 if Running.age(child.started) > STEADY_SECONDS else child.failures + 1
        died = self._obituary(name, code)
        self._say(f"{died.what} It comes back in {_pause(failures):g} s. {died.todo}")
        self._bring_back(child, failures)

    def _bring_back(self, child: _Child, failures: int) -> None:
        """Start a program anew after its pause, and again where even that fails: it is never given up."""
        while not self._closing.wait(_pause(failures)):
            with self._lock:
                # Somebody may have stopped or restarted it by name during the pause.
                if not child.wanted or self._children.get(child.program.name) is not child or self._closing.is_set():
                    return
                try:
                    self._spawn(child.program, failures)
                except StackError as error:
                    failures += 1
                    self._say(f"{error} It is tried again in {_pause(failures):g} s.")
                else:
                    return

    def _note(self, write: Callable[[], None]) -> None:
        """Change the ledger. Where that cannot be written the processes are looked after all the same."""
        try:
            write()
        except StackError as error:
            self._say(str(error))

    def _obituary(self, name: str, code: int) -> ProcessDied:
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended by itself with status {code}"
        return ProcessDied(f"The process {name} {how}.", f"Its log says why: {self.log(name)}")

    def log(self, name: str) -> Path:
        """The file that a process's output goes to."""
        return self._logs / f"{name}.log"

    def complaint(self, name: str) -> str:
        """The last line that a process wrote of an error since it was started; empty where there is none."""
        own = self.log(name).read_bytes()[self._child(name).log_from :]
        lines = own.decode("utf-8", "replace").splitlines()
        return next((line.strip() for line in reversed(lines) if COMPLAINT.search(line)), "")

    def ended_early(self, name: str) -> ProcessDied:
        """What to raise where a process ended before it was ready."""
        complaint = self.complaint(name)
        return ProcessDied(
            f"The process {name} ended while it started" + (f": {complaint}" if complaint else "."),
            f"Its log: {self.log(name)}",
        )

    def names(self) -> list[str]:
        """The processes that were started, in that order."""
        with self._lock:
            return list(self._children)

    def pid(self, name: str) -> int | None:
        """The pid of a process that runs, else None. Raises `StackError` where there never was one of that name."""
        child = self._child(name)
        return None if child.ended.is_set() else child.process.pid

    def _child(self, name: str) -> _Child:
        with self._lock:
            if name not in self._children:
                raise StackError(f"There is no process {name}.", f"There are: {', '.join(self._children) or 'none'}.")
            return self._children[name]

    def kill(self, name: str) -> None:
        """End a process as a crash would (SIGKILL), and leave it ended until `restart`."""
        self._end(name, signal.SIGKILL)

    def stop(self, name: str) -> None:
        """End a process in order (SIGTERM, then SIGKILL after `STOP_SECONDS`); nothing where it has ended."""
        self._end(name, signal.SIGTERM)

    def _end(self, name: str, with_signal: signal.Signals) -> None:
        child = self._child(name)
        with self._lock:
            child.wanted = False
            if not child.ended.is_set():
                _signal_group(child.process.pid, with_signal)
        if not child.ended.wait(STOP_SECONDS):
            self._say(f"The process {name} did not end within {STOP_SECONDS:g} s of being asked; killing it.")
            _signal_group(child.process.pid, signal.SIGKILL)
            child.ended.wait()

    def restart(self, name: str) -> None:
        """Stop a process if it runs, then start it anew."""
        child = self._child(name)
        self.stop(name)
        with self._lock:
            self._died = None
            self._spawn(child.program, failures=0)

    def ended_within(self, name: str, seconds: float) -> bool:
        """Wait for a process to end, `seconds` at most; whether it has ended."""
        return self._child(name).ended.wait(seconds)

    def check(self) -> None:
        """Raise `ProcessDied` if a process that must not end has ended by itself."""
        if self._died is not None:
            raise self._died

    def wait(self, until: threading.Event) -> None:
        """Block until `until` is set; raises `ProcessDied` as soon as a process that must not end has."""
        while not until.is_set():
            self.check()
            with self._changed:
                self._changed.wait(0.2)

    def close(self) -> None:
        """End every process, the last started first, and forget them. May be called twice."""
        self._closing.set()
        for name in reversed(self.names()):
            self.stop(name)
        self._starter.shutdown()


def _pause(failures: int) -> float:
    return BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS)) - 1]


def _signal_group(pid: int, with_signal: signal.Signals) -> None:
    """Signal a process and what it started; each of ours leads a process group."""
    try:
        os.killpg(pid, with_signal)
    except ProcessLookupError:
        return  # it has just ended; its watcher says so
