"""What a run says of its files to programs: one JSON object, with every place, in bounded memory.

| key | what it holds |
| --- | --- |
| `source_id`, `dry_run` | whose files, and whether anything was sent |
| `status` | the exit status (`biokeel.source.files.Status`) |
| `events` | by event type, how many were sent |
| `files` | each `file`: its `format`, `events`, `failure` (null: none), number of `problems`, `left_out` by reason |
| `problems` | `file`, `place`, `reason` of each part that should have become an event, or a field of one, and did not |
| `left_out` | `file`, `place` and `what` of each part that is well formed and no event of ours |
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

from biokeel.source.adapters.base import Told
from biokeel.source.files import FileResult, status_of, summary

_HELD_BYTES: Final = 8 << 20
"""Places beyond this lie in a temporary file."""
_WORDS: Final = {"problems": "reason", "left_out": "what"}


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

    def lines(self, source_id: str, results: Sequence[FileResult], *, dry_run: bool) -> Iterator[str]:
        """The lines of the object, once all files are read."""
        head = {
            "source_id": source_id,
            "dry_run": dry_run,
            "status": int(status_of(results)),
            "events": dict(summary(results)),
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
