"""Laws of the engine: what is written is given back, a bad line costs itself, order and repetition change nothing."""

from __future__ import annotations

import csv
import io
import random
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biokeel.contracts.schema import load_schemas
from biokeel.errors import AdapterError
from biokeel.settings import PROJECT_ROOT
from biokeel.source.adapters.base import Context, Report, Unusable
from biokeel.source.adapters.numbers import number_of_text
from biokeel.source.ids import EventIds
from biokeel.source.mappings import cells
from biokeel.source.mappings import table as tables
from biokeel.source.mappings.model import FileRules
from biokeel.source.mappings.run import Table
from biokeel.source.times import in_zone
from tests.source.mappings.conftest import RECORDED, Found, mapping_of, read_table

SCHEMAS = load_schemas(PROJECT_ROOT / "schemas")
GLUCOSE = Table(
    mapping_of(
        """
name: laws
columns: {id: id, who: who, when: when, value: value, unit: unit, note: {names: note, optional: true}}
subject: {scheme: hospital, column: who}
record_key: id
events:
  - event: clinical.lab_result
    fields:
      occurred_at: {column: when}
      code: {constant: "2160-0"}
      display: {column: note}
      value: {column: value, unit: {column: unit}}
      status: {constant: final}
""",
        SCHEMAS,
    ),
    SCHEMAS,
)
ZONES = [None, ZoneInfo("Asia/Seoul"), ZoneInfo("America/New_York"), ZoneInfo("Europe/Berlin")]
FORMS = ["%d-%m-%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%Y-%m-%d %H:%M:%S", "%Y%m%d", "%d.%m.%Y"]
HEADER = ["id", "who", "when", "value", "unit", "note"]
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\x85\u2028\u2029"))
NOTES = st.one_of(TEXT, st.sampled_from(['a "quoted" word', "two\nlines", 'x,"\n",y', '"', "5' 2\"", "김,철수"]))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "who": st.sampled_from(["P1", "P2", "환자3"]),
            "when": st.datetimes(datetime(1990, 1, 1), datetime(2025, 1, 1)).map(lambda at: at.replace(microsecond=0)),  # noqa: DTZ001
            "value": st.floats(-1e6, 1e10, allow_nan=False, allow_infinity=False),
            "unit": st.sampled_from(["mg/dL", "mmol/L", "U/L"]),
            "note": NOTES,
        }
    ),
    min_size=1,
    max_size=30,
)


def written(rows: list[dict[str, Any]], dialect: str = "excel") -> str:
    out = io.StringIO()
    writer = csv.writer(out, dialect)
    writer.writerow(HEADER)
    for index, row in enumerate(rows):
        when = row["when"].isoformat() + "Z"
        writer.writerow([f"r{index}", row["who"], when, repr(row["value"]), row["unit"], row["note"]])
    return out.getvalue()


def read(text: str | bytes, table: Table = GLUCOSE) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_table(table, path)


def events(found: Found) -> pl.DataFrame:
    return found.frames.get("clinical.lab_result", pl.DataFrame({"event_id": []}))


@given(ROWS, st.sampled_from(["excel", "unix"]), st.sampled_from([1 << 23, 64, 257]))
@settings(max_examples=20)
def test_what_a_csv_writer_wrote_is_given_back(rows: list[dict[str, Any]], dialect: str, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "PIECE_BYTES", piece)
        found = read(written(rows, dialect))
    assert not found.problems
    seen = Counter(events(found).select("subject_id", "occurred_at", "value", "value_unit").iter_rows())
    assert seen == Counter((r["who"], r["when"].replace(tzinfo=UTC), r["value"], r["unit"]) for r in rows)
    notes = Counter(note or "" for note in events(found)["display"])
    assert notes == Counter(polars_stripped(row["note"]) for row in rows)


def polars_stripped(text: str) -> str:
    return str(pl.Series([text]).str.strip_chars()[0])


BAD = st.sampled_from(
    [
        ["x1", "P1", "2024-05-01T09:00:00Z", "9_000", "mg/dL", ""],
        ["x2", "P1", "2024-05-01T09:00:00Z", "nan", "mg/dL", ""],
        ["x3", "P1", "2024-05-01T09:00:00Z", "1,5", "mg/dL", ""],
        ["x4", "P1", "2024-05-01T09:00:00Z", "１２", "mg/dL", ""],
        ["x5", "P1", "01/02/2024", "5", "mg/dL", ""],
        ["x6", "P1", "2024-02-30", "5", "mg/dL", ""],
        ["x7", "", "2024-05-01", "5", "mg/dL", ""],
        ["x8", "P**1", "2024-05-01", "5", "mg/dL", ""],
        ["x9", "P1", "2024-05-01", "5", "furlong", ""],
        ["y1", "P1", "2024-05-01", "5"],
        ["y2", "P1", "2024-05-01", "5", "mg/dL", "", "", "zzzz"],
        ["y3", "P1", "", "5", "mg/dL", ""],
        ["y4", "P1", "0001-01-01", "5", "mg/dL", ""],
        ["y5", "P1", "2094-01-01", "5", "mg/dL", ""],
        ["y6", "1.5E+09", "2024-05-01", "5", "mg/dL", ""],
    ]
)


@given(ROWS, st.lists(st.tuples(st.integers(0, 30), BAD), min_size=1, max_size=5))
@settings(max_examples=20)
def test_a_line_that_cannot_be_read_costs_only_itself(
    rows: list[dict[str, Any]], bad: list[tuple[int, list[str]]]
) -> None:
    rows = [{**row, "note": row["note"].replace("\n", " ")} for row in rows]
    good = written(rows)
    lines = good.splitlines(keepends=True)
    wrong = {}
    for at, row in bad:
        out = io.StringIO()
        csv.writer(out).writerow(row)
        lines.insert(1 + at % len(rows), out.getvalue())
        wrong[out.getvalue()] = row
    found = read("".join(lines))
    assert events(found).sort("event_id").equals(events(read(good)).sort("event_id"))
    places = [f"line {number}" for number, line in enumerate(lines, 1) if line in wrong]
    assert sorted(place for place, _ in found.problems) == sorted(places)
    for _, reason in found.problems:
        assert not any(cell in reason for row in wrong.values() for cell in row if len(cell) > 2)


STRAY = [
    'x,P1,2024-05-01,5,mg/dL,5" tube\n',
    'x,P1,2024-05-01,5,mg/dL,"never closed\n',
    'x,P1,2024-05-01,5",mg/dL,\n',
    'x,P1,2024-05-01,5,mg/dL,"closed" twice"\n',
]


@given(ROWS, st.sampled_from(STRAY), st.integers(0, 30))
@settings(max_examples=20)
def test_a_stray_quotation_mark_costs_only_its_line(rows: list[dict[str, Any]], stray: str, at: int) -> None:
    rows = [{**row, "note": row["note"].replace("\n", " ").replace('"', "")} for row in rows]
    good = written(rows, "unix")
    lines = good.splitlines(keepends=True)
    place = 1 + at % len(rows)
    lines.insert(place, stray)
    found = read("".join(lines))
    assert [position for position, _ in found.problems] == [f"line {place + 1}"]
    assert events(found).sort("event_id").equals(events(read(good)).sort("event_id"))


@given(ROWS, st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_the_order_of_the_lines_and_a_second_reading_change_nothing(
    rows: list[dict[str, Any]], chance: random.Random
) -> None:
    rows = [{**row, "note": row["note"].replace("\n", " ")} for row in rows]
    head, *lines = written(rows).splitlines(keepends=True)
    first = read(head + "".join(lines))
    chance.shuffle(lines)
    again = read(head + "".join(lines))
    assert events(first).sort("event_id").equals(events(again).sort("event_id"))
    assert len(set(events(first)["event_id"])) == len(rows)


@given(ROWS)
@settings(max_examples=20)
def test_a_line_that_comes_twice_is_one_event_and_counted(rows: list[dict[str, Any]]) -> None:
    rows = [{**row, "note": row["note"].replace("\n", " ")} for row in rows]
    head, *lines = written(rows).splitlines(keepends=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "PIECE_BYTES", 300)
        found = read(head + "".join(lines) + "".join(lines))
    assert not found.problems
    assert events(found).height == len(rows)
    assert found.report.left_out.total() == len(rows)


def test_two_records_under_one_key_are_one_event_and_a_problem() -> None:
    text = "id,who,when,value,unit\nr1,P1,2024-05-01,5,mg/dL\nr1,P1,2024-05-01,6,mg/dL\nr1,P2,2024-05-01,6,mg/dL\n"
    found = read(text)
    assert events(found)["value"].to_list() == [5.0, 6.0], "another person's record is another record"
    assert found.problems == [("line 3", "the record key of an earlier line, and other content")]


def test_bytes_that_are_no_text_of_the_encoding_cost_only_their_line() -> None:
    head = b"id,who,when,value,unit,note\n"
    # The file begins as UTF-8, far enough to be told.
    good = b"".join(b"r%d,P1,2024-05-01,5,mg/dL,\xea\xb0\x80\n" % number for number in range(20_000))
    found = read(head + good + b"x,P1,2024-05-01,5,mg/dL,\xff\xfe\n" + b"y,P1,2024-05-01,5,mg/dL,\n")
    assert events(found).height == 20_001
    assert found.problems == [("line 20002", "the line is no text in the file's encoding")]


def test_no_more_of_a_file_is_held_than_a_piece_and_what_waits(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    line = "{},P{},2024-05-01T09:00:00Z,5,mg/dL,a note of some length\n"
    with path.open("w") as file:
        file.write(",".join(HEADER) + "\n")
        file.writelines(line.format(number, number % 50) for number in range(40_000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "PIECE_BYTES", 1 << 16)
        ids, report = EventIds("clinic", b"key"), Report()
        sizes = [rows.height for _, rows, _ in GLUCOSE(path, Context("clinic", "c", ids, RECORDED), report)]
    assert sum(sizes) == 40_000
    assert max(sizes) < 2_000, "frames are handed on piece by piece"


def test_a_file_full_of_stray_quotation_marks_is_refused() -> None:
    with pytest.raises(AdapterError, match="quotation marks"):
        read("id,who,when,value,unit,note\n" + 'x,P1,2024-05-01,5",mg/dL,\n' * 200)


def test_times_are_read_as_the_zone_and_the_form_say() -> None:
    text = (
        "id,who,when,value,unit\n1,P,2024,5,mg/dL\n2,P,2024-05,5,mg/dL\n3,P,2024-05-01,5,mg/dL\n"
        "4,P,2024-05-01T09:00,5,mg/dL\n5,P,2024-05-01 09:00:10,5,mg/dL\n6,P,2024-05-01T09:00:10.5+02:00,5,mg/dL\n"
        "7,P,2016-12-31T23:59:60Z,5,mg/dL\n"
    )
    rows = events(read(text)).select("occurred_at", "occurred_offset_minutes", "occurred_precision").rows()
    assert [(str(at), offset, precision) for at, offset, precision in rows] == [
        ("2023-12-31 15:00:00+00:00", 540, "year"),
        ("2024-04-30 15:00:00+00:00", 540, "month"),
        ("2024-04-30 15:00:00+00:00", 540, "day"),
        ("2024-05-01 00:00:00+00:00", 540, "minute"),
        ("2024-05-01 00:00:10+00:00", 540, "second"),
        ("2024-05-01 07:00:10.500000+00:00", 120, "millisecond"),
        ("2016-12-31 23:59:59+00:00", 0, "second"),
    ]


@given(st.datetimes(datetime(1950, 1, 1), datetime(2024, 12, 31)), st.sampled_from(ZONES), st.sampled_from(FORMS))  # noqa: DTZ001
@settings(max_examples=60)
def test_times_are_those_that_python_reads(at: datetime, zone: ZoneInfo | None, form: str) -> None:
    text = at.strftime(form)
    expected = in_zone(datetime.strptime(text, form), zone)  # noqa: DTZ007 - in_zone decides
    found = cells.moments(pl.Series([text]), [form], zone)
    if found.at[0] is None:  # An hour that no clock of the zone shows.
        assert zone is not None
        local = datetime.strptime(text, form).replace(tzinfo=zone)
        assert local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None)
    else:
        assert (found.at[0], found.offset[0]) == expected[:2]


@given(
    st.one_of(st.floats(allow_nan=True, allow_infinity=True).map(repr), st.text("0123456789.,eE+-_ naif１", max_size=8))
)
@settings(max_examples=200)
def test_numbers_are_those_that_all_formats_take(text: str) -> None:
    found = cells.numbers(pl.Series([text.strip()]), FileRules(), {})
    try:
        expected = number_of_text(text.strip(), "x")
    except Unusable:
        expected = None
    assert found.values[0] == expected
    assert found.bad[0] == (expected is None)


PAIRS = Table(
    mapping_of(
        """
name: pairs
columns: {who: who, when: when, code: code, value: value}
subject: {scheme: hospital, column: who}
record_key: [when, code]
events:
  - event: clinical.blood_pressure
    when: {code: [sys, dia]}
    together: when
    fields:
      occurred_at: {column: when}
      panel_code: {constant: "85354-9"}
      systolic: {column: value, unit: "mm[Hg]", when: {code: sys}}
      diastolic: {column: value, unit: kPa, when: {code: dia}}
      status: {constant: final}
""".replace("unit: kPa", 'unit: "mm[Hg]"'),
        SCHEMAS,
    ),
    SCHEMAS,
)


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["P1", "P2"]), st.integers(0, 200)),
        st.tuples(st.integers(60, 250), st.integers(30, 150)),
        min_size=1,
        max_size=20,
    ),
    st.randoms(use_true_random=False),
    st.sampled_from([1 << 23, 80]),
)
@settings(max_examples=20)
def test_rows_of_one_event_are_joined_wherever_they_stand(
    pairs: dict[tuple[str, int], tuple[int, int]], chance: random.Random, piece: int
) -> None:
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    lines = [
        f"{who},{(begin + timedelta(hours=hour)).isoformat()},{code},{value}\n"
        for (who, hour), both in pairs.items()
        for code, value in zip(("sys", "dia"), both, strict=True)
    ]
    chance.shuffle(lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "PIECE_BYTES", piece)
        found = read("who,when,code,value\n" + "".join(lines), PAIRS)
    ours = found.frames["clinical.blood_pressure"]
    seen = Counter(ours.select("subject_id", "occurred_at", "systolic", "diastolic").iter_rows())
    assert seen == Counter((who, begin + timedelta(hours=hour), *both) for (who, hour), both in pairs.items())


def test_a_pressure_without_its_other_half_is_an_event_and_two_halves_that_contradict_are_none() -> None:
    text = (
        "who,when,code,value\nP1,2024-05-01,sys,120\nP2,2024-05-01,sys,130\nP2,2024-05-01,sys,131\n"
        "P2,2024-05-01,dia,80\n"
    )
    found = read(text, PAIRS)
    rows = found.frames["clinical.blood_pressure"].select("subject_id", "systolic", "diastolic").rows()
    assert rows == [("P1", 120.0, None)]
    assert [place for place, _ in found.problems] == ["line 3", "line 4", "line 5"]
