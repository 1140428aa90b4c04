"""Whatever mixture of references a source writes, nothing of one person is ever another's."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from biokeel.source.adapters.base import Context, Report, Subject
from biokeel.source.adapters.fhir import read_fhir
from biokeel.source.adapters.fhir_people import message_of
from biokeel.source.ids import EventIds
from biokeel.source.schemes import Schemes
from tests.examples import examples

SERVERS = ("https://a.example/fhir", "https://b.example/fhir", "")
X, Y, UNMAPPED = "urn:oid:2.999.1", "urn:oid:2.999.2", "urn:oid:2.999.3"
SEXES = ("female", "male")
TABLES = (
    Schemes(),
    Schemes({X: "hospital/clinic", Y: "hospital/y"}),
    Schemes({Y: "KR_RRN", X: "hospital/x"}, servers={SERVERS[0]: "hospital/clinic"}),
)
SHORT = st.sampled_from(["1", "2"])
RRNS = st.sampled_from(["800203-2000009", "8002032000009", "８００２０３-2000009", "800203-2000010"])
STYLES = ("relative", "absolute", "versioned", "absolute version", "full url", "contained", "logical", "both")


@st.composite
def people(draw: Any) -> list[dict[str, Any]]:
    """Two people, who may have equal ids on two servers and equal numbers of two systems, never the same of one."""
    found: list[dict[str, Any]] = [
        {
            "server": draw(st.sampled_from(SERVERS)),
            "id": draw(SHORT),
            # A Patient that a transaction creates has no id; what it writes there is a word of this file.
            "created": draw(st.sampled_from([False, False, True])),
            "uuid": f"urn:uuid:5b0f5a3e-6d6f-4f0e-9a53-00000000000{index}",
            "local": draw(st.sampled_from([None, "1", "2"])),
            X: draw(st.none() | SHORT),
            Y: draw(st.none() | RRNS),
            UNMAPPED: draw(st.none() | SHORT),
        }
        for index in range(2)
    ]
    one, other = found
    assume((one["server"], one["id"]) != (other["server"], other["id"]))
    assume(one[X] is None or one[X] != other[X])
    # The second system is the resident registration in one of the tables: one number, however it is written.
    assume(one[Y] is None or other[Y] is None or rrn(one[Y]) != rrn(other[Y]))
    return found


def rrn(text: str) -> str:
    return message_of(Subject("KR_RRN", text))


def identifiers(person: dict[str, Any], systems: Any = (X, Y, UNMAPPED)) -> list[dict[str, str]]:
    return [{"system": system, "value": person[system]} for system in systems if person[system] is not None]


@st.composite
def bundles(draw: Any, found: list[dict[str, Any]]) -> dict[str, Any]:
    """A file about one or both: a site has one server that nobody names, and a file of it names no other."""
    inside = draw(st.sampled_from([[0], [1], [0, 1]]))
    servers = {found[index]["server"] for index in inside}
    if "" in servers and len(servers) > 1:
        inside = inside[:1]
        servers = {found[inside[0]]["server"]}
    # Where a file of one named server never named it, it would be one that nobody names.
    entries = [at(server, {"resourceType": "Encounter", "id": "e"}) for server in sorted(servers - {""})]
    one_server = found[0]["server"] == found[1]["server"]
    for index in inside:
        person = found[index]
        base = {"resourceType": "Patient", "gender": SEXES[index], "identifier": identifiers(person)}
        if draw(st.booleans()):
            if person["created"]:
                local = {} if person["local"] is None else {"id": person["local"]}
                entries.append({"fullUrl": person["uuid"], "resource": base | local, "request": {"method": "POST"}})
            else:
                entries.append(placed(draw, person["server"], base | {"id": person["id"]}))
        for number in range(draw(st.integers(0, 3))):
            event = observation(draw, person, index, f"{index if one_server else ''}o{number}")
            entries.append(event if "resource" in event else placed(draw, person["server"], event))
    draw(st.randoms(use_true_random=False)).shuffle(entries)
    kind = draw(st.sampled_from(["collection", "searchset", "transaction"]))
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


def at(server: str, resource: dict[str, Any]) -> dict[str, Any]:
    return {"fullUrl": f"{server}/{resource['resourceType']}/{resource['id']}", "resource": resource}


def placed(draw: Any, server: str, resource: dict[str, Any]) -> dict[str, Any]:
    return at(server, resource) if server and draw(st.booleans()) else {"resource": resource}


def observation(draw: Any, person: dict[str, Any], index: int, name: str) -> dict[str, Any]:
    style = draw(st.sampled_from(STYLES))
    relative = f"Patient/{person['id']}"
    absolute = f"{person['server']}/{relative}" if person["server"] else relative
    reference = {
        "relative": relative,
        "absolute": absolute,
        "versioned": f"{relative}/_history/{draw(SHORT)}",
        "absolute version": f"{absolute}/_history/{draw(SHORT)}",
        "full url": person["uuid"] if person["created"] else absolute,
        "both": absolute,
        "contained": "#1",
    }.get(style)
    subject: dict[str, Any] = {} if reference is None else {"reference": reference}
    named = identifiers(person, draw(st.lists(st.sampled_from([X, Y, UNMAPPED]), unique=True)))
    if style in {"logical", "both"} and named:
        subject["identifier"] = named[0]
    found = {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "2339-0"}]},
        "subject": subject,
        "effectiveDateTime": "2024-05-01",
        "valueQuantity": {"value": index + 1, "code": "mmol/L"},
    }
    if style == "contained":
        found["contained"] = [{"resourceType": "Patient", "id": "1", "identifier": named}]
    if draw(st.sampled_from([False, False, True])):  # created by this file, too, and known by a UUID or by nothing
        uuid = f"urn:uuid:5b0f5a3e-6d6f-4f0e-9a53-1{index}000000000{name[-1]}"
        entry = {"resource": found, "request": {"method": "POST"}}
        return entry | {"fullUrl": uuid} if draw(st.booleans()) else entry
    return found


def read(bundle: dict[str, Any], table: Schemes) -> tuple[dict[str, list[dict[str, Any]]], Report]:
    report = Report()
    events: dict[str, list[dict[str, Any]]] = {"person.enrolment": [], "clinical.glucose": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.json"
        path.write_text(json.dumps(bundle), "utf-8")
        context = Context("emr", "clinic", EventIds("emr", b"k"), 1_780_000_000_000, schemes=table)
        for event, rows, _ in read_fhir(path, context, report):
            events[str(event)] += rows
    return events, report


def of_enrolment(record: dict[str, Any]) -> set[str]:
    pairs = [
        (record["subject_scheme"], record["subject_id"]),
        *((i["scheme"], i["value"]) for i in record["identifiers"]),
    ]
    return {message_of(Subject(scheme, value)) for scheme, value in pairs}


def of_event(record: dict[str, Any]) -> str:
    return message_of(Subject(record["subject_scheme"], record["subject_id"]))


@settings(max_examples=examples(100))
@given(st.data(), people(), st.sampled_from(TABLES))
def test_no_event_of_one_person_has_a_subject_or_an_id_of_another(
    data: st.DataObject, found: list[dict[str, Any]], table: Schemes
) -> None:
    files = data.draw(st.lists(bundles(found), min_size=1, max_size=3))
    known: list[set[str]] = [set(), set()]
    ids: list[set[str]] = [set(), set()]
    for bundle in files:
        events, report = read(bundle, table)
        bound: list[set[str]] = [set(), set()]
        for record in events["person.enrolment"]:
            person = SEXES.index(record["sex"])
            bound[person] |= of_enrolment(record)
            ids[person].add(record["event_id"])
        for record in events["clinical.glucose"]:
            person = int(record["value"]) - 1
            known[person].add(of_event(record))
            ids[person].add(record["event_id"])
            if bound[person] and not report.problems and unmixed(bundle, person):
                assert of_event(record) in bound[person], "an event is of the person whom the file enrols"
        for person in range(2):
            known[person] |= bound[person]
    assert not known[0] & known[1]
    assert not ids[0] & ids[1]


def unmixed(bundle: dict[str, Any], person: int) -> bool:
    """Whether all events of a person name whom the file enrols: nothing but the Patient's own address."""
    patients = [e for e in bundle["entry"] if e["resource"].get("gender") == SEXES[person]]
    events = [e for e in bundle["entry"] if (e["resource"].get("valueQuantity") or {}).get("value") == person + 1]
    created = any("request" in entry for entry in patients)
    references = [entry["resource"]["subject"].get("reference", "") for entry in events]
    return all(text.startswith("urn:") if created else "Patient/" in text for text in references)


@pytest.mark.parametrize("table", TABLES[1:])
def test_the_law_is_not_empty(table: Schemes) -> None:
    """Of what the generator writes a good part is read, with every style among it."""
    seen: Counter[str] = Counter()

    @settings(max_examples=150, database=None, derandomize=True)
    @given(st.data(), people())
    def look(data: st.DataObject, found: list[dict[str, Any]]) -> None:
        bundle = data.draw(bundles(found))
        events, report = read(bundle, table)
        seen.update(
            read=len(events["clinical.glucose"]), refused=len(report.problems), people=len(events["person.enrolment"])
        )

    look()
    assert seen["read"] > 50
    assert seen["people"] > 20
    assert seen["refused"] > 20
