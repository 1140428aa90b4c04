"""GA4GH WGS quality control: what is read, what is refused, and when two reports are one event."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.errors import AdapterError
from biokeel.source.adapters.base import Context, Record, Report
from biokeel.source.adapters.stated import Stated
from biokeel.source.adapters.wgs_qc import METRICS, read_metrics
from biokeel.source.ids import EventIds
from biokeel.source.times import moment

GA4GH = "genome/ga4gh-wgs-qc"
COUNTS = ("yield_bp_q30", "count_snvs", "count_insertions", "count_deletions")
CONTEXT = Context("centre", "centre", EventIds("centre", b"key"), 1_720_000_000_000)
GOOD = {"mean_autosome_coverage": 31.2, "cross_contamination_rate": 0.001, "count_snvs": 3_900_000}


def sample(metrics: Mapping[str, Any], **declared: Any) -> dict[str, Any]:
    return {"biosample": {"id": "S1"}, "wgs_qc_metrics": metrics, **declared}


@pytest.fixture
def read_json(tmp_path: Path) -> Callable[..., tuple[list[Record], Report]]:
    """Reads a document as a file of its own."""

    def run(document: Any, context: Context = CONTEXT) -> tuple[list[Record], Report]:
        path, report = tmp_path / f"{len(list(tmp_path.iterdir()))}.json", Report()
        path.write_text(json.dumps(document), encoding="utf-8")
        rows = [row for batch in read_metrics(path, context, report) for row in batch.rows]
        return rows, report  # type: ignore[return-value]

    return run


def test_every_number_of_the_standards_64_samples_is_the_one_in_the_file(read: Any, shared_data: Path) -> None:
    paths = sorted((shared_data / GA4GH).glob("results-*/*.json"))
    assert len(paths) == 64
    ids = set()
    for path in paths:
        ((record,), report) = read(read_metrics, path)[0]["genome.qc_metrics"], read(read_metrics, path)[1]
        said = json.loads(path.read_text(encoding="utf-8"))
        groups = said["wgs_qc_metrics"].values()
        plain = {key.replace("homzygous", "homozygous"): value for group in groups for key, value in group.items()}
        assert len(plain) == 16
        assert {name: record[name] for name in plain} == plain
        assert all(type(record[name]) is int for name in COUNTS)
        assert record["subject_id"] == said["biosample"]["id"]
        assert record["report_type"] == "ga4gh-wgs-qc"
        assert not report.problems
        ids.add(record["event_id"])
    assert len(ids) == 64


@pytest.mark.parametrize(
    ("metrics", "other"),
    [
        ({"aln_metrics": {"mean_insert_size": 4.5}, "variant_metrics": {"count_snvs": 7}}, {}),
        ({"mean_insert_size": 4.5, "count_snvs": 7.0}, {}),
        ({"mean_insert_size": 4.5}, {"vcf_qc_metrics": {"count_snvs": 7}}),
    ],
    ids=["nested", "flat", "alignment and variants apart"],
)
def test_nested_and_flat_reports_say_the_same_and_are_the_same_event(
    read_json: Any, metrics: dict[str, Any], other: dict[str, Any]
) -> None:
    ((record,), _) = read_json(sample(metrics, **other))
    assert (record["mean_insert_size"], record["count_snvs"]) == (4.5, 7)
    assert record["event_id"] == read_json(sample({"count_snvs": 7, "mean_insert_size": 4.5}))[0][0]["event_id"]


def test_the_variants_of_argos_pipeline_are_a_report_of_their_own(read_json: Any) -> None:
    ((record,), _) = read_json({"biosample": {"id": "S1"}, "vcf_qc_metrics": {"count_snvs": 7.0}})
    assert (record["report_type"], record["count_snvs"]) == ("ga4gh-vcf-qc", 7)


def read_lines(path: Path, lines: Sequence[Any]) -> tuple[list[Record], Report]:
    report = Report()
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return [row for batch in read_metrics(path, CONTEXT, report) for row in batch.rows], report  # type: ignore[misc]


def test_a_sample_a_line_is_an_event_each_and_a_bad_one_costs_only_itself(tmp_path: Path) -> None:
    lines = [sample(GOOD), {"biosample": [{"id": "S1"}], "wgs_qc_metrics": GOOD}, 3, sample({})]
    rows, report = read_lines(tmp_path / "a.ndjson", lines)
    assert len(rows) == 1
    assert [problem.position for problem in report.problems] == ["line 2", "line 3", "line 4, wgs_qc_metrics"]


@pytest.mark.parametrize("samples", [[sample(GOOD)], [sample(GOOD), sample(GOOD) | {"biosample": {"id": "S2"}}]])
def test_a_list_of_samples_is_refused_whole_and_says_what_to_do(read_json: Any, samples: list[Any]) -> None:
    with pytest.raises(AdapterError, match=r"a list of samples.*NDJSON"):
        read_json(samples)


def test_tumour_and_normal_are_two_events(read_json: Any) -> None:
    rows, report = read_json(sample({"tumor": {"aln_metrics": GOOD}, "normal": GOOD}))
    assert [row["specimen_role"] for row in rows] == ["tumor", "normal"]
    assert len({row["event_id"] for row in rows}) == 2
    assert not report.problems


def test_a_group_that_is_not_known_is_a_problem_that_does_not_name_it(read_json: Any) -> None:
    rows, report = read_json(sample({"KB0001": GOOD, "count_snvs": 4}))
    assert [row.get("mean_autosome_coverage") for row in rows] == [None]
    assert "KB0001" not in str(report.problems)
    assert "group" in report.problems[0].reason


def test_an_unknown_metric_is_named_and_a_name_that_may_be_a_number_is_not(read_json: Any) -> None:
    rows, report = read_json(sample({**GOOD, "contamination_x": 0.3, "90010112345": 1}))
    assert len(rows) == 1
    assert [problem.reason for problem in report.problems] == [
        "a metric that is not known: contamination_x",
        "a metric that is not known: (a name that is not shown)",
    ]


def test_a_count_with_a_fraction_is_refused_and_a_whole_float_is_a_count(read_json: Any) -> None:
    rows, report = read_json(sample({**GOOD, "count_snvs": 3988845.7}))
    assert not rows
    assert [problem.reason for problem in report.problems] == ["count_snvs is no whole number"]
    ((record,), _) = read_json(sample({**GOOD, "count_snvs": 3988845.0}))
    assert record["count_snvs"] == 3988845
    assert type(record["count_snvs"]) is int


@pytest.mark.parametrize("value", [True, "many", "31.2", "1_000", "３", [], {"x": 1}, "nan", "inf"])
def test_what_is_no_number_is_refused_and_not_left_null(read_json: Any, value: Any) -> None:
    rows, report = read_json(sample({**GOOD, "mean_insert_size": value}))
    assert not [row for row in rows if "mean_insert_size" in row]
    assert report.problems


def test_a_count_that_no_field_can_hold_is_refused(read_json: Any) -> None:
    rows, report = read_json(sample({**GOOD, "count_snvs": 1e20}))
    assert not rows
    assert report.problems[0].reason == "count_snvs is larger than a whole number can be told"


def test_what_the_pipeline_says_is_not_available_is_counted(read_json: Any) -> None:
    ((record,), report) = read_json(sample({**GOOD, "mean_insert_size": "NA", "pct_reads_mapped": None}))
    assert "mean_insert_size" not in record
    assert report.left_out["mean_insert_size: not available"] == 1
    assert report.left_out["pct_reads_mapped: not available"] == 1
    assert not report.problems


def test_both_spellings_with_two_values_are_refused(read_json: Any) -> None:
    names = ("ratio_heterozygous_homzygous_snv", "ratio_heterozygous_homozygous_snv")
    assert len(read_json(sample(dict.fromkeys(names, 1.5)))[0]) == 1
    rows, report = read_json(sample(dict(zip(names, (1.5, 1.6), strict=True))))
    assert not rows
    assert "twice" in report.problems[0].reason


IDENTITIES: dict[str, Any] = {
    "pipeline": "npm-sample-qc 0.13.5",
    "run": "r1",
    "reference_build": "GRCh38",
    "alignment": "s3://b/one.cram",
}
OTHERS: dict[str, Any] = {
    "pipeline": {"name": "argo-dnaalnqc", "version": "1.1.0"},
    "run": "r2",
    "reference_build": "hg19",
} | {"alignment": "s3://b/two.cram"}


@pytest.mark.parametrize("what", list(IDENTITIES))
def test_two_pipelines_runs_builds_or_alignments_of_a_sample_are_two_events(read_json: Any, what: str) -> None:
    ids = [
        read_json(sample(GOOD, **IDENTITIES))[0][0]["event_id"],
        read_json(sample(GOOD, **IDENTITIES | {what: OTHERS[what]}))[0][0]["event_id"],
        read_json(sample(GOOD, **IDENTITIES | {what: None}))[0][0]["event_id"],
    ]
    assert len(set(ids)) == 3, "another one, and none, are each an identity of their own"


def test_a_pipelines_version_may_stand_beside_its_name(read_json: Any) -> None:
    ways: list[dict[str, Any]] = [
        {"pipeline": "argo-dnaalnqc 1.1.0"},
        {"pipeline": {"name": "argo-dnaalnqc", "version": "1.1.0"}},
        {"pipeline_name": "argo-dnaalnqc", "pipeline_version": "1.1.0"},
    ]
    rows = [read_json(sample(GOOD, **way))[0][0] for way in ways]
    assert rows[0] == rows[1] == rows[2]
    assert rows[0]["pipeline"] == "argo-dnaalnqc 1.1.0"
    assert read_json(sample(GOOD, pipeline="a", workflow="b"))[1].problems


def test_a_correction_names_its_run_and_is_the_same_event(read_json: Any) -> None:
    corrected = GOOD | {"count_snvs": 3_900_001}
    ids = [read_json(sample(metrics, run="r1"))[0][0]["event_id"] for metrics in (GOOD, corrected)]
    assert len(set(ids)) == 1
    ids = [read_json(sample(metrics))[0][0]["event_id"] for metrics in (GOOD, corrected)]
    assert len(set(ids)) == 2, "without a run nobody can tell it from another run"


def test_one_run_with_two_values_in_one_file_is_a_problem_and_does_not_replace_itself(tmp_path: Path) -> None:
    lines = [sample(metrics, run="r1") for metrics in (GOOD, GOOD, GOOD | {"count_snvs": 3_900_001})]
    rows, report = read_lines(tmp_path / "a.ndjson", lines)
    assert {row["count_snvs"] for row in rows} == {3_900_000}
    assert [problem.position for problem in report.problems] == ["line 3, wgs_qc_metrics"]


def test_what_is_stated_of_a_file_counts_as_if_the_report_said_it(read_json: Any) -> None:
    stated = replace(CONTEXT, stated=Stated("S1", **IDENTITIES))
    said = read_json(sample(GOOD, **IDENTITIES))[0][0]
    assert read_json(sample(GOOD), stated)[0][0] == said
    assert (said["pipeline"], said["reference_build"]) == ("npm-sample-qc 0.13.5", "GRCh38")


@pytest.mark.parametrize("what", [*IDENTITIES, "sample"])
def test_a_report_that_contradicts_what_is_stated_is_refused(read_json: Any, what: str) -> None:
    other: Any = {"pipeline": "x", "run": "x", "reference_build": "GRCh37", "alignment": "x", "sample": "S2"}[what]
    rows, report = read_json(sample(GOOD, **IDENTITIES), replace(CONTEXT, stated=replace(Stated(), **{what: other})))
    assert not rows
    assert "stated" in report.problems[0].reason
    assert "S2" not in report.problems[0].reason


def test_a_build_that_is_none_of_ours_is_refused(read_json: Any) -> None:
    rows, report = read_json(sample(GOOD, reference_build="mm10"))
    assert not rows
    assert "reference_build" in report.problems[0].reason


def test_no_build_and_no_pipeline_is_told_from_a_folders_name(tmp_path: Path) -> None:
    folder = tmp_path / "results-npm-sample-qc-v0.13.5" / "hg38"
    folder.mkdir(parents=True)
    (folder / "S1.json").write_text(json.dumps(sample(GOOD)))
    ((_, (record,), _),) = read_metrics(folder / "S1.json", CONTEXT, Report())
    assert isinstance(record, dict)
    assert (record["pipeline"], record["reference_build"]) == (None, None)


def test_the_time_is_the_reports_or_what_is_stated_or_says_that_nobody_knows(read_json: Any) -> None:
    stated = replace(CONTEXT, stated=Stated(at=moment("2024-05-01T00:00:00+09:00", None)))
    own = read_json(sample(GOOD, date="2024-04-30T12:00:00+09:00"), stated)[0][0]
    assert (own["occurred_at"], own["occurred_precision"], own["occurred_basis"]) == (
        1_714_446_000_000,
        "second",
        "stated",
    )
    other = read_json(sample(GOOD), stated)[0][0]
    assert (other["occurred_at"], other["occurred_basis"]) == (1_714_489_200_000, "stated")
    ((nobody,), report) = read_json(sample(GOOD))
    assert (nobody["occurred_at"], nobody["occurred_basis"]) == (CONTEXT.recorded_at, "recorded")
    assert nobody["occurred_precision"] is None
    assert sum(report.left_out.values()) == 1
    rows, report = read_json(sample(GOOD), replace(CONTEXT, changed_at=315_532_800_000))
    assert not rows, "a file of 1980"
    assert report.problems
    assert not read_json(sample(GOOD, date="yesterday"))[0]


@pytest.mark.parametrize("nobody", [7, ["S"], {"id": "S"}, "", " ", "1.2E+05"])
def test_a_sample_that_is_no_text_or_nothing_is_refused(read_json: Any, nobody: Any) -> None:
    rows, report = read_json({"biosample": {"id": nobody}, "wgs_qc_metrics": {"count_snvs": 4}})
    assert not rows
    assert "biosample.id" in report.problems[0].reason


@pytest.mark.parametrize("biosample", [None, [], ["S"], "S", {}, [{"id": "S1"}]])
def test_metrics_without_a_biosample_are_refused(read_json: Any, biosample: Any) -> None:
    rows, report = read_json({"biosample": biosample, "wgs_qc_metrics": {"count_snvs": 4}})
    assert not rows
    ((place, reason),) = [(problem.position, problem.reason) for problem in report.problems]
    assert place == "the document"
    assert "biosample.id" in reason


numbers = st.integers(0, 10**9) | st.floats(0, 1e9).map(float.__floor__).map(float)
reports = st.dictionaries(st.sampled_from(sorted(set(METRICS.values()))), numbers, min_size=1)


@given(reports, st.randoms(use_true_random=False))
def test_the_order_of_metrics_and_the_file_they_are_in_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, metrics: dict[str, float], shuffle: Any
) -> None:
    names = list(metrics)
    shuffle.shuffle(names)
    found = []
    for number, document in enumerate((sample(metrics), sample({name: metrics[name] for name in names}))):
        path = tmp_path_factory.mktemp("order") / f"{number}.json"
        path.write_text(json.dumps(document))
        found.append([batch.rows for batch in read_metrics(path, CONTEXT, Report())])
    assert found[0] == found[1]


@given(reports, st.text("abcdefg_", min_size=1, max_size=30).filter(lambda name: name not in METRICS), numbers)
def test_an_unknown_metric_never_changes_the_others(
    tmp_path_factory: pytest.TempPathFactory, metrics: dict[str, float], unknown: str, value: float
) -> None:
    path = tmp_path_factory.mktemp("unknown") / "m.json"
    path.write_text(json.dumps(sample(metrics)))
    before = [batch.rows for batch in read_metrics(path, CONTEXT, Report())]
    other = path.with_name("n.json")
    other.write_text(json.dumps(sample({unknown: value, **metrics})))
    report = Report()
    assert [batch.rows for batch in read_metrics(other, CONTEXT, report)] == before
    assert len(report.problems) == 1
