"""What a dry run says of real files, and of files with defects, is what becomes of them on the real parts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from biokeel.books.bookkeeper import Bookkeeper
from biokeel.books.places import Place
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.sources import Register
from biokeel.rules.dry_run import Judge, dry_run
from biokeel.rules.findings import Fate
from biokeel.source.client import Publisher
from biokeel.source.enrol import CONSENT_WORDS, Enroller
from biokeel.source.files import Source, find_files, publish_files
from biokeel.stack.stack import Stack
from biokeel.validate.suites import SuiteStore
from tests.event_types import LANDED_EVENTS
from tests.stack.stack_helpers import balanced

pytestmark = [pytest.mark.integration, pytest.mark.long]

FOLDERS = ("clinical/fhir-r4-synthea-bundles", "lifestyle/fitbit-33-users", "genome/ga4gh-wgs-qc")
PATIENCE = 120
"""Seconds until the books balance."""
GOOD = {
    "event": "clinical.glucose",
    "subject_scheme": "hospital/canary",
    "subject_id": "77310042",
    "occurred_at": "2024-05-01T07:00:00+09:00",
    "code": "2339-0",
    "value": 95.0,
    "value_unit": "mg/dL",
    "status": "final",
}
ENROLMENT = {
    "event": "person.enrolment",
    "subject_scheme": "hospital/canary",
    "subject_id": "77310042",
    "occurred_at": "2024-05-01T07:00:00+09:00",
    "identifiers": [],
    "sex": "female",
    "consent_scope": ["clinical"],
}
CHANGES = (
    {"value": 9999.0},
    {"status": "as usual"},
    {"specimen": "a finger"},
    {"specimen": "900101-1234567"},
    {"source_id": "nobody"},
    {"occurred_at": "1800-01-01T00:00:00Z"},
    {"event_id": "no id"},
    {"status": "entered-in-error"},
)


def test_files_fare_on_the_stack_as_the_dry_run_said(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIOKEEL_FLUSH_SECONDS", "1")
    lines = [GOOD | {"key": number} | change for number, change in enumerate(CHANGES)]
    broken = {"event": "clinical.glucose", "raw_hex": "0000"}
    made = tmp_path / "made.jsonl"
    made.write_text("".join(json.dumps(line) + "\n" for line in [ENROLMENT, *lines, lines[2], broken]))
    files = find_files([*(shared_data / folder for folder in FOLDERS), made])
    source = Source("canary", b"key", site="canary")
    with Stack.start(tmp_path / "stack", workers=1) as stack:
        settings = stack.source("canary")
        catalogue = DirectoryCatalogue(settings.schemas_dir)
        suites = SuiteStore(settings.expectations_dir, {e: catalogue.reader(e).schema for e in LANDED_EVENTS})
        judge = Judge(
            catalogue,
            suites,
            "canary",
            Register.load(settings.sources_dir),
            max_event_bytes=1 << 20,
            remembered_events=65_536,
        )
        said = dry_run(files, source, judge).fates
        assert said["clinical.glucose"].keys() == {Fate.LANDED, Fate.QUARANTINED, Fate.SEALED, Fate.SET_ASIDE}
        assert sum(counts[Fate.LANDED] for counts in said.values()) > 1_800
        with Publisher(settings, catalogue) as publisher:
            publish_files(files, source, publisher, Enroller(CONSENT_WORDS))
        books = balanced(Bookkeeper.of(stack.state_dir), lambda books: books.total("raw") > 0, PATIENCE)
        assert books.balanced, books.as_json()
    for each in books.events:
        if not each.event.is_person:  # the enroller adds enrolments
            found = each.figures()
            of_dry_run = said.get(str(each.event), {})
            assert found[Place.CURATED] == of_dry_run.get(Fate.LANDED, 0), each.event
            assert found[Place.QUARANTINED] == of_dry_run.get(Fate.QUARANTINED, 0), each.event
            assert found[Place.SEALED] == of_dry_run.get(Fate.SEALED, 0), each.event
            assert found[Place.REPEATED] + found[Place.WITHDRAWN] == of_dry_run.get(Fate.SET_ASIDE, 0), each.event
