"""What becomes of the real data and of the cases, as the table of docs/sources.md has it.

`python -m tests.source.families` writes the table into the page.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.settings import PROJECT_ROOT
from biokeel.source.adapters.base import Context, Subject
from biokeel.source.files import DryRun, FileResult, Source, find_files, publish_files

PAGE: Final = PROJECT_ROOT / "docs" / "sources.md"
_BEGIN: Final = "<!-- families -->\n"
_END: Final = "<!-- /families -->\n"
_MOST_REASONS: Final = 4
"""Reasons that a cell names; the rest is counted."""
_EXPORTED: Final = 1_793_491_200_000
"""2026-11-01: the time of change that stands for every file's, which a checkout does not keep."""
_NOT_READ: Final = "not read"


@dataclass(frozen=True, slots=True)
class Dated(Source):
    """A source whose files all have one time of change."""

    def context(self, path: Path, format_site: str | None) -> Context:
        """As any source's, but for the time."""
        return replace(Source.context(self, path, format_site), changed_at=_EXPORTED)


@dataclass(slots=True)
class Family:
    """What became of the files of one format, or of all that no format is for."""

    files: int = 0
    events: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)


def results(folders: Iterable[Path]) -> list[FileResult]:
    """What becomes of every file of `folders`, were they published."""
    sink = DryRun(DirectoryCatalogue(PROJECT_ROOT / "schemas"), 1 << 20)
    source = Dated("hospital-a", b"families", "seoul-1", Subject("app/omh", "u-1"), ZoneInfo("Asia/Seoul"))
    return publish_files(find_files(folders), source, sink)


def folders(data: Path, cases: Path) -> list[Path]:
    """The folders that hold files of sources."""
    return [*(data / name for name in ("clinical", "genome", "lifestyle")), cases / "files", cases / "identity"]


def families(found: Iterable[FileResult]) -> dict[str, Family]:
    """What became of the files, by format."""
    by_name: dict[str, Family] = {}
    for result in found:
        looks = re.search(r" looks like (.*?): not read\.", result.failure)
        name = result.format or _NOT_READ
        family = by_name.setdefault(name, Family())
        family.files += 1
        family.events += result.sent
        family.left_out += result.report.left_out
        family.refused += result.report.reasons
        if result.failure:
            family.refused[looks[1] if looks else _reason(result)] += 1
    return by_name


def _reason(result: FileResult) -> str:
    """Why a whole file was refused, without its name and what to do."""
    text = result.failure.removeprefix(result.path.name).strip(" :")
    text = re.sub(r": line \d+.*", "", text)
    return text.partition(". ")[0].rstrip(".")


def table(found: Iterable[FileResult]) -> str:
    """The families as a Markdown table, most files first, what is not read last."""
    rows = [
        "| format | files | events | left out, by reason | refused, by reason |",
        "| --- | ---: | --- | --- | --- |",
    ]
    by_name = families(found)
    for name, family in sorted(by_name.items(), key=lambda item: (item[0] == _NOT_READ, -item[1].files, item[0])):
        cells = (_cell(each) for each in (family.events, family.left_out, family.refused))
        rows.append(f"| {name} | {family.files} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _cell(counts: Counter[str]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{what.replace('|', '/')} {count:,}" for what, count in ordered[:_MOST_REASONS]]
    rest = ordered[_MOST_REASONS:]
    more = [f"{len(rest)} more kinds {sum(count for _, count in rest):,}"] if rest else []
    return "; ".join([*shown, *more])


def on_the_page() -> str:
    """The table that the page has."""
    return PAGE.read_text("utf-8").partition(_BEGIN)[2].partition(_END)[0]


def _folders_beside() -> Iterator[Path]:
    for name in ("data", "cases"):
        yield next(each for base in PROJECT_ROOT.parents[:2] if (each := base / "shared" / name).is_dir())


if __name__ == "__main__":
    head, _, rest = PAGE.read_text("utf-8").partition(_BEGIN)
    tail = rest.partition(_END)[2]
    PAGE.write_text(head + _BEGIN + table(results(folders(*_folders_beside()))) + _END + tail, "utf-8")
