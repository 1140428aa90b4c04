"""Which adapter a file is for, told by its content; a file that none is for gets a reason."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from biokeel.contracts.topics import event_type
from biokeel.errors import AdapterError
from biokeel.source.adapters import fitbit_csv, openmhealth, wgs_qc
from biokeel.source.adapters.base import Adapter, read_json
from biokeel.source.adapters.fhir import read_fhir
from biokeel.source.adapters.records import read_records

HEAD_BYTES: Final = 64 << 10
"""How much of a file is looked at; JSON that is no JSON lines is read whole, because its keys may come in any order."""
KNOWN: Final = "FHIR R4, Open mHealth, Fitbit CSV, GA4GH WGS-QC, JSON lines of ready records"


@dataclass(frozen=True, slots=True)
class Format:
    """One format: its name, its adapter, and the site that subject schemes name where the caller names none."""

    name: str
    read: Adapter
    site: str | None = None


FHIR: Final = Format("FHIR R4", read_fhir)
OPEN_MHEALTH: Final = Format("Open mHealth", openmhealth.read_openmhealth)
FITBIT: Final = Format("Fitbit CSV", fitbit_csv.read_fitbit, "fitbit")
METRICS: Final = Format("GA4GH WGS-QC metrics", wgs_qc.read_metrics)
MANIFEST: Final = Format("WGS sample manifest", wgs_qc.read_manifest)
SAMPLE_SHEET: Final = Format("IGSR sample sheet", wgs_qc.read_sample_sheet)
RECORDS: Final = Format("ready records", read_records)


def detect(path: Path) -> Format:
    """The format of `path`. Raises `AdapterError` with the reason: empty, unreadable, not JSON, no format known."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise AdapterError(f"Cannot read {path.name}: {error.strerror}.") from None
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise AdapterError(f"{path.name} is empty.")
    if b"\x00" in head:
        raise AdapterError(f"{path.name} is a binary file.", f"Known formats: {KNOWN}.")
    if text[:1] in b"{[":
        return _of_json(path, text)
    return _of_csv(path, text)


def _of_json(path: Path, text: bytes) -> Format:
    first = text.partition(b"\n")[0]
    try:
        line = orjson.loads(first)
    except orjson.JSONDecodeError:
        line = None
    if isinstance(line, dict) and _names_an_event_type(line):
        return RECORDS
    document: Any = read_json(path)
    if isinstance(document, list):
        document = document[0] if document else {}
    if isinstance(document, dict):
        if "resourceType" in document:
            return FHIR
        if "wgs_qc_metrics" in document:
            return METRICS
        if openmhealth.is_openmhealth(document):
            return OPEN_MHEALTH
    raise AdapterError(f"{path.name} is JSON of no known format.", f"Known formats: {KNOWN}.")


def _names_an_event_type(line: dict[str, Any]) -> bool:
    try:
        return bool(event_type(str(line.get("event"))))
    except KeyError:
        return False


def _of_csv(path: Path, text: bytes) -> Format:
    try:
        first = text.decode("utf-8", errors="strict" if len(text) < HEAD_BYTES else "ignore").splitlines()[0]
    except UnicodeDecodeError:
        raise AdapterError(f"{path.name} is neither JSON nor text in UTF-8.", f"Known formats: {KNOWN}.") from None
    columns = next(csv.reader([first]))
    if fitbit_csv.is_fitbit(columns):
        return FITBIT
    if all(name in columns for name in wgs_qc.SHEET_COLUMNS):
        return SAMPLE_SHEET
    if len(columns) == 3 and all("://" in cell for cell in columns[1:]):
        return MANIFEST
    raise AdapterError(f"{path.name} is text of no known format.", f"Known formats: {KNOWN}.")
