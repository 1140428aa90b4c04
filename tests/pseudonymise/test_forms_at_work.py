"""Whatever a source writes into a kept field: only what has the field's form crosses the wall."""

from __future__ import annotations

import json
import math
import struct

import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from biokeel.contracts.blocks import split_blocks
from biokeel.contracts.schema import load_schemas
from biokeel.contracts.topics import EventType
from biokeel.demo import demo_corpus
from biokeel.reasons import Reason
from tests.block_bytes import memory
from tests.event_types import LANDED_EVENTS
from tests.examples import examples
from tests.good_events import sample_event
from tests.pseudonymise.conftest import GLUCOSE, SCHEMAS, World
from tests.signing import SIGNER

SHORTEST = 6
"""Characters from which on a text is not found by chance."""
PEOPLE = dict(demo_corpus(80, 3, 0.0).events)
FIELDS = [(event, field) for event in LANDED_EVENTS for field in load_schemas(SCHEMAS)[event].kept()]
TEXTS = [(event, field) for event, field in FIELDS if field.form is not None]
NUMBERS = [(event, field) for event, field in FIELDS if field.is_number]


def good_row(event: EventType) -> dict[str, object]:
    """A good event of our own person: the made-up programme's, else the one that its suite's samples begin with."""
    if event in PEOPLE:
        row = PEOPLE[event].drop("person", strict=False).row(0, named=True)
    else:
        row = sample_event(load_schemas(SCHEMAS)[event])
    return row | {"source_id": "hospital-one", "subject_scheme": "hospital/one", "subject_id": "P-000001"}


def ids(case: object) -> str:
    return f"{case[0]}.{case[1].name}" if isinstance(case, tuple) else ""


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """One world for the whole module, with the person enrolled."""
    world = World(tmp_path_factory.mktemp("forms"))
    wall = world.wall()
    world.enrol(wall, "P-000001")
    yield world, wall
    world.close()


def crossed(house, event: EventType, *changes: dict[str, object]):
    """What the wall makes of good events with `changes`, and all bytes that leave the vault zone for them."""
    world, wall = house
    result = wall.process(world.batch(event, [good_row(event) | change for change in changes]))
    if result.batch is None:
        return result, b""
    blocks = split_blocks(result.batch, 2, "f" * 32, SIGNER)
    out = b"".join(memory(block.value) + repr(block.headers).encode() for block in blocks)
    return result, out + result.batch.frame.write_ndjson().encode()


def test_good_values_of_every_event_type_cross_and_nothing_is_withheld(house) -> None:
    for event in LANDED_EVENTS:
        result, _ = crossed(house, event, {})
        frame = result.batch.frame
        assert frame["withheld"].to_list() == [None], event
        for field in house[0].schemas[event].kept():
            assert frame[field.name].to_list() == [good_row(event).get(field.name)], (event, field.name)


@pytest.mark.parametrize("event", LANDED_EVENTS, ids=str)
@given(text=st.text(min_size=SHORTEST, max_size=24))
@settings(max_examples=examples(5), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_crosses_in_any_kept_field_unless_it_has_the_fields_form(house, event, text) -> None:
    names = [field.name for each, field in TEXTS if each == event]
    assume(text.encode() not in crossed(house, event, *({} for _ in names))[1])
    result, out = crossed(house, event, *({name: text} for name in names))
    assert text.encode() not in out
    if result.batch is None:
        assert dict(result.counts) == {Reason.LEAK: len(names)}
        return
    assert result.batch.frame["withheld"].to_list() == [beside(event, name) for name in names]
    for row, name in enumerate(names):
        assert result.batch.frame[name][row] is None
        assert result.withheld["hospital-one", name] >= 1


def beside(event: EventType, name: str) -> str:
    """What is withheld where `name` is: the code, too, where its system is."""
    others = [
        field.name for each, field in TEXTS if each == event and field.form is not None and field.form.beside == name
    ]
    return ",".join([name, *others])


def written(writings) -> list[str]:
    return [each["text"] for each in writings if isinstance(each["text"], str) and len(each["text"]) >= 3]


@pytest.fixture(scope="session")
def writings(shared_cases) -> list[dict]:
    lines = (shared_cases / "wall" / "writings.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("event", LANDED_EVENTS, ids=str)
def test_no_writing_of_a_name_or_a_number_crosses_in_any_kept_text_field(house, writings, event) -> None:
    texts = written(writings)
    names = [field.name for each, field in TEXTS if each == event]
    result, out = crossed(house, event, *({name: text} for text in texts for name in names))
    assert not [each["kind"] for each in writings if str(each["text"]).encode() in out]
    rows = 0 if result.batch is None else len(result.batch)
    assert rows + sum(result.counts.values()) == len(texts) * len(names)
    assert rows < len(texts) * len(names), "most are stopped, the others are withheld"
    for row in result.batch.frame.rows(named=True):
        assert row["withheld"] is not None
        assert all(row[name] is None for name in row["withheld"].split(","))


@pytest.mark.parametrize("case", NUMBERS, ids=ids)
def test_no_registration_number_crosses_as_a_number_however_its_point_is_set(house, writings, case) -> None:
    event, field = case
    numbers = [each["text"] for each in writings if isinstance(each["text"], int)]
    assert numbers
    floats = [number / 10**places for number in numbers for places in range(13)]
    tried = floats if field.kind == "double" else [number for number in numbers if field.kind == "long"]
    if not tried:
        return
    result, out = crossed(house, event, *({field.name: number} for number in tried))
    assert result.batch.frame[field.name].null_count() == len(tried)
    assert result.batch.frame["withheld"].to_list() == [field.name] * len(tried)
    form = "<d" if field.kind == "double" else "<q"
    assert not [number for number in tried if struct.pack(form, number) in out], "nor does it lie under a null"


@pytest.mark.parametrize("case", NUMBERS, ids=ids)
@given(data=st.data())
@settings(max_examples=examples(5), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_number_crosses_unchanged_within_its_range_and_not_at_all_beyond(house, case, data) -> None:
    event, field = case
    kinds = {
        "double": st.floats(),
        "int": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**63), 2**63 - 1),
    }
    wide = kinds[field.kind]
    least, greatest = field.range.least, field.range.greatest
    # Of numbers that nobody's registration number looks like.
    narrow = st.integers(math.ceil(least), min(math.floor(greatest), 10**9)) if field.kind != "double" else wide
    number = data.draw(wide | narrow)
    row = crossed(house, event, {field.name: number})[0].batch.frame.row(0, named=True)
    if isinstance(number, float) and math.isnan(number):
        assert (row[field.name], row["withheld"]) == (None, None)
    elif not least <= number <= greatest:
        assert (row[field.name], row["withheld"]) == (None, field.name)
    elif row[field.name] is not None:
        assert (row[field.name], row["withheld"]) == (number, None)
    else:
        assert len(f"{abs(number):.17g}".replace(".", "")) >= 12


def test_what_is_withheld_is_counted_by_source_and_field_of_the_rows_that_go_on(house) -> None:
    changes = [{"status": "Zqvatah", "value": -1.0}, {"status": "900101-1234567"}, {"specimen": "Zqvatah"}, {}]
    result, _ = crossed(house, GLUCOSE, *changes)
    assert dict(result.counts) == {Reason.LEAK: 1}
    frame = result.batch.frame
    assert frame["withheld"].to_list() == ["value,status", "specimen", None]
    assert frame["status"].is_null().to_list() == [True, False, False]
    one = "hospital-one"
    assert dict(result.withheld) == {(one, "value"): 1, (one, "status"): 1, (one, "specimen"): 1}


def test_an_older_worker_withholds_a_value_that_a_newer_set_has_and_goes_on(house) -> None:
    result, _ = crossed(house, GLUCOSE, {"specimen": "saliva"}, {})
    assert result.batch.frame["withheld"].to_list() == ["specimen", None]
    assert result.batch.frame["specimen"][0] is None


def test_rows_of_a_batch_with_every_mixture_of_misfits_are_told_apart(house) -> None:
    names = ["code", "value", "relation_to_meal", "specimen", "status"]
    bad = {"code": "Zqvatah", "value": 1e9, "relation_to_meal": "Zqvatah", "specimen": "Zqvatah", "status": "Zqvatah"}
    mixtures = [[name for place, name in enumerate(names) if number >> place & 1] for number in range(32)]
    result, _ = crossed(house, GLUCOSE, *({name: bad[name] for name in mixture} for mixture in mixtures))
    assert result.batch.frame["withheld"].to_list() == [",".join(mixture) or None for mixture in mixtures]
    assert isinstance(result.batch.frame["withheld"].dtype, pl.String)
