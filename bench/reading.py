"""How fast files are read: what `biokeel publish --dry-run` does with them, without the command around it.

Each file is read by a process of its own, once, with a memory of records beside it, so that nothing is warm and its
peak of memory is its own. What counts is CPU time, user and system, of all its threads; a tree of such files cannot be
read faster than a core by that figure. Everything in the files is made up.
"""

from __future__ import annotations

import datetime as dt
import random
import resource
import time
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Final

import orjson

from bench.bundles import write_bundles
from bench.end_to_end import BenchError
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.settings import Settings
from biokeel.source.adapters.base import Subject
from biokeel.source.files import DryRun, Source, publish_files
from biokeel.source.memory import memory_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MOST_EVENT_BYTES: Final = 1 << 20
PEOPLE: Final = 20_000
_BEGIN: Final = dt.datetime(2015, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=9)))
_UCUM: Final = "http://unitsofmeasure.org"
_LABORATORY: Final = (
    ("2093-3", "Cholesterol", "mg/dL"),
    ("2571-8", "Triglyceride", "mg/dL"),
    ("2085-9", "HDL cholesterol", "mg/dL"),
    ("13457-7", "LDL cholesterol", "mg/dL"),
    ("2160-0", "Creatinine", "mg/dL"),
    ("3094-0", "Urea nitrogen", "mg/dL"),
    ("17861-6", "Calcium", "mg/dL"),
    ("2947-0", "Sodium", "mmol/L"),
    ("6298-4", "Potassium", "mmol/L"),
    ("1742-6", "ALT", "U/L"),
    ("1920-8", "AST", "U/L"),
    ("718-7", "Hemoglobin", "g/dL"),
    ("6690-2", "Leukocytes", "10*3/uL"),
    ("777-3", "Platelets", "10*3/uL"),
    ("4548-4", "Hemoglobin A1c", "%"),
    ("2339-0", "Glucose", "mg/dL"),
)
_VITAL_SIGNS: Final = (
    ("8867-4", "Heart rate", "/min"),
    ("29463-7", "Body weight", "kg"),
    ("8302-2", "Body height", "cm"),
    ("8310-5", "Body temperature", "Cel"),
)


@dataclass(frozen=True, slots=True)
class ReadingFigures:
    """One kind of file: its size (10^6 bytes), events, CPU and clock seconds, and the most memory (MiB) of its process.

    `rows` are records of the file: resources, lines of a table, records of an export.
    """

    what: str
    megabytes: float
    rows: int
    events: int
    cpu_seconds: float
    seconds: float
    peak_mib: float
    empty_mib: float


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of file: `write` makes some of `megabytes` in a folder and returns how many records they hold."""

    what: str
    write: Callable[[Path, float], int]


def run_reading(folder: Path, megabytes: float) -> Iterator[ReadingFigures]:
    """Read some `megabytes` of each kind, in a process of its own. Raises `BenchError` where no event comes of them."""
    for number, kind in enumerate(KINDS):
        files = folder / str(number)
        files.mkdir()
        rows = kind.write(files, megabytes)
        with get_context("spawn").Pool(1) as pool:
            events, cpu, seconds, empty, peak = pool.apply(_read, (files, folder / f"{number}.sqlite"))
        size = sum(file.stat().st_size for file in files.iterdir())
        for file in files.iterdir():
            file.unlink()
        if not events:
            raise BenchError(f"No event came of {kind.what}.")
        yield ReadingFigures(kind.what, size / 1e6, rows, events, cpu, seconds, peak, empty)


def _read(folder: Path, memory: Path) -> tuple[int, float, float, float, float]:
    """Events, CPU seconds, seconds, and MiB of this process before and at most, of all files in `folder`."""
    settings = Settings()
    sink = DryRun(DirectoryCatalogue(settings.schemas_dir), MOST_EVENT_BYTES)
    empty = _peak()
    began, used = time.perf_counter(), time.process_time()
    with memory_at(memory) as kept:
        whose = Subject("app/bench", "made-up")
        source = Source("bench-clinic", b"k" * 32, "bench", whose, dt.UTC, memory=kept)
        results = publish_files(sorted(folder.iterdir()), source, sink)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    for result in results:
        if result.failure or result.unused:
            raise BenchError(f"{result.path.name} is not read to its end: {result.failure or result.report.reasons}.")
    return sum(result.sent.total() for result in results), cpu, seconds, empty, _peak()


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _bundles(folder: Path, megabytes: float) -> int:
    (first,) = write_bundles(folder, 1)
    count = max(1, round(megabytes * 1e6 / first.stat().st_size))
    files = write_bundles(folder, count)
    return sum(len(orjson.loads(files[0].read_bytes())["entry"]) for _ in files)


def _lines(folder: Path, megabytes: float, *, narrated: bool) -> int:
    """Observations a line, as FHIR's bulk export writes them: small ones, or `narrated` as servers store them."""
    made = observations(narrated=narrated)
    left, count = megabytes * 1e6, 0
    with (folder / "Observation.ndjson").open("wb") as file:
        while left > 0:
            line = orjson.dumps(next(made)) + b"\n"
            file.write(line)
            left -= len(line)
            count += 1
    return count


def observations(*, narrated: bool) -> Iterator[dict[str, Any]]:
    """Observations without end, of some people: laboratory results, vital signs, blood pressures, smoking."""
    draw = random.Random(7)
    number = 0
    while True:
        number += 1
        person = draw.randrange(PEOPLE)
        when = _BEGIN + dt.timedelta(seconds=draw.randrange(300_000_000))
        kind = draw.randrange(20)
        if kind == 0:
            coded = _concept("72166-2", "Tobacco smoking status"), "social-history"
            said: dict[str, Any] = {
                "valueCodeableConcept": {"coding": [{"system": "http://snomed.info/sct", "code": "266919005"}]}
            }
        elif kind < 3:
            coded = _concept("85354-9", "Blood pressure panel"), "vital-signs"
            said = {
                "component": [
                    {"code": _concept(code, name), "valueQuantity": _quantity(draw.randrange(low, low + 60), "mm[Hg]")}
                    for code, name, low in (("8480-6", "Systolic", 90), ("8462-4", "Diastolic", 50))
                ]
            }
        else:
            vital = kind > 15
            code, name, unit = draw.choice(_VITAL_SIGNS if vital else _LABORATORY)
            coded = _concept(code, name), "vital-signs" if vital else "laboratory"
            said = {"valueQuantity": _quantity(round(draw.uniform(1, 200), 1), unit)}
        concept, category = coded
        yield {
            "resourceType": "Observation",
            "id": f"{number:08x}-{draw.getrandbits(64):016x}",
            "meta": {"lastUpdated": (when + dt.timedelta(minutes=5)).isoformat()},
            **(_narration(number, concept) if narrated else {}),
            "status": "final",
            "category": [{"coding": [{"system": _CATEGORY, "code": category}]}],
            "code": concept,
            "subject": {"reference": f"Patient/{person:06d}"},
            "effectiveDateTime": when.isoformat(),
            **said,
        }


_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"


def _narration(number: int, concept: dict[str, Any]) -> dict[str, Any]:
    """What a server's Observation has beside what is read: a text for people, visit, who did it, numbers of its own."""
    text = f"<div xmlns='http://www.w3.org/1999/xhtml'><p>{concept['text']}, order {number}</p>{'<br/>' * 150}</div>"
    return {
        "text": {"status": "generated", "div": text},
        "identifier": [{"system": "urn:oid:1.2.410.100110.1.7", "value": f"R{number:09d}"}],
        "encounter": {"reference": f"Encounter/{number // 7}"},
        "performer": [{"reference": f"Practitioner/{number % 97}", "display": "made up"}],
        "specimen": {"reference": f"Specimen/{number // 3}"},
    }


def _concept(code: str, name: str) -> dict[str, Any]:
    return {"coding": [{"system": "http://loinc.org", "code": code, "display": name}], "text": name}


def _quantity(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "system": _UCUM, "code": unit}


def _table(folder: Path, megabytes: float) -> int:
    """Synthea's observations.csv."""
    draw = random.Random(7)
    left, count = megabytes * 1e6, 0
    with (folder / "observations.csv").open("w", encoding="utf-8") as file:
        file.write("DATE,PATIENT,ENCOUNTER,CATEGORY,CODE,DESCRIPTION,VALUE,UNITS,TYPE\n")
        while left > 0:
            number = draw.randrange(PEOPLE)
            when = (_BEGIN + dt.timedelta(seconds=draw.randrange(300_000_000))).astimezone(dt.UTC)
            person, visit = f"{number:08x}-4e6b-9f0d-5ee0-b6b8a9f5c3d1", f"{count:08x}-4f1e-8a7c-1f1d-a2f0a1b2c3d4"
            vital = draw.random() < 0.3
            code, name, unit = draw.choice(_VITAL_SIGNS if vital else _LABORATORY)
            category = "vital-signs" if vital else "laboratory"
            value = f"{draw.uniform(1, 200):.1f}"
            line = f"{when:%Y-%m-%dT%H:%M:%SZ},{person},{visit},{category},{code},{name},{value},{unit},numeric\n"
            file.write(line)
            left -= len(line)
            count += 1
    return count


def _sensor(folder: Path, megabytes: float) -> int:
    """LibreView's export of one person: a value every quarter of an hour, in a file for each 30 years."""
    left, count = megabytes * 1e6, 0
    for part in range(1_000):
        with (folder / f"glucose-{part}.csv").open("w", encoding="utf-8") as file:
            file.write("Glucose Data,Generated on,15-03-2024 09:00 UTC,Generated by,made up\n")
            file.write(
                "Device,Serial Number,Device Timestamp,Record Type,Historic Glucose mg/dL,Scan Glucose mg/dL,Notes\n"
            )
            when = dt.datetime(1994, 1, 1)  # noqa: DTZ001 - the phone's clock, without a zone
            for number in range(1_000_000):
                when += dt.timedelta(minutes=15)
                line = f"FreeStyle LibreLink,{part:08d}-made-up,{when:%d-%m-%Y %H:%M},0,{70 + number % 110},,\n"
                file.write(line)
                left -= len(line)
                count += 1
                if left <= 0:
                    return count
    return count


def _export(folder: Path, megabytes: float) -> int:
    """Apple Health's export of one person: heart rates, steps, weights."""
    kinds = (
        ("HKQuantityTypeIdentifierHeartRate", "count/min", 40, 0.2),
        ("HKQuantityTypeIdentifierStepCount", "count", 1, 0.5),
        ("HKQuantityTypeIdentifierDistanceWalkingRunning", "km", 1, 0.1),
    )
    device = "&lt;&lt;HKDevice: 0x1&gt;, name:Apple Watch, manufacturer:Apple Inc., model:Watch, hardware:Watch6,2&gt;"
    left, count = megabytes * 1e6, 0
    begin = dt.datetime(2015, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=9)))
    with (folder / "export.xml").open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="UTF-8"?>\n<HealthData locale="ko_KR">\n')
        file.write(' <ExportDate value="2045-01-01 00:00:00 +0900"/>\n'.replace("2045", "2025"))
        while left > 0:
            kind, unit, low, step = kinds[count % len(kinds)]
            at = begin + dt.timedelta(minutes=count % 5_000_000)
            end = at + dt.timedelta(minutes=1)
            value = f"{low + step * (count % 300):g}" if unit != "count" else f"{low + count % 300}"
            line = (
                f' <Record type="{kind}" sourceName="made up" sourceVersion="9.1" device="{device}" unit="{unit}"'
                f' creationDate="{end:%Y-%m-%d %H:%M:%S %z}" startDate="{at:%Y-%m-%d %H:%M:%S %z}"'
                f' endDate="{end:%Y-%m-%d %H:%M:%S %z}" value="{value}"/>\n'
            )
            file.write(line)
            left -= len(line)
            count += 1
        file.write("</HealthData>\n")
    return count


KINDS: Final = (
    _Kind("FHIR bundles", _bundles),
    _Kind("FHIR NDJSON, small Observations", partial(_lines, narrated=False)),
    _Kind("FHIR NDJSON, Observations with a text", partial(_lines, narrated=True)),
    _Kind("CSV, Synthea's observations", _table),
    _Kind("CSV, LibreView", _sensor),
    _Kind("Apple Health export.xml", _export),
)
