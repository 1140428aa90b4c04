"""What commands that read a source's files share: options, and how what was read is told."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from biokeel.settings import Settings
    from biokeel.source.adapters.base import Subject
    from biokeel.source.files import FileResult, Source
    from biokeel.source.times import Moment

Paths: TypeAlias = Annotated[list[Path], typer.Argument(help="Files and folders (walked).", show_default=False)]
SourceId: TypeAlias = Annotated[str, typer.Option(help="The publishing system, as agreed with the programme.")]
Site: TypeAlias = Annotated[
    str, typer.Option(help="Hospital, centre or vendor in subject schemes; else the source id.")
]
SubjectText: TypeAlias = Annotated[
    str,
    typer.Option(
        "--subject", help="SCHEME=VALUE: the person of files that name nobody; - reads it from standard input, unseen."
    ),
]
Zone: TypeAlias = Annotated[str, typer.Option(help="Time zone of times without one, for example Asia/Seoul.")]
DayMonth: TypeAlias = Annotated[
    str, typer.Option(help="Order of dates like 4/5/2024: mdy or dmy; else a file whose dates do not tell is refused.")
]
Identifiers: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Table of identifier systems and FHIR servers, TOML or JSON; else BIOKEEL_IDENTIFIERS."),
]
Mappings: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        "--mapping", help="A mapping file (YAML) for tables of your own; may be named again. See biokeel source map."
    ),
]
KeyFile: TypeAlias = Annotated[
    Path | None, typer.Option(help="The source's secret for event ids; made where there is none.")
]
Reports: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Sheet (CSV) that says of quality-control reports what they do not: sample, pipeline, time ..."),
]
OccurredAt: TypeAlias = Annotated[
    str,
    typer.Option(help="When quality control ran, or samples came, where a report or a sheet does not say: ISO 8601."),
]

_SITE: Final = re.compile(r"[a-z0-9][a-z0-9.-]*")
_MOST_PROBLEMS: Final = 20
"""Kinds of problem that a table shows; the rest is counted."""
_MOST_NAMES: Final = 5
"""Files of one kind of problem that it names."""


def source_of(
    settings: Settings,
    source_id: str,
    *,
    site: str,
    subject: str,
    zone: str,
    day_month: str,
    identifiers: Path | None,
    key_file: Path | None,
    make_key: bool,
    mappings: Sequence[Path] | None = None,
    reports: Path | None = None,
    occurred_at: str = "",
) -> Source:
    """Who publishes, from the options. Without `make_key` a secret that is not there is not made.

    Raises `typer.BadParameter` for an option that makes no sense, and `SourceError` or `SettingsError` for its file.
    """
    from biokeel.contracts.grammars import SOURCE_ID
    from biokeel.contracts.schema import load_schemas
    from biokeel.source.adapters.stated import Stated
    from biokeel.source.files import Source
    from biokeel.source.ids import source_key
    from biokeel.source.mappings.library import Library
    from biokeel.source.qc_sheet import load_sheet
    from biokeel.source.schemes import load_schemes

    _check(source_id, re.compile(SOURCE_ID), "--source-id")
    if site:
        _check(site, _SITE, "--site")
    of_times = _zone(zone)
    at = _moment(occurred_at, of_times)
    return Source(
        source_id,
        source_key(key_file or settings.state_dir / "source.key", make=make_key),
        site or None,
        _subject(subject),
        of_times,
        load_schemes(identifiers or settings.identifiers),
        tables=Library.load(load_schemas(settings.schemas_dir), mappings) if mappings else None,
        reports=load_sheet(reports, of_times, at) if reports else {},
        stated=Stated(at=at),
        day_month=_day_month(day_month),
    )


def files_in(paths: Iterable[Path], sheet: Path | None = None) -> list[Path]:
    """The files that `paths` name, without the `sheet` that speaks of them. Raises `AdapterError` where none is."""
    from biokeel.errors import AdapterError
    from biokeel.source.files import find_files

    files = [file for file in find_files(paths) if sheet is None or file.resolve() != sheet.resolve()]
    if not files:
        raise AdapterError("There is no file in what was named.", "Hidden files are left out.")
    return files


def _check(text: str, pattern: re.Pattern[str], option: str) -> None:
    if not pattern.fullmatch(text):
        raise typer.BadParameter(f"{option} wants lower-case letters, digits and '-'.")


def _subject(text: str) -> Subject | None:
    from biokeel.source.adapters.base import Unusable, subject_of

    # Whoever is on the machine sees a command line, and the shell keeps it.
    text = sys.stdin.readline().strip() if text == "-" else text
    scheme, _, value = text.partition("=")
    if not text:
        return None
    try:
        return subject_of(scheme, value, "VALUE")
    except Unusable:
        raise typer.BadParameter("--subject wants SCHEME=VALUE, for example app/fitbit=ABC123.") from None


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError):
        raise typer.BadParameter("--zone wants a name of the IANA time zone database.") from None


def _moment(text: str, zone: ZoneInfo | None) -> Moment | None:
    from biokeel.source.times import moment

    found = moment(text, zone)
    if text and found is None:
        raise typer.BadParameter("--occurred-at wants a date or a time, for example 2026-03-01T10:00:00+09:00.")
    return found


def _day_month(order: str) -> str | None:
    if order not in {"", "mdy", "dmy"}:
        raise typer.BadParameter("--day-month wants mdy (4/5 is the fifth of April) or dmy.")
    return order or None


def progress_over(console: Console, *columns: str) -> Progress:
    """A bar that goes on by bytes of files, and shows `columns` (rich's templates) behind; it vanishes in the end."""
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    shown = (BarColumn(), DownloadColumn(), MofNCompleteColumn(), *map(TextColumn, columns), TimeRemainingColumn())
    return Progress(*shown, console=console, transient=True, disable=not console.is_terminal)


class Progressing:
    """Moves a progress bar on by the bytes of files, while they are read; a file that told fewer makes up at its end.

    Hand `begun` and `done` to what reads the files. `show` gives the bar's other fields, after each file.
    """

    def __init__(
        self,
        progress: Progress,
        files: Sequence[Path],
        show: Callable[[FileResult | None], dict[str, int]] = lambda _: {},
    ) -> None:
        self._progress = progress
        self._show = show
        self._task = progress.add_task("", total=sum(map(_size, files)), **show(None))  # type: ignore[arg-type]
        self._read: dict[Path, int] = {}

    def begun(self, result: FileResult) -> None:
        """A file is to be read."""

        def read(count: int) -> None:
            self._read[result.path] = self._read.get(result.path, 0) + count
            self._progress.update(self._task, advance=count)

        result.report.bytes_read = read

    def done(self, result: FileResult) -> None:
        """A file is done."""
        rest = max(0, _size(result.path) - self._read.pop(result.path, 0))
        self._progress.update(self._task, advance=rest, **self._show(result))  # type: ignore[arg-type]


def _size(path: Path) -> int:
    """The size of a file; one may be gone since it was found, and then it is a problem of the report."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def require_registered(settings: Settings, source_id: str) -> None:
    """Raise `SettingsError` where the settings are another source's, or a register is known and has no such source."""
    from biokeel.contracts.sources import file_of
    from biokeel.errors import SettingsError

    if settings.source_id and settings.source_id != source_id:
        raise SettingsError(
            f"These are the settings of {settings.source_id}, and not of {source_id}: its events would be sealed.",
            f"Name --source-id {settings.source_id}, or unset BIOKEEL_SOURCE_ID and what belongs to it.",
        )

    register = settings.sources_dir
    if any(register.glob("*.toml")) and not file_of(register, source_id).is_file():
        raise SettingsError(
            f"There is no such source: {source_id} is not in the register {register}.",
            "biokeel source list shows who is; where the register is another's, set BIOKEEL_SOURCES_DIR.",
        )


def table(title: str, *headings: str) -> Table:
    """An empty table; what is too wide for it is folded, never cut."""
    from rich.table import Table

    made = Table(title=title)
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made


def show_problems(results: Sequence[FileResult], console: Console) -> None:
    """Print what could not be used, and what was left out."""
    from collections import Counter

    problems = list(_problems(results))
    if problems:
        faults = table("Problems", "file", "first at", "times", "problem")
        for row in problems[:_MOST_PROBLEMS]:
            faults.add_row(*row)
        console.print(faults)
    if (hidden := len(problems) - _MOST_PROBLEMS) > 0:
        console.print(f"{hidden} further kinds of problem are not shown; name fewer files at once to see them.")
    left_out: Counter[str] = Counter()
    for result in results:
        left_out += result.report.left_out
    if left_out:
        console.print("Left out: " + ", ".join(f"{what} {count:,}" for what, count in left_out.most_common()) + ".")


def _problems(results: Sequence[FileResult]) -> Iterator[tuple[str, str, str, str]]:
    """File, first place, times and reason of each problem: whole files by reason first, then places by file."""
    from collections import Counter

    whole: dict[str, list[str]] = {}
    for result in results:
        if result.failure:  # It begins with the file's name, which has a column of its own.
            reason = result.failure.removeprefix(result.path.name).strip()
            whole.setdefault(reason, []).append(result.path.name)
    for reason, names in whole.items():
        yield _names(names), "the whole file", str(len(names)), reason
    places = Counter({(r.path.name, reason): n for r in results for reason, n in r.report.reasons.items()})
    first = {(r.path.name, p.reason): p.position for r in reversed(results) for p in reversed(r.report.problems)}
    for (name, reason), count in places.most_common():
        yield name, first.get((name, reason), ""), f"{count:,}", reason


def _names(names: Sequence[str]) -> str:
    from biokeel.observe.visible import visible

    more = len(names) - _MOST_NAMES
    return "\n".join(map(visible, names[:_MOST_NAMES])) + (f"\nand {more} more" if more > 0 else "")


def count_of_files(count: int) -> str:
    """`count` files, in words."""
    return "1 file" if count == 1 else f"{count:,} files"
