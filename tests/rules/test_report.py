"""What is new about failures is told by when rows landed, by rule and source, and never with a value."""

from __future__ import annotations

import datetime as dt
import json
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from biokeel.contracts.ids import encode_id
from biokeel.errors import NothingLanded
from biokeel.land.lake import Lake
from biokeel.land.log import commits
from biokeel.land.maintenance import compact
from biokeel.reasons import Reason
from biokeel.rules.report import EventReport, News, report_on
from biokeel.rules.report_pages import html, markdown, page_of
from tests.rules.lake import PRESSURE, PressureLake, between, events, expectation, suite

FORCE = suite(
    between("bp.systolic.range", "critical", max_value=300),
    between("bp.systolic.usual", "warning", max_value=200),
    between("bp.diastolic.range", "critical", "diastolic", max_value=200),
    between("bp.counted", "info", "diastolic", max_value=10),
    expectation("bp.status", "critical", "expect_column_values_to_not_be_null", column="status"),
)
HIGH, USUAL = {"systolic": 400.0}, {"systolic": 250.0}


@pytest.fixture
def lake(tmp_path: Path) -> PressureLake:
    return PressureLake(Lake.local(tmp_path))


def now_of(lake: PressureLake) -> dt.datetime:
    """When the last landing was done: at that time, all of it had landed, and nothing of the next."""
    return next(commits(lake.lake, lake.lake.curated(PRESSURE), 1)).at


def report(lake: PressureLake, since: dt.datetime, force: object = FORCE) -> EventReport:
    return report_on(lake.lake, PRESSURE, force, since, dt.datetime.now(dt.UTC))


def backdate(lake: PressureLake, days: int) -> None:
    """Let all that has landed have landed days ago, as far as the logs say."""
    for uri in (lake.lake.curated(PRESSURE), lake.lake.quarantine(PRESSURE)):
        for entry in Path(uri, "_delta_log").glob("*.json"):
            lines = [json.loads(line) for line in entry.read_text("utf-8").splitlines()]
            for line in lines:
                if "commitInfo" in line:
                    line["commitInfo"]["timestamp"] -= days * 86_400_000
            entry.write_text("\n".join(map(json.dumps, lines)), "utf-8")


def news_of(found: EventReport) -> dict[tuple[str, str], tuple[News, int, int]]:
    return {(each.rule, each.source): (each.news, each.since, each.before) for each in found.failing}


def test_failures_are_new_back_continuing_or_gone_by_rule_and_source(lake: PressureLake) -> None:
    lake.land(events([HIGH, {"diastolic": 300.0}, {}]), FORCE)
    backdate(lake, 30)
    lake.land(events([{**USUAL, "source_id": "hospital-b"}, {"diastolic": 300.0}, {}], 3), FORCE)
    since = now_of(lake)
    lake.land(events([{**USUAL, "source_id": "hospital-b"}, HIGH, HIGH, {"systolic": 201.0}], 6), FORCE)
    found = report(lake, since)
    assert news_of(found) == {
        ("bp.systolic.range", "hospital-a"): (News.BACK, 2, 0),
        ("bp.systolic.usual", "hospital-a"): (News.BACK, 3, 0),
        ("bp.systolic.usual", "hospital-b"): (News.CONTINUING, 1, 1),
        ("bp.diastolic.range", "hospital-a"): (News.GONE, 0, 1),
    }
    assert (found.landed, found.quarantined, found.rows) == (2, 2, 10)
    first = next(each for each in found.failing if each.rule == "bp.systolic.range")
    assert (first.rows_since, first.rows_before, first.severity) == (3, 2, "critical")
    assert found.dead == ("bp.status",)
    assert found.not_told == ("bp.counted",)


def test_a_first_failure_is_new_though_the_event_is_old_and_its_file_was_rewritten(lake: PressureLake) -> None:
    lake.land(events([{}]), FORCE)
    since = now_of(lake)
    old = dt.datetime(1990, 1, 1, tzinfo=dt.UTC)
    lake.land(events([{**USUAL, "occurred_at": old, "recorded_at": old}], 1), FORCE)
    compact(lake.lake, lake.lake.curated(PRESSURE))
    found = report(lake, since)
    assert news_of(found) == {("bp.systolic.usual", "hospital-a"): (News.NEW, 1, 0)}
    assert (found.landed, found.rows) == (1, 2)


def test_where_the_log_has_forgotten_it_is_told_from_when_on_it_knows(lake: PressureLake) -> None:
    lake.land(events([USUAL]), FORCE)
    lake.land(events([{}], 1), FORCE)
    lake.land(events([USUAL], 2), FORCE)
    for uri in (lake.lake.curated(PRESSURE), lake.lake.quarantine(PRESSURE)):
        table = DeltaTable(uri)
        log = Path(uri, "_delta_log")
        DeltaTable(uri, version=2).create_checkpoint()
        for version in range(2):
            (log / f"{version:020d}.json").unlink()
        assert table.version() == 3
    asked = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    found = report(lake, asked)
    assert asked < found.begins <= now_of(lake)
    # The two that came up to the oldest version that is known are earlier than both periods.
    assert (found.landed, news_of(found)) == (1, {("bp.systolic.usual", "hospital-a"): (News.BACK, 1, 0)})
    text = markdown(page_of([found], [], asked, dt.datetime.now(dt.UTC)))
    assert "does not know what landed before" in text


def test_a_table_that_is_younger_than_the_time_has_nothing_from_before(lake: PressureLake) -> None:
    lake.land(events([USUAL]), FORCE)
    found = report(lake, dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    assert found.landed == 1
    assert news_of(found) == {("bp.systolic.usual", "hospital-a"): (News.NEW, 1, 0)}


def test_rules_that_always_fail_together_are_a_group_from_twenty_rows_on(lake: PressureLake) -> None:
    twins = suite(
        between("a.one", "warning", max_value=200),
        between("b.two", "critical", max_value=200, strict_max=True),
        between("c.three", "warning", max_value=199),
        between("d.sometimes", "warning", max_value=260),
    )
    lake.land(events([USUAL] * 15), twins)
    assert report(lake, now_of(lake), twins).together == ()
    lake.land(events([{"systolic": 300.0}] * 5, 15), twins)
    assert report(lake, now_of(lake), twins).together == ((("a.one", "b.two", "c.three"), 20),)
    lake.land(events([{"systolic": 199.5}], 20), twins)
    assert report(lake, now_of(lake), twins).together == ((("a.one", "b.two"), 20),)


def test_what_the_wall_withheld_is_a_share_by_field_and_source(lake: PressureLake) -> None:
    lake.land(events([{"withheld": "status"}, {}]), FORCE)
    since = now_of(lake)
    lake.land(events([{"withheld": "status,body_position"}, {}, {}, {"source_id": "hospital-b"}], 2), FORCE)
    found = report(lake, since)
    assert {
        (each.field, each.source): (each.since, each.rows_since, each.before, each.rows_before)
        for each in found.withheld
    } == {
        ("status", "hospital-a"): (1, 3, 1, 2),
        ("body_position", "hospital-a"): (1, 3, 0, 2),
    }


def test_what_no_rule_stopped_is_named_apart_and_a_rule_that_is_no_longer_in_force_is_still_told(
    lake: PressureLake,
) -> None:
    lake.land(events([HIGH]), FORCE)
    lake.set_aside(events([{}], 1), Reason.REPEATED)
    found = report(lake, dt.datetime(2020, 1, 1, tzinfo=dt.UTC), suite(between("bp.other", "critical", max_value=1000)))
    assert found.aside == {"event.repeated": 1}
    assert [(each.rule, each.severity) for each in found.failing] == [
        ("bp.systolic.range", ""),
        ("bp.systolic.usual", ""),
    ]
    assert found.dead == ("bp.other",)
    broken = report(lake, dt.datetime(2020, 1, 1, tzinfo=dt.UTC), "not JSON")
    assert (broken.fault, broken.dead, len(broken.failing)) == ("not JSON", (), 2)


def test_nothing_landed_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NothingLanded):
        report_on(
            Lake.local(tmp_path), PRESSURE, FORCE, dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime.now(dt.UTC)
        )


class Text(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_no_page_has_a_value_of_a_row_and_notes_are_shown_and_not_obeyed(lake: PressureLake) -> None:
    hostile = between("bp.systolic.range", "critical", max_value=300)
    hostile["meta"]["notes"] = "<script>alert(1)</script> | *bold* [link](x)\n\n# title"
    force = suite(hostile)
    person = {
        "participant": 4711,
        "systolic": 917.25,
        "birth_year": 1931,
        "sex": "intersex",
        "body_position": "upside-down",
    }
    lake.land(events([person]), force)
    page = page_of(
        [report(lake, dt.datetime(2020, 1, 1, tzinfo=dt.UTC), force)],
        ["clinical.glucose"],
        dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
        dt.datetime.now(dt.UTC),
    )
    written = markdown(page), html(page)
    for secret in (encode_id(4711), "917", "1931", "intersex", "upside-down", "00000000"):
        assert not any(secret in text for text in written)
    read = Text()
    read.feed(written[1])
    assert "script" not in read.tags
    assert "<script>alert(1)</script> | *bold*" in read.text
    (line,) = [line for line in written[0].splitlines() if "alert" in line]
    assert line.startswith("| bp.systolic.range | critical | hospital-a | 1 | 100.00% | 0 | – |")
    assert r"\<script\>alert(1)\</script\> \| \*bold\* \[link\](x) \# title" in line
    assert "clinical.glucose" in written[0]


def test_a_group_of_rows_is_counted_alike_in_pieces(lake: PressureLake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land(events([HIGH, USUAL, {}] * 5), FORCE)
    whole = report(lake, dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    monkeypatch.setattr("biokeel.land.pieces.ROWS", 2)
    assert news_of(report(lake, dt.datetime(2020, 1, 1, tzinfo=dt.UTC))) == news_of(whole)
    assert pl.read_delta(lake.lake.curated(PRESSURE)).height == whole.landed
