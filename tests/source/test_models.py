"""The typed models are what the schemas say, and tell no value to anybody."""

from __future__ import annotations

import datetime as dt
import inspect
from dataclasses import replace

import pytest
from pydantic import ValidationError

from biokeel.contracts.forms import Pattern, Values
from biokeel.contracts.schema import Field, Tag
from biokeel.contracts.topics import event_type
from biokeel.errors import SchemaError
from biokeel.settings import PROJECT_ROOT
from biokeel.source import models
from biokeel.source.adapters.base import Subject
from biokeel.source.columns import frame_of
from biokeel.source.encoding import Encoder
from biokeel.source.model import EventModel
from biokeel.source.modelling import models_of
from tests.event_types import EVENTS

NOW = dt.datetime(2026, 3, 1, 9, 30, 15, 123_000, tzinfo=dt.timezone(dt.timedelta(hours=9)))
GIVEN = {"record_key": "k", "subject": ("hospital/seoul-1", "87"), "occurred_at": NOW, "recorded_at": NOW}


def model_of(event):
    (found,) = [
        each
        for _, each in inspect.getmembers(models, inspect.isclass)
        if issubclass(each, EventModel) and each is not EventModel and each.event_type == str(event)
    ]
    return found


def pressure(**more):
    return models.BloodPressure(**GIVEN | {"panel_code": "85354-9", "status": "final"} | more)


def test_the_models_are_those_of_the_schemas(catalogue):
    text = models_of(catalogue.reader(event).schema for event in catalogue.events())
    written = (PROJECT_ROOT / "src" / "biokeel" / "source" / "models.py").read_text("utf-8")
    assert written == text, "run: biokeel schema models --out src/biokeel/source/models.py"


@pytest.mark.parametrize("event", EVENTS, ids=str)
def test_every_event_type_has_a_model_with_its_fields(event, catalogue):
    schema = catalogue.reader(event).schema
    fields = model_of(event).model_fields
    assert set(fields) - {"record_key", "subject"} == {f.name for f in schema.fields} - {"subject_scheme", "subject_id"}
    required = {name for name, field in fields.items() if field.is_required()} - {"subject"}
    defaults = {raw["name"] for raw in schema.avro["fields"] if "default" in raw}
    own = {"event_id", "source_id", "subject_scheme", "subject_id"}
    assert required == {field.name for field in schema.fields if not field.nullable} - defaults - own


def test_a_model_is_the_record_that_its_schema_wants(catalogue):
    event = pressure(systolic=120, body_position="sitting")
    record = event.ready() | {"event_id": "0" * 32, "source_id": "a"}
    del record["record_key"]
    schema = catalogue.reader(event_type("clinical.blood_pressure")).schema
    (row,) = frame_of(schema, [record]).iter_rows(named=True)
    assert row["occurred_at"] == NOW
    assert row["systolic"] == 120.0
    assert (row["subject_scheme"], row["subject_id"]) == ("hospital/seoul-1", "87")


def test_one_event_is_written_as_many_are(catalogue):
    encoder = Encoder(catalogue, 1 << 20)
    birth = dt.date(1990, 2, 28)
    enrolment = models.Enrolment(
        **GIVEN,
        identifiers=[models.EnrolmentIdentifier(scheme="KR_RRN", value="900101-1234567")],
        birth_date=birth,
        sex="female",
        consent_scope=["genome"],
    )
    for event in (pressure(systolic=120.5), pressure(), enrolment):
        record = event.ready() | {"event_id": "0" * 32, "source_id": "a"}
        del record["record_key"]
        kind = event_type(event.event_type)
        _, values = encoder.many(kind, [record])
        assert values.to_pylist() == [encoder.one(kind, record)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"systolic": 1001.0},
        {"systolic": -1.0},
        {"systolic": float("nan")},
        {"systolic": "120"},
        {"body_position": "hanging"},
        {"panel_code": "no-code"},
        {"occurred_at": NOW.replace(tzinfo=None)},
        {"occurred_at": NOW.replace(year=1899)},
        {"occurred_offset_minutes": 841},
        {"event_id": "ABC"},
        {"subject": ("hospital/seoul-1", "1234**")},
        {"subject": ("hospital/seoul-1", " ")},
        {"subject": ("hospital/seoul-1", 87)},
        {"subject": "87"},
        {"subject": ("KR_RRN", "12")},
        {"a_field_of_tomorrow": 1},
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_when_the_event_is_made_and_its_value_is_not_told(wrong):
    with pytest.raises(ValidationError) as refusal:
        pressure(**wrong)
    assert "input_value" not in str(refusal.value)
    assert "1234**" not in str(refusal.value)


def test_a_model_prints_no_value():
    subject = Subject("hospital/seoul-1", "8712345")
    event = pressure(subject=subject)
    assert repr(event) == "BloodPressure()"
    assert "8712345" not in f"{event} {event!r} {event.subject}"


def test_two_types_of_one_name_in_two_domains_have_models_of_two_names(catalogue):
    diet = catalogue.reader(event_type("lifestyle.diet")).schema
    other = replace(diet, event=event_type("clinical.glucose"))
    text = models_of([diet, other])
    assert "class LifestyleDiet(EventModel)" in text
    assert "class ClinicalDiet(EventModel)" in text


def test_a_field_that_no_model_can_have_is_named(catalogue):
    diet = catalogue.reader(event_type("lifestyle.diet")).schema

    def with_field(name, avro, form=None):
        raw = {"name": name, "type": avro, "doc": "A doc."}
        field = Field(name, avro, "A doc.", Tag.NONE, form=form)
        avro_of_all = {**diet.avro, "fields": [*diet.avro["fields"], raw]}
        return replace(diet, fields=(*diet.fields, field), avro=avro_of_all)

    with pytest.raises(SchemaError, match=r"lifestyle.diet.odd: no model has a field of type map"):
        models_of([with_field("odd", {"type": "map", "values": "string"})])
    with pytest.raises(SchemaError, match="a model has that name already"):
        models_of([with_field("model_dump", "string")])
    text = models_of(
        [
            with_field("code", "string", Pattern(pattern='^"F[0-9]{1,6}$', of="codes")),
            with_field("word", "string", Values(values=("it's", 'a "word"'), of="words")),
        ]
    )
    compile(text, "models", "exec")
