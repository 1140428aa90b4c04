"""What `biokeel stack up`, `down` and `status` do."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import psutil
from rich.table import Table
from rich.text import Text

from biokeel.errors import ProcessDied, StackError
from biokeel.observe.screen import Screen
from biokeel.stack.stack import READY_FILE, SUPERVISOR, Stack, hold, ledger_of, require_room, state_file
from biokeel.stack.state import State, load_or_create

DETACH_SECONDS = 300.0
"""How long a detached start may take: the first one on a slow line fetches 100 MB."""
DOWN_SECONDS = 60.0
_out = Screen(stderr=True, highlight=False)


def up(state_dir: Path, *, workers: int, console: bool, detach: bool, describe: bool = True) -> None:
    """Start a stack and stay with it until Ctrl-C, SIGTERM or `down`; with `detach`, leave it to a process of its own.

    `describe`: say where everything is; what opens the console is among it, so not into a log.

    Raises `StackError` where it cannot start, and `ProcessDied` when Kafka or the object store ends by itself.
    """
    if detach:
        _detached(state_dir, workers, console)
        return
    with _Ear() as ear:
        _say(f"Starting the stack in {state_dir.resolve()} …")
        began = time.monotonic()
        with Stack.start(state_dir, workers=workers, console=console, say=_say) as stack:
            ear.raises = False
            _say(f"Up in {time.monotonic() - began:.1f} s.")
            if describe:
                _describe(stack.state_dir, stack.state, console=console)
                _say("Ctrl-C stops it; the data stay.")
            ready = stack.state_dir / "stack" / READY_FILE
            ready.touch()
            try:
                stack.supervisor.wait(ear.heard)
            finally:
                ready.unlink(missing_ok=True)
                _out.print("Stopping …")
    _out.print("Stopped.")


def _describe(folder: Path, state: State, *, console: bool) -> None:
    if console:
        _say(f"  Console   {state.console_address}")
    _say(f"  Settings  {folder}/vault.env, research.env, operator.env, admin.env, sources/<id>.env")
    _say(f"  Logs      {folder}/logs")
    here = "" if folder == Path(".biokeel").resolve() else f"export BIOKEEL_STATE_DIR={shlex.quote(str(folder))}; "
    _say(f"  Next      {here}biokeel demo-data --out demo && biokeel publish demo/files --source-id demo")
    _say("            biokeel status --watch; biokeel verify --wait 60; biokeel lake tables")


def _say(text: str) -> None:
    """Print a line whole: a path that is broken in two cannot be copied."""
    _out.print(text, soft_wrap=True)


class _Ear:
    """Hears Ctrl-C, SIGTERM and SIGHUP: the first breaks off a start, or later ends the wait; more change nothing."""

    def __init__(self) -> None:
        self.heard = threading.Event()
        self.raises = True
        self._before: dict[signal.Signals, Any] = {}

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        first = not self.heard.is_set()
        self.heard.set()
        if first and self.raises:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self._before = {number: signal.signal(number, self._hear) for number in signals}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _detached(state_dir: Path, workers: int, console: bool) -> None:
    folder = state_dir.resolve()
    require_room(folder)
    ready, log = folder / "stack" / READY_FILE, folder / "logs" / "stack.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    running = ledger_of(folder).read().get(SUPERVISOR)
    if running and running.find():
        raise StackError(f"A stack runs in {folder} already.", "Stop it first: biokeel stack down.")
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "biokeel", "stack", "up", "--state-dir", str(folder), "--workers", str(workers)]
    command += ["--console" if console else "--no-console", "--no-describe"]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    deadline = time.monotonic() + DETACH_SECONDS
    with _out.status("Starting the stack …"):
        while not ready.exists():
            if process.poll() is not None:
                last = log.read_text("utf-8", "replace").strip().splitlines()[-1:]
                raise StackError("".join(last).removeprefix("biokeel: ") or f"The stack did not start; see {log}.")
            if time.monotonic() > deadline:
                process.terminate()
                raise StackError(f"The stack did not start within {DETACH_SECONDS:g} s.", f"See {log}.")
            time.sleep(0.05)
    told = log.read_text("utf-8", "replace").splitlines()
    _say("\n".join(line for line in told if not line.startswith("Starting")))  # said here already
    _describe(folder, load_or_create(state_file(folder)), console=console)
    _say(f"It runs in process {process.pid} until biokeel stack down; the data stay.")


def down(state_dir: Path) -> None:
    """Stop the stack that runs in `state_dir`, and whatever a crashed one left running there."""
    folder = state_dir.resolve()
    ledger = ledger_of(folder)
    running = ledger.read().get(SUPERVISOR)
    process = running.find() if running else None
    if process is not None and process.pid != os.getpid():
        process.terminate()
        try:
            process.wait(DOWN_SECONDS)
        except psutil.TimeoutExpired as error:
            raise StackError(
                f"The stack (process {process.pid}) did not stop within {DOWN_SECONDS:g} s.",
                f"See {folder / 'logs'}; kill that process, and the others end with it.",
            ) from error
        _out.print("Stopped.")
    leftovers = []
    if ledger.read():
        with hold(folder):
            leftovers = ledger.end_leftovers()
    if leftovers:
        _out.print(f"Ended what a crashed stack had left running: {', '.join(leftovers)}.")
    elif process is None:
        _out.print(f"No stack runs in {folder}.")


def status(state_dir: Path) -> None:
    """Show each process of the stack. Raises `ProcessDied` (so that scripts see it) where no stack runs."""
    folder = state_dir.resolve()
    found = {name: running.find() for name, running in ledger_of(folder).read().items()}
    if not any(found.values()):
        raise ProcessDied(f"No stack runs in {folder}.", "Start it: biokeel stack up.")
    table = Table("process", "pid", "state", "memory", "up", "log")
    for name, process in found.items():
        table.add_row(name, *_facts(process), f"{name}.log")
    out = Screen()
    out.print(table)
    if found.get("console"):
        out.print(f"Console: {load_or_create(state_file(folder)).console_address}", soft_wrap=True, highlight=False)
    out.print(f"Logs: {folder}/logs; settings: {folder}/*.env", soft_wrap=True, highlight=False)


def _facts(process: psutil.Process | None) -> tuple[str | Text, ...]:
    if process is None:
        return "", Text("gone", "red"), "", ""
    try:
        memory, seconds = process.memory_info().rss >> 20, int(time.time() - process.create_time())
    except psutil.NoSuchProcess:
        return str(process.pid), Text("gone", "red"), "", ""
    return str(process.pid), Text("runs", "green"), f"{memory} MiB", f"{seconds // 60} min {seconds % 60} s"
