"""What a run says of its files to programs: one JSON object, with every place, in bounded memory.

| key | what it holds |
| --- | --- |
| `source_id`, `dry_run` | whose files, and whether anything was sent |
| `status` | the exit status (`biokeel.source.files.Status`) |
| `events` | by event type, how many were sent; where the run was stopped, how many Kafka has acknowledged |
| `stopped` | null, or why the run ended early: `what`, `todo`; `unanswered`, by event type, may have arrived |
| `files` | each `file`: its `format`, `events`, `failure` (null: none), number of `problems`, `left_out` by reason |
| `problems` | `file`, `place`, `reason` of each part that should have become an event, or a field of one, and did not |
| `left_out` | `file`, `place` and `what` of each part that is well formed and no event of ours |
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from biokeel.errors import SourceError
from biokeel.source.adapters.base import Told
from biokeel.source.client import Handed
from biokeel.source.files import FileResult, Status, status_of, summary

_HELD_BYTES: Final = 8 << 20
"""Places beyond this lie in a temporary file."""
_WORDS: Final = {"problems": "reason", "left_out": "what"}


@dataclass(frozen=True, slots=True)
class Stopped:
    """`error` has ended the run; `handed` is what Kafka was given until then."""

    error: SourceError
    handed: Handed

    def told(self) -> dict[str, object]:
        """As a program is told."""
        return {"what": self.error.what, "todo": self.error.todo, "unanswered": dict(self.handed.unanswered)}


def cut_short(results: Sequence[FileResult], done: Collection[Path], files: Sequence[Path]) -> list[FileResult]:
    """What became of each of `files` in a run that ended early: `results` are those that were begun, some are `done`.

    Of a file that was begun and not done some events may have been sent.
    """
    for result in results:
        if result.path not in done and not result.failure:
            result.failure = f"{result.path.name} was not sent to its end: the run was stopped."
    begun = {result.path for result in results}
    rest = [FileResult(path, failure=f"{path.name} was not read: the run was stopped.") for path in files]
    return [*results, *(each for each in rest if each.path not in begun)]


class Places:
    """Every problem and everything left out of a run, gathered while its files are read.

    What is gathered is gone with the process; run it again.
    """

    def __init__(self) -> None:
        self._lines = {kind: tempfile.SpooledTemporaryFile(_HELD_BYTES, "w+", encoding="utf-8") for kind in _WORDS}  # noqa: SIM115 - closed with this object

    def of(self, path: Path) -> Told:
        """What hears of the parts of one file."""
        name = str(path)

        def told(kind: Literal["problems", "left_out"], position: str, what: str) -> None:
            self._lines[kind].write(json.dumps({"file": name, "place": position, _WORDS[kind]: what}) + "\n")

        return told

    def lines(
        self, source_id: str, results: Sequence[FileResult], *, dry_run: bool, stopped: Stopped | None = None
    ) -> Iterator[str]:
        """The lines of the object, once all files are read, or no further can be (`stopped`)."""
        head = {
            "source_id": source_id,
            "dry_run": dry_run,
            "status": int(Status.FILE_FAILED if stopped else status_of(results)),
            "events": dict(stopped.handed.acknowledged if stopped else summary(results)),
            "stopped": stopped and stopped.told(),
        }
        yield json.dumps(head)[:-1] + ","
        yield from _array("files", (json.dumps(_file(result)) for result in results))
        yield ","
        yield from _array("problems", self._written("problems"))
        yield ","
        yield from _array("left_out", self._written("left_out"))
        yield "}"

    def _written(self, kind: str) -> Iterator[str]:
        self._lines[kind].seek(0)
        for line in self._lines[kind]:
            yield line.rstrip("\n")


def _array(name: str, elements: Iterator[str]) -> Iterator[str]:
    yield f'"{name}": ['
    last = next(elements, None)
    for element in elements:
        yield f"{last},"
        last = element
    if last is not None:
        yield last
    yield "]"


def _file(result: FileResult) -> dict[str, object]:
    return {
        "file": str(result.path),
        "format": result.format or None,
        "events": dict(result.sent),
        "failure": result.failure or None,
        "problems": result.unused,
        "left_out": dict(result.report.left_out),
    }
