"""What console and status show of the book: versions in force, their people, and what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from biokeel.cli import build
from biokeel.cli import suite as suite_commands
from biokeel.cli.status import _rules, _told_rules
from biokeel.rulebook import shown
from biokeel.rulebook.shown import ShownRules, ShownVersion
from tests.rulebook.desk import DIET, SCHEMAS, SLEEP, Desk, suite


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk whose objects are those of the lake that an operator reads."""
    desk = Desk(tmp_path)

    class OperatorsLake:
        @staticmethod
        def of(_settings: object) -> Any:
            return desk

    monkeypatch.setattr(shown, "Lake", OperatorsLake)
    monkeypatch.setattr(shown, "require_store", lambda _settings: None)
    monkeypatch.setattr(shown, "Schemas", lambda *_args, **_more: SCHEMAS)
    return desk


def test_a_look_shows_what_came_in_force_since_and_writes_nothing(desk: Desk) -> None:
    rules = ShownRules(desk.folder)
    before = rules.look()
    assert isinstance(before, dict)
    assert before[SLEEP].author == "installation"
    stamp = desk.publish(900)
    held = dict(desk.objects.held)
    after = rules.look()
    assert isinstance(after, dict)
    assert after[SLEEP][:3] == (stamp, "anna", "bora")
    assert after[DIET] == before[DIET]
    assert desk.objects.held == held


def test_waivers_in_force_are_told_also_when_they_are_over(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    waiver = {"source": "app-a", "until": "2020-01-31", "reason": "its clock is wrong"}
    document = json.loads(suite(900))
    rule = document["expectations"][0]
    rule["severity"] = "critical"
    rule["meta"]["waivers"] = [waiver, waiver | {"source": "app-b", "until": "9999-12-31"}]
    desk.publish_text(json.dumps(document))
    monkeypatch.setattr(suite_commands, "_readings", lambda _names: [])
    monkeypatch.setenv("BIOKEEL_STATE_DIR", str(desk.folder))
    told = CliRunner().invoke(build(), ["suite", "list"]).output.split()
    name = rule["meta"]["rule"]
    over = f"{SLEEP}: {name} is waived for app-a until 2020-01-31: its clock is wrong; that is over"
    assert over in " ".join(told)
    assert f"{name} is waived for app-b until 9999-12-31: its clock is wrong" in " ".join(told)
    found = ShownRules(desk.folder).look()
    assert isinstance(found, dict)
    assert over in _rules(found).plain.splitlines()
    shown_as_json = json.loads(json.dumps(_told_rules(found)))
    assert shown_as_json["rules"][str(SLEEP)]["waivers"][0] == {"rule": name, **waiver}


def test_what_is_wrong_with_the_book_is_shown_beside_what_stays_in_force(desk: Desk) -> None:
    desk.objects.held[desk.page(2)] = b"junk"
    found = ShownRules(desk.folder).look()
    assert isinstance(found, dict)
    assert found[SLEEP].version.startswith("1+")
    assert "000002.json is no version" in found[SLEEP].fault
    told = _rules(found).plain.splitlines()
    assert told[0] == "Rules: 2 event types, 2 by the version that the installation began with"
    assert told[1].startswith(f"{SLEEP}: rules/{SLEEP}/000002.json")


def test_a_book_that_cannot_be_read_is_said_in_words(desk: Desk) -> None:
    desk.objects.away = True
    assert ShownRules(desk.folder).look() == "The object store does not answer."
    assert _rules("The object store does not answer.").plain == "Rules: not known. The object store does not answer."


def test_the_list_of_suites_says_what_is_in_force_beside_the_drafts_and_what_is_wrong(desk: Desk) -> None:
    stamp = desk.publish(900)
    desk.objects.held[desk.page(3)] = b"junk"
    told = CliRunner().invoke(build(), ["suite", "list"]).output.splitlines()
    (row,) = [line.split() for line in told if line.startswith(f"{SLEEP} ")]
    assert row[1] == stamp
    assert told[-1].startswith(f"{SLEEP}: rules/{SLEEP}/000003.json")
    desk.objects.away = True
    told = CliRunner().invoke(build(), ["suite", "list"]).output.splitlines()
    assert told[-1] == "What is in force is not known: The object store does not answer."


def test_an_event_type_of_which_nothing_is_in_force_says_so(desk: Desk) -> None:
    del desk.objects.held[desk.page(1)]
    found = ShownRules(desk.folder).look()
    assert isinstance(found, dict)
    assert found[SLEEP] == ShownVersion(fault=found[SLEEP].fault)
    assert "no version of lifestyle.sleep yet" in found[SLEEP].fault
