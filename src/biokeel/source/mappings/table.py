"""A file of delimited text, read in pieces: its header, and its records as columns of text.

RFC 4180: cells may be quoted, and hold delimiters, doubled quotation marks and line ends then. A record that cannot be
one of the table (too few cells, too many, a stray quotation mark) costs only itself. Places are lines of the file.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from biokeel.errors import AdapterError
from biokeel.source.mappings.model import FileRules, Mapping

PIECE_BYTES: Final = 4 << 20
"""How much of a file is looked at together, some 30,000 records."""
LONGEST_RECORD: Final = 8 << 20
"""Bytes of the longest record: a quotation mark that nobody closes would swallow the file."""
HEADER_LINES: Final = 16
"""The header is one of the first lines: exports write a title, or who made them, before it."""
_MOST_STRAY: Final = 64
"""Lines of a piece that are set aside one by one for their quotation marks, before the file is refused."""
_TOO_MANY: Final = 8
"""Cells after the header's last one that are looked at: a delimiter at the end of each line makes an empty one."""
_QUOTE, _NEWLINE, _RETURN = b'"\n\r'

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


class Header(NamedTuple):
    """The names of a table's columns, and the line that they stand in."""

    names: tuple[str, ...]
    line: int


class Piece(NamedTuple):
    """Some records: a text column `c<i>` for each name of the header, empty cells null; and the line of each record."""

    cells: pl.DataFrame
    lines: Ints


Fault = Callable[[str, str], None]
"""Told of each record that is none: its place, and why."""


def column(index: int) -> str:
    """The name of a piece's column: names in a header may repeat, and may be anything."""
    return f"c{index}"


def find_header(first_lines: Sequence[str], mapping: Mapping) -> Header | None:
    """The first line that names every column that `mapping` wants; null where none does."""
    for number, line in enumerate(first_lines[:HEADER_LINES], 1):
        names = header_names(line, mapping.file.delimiter)
        if names and mapping.fits(names):
            return Header(names, number)
    return None


def header_names(line: str, delimiter: str) -> tuple[str, ...]:
    """The cells of a header; an empty last one, where a delimiter ends the line, is none."""
    try:
        names = [name.strip() for name in next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])]
    except csv.Error:  # Not the line of a table: a file whose lines end with a carriage return, for example.
        return ()
    while names and not names[-1]:
        names.pop()
    return tuple(names)


def read_pieces(file: BinaryIO, path: Path, header: Header, rules: FileRules, fault: Fault) -> Iterator[Piece]:
    """The records after the header, piece by piece; `file` is UTF-8 from the table's beginning.

    Raises `AdapterError` where quotation marks do not come in pairs so often that there is no telling.
    """
    scanner = _Scanner(path, header, rules, fault)
    rest, line = b"", 0
    while block := file.read(PIECE_BYTES):
        block = rest + block
        if not line:
            block, line = _after_header(block, header)
        done, rest = scanner.cut(block)
        if done:
            yield from scanner.piece(done, line)
            line += done.count(b"\n")
    if rest.strip():
        yield from scanner.piece(rest + b"\n", line)


def _after_header(block: bytes, header: Header) -> tuple[bytes, int]:
    at = 0
    for _ in range(header.line):
        at = block.find(b"\n", at) + 1
        if not at:
            return b"", header.line + 1
    return block[at:], header.line + 1


@dataclass(slots=True)
class _Scanner:
    path: Path
    header: Header
    rules: FileRules
    fault: Fault

    def cut(self, block: bytes) -> tuple[bytes, bytes]:
        """`block` up to the end of its last whole record, and what is left."""
        data = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero((data == _NEWLINE) & ~_inside_quotes(data))
        end = int(ends[-1]) + 1 if len(ends) else 0
        if len(block) - end > LONGEST_RECORD:  # A stray mark: line ends are what is left to go by.
            end = block.rfind(b"\n") + 1
        return block[:end], block[end:]

    def piece(self, block: bytes, line: int) -> Iterator[Piece]:
        """The records of `block`, which begins in `line` of the file and ends with a line end."""
        data = self._without_stray(np.frombuffer(self._decoding(block, line), np.uint8), line)
        inside = _inside_quotes(data)
        newlines = data == _NEWLINE
        ends = np.flatnonzero(newlines & ~inside)
        starts = np.concatenate([[0], ends[:-1] + 1])
        delimiters = np.flatnonzero((data == ord(self.rules.delimiter)) & ~inside)
        cells = np.searchsorted(delimiters, ends) - np.searchsorted(delimiters, starts) + 1
        lines = line + np.searchsorted(np.flatnonzero(newlines), starts)
        good = ~_blank(data, starts, ends, cells)
        width = len(self.header.names)
        short, long = good & (cells < width), good & (cells > width + _TOO_MANY)
        for at in np.flatnonzero(short | long):
            self.fault(f"line {lines[at]}", "the line has fewer cells than the header" if short[at] else _MORE)
        good &= ~short & ~long
        if not good.any():
            return
        chosen = data if good.all() else data[np.repeat(good, ends - starts + 1)]
        yield self._parsed(chosen.tobytes(), lines[good], int(cells[good].max()))

    def _parsed(self, content: bytes, where: Ints, most: int) -> Piece:
        """Whole records as columns of text; `where` are their lines, `most` the cells of the longest."""
        width = len(self.header.names)
        frame = pl.read_csv(
            content.replace(b"\r\n", b"\n"),
            has_header=False,
            separator=self.rules.delimiter,
            schema={column(index): pl.String() for index in range(most)},
            missing_columns="insert",
        )
        assert frame.height == len(where), "a record for each line end"
        missing = ["", *self.rules.missing]
        frame = frame.with_columns(pl.all().str.strip_chars())
        frame = frame.with_columns(pl.when(~pl.all().is_in(missing)).then(pl.all()))
        if most > width:
            over = frame.select(pl.any_horizontal(pl.nth(range(width, most)).is_not_null())).to_series()
            for at in over.arg_true():
                self.fault(f"line {where[at]}", _MORE)
            frame, where = frame.filter(~over), where[~over.to_numpy()]
        return Piece(frame.select(pl.nth(range(width))), where)

    def _decoding(self, block: bytes, line: int) -> bytes:
        """`block` without the lines that are no UTF-8, which are told of."""
        if block.isascii() or _decodes(block):
            return block
        lines = block.split(b"\n")
        for number, each in enumerate(lines):
            if not _decodes(each):
                self.fault(f"line {line + number}", "the line is no text in the file's encoding")
                lines[number] = b""
        return b"\n".join(lines)

    def _without_stray(self, data: npt.NDArray[np.uint8], line: int) -> npt.NDArray[np.uint8]:
        """`data` with those lines blanked, and told of, whose quotation marks open or close nothing."""
        newlines = np.flatnonzero(data == _NEWLINE)
        for _ in range(_MOST_STRAY):
            at = _stray(data, self.rules.delimiter)
            if at is None:
                return data
            number = int(np.searchsorted(newlines, at))
            begin = int(newlines[number - 1]) + 1 if number else 0
            data = data.copy()
            data[begin : int(newlines[number])] = ord(" ")
            self.fault(f"line {line + number}", "a quotation mark opens or closes no cell")
        raise AdapterError(
            f"{self.path.name}: quotation marks that open or close no cell in {_MOST_STRAY} lines from line {line} on.",
            "Write quotation marks within a cell twice, and the cell between two of them.",
        )


_MORE: Final = "the line has more cells than the header"


def _inside_quotes(data: npt.NDArray[np.uint8]) -> Bools:
    """Which bytes stand between quotation marks: after an odd number of them."""
    marks = data == _QUOTE
    if not marks.any():
        return np.zeros(len(data), np.bool_)
    return (np.cumsum(marks, dtype=np.uint8) & 1).astype(np.bool_)


def _stray(data: npt.NDArray[np.uint8], delimiter: str) -> int | None:
    """A byte of the first line whose quotation marks open or close nothing; null where there is none."""
    marks = np.flatnonzero(data == _QUOTE)
    if not len(marks):
        return None
    opens = np.arange(len(marks)) % 2 == 0
    edges = np.frombuffer(delimiter.encode() + b"\n\r", np.uint8)
    before = np.where(marks > 0, data[marks - 1], _NEWLINE)
    after = data[marks + 1]  # The last byte is a line end.
    # Within a cell a mark is written twice: one that closes, and at once one that opens.
    twice = np.zeros(len(marks), np.bool_)
    pairs = np.flatnonzero((np.diff(marks) == 1) & ~opens[:-1])
    twice[pairs] = twice[pairs + 1] = True
    bad = np.flatnonzero(~twice & np.where(opens, ~np.isin(before, edges), ~np.isin(after, edges)))
    if len(bad):
        first = int(bad[0])
        if opens[first]:
            return int(marks[first])
        # What closes wrongly in another line opens a cell there: the mark before was never closed.
        opener = int(np.flatnonzero(opens[:first] & ~twice[:first])[-1])
        return int(marks[opener])
    if len(marks) % 2:
        return int(marks[np.flatnonzero(opens & ~twice)[-1]])
    return None


def _blank(data: npt.NDArray[np.uint8], starts: Ints, ends: Ints, cells: Ints) -> Bools:
    """Which records are blank lines."""
    blank = np.zeros(len(starts), np.bool_)
    for at in np.flatnonzero(cells == 1):
        blank[at] = not data[starts[at] : ends[at]].tobytes().strip()
    return blank


def _decodes(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
