"""Asks Great Expectations about a window of rows, in a process of its own, and takes whatever becomes of that for an
answer: a rule that costs too much, or ends the process, is a rule that was not judged, and nothing else.

Where the process takes more CPU, time or memory than it may, or ends in any other way, its rules are asked again in
halves, down to the single ones: the others are judged.
"""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from biokeel.batch import ENVELOPE
from biokeel.validate.window_child import OUT_OF_MEMORY, SOURCE, Asked, Task, Verdict, encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from biokeel.validate.columns import Columns
    from biokeel.validate.rules import CompiledSuite, Rule

ADDRESS_BYTES: Final = 3 << 29
"""Of virtual memory: Great Expectations with its libraries takes less than 700 MB of it, and holds 300 MB."""
CPU_SECONDS: Final = 120
WALL_SECONDS: Final = 600.0
_NO_CREDENTIALS: Final = {
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
    "GX_ANALYTICS_ENABLED": "false",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""Its whole environment. One thread: it is beside the stream, which needs the others. Arrow's own allocator would take
1 GiB of addresses ahead of time where it may, and leave the libraries too few."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the process may take, in bytes of virtual memory, seconds of CPU and seconds."""

    address_bytes: int = ADDRESS_BYTES
    cpu_seconds: int = CPU_SECONDS
    wall_seconds: float = WALL_SECONDS


LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdicts of the rules that were judged, and why others were not, by their ids."""

    verdicts: tuple[Verdict, ...]
    not_judged: Mapping[str, str]


def columns_of(suite: CompiledSuite, rules: Sequence[Rule]) -> dict[str, pl.DataType]:
    """The stored columns that `rules` read, besides `source_id`."""
    names = sorted(frozenset().union(*(rule.columns for rule in rules)))
    return suite.columns.view(names)[0]


def judge_window(
    suite: CompiledSuite,
    rules: Sequence[Rule],
    text: str,
    frame: pl.DataFrame,
    limits: Limits = LIMITS,
) -> Judged:
    """Ask about `rules` of `suite`, whose JSON is `text`, on the rows of `frame`, as they landed.

    `frame` has `source_id` and `columns_of` the rules.
    """
    written = {str(each["meta"]["rule"]): each for each in json.loads(text)["expectations"]}
    names = sorted(frozenset().union(*(rule.columns for rule in rules)))
    view = frame.select(pl.col("source_id").alias(SOURCE), *suite.columns.view(names)[1])
    asked = [
        Asked(
            expectation=written[rule.id],
            may_show=_may_show(rule.columns, suite.columns),
            by_source=rule.window is not None and rule.window.by_source,
        )
        for rule in rules
    ]
    sink = io.BytesIO()
    view.write_ipc_stream(sink)
    return _in_halves(asked, sink.getvalue(), limits)


def _may_show(names: frozenset[str], columns: Columns) -> bool:
    """Whether what is observed of these columns may be told: fields with the tag NONE, and none of the envelope."""
    inputs = {each for name in names for each in (columns.derived[name].inputs if name in columns.derived else (name,))}
    return not inputs & ENVELOPE.keys()


def _in_halves(asked: Sequence[Asked], data: bytes, limits: Limits) -> Judged:
    found = _ask(asked, data, limits)
    if not isinstance(found, str):
        return Judged(tuple(found), {})
    if len(asked) == 1:
        return Judged((), {str(asked[0]["expectation"]["meta"]["rule"]): found})
    middle = len(asked) // 2
    first, second = (_in_halves(some, data, limits) for some in (asked[:middle], asked[middle:]))
    return Judged(first.verdicts + second.verdicts, {**first.not_judged, **second.not_judged})


def _ask(asked: Sequence[Asked], data: bytes, limits: Limits) -> list[Verdict] | str:
    """The verdicts, or in words why there are none."""
    task = Task(asked=list(asked), address_bytes=limits.address_bytes, cpu_seconds=limits.cpu_seconds)
    try:
        ended = subprocess.run(
            [sys.executable, "-I", "-m", "biokeel.validate.window_child"],
            input=encode(task) + data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # Great Expectations quotes values
            env=_NO_CREDENTIALS,
            timeout=limits.wall_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it took longer than {limits.wall_seconds:.0f} s"
    if ended.returncode in {-signal.SIGXCPU, -signal.SIGKILL}:
        return f"it took more than {limits.cpu_seconds} s of CPU, or somebody ended it"
    if ended.returncode == OUT_OF_MEMORY:
        return f"it took more memory than {limits.address_bytes >> 20} MiB"
    if ended.returncode:
        return f"its process ended with status {ended.returncode}"
    told: list[Any] = json.loads(ended.stdout)
    return told
