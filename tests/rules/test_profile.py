"""Suggested rules are what the rows say, count what would fail, and name nothing that few people stand behind."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from biokeel.contracts.ids import encode_id
from biokeel.errors import NothingLanded
from biokeel.land.lake import Lake
from biokeel.rules.backtest import Comparison
from biokeel.rules.backtest_rows import Scope
from biokeel.rules.backtest_suites import Written, read_written
from biokeel.rules.compared import Change
from biokeel.rules.profile import LEAST_PEOPLE, Profile, Suggestion, draft_of, profile
from biokeel.validate.lint import read_suite
from biokeel.validate.native import native_findings
from tests.rules.lake import SCHEMA, PressureLake, between, events, suite

FORCE = suite(
    between("bp.systolic.range", "critical", max_value=10_000),
    between("bp.grown", "warning", max_value=200, row_condition="age_years >= 18", condition_parser="pandas"),
)

USUAL = {"panel_code": "85354-9", "status": "final", "body_position": None}


def people(count: int, seed: int = 1, **fields: Any) -> list[dict[str, Any]]:
    """A usual blood pressure of each of so many people."""
    draw = random.Random(seed)
    return [
        {
            "participant": seed * 1_000_000 + number,
            "diastolic": float(round(draw.gauss(78, 8))),
            "systolic": float(round(draw.gauss(125, 12))),
            "heart_rate": float(round(draw.gauss(70, 8))),
            **fields,
        }
        for number in range(count)
    ]


@pytest.fixture
def lake(tmp_path: Path) -> PressureLake:
    return PressureLake(Lake.local(tmp_path))


def profiled(lake: PressureLake, rows: list[dict[str, Any]], force: Written | None = FORCE) -> Profile:
    lake.land(events(rows, lake.rows), FORCE)
    return profile(lake.lake, SCHEMA, force, scope=Scope())


def by_rule(found: Profile) -> dict[str, Suggestion]:
    return {each.rule: each for each in found.suggestions}


def test_a_range_follows_the_data_and_one_typing_error_does_not_move_it(lake: PressureLake) -> None:
    rows = people(600)
    clean = by_rule(profiled(lake, rows))["bp.systolic.profiled_range"]
    low, high = clean.expectation["kwargs"]["min_value"], clean.expectation["kwargs"]["max_value"]
    assert 60 <= low <= 90
    assert 160 <= high <= 200
    assert clean.evidence.failing == 0
    assert clean.in_force == ("bp.systolic.range",)
    wrong = by_rule(profiled(lake, [{"systolic": 900.0}]))["bp.systolic.profiled_range"]
    assert wrong.evidence.failing == 1
    assert abs(wrong.expectation["kwargs"]["min_value"] - low) <= 5
    assert abs(wrong.expectation["kwargs"]["max_value"] - high) <= 5


def test_what_would_fail_is_what_a_backtest_of_the_draft_counts_and_great_expectations_takes_it(
    lake: PressureLake,
) -> None:
    rows = [
        *people(400),
        *people(8, 2, systolic=300.0),
        *people(3, 3, body_position="upside-down"),
        *people(2, 4, status=None),
    ]
    rows[:300] = [{**row, "body_position": "sitting"} for row in rows[:300]]
    found = profiled(lake, rows)
    text = draft_of(SCHEMA, FORCE.text, found.suggestions)
    assert read_suite(text, SCHEMA).findings == ()
    assert native_findings(text) == []
    draft = read_written(text, SCHEMA, "the draft")
    told = Comparison(lake.lake, SCHEMA, draft, FORCE, scope=Scope(), stamps={}).run()
    failing = {each.rule: each.evidence.failing for each in found.suggestions}
    assert failing == {rule: told.counts(rule, Change.NEWLY_FAILING) for rule in failing}
    assert failing["bp.systolic.profiled_range"] == 8
    assert failing["bp.body_position.profiled_values"] == 3
    assert failing["bp.status.profiled_present"] == 2
    assert "bp.body_position.profiled_present" not in failing
    assert all(each.expectation["severity"] == "warning" for each in found.suggestions)


@pytest.mark.parametrize("seed", range(4))
def test_no_number_and_no_value_is_told_that_fewer_than_ten_people_stand_behind(lake: PressureLake, seed: int) -> None:
    draw = random.Random(seed)
    rows = people(250, seed + 1)
    # Few people with many rows each are most of every tail, and have values of their own.
    for person in range(LEAST_PEOPLE - 1):
        value = draw.choice([5_000.0 + person, 1.0 + person / 8])
        rows += [
            {"participant": 5 + person, "systolic": value, "heart_rate": value, "body_position": f"own-{person}"}
        ] * 40
    found = profiled(lake, rows)
    assert found.suggestions
    for each in found.suggestions:
        column = each.expectation["kwargs"].get("column")
        for value in each.expectation["kwargs"].get("value_set", ()):
            who = {row["participant"] for row in rows if row.get(column, USUAL[column]) == value}
            assert len(who) >= LEAST_PEOPLE
        if quantiles := list(each.evidence.quantiles.values()):
            some = [(row["participant"], row[column]) for row in rows if row.get(column) is not None]
            assert len({person for person, value in some if value <= quantiles[0]}) >= LEAST_PEOPLE
            assert len({person for person, value in some if value >= quantiles[-1]}) >= LEAST_PEOPLE
    text = json.dumps([each.expectation for each in found.suggestions])
    assert "own-" not in text
    assert not re.search(r"\b500\d\b", text)
    assert not any(encode_id(row["participant"]) in text for row in rows)


def test_of_too_few_people_nothing_is_suggested_however_many_rows_they_have(lake: PressureLake) -> None:
    found = profiled(lake, people(9) * 50)
    assert (found.rows, found.people, found.suggestions) == (450, 9, ())
    few = by_rule(profiled(lake, people(100, 2)))
    # Enough for a value that all of them have, too few for a range.
    assert set(few) == {"bp.panel_code.profiled_values", "bp.status.profiled_values"}


def test_a_range_is_by_sex_or_age_where_the_groups_differ_and_only_there(lake: PressureLake) -> None:
    children = people(300, 1, birth_year=2021)
    grown = people(300, 2, birth_year=1976)
    for row in children:
        row["heart_rate"] += 45
    found = by_rule(profiled(lake, [*children, *grown]))
    groups = [rule for rule in found if "_range_" in rule]
    assert groups == ["bp.heart_rate.profiled_range_age_2_11", "bp.heart_rate.profiled_range_age_40_64"]
    condition = found[groups[0]].expectation["kwargs"]["row_condition"]
    assert condition == "age_years >= 2 and age_years < 12"
    assert found[groups[0]].evidence.rows == 300
    assert found[groups[0]].evidence.quantiles["50%"] > found[groups[1]].evidence.quantiles["50%"] + 30


def test_where_both_differ_a_range_is_by_sex_and_age(lake: PressureLake) -> None:
    rows = []
    for number, (sex, born) in enumerate([("female", 2021), ("male", 2021), ("female", 1976), ("male", 1976)], start=1):
        some = people(250, number, sex=sex, birth_year=born)
        for row in some:
            row["heart_rate"] += 40 * (born == 2021) + 30 * (sex == "male")
        rows += some
    found = by_rule(profiled(lake, rows))
    groups = {rule.partition("_range_")[2] for rule in found if rule.startswith("bp.heart_rate.profiled_range_")}
    assert groups == {"age_2_11_female", "age_2_11_male", "age_40_64_female", "age_40_64_male"}


def test_an_order_is_suggested_where_it_holds_and_the_ranges_do_not_say_it_already(lake: PressureLake) -> None:
    name = "bp.systolic.profiled_not_below_diastolic"
    rows = people(300)
    assert name not in by_rule(profiled(lake, [{**row, "systolic": row["diastolic"] + 200} for row in rows]))
    mixed = [
        {**row, "diastolic": row["systolic"] - 5, "participant": row["participant"] + 1_000} for row in people(300, 2)
    ]
    found = by_rule(profiled(lake, [{**row, "systolic": row["diastolic"] + 1} for row in mixed]))
    assert found[name].expectation["kwargs"]["or_equal"] is True
    assert "bp.diastolic.profiled_not_below_systolic" not in found


def test_ids_are_never_taken_twice_and_an_event_type_without_a_suite_gets_a_draft_of_its_own(
    lake: PressureLake,
) -> None:
    first = profiled(lake, people(300))
    draft = read_written(draft_of(SCHEMA, FORCE.text, first.suggestions), SCHEMA, "the draft")
    again = profile(lake.lake, SCHEMA, draft, scope=Scope())
    assert "bp.systolic.profiled_range_again" in by_rule(again)
    assert read_suite(draft_of(SCHEMA, draft.text, again.suggestions), SCHEMA).findings == ()
    alone = profile(lake.lake, SCHEMA, None, scope=Scope())
    assert read_suite(draft_of(SCHEMA, None, alone.suggestions), SCHEMA).findings == ()
    assert all(each.rule.startswith("blood_pressure.") for each in alone.suggestions)


def test_where_no_row_landed_that_is_said(lake: PressureLake) -> None:
    with pytest.raises(NothingLanded, match="landed"):
        profile(lake.lake, SCHEMA, FORCE, scope=Scope())
