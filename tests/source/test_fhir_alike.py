"""Observations of one form are read together: many lines give what each of them gives alone."""

from __future__ import annotations

import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.source.adapters import fhir, fhir_alike
from biokeel.source.adapters.base import Record
from biokeel.source.memory import OfOneFile, memory_at
from tests.source.fhir_made import Resource, amount, component, concept, observation, read

FORMS: list[Resource] = [
    observation(valueQuantity=amount(5, "g/dL")),
    observation(code="2093-3", valueQuantity=amount(180.5, "mg/dL"), meta={"versionId": "1"}),
    observation(code="2339-0", valueQuantity=amount(90, "mg/dL"), encounter={"reference": "Encounter/1"}),
    observation(code="8310-5", category="vital-signs", valueQuantity=amount(98.6, "[degF]")),
    observation(code="8302-2", category="vital-signs", valueQuantity=amount(1700, "mm")),
    observation(
        code="85354-9",
        category="vital-signs",
        component=[component("8480-6", 16, "kPa"), component("8462-4", 80, "mm[Hg]")],
    ),
    observation(code="8867-4", category="vital-signs", valueQuantity=amount(60, "/min", comparator="<")),
    observation(code="2160-0", valueQuantity=amount("1.2", "mg/dL")),
    observation(code="2160-0", valueQuantity=amount(True, "mg/dL")),
    observation(code="2160-0", valueQuantity=amount(None, "mg/dL")),
    observation(code="2160-0", valueInteger=4),
    observation(code="2160-0", valueCodeableConcept=concept("260373001", "http://snomed.info/sct")),
    observation(code="2160-0", valueQuantity=amount(2, "furlong")),
    observation(code="72166-2", category="social-history", valueQuantity=amount(5, "1")),
    observation(code="2160-0", category=None, valueQuantity=amount(2, "mg/dL")),
    observation(code="2160-0", status="entered-in-error", valueQuantity=amount(2, "mg/dL")),
    observation(
        code="718-7",
        valueQuantity=amount(2, "g/dL"),
        referenceRange=[{"low": amount(1, "g/L"), "high": amount(9, "g/L")}],
    ),
    observation(
        code="85354-9",
        category="vital-signs",
        component=[component("8480-6", 120, "mm[Hg]"), component("8462-4", 80, "mm[Hg]")],
    ),
    observation(
        code="85354-9",
        category="vital-signs",
        component=[component("8480-6", 16, "kPa"), component("8462-4", 80, "mm[Hg]"), component("8480-6", 16, "kPa")],
    ),
    observation(
        code="85354-9",
        category="vital-signs",
        component=[component("8480-6", 120, "mm[Hg]"), component("8478-0", 80, "mm[Hg]")],
    ),
    observation(code="24331-1", component=[component("2093-3", 180, "mg/dL"), component("2571-8", 90, "mg/dL")]),
    observation(code="24331-1", component=[component("2093-3", 180, "mg/dL"), component("2093-3", 90, "mg/dL")]),
    observation(valueQuantity=amount(5, "g/dL"), performer=[{"reference": "https://other.example/Practitioner/1"}]),
    observation(valueQuantity=amount(5, "g/dL"), subject={"reference": "https://emr.example/fhir/Patient/p-1"}),
    observation(valueQuantity=amount(5, "g/dL"), subject={"reference": "Patient/p-1", "display": "somebody"}),
    observation(valueQuantity=amount(5, "g/dL"), subject={"reference": "Group/g-1"}),
    observation(valueQuantity=amount(5, "g/dL"), subject={"identifier": {"value": "1"}}),
    observation(valueQuantity=amount(5, "g/dL"), issued=None),
    observation(valueQuantity=amount(5, "g/dL"), effectiveDateTime=None, effectiveInstant="2024-05-01T09:00:00Z"),
    observation(valueQuantity=amount(5, "g/dL"), contained=[{"resourceType": "Patient", "id": "p"}]),
    observation(valueQuantity=amount(5, "g/dL"), hasMember=[{"reference": "Observation/2"}]),
    observation(valueQuantity=amount(5, "g/dL"), dataAbsentReason=concept("unknown", "")),
]
"""Forms that can be read together, and forms that look as if they could."""
ids = st.sampled_from(["o-1", "o-2", "o-3", *map(str, range(40)), "", "a/b", "a b", "혈압", 7, None])
people = st.sampled_from(["p-1", "p-2", *map(str, range(40)), "", "**", "1.5E+09", "7.0", "a?b", "#x", "x/_history/2"])
times = st.sampled_from(
    ["2024-05-01T09:00:00+09:00", "2024-05-02T09:00:00.5Z", "2024-05", "2030-01-01T00:00:00Z", "never", "", 5]
)
numbers = st.sampled_from([0, 1, 1.0, -0.0, 1.5, -3, 120, 2**53 + 1, 2**63, 1e308, 5e-324, 0.1])


@st.composite
def documents(draw: st.DrawFn) -> list[Resource]:
    forms = draw(st.lists(st.sampled_from(range(len(FORMS))), min_size=1, max_size=2))
    made = []
    for _ in range(draw(st.integers(3, 16))):
        each: Resource = copy.deepcopy(FORMS[draw(st.sampled_from(forms))])
        each["id"] = draw(ids)
        each["status"] = draw(st.sampled_from([each["status"], each["status"], "corrected", "entered-in-error"]))
        if "reference" in each["subject"]:
            each["subject"]["reference"] = each["subject"]["reference"].rpartition("/")[0] + "/" + draw(people)
        for name in ("effectiveDateTime", "issued"):
            if each.get(name):
                each[name] = draw(st.one_of(times, st.just(each[name])))
        if draw(st.booleans()):
            each["meta"] = {"lastUpdated": draw(times)}
        for holder in (each, *each.get("component", ())):
            quantity = holder.get("valueQuantity")
            if quantity and isinstance(quantity["value"], int | float) and not isinstance(quantity["value"], bool):
                quantity["value"] = draw(numbers)
        made.append(each)
    return made


def comparable(events: dict[str, list[Record]]) -> Counter[str]:
    """The events without what they do not say."""
    return Counter(
        json.dumps([name, {key: value for key, value in row.items() if value is not None}], sort_keys=True)
        for name, rows in events.items()
        for row in rows
    )


def check(made: list[Resource]) -> None:
    """Hold that `made` together give what each of them gives alone."""
    together, report = read(made, OfOneFile(), lines=True)
    alone: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    memory = OfOneFile()
    for each in made:
        events, of_it = read([each], memory, lines=True)
        alone += comparable(events)
        reasons += of_it.reasons
        left_out += of_it.left_out
    assert comparable(together) == alone
    assert (report.reasons, report.left_out) == (reasons, left_out)


@given(documents())
def test_many_lines_give_what_each_of_them_gives_alone(made: list[Resource]) -> None:
    check(made)


@given(documents(), st.sampled_from([2, 3, 5]), st.sampled_from([1, 2, 4]))
def test_it_does_not_matter_how_many_wait_for_one_another(made: list[Resource], rows: int, singles: int) -> None:
    """Versions of one record may stand in one lot, in two, and beside what is read by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fhir_alike, "TOGETHER", rows)
        patch.setattr(fhir, "_TOGETHER", singles)
        check(made)


def test_every_form_gives_the_same_among_all_others() -> None:
    made = [
        copy.deepcopy(form) | {"id": f"o-{number}-{index}"} for number in range(5) for index, form in enumerate(FORMS)
    ]
    for number, each in enumerate(made):
        for holder in (each, *each.get("component", ())):
            quantity = holder.get("valueQuantity")
            if quantity and type(quantity["value"]) in (int, float):
                quantity["value"] += number / 8
    check(made)


def test_of_two_versions_of_one_time_the_later_in_the_file_counts_whether_read_alone_or_together() -> None:
    known = [copy.deepcopy(FORMS[0]) | {"id": f"k-{index}"} for index in range(3)]
    # Of another event type: what the earlier of the two made is withdrawn, and of which it is tells the order.
    alone = observation("k-9", "2339-0", valueQuantity=amount(90, "mg/dL"))
    together = copy.deepcopy(FORMS[0]) | {"id": "k-9"}
    check([*known, alone, together])
    check([*known, together, alone])


def test_a_person_whom_no_identifier_names_is_nobody_among_others_too() -> None:
    people = ["p-1", "p-2", "p-3", "**", "1.5E+09"]
    check([copy.deepcopy(FORMS[0]) | {"id": each, "subject": {"reference": f"Patient/{each}"}} for each in people])


def test_a_reference_to_another_server_says_whose_the_record_is_also_where_nobody_reads_its_element() -> None:
    subject = {"reference": "https://emr.example/fhir/Patient/p-1"}
    elsewhere = {"performer": [{"reference": "https://other.example/fhir/Practitioner/1"}]}
    plain = [copy.deepcopy(FORMS[0]) | {"id": f"k-{index}", "subject": subject} for index in range(3)]
    check([*plain, *(each | elsewhere | {"id": f"e-{index}"} for index, each in enumerate(plain))])


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many rows were read together, and how many by themselves after all."""
    counts: Counter[str] = Counter()
    take = fhir_alike.Alike.take

    def counting(self: Any, others: Any) -> Any:
        batches, rows = take(self, others)
        counts["together"] += sum(len(batch.places) for batch in batches)
        counts["alone"] += len(rows)
        return batches, rows

    monkeypatch.setattr(fhir_alike.Alike, "take", counting)
    return counts


def test_an_export_of_few_forms_is_read_together(counted: Counter[str]) -> None:
    made = [
        copy.deepcopy(FORMS[index % 4]) | {"id": f"o-{index}", "subject": {"reference": f"Patient/p-{index % 7}"}}
        for index in range(400)
    ]
    events, report = read(made, lines=True)
    assert sum(map(len, events.values())) == 400
    assert not report.problems
    assert counted == {"together": 396, "alone": 0}, "the first of each form is read by itself"


def test_what_was_read_together_is_remembered_and_withdrawn(tmp_path: Path, counted: Counter[str]) -> None:
    made = [copy.deepcopy(FORMS[17]) | {"id": f"o-{index}"} for index in range(5)]
    with memory_at(tmp_path / "records.sqlite") as memory:
        first, _ = read(made, memory, lines=True)
        memory.keep()
    assert counted["together"] == 4
    gone = [
        {"resourceType": "Observation", "id": f"o-{index}", "status": "entered-in-error"}
        | {"meta": {"lastUpdated": "2025-01-01T00:00:00Z"}}
        for index in range(5)
    ]
    with memory_at(tmp_path / "records.sqlite") as memory:
        second, report = read(gone, memory, lines=True)
        again, _ = read(made, memory, lines=True)
    assert not report.problems
    ids = [each["event_id"] for each in first["clinical.blood_pressure"]]
    assert sorted(ids) == sorted(each["event_id"] for each in second["clinical.blood_pressure"])
    statuses = {each["status"] for each in second["clinical.blood_pressure"]}
    assert statuses == {"entered-in-error"}
    assert counted["together"] == 4, "what came before is compared, record by record"
    newest = max(again["clinical.blood_pressure"], key=lambda each: each["recorded_at"])
    assert newest["status"] == "entered-in-error", "an older version brings nothing back"
