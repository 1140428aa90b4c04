"""The steward's way by commands: draft, diff, submit, review, approve, reject, roll back, and what history says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from biokeel.cli import build
from biokeel.contracts.topics import event_type
from biokeel.land.lake import Lake
from biokeel.rulebook.follow import FollowedBook
from biokeel.rules import review
from biokeel.settings import PROJECT_ROOT
from biokeel.validate.suites import suite_path
from tests.rulebook.desk import SCHEMAS

SLEEP = event_type("lifestyle.sleep")
EVENT = str(SLEEP)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake in a folder, whose book begins with the shipped suites; the folder of drafts is a copy of theirs."""
    lake = Lake.local(tmp_path / "lake")
    shutil.copytree(PROJECT_ROOT / "expectations", tmp_path / "expectations")
    monkeypatch.setenv("BIOKEEL_EXPECTATIONS_DIR", str(tmp_path / "expectations"))
    monkeypatch.setenv("BIOKEEL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(Lake, "of", lambda _settings: lake)
    monkeypatch.setattr("biokeel.observe.reach.require_store", lambda _settings: None)
    monkeypatch.setattr(review, "native_findings", lambda _text: [])  # it takes seconds; test_review asks the real one
    FollowedBook(lake.objects, SCHEMAS, begin=tmp_path / "expectations").events()
    return lake


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["suite", *arguments])


def said(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@pytest.fixture
def keys(lake: Lake, tmp_path: Path) -> tuple[str, str]:
    """The key files of two stewards, anna and bora."""
    anna, bora = (str(tmp_path / "state" / "stewards" / f"{name}.key") for name in ("anna", "bora"))
    assert "anna is a steward, introduced by anna" in said("steward", "add", "anna")
    public = said("steward", "key", "bora").splitlines()[-1]
    assert "introduced by anna" in said("steward", "add", "bora", "--public", public, "--by", anna)
    assert [line.split()[0] for line in said("steward", "list").splitlines()] == ["anna", "bora"]
    return anna, bora


def edit(tmp_path: Path, before: str, after: str) -> None:
    path = suite_path(tmp_path / "expectations", SLEEP)
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_a_steward_edits_another_approves_and_the_edit_is_rolled_back(keys: tuple[str, str], tmp_path: Path) -> None:
    anna, bora = keys
    assert "version 1+" in said("draft", EVENT)
    edit(tmp_path, '"min_value": -720, "max_value": 840', '"min_value": -720, "max_value": 800')
    sentence = "sleep.offset.exists: upper limit 840 becomes 800."
    assert sentence in said("diff", EVENT)
    submitted = said("submit", EVENT, "--reason", "No zone is that far.", "--key-file", anna)
    assert sentence in submitted
    digest = submitted.split()[2]
    waiting = said("review")
    assert sentence in waiting
    assert f"biokeel suite approve {EVENT} {digest}" in waiting
    refused = run("approve", EVENT, digest, "--key-file", anna)
    assert refused.exit_code == 1
    assert "another steward approves" in str(refused.exception)
    assert "version 2+" in said("approve", EVENT, digest, "--key-file", bora)
    assert said("review") == "Nothing waits for approval.\n"
    digest = said("rollback", EVENT, "--to", "1", "--reason", "There is.", "--key-file", bora).split()[2]
    assert "version 3+" in said("approve", EVENT, digest, "--key-file", anna)
    told = said("history", EVENT)
    assert "version 3+" in told
    assert "draft of anna, approved by bora from version 1: No zone is that far." in told
    assert "rollback of bora, approved by anna from version 2: There is." in told
    assert "four eyes off" not in told
    assert "They say the same." in said("diff", EVENT, "--from", "1", "--to", "3")
    assert "840 becomes 800" in said("diff", EVENT, "--from", "1", "--to", "2")


def test_a_draft_that_another_overtook_is_rebased_and_a_rule_of_both_is_named(
    keys: tuple[str, str], tmp_path: Path
) -> None:
    anna, bora = keys
    said("draft", EVENT)
    edit(tmp_path, '"max_value": 840', '"max_value": 800')
    theirs = said("submit", EVENT, "--reason", "a", "--key-file", anna).split()[2]
    edit(tmp_path, '"max_value": 800', '"max_value": 820')
    mine = said("submit", EVENT, "--reason", "b", "--key-file", bora).split()[2]
    said("approve", EVENT, theirs, "--key-file", bora)
    for late in (("approve", EVENT, mine, "--key-file", anna), ("submit", EVENT, "--reason", "b", "--key-file", bora)):
        assert "biokeel suite rebase" in str(run(*late).exception)
    assert "Outdated" in said("review", EVENT)
    rebased = run("rebase", EVENT)
    assert rebased.exit_code == 1
    assert "sleep.offset.exists: changed by the version in force, too" in rebased.output
    assert "upper limit 800 becomes 820." in said("submit", EVENT, "--reason", "b", "--key-file", bora)


def test_a_rejected_draft_says_by_whom_and_why(keys: tuple[str, str], tmp_path: Path) -> None:
    anna, bora = keys
    said("draft", EVENT)
    edit(tmp_path, '"max_value": 840', '"max_value": 800')
    digest = said("submit", EVENT, "--reason", "a", "--key-file", anna).split()[2]
    assert run("reject", EVENT, digest, "--key-file", bora).exit_code == 1
    said("reject", EVENT, digest, "--reason", "Kiribati.", "--key-file", bora)
    assert "bora rejected it: Kiribati." in str(run("approve", EVENT, digest, "--key-file", bora).exception)


def test_history_says_where_each_version_judged_and_names_rows_of_a_version_that_is_gone(
    keys: tuple[str, str], lake: Lake
) -> None:
    stamp = FollowedBook(lake.objects, SCHEMAS).current(SLEEP).version
    rows = {
        "suite_version": [stamp, stamp, "7+abc", None],
        "pseudo_partition": [0, 0, 1, 0],
        "pseudo_offset": [17, 40, 3, 50],
    }
    pl.DataFrame(rows).write_delta(lake.curated(SLEEP))
    result = run("history", EVENT)
    assert "partition 0 from block 17 to 40: 2 rows" in result.output
    assert "Rows were judged by 7+abc, which the book does not have" in result.output
    assert result.exit_code == 1


def test_history_names_what_is_wrong_with_the_book_of_any_event_type(keys: tuple[str, str], lake: Lake) -> None:
    assert "nothing is in force" in run("history").output, "of event types that no worker has begun"
    lake.objects.put(f"rules/{EVENT}/000002.json", b"junk")
    result = run("history", EVENT)
    assert result.exit_code == 1
    assert f"rules/{EVENT}/000002.json is no version of a suite" in result.output


def test_a_single_person_turns_four_eyes_off_and_the_history_says_so(
    keys: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, _ = keys
    monkeypatch.setenv("BIOKEEL_FOUR_EYES", "false")
    monkeypatch.setenv("BIOKEEL_STEWARD_KEY_FILE", anna)
    said("draft", EVENT)
    edit(tmp_path, '"max_value": 840', '"max_value": 800')
    digest = said("submit", EVENT, "--reason", "a").split()[2]
    said("approve", EVENT, digest)
    assert "draft of anna, approved by anna, four eyes off" in said("history", EVENT)
    monkeypatch.setenv("BIOKEEL_FOUR_EYES", "true")
    result = run("history", EVENT)
    assert result.exit_code == 1
    assert "Version 2 was approved by its author alone, and BIOKEEL_FOUR_EYES is on." in result.output


def test_an_event_type_or_a_version_that_is_not_there_is_named(keys: tuple[str, str]) -> None:
    assert "no event type that lands" in str(run("draft", "lifestyle.dreams").exception)
    assert "no version 9" in str(run("diff", EVENT, "--to", "9").exception)
    assert json.dumps(keys)
