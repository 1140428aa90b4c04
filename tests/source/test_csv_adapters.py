from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.topics import event_type
from biokeel.errors import AdapterError
from biokeel.source.adapters.wgs_qc import read_manifest, read_metrics, read_sample_sheet

GA4GH = "genome/ga4gh-wgs-qc"


def test_all_metrics_of_a_sample_arrive_under_their_right_names(
    read: Any, shared_data: Path, catalogue: DirectoryCatalogue
) -> None:
    paths = sorted((shared_data / GA4GH).glob("results-*/*.json"))
    assert len(paths) == 64
    for path in paths:
        events, report = read(read_metrics, path)
        assert not report.problems
        (record,) = events["genome.qc_metrics"]
        assert record["subject_id"] == path.name.split(".")[0]
        assert record["pipeline"] == "npm-sample-qc-v0.13.5"
        names = [field.name for field in catalogue.reader(event_type("genome.qc_metrics")).schema.payload]
        assert [name for name in names if record.get(name) is None] == ["status", "occurred_precision"]


def test_a_metric_that_is_no_number_is_a_problem(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(
        json.dumps({"biosample": {"id": "S"}, "wgs_qc_metrics": {"count_snvs": "many", "mean_insert_size": 4}})
    )
    events, report = read(read_metrics, path)
    assert not events
    assert report.problems[0].reason == "no number: count_snvs"
    path.write_text(json.dumps({"wgs_qc_metrics": {}}))
    with pytest.raises(AdapterError, match=r"biosample\.id"):
        read(read_metrics, path)


def test_manifest_and_sample_sheet_name_all_hundred_samples(read: Any, shared_data: Path) -> None:
    files, _ = read(read_manifest, shared_data / GA4GH / "n.100-1kg-dragen3.7.6-manifest.csv")
    sheet, _ = read(read_sample_sheet, shared_data / GA4GH / "n.100-1kg-sample-info-igsr.csv")
    samples = [{r["subject_id"] for r in events["genome.sample_manifest"]} for events in (files, sheet)]
    assert samples[0] == samples[1]
    assert len(samples[0]) == 100
    assert {r["reference_build"] for r in files["genome.sample_manifest"]} == {"GRCh38"}
    assert {r["sex_reported"] for r in sheet["genome.sample_manifest"]} == {"female", "male"}
    ids = [r["event_id"] for events in (files, sheet) for r in events["genome.sample_manifest"]]
    assert len(set(ids)) == 200


@pytest.mark.parametrize("nobody", [7, ["S"], {"id": "S"}, "", " ", "1.2E+05"])
def test_a_sample_that_is_no_text_or_nothing_is_refused(read: Any, tmp_path: Path, nobody: Any) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"biosample": {"id": nobody}, "wgs_qc_metrics": {"count_snvs": 4}}))
    events, report = read(read_metrics, path)
    assert not events
    assert "biosample.id" in report.problems[0].reason


@pytest.mark.parametrize("biosample", [None, [], ["S"], "S", {}])
def test_metrics_without_a_biosample_are_refused(read: Any, tmp_path: Path, biosample: Any) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"biosample": biosample, "wgs_qc_metrics": {"count_snvs": 4}}))
    with pytest.raises(AdapterError, match=r"biosample\.id"):
        read(read_metrics, path)


def test_a_line_of_a_manifest_or_a_sheet_without_a_sample_is_a_problem(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(" ,s3://b/x,s3://b/y\nS1,s3://b/x,s3://b/y\n")
    events, report = read(read_manifest, path)
    assert [record["subject_id"] for record in events["genome.sample_manifest"]] == ["S1"]
    assert [problem.position for problem in report.problems] == ["line 1"]
    path.write_text("Sex,Biosample_ID,Sample_name\nmale,B1\nmale,B2, \nmale,B3,S3\n")
    events, report = read(read_sample_sheet, path)
    assert [record["subject_id"] for record in events["genome.sample_manifest"]] == ["S3"]
    assert [problem.reason for problem in report.problems] == ["Sample_name is empty"] * 2
