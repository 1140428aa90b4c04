"""Forms and ranges: what they let through, what the check of schemas refuses, and how they may change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from biokeel.cli.schema import commands
from biokeel.contracts.compatibility import refusals
from biokeel.contracts.forms import FORM, RANGE, read_form
from biokeel.contracts.grammars import GRAMMARS
from biokeel.contracts.lint import form_faults
from biokeel.contracts.schema import Tag, load_schemas, parse_schema, schema_path
from biokeel.contracts.topics import event_type
from biokeel.errors import IncompatibleSchema, SchemaError
from tests.contracts.made_schemas import GLUCOSE, avro, field
from tests.event_types import LANDED_EVENTS

GOOD = {
    "loinc": ["2339-0", "8480-6", "85354-9", "55284-4", "4548-4", "1-8", "74774-1", "99504-3"],
    "loinc-answer": ["LA6576-8", "LA6577-6", "LA33-6", "LA32-8", "LA11882-0", "LA11883-8"],
    "snomed-ct": ["73211009", "44054006", "22298006", "1156316003", "10811000087109", "999480561000087100"],
    "icd-10": ["E11.9", "I10", "M54.5", "U07.1", "E119"],
    "icd-10-cm": ["S72.001A", "E11.9", "C7A.1", "M1A.0110"],
    "kcd": ["N20.1", "I10", "J209", "S72.000"],
    "atc": ["A", "C09", "C09C", "C09CA", "C09CA01", "A10BA02", "V03AB37"],
    "rxnorm": ["1", "860975", "2635000"],
    "hira-edi": ["645301500", "057400010"],
    "hira-edi-procedure": ["D0002030", "C1561", "HA401"],
    "kd": ["8806428000002", "8806469007114"],
    "sha256": ["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
}
BAD = {
    "loinc": ["2339-1", "8480-7", "02339-0", "2339", "2339-0 ", "2339-０", "1234567-8", "-0"],
    "loinc-answer": ["LA6576-7", "la6576-8", "6576-8"],
    "snomed-ct": ["73211008", "37211009", "6808222354501", "01068462297", "124240747", "10811000087100", "0"],
    "icd-10": ["E1", "e11.9", "E11.999", "홍E11", "M38009457"],
    "icd-10-cm": ["SMITH", "S72.001AB", "M600H2016"],
    "kcd": ["N20.1234", "KIM", "N2O.1"],
    "atc": ["E11", "A10BA0", "A10BA023", "Kim"],
    "rxnorm": ["0", "12345678", "12 34"],
    "hira-edi": ["124240747", "64530150", "6453015000"],
    "hira-edi-procedure": ["M12345678", "D00020301", "d0002030", "12345678"],
    "kd": ["8806428000009", "8806428", "7806428000002"],
    "sha256": [
        "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
        "6808222354501".zfill(64),
        "36383038323232333534353031".ljust(64, "0"),
        "홍길동".encode().hex().ljust(64, "0"),
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_grammar_knows_its_own_codes_and_refuses_wrong_check_digits_names_and_numbers(name: str) -> None:
    assert GRAMMARS[name].fits(pl.Series(GOOD[name])).to_list() == [True] * len(GOOD[name])
    assert GRAMMARS[name].fits(pl.Series(BAD[name])).to_list() == [False] * len(BAD[name])


@pytest.mark.parametrize("name", ["loinc", "snomed-ct", "kd"])
@given(data=st.data())
def test_no_single_wrong_digit_passes_a_check_digit(name: str, data: st.DataObject) -> None:
    code = data.draw(st.sampled_from(GOOD[name]))
    place = data.draw(st.sampled_from([at for at, letter in enumerate(code) if letter.isdigit()]))
    other = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != code[place]]))
    assert not GRAMMARS[name].fits(pl.Series([code[:place] + other + code[place + 1 :]])).any()


def test_the_code_of_a_system_counts_only_beside_that_systems_name() -> None:
    form = read_form({"codes_of": "system", "systems": {"ATC": "atc", "KCD-8": "kcd"}}, "here:")
    codes = pl.Series(["A10BA02", "A10BA02", "N20.1", "N20.1", "N20.1"])
    systems = pl.Series(["ATC", "KCD-8", "KCD-8", None, "another"])
    assert form.fits(codes, systems).to_list() == [True, False, True, False, False]


def test_a_software_has_a_name_of_the_list_and_any_version_of_short_numbers() -> None:
    form = read_form({"values": ["DRAGEN", "nf-core"], "of": "the list", "versions": True}, "here:")
    good = ["DRAGEN", "DRAGEN 4.2.7", "nf-core-v3.1", "DRAGEN v4"]
    bad = ["dragen", "DRAGEN 680822.2354501", "Zqvatah", "DRAGEN 4.2.7 Kim", "DRAGEN 1.2.3.4.5", "DRAGEN.4"]
    assert form.fits(pl.Series(good)).all()
    assert not form.fits(pl.Series(bad)).any()


NO_FORM = {"biokeel:form": None}


def schema_of(*fields: dict) -> object:
    return parse_schema(GLUCOSE, avro(*fields))


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        (field("word", "string"), "a kept text without biokeel:form"),
        (field("words", {"type": "array", "items": "string"}), "a kept text without biokeel:form"),
        (field("number", "double", unit="1"), "a kept number without biokeel:range"),
        (field("moment", {"type": "int", "logicalType": "date"}, unit="d"), "a kept time without biokeel:range"),
        (field("blob", "bytes"), "a kept field of type bytes has no form"),
        (field("map", {"type": "map", "values": "string"}), "a kept field of type map has no form"),
        (field("long", "long", unit="1", **{RANGE: [0, 10**12]}), "numbers of twelve digits"),
        (field("long", "double", unit="1", **{RANGE: [-(10**11), 0]}), "numbers of twelve digits"),
        (
            field(
                "late",
                ["null", {"type": "long", "logicalType": "timestamp-millis"}],
                unit="ms",
                **{RANGE: ["1800-01-01T00:00:00Z", "2000-01-01T00:00:00Z"]},
            ),
            "beyond 1900 to 2100",
        ),
        (
            field("name", "string", **{"confluent:tags": ["DIRECT"], FORM: {"codes": ["loinc"]}}),
            "field that is dropped",
        ),
        (field("n", "int", unit="1", **{FORM: {"codes": ["loinc"]}, RANGE: [0, 1]}), "biokeel:form is for texts"),
        (field("flag", "boolean", **{RANGE: [0, 1]}), "biokeel:range is for numbers and times"),
        (
            field("code", "string", **{FORM: {"codes_of": "system", "systems": {"ATC": "atc"}}}),
            "system cannot name ATC",
        ),
    ],
)
def test_the_check_of_schemas_names_the_field_the_fault_and_what_to_do(extra: dict, word: str) -> None:
    faults = [fault for fault in form_faults(schema_of(extra)) if fault.where.endswith(f".{extra['name']}")]
    assert any(word in fault.what and fault.todo for fault in faults), list(map(str, faults))


@pytest.mark.parametrize(
    ("written", "word"),
    [
        ({RANGE: [5, 1]}, "upside down"),
        ({RANGE: [1, 1]}, "upside down"),
        ({RANGE: ["1900-01-01T00:00:00Z", 5]}, "no range"),
        ({RANGE: [True, 5]}, "no range"),
        ({RANGE: [5]}, "no range"),
        ({FORM: "loinc"}, "no form"),
        ({FORM: {"codes": ["loink"]}}, "no grammar: loink"),
        ({FORM: {"codes": []}}, "malformed at codes"),
        ({FORM: {"values": ["a", "a"], "of": "x"}}, "a value twice"),
        ({FORM: {"values": ["a"]}}, "malformed at of"),
        ({FORM: {"values": ["a"], "of": "x", "more": 1}}, "malformed at more"),
        ({FORM: {"pattern": "^(?:a+)+$", "of": "x"}}, "exponential time"),
        ({FORM: {"pattern": "^a{2,}$", "of": "x"}}, "exponential time"),
        ({FORM: {"pattern": "[0-9]{3}", "of": "x"}}, "not anchored"),
        ({FORM: {"pattern": "^a$|b", "of": "x"}}, "not anchored"),
        ({FORM: {"pattern": "^a|b$", "of": "x"}}, "one choice only"),
        ({FORM: {"pattern": "^(?=a)a$", "of": "x"}}, "malformed, or polars"),
        ({FORM: {"pattern": "^(a$", "of": "x"}}, "malformed, or polars"),
        ({FORM: {"pattern": "^[a-z_]{1,40}$", "of": "x"}}, "lets names or numbers of people through"),
        ({FORM: {"pattern": "^[0-9-]{0,20}$", "of": "x"}}, "lets names or numbers of people through"),
        ({FORM: {"pattern": "^.{0,9}$", "of": "x"}}, "lets names or numbers of people through"),
    ],
)
def test_a_form_or_range_that_cannot_hold_is_refused_with_file_field_and_remedy(
    tmp_path: Path, schemas_root: Path, written: dict, word: str
) -> None:
    root = Path(shutil.copytree(schemas_root, tmp_path / "schemas"))
    path = schema_path(root, GLUCOSE)
    avro = json.loads(path.read_text("utf-8"))
    kind = ["null", "double"] if RANGE in written else ["null", "string"]
    avro["fields"].append(field("extra", kind, default=None, unit="1", **written))
    path.write_text(json.dumps(avro), encoding="utf-8")
    error = CliRunner().invoke(commands, ["check", "--schemas", str(root)]).exception
    assert isinstance(error, SchemaError)
    assert word in error.what
    assert str(path) in error.what
    assert "extra" in error.what
    assert error.todo


def test_a_pattern_of_fixed_letters_and_few_digits_is_a_form() -> None:
    form = read_form({"pattern": r"^(?:[A-Z][0-9]{3}-[0-9]{9}-[0-9]{4}|F[0-9]{1,6})$", "of": "food codes"}, "here:")
    assert form.fits(pl.Series(["D101-004160000-0001", "F10001", "F1234567"])).to_list() == [True, True, False]


SET = {"values": ["a", "b"], "of": "x"}
CODES = {"codes": ["kcd"]}


@pytest.mark.parametrize(
    ("before", "after", "good"),
    [
        ({FORM: SET}, {FORM: {**SET, "values": ["c", "b", "a"]}}, True),
        ({FORM: SET}, {FORM: {**SET, "of": "y"}}, True),
        ({FORM: SET}, {FORM: {**SET, "values": ["a"]}}, False),
        ({FORM: SET}, {FORM: CODES}, False),
        ({FORM: SET}, {}, False),
        ({}, {FORM: SET}, True),
        ({FORM: {**SET, "versions": True}}, {FORM: SET}, False),
        ({FORM: CODES}, {FORM: {"codes": ["atc", "kcd"]}}, True),
        ({FORM: CODES}, {FORM: {"codes": ["atc"]}}, False),
        ({FORM: {"pattern": "^F[0-9]$", "of": "x"}}, {FORM: {"pattern": "^F[0-9]{1,2}$", "of": "x"}}, False),
        (
            {FORM: {"codes_of": "s", "systems": {"A": "atc"}}},
            {FORM: {"codes_of": "s", "systems": {"A": "atc", "K": "kd"}}},
            True,
        ),
        ({FORM: {"codes_of": "s", "systems": {"A": "atc"}}}, {FORM: {"codes_of": "s", "systems": {"A": "kd"}}}, False),
        ({RANGE: [0, 10]}, {RANGE: [-1, 10]}, True),
        ({RANGE: [0, 10]}, {RANGE: [1, 10]}, False),
        ({RANGE: [0, 10]}, {}, False),
        (
            {RANGE: ["1900-01-01T00:00:00Z", "2000-01-01T00:00:00Z"]},
            {RANGE: ["1900-01-01T00:00:00Z", "2001-01-01T00:00:00Z"]},
            True,
        ),
    ],
)
def test_a_form_may_take_in_more_and_never_less(before: dict, after: dict, good: bool) -> None:
    kind = "string" if FORM in {**before, **after} else "double"
    old, new = (avro(field("x", kind, unit="1", **written)) for written in (before, after))
    assert (not refusals(old, new)) is good


def test_a_value_set_that_grows_is_a_new_version_that_the_gate_lets_through(tmp_path: Path, schemas_root: Path) -> None:
    root = Path(shutil.copytree(schemas_root, tmp_path / "schemas"))
    path = schema_path(root, event_type("lifestyle.exercise"))
    avro = json.loads(path.read_text("utf-8"))
    activity = next(item for item in avro["fields"] if item["name"] == "activity")
    activity[FORM]["values"].append("falconry")
    path.write_text(json.dumps(avro), encoding="utf-8")
    assert CliRunner().invoke(commands, ["lock", "--schemas", str(root)]).exit_code == 0
    activity[FORM]["values"].remove("walking")
    path.write_text(json.dumps(avro), encoding="utf-8")
    result = CliRunner().invoke(commands, ["check", "--schemas", str(root)])
    assert isinstance(result.exception, IncompatibleSchema)
    assert "lifestyle.exercise.activity: against version 4, biokeel:form is gone, or" in result.stdout


def test_every_kept_field_of_the_shipped_schemas_declares_what_it_may_hold(schemas_root: Path) -> None:
    schemas = load_schemas(schemas_root)
    assert [fault for schema in schemas.values() for fault in form_faults(schema)] == []
    kept = [field for event in LANDED_EVENTS for field in schemas[event].kept() if field.kind != "boolean"]
    assert len(kept) > 80
    assert all(field.demand and field.tag is Tag.NONE for field in kept)
