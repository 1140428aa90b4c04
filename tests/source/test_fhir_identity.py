"""Who is whom in FHIR files: references, numbers of systems, ids of servers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from biokeel.errors import AdapterError
from biokeel.source.adapters.base import Context, Record, Report
from biokeel.source.adapters.detect import detect
from biokeel.source.adapters.fhir import read_fhir
from biokeel.source.adapters.fhir_people import NO_SYSTEM, NO_VALUE, NOT_MAPPED, OUTDATED
from biokeel.source.schemes import Schemes

A = "https://a.example/fhir"
B = "https://b.example/fhir"
NUMBERS = "urn:oid:2.999.1"
OTHER = "urn:oid:2.999.2"
RRN = "https://numbers.example/rrn"
NOBODYS = "urn:oid:2.999.9"
UUID = "urn:uuid:5b0f5a3e-6d6f-4f0e-9a53-2f0a5d1c7e01"
TABLE = Schemes({NUMBERS: "hospital/clinic", OTHER: "hospital/old", RRN: "KR_RRN"}, {"NNKOR": "KR_RRN"})

Resource = dict[str, Any]
Pair = tuple[str, str]


def patient(id: str | None = "1", *numbers: tuple[str, str], **more: Any) -> Resource:  # noqa: A002
    identifiers = [{"system": system, "value": value} for system, value in numbers]
    found = {"resourceType": "Patient", "gender": "female", "identifier": identifiers, **more}
    return found if id is None else found | {"id": id}


def glucose(subject: Any, id: str | None = "g", value: float = 5.0, **more: Any) -> Resource:  # noqa: A002
    found = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "2339-0"}]},
        "subject": {"reference": subject} if isinstance(subject, str) else subject,
        "effectiveDateTime": "2024-05-01T09:00:00+09:00",
        "valueQuantity": {"value": value, "code": "mmol/L"},
        **more,
    }
    return found if id is None else found | {"id": id}


def at(base: str, resource: Resource) -> Resource:
    return {"fullUrl": f"{base}/{resource['resourceType']}/{resource['id']}", "resource": resource}


def new(full_url: str | None, resource: Resource) -> Resource:
    entry = {"resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}
    return entry if full_url is None else entry | {"fullUrl": full_url}


class File:
    """What became of a file: the identifiers that each enrolment binds, the subject of each event, the report."""

    def __init__(self, events: dict[str, list[Record]], report: Report) -> None:
        self.enrolments = events.get("person.enrolment", [])
        self.events = events.get("clinical.glucose", [])
        self.problems = [(problem.position, problem.reason) for problem in report.problems]
        self.left_out = report.left_out

    @property
    def subjects(self) -> list[Pair]:
        return [(event["subject_scheme"], event["subject_id"]) for event in self.events]

    @property
    def bound(self) -> list[list[Pair]]:
        return [
            [(each["subject_scheme"], each["subject_id"]), *((i["scheme"], i["value"]) for i in each["identifiers"])]
            for each in self.enrolments
        ]


@pytest.fixture
def of(tmp_path: Path, context: Context, catalogue: Any):  # type: ignore[no-untyped-def]
    """Reads a bundle of entries (a resource stands for an entry without fullUrl), or a single resource."""

    def run(*entries: Resource, table: Schemes = TABLE, type: str = "collection", path: Path | None = None) -> File:  # noqa: A002
        if path is None:
            path = tmp_path / "file.json"
            whole = [each if "resource" in each else {"resource": each} for each in entries]
            path.write_text(json.dumps({"resourceType": "Bundle", "type": type, "entry": whole}))
        report = Report()
        events: dict[str, list[Record]] = {}
        for event, rows, _ in detect(path).read(path, replace(context, schemes=table, subject=None), report):
            events.setdefault(str(event), []).extend(rows)  # type: ignore[arg-type]
        return File(events, report)

    return run


# -- which resource


@pytest.mark.parametrize(
    "reference", ["Patient/1", "Patient/1/_history/3", f"{A}/Patient/1", f"{A}/Patient/1/_history/9"]
)
def test_every_way_to_name_a_patient_at_a_url_gives_the_subject_of_the_enrolment(of: Any, reference: str) -> None:
    found = of(at(A, patient()), at(A, glucose(reference)))
    assert found.subjects == [found.bound[0][0]]
    assert not found.problems


def test_http_and_https_of_one_address_are_one_server(of: Any) -> None:
    found = of(at(A, patient()), at(A, glucose("http://A.example:80/fhir/Patient/1")))
    assert found.subjects == [found.bound[0][0]]


def test_a_relative_reference_is_read_at_the_server_of_the_entry_that_holds_it(of: Any) -> None:
    found = of(at(A, patient()), at(B, patient()), at(A, glucose("Patient/1")), at(B, glucose("Patient/1")))
    assert found.subjects == [found.bound[0][0], found.bound[1][0]]
    assert len(set(found.subjects)) == 2
    assert len({event["event_id"] for event in found.events}) == 2, "two servers' records are two events"


def test_where_all_is_of_one_server_a_patient_without_full_url_is_that_servers(of: Any) -> None:
    found = of(patient(), glucose(f"{A}/Patient/1/_history/2"))
    assert found.subjects == [found.bound[0][0]]
    assert found.subjects == of(at(A, patient()), at(A, glucose("Patient/1"))).subjects


def test_a_performer_on_some_directory_does_not_make_the_patients_its_own(of: Any) -> None:
    alone = of(patient(), glucose("Patient/1"))
    performer = [{"reference": f"{B}/Practitioner/1"}]
    assert of(patient(), glucose("Patient/1", performer=performer)).bound == alone.bound


def test_where_a_file_names_several_servers_a_bare_id_is_refused(of: Any) -> None:
    found = of(patient("2"), at(A, glucose("Patient/1")), at(B, glucose("Patient/1")), glucose("Patient/1"))
    assert [place for place, _ in found.problems] == ["entry 0", "entry 3"]
    assert all("several servers" in reason for _, reason in found.problems)
    assert len(set(found.subjects)) == 2


def test_an_address_that_may_be_an_entrys_is_refused_where_nothing_says_of_which_server_that_is(of: Any) -> None:
    found = of(patient("1", (NUMBERS, "7")), at(A, glucose("Patient/1")), glucose(f"{B}/Patient/1"))
    assert found.bound == [[("hospital/clinic", "7")]]
    assert not found.events
    assert [place for place, _ in found.problems] == ["entry 1", "entry 2"]


def test_the_table_can_say_whose_the_files_are_that_name_no_server(of: Any) -> None:
    own = replace(TABLE, own_server=A)
    bare = of(patient(), glucose("Patient/1"), table=own)
    assert bare.subjects == [bare.bound[0][0]] == of(at(A, patient()), table=own).bound[0]
    pointing = of(patient(), glucose(f"{B}/Patient/1"), table=own)
    assert bare.bound == pointing.bound
    assert pointing.subjects != bare.subjects
    assert of(at(A, glucose("Patient/1")), table=own).events[0]["event_id"] == bare.events[0]["event_id"]


def test_two_entries_under_one_id_are_refused_unless_one_is_newer(of: Any) -> None:
    one, other = patient(birthDate="1980-01-01"), patient(birthDate="1950-01-01")
    for bundle in ((one, other), (at(A, one), at(A, other)), (at(A, one), other)):
        found = of(*bundle, glucose("Patient/1"))
        assert not found.enrolments
        assert not found.events
        assert all("two different resources" in reason for _, reason in found.problems)
    older, newer = ({"meta": {"lastUpdated": f"202{year}-01-01T00:00:00Z"}} for year in (3, 4))
    found = of(one | newer, other | older, glucose("Patient/1"))
    assert [each["birth_date"] for each in found.enrolments] == [3652]
    assert found.left_out.total() == 1
    assert found.subjects == [found.bound[0][0]]
    assert len(of(one, other, type="history").enrolments) == 1
    assert len(of(one, one).enrolments) == 1


def test_a_file_that_is_nested_too_deep_is_refused(of: Any) -> None:
    deep: Any = {}
    for _ in range(400):
        deep = [deep]
    with pytest.raises(AdapterError, match="nested too deep"):
        of(patient(x=deep), glucose("Patient/1"))
    with pytest.raises(AdapterError, match="nested too deep"):
        of(at(A, patient(x=deep)), at(A, patient("2")), at(A, glucose("Patient/1")))


def test_entries_that_only_their_full_url_tells_are_read_and_repeat_their_ids(of: Any) -> None:
    bundle = [new(UUID, patient(None)), new(UUID[:-1] + "2", glucose(UUID.upper().replace("URN:", "urn:"), None))]
    first, second = (of(*bundle, type="transaction") for _ in range(2))
    assert (
        first.subjects == [first.bound[0][0]] == [("hospital/clinic.e3b0c44298fc1c14", UUID.removeprefix("urn:uuid:"))]
    )
    assert [event["event_id"] for event in first.events] == [event["event_id"] for event in second.events]
    assert not first.problems


@pytest.mark.parametrize(
    "full_url", [None, "urn:uuid:patient-1", "urn:uuid:00000000-0000-0000-0000-000000000000", "x:1"]
)
def test_what_a_transaction_creates_has_no_id_yet_so_its_local_one_is_nobody(of: Any, full_url: str | None) -> None:
    reference = full_url or "Patient/p"
    found = of(new(full_url, patient("p")), new(None, glucose(reference)), type="transaction")
    assert not found.enrolments
    assert not found.events
    numbered = of(new(full_url, patient("p", (NUMBERS, "7"))), new(None, glucose(reference)), type="transaction")
    assert numbered.bound == [[("hospital/clinic", "7")]]
    assert numbered.subjects == ([("hospital/clinic", "7")] if full_url else [])


def test_the_same_words_of_two_people_are_two_events(of: Any) -> None:
    def sent(number: str) -> str:
        bundle = (new("x:1", patient(None, (NUMBERS, number))), new("x:2", glucose("x:1", None)))
        return str(of(*bundle, type="transaction").events[0]["event_id"])

    assert sent("7") == sent("7") != sent("8")


def test_what_a_transaction_puts_has_the_id_of_its_url(of: Any) -> None:
    put = {"fullUrl": UUID, "resource": patient(), "request": {"method": "PUT", "url": "Patient/1"}}
    assert of(put, type="transaction").bound == of(patient()).bound
    wrong = put | {"request": {"method": "PUT", "url": "Patient/2"}}
    assert "another resource" in of(wrong, type="transaction").problems[0][1]


def test_a_relative_reference_to_an_entry_that_only_its_uuid_tells_is_refused(of: Any) -> None:
    found = of(new(UUID, patient("1")), new(UUID[:-1] + "2", glucose("Patient/1")), type="transaction")
    assert [place for place, _ in found.problems] == ["entry 1"]
    own = UUID.removeprefix("urn:uuid:")
    found = of(new(UUID, patient(own)), new(UUID[:-1] + "2", glucose(f"Patient/{own}")), type="transaction")
    assert found.subjects == [found.bound[0][0]], "unless the UUID is the id"


@pytest.mark.parametrize(
    ("subject", "reason"),
    [
        ("Patient?identifier=7", "conditional"),
        (f"{A}/Patient?identifier=7", "conditional"),
        ("Group/1", "subject is no Patient"),
        (f"{A}/Group/1", "subject is no Patient"),
        ({"reference": "Patient/1", "type": "Group"}, "subject is no Patient"),
        ("1", "no reference of R4"),
        ("Patient/", "no reference of R4"),
        (f"{A}/Patient/1#part", "nothing in the file"),
        (UUID, "nothing in the file"),
        ("#pat", "nothing contained"),
        ({"display": "secret"}, "no subject"),
        ({"reference": {"a": "secret"}}, "no text"),
        (["Patient/1"], "no JSON object"),
        ({"identifier": {"system": NOBODYS, "value": "secret"}}, "no identifier that the identifier table maps"),
        ({"identifier": {"system": RRN, "value": "secret"}}, "has not the form"),
        ({"identifier": {"system": NUMBERS, "value": 7}}, "is no text"),
        ({"type": "Device", "identifier": {"system": NUMBERS, "value": "7"}}, "subject is no Patient"),
        ({"reference": "Patient/1", "identifier": {"system": NUMBERS, "value": "secret"}}, "two people"),
    ],
)
def test_a_subject_that_is_not_to_be_told_is_refused_with_its_place_and_reason(
    of: Any, subject: Any, reason: str
) -> None:
    found = of(patient("1", (NUMBERS, "7")), glucose(subject))
    assert not found.events
    ((place, said),) = found.problems
    assert place == "entry 1"
    assert reason in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"fullUrl": f"{A}/Patient/2", "resource": patient("1")}, "another resource"),
        ({"fullUrl": f"{A}/Person/1", "resource": patient("1")}, "another resource"),
        ({"fullUrl": 7, "resource": patient("1")}, "no text"),
        ({"resource": patient("1") | {"id": 1}}, "no text"),
        ({"resource": patient("１")}, "no id of FHIR"),
        ({"resource": patient(None)}, "no id of a server"),
        ({"resource": patient("1") | {"identifier": {"system": "secret"}}}, "no list of Identifiers"),
    ],
)
def test_a_patient_who_is_not_to_be_told_is_refused(of: Any, entry: Resource, reason: str) -> None:
    found = of(entry)
    assert not found.enrolments
    ((place, said),) = found.problems
    assert place == "entry 0"
    assert reason in said


def test_a_reference_that_matches_two_resources_is_refused(of: Any) -> None:
    twice = [new("x:1", patient(None, (NUMBERS, "7"))), new("x:1", patient(None, (NUMBERS, "8")))]
    found = of(*twice, glucose("x:1"), type="transaction")
    assert "matches two different resources" in found.problems[-1][1]
    twice = [
        {"resourceType": "Patient", "id": "p", "identifier": patient("p", (NUMBERS, n))["identifier"]} for n in "78"
    ]
    found = of(glucose("#p", contained=twice))
    assert "two contained resources" in found.problems[0][1]


# -- which person


def test_a_mapped_number_is_the_subject_and_the_servers_id_a_further_identifier(of: Any) -> None:
    found = of(
        patient("1", (RRN, "800203-2000009"), (NOBODYS, "5"), (OTHER, "9"), (NUMBERS, "7")), glucose("Patient/1")
    )
    own = ("hospital/clinic.e3b0c44298fc1c14", "1")
    assert found.bound == [[("hospital/clinic", "7"), ("hospital/old", "9"), ("KR_RRN", "800203-2000009"), own]]
    assert found.subjects == [("hospital/clinic", "7")]
    assert found.left_out == {NOT_MAPPED: 1}


def test_without_a_table_no_number_is_sent_and_the_servers_id_is_the_subject(of: Any) -> None:
    found = of(patient("1", (NUMBERS, "7"), (RRN, "800203-2000009")), glucose("Patient/1"), table=Schemes())
    assert found.bound == [[("hospital/clinic", "1")]]
    assert found.subjects == [("hospital/clinic", "1")]
    assert found.left_out == {NOT_MAPPED: 2}


def test_equal_numbers_of_two_systems_and_an_equal_id_of_a_server_are_three_people(of: Any) -> None:
    found = of(patient("7", (NUMBERS, "1")), patient("8", (OTHER, "7")), patient("1", (NUMBERS, "7")))
    bound = [set(each) for each in found.bound]
    assert len(bound) == 3
    assert not any(bound[one] & bound[other] for one, other in ((0, 1), (0, 2), (1, 2)))


def test_a_korean_resident_number_is_one_only_where_the_table_says_so(of: Any) -> None:
    kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "NNKOR"}]}
    typed = patient() | {"identifier": [{"type": kind, "value": "800203-2000009"}]}
    assert ("KR_RRN", "800203-2000009") in of(typed).bound[0]
    found = of(typed, table=replace(TABLE, types={}))
    assert not [scheme for scheme, _ in found.bound[0] if scheme == "KR_RRN"]
    assert found.left_out == {NO_SYSTEM: 1}
    social = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "SS"}]}
    assert len(of(patient() | {"identifier": [{"type": social, "value": "800203-2000009"}]}).bound[0]) == 1


def test_numbers_that_are_out_of_use_or_cannot_be_numbers_are_not_sent(of: Any) -> None:
    old = {"system": NUMBERS, "value": "7", "use": "old"}
    wrong = [
        {"system": RRN, "value": "800203-2******"},
        {"system": NUMBERS, "value": 7},
        {"system": NUMBERS, "value": " "},
    ]
    found = of(patient() | {"identifier": [old, {"system": NUMBERS}, *wrong]})
    assert len(found.bound[0]) == 1
    assert found.left_out == {OUTDATED: 1, NO_VALUE: 1}
    assert [reason.split(": ", 1)[1] for _, reason in found.problems] == [
        "identifier 2: its value is masked; it is not sent",
        "identifier 3: its value is no text; it is not sent",
        "identifier 4: its value is empty; it is not sent",
    ]


@pytest.mark.parametrize("other", ["800203-2000009", "８００２０３ 2000009"])
def test_two_patients_who_claim_one_number_are_refused_with_all_that_is_said_of_them(of: Any, other: str) -> None:
    found = of(
        patient("1", (NUMBERS, "7"), (RRN, "8002032000009")),
        patient("2", (NUMBERS, "8"), (RRN, other)),
        patient("3", (NUMBERS, "9")),
        glucose("Patient/1"),
        glucose({"identifier": {"system": NUMBERS, "value": "8"}}),
        glucose("Patient/3"),
    )
    assert found.bound[0][0] == ("hospital/clinic", "9")
    assert found.subjects == [("hospital/clinic", "9")]
    assert [place for place, _ in found.problems] == ["entry 0", "entry 1", "entry 3", "entry 4"]
    assert all("claimed by different Patients: entry 0, entry 1" in reason for _, reason in found.problems)


def test_a_logical_reference_is_the_patient_who_has_the_number(of: Any) -> None:
    by_number = {"identifier": {"system": OTHER, "value": "9"}}
    found = of(patient("1", (NUMBERS, "7"), (OTHER, "9")), glucose(by_number))
    assert found.subjects == [("hospital/clinic", "7")], "a subject that the enrolment binds first"
    assert of(glucose(by_number)).subjects == [("hospital/old", "9")], "a person who is not in the file"
    both = by_number | {"reference": "Patient/5"}
    assert of(glucose(both)).subjects == [("hospital/old", "9")], "a number goes before a server's id"
    assert of(patient("5", (OTHER, "9")), glucose(both)).subjects == [("hospital/old", "9")]


def test_a_contained_patient_counts_by_number_and_never_by_its_local_id(of: Any) -> None:
    def held(*numbers: tuple[str, str]) -> Resource:
        return glucose("#pat", contained=[patient("pat", *numbers)])

    assert of(held((OTHER, "9"), (NUMBERS, "7"))).subjects == [("hospital/clinic", "7")]
    assert of(held((RRN, "800203-2******"), (NUMBERS, "7"))).subjects == [("hospital/clinic", "7")]
    known = patient("1", (NUMBERS, "7"), (OTHER, "9"))
    assert of(known, held((OTHER, "9"))).subjects == [("hospital/clinic", "7")]
    for refused, reason in (
        (of(held()), "no identifier that the identifier table maps"),
        (of(held((NOBODYS, "1"))), "no identifier that the identifier table maps"),
        (of(known, patient("2", (NUMBERS, "8")), held((NUMBERS, "8"), (OTHER, "9"))), "of different Patients"),
        (of(known, held((NUMBERS, "8"), (OTHER, "9"))), "of different Patients"),
        (of(glucose("#pat", contained=[patient("pat") | {"resourceType": "Group"}])), "no Patient"),
    ):
        assert not refused.events
        assert reason in refused.problems[0][1]


def test_a_patient_states_no_consent(of: Any) -> None:
    (record,) = of(patient()).enrolments
    assert (record["consent_scope"], record["consent_stated"]) == ([], False)


def test_a_consent_resource_is_counted_and_is_no_event(of: Any) -> None:
    consent = {"resourceType": "Consent", "id": "c", "status": "active", "patient": {"reference": "Patient/1"}}
    found = of(patient(), consent)
    assert len(found.enrolments) == 1
    assert found.left_out == {"Consent": 1}


def test_a_medication_that_two_entries_could_be_is_refused(read: Any, tmp_path: Path) -> None:
    medications = [
        {
            "resourceType": "Medication",
            "id": "m",
            "code": {"coding": [{"system": "http://snomed.info/sct", "code": code}]},
        }
        for code in ("1", "2")
    ]
    order = {
        "resourceType": "MedicationRequest",
        "id": "r",
        "subject": {"reference": "Patient/1"},
        "authoredOn": "2024-05-01",
        "medicationReference": {"reference": "Medication/m"},
    }
    path = tmp_path / "m.json"
    for some, made in ((medications[:1], 1), (medications, 0)):
        entries = [{"resource": each} for each in (*some, order)]
        path.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}))
        events, report = read(read_fhir, path)
        assert len(events.get("clinical.medication", [])) == made
        assert len(report.problems) == 1 - made


# -- files that were tried from outside

CASES = Schemes(
    {
        "urn:oid:1.2.410.9.1": "hospital/clinic",
        "urn:oid:1.2.410.9.2": "hospital/clinic-2",
        "https://mois.go.kr/rrn": "KR_RRN",
    }
)


@pytest.mark.parametrize("table", [Schemes(), CASES], ids=["without a table", "with a table"])
@pytest.mark.parametrize(
    ("names", "people"),
    [
        (["a_versioned.json"], 2),
        (["1_absver.json"], 1),
        (["c_namespace.json"], 2),
        (["c2_othersystem.json"], 2),
        (["c_server_a.json", "c_server_b.json"], 2),
        (["x_two_servers.json"], 2),
        (["e_transaction.json"], 1),
    ],
)
def test_people_of_the_cases_stay_apart_and_their_events_are_theirs(
    of: Any, shared_cases: Path, names: list[str], people: int, table: Schemes
) -> None:
    files = [of(path=shared_cases / "identity" / name, table=table) for name in names]
    assert not [problem for file in files for problem in file.problems]
    events = [event for file in files for event in file.events]
    assert len({event["event_id"] for event in events}) == len(events) == people
    assert len({subject for file in files for subject in file.subjects}) == people
    bound = [set(each) for file in files for each in file.bound]
    assert len(set().union(*bound)) == sum(map(len, bound)), "nothing is bound to two"
    if bound:
        assert [sum(subject in each for each in bound) for file in files for subject in file.subjects] == [1] * people


def test_the_cases_that_only_a_table_can_read_are_refused_without_one(of: Any, shared_cases: Path) -> None:
    expected = {"b_contained_1": "700001", "b_contained_2": "700002", "e3_logical": "8801"}
    for name, number in expected.items():
        path = shared_cases / "identity" / f"{name}.json"
        assert of(path=path, table=CASES).subjects == [("hospital/clinic", number)]
        refused = of(path=path, table=Schemes())
        assert (len(refused.events), len(refused.problems)) == (0, 1)


def test_the_resident_number_of_the_cases_is_sent_only_where_the_table_maps_it(of: Any, shared_cases: Path) -> None:
    path = shared_cases / "identity" / "d_rrn.json"
    assert "KR_RRN" in dict(of(path=path, table=CASES).bound[0])
    assert "KR_RRN" not in dict(of(path=path, table=Schemes()).bound[0])


def test_the_user_of_the_cases_who_is_no_text_is_refused(of: Any, shared_cases: Path) -> None:
    found = of(path=shared_cases / "identity" / "r_omh_header_bad_user.json")
    assert found.problems == [("the document", "header.user_id is no text")]
