"""The suites that Biokeel ships: sound, native, tried by their samples, and passed by good real data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from biokeel.batch import Outcome, PseudonymisedBatch, QuarantinedBatch, ValidatedBatch
from biokeel.cli import suite as suite_commands
from biokeel.contracts.schema import load_schemas
from biokeel.contracts.topics import EventType, event_type
from biokeel.settings import PROJECT_ROOT
from biokeel.source.columns import conform, frame_of
from biokeel.source.encoding import Withheld
from biokeel.source.files import Source, find_files, publish_files
from biokeel.validate.samples import run_samples, samples_path
from biokeel.validate.stage import validate
from biokeel.validate.suites import SuiteStore, suite_path
from tests.event_types import LANDED_EVENTS
from tests.validate.real_gx import load

ROOT = PROJECT_ROOT / "expectations"
SCHEMAS = load_schemas(PROJECT_ROOT / "schemas")
Record = dict[str, object]


@pytest.fixture(scope="module")
def store() -> SuiteStore:
    return SuiteStore(ROOT, SCHEMAS)


@pytest.mark.parametrize("event", LANDED_EVENTS, ids=str)
def test_every_event_type_has_a_suite_and_samples_that_try_each_of_its_rules(
    store: SuiteStore, event: EventType
) -> None:
    suite = store.current(event)
    report = run_samples(suite, samples_path(ROOT, event).read_text(encoding="utf-8"))
    assert not report.surprises
    assert not report.untried
    assert {rule.severity for rule in suite.rules if rule.window is not None} <= {"warning", "info"}


@pytest.mark.parametrize("event", LANDED_EVENTS, ids=str)
def test_great_expectations_itself_reads_the_suite(event: EventType) -> None:
    load(json.loads(suite_path(ROOT, event).read_text(encoding="utf-8")))


def test_rule_ids_are_taken_once_over_all_suites(store: SuiteStore) -> None:
    ids = [rule.id for event in LANDED_EVENTS for rule in store.current(event).rules]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("event", LANDED_EVENTS, ids=str)
def test_each_rule_names_its_guideline_or_standard_or_says_that_it_is_a_plausibility_limit(
    store: SuiteStore, event: EventType
) -> None:
    for rule in store.current(event).rules:
        assert len(rule.source) > 20, rule.id
        assert rule.source != rule.notes, rule.id


def test_a_low_quality_is_no_wrong_record_and_is_flagged(store: SuiteStore) -> None:
    genome = {"mean_autosome_coverage": 9.0, "pct_autosomes_15x": 5.0, "cross_contamination_rate": 0.4}
    frame = pl.DataFrame([genome])
    outcome = validate(
        PseudonymisedBatch(event_type("genome.qc_metrics"), frame), store.current(event_type("genome.qc_metrics"))
    )
    assert {"qc.coverage.low", "qc.contamination.high"} <= flags(outcome).keys()


class _Kept:
    """A sink that keeps the rows, as the pseudonymiser would hand them on without a person."""

    def __init__(self) -> None:
        self.frames: dict[EventType, list[pl.DataFrame]] = {}

    def publish(self, event: EventType, rows: pl.DataFrame | Sequence[Record], withheld: Withheld | None = None) -> int:
        frame = conform(SCHEMAS[event], rows) if isinstance(rows, pl.DataFrame) else frame_of(SCHEMAS[event], rows)
        self.frames.setdefault(event, []).append(frame)
        return frame.height

    def publish_raw(self, event: EventType, values: Sequence[bytes | None], partition: int = 0) -> list[int]:
        raise AssertionError

    def judged(self, store: SuiteStore, name: str) -> Outcome[ValidatedBatch, QuarantinedBatch]:
        event = event_type(name)
        kept = ("event_id", "source_id", "occurred_at", "occurred_offset_minutes", "recorded_at")
        names = [*kept, *(field.name for field in SCHEMAS[event].kept())]
        frame = pl.concat(self.frames[event]).select(names)
        times = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]
        frame = frame.with_columns(pl.col(times).dt.replace_time_zone("UTC"))
        return validate(PseudonymisedBatch(event, frame), store.current(event))


def published(folder: Path) -> _Kept:
    sink = _Kept()
    publish_files(find_files([folder]), Source("hospital-test", b"k" * 32), sink)
    return sink


def flags(outcome: Outcome[ValidatedBatch, QuarantinedBatch]) -> dict[str, int]:
    return dict(outcome.accepted.frame["warnings"].explode(empty_as_null=False).value_counts().iter_rows())


def test_synthea_bundles_pass_without_a_quarantined_row(store: SuiteStore, shared_data: Path) -> None:
    sink = published(shared_data / "clinical" / "fhir-r4-synthea-bundles")
    for name in ("blood_pressure", "glucose", "diagnosis", "lab_result", "medication"):
        outcome = sink.judged(store, f"clinical.{name}")
        assert len(outcome.rejected) == 0, outcome.rejected.frame["failed_rules"].to_list()
        assert len(outcome.accepted) > 0
        assert flags(outcome) == {}


def test_the_fitbit_export_lands_whole_with_its_known_defects_flagged(store: SuiteStore, shared_data: Path) -> None:
    sink = published(shared_data / "lifestyle" / "fitbit-33-users")
    days = sink.judged(store, "lifestyle.exercise")
    assert (len(days.accepted), len(days.rejected)) == (940, 0)
    assert flags(days) == {"exercise.steps.zero_day": 77, "exercise.energy.zero_day": 4}
    nights = sink.judged(store, "lifestyle.sleep")
    assert (len(nights.accepted), len(nights.rejected)) == (410, 0)
    assert flags(nights) == {}


def test_the_1000_genomes_of_ga4gh_land_with_low_coverage_flagged(store: SuiteStore, shared_data: Path) -> None:
    sink = published(shared_data / "genome" / "ga4gh-wgs-qc")
    metrics = sink.judged(store, "genome.qc_metrics")
    assert (len(metrics.accepted), len(metrics.rejected)) == (64, 0)
    below = metrics.accepted.frame.filter(pl.col("mean_autosome_coverage") < 30).height
    assert flags(metrics) == {"qc.coverage.target": below}
    assert below > 0
    manifest = sink.judged(store, "genome.sample_manifest")
    assert len(manifest.rejected) == 0
    assert flags(manifest) == {}


def build() -> typer.Typer:
    app = typer.Typer()
    suite_commands.register(app)
    return app


def test_the_command_line_lists_checks_and_tests_the_suites() -> None:
    runner = CliRunner()
    for command in ("list", "check", "test"):
        result = runner.invoke(build(), ["suite", command], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        assert all(str(event) in result.output for event in LANDED_EVENTS)
    assert "a failing row is quarantined" in runner.invoke(build(), ["suite", "check", "clinical.glucose"]).output


def test_the_command_line_fails_on_a_broken_suite_and_on_a_wrong_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = event_type("lifestyle.sleep")
    path, samples = suite_path(tmp_path, event), samples_path(tmp_path, event)
    path.parent.mkdir()
    text = suite_path(ROOT, event).read_text(encoding="utf-8")
    path.write_text(text.replace('"minutes_in_bed", "min_value"', '"minutes_in_bad", "min_value"'), encoding="utf-8")
    samples.write_text('{"samples": [{"why": "too long", "row": {"minutes_asleep": 2000}}]}')
    monkeypatch.setenv("BIOKEEL_EXPECTATIONS_DIR", str(tmp_path))
    runner = CliRunner()
    broken = runner.invoke(build(), ["suite", "check", "lifestyle.sleep"])
    assert broken.exit_code == 1
    assert "Did you mean 'minutes_in_bed'?" in broken.output
    path.write_text(text, encoding="utf-8")
    wrong = runner.invoke(build(), ["suite", "test", "lifestyle.sleep"])
    assert wrong.exit_code == 1
    assert "fails sleep.minutes_asleep.range" in wrong.output
