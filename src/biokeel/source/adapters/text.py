"""Reports of tools are short texts: lines with their numbers, and tables of them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from biokeel.errors import AdapterError
from biokeel.source.adapters.base import Report
from biokeel.source.adapters.envelope import open_text


def lines(path: Path, report: Report) -> Iterator[tuple[int, str]]:
    """Each line of `path` with its number, from 1, without its end. Raises `AdapterError` where it is no text."""
    try:
        with open_text(path, report) as file:
            for number, line in enumerate(file, 1):
                yield number, line.rstrip("\r\n")
    except UnicodeDecodeError:
        raise AdapterError(f"{path.name} is no text in the encoding that it begins in.") from None


def rows(path: Path, report: Report) -> Iterator[tuple[int, list[str]]]:
    """Each row of a CSV with the number of its line; empty lines are none. Raises `AdapterError` like `lines`."""
    try:
        with open_text(path, report) as file:
            reader = csv.reader(file)
            for row in reader:
                if row:
                    yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise AdapterError(f"Cannot read {path.name} as CSV: {type(error).__name__}.") from None


def table(path: Path, report: Report, separator: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row of a table with a header, with its place; a row that has not the header's cells is a problem."""
    names: list[str] | None = None
    for number, text in lines(path, report):
        if not text.strip():
            continue
        cells = next(csv.reader([text], delimiter=separator))
        if names is None:
            names = cells
        elif len(cells) != len(names):
            report.problem(f"line {number}", "has more or fewer cells than the header")
        else:
            yield f"line {number}", dict(zip(names, cells, strict=True))
