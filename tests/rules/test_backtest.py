"""A backtest's verdict of every row is the validate stage's with the draft, whatever stands on the row."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biokeel.batch import PseudonymisedBatch
from biokeel.contracts.ids import encode_id
from biokeel.contracts.schema import parse_schema
from biokeel.errors import NothingLanded, SuiteError
from biokeel.land import pieces
from biokeel.land.lake import Lake
from biokeel.land.tables import EventTables
from biokeel.reasons import Reason
from biokeel.rules.backtest import Backtest, Comparison, Share, share_of_last_week
from biokeel.rules.backtest_rows import AGAIN, HISTORY, RELEASED, Scope
from biokeel.rules.backtest_suites import Written, read_written
from biokeel.rules.backtest_sweep import read_sweep
from biokeel.rules.compared import Change
from biokeel.validate.rules import Rule
from biokeel.validate.stage import judge, validate
from tests.rules.lake import BEGIN, PRESSURE, SCHEMA, PressureLake, between, events, expectation, suite, suite_text

VALUES = st.sampled_from([None, float("nan"), float("inf"), -0.0, 29.0, 90.0, 120.0, 180.0, 180.5, 250.0, 320.0, 900.0])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "systolic": VALUES,
            "diastolic": VALUES,
            "body_position": st.sampled_from([None, "sitting", "standing"]),
            "birth_year": st.sampled_from([None, 1930, 2024]),
            "source_id": st.sampled_from(["hospital-a", "hospital-b"]),
            "occurred_at": st.sampled_from([BEGIN, BEGIN + dt.timedelta(days=40)]),
            "recorded_at": st.sampled_from([BEGIN, BEGIN + dt.timedelta(days=1)]),
        }
    ),
    max_size=12,
)
SEVERITY = st.sampled_from(["critical", "warning", "info"])


@st.composite
def suites(draw: st.DrawFn) -> Written:
    """Some rules of a small family, so that two suites often have one of the same id, or that asks the same."""
    high = st.sampled_from([120, 180, 250, 300])
    rules = [
        lambda: between("bp.systolic.range", draw(SEVERITY), max_value=draw(high)),
        lambda: between("bp.other", draw(SEVERITY), max_value=draw(high), strict_max=draw(st.booleans())),
        lambda: between("bp.age", draw(SEVERITY), "age_years", max_value=90),
        lambda: expectation(
            "bp.order",
            draw(SEVERITY),
            "expect_column_pair_values_a_to_be_greater_than_b",
            column_A="systolic",
            column_B="diastolic",
        ),
        lambda: between(
            "bp.sitting",
            draw(SEVERITY),
            max_value=draw(high),
            row_condition='body_position == "sitting"',
            condition_parser="pandas",
        ),
        lambda: expectation(
            "bp.present",
            draw(SEVERITY),
            "expect_column_values_to_not_be_null",
            column=draw(st.sampled_from(["sex", "systolic"])),
        ),
        lambda: between("bp.mostly", "warning", min_value=30, mostly=draw(st.sampled_from([0.5, 1]))),
    ]
    chosen = draw(st.lists(st.sampled_from(range(len(rules))), min_size=1, unique=True))
    return suite(*(waived(rules[number](), draw(st.sampled_from(["", "", *WAIVED]))) for number in chosen))


WAIVED = ("hospital-a 2026-01-01", "hospital-a 2026-01-02", "hospital-b 2026-01-01")


def waived(rule: dict[str, Any], whose: str) -> dict[str, Any]:
    """`rule` with a waiver for a source until a day, where it is critical."""
    if whose and rule["severity"] == "critical":
        source, until = whose.split()
        rule["meta"]["waivers"] = [{"source": source, "until": until, "reason": "a test's"}]
    return rule


def compare(lake: PressureLake, draft: Written, against: Written, *believed: Written, **more: Any) -> Backtest:
    known = {each.suite.version: each for each in believed}
    arguments = {"scope": Scope(), **more}
    return Comparison(lake.lake, SCHEMA, draft, against, stamps=known, **arguments).run()


def stage_says(frame: pl.DataFrame, written: Written) -> tuple[list[set[str]], list[bool]]:
    """The rules that each row fails, and whether it would be quarantined."""
    failed = judge(PseudonymisedBatch(PRESSURE, frame), written.suite).failed
    rows = [{name for name, is_failed in row.items() if is_failed} for row in failed.iter_rows(named=True)]
    rows = rows or [set() for _ in range(frame.height)]
    numbered = PseudonymisedBatch(PRESSURE, frame.with_row_index("row"))
    stopped = set(validate(numbered, written.suite).rejected.frame["row"])
    return rows, [number in stopped for number in range(frame.height)]


def does(rule: Rule, row: pl.DataFrame) -> tuple[str, bool]:
    """What `rule` does with a row that fails it: its severity, and whether it is waived for it."""
    source, day = row["source_id"][0], row["recorded_at"][0].date()
    return rule.severity, any(each.source == source and day <= each.until for each in rule.waivers)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(ROWS, st.integers(0, 2), st.booleans()), min_size=1, max_size=3),
    st.tuples(suites(), suites(), suites()),
    st.sets(st.integers(0, 2)),
    st.integers(1, 7),
)
def test_every_row_gets_the_verdict_of_the_stage(
    blocks: list[tuple[list[dict[str, Any]], int, bool]],
    written: tuple[Written, Written, Written],
    believed: set[int],
    rows_of_a_piece: int,
) -> None:
    draft, against, _ = written
    expected: Counter[tuple[Any, ...]] = Counter()
    sides: Counter[tuple[Any, ...]] = Counter()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "ROWS", rows_of_a_piece)
        lake = PressureLake(Lake.local(Path(folder)))
        for rows, judge_number, is_replayed in blocks:
            if not rows:
                continue
            frame = events(rows, lake.rows)
            # In a replay the first commit decides: here it let every other row in, whatever the suite says.
            decided = pl.Series([number % 2 == 0 for number in range(frame.height)]) if is_replayed else None
            lake.land(frame, written[judge_number], decided)
            then, would = stage_says(frame, draft)
            now, was = stage_says(frame, against)
            lands = (
                decided.to_list()
                if decided is not None
                else [not each for each in stage_says(frame, written[judge_number])[1]]
            )
            rules = [each.rules for each in (draft, against)]
            for row, source in enumerate(frame["source_id"]):
                month = frame["occurred_at"][row].strftime("%Y-%m")
                lies = "landed" if lands[row] else "quarantined"
                sides[lies, source, month, was[row], would[row]] += 1
                for rule in then[row] | now[row]:
                    kind = None
                    if rule not in now[row]:
                        kind = Change.NEWLY_FAILING
                    elif rule not in then[row]:
                        kind = Change.NEWLY_PASSING
                    elif does(rules[0][rule], frame[row]) != does(rules[1][rule], frame[row]):
                        kind = Change.OTHER_SEVERITY
                    if kind:
                        expected[rule, str(kind), lies, source, month] += 1
        if not lake.rows:
            return
        found = compare(lake, draft, against, *(written[number] for number in believed))
    told = found.as_dict()
    assert found.judged == lake.rows == sum(each["rows"] for each in told["by_version"])
    assert {
        (rule["rule"], each["change"], each["lies"], each["source_id"], each["month"]): each["rows"]
        for rule in told["rules"]
        for each in rule["by"]
    } == dict(expected)
    named = found.rows.with_columns(
        month=pl.format("{}-{}", pl.col("month") // 12, (pl.col("month") % 12 + 1).cast(pl.String).str.zfill(2))
    )
    assert {tuple(row[:-1]): row[-1] for row in named.iter_rows()} == dict(sides)
    assert found.moved(would_stop=True) == sum(rows for key, rows in sides.items() if key[-2:] == (False, True))
    assert found.moved(would_stop=False) == sum(rows for key, rows in sides.items() if key[-2:] == (True, False))


@settings(max_examples=40, deadline=None)
@given(ROWS, suites(), st.sampled_from(["min", "max"]), st.booleans(), st.sampled_from(["critical", "warning"]))
def test_a_sweep_counts_at_each_value_what_a_draft_with_that_value_would(
    rows: list[dict[str, Any]], against: Written, limit: str, strict: bool, severity: str
) -> None:
    if not rows:
        return

    def draft_with(value: float) -> Written:
        slid = between(
            "swept.range",
            severity,
            **{"min_value": 30, "max_value": 400, f"{limit}_value": value, f"strict_{limit}": strict},
            row_condition='body_position != "standing"',
            condition_parser="pandas",
        )
        return suite(slid, between("fixed.rule", "critical", "diastolic", max_value=250))

    with tempfile.TemporaryDirectory() as folder:
        lake = PressureLake(Lake.local(Path(folder)))
        lake.land(events(rows), against)
        sweep = read_sweep(f"swept.range.{limit}=90..320:45", draft_with(100), SCHEMA)
        found = compare(lake, draft_with(100), against, against, sweep=sweep).swept
        assert found is not None
        assert [point.value for point in found.points] == list(range(90, 321, 45))
        for point in found.points:
            draft = draft_with(point.value)
            failed, would = stage_says(events(rows), draft)
            _, was = stage_says(events(rows), against)
            assert point.failing == sum("swept.range" in each for each in failed)
            pairs = list(zip(was, would, strict=True))
            assert (point.newly_quarantined, point.released) == (pairs.count((False, True)), pairs.count((True, False)))


def test_a_waiver_alone_is_a_change_by_its_source_and_its_limit_cannot_be_slid(lake: PressureLake) -> None:
    lake.land(events([{"systolic": 400.0}, {"systolic": 400.0, "source_id": "hospital-b"}]), LIMIT)
    rule = between("bp.systolic.range", "critical", max_value=300)
    draft = suite(waived(rule, "hospital-a 2026-01-01"))
    found = compare(lake, draft, LIMIT, LIMIT)
    ((change,),) = [found.rules]
    assert change.words == "other waivers"
    assert found.counts(change.rule, Change.OTHER_SEVERITY) == found.moved(would_stop=False) == 1
    assert found.by("source_id")["released"].to_list() == [1, 0]
    assert compare(lake, LIMIT, draft).moved(would_stop=True) == 1
    with pytest.raises(SuiteError, match="waived"):
        read_sweep("systolic.max=250..320", draft, SCHEMA)


LIMIT = suite(between("bp.systolic.range", "critical", max_value=300))
LOWER = suite(between("bp.systolic.range", "critical", max_value=180))


@pytest.fixture
def lake(tmp_path: Path) -> PressureLake:
    return PressureLake(Lake.local(tmp_path))


def test_what_no_rule_stopped_and_what_was_released_or_judged_again_is_counted_apart(lake: PressureLake) -> None:
    lake.land(events([{"systolic": 900.0}, {"systolic": 400.0}, {"systolic": 350.0}, {}]), LIMIT)
    again = [
        {"systolic": value, "stream": "quarantine", "first_offset": first, "operation": 1}
        for value, first in ((900.0, 0), (400.0, 1))
    ]
    lake.land(events(again), suite(between("bp.systolic.range", "critical", max_value=500)))
    for reason, count in ((Reason.REPEATED, 2), (Reason.RETRACTED, 1), (Reason.STAGE_FAILED, 3)):
        lake.set_aside(events([{}] * count, 10 + lake.blocks * 10), reason)
    found = compare(lake, suite(between("bp.systolic.range", "critical", max_value=1000)), LIMIT, LIMIT)
    assert found.aside == {AGAIN: 1, RELEASED: 1, "event.repeated": 2, "event.withdrawn": 1, "engine.stage_failed": 3}
    # 900 lies there once, by its newer verdict; 400 was released and 120 landed; 350 waits.
    assert dict(found.rows.group_by("lies").agg(pl.col("rows").sum()).iter_rows()) == {"landed": 2, "quarantined": 2}
    assert found.moved(would_stop=False) == 3
    assert found.as_dict()["rules"][0]["by"][0]["rows"] == 1


def test_a_released_row_that_was_superseded_since_does_not_come_back_from_quarantine(lake: PressureLake) -> None:
    lake.land(events([{"systolic": 900.0}]), LIMIT)
    released = events([{"systolic": 900.0, "stream": "quarantine", "first_offset": 0, "operation": 1}])
    lake.land(released, suite(between("bp.systolic.range", "critical", max_value=1000)))
    curated = pl.read_delta(lake.lake.curated(PRESSURE))
    curated.write_delta(lake.lake.history(PRESSURE))
    lake.tables.curated.handle.delete()
    found = compare(lake, LOWER, LIMIT, LIMIT)
    assert (found.judged, found.aside) == (0, {HISTORY: 1, RELEASED: 1})


def test_rows_are_chosen_by_when_they_were_recorded_and_by_source(lake: PressureLake) -> None:
    recorded = [BEGIN + dt.timedelta(days=day) for day in (0, 1, 2, 2, 3)]
    rows = [
        {"systolic": 200.0, "recorded_at": each, "source_id": f"hospital-{'ab'[number % 2]}"}
        for number, each in enumerate(recorded)
    ]
    lake.land(events(rows[:2]), LIMIT)
    lake.land(events(rows[2:], 2), LIMIT)

    def rows_of(scope: Scope) -> int:
        found = compare(lake, LOWER, LIMIT, LIMIT, scope=scope)
        assert found.moved(would_stop=True) == found.judged
        return found.judged

    assert rows_of(Scope()) == 5
    assert rows_of(Scope(since=recorded[1])) == 4
    assert rows_of(Scope(since=recorded[2])) == 3
    assert rows_of(Scope(since=recorded[4] + dt.timedelta(milliseconds=1))) == 0
    assert rows_of(Scope(sources=frozenset({"hospital-a"}))) == 3
    assert rows_of(Scope(last=1)) == 1
    assert rows_of(Scope(last=2)) == 3  # two were recorded in the same millisecond
    assert rows_of(Scope(last=2, sources=frozenset({"hospital-b"}))) == 2
    assert rows_of(Scope(last=9)) == 5
    assert rows_of(Scope(since=recorded[4], last=3)) == 1


def test_only_the_columns_of_rules_that_ask_something_else_are_read(
    lake: PressureLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = (
        between("bp.diastolic.range", "critical", "diastolic", max_value=200),
        between("bp.age", "warning", "age_years", max_value=90),
    )
    old = suite(*others, between("bp.systolic.range", "critical", max_value=300))
    lake.land(events([{"systolic": 200.0}, {"systolic": 400.0, "birth_year": 1900}]), old)
    seen: set[str] = set()
    whole = pieces.read

    def noting(at: Any, piece: Any, columns: Any) -> pl.DataFrame:
        seen.update(columns)
        return whole(at, piece, columns)

    monkeypatch.setattr("biokeel.rules.backtest.read", noting)
    severer = suite(
        others[0], {**others[1], "severity": "critical"}, between("bp.systolic.range", "critical", max_value=300)
    )
    assert compare(lake, severer, old, old).counts("bp.age", Change.OTHER_SEVERITY) == 1
    assert not seen
    lower = suite(*others, between("bp.systolic.range", "critical", max_value=180))
    assert compare(lake, lower, old, old).moved(would_stop=True) == 1
    assert seen == {"systolic"}
    assert compare(lake, lower, old).moved(would_stop=True) == 1
    assert seen == {"systolic", "diastolic"}


def test_a_rule_about_the_participant_reads_the_number_behind_the_text_that_landed(lake: PressureLake) -> None:
    lake.land(events([{"participant": 99}, {"participant": 7}]), LIMIT)
    number = expectation("bp.who", "critical", "expect_column_values_to_be_in_set", column="participant", value_set=[7])
    draft = suite(number, between("bp.systolic.range", "critical", max_value=300))
    found = compare(lake, draft, LIMIT, LIMIT)
    assert found.counts("bp.who", Change.NEWLY_FAILING) == 1
    assert [(each.participant_id, each.values) for each in found.examples] == [(encode_id(99), {})]


def test_rows_that_were_written_without_a_column_are_judged_without_it_and_counted(tmp_path: Path) -> None:
    avro = json.loads(json.dumps(SCHEMA.avro))
    field = {**next(each for each in avro["fields"] if each["name"] == "heart_rate"), "name": "arm_circumference"}
    avro["fields"].append(field)
    newer = parse_schema(PRESSURE, avro)
    lake = PressureLake(Lake.local(tmp_path))
    lake.land(events([{}, {}, {"systolic": 400.0}]), LIMIT)
    present = expectation(
        "bp.arm.present", "critical", "expect_column_values_to_not_be_null", column="arm_circumference"
    )
    draft = read_written(suite_text(present, between("bp.systolic.range", "critical", max_value=300)), newer, "draft")
    known = {LIMIT.suite.version: LIMIT}
    before = Comparison(lake.lake, newer, draft, LIMIT, scope=Scope(), stamps=known).run()
    assert (before.moved(would_stop=True), before.lacking) == (2, {"arm_circumference": 3})
    tables = EventTables(lake.lake, newer)
    tables.positions(0)
    lake.tables = tables
    lake.land(events([{}, {}], 3).with_columns(arm_circumference=pl.lit(None, pl.Float64)), LIMIT)
    after = Comparison(lake.lake, newer, draft, LIMIT, scope=Scope(), stamps=known).run()
    assert (after.moved(would_stop=True), after.lacking) == (4, {"arm_circumference": 3})


def test_examples_name_pseudonym_and_place_and_only_values_that_are_tagged_so(lake: PressureLake) -> None:
    lake.land(events([{"systolic": 200.0, "participant": 99, "birth_year": 1931}] * 9), LIMIT)
    stricter = suite(
        between("bp.systolic.range", "critical", max_value=180),
        between("bp.age", "warning", "age_years", max_value=90),
        expectation("bp.born", "warning", "expect_column_values_to_be_null", column="birth_year"),
    )
    found = compare(lake, stricter, LIMIT, LIMIT)
    assert Counter(each.rule for each in found.examples) == {"bp.systolic.range": 5, "bp.age": 5, "bp.born": 5}
    first = found.examples[0]
    assert first.participant_id == encode_id(99)
    assert first.place == "raw.hospital-a.clinical.blood_pressure/0@0"
    assert {each.rule: each.values for each in found.examples} == {
        "bp.systolic.range": {"systolic": 200.0},
        "bp.age": {},
        "bp.born": {},
    }
    assert "1931" not in json.dumps(found.as_dict())


def test_for_an_approval_the_share_of_last_week_is_told_by_rule(lake: PressureLake) -> None:
    week = dt.timedelta(days=7)
    rows = [{"systolic": value, "recorded_at": BEGIN} for value in (120.0, 200.0, 400.0)]
    lake.land(events([*rows, {"systolic": 200.0, "recorded_at": BEGIN - week}]), LIMIT)

    def share(draft: Written, now: dt.datetime) -> Share:
        return share_of_last_week(lake.lake, SCHEMA, draft, LIMIT, stamps={LIMIT.suite.version: LIMIT}, now=now)

    found = share(LOWER, BEGIN + dt.timedelta(hours=1))
    assert (found.rows, found.newly_quarantined, found.by_rule) == (3, 1, {"bp.systolic.range": 1})
    assert found.share == pytest.approx(1 / 3)
    assert share(LOWER, BEGIN + week * 2).share == 0
    empty = Lake.local(Path(lake.lake.root) / "empty")
    assert share_of_last_week(empty, SCHEMA, LOWER, LIMIT, stamps={}, now=BEGIN) == Share(0, 0, {})


def test_a_rule_that_judges_no_row_is_named_as_not_tried(lake: PressureLake) -> None:
    lake.land(events([{}]), LIMIT)
    mean = expectation("bp.mean", "info", "expect_column_mean_to_be_between", column="systolic", max_value=140)
    assert compare(lake, suite(mean, between("bp.systolic.range", "critical", max_value=300)), LIMIT).not_tried == (
        "bp.mean",
    )


def test_an_event_type_that_has_not_landed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NothingLanded, match="landed"):
        Comparison(Lake.local(tmp_path), SCHEMA, LOWER, LIMIT, scope=Scope(), stamps={})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("systolic", "malformed"),
        ("systolic.max=250", "malformed"),
        ("systolic.max=a..b", "one number to another"),
        ("systolic.max=300..250", "goes upwards"),
        ("systolic.max=0..1e9", "1 to 2,000"),
        ("systolic.max=1..inf", "one number to another"),
        ("heart_rate.max=1..9", "no range rules"),
        ("diastolic.max=1..9", "several range rules"),
        ("occurred_at.min=1..9", "no number"),
    ],
)  # fmt: skip
def test_a_sweep_that_makes_no_sense_is_refused_with_what_to_write(text: str, says: str) -> None:
    draft = suite(
        between("bp.systolic.range", "critical", max_value=300),
        between("bp.diastolic.range", "critical", "diastolic", max_value=200),
        between("bp.diastolic.usual", "critical", "diastolic", max_value=120),
        between("bp.early", "critical", "occurred_at", min_value="1900-01-01T00:00:00+00:00"),
    )
    with pytest.raises(SuiteError, match=says):
        read_sweep(text, draft, SCHEMA)


def test_of_several_rules_of_a_column_the_one_with_the_limit_or_the_critical_one_is_slid() -> None:
    low = between("bp.low", "critical", min_value=30)
    usual, high = between("bp.usual", "warning", max_value=250), between("bp.high", "critical", max_value=300)
    assert read_sweep("systolic.max=1..9", suite(low, usual, high), SCHEMA).rule.id == "bp.high"
    assert read_sweep("systolic.max=1..9", suite(low, usual), SCHEMA).rule.id == "bp.usual"
    assert read_sweep("systolic.min=1..9", suite(low, usual, high), SCHEMA).rule.id == "bp.low"


def test_the_values_of_a_sweep_are_the_decimal_numbers_that_were_written() -> None:
    assert read_sweep("systolic.max=0.1..0.5:0.1", LIMIT, SCHEMA).values.tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert read_sweep("systolic.max=250..253", LIMIT, SCHEMA).values.tolist() == [250, 251, 252, 253]
    assert len(read_sweep("bp.systolic.range.max=0.5..1.5", LIMIT, SCHEMA).values) == 21
    assert read_sweep("systolic.max=-2..2:2", LIMIT, SCHEMA).values.tolist() == [-2, 0, 2]
