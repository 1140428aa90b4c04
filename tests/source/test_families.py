"""The table of docs/sources.md is what happens, and the figures in it are those of an independent reading."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from biokeel.source.files import FileResult
from tests.source import families


@pytest.fixture(scope="module")
def found(shared_data: Path, shared_cases: Path) -> list[FileResult]:
    return families.results(families.folders(shared_data, shared_cases))


def test_the_table_of_the_page_is_what_becomes_of_the_files(found: list[FileResult]) -> None:
    assert families.on_the_page() == families.table(found), "python -m tests.source.families writes it anew"


def test_no_file_is_passed_over_in_silence(found: list[FileResult]) -> None:
    silent = [
        result.path.name
        for result in found
        if not (result.sent or result.failure or result.unused or result.report.left_out)
    ]
    assert silent
    assert all("empty" in name for name in silent), "only those in which nothing is"


def test_no_adapter_raised_what_nobody_foresaw(found: list[FileResult]) -> None:
    assert not [result.failure for result in found if "defect of Biokeel" in result.failure]


def sent(found: list[FileResult], folder: Path) -> Counter[str]:
    return sum((result.sent for result in found if folder in result.path.parents), Counter())


def resources(folder: Path) -> Iterator[dict[str, Any]]:
    for path in folder.rglob("*.json"):
        for entry in json.loads(path.read_text("utf-8"))["entry"]:
            yield entry["resource"]


def test_synthea_s_bundles_give_an_event_for_each_resource_that_json_counts(
    found: list[FileResult], shared_data: Path
) -> None:
    folder = shared_data / "clinical" / "fhir-r4-synthea-bundles"
    kinds = Counter(each["resourceType"] for each in resources(folder))
    codes = [
        (each["code"]["coding"][0]["code"], each["category"][0]["coding"][0]["code"])
        for each in resources(folder)
        if each["resourceType"] == "Observation"
    ]
    glucose = sum(code in {"2339-0", "2345-7"} for code, _ in codes)
    events = sent(found, folder)
    assert events["person.enrolment"] == kinds["Patient"] == 3
    assert events["clinical.diagnosis"] == kinds["Condition"]
    assert events["clinical.medication"] == kinds["MedicationRequest"]
    assert events["clinical.blood_pressure"] == sum(code in {"85354-9", "55284-4"} for code, _ in codes)
    assert events["clinical.glucose"] == glucose
    assert events["clinical.lab_result"] == sum(category == "laboratory" for _, category in codes) - glucose


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("clinical/synthea-csv/conditions.csv", "clinical.diagnosis"),
        ("clinical/synthea-csv/medications.csv", "clinical.medication"),
        ("clinical/synthea-csv/patients.csv", "person.enrolment"),
        ("genome/ga4gh-wgs-qc/n.100-1kg-sample-info-igsr.csv", "genome.sample_manifest"),
        ("lifestyle/fitbit-33-users/dailyActivity_merged.csv", "lifestyle.exercise"),
    ],
)
def test_a_table_gives_an_event_for_each_row_that_csv_counts(
    found: list[FileResult], shared_data: Path, name: str, event: str
) -> None:
    path = shared_data / name
    (result,) = [each for each in found if each.path == path]
    assert result.sent == {event: len(rows(path))}


def test_rows_of_fitbit_s_sleep_that_repeat_another_are_left_out(found: list[FileResult], shared_data: Path) -> None:
    path = shared_data / "lifestyle" / "fitbit-33-users" / "sleepDay_merged.csv"
    (result,) = [each for each in found if each.path == path]
    assert result.sent["lifestyle.sleep"] == len({tuple(row.values()) for row in rows(path)}) == 410


def test_every_metrics_file_is_one_event(found: list[FileResult], shared_data: Path) -> None:
    folder = shared_data / "genome" / "ga4gh-wgs-qc"
    assert sent(found, folder)["genome.qc_metrics"] == len(list(folder.rglob("*.metrics.json"))) == 64
