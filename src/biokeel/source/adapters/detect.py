"""Which adapter a file is for, told by its content; a file that none is for is refused by its name.

A new family is a line of `FORMATS`: its name, its adapter, how the beginning of a file tells it. What is recognised and
not read is a line of `unread.UNREAD`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from biokeel.contracts.topics import event_type
from biokeel.errors import AdapterError
from biokeel.source.adapters import apple_health, fitbit_api, fitbit_csv, ihealth, openmhealth, qc_detect, unread
from biokeel.source.adapters.base import Adapter
from biokeel.source.adapters.envelope import HEAD_BYTES, Peek, Shape, peek
from biokeel.source.adapters.fhir import read_fhir
from biokeel.source.adapters.records import read_records
from biokeel.source.adapters.unpacking import first_bytes
from biokeel.source.mappings.library import FAMILIES, Library, library
from biokeel.source.mappings.run import Table

_SAMSUNG: Final = "com.samsung."
"""How the first line of each table of Samsung Health begins."""


@dataclass(frozen=True, slots=True)
class Format:
    """One format: its name, its adapter, what tells it, and the site of subject schemes where the caller names none.

    `tells` sees the beginning of a file; the first format of `FORMATS` that it fits has the file.
    """

    name: str
    read: Adapter
    tells: Callable[[Peek], bool]
    site: str | None = None


def _some(tells: Callable[[dict[str, Any]], bool]) -> Callable[[Peek], bool]:
    """Whether one of the first documents tells: the very first may be misspelt."""
    return lambda seen: any(tells(sample) for sample in seen.samples)


def _is_record(line: dict[str, Any]) -> bool:
    if "event" not in line:
        return False
    try:
        return bool(event_type(str(line["event"])))
    except KeyError:
        return "subject_scheme" in line


FHIR: Final = Format("FHIR R4", read_fhir, _some(lambda document: "resourceType" in document))
RECORDS: Final = Format("ready records", read_records, _some(_is_record))
OPEN_MHEALTH: Final = Format("Open mHealth", openmhealth.read_openmhealth, _some(openmhealth.is_openmhealth))
FITBIT: Final = Format("Fitbit CSV", fitbit_csv.read_fitbit, lambda seen: fitbit_csv.is_fitbit(seen.columns), "fitbit")
FITBIT_API: Final = Format("Fitbit web API", fitbit_api.read_fitbit_api, _some(fitbit_api.is_fitbit_api), "fitbit")
IHEALTH: Final = Format("iHealth API", ihealth.read_ihealth, _some(ihealth.is_ihealth), "ihealth")
APPLE_HEALTH: Final = Format("Apple Health", apple_health.read_apple_health, apple_health.is_apple_health, "apple")

FORMATS: Final[tuple[Format, ...]] = (
    FHIR,
    RECORDS,
    *(Format(*each) for each in qc_detect.FORMATS),
    OPEN_MHEALTH,
    FITBIT,
    FITBIT_API,
    IHEALTH,
    APPLE_HEALTH,
)
"""In the order in which they are asked."""


def detect(path: Path, tables: Library | None = None) -> Format:
    """The format of `path`. Raises `AdapterError` with the reason: empty, unreadable, not JSON, not read, not known.

    `tables` are the mappings for tables: a given one counts before all else, a shipped one where no other format fits.
    """
    head = first_bytes(path, HEAD_BYTES)
    if not head.strip():
        raise AdapterError(f"{path.name} is empty.")
    if found := unread.binary(head):
        raise _not_read(path, *found)
    seen = peek(path)
    if b"\x00" in seen.head:
        raise AdapterError(f"{path.name} is a binary file.", f"Known formats: {known()}.")
    if tables is not None and (table := tables.given_for(path)):
        return _of_table(table)
    for each in unread.UNREAD:
        if each.tells(seen):
            raise _not_read(path, each.name, each.todo)
    for format_ in FORMATS:
        if format_.tells(seen):
            return format_
    if seen.shape is Shape.OTHER and (table := (tables or library()).shipped_for(path)):
        return _of_table(table)
    if seen.text.startswith(_SAMSUNG):
        raise _not_read(path, "a table of Samsung Health of which no event is made", "docs/formats/samsung-health.md.")
    what = "text" if seen.shape is Shape.OTHER else "JSON"
    own = " For a table of your own: biokeel source map FILE." if seen.shape is Shape.OTHER else ""
    raise AdapterError(f"{path.name} is {what} of no known format.", f"Known formats: {known()}.{own}")


def _of_table(table: Table) -> Format:
    return Format(table.mapping.name, table, lambda _: True, table.mapping.site)


def known() -> str:
    """The names of all formats."""
    return ", ".join(dict.fromkeys([*(each.name for each in FORMATS), *FAMILIES]))


def _not_read(path: Path, name: str, todo: str) -> AdapterError:
    return AdapterError(f"{path.name} looks like {name}: not read.", todo)
