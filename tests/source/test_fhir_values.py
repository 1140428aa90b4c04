"""Each kind of value has its place in the contract or is a problem with its place; none lands empty."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.source.adapters.units import MOLAR_MASS, UNITS, convert, unit_of_text
from tests.source.fhir_made import (
    LOINC,
    Resource,
    amount,
    bundle,
    component,
    concept,
    observation,
    problems,
    read,
)

SNOMED = "http://snomed.info/sct"
HIRA = "http://www.hl7korea.or.kr/CodeSystem/hira-edi-procedure"
ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
VALUES = ("value", "value_unit", "comparator", "value_code", "value_system", "value_boolean", "value_low", "value_high")
VALUES += ("value_numerator", "value_denominator", "absent_reason")


def result(**more: Any) -> Resource:
    """What the laboratory result of an Observation with these elements says."""
    events, report = read(observation(**more))
    assert not report.problems
    (record,) = events["clinical.lab_result"]
    return {name: record[name] for name in VALUES if record.get(name) is not None}


@pytest.mark.parametrize(
    ("element", "said"),
    [
        ({"valueQuantity": amount(13.5, "g/dL")}, {"value": 13.5, "value_unit": "g/dL"}),
        ({"valueQuantity": amount("13.5", "g/dL")}, {"value": 13.5, "value_unit": "g/dL"}),
        (
            {"valueQuantity": amount(0.3, "mg/L", comparator="<")},
            {"value": 0.3, "value_unit": "mg/L", "comparator": "<"},
        ),
        ({"valueInteger": 7}, {"value": 7.0, "value_unit": "1"}),
        ({"valueBoolean": False}, {"value_boolean": False}),
        (
            {"valueRange": {"low": amount(0, "/[HPF]"), "high": amount(4, "/[HPF]")}},
            {"value_low": 0.0, "value_high": 4.0, "value_unit": "/[HPF]"},
        ),
        (
            {"valueRange": {"low": amount(1, "g/L"), "high": amount(200, "mg/dL")}},
            {"value_low": 1.0, "value_high": 2.0, "value_unit": "g/L"},
        ),
        (
            {"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 80}}},
            {"value_numerator": 1.0, "value_denominator": 80.0},
        ),
        (
            {"valueRatio": {"numerator": amount(30, "mg"), "denominator": amount(1, "g")}},
            {"value": 30.0, "value_unit": "mg/g"},
        ),
        (
            {"valueCodeableConcept": concept("260385009", SNOMED)},
            {"value_code": "260385009", "value_system": "SNOMED-CT"},
        ),
        (
            {"valueCodeableConcept": concept("LA6577-6")},
            {"value_code": "LA6577-6", "value_system": "LOINC-ANSWER"},
        ),
        ({"dataAbsentReason": concept("error", ABSENT)}, {"absent_reason": "error"}),
        ({"dataAbsentReason": {"text": "the tube broke"}}, {"absent_reason": "unknown"}),
        (
            {
                "_valueString": {
                    "extension": [
                        {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}
                    ]
                }
            },
            {"absent_reason": "masked"},
        ),
    ],
)
def test_each_kind_of_value_is_carried(element: Resource, said: Resource) -> None:
    assert result(**element) == said


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        ({"valueString": "Negative secret"}, "valueString is a text"),
        ({"valueCodeableConcept": {"text": "Trace secret"}}, "a text only"),
        ({"valueCodeableConcept": concept("secret", "urn:oid:2.999")}, "no coding in SNOMED CT"),
        ({"valueQuantity": {"value": 13.5}}, "valueQuantity has no unit"),
        ({"valueQuantity": {"value": "13.5"}}, "a text without a unit"),
        ({"valueQuantity": amount("1_3", "g/dL")}, "no number"),
        ({"valueQuantity": amount("１３", "g/dL")}, "no number"),
        ({"valueQuantity": amount(True, "g/dL")}, "no number"),
        ({"valueQuantity": {"unit": "g/dL"}}, "no value"),
        ({"valueQuantity": amount(1, "g/dL", comparator="ad")}, "comparator that R4 does not know"),
        ({"valueQuantity": {"value": 1, "unit": "secret"}}, "no name that is known"),
        ({"valueRange": {"low": {"value": 0}}}, "valueRange has no unit"),
        ({"valueRange": {"low": amount(9, "mg/dL"), "high": amount(5, "mg/dL")}}, "low lies above its high"),
        ({"valueRange": {"low": amount(1, "g/dL"), "high": amount(5, "mg/dL")}}, "low lies above its high"),
        ({"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 0}}}, "denominator that is zero"),
        ({"valueRange": {"low": amount(0, "g/L"), "high": amount(0, "mmol/L")}}, "no unit of what it measures"),
        ({"valueRatio": {"numerator": amount(3, "mg"), "denominator": amount(7, "m")}}, "two units"),
        ({"valueDateTime": "2024-05-01"}, "valueDateTime has no place"),
        ({"valueInteger": 1, "valueBoolean": True}, "several values"),
        ({"valueInteger": 1, "dataAbsentReason": concept("error", ABSENT)}, "a value and a dataAbsentReason"),
        ({}, "no value and no dataAbsentReason"),
    ],
)
def test_what_has_no_place_is_a_problem_and_no_event(element: Resource, reason: str) -> None:
    events, report = read(observation(**element))
    assert not events
    (said,) = problems(report)
    assert reason in said
    assert "secret" not in said


def test_a_component_that_cannot_be_read_costs_only_itself() -> None:
    local = component("x", 1.1, "{ratio}") | {"code": concept("L3045", "urn:oid:2.999.7")}
    panel = observation(
        code="24331-1",
        component=[
            component("2093-3", 180, "mg/dL"),
            local,
            component("13457-7", 10, "mg/dL") | {"valueQuantity": amount(10, "mg/dL", comparator="<")},
        ],
    )
    events, report = read(panel)
    found = [(each["code"], each["value"], each.get("comparator")) for each in events["clinical.lab_result"]]
    assert found == [("2093-3", 180.0, None), ("13457-7", 10.0, "<")]
    assert problems(report) == ["Observation: component 1: code has no coding in LOINC or HIRA EDI"]


def test_what_an_observation_says_itself_and_what_its_components_say_are_both_events() -> None:
    panel = observation(
        code="24331-1", valueQuantity=amount(5, "mmol/L"), component=[component("2093-3", 180, "mg/dL")]
    )
    assert [each["code"] for each in read(panel)[0]["clinical.lab_result"]] == ["24331-1", "2093-3"]


@given(st.randoms(use_true_random=False))
def test_neither_the_order_of_codings_nor_that_of_components_changes_an_event(draw: random.Random) -> None:
    codings = [
        {"system": SNOMED, "code": "271649006"},
        {"system": LOINC, "code": "8459-0"},
        {"system": "https://loinc.org/", "code": "8480-6"},
        {"system": "urn:oid:2.999.7", "code": "BPS"},
    ]
    components = [
        {"code": {"coding": codings}, "valueQuantity": amount(121, "mm[Hg]")},
        component("8462-4", 81, "mm[Hg]"),
        component("8867-4", 1.2, "Hz"),
    ]
    results = [component("2093-3", 180, "mg/dL"), component("718-7", 13, "g/dL"), component("718-7", 14, "g/dL")]
    pressure = observation("bp", "85354-9", "vital-signs", component=components)
    panel = observation("panel", "24331-1", component=results)
    first = read(bundle(pressure, panel))[0]
    for each in (codings, components, results):
        draw.shuffle(each)
    events = read(bundle(pressure, panel))[0]
    assert events["clinical.blood_pressure"] == first["clinical.blood_pressure"]
    (record,) = events["clinical.blood_pressure"]
    assert (record["systolic"], record["diastolic"], record["heart_rate"]) == (121.0, 81.0, 72.0)
    by_id = [{each["event_id"]: each for each in found["clinical.lab_result"]} for found in (first, events)]
    assert by_id[0] == by_id[1]
    assert len(by_id[0]) == 3


def test_two_components_of_one_pressure_that_differ_are_refused() -> None:
    parts = [component("8480-6", 120, "mm[Hg]"), component("8480-6", 130, "mm[Hg]"), component("8462-4", 80, "mm[Hg]")]
    events, report = read(observation(code="85354-9", category="vital-signs", component=parts))
    assert not events
    assert problems(report) == ["Observation: two components 8480-6 that say different things"]


RESOURCES = [
    observation("lab", valueQuantity=amount(13, "g/dL")),
    observation("glucose", "2339-0", valueQuantity=amount(5.5, "mmol/L")),
    observation("pulse", "8867-4", "vital-signs", valueQuantity=amount(72, "{beats}/min")),
    observation("pressure", "85354-9", "vital-signs", component=[component("8480-6", 120, "mm[Hg]")]),
    observation("panel", "24331-1", component=[component("2093-3", 180, "mg/dL"), component("2571-8", 90, "mg/dL")]),
    {
        "resourceType": "Condition",
        "id": "c",
        "subject": {"reference": "Patient/p-1"},
        "code": concept("N20.1", "http://www.hl7korea.or.kr/CodeSystem/kostat-kcd-8"),
        "recordedDate": "2023-04-30",
    },
    {
        "resourceType": "MedicationAdministration",
        "id": "m",
        "status": "completed",
        "subject": {"reference": "Patient/p-1"},
        "medicationCodeableConcept": concept("653400910", "http://www.hl7korea.or.kr/CodeSystem/hira-edi-medication"),
        "effectivePeriod": {"start": "2024-05-01T09:00:00+09:00", "end": "2024-05-01"},
        "dosage": {"dose": amount(10, "mg")},
    },
]


@given(st.lists(st.sampled_from(RESOURCES), min_size=1, unique_by=lambda each: each["id"]))
def test_a_resource_alone_in_a_bundle_in_bundles_or_on_a_line_gives_the_same_events(resources: list[Resource]) -> None:
    def said(events: dict[str, list[Any]]) -> list[str]:
        return sorted(json.dumps(each, sort_keys=True) for rows in events.values() for each in rows)

    alone = sorted(text for each in resources for text in said(read(each)[0]))
    assert said(read(bundle(*resources))[0]) == alone
    assert said(read(bundle(bundle(*resources, type="searchset"), type="batch-response"))[0]) == alone
    assert said(read(resources, lines=True)[0]) == alone
    assert said(read(resources)[0]) == alone


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"value": 101, "unit": "mg/dL", "system": SNOMED, "code": "258797006"}, "mg/dL"),
        ({"value": 101, "unit": "mg/dl", "system": "urn:oid:2.999.8", "code": "MGDL"}, "mg/dL"),
        ({"value": 101, "unit": "whatever", "system": "http://unitsofmeasure.org", "code": "mg/dL"}, "mg/dL"),
        ({"value": 5.5, "unit": "mmol/l"}, "mmol/L"),
    ],
)
def test_a_unit_is_ucums_code_or_a_text_that_is_known(found: Resource, said: str) -> None:
    (record,) = read(observation(code="2339-0", valueQuantity=found))[0]["clinical.glucose"]
    assert record["value_unit"] == said


def test_a_glucose_in_another_unit_of_its_kind_is_converted_and_its_bound_kept() -> None:
    found = observation(code="2339-0", valueQuantity=amount(1.01, "g/L", comparator=">="))
    (record,) = read(found)[0]["clinical.glucose"]
    assert (record["value"], record["value_unit"], record["comparator"]) == (101.0, "mg/dL", ">=")


def normal(low: Resource, high: Resource, **more: Any) -> Resource:
    return {"low": low, "high": high} | more


def test_the_normal_range_for_everybody_counts_in_the_unit_of_the_value() -> None:
    treatment = concept("treatment", "http://terminology.hl7.org/CodeSystem/referencerange-meaning")
    usual = concept("normal", "http://terminology.hl7.org/CodeSystem/referencerange-meaning")
    in_mass = (amount(120, "mg/dL"), amount(200, "mg/dL"))
    ranges = [
        normal(*in_mass, type=treatment),
        normal(amount(1, "mmol/L"), amount(2, "mmol/L"), appliesTo=[{"text": "women"}]),
        normal(*in_mass, type=usual),
    ]
    for found in (ranges, ranges[::-1]):
        shown = observation(code="2093-3", valueQuantity=amount(5.2, "mmol/L"), referenceRange=found)
        (record,) = read(shown)[0]["clinical.lab_result"]
        assert (record["reference_low"], record["reference_high"]) == pytest.approx((3.1035, 5.1725), rel=1e-4)


@pytest.mark.parametrize(
    ("ranges", "reason"),
    [
        ([normal(amount(1, "s"), amount(2, "s"))], "no unit of what it measures"),
        ([normal({"value": 1}, {"value": 2})], "has no unit"),
        ([normal(amount(1, "g/dL"), amount(2, "g/dL"))] * 2, "several referenceRanges"),
        ([normal(amount(2, "g/dL"), amount(1, "g/dL"))], "referenceRange.low lies above its high"),
    ],
)
def test_a_range_that_does_not_fit_is_not_sent_and_the_value_is(ranges: list[Resource], reason: str) -> None:
    events, report = read(observation(valueQuantity=amount(13, "g/dL"), referenceRange=ranges))
    assert reason in problems(report)[0]
    (record,) = events["clinical.lab_result"]
    assert (record["value"], record.get("reference_low")) == (13.0, None)


@pytest.mark.parametrize("system", ["https://loinc.org", "http://loinc.org/", "urn:oid:2.16.840.1.113883.6.1"])
def test_other_spellings_of_a_known_system_are_the_system(system: str) -> None:
    found = observation(valueQuantity=amount(13, "g/dL"), code=None) | {"code": concept("718-7", system)}
    assert read(found)[0]["clinical.lab_result"][0]["code"] == "718-7"


def test_a_korean_claim_code_is_a_code_of_its_own_system_and_loinc_wins_beside_it() -> None:
    red = {"code": concept("D0002030", HIRA), "valueQuantity": amount(4.23, "10*6/uL")}
    both = {
        "code": {"coding": [{"system": HIRA, "code": "D0002050"}, {"system": LOINC, "code": "718-7"}]},
        "valueQuantity": amount(14.78, "g/dL"),
    }
    panel = observation(component=[red, both]) | {"code": concept("D0301026", HIRA)}
    found = [(each["code_system"], each["code"]) for each in read(panel)[0]["clinical.lab_result"]]
    assert found == [("HIRA-EDI", "D0002030"), ("LOINC", "718-7")]


@pytest.mark.parametrize("code", ["http://hl7.org/fhir/sid/icd-10-pcs", "http://x.example/kcd", "icd-10-gm"])
def test_a_system_is_known_by_its_whole_name(code: str) -> None:
    condition = RESOURCES[5] | {"code": concept("N20.1", code)}
    events, report = read(condition)
    assert not events
    assert "no coding in KCD-9" in problems(report)[0]


def test_vital_signs_have_the_units_of_the_contract() -> None:
    found = [
        observation("1", "8867-4", "vital-signs", valueQuantity=amount(1.2, "Hz")),
        observation("2", "59408-5", "vital-signs", valueQuantity=amount(0.97, "1")),
        observation("3", "8310-5", "vital-signs", valueQuantity=amount(98.6, "[degF]")),
        observation("4", "29463-7", "vital-signs", valueQuantity={"value": 185, "unit": "lbs"}),
        observation("5", "8302-2", "vital-signs", valueQuantity=amount(1700, "mm")),
        observation("6", "8310-5", "vital-signs", valueQuantity=amount(310.15, "K")),
    ]
    said = [(each["value"], each["value_unit"]) for each in read(bundle(*found))[0]["clinical.vital_sign"]]
    assert said == [(72.0, "/min"), (97.0, "%"), (98.6, "[degF]"), (185.0, "[lb_av]"), (170.0, "cm"), (37.0, "Cel")]


def test_what_is_of_another_kind_is_counted_by_its_code_and_never_by_a_text() -> None:
    survey = observation("s", "72166-2", "survey", valueCodeableConcept=concept("LA18978-9"))
    odd = observation("t", "Hong Gildong", "survey", valueInteger=1)
    _, report = read(bundle(survey, odd))
    assert report.left_out == {"Observation, LOINC 72166-2": 1, "Observation, without LOINC": 1}


def test_an_observation_without_category_is_a_problem_unless_a_laboratory_holds_it() -> None:
    bare = observation("bare", category=None, valueQuantity=amount(13, "g/dL"))
    assert "no category" in problems(read(bare)[1])[0]
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r",
        "status": "final",
        "category": [concept("LAB", "http://terminology.hl7.org/CodeSystem/v2-0074")],
        "subject": {"reference": "Patient/p-1"},
        "result": [{"reference": "Observation/panel"}, {"reference": "Observation/elsewhere"}],
    }
    panel = observation("panel", "24331-1", None, hasMember=[{"reference": "Observation/bare"}])
    events, found = read(bundle(report, panel, bare))
    assert [each["code"] for each in events["clinical.lab_result"]] == ["718-7"]
    assert not found.problems
    assert found.left_out["DiagnosticReport.result that is not in the file"] == 1


def test_the_results_that_a_report_contains_are_events_known_by_their_codes() -> None:
    inside = observation("h1", category=None, valueQuantity=amount(13, "g/dL"))
    del inside["subject"], inside["effectiveDateTime"]
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r",
        "status": "final",
        "category": [concept("HM", "http://terminology.hl7.org/CodeSystem/v2-0074")],
        "subject": {"reference": "Patient/p-1"},
        "effectiveDateTime": "2024-05-01T09:00:00+09:00",
        "contained": [inside],
        "result": [{"reference": "#h1"}],
    }
    (record,) = read(report)[0]["clinical.lab_result"]
    renamed = report | {"contained": [inside | {"id": "other"}], "result": [{"reference": "#other"}]}
    assert read(renamed)[0]["clinical.lab_result"] == [record]
    assert (record["subject_id"], record["value"]) == ("p-1", 13.0)
    stranger = report | {"contained": [inside | {"subject": {"reference": "Patient/p-2"}}]}
    assert "about somebody else" in problems(read(stranger)[1])[0]


def test_what_is_contained_and_not_read_and_an_answer_that_is_an_error_are_problems_with_their_places() -> None:
    visit = {"resourceType": "Encounter", "id": "e", "contained": [RESOURCES[5] | {"id": "c"}]}
    answers = {"resourceType": "Bundle", "type": "batch-response", "entry": [{"response": {"status": "404"}}, {}, None]}
    answers["entry"].append({"resource": visit})
    events, report = read(answers)
    assert not events
    assert [each.position for each in report.problems] == ["entry 0", "entry 3"]
    assert "the server answered with an error" in report.problems[0].reason
    assert "a contained Condition" in report.problems[1].reason
    assert report.left_out == {"entry without a resource": 2, "Encounter": 1}


@pytest.mark.parametrize("name", ["modifierExtension", "implicitRules"])
def test_what_may_mean_something_else_than_it_says_is_no_event(name: str) -> None:
    odd = observation(valueQuantity=amount(13, "g/dL")) | {name: [{"url": "https://x.example/negated"}]}
    events, report = read(bundle(odd, RESOURCES[5] | {name: "https://x.example/rules"}))
    assert not events
    assert [f"{name}: what it says" in each for each in problems(report)] == [True, True]


def test_a_component_with_a_modifier_costs_only_itself() -> None:
    modifier = [{"url": "https://x.example/negated"}]
    parts = [component("8480-6", 120, "mm[Hg]"), component("8462-4", 80, "mm[Hg]", modifierExtension=modifier)]
    (record,) = read(observation(code="85354-9", component=parts))[0]["clinical.blood_pressure"]
    assert (record["systolic"], record["diastolic"]) == (120.0, None)
    panel = observation(component=[component("718-7", 13, "g/dL", modifierExtension=modifier)])
    events, report = read(panel)
    assert not events
    assert len(report.problems) == 1


def test_what_is_measured_of_another_than_the_subject_is_not_the_subjects() -> None:
    fetus = observation("f", "8867-4", "vital-signs", valueQuantity=amount(140, "/min"), focus=[{"display": "fetus"}])
    events, report = read(fetus)
    assert not events
    assert report.left_out.total() == 1
    assert not report.problems


def test_a_page_of_a_search_says_that_there_is_another_and_parameters_that_they_are_not_read() -> None:
    page = bundle(RESOURCES[0], type="searchset") | {"link": [{"relation": "next", "url": "https://x.example/2"}]}
    assert read(page)[1].left_out == {"the next page of a search, which is not in the file": 1}
    wrapped = {"resourceType": "Parameters", "parameter": [{"name": "return", "resource": RESOURCES[0]}]}
    assert "send the resource itself" in problems(read(wrapped)[1])[0]


def test_a_range_or_an_interpretation_that_is_not_sent_is_counted() -> None:
    more = {"referenceRange": [{"text": "below 5"}], "interpretation": [{"text": "fine"}]}
    events, report = read(observation(valueQuantity=amount(13, "g/dL"), **more))
    assert events["clinical.lab_result"][0]["interpretation"] is None
    assert report.left_out.total() == 2


def test_two_single_pressures_are_one_blood_pressure_known_by_the_systolic_one() -> None:
    systolic = observation("s", "8480-6", "vital-signs", valueQuantity=amount(122, "mm[Hg]"))
    diastolic = observation("d", "8462-4", "vital-signs", valueQuantity=amount(10.8, "kPa"))
    for found in (read(bundle(systolic, diastolic))[0], read([diastolic, systolic], lines=True)[0]):
        (record,) = found["clinical.blood_pressure"]
        assert (record["systolic"], record["diastolic"]) == (122.0, pytest.approx(81.007, abs=0.001))
    later = diastolic | {"effectiveDateTime": "2024-05-01T09:05:00+09:00"}
    assert problems(read(bundle(systolic, later))[1]) == [
        "Observation: no diastolic pressure of the same person, time, encounter and device",
        "Observation: no systolic pressure of the same person, time, encounter and device",
    ]
    events, report = read(bundle(systolic, diastolic, diastolic | {"id": "d-2"}))
    assert not events
    assert len(report.problems) == 3


def test_what_is_forbidden_or_only_proposed_is_no_medication() -> None:
    order = {
        "resourceType": "MedicationRequest",
        "id": "m",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/p-1"},
        "authoredOn": "2024-05-01",
        "medicationCodeableConcept": concept("A10BA02", "http://www.whocc.no/atc"),
    }
    assert len(read(order)[0]["clinical.medication"]) == 1
    assert read(order | {"doNotPerform": True})[0] == {}
    assert read(order | {"intent": "proposal"})[1].left_out == {"MedicationRequest that is no order": 1}


def test_an_end_is_not_before_its_beginning_and_says_how_exactly_it_is_known() -> None:
    (record,) = read(RESOURCES[6])[0]["clinical.medication"]
    assert (record["ended_at"], record["ended_precision"]) == (record["occurred_at"], "day")
    before = RESOURCES[6] | {"effectivePeriod": {"start": "2024-05-01T09:00:00+09:00", "end": "2024-04-29"}}
    events, report = read(before)
    assert events["clinical.medication"][0]["ended_at"] is None
    assert problems(report) == ["MedicationAdministration: effectivePeriod is before the beginning; it is not sent"]


@pytest.mark.parametrize(
    ("date", "day", "year"),
    [("1985", None, 1985), ("1985-03", None, 1985), ("1970-01-02", 1, 1970), (None, None, None)],
)
def test_a_year_of_birth_is_a_year_of_birth(date: str | None, day: int | None, year: int | None) -> None:
    patient = {"resourceType": "Patient", "id": "p-1", "birthDate": date, "name": [{"given": [None, "Dee"]}]}
    (record,) = read(patient)[0]["person.enrolment"]
    assert (record["birth_date"], record["birth_year"], record["name"]) == (day, year, "Dee")


# -- units


@given(
    st.sampled_from(sorted(UNITS)),
    st.sampled_from(sorted(UNITS)),
    st.floats(-1e9, 1e9),
    st.sampled_from([None, 180.156]),
)
def test_what_is_converted_comes_back(unit: str, wanted: str, value: float, mass: float | None) -> None:
    there = convert(value, unit, wanted, mass)
    if there is None:
        assert convert(value, wanted, unit, mass) is None
    else:
        assert convert(there, wanted, unit, mass) == pytest.approx(value, rel=1e-9, abs=1e-6)


@given(st.sampled_from(sorted(UNITS)))
def test_a_unit_of_ours_is_known_by_its_own_name(unit: str) -> None:
    meant = unit_of_text(unit)
    assert meant == unit or (meant is not None and convert(1, unit, meant) in {1, None})


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("mg/dl", "mg/dL"), ("mmHg", "mm[Hg]"), ("10⁶/uL", "10*6/uL"), ("x10^3/µL", "10*3/uL"), ("µg/dL", "ug/dL"),
        ("mcg/mL", "ug/mL"), ("㎎/㎗", "mg/dL"), ("℃", "Cel"), ("％", "%"), ("mm/hr", "mm/h"), ("IU/mL", "[IU]/mL"),
        ("uIU/mL", "u[IU]/mL"), ("회/분", "/min"), ("mL/min/1.73m²", "mL/min/{1.73_m2}"), ("GDL", None), ("C", None),
        ("M/uL", None), ("", None), ("mM", "mmol/L"), ("µM", "umol/L"), ("nM", "nmol/L"), ("mm", "mm"), ("MM", None),
        ("G/L", None), ("g/L", "g/L"), ("G/DL", "g/dL"), ("MG/L", "mg/L"), ("mS", None),
    ],
)  # fmt: skip
def test_texts_of_units(text: str, unit: str | None) -> None:
    assert unit_of_text(text) == unit


def test_amounts_and_masses_of_what_is_measured_most() -> None:
    assert convert(100, "mg/dL", "mmol/L", MOLAR_MASS["2345-7"]) == pytest.approx(5.551, abs=0.001)
    assert convert(1, "mg/dL", "umol/L", MOLAR_MASS["2160-0"]) == pytest.approx(88.4, abs=0.05)
    assert convert(5.2, "mmol/L", "mg/dL", MOLAR_MASS["2093-3"]) == pytest.approx(201.1, abs=0.1)


# -- Korea


def from_fsh(path: Path) -> Resource:
    """The resource that an `Instance:` of FHIR Shorthand, of the few forms that the examples use, means."""
    aliases = {
        "$loinc": LOINC,
        "$observation-category": "http://terminology.hl7.org/CodeSystem/observation-category",
        "$condition-clinical": "http://terminology.hl7.org/CodeSystem/condition-clinical",
        "HIRA_EDI_Procedures": HIRA,
        "KOSTAT_KCD_8": "http://www.hl7korea.or.kr/CodeSystem/kostat-kcd-8",
    }
    kind = next(word for word in ("Observation", "Condition") if f"KRCore_{word}" in path.read_text())
    found: Resource = {"resourceType": kind, "id": path.stem}
    index = -1
    for line in path.read_text().splitlines():
        if not line.startswith("* "):
            continue
        name, _, said = line[2:].partition(" = ")
        where = found
        if name.startswith("component["):
            index += not name.startswith("component[=]")
            parts = found.setdefault("component", [])
            if index == len(parts):
                parts.append({})
            where, name = parts[index], name.partition("].")[2]
        if name.startswith("referenceRange."):
            where = where.setdefault("referenceRange", [{}])[0]
            name = name.removeprefix("referenceRange.")
        if name.endswith(".text"):
            continue
        word = said.split(" ")
        if said.startswith("Reference("):
            value: Any = {"reference": f"Patient/{said[10:-1]}"}
        elif name == "status":
            value = said[1:]
        elif said.startswith('"'):
            value = said.strip('"')
        elif "#" in said:
            system, _, code = word[0].partition("#")
            value = concept(code, aliases.get(system, system))
            value = [value] if name == "category" else value
        else:
            value = amount(float(word[0]), word[1].strip("'"))
        where[name] = value
    return found


def test_the_examples_of_kr_core_are_read(shared_data: Path) -> None:
    folder = shared_data / "clinical" / "krcore-examples"
    names = (
        "condition-encounter-diagnosis",
        "bodyweight",
        "observation-laboratory-result",
        "observation-vs-bloodpressure",
    )
    resources = [from_fsh(folder / f"krcore-{name}-example-01.fsh") for name in names]
    events, report = read(bundle(*resources))
    assert not report.problems
    assert {event: len(rows) for event, rows in events.items()} == {
        "clinical.diagnosis": 1,
        "clinical.vital_sign": 1,
        "clinical.lab_result": 5,
        "clinical.blood_pressure": 1,
    }
    assert events["clinical.diagnosis"][0]["code_system"] == "KCD-8"
    red, white, *_ = events["clinical.lab_result"]
    assert (red["code"], red["value"], red["value_unit"], red["reference_low"]) == ("D0002030", 4.23, "10*6/uL", 4.1)
    assert white["code_system"] == "HIRA-EDI"
