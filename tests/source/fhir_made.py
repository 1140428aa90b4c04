"""FHIR resources that tests make, and a way to read them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.settings import PROJECT_ROOT
from biokeel.source.adapters.base import Context, Record, Report
from biokeel.source.adapters.fhir import read_fhir
from biokeel.source.columns import frame_of, records_of
from biokeel.source.ids import EventIds
from biokeel.source.memory import Memory

Resource = dict[str, Any]
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
CATALOGUE = DirectoryCatalogue(PROJECT_ROOT / "schemas")


def concept(code: str, system: str = LOINC) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def amount(value: Any, unit: str, **more: Any) -> Resource:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit} | more


def observation(id_: str = "o-1", code: str = "718-7", category: str | None = "laboratory", **more: Any) -> Resource:
    found = {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": concept(code),
        "subject": {"reference": "Patient/p-1"},
        "effectiveDateTime": "2024-05-01T09:00:00+09:00",
        "issued": "2024-05-01T10:00:00+09:00",
    }
    if category:
        found["category"] = [concept(category, CATEGORY)]
    return found | more


def component(code: str, value: Any, unit: str, **more: Any) -> Resource:
    return {"code": concept(code), "valueQuantity": amount(value, unit)} | more


def bundle(*resources: Resource, type: str = "collection") -> Resource:  # noqa: A002 - FHIR's name
    return {"resourceType": "Bundle", "type": type, "entry": [{"resource": each} for each in resources]}


def read(document: Any, memory: Memory | None = None, *, lines: bool = False) -> tuple[dict[str, list[Record]], Report]:
    """The events of a document (of several, one a line), and the report; every record fits its schema."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.ndjson" if lines else "file.json")
        path.write_text("\n".join(map(json.dumps, document)) if lines else json.dumps(document))
        report = Report()
        context = Context("h", "clinic", EventIds("h", b"k"), 1_760_000_000_000, memory=memory)
        events: dict[str, list[Record]] = {}
        for event, found, places in read_fhir(path, context, report):
            rows = records_of(found)
            assert len(places) == len(rows)
            assert frame_of(CATALOGUE.reader(event).schema, rows).height == len(rows)
            events.setdefault(str(event), []).extend(rows)
        return events, report


def problems(report: Report) -> list[str]:
    return [each.reason for each in report.problems]
