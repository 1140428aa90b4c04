"""`biokeel source map`, and `--mapping` of publish and dry-run."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from biokeel.cli import publish, source
from biokeel.contracts.schema import load_schemas
from biokeel.errors import AdapterError
from biokeel.settings import PROJECT_ROOT
from biokeel.source.mappings.load import parse_mapping
from biokeel.source.mappings.model import Mapping
from biokeel.source.mappings.propose import propose
from tests.examples import examples

SCHEMAS = load_schemas(PROJECT_ROOT / "schemas")
TABLE = "환자번호;검사일시;혈당(mg/dL);비고\nZQ-0012;2024-05-21 09:10;98,7;kimzz\nZQ-0013;2024-05-22 09:30;99,1;leezz\n"
ANSWERS = {
    'name: "?"': "name: clinic glucose",
    'scheme: "?"': "scheme: hospital",
    'record_key: ["?"]': "record_key: [column_2]",
    'code: {constant: "?"}': "code: {constant: 2339-0}",
    'status: {constant: "?"}': "status: {constant: final}",
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("BIOKEEL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("BIOKEEL_SOURCES_DIR", str(tmp_path / "no register"))
    app = typer.Typer()
    publish.register(app)
    source.register(app)

    def call(*arguments: str) -> Result:
        return CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)

    return call


def test_a_proposal_is_refused_until_it_is_decided_and_then_used(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    table, mapping = tmp_path / "t.csv", tmp_path / "m.yaml"
    table.write_text(TABLE, encoding="utf-8")
    proposed = run("source", "map", str(table))
    assert proposed.exit_code == 0, proposed.output
    mapping.write_text(proposed.output, encoding="utf-8")
    refused = run("publish", str(table), "--mapping", str(mapping), "--source-id", "a", "--dry-run")
    assert isinstance(refused.exception, AdapterError)
    assert "line 3: name is still to be decided" in str(refused.exception)
    text = proposed.output
    for question, answer in ANSWERS.items():
        assert question in text
        text = text.replace(question, answer)
    assert "?" not in text.split("events:")[1].replace("is it so?", "")
    mapping.write_text(text, encoding="utf-8")
    checked = run("source", "map", str(table), "--check", str(mapping), "--zone", "Asia/Seoul")
    assert checked.exit_code == 0, checked.output
    assert "clinical.glucose" in checked.output
    sent = run("publish", str(table), "--mapping", str(mapping), "--source-id", "a", "--dry-run")
    assert sent.exit_code == 0, sent.output
    assert "clinical.glucose" in sent.output
    for output in (proposed.output, checked.output, sent.output):
        assert not [value for value in ("ZQ-0012", "98,7", "98.7", "kimzz", "09:10") if value in output]


def test_a_check_tells_problems_by_line_and_ends_with_status_2(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    table, mapping = tmp_path / "t.csv", tmp_path / "m.yaml"
    table.write_text("id,who,when,v\n1,a,2024-05-01,secret\n2,a,2024-05-02,7\n")
    mapping.write_text(
        "name: t\ncolumns: {id: id, who: who, when: when, v: v}\nsubject: {scheme: hospital, column: who}\n"
        "record_key: id\nevents:\n  - event: lifestyle.diet\n    fields:\n      occurred_at: {column: when}\n"
        "      meal: {constant: lunch}\n      energy: {column: v, unit: kJ}\n"
    )
    result = run("source", "map", str(table), "--check", str(mapping))
    assert result.exit_code == 2
    assert "line 2" in result.output
    assert "v holds no number" in result.output
    assert "secret" not in result.output
    judged = run("source", "dry-run", str(table), "--mapping", str(mapping), "--source-id", "a", "--json")
    assert '"lifestyle.diet"' in judged.output
    assert '"place": "line 2"' in judged.output


def test_a_known_table_is_answered_with_the_shipped_mapping(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    table = tmp_path / "t.csv"
    table.write_text("date,meal,food,kcal\n2024-05-01,lunch,zzz,300\n")
    result = run("source", "map", str(table))
    assert "name: Food log" in result.output
    found = parse_mapping(result.output, "m.yaml", SCHEMAS)
    assert isinstance(found, Mapping)


def test_a_mapping_counts_before_a_shipped_one_and_other_files_keep_theirs(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    mapping = tmp_path / "m.yaml"
    mapping.write_text(
        "name: own\ncolumns: {when: date, meal: meal, food: food, energy: kcal}\nrecord_key: [when, food]\n"
        "events:\n  - event: lifestyle.diet\n    fields:\n      occurred_at: {column: when}\n"
        "      meal: {constant: snack}\n      energy: {column: energy, unit: kJ}\n"
    )
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv").write_text("date,meal,food,kcal\n2024-05-01,xyz,zzz,300\n")
    (tmp_path / "in/b.csv").write_text("Id,SleepDay,TotalMinutesAsleep,TotalTimeInBed\n7,4/13/2016,1,1\n")
    options = ("--source-id", "a", "--dry-run", "--subject", "app/x=1", "--zone", "Asia/Seoul")
    result = run("publish", str(tmp_path / "in"), "--mapping", str(mapping), *options)
    assert result.exit_code == 0, result.output
    assert "lifestyle.diet" in result.output
    assert "lifestyle.sleep" in result.output


WORD = st.text(string.ascii_letters, min_size=6, max_size=12).map(lambda word: f"q{word}z")
COLUMNS = st.sampled_from(
    ["patient_no", "visit date", "glucose (mg/dL)", "meal", "음식", "value", "unit", "sbp", "dbp"]
)


@given(
    names=st.lists(COLUMNS, min_size=2, max_size=6, unique=True),
    rows=st.lists(st.lists(st.one_of(WORD, st.integers(10**6, 10**9).map(str)), min_size=6, max_size=6), min_size=1),
)
@settings(max_examples=examples(10), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_proposal_never_holds_a_value_of_the_file(names: list[str], rows: list[list[str]], tmp_path: Path) -> None:
    path = tmp_path / "hidden-name.csv"
    lines = [",".join(row[: len(names)]) for row in rows]
    path.write_text("\n".join([",".join(names), *lines]) + "\n", encoding="utf-8")
    proposed = propose(path, SCHEMAS)
    assert not [cell for row in rows for cell in row[: len(names)] if cell in proposed]
    assert "hidden-name" not in proposed
    assert not isinstance(parse_mapping(proposed, "m.yaml", SCHEMAS), Mapping), "something is always to be decided"


def test_a_table_without_names_of_columns_is_refused_and_its_values_are_not_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("kimzz,900101-1234567,98\nleezz,900101-2234567,99\n")
    with pytest.raises(AdapterError) as told:
        propose(path, SCHEMAS)
    assert "names its columns" in str(told.value)
    assert "kimzz" not in str(told.value)
