"""The evolution gate and the lint: what they refuse, with the reason, and what they let through."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from biokeel.cli.schema import commands
from biokeel.contracts.catalogue import read_lock
from biokeel.contracts.compatibility import refusals
from biokeel.contracts.datum import DatumWire
from biokeel.contracts.lint import lint
from biokeel.contracts.schema import load_schemas, parse_schema, schema_path
from biokeel.contracts.topics import event_type
from biokeel.errors import IncompatibleSchema, SchemaError, UnknownSchema
from biokeel.testing.events import frames
from tests.contracts.made_schemas import GLUCOSE, avro, field

PART = {"type": "record", "name": "Part", "fields": [field("code", "string"), field("size", "int", unit="1")]}
OLD = avro(
    field("a", "int", unit="kg"),
    field("b", ["null", "string"], default=None),
    field("birth", ["null", "string"], **{"confluent:tags": ["QUASI"], "biokeel:coarsen": "year"}),
    field("parts", {"type": "array", "items": PART}),
    field("kind", {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}),
    field("gone", "double", default=0.0, unit="1"),
)


def changed(name: str, **changes: object) -> dict:
    """OLD with one field (or a field of Part) changed; None takes a key away."""
    new = copy.deepcopy(OLD)
    places = [*new["fields"], *(part for part in new["fields"][10]["type"]["items"]["fields"])]
    place = next(item for item in places if item["name"] == name)
    place |= changes
    for key in [key for key, value in place.items() if value is None and key != "default"]:
        del place[key]
    return new


def without(name: str) -> dict:
    return {**OLD, "fields": [item for item in OLD["fields"] if item["name"] != name]}


def plus(*fields: dict) -> dict:
    return {**OLD, "fields": [*OLD["fields"], *fields]}


@pytest.mark.parametrize(
    ("new", "where", "word"),
    [
        (plus(field("new", "int", unit="1")), "new", "backward"),
        (without("a"), "a", "forward"),
        (changed("a", type="long"), "a", "forward"),
        (changed("a", type="string"), "a", "backward"),
        (changed("a", type=["null", "int"]), "a", "null"),
        (changed("b", type="string", default=""), "b", "null"),
        (changed("kind", type={"type": "enum", "name": "Kind", "symbols": ["A", "B", "C"]}), "kind", "forward"),
        (changed("a", unit="g"), "a", "unit changes from kg to g"),
        (changed("a", unit=None), "a", "unit changes from kg to None"),
        (changed("size", unit="mm"), "parts.size", "unit changes from 1 to mm"),
        (changed("size", type="string"), "parts.size", "backward"),
        (changed("a", doc=None), "a", "no doc"),
        (changed("a", doc=""), "a", "no doc"),
        (plus({"name": "n", "type": ["null", "string"], "default": None, "doc": "d"}), "n", "no privacy tag"),
        (changed("birth", **{"confluent:tags": ["NONE"]}), "birth", "weakened"),
        (changed("birth", **{"biokeel:coarsen": "province"}), "birth", "weakened"),
        ({**OLD, "name": "Other"}, "Made", "another name"),
    ],
)
def test_the_gate_refuses_with_the_place_and_the_reason(new: dict, where: str, word: str) -> None:
    found = refusals(OLD, new)
    assert any(refusal.where == where and word in str(refusal) for refusal in found), list(map(str, found))


@pytest.mark.parametrize(
    "new",
    [
        OLD,
        plus(field("new", ["null", "string"], default=None), field("more", "double", default=1.0, unit="1")),
        without("gone"),
        without("b"),
        changed("a", doc="Better words."),
        changed("b", **{"confluent:tags": ["FREE_TEXT"]}),
        changed("birth", **{"biokeel:coarsen": "drop"}),
        {**OLD, "fields": [*OLD["fields"][:7], *reversed(OLD["fields"][7:])]},
    ],
    ids=["same", "new with defaults", "defaulted gone", "nullable gone", "doc", "tag up", "coarser", "order"],
)
def test_the_gate_lets_through_what_harms_nobody(new: dict) -> None:
    assert [str(refusal) for refusal in refusals(OLD, new)] == []


NAMES = ("p", "q", "r")
TYPES = ("int", "long", "double", "string", ["null", "int"], ["null", "string"])


@st.composite
def small_schemas(draw: st.DrawFn) -> dict:
    fields = []
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        kind = draw(st.sampled_from(TYPES))
        default = {"int": 1, "long": 2, "double": 0.5, "string": "x"}.get(str(kind))
        fields.append(field(name, kind, unit="1", **({"default": default} if draw(st.booleans()) else {})))
    return avro(*fields)


@settings(max_examples=40)
@given(old=small_schemas(), new=small_schemas(), data=st.data())
def test_what_the_gate_lets_through_fastavro_reads_both_ways(old: dict, new: dict, data: st.DataObject) -> None:
    if refusals(old, new):
        return
    for writer, reader in ((old, new), (new, old)):
        frame = data.draw(frames(parse_schema(GLUCOSE, writer), min_rows=1, max_rows=2))
        wire = DatumWire(writer, writer, 1)
        datums = wire.encode(frame.to_arrow()).to_pylist()
        _, rows, bad = DatumWire(writer, reader, 1).decode(datums)
        assert (len(rows), bad) == (frame.height, [])


def test_the_registrys_example_of_a_projection_is_refused_in_the_one_direction_it_cannot_be_read(
    shared_data: Path,
) -> None:
    folder = shared_data / "avro/confluent/avro-serializer/src/test/avro"
    user, extended = (json.loads((folder / name).read_text("utf-8")) for name in ("user.avsc", "extended_user.avsc"))
    user["name"] = extended["name"]
    unreadable = [(refusal.where, refusal.what) for refusal in refusals(user, extended) if "compatible" in refusal.what]
    assert unreadable == [("age", "not backward compatible: a new field without a default.")]


def test_our_own_schemas_pass_the_lint(schemas_root: Path) -> None:
    assert [str(fault) for fault in lint(load_schemas(schemas_root).values())] == []


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        (field("weight", ["null", "double"], default=None), "without a unit"),
        (field("mixed", ["null", "int", "string"], default=None), "union of several types"),
        (field("parts", {"type": "array", "items": {**PART, "fields": [{"name": "x", "type": "string"}]}}), "no doc"),
    ],
)
def test_the_lint_names_the_field_that_breaks_a_rule(extra: dict, word: str) -> None:
    faults = lint([parse_schema(GLUCOSE, avro(extra))])
    assert any(extra["name"] in fault.where and word in str(fault) for fault in faults), list(map(str, faults))


def test_the_lint_finds_an_envelope_that_differs(schemas_root: Path) -> None:
    schemas = list(load_schemas(schemas_root).values())
    spoiled = json.loads(schemas[-1].text)
    spoiled["fields"][4]["unit"] = "us"
    faults = lint([*schemas[:-1], parse_schema(schemas[-1].event, spoiled)])
    assert [fault.where for fault in faults] == [f"{schemas[-1].event}.occurred_at"]


@pytest.fixture
def root(tmp_path: Path, schemas_root: Path) -> Path:
    return Path(shutil.copytree(schemas_root, tmp_path / "schemas"))


def run(root: Path, *words: str):
    return CliRunner().invoke(commands, [*words, "--schemas", str(root)], env={"COLUMNS": "200"})


def test_check_and_lock_pass_a_good_change_and_stop_a_bad_one(root: Path) -> None:
    assert run(root, "check").exit_code == 0
    path = schema_path(root, event_type("clinical.glucose"))
    good = json.loads(path.read_text("utf-8"))
    following = max(entry.version for entry in read_lock(root) if entry.subject == "raw.clinical.glucose-value") + 1
    form = {"values": ["pump", "pen"], "of": "the tests"}
    good["fields"].append(field("device", ["null", "string"], default=None, **{"biokeel:form": form}))
    path.write_text(json.dumps(good), encoding="utf-8")
    assert isinstance(run(root, "check").exception, SchemaError)
    assert f"clinical.glucose-value version {following}" in run(root, "lock").stdout
    assert run(root, "check").exit_code == 0

    bad = copy.deepcopy(good)
    bad["fields"][-1] |= {"type": "string", "default": ""}
    path.write_text(json.dumps(bad), encoding="utf-8")
    for word in ("check", "lock"):
        result = run(root, word)
        assert isinstance(result.exception, IncompatibleSchema)
        assert f"clinical.glucose.device: against version {following}" in result.stdout


def test_a_field_that_was_dropped_cannot_come_back_with_a_weaker_tag(root: Path) -> None:
    path = schema_path(root, event_type("person.enrolment"))
    first = json.loads(path.read_text("utf-8"))
    name = next(item for item in first["fields"] if item["name"] == "name")
    path.write_text(
        json.dumps({**first, "fields": [item for item in first["fields"] if item != name]}), encoding="utf-8"
    )
    assert run(root, "lock").exit_code == 0
    path.write_text(
        json.dumps({**first, "fields": [*first["fields"][:-1], {**name, "confluent:tags": ["NONE"]}]}), encoding="utf-8"
    )
    assert "weakened" in run(root, "check").stdout


def test_list_and_show_print_ids_and_fields(root: Path) -> None:
    assert "lifestyle.sleep" in run(root, "list").stdout
    shown = run(root, "show", "clinical.blood_pressure").stdout
    assert "mm[Hg]" in shown
    assert "systolic" in shown
    assert isinstance(run(root, "show", "clinical.nothing").exception, UnknownSchema)
