"""How the bytes of a file become documents: JSON objects, one in a file, in an array, or one a line (NDJSON).

Compression and encodings: `unpacking`. What is JSON: `strict_json`. A record of an array or of lines that is no JSON
object costs itself and is a problem with its place; a single document, or an array, that is no JSON is refused whole.
Lines stream, and so does an array beyond `WHOLE_BYTES`; one object is held whole, since its keys may come in any order.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TextIO

import ijson
import orjson

from biokeel.errors import AdapterError
from biokeel.source.adapters.strict_json import (
    TOO_DEEP,
    BadJson,
    Twin,
    loads,
    loads_but_twins,
    may_hold_twins,
    shown,
    twins,
)
from biokeel.source.adapters.unpacking import first_bytes, open_utf8

if TYPE_CHECKING:
    from biokeel.source.adapters.base import Report

WHOLE_BYTES: Final = 32 << 20
"""An array up to this size is parsed at once, some four times faster than in a stream."""
MOST_BYTES: Final = 256 << 20
"""The largest single object, or line, that is read: it takes some eight times as much memory."""
HEAD_BYTES: Final = 64 << 10
_SAMPLES: Final = 50
"""Documents at a file's beginning that tell what it is: the first may be broken."""
_LINES_OF_JSON: Final = frozenset({".ndjson", ".jsonl"})
_ONE_DOCUMENT: Final = "the document"
_NO_OBJECT: Final = "no JSON object"
_ARRAY: Final = re.compile(rb'\[\s*(?:[\[\]{"0-9-]|(?:null|true|false)\b)')
"""How an array begins; a sample sheet begins with `[Header]`."""
_TOO_LONG: Final = f"it is longer than {MOST_BYTES >> 20} MiB"


class Shape(Enum):
    """How the documents stand in a file."""

    OBJECT = "one JSON object"
    ARRAY = "a JSON array"
    LINES = "a JSON object a line"
    OTHER = "no JSON"


@dataclass(frozen=True)
class Peek:
    """The beginning of a file: its shape, its first bytes as UTF-8, and the first documents that can be read.

    `samples` of an array are its first elements that are objects; they are not to be changed.
    """

    name: str
    shape: Shape
    head: bytes
    samples: list[dict[str, Any]]

    @cached_property
    def text(self) -> str:
        """The first characters, without white space before them."""
        return self.head.decode("utf-8", "ignore").lstrip()

    @cached_property
    def columns(self) -> list[str]:
        """The cells of the first line, parted by whichever of comma, semicolon, tab and bar parts it most often."""
        line = self.text.splitlines()[:1]
        rows = [row for mark in ",;\t|" for row in csv.reader(line, delimiter=mark)]
        return max(rows, key=len, default=[])


def open_bytes(path: Path, report: Report | None = None, encoding: str | None = None) -> BinaryIO:
    """The content of `path` as a stream of UTF-8, as `unpacking.open_utf8` has it; progress goes to `report`."""
    return open_utf8(path, encoding, report.bytes_read if report else None)


def open_text(path: Path, report: Report | None = None, encoding: str | None = None) -> TextIO:
    """The text of `path`, line ends as they are (as `csv` wants them). Raises like `open_bytes`.

    Reading raises `UnicodeDecodeError` at bytes that are no UTF-8 in a file that began as such.
    """
    return io.TextIOWrapper(open_bytes(path, report, encoding), encoding="utf-8", newline="")


def documents(path: Path, report: Report, encoding: str | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every JSON object of `path` with its place: "the document", "entry 3" of an array, "line 4".

    A FHIR bundle is one document. A record that cannot be read is a problem of `report`. Raises `AdapterError` where
    nothing can be read, or nothing further.
    """
    for place, document, _ in written_documents(path, report, encoding):
        yield place, document


def written_documents(
    path: Path, report: Report, encoding: str | None = None
) -> Iterator[tuple[str, dict[str, Any], bytes]]:
    """As `documents`, and the line that an object stands in, as it is written; nothing where it is in no line."""
    shape = peek(path, encoding).shape
    if shape is Shape.LINES:
        with open_bytes(path, report, encoding) as file:
            yield from _lines(file, path.name, report)
    elif shape is Shape.ARRAY and not _is_small(path):
        with open_bytes(path, report, encoding) as file:
            yield from ((*found, b"") for found in _elements(file, path.name, report))
    elif shape is Shape.ARRAY:
        value, broken = _whole(path, encoding)
        report.bytes_read(path.stat().st_size)
        yield from ((*found, b"") for found in _of_array(value, broken, report))
    else:
        value = read_json(path, encoding)
        report.bytes_read(path.stat().st_size)
        if not isinstance(value, dict):
            raise AdapterError(f"{path.name} holds {_NO_OBJECT}.")
        yield _ONE_DOCUMENT, value, b""


def read_json(path: Path, encoding: str | None = None) -> Any:
    """The JSON in `path`, not to be changed. Raises `AdapterError` saying where it stops being JSON."""
    value, broken = _whole(path, encoding)
    if broken:
        reason, line = next(iter(broken.values()))
        raise AdapterError(f"{path.name}: {reason}: line {line}.", "Write it once: readers do not agree which counts.")
    return value


def peek(path: Path, encoding: str | None = None) -> Peek:
    """How `path` begins. Raises `AdapterError` where it cannot be read."""
    return _peek(path, encoding, *_state_of(path))


@lru_cache(maxsize=1)
def _peek(path: Path, encoding: str | None, _changed: int, _size: int) -> Peek:
    with open_bytes(path, None, encoding) as file:
        head = file.read(HEAD_BYTES)
    text = head.lstrip()
    if _ARRAY.match(text):
        return Peek(path.name, Shape.ARRAY, head, _first_elements(path, encoding))
    found, first_is_whole, is_more = _first_lines(path, encoding)
    if _is_named_lines(path) or (found and first_is_whole and is_more):
        return Peek(path.name, Shape.LINES, head, found)
    if found and not first_is_whole:
        # The first record is broken, or this is one object whose last line happens to be one, too.
        try:
            whole = read_json(path, encoding)
        except AdapterError:
            return Peek(path.name, Shape.LINES, head, found)
        return Peek(path.name, Shape.OBJECT, head, [whole])
    if text[:1] != b"{":
        return Peek(path.name, Shape.OTHER, head, [])
    return Peek(path.name, Shape.OBJECT, head, [read_json(path, encoding)])


def _is_named_lines(path: Path) -> bool:
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix in _LINES_OF_JSON


def _first_lines(path: Path, encoding: str | None) -> tuple[list[dict[str, Any]], bool, bool]:
    """The objects that are whole in one of the first lines, not indented; whether the first is one, and more follow."""
    with open_bytes(path, None, encoding) as file:
        some = (line for line in iter(lambda: file.readline(MOST_BYTES), b"") if line.strip())
        lines = list(islice(some, 2))
        if len(lines) < 2 and not _is_named_lines(path):
            return [], False, False  # One document, which is read in one piece.
        found = {
            index: value
            for index, line in enumerate(islice(chain(lines, some), _SAMPLES))
            if (value := _object_in(line))
        }
    return list(found.values()), 0 in found, len(lines) > 1


def _object_in(line: bytes) -> dict[str, Any] | None:
    """The object that is the whole of a line, and not indented."""
    try:
        return loads_but_twins(line) if line.startswith(b"{") else None
    except BadJson:
        return None


def _is_small(path: Path) -> bool:
    """Whether what is in the file, unpacked, is small enough to be parsed at once."""
    return path.stat().st_size <= WHOLE_BYTES and len(first_bytes(path, WHOLE_BYTES + 1)) <= WHOLE_BYTES


def _first_elements(path: Path, encoding: str | None) -> list[dict[str, Any]]:
    if _is_small(path):
        value, _ = _whole(path, encoding)
        elements = value if isinstance(value, list) else []
    else:
        try:
            with open_bytes(path, None, encoding) as file:
                elements = list(islice(ijson.items(file, "item", use_float=True), _SAMPLES))
        except ijson.JSONError:
            raise AdapterError(f"{path.name} is not JSON.") from None
    return [each for each in elements[:_SAMPLES] if isinstance(each, dict)]


def _lines(file: BinaryIO, name: str, report: Report) -> Iterator[tuple[str, dict[str, Any], bytes]]:
    number = 0
    while line := file.readline(MOST_BYTES):
        number += 1
        if line.isspace():
            continue
        if len(line) == MOST_BYTES:
            raise AdapterError(f"{name}: line {number} is too long: {_TOO_LONG}.")
        try:
            value = loads(line)
        except BadJson as fault:
            report.problem(f"line {number}", f"no JSON: {fault}")
            continue
        if isinstance(value, dict):
            yield f"line {number}", value, line
        else:
            report.problem(f"line {number}", _NO_OBJECT)


def _of_array(
    value: list[Any], broken: dict[int, tuple[str, int]], report: Report
) -> Iterator[tuple[str, dict[str, Any]]]:
    for index, element in enumerate(value):
        place = f"entry {index}"
        if index in broken:
            reason, line = broken[index]
            report.problem(f"{place}, line {line}", reason)
        elif isinstance(element, dict):
            yield place, element
        else:
            report.problem(place, _NO_OBJECT)


class _Twin:
    """Stands for the values of a key that is there twice."""

    def __init__(self, name: str) -> None:
        self.reason = Twin(0, 0, shown(name)).reason


class _Noticing(dict[str, Any]):
    """A dictionary that keeps neither value of a key that is put in twice."""

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, _Twin(key) if key in self else value)


def _elements(file: BinaryIO, name: str, report: Report) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of an array of any size."""
    index = -1
    try:
        for index, element in enumerate(ijson.items(file, "item", use_float=True, map_type=_Noticing)):
            place = f"entry {index}"
            fault = _fault(element) if isinstance(element, dict) else _NO_OBJECT
            if fault:
                report.problem(place, fault)
            else:
                yield place, element
    except (ijson.JSONError, OverflowError):
        raise AdapterError(f"{name} is not JSON after entry {index}.") from None


def _fault(element: dict[str, Any]) -> str:
    """What is wrong with an element of a stream; empty if nothing: what can be written again was read well."""
    reasons: list[str] = []

    def refuse(part: object) -> None:
        if isinstance(part, _Twin):
            reasons.append(part.reason)

    try:
        orjson.dumps(element, default=refuse)
    except TypeError as error:
        return "an integer is too large" if "Integer" in str(error) else TOO_DEEP
    return reasons[0] if reasons else ""


def _whole(path: Path, encoding: str | None) -> tuple[Any, dict[int, tuple[str, int]]]:
    return _read_whole(path, encoding, *_state_of(path))


def _state_of(path: Path) -> tuple[int, int]:
    """When `path` changed, and its size: what was read of it counts while both are the same. Raises `AdapterError`."""
    try:
        seen = path.stat()
    except OSError as error:
        raise AdapterError(f"Cannot read {path.name}: {error.strerror}.") from None
    return seen.st_mtime_ns, seen.st_size


@lru_cache(maxsize=1)
def _read_whole(path: Path, encoding: str | None, _changed: int, _size: int) -> tuple[Any, dict[int, tuple[str, int]]]:
    """The value of a file, and of each element of its array with a key that stands twice: why, and the line.

    What was read last is kept: a file is looked at before its adapter reads it.
    """
    with open_bytes(path, None, encoding) as file:
        text = file.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise AdapterError(
            f"{path.name} is one JSON document, and {_TOO_LONG}.",
            "Write a record a line (NDJSON, as FHIR's bulk export does), or several files.",
        )
    try:
        value = loads_but_twins(text)
        found = list(twins(text)) if may_hold_twins(text, value) else []
    except BadJson as fault:
        if str(fault) == TOO_DEEP:
            raise AdapterError(f"{path.name} is not read: {TOO_DEEP}.") from None
        raise AdapterError(f"{path.name} is not JSON: line {fault.line}, column {fault.column}: {fault}.") from None
    return value, {each.element: (each.reason, each.line) for each in reversed(found)}
