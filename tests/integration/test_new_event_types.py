"""An event type is files: it is added while events flow, and nothing is restarted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from biokeel.admin.users import User
from biokeel.books.bookkeeper import Bookkeeper
from biokeel.contracts.catalogue import HISTORY, LOCK_FILE, DirectoryCatalogue, landed_events
from biokeel.contracts.schema import schema_path
from biokeel.contracts.topics import event_type
from biokeel.land.lake import Lake
from biokeel.land.maintenance import refresh_participants
from biokeel.land.reading import scan
from biokeel.link.participants import from_snapshots
from biokeel.settings import PROJECT_ROOT
from biokeel.source.client import Publisher
from biokeel.source.files import Source, publish_files
from biokeel.stack.stack import Stack
from biokeel.validate.samples import samples_path
from biokeel.validate.suites import suite_path
from tests.stack.stack_helpers import balanced

pytestmark = [pytest.mark.integration, pytest.mark.long]

VITAL_SIGN, QUESTIONNAIRE = event_type("clinical.vital_sign"), event_type("lifestyle.questionnaire")
EXERCISE = event_type("lifestyle.exercise")
NEW = (VITAL_SIGN, QUESTIONNAIRE)
PATIENCE = 120
"""Seconds until something is so; a busy machine is slow."""
PERSON = {"subject_scheme": "hospital/canary", "subject_id": "P-77310042", "occurred_at": "2024-05-01T07:00:00+09:00"}
ENROLMENT = PERSON | {
    "event": "person.enrolment",
    "identifiers": [],
    "sex": "female",
    "consent_scope": ["clinical", "lifestyle"],
}
WALK = PERSON | {"event": "lifestyle.exercise", "activity": "walking", "duration": 600.0}
PULSE = PERSON | {"event": str(VITAL_SIGN), "code": "8867-4", "value": 72.0, "value_unit": "/min", "status": "final"}
ANSWER = PERSON | {
    "event": str(QUESTIONNAIRE),
    "instrument": "PHQ-9",
    "kind": "answer",
    "item": "1",
    "item_code": "44250-9",
    "value_code": "LA6569-3",
    "value": 1.0,
    "value_unit": "{score}",
    "status": "completed",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A programme's own schemas and suites, from before the two event types were added."""
    folder = tmp_path_factory.mktemp("programme")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("schemas", "expectations"):
            shutil.copytree(PROJECT_ROOT / name, folder / name)
            patch.setenv(f"BIOKEEL_{name.upper()}_DIR", str(folder / name))
        patch.setenv("BIOKEEL_FLUSH_SECONDS", "1")
        lock = folder / "schemas" / LOCK_FILE
        content = json.loads(lock.read_text(encoding="utf-8"))
        content["schemas"] = [
            each for each in content["schemas"] if each["subject"] not in {event.subject for event in NEW}
        ]
        lock.write_text(json.dumps(content), encoding="utf-8")
        for event in NEW:
            shutil.rmtree(folder / "schemas" / HISTORY / event.domain / event.name)
            schema_path(folder / "schemas", event).unlink()
            suite_path(folder / "expectations", event).unlink()
            samples_path(folder / "expectations", event).unlink()
        yield folder


def add(folder: Path, stack: Stack) -> None:
    """What a programme does to have the two event types: put the files there, lock, apply."""
    for event in NEW:
        suites = (suite_path, samples_path)
        for path_of in suites:
            shutil.copy(path_of(PROJECT_ROOT / "expectations", event), path_of(folder / "expectations", event))
        shutil.copy(schema_path(PROJECT_ROOT / "schemas", event), schema_path(folder / "schemas", event))
    for command in (
        ("schema", "lock"),
        ("schema", "check"),
        ("suite", "test", *map(str, NEW)),
        ("source", "apply", "--yes"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "biokeel", *command],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"BIOKEEL_STATE_DIR": str(stack.state_dir)},
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)


def publish(stack: Stack, path: Path, *records: dict[str, object]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    settings = stack.source("canary")
    with Publisher(settings, DirectoryCatalogue(settings.schemas_dir)) as publisher:
        (result,) = publish_files([path], Source("canary", b"key"), publisher)
    assert not result.failure
    assert not result.report.problems


def workers(stack: Stack) -> dict[str, int]:
    """The process ids of all workers."""
    return {path.stem: json.loads(path.read_text())["pid"] for path in (stack.state_dir / "run").glob("*.json")}


def rows(lake: Lake, event: object) -> int:
    try:
        return int(scan(lake.curated(event), lake).select(pl.len()).collect().item())
    except Exception:  # noqa: BLE001 - the table is not there yet
        return 0


def participant(lake: Lake) -> tuple[int, int] | None:
    """The person's counts of the two event types, once the snapshots that are written at leisure know both."""
    deadline = time.monotonic() + PATIENCE
    while True:
        refresh_participants(lake, from_snapshots)
        counts = ("clinical_vital_sign_count", "lifestyle_questionnaire_count")
        found = scan(lake.participants, lake).select(counts).collect().rows()
        if (found and all(found[0])) or time.monotonic() > deadline:
            return found[0] if found else None
        time.sleep(1)


def test_event_types_that_are_added_while_events_flow_land_without_a_restart(folder: Path, tmp_path: Path) -> None:
    with Stack.start(tmp_path / "stack", workers=1) as stack:
        publish(stack, tmp_path / "first.jsonl", ENROLMENT, WALK | {"key": 0})
        lake = Lake.of(stack.settings(User.RESEARCH))
        deadline = time.monotonic() + PATIENCE
        while not rows(lake, EXERCISE) and time.monotonic() < deadline:
            time.sleep(0.5)
        before, stop, walks = workers(stack), threading.Event(), [0]

        def flow() -> None:
            while not stop.wait(0.2):
                walks[0] += 1
                publish(stack, tmp_path / "walk.jsonl", WALK | {"key": walks[0], "steps": walks[0]})

        flowing = threading.Thread(target=flow)
        flowing.start()
        try:
            add(folder, stack)
            assert set(NEW) <= set(landed_events(folder / "schemas"))
            pulses = [PULSE | {"key": number, "value": 60.0 + number} for number in range(20)]
            answers = [
                ANSWER | {"key": f"a{number}", "item": str(number), "item_code": None} for number in range(1, 10)
            ]
            publish(stack, tmp_path / "new.jsonl", *pulses, PULSE | {"key": "x", "value": 4.0}, *answers)
            deadline = time.monotonic() + PATIENCE
            while (rows(lake, VITAL_SIGN), rows(lake, QUESTIONNAIRE)) != (20, 9) and time.monotonic() < deadline:
                time.sleep(0.5)
        finally:
            stop.set()
            flowing.join()
        assert (rows(lake, VITAL_SIGN), rows(lake, QUESTIONNAIRE)) == (20, 9)
        assert len(before) == 3
        assert workers(stack) == before, "no worker was started anew"
        books = balanced(Bookkeeper.of(stack.state_dir), lambda _: True, PATIENCE)
        assert books.balanced, books.as_json()
        counted = {str(each.event): each.figures() for each in books.events}
        assert counted[str(VITAL_SIGN)]["curated"] == 20
        assert counted[str(VITAL_SIGN)]["quarantined"] == 1
        assert counted[str(QUESTIONNAIRE)]["curated"] == 9
        assert counted["lifestyle.exercise"]["curated"] == walks[0] + 1 > 1
        assert participant(lake) == (20, 9), "the participants table has columns for them"
