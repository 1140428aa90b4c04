"""Drafts: taken out of the book, edited as files, put on top of what came in force meanwhile; told in sentences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.errors import NotApproved, SettingsError, SuiteError
from biokeel.rules.differences import differences
from biokeel.rules.drafts import Draft, parent_path, read_draft, rebase, take_out
from biokeel.rules.keys import load_key_file, make_key_file
from biokeel.validate.suites import suite_path
from tests.rulebook.desk import SLEEP, Desk, standing_of, suite


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "begin")


def between(rule: str, low: float, high: float, severity: str = "critical", **more: Any) -> dict[str, Any]:
    return {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "minutes_asleep", "min_value": low, "max_value": high, **more},
        "severity": severity,
        "meta": {"rule": rule, "notes": "Why."},
    }


def written(*rules: dict[str, Any], **more: Any) -> str:
    return json.dumps({"name": str(SLEEP), "expectations": list(rules), **more})


def test_a_draft_is_the_text_in_force_to_the_byte_and_its_parent_stands_beside_it(desk: Desk, tmp_path: Path) -> None:
    stamp = desk.publish(900)
    path = take_out(tmp_path, SLEEP, desk.review().standing(SLEEP))
    draft = read_draft(tmp_path, SLEEP)
    assert path.read_text() == draft.text == suite(900)
    assert draft.parent == stamp
    assert draft.samples is None


def test_edits_that_no_version_has_are_not_written_over(desk: Desk, tmp_path: Path) -> None:
    standing = desk.review().standing(SLEEP)
    path = take_out(tmp_path, SLEEP, standing)
    take_out(tmp_path, SLEEP, standing)
    path.write_text(suite(7))
    with pytest.raises(NotApproved, match="--replace"):
        take_out(tmp_path, SLEEP, standing)
    assert path.read_text() == suite(7)
    take_out(tmp_path, SLEEP, standing, replace=True)
    assert path.read_text() == suite(1440)


def test_a_draft_whose_parent_nobody_noted_is_read_without_one(desk: Desk) -> None:
    assert not parent_path(desk.folder, SLEEP).exists()
    assert read_draft(desk.folder, SLEEP).parent == ""
    suite_path(desk.folder, SLEEP).unlink()
    with pytest.raises(SuiteError):
        read_draft(desk.folder, SLEEP)


def rebased(desk: Desk, base: str, mine: str, theirs: str) -> tuple[list[Any], tuple[str, ...]]:
    """The expectations of `mine`, a draft of `base`, on top of `theirs`, and what both changed."""
    stamps = [desk.publish_text(text) for text in (base, theirs)]
    found = rebase(Draft(mine, stamps[0], None), desk.review().standing(SLEEP))
    return json.loads(found.text)["expectations"], found.conflicts


def test_a_rebased_draft_has_what_it_changed_and_what_the_other_changed(desk: Desk) -> None:
    kept, gone, new, other = (between(f"sleep.{name}", 0, 10) for name in ("kept", "gone", "new", "other"))
    mine, theirs = between("sleep.kept", 0, 20), between("sleep.other", 5, 10)
    rules, conflicts = rebased(
        desk,
        written(kept, gone, other),
        written(mine, other, new),
        written(kept, gone, theirs, between("sleep.x", 1, 2)),
    )
    assert rules == [mine, theirs, between("sleep.x", 1, 2), new]
    assert conflicts == ()


def test_a_rule_that_both_changed_is_named_and_is_as_in_the_draft(desk: Desk) -> None:
    base, mine, theirs = (between("sleep.kept", 0, high) for high in (10, 20, 30))
    assert rebased(desk, written(base), written(mine), written(theirs)) == ([mine], ("sleep.kept",))


RULES = st.dictionaries(st.sampled_from(["sleep.a", "sleep.b", "sleep.c"]), st.integers(1, 4), min_size=1)


@given(RULES, RULES)
def test_a_draft_that_changes_nothing_becomes_what_is_in_force_and_one_on_top_of_its_parent_stays(
    base: dict[str, int], theirs: dict[str, int]
) -> None:
    def of(limits: dict[str, int]) -> str:
        return written(*(between(rule, 0, high) for rule, high in sorted(limits.items())))

    idle = rebase(Draft(of(base), "1", None), standing_of([of(base), of(theirs)]))
    assert differences(of(theirs), idle.text) == []
    assert idle.conflicts == ()
    own = rebase(Draft(of(theirs), "1", None), standing_of([of(base)]))
    assert [line for line in differences(of(theirs), own.text) if "order" not in line] == []
    assert own.conflicts == ()


@given(RULES, RULES)
def test_two_suites_differ_in_no_sentence_only_if_they_say_the_same(a: dict[str, int], b: dict[str, int]) -> None:
    def of(limits: dict[str, int]) -> str:
        return written(*(between(rule, 0, high) for rule, high in limits.items()))

    assert (differences(of(a), of(b)) == []) == (list(a.items()) == list(b.items()))


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (between("bp.systolic.range", 60, 250), between("bp.systolic.range", 60, 320), "upper limit 250 becomes 320."),
        (between("bp.x.y", 1, 2), between("bp.x.y", 1, 2, "warning"), "severity critical becomes warning: a row that"),
        (between("bp.x.y", 1, 2), between("bp.x.y", 1, 2, mostly=0.9), "mostly is now 0.9."),
        (between("bp.x.y", 1, 2, mostly=0.9), between("bp.x.y", 1, 2), "mostly 0.9 is gone."),
        (
            between("bp.x.y", 1, 2, value_set=["a", "b"]),
            between("bp.x.y", 1, 2, value_set=["b", "c d"]),
            'value set loses a and gains "c d".',
        ),
        (
            between("bp.x.y", 1, 2),
            between("bp.x.y", 1, 2) | {"meta": {"rule": "bp.x.y", "notes": "New."}},
            "its reason",
        ),
        (between("bp.x.y", 1, 1), between("bp.x.y", 1, True), "upper limit 1 becomes true."),
    ],
)
def test_a_change_of_a_rule_is_a_sentence(before: Any, after: Any, sentence: str) -> None:
    (said,) = differences(written(before), written(after))
    assert said.startswith(f"{before['meta']['rule']}: ")
    assert sentence in said


def waived(*waivers: tuple[str, str, str]) -> Any:
    rule = between("bp.x.y", 1, 2)
    named = [dict(zip(("source", "until", "reason"), each, strict=True)) for each in waivers]
    return rule | {"meta": {**rule["meta"], "waivers": named}}


def test_a_waiver_is_told_by_source_when_it_comes_changes_and_goes() -> None:
    plain, a, b = between("bp.x.y", 1, 2), ("a", "2027-03-31", "Why."), ("b", "2027-01-01", "So.")
    lands = "Rows recorded until then that fail nothing else land with a flag."
    assert differences(written(plain), written(waived(a))) == [
        f"bp.x.y: is waived for a until 2027-03-31: Why. {lands}"
    ]
    assert differences(written(waived(a, b)), written(waived(("a", "2027-06-30", "Why.")))) == [
        f"bp.x.y: is waived for a until 2027-06-30 (before: until 2027-03-31): Why. {lands}",
        "bp.x.y: is not waived for b any more (it was until 2027-01-01).",
    ]
    assert differences(written(between("bp.a.x", 1, 2)), written(between("bp.a.x", 1, 2), waived(a)))[1:] == [
        f"bp.x.y: is waived for a until 2027-03-31: Why. {lands}"
    ]


def test_new_and_gone_rules_and_the_suite_itself_are_told_too() -> None:
    a, b = between("bp.a.x", 1, 2), between("bp.b.x", 1, 2)
    said = differences(written(a), written(b, meta={"version": "2"}))
    assert said[0].startswith("bp.b.x: is new (expect_column_values_to_be_between, column ")
    assert said[1].startswith("bp.a.x: is gone (")
    assert said[2] == 'The suite\'s meta is now {"version": "2"}.'
    assert differences(written(a, b), written(b, a)) == ["The rules stand in another order."]
    with pytest.raises(SuiteError):
        differences("{", written(a))


def test_a_key_file_is_made_once_for_its_owner_only_and_opens_for_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "stewards" / "anna.key"
    made = make_key_file(path, "anna")
    assert path.stat().st_mode & 0o777 == 0o600
    assert make_key_file(path, "anna").public == made.public == load_key_file(path).public
    assert path.read_text() not in repr(made)
    assert repr(made) == "StewardKey(anna)"
    assert [each.name for each in path.parent.iterdir()] == ["anna.key"]
    with pytest.raises(SettingsError, match="key of anna"):
        make_key_file(path, "bora")
    path.chmod(0o640)
    with pytest.raises(SettingsError, match="chmod 600"):
        load_key_file(path)


@pytest.mark.parametrize("text", ["", "{}", '{"steward": "anna", "key": "00"}', '{"steward": "anna", "key": 7}', "[]"])
def test_what_is_no_key_file_is_named_without_a_word_of_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "anna.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(SettingsError, match="not a steward's key file"):
        load_key_file(path)
    with pytest.raises(SettingsError, match="BIOKEEL_STEWARD_KEY_FILE"):
        load_key_file(None)
