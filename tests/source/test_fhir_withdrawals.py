"""What a resource no longer says is withdrawn: parts that are gone, what was entered in error, what was deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.contracts.identity import ENTERED_IN_ERROR
from biokeel.errors import SourceError
from biokeel.source.adapters.base import Record
from biokeel.source.files import DryRun, Source, publish_files
from biokeel.source.memory import Memory, OfOneFile, OnDisk, Past, Trace, memory_at
from tests.source.fhir_made import CATALOGUE, Resource, amount, bundle, component, observation, problems, read

CODES = ["2093-3", "2571-8", "2085-9", "2339-0"]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with memory_at(tmp_path / "records.sqlite") as found:
        yield found


def panel(values: dict[str, float], day: int, **more: Any) -> Resource:
    parts = [component(code, value, "mg/dL") for code, value in values.items()]
    return observation("panel", "24331-1", component=parts, issued=f"2024-06-{day:02}T10:00:00+09:00", **more)


def shown(*files: dict[str, list[Record]]) -> dict[str, Any]:
    """What a researcher sees of all events: of each id the newest version, none that is withdrawn."""
    versions = [each for events in files for rows in events.values() for each in rows]
    versions.sort(key=lambda each: (each["recorded_at"], each["status"] == ENTERED_IN_ERROR))
    newest = {each["event_id"]: each for each in versions}
    return {each["code"]: each["value"] for each in newest.values() if each["status"] != ENTERED_IN_ERROR}


def test_a_corrected_panel_withdraws_what_is_gone(memory: Memory) -> None:
    first = read(panel({"2093-3": 180, "2571-8": 90, "2085-9": 50}, 1), memory)[0]
    second = read(panel({"2571-8": 90, "2085-9": 55}, 3, status="corrected"), memory)[0]
    assert shown(first, second) == {"2571-8": 90.0, "2085-9": 55.0}


@given(
    st.lists(st.dictionaries(st.sampled_from(CODES), st.sampled_from([1.0, 2.0]), min_size=1), min_size=1, max_size=5),
    st.randoms(use_true_random=False),
)
def test_in_whatever_order_versions_come_the_newest_is_what_is_seen(
    versions: list[dict[str, float]], draw: Any
) -> None:
    resources = [panel(values, day) for day, values in enumerate(versions, 1)]
    draw.shuffle(resources)
    memory = OfOneFile()
    assert shown(*(read(each, memory)[0] for each in resources)) == versions[-1]
    assert shown(read(bundle(*resources, type="history"))[0]) == versions[-1]
    again = [read(each, memory)[0] for each in resources]
    assert shown(*again) == versions[-1], "a file that is sent again brings nothing back"


def test_a_record_whose_kind_was_wrong_leaves_nothing_of_the_other_kind(memory: Memory) -> None:
    wrong = observation("o", "718-7", valueQuantity=amount(90, "mg/dL"))
    right = observation(
        "o", "2339-0", valueQuantity=amount(90, "mg/dL"), status="corrected", issued="2024-05-02T10:00:00+09:00"
    )
    assert shown(read(wrong, memory)[0], read(right, memory)[0]) == {"2339-0": 90.0}


@pytest.mark.parametrize("stripped", [False, True])
def test_entered_in_error_withdraws_whatever_there_was_with_or_without_its_old_elements(
    memory: Memory, *, stripped: bool
) -> None:
    first = read(panel({"2093-3": 180, "2339-0": 90}, 1), memory)[0]
    bare = {"resourceType": "Observation", "id": "panel", "meta": {"lastUpdated": "2024-07-01T00:00:00Z"}}
    full = panel({"2093-3": 180, "2339-0": 90}, 1) | bare
    events, report = read((bare if stripped else full) | {"status": ENTERED_IN_ERROR}, memory)
    assert not report.problems
    assert shown(first, events) == {}
    assert {each["event_id"] for rows in events.values() for each in rows} == {
        each["event_id"] for rows in first.values() for each in rows
    }


def test_without_a_memory_entered_in_error_withdraws_what_its_type_may_have_made() -> None:
    first = read(observation(valueQuantity=amount(13, "g/dL")))[0]
    bare = observation(status=ENTERED_IN_ERROR)
    del bare["code"], bare["category"], bare["effectiveDateTime"]
    events, report = read(bare)
    assert shown(first, events) == {}
    assert {*events} == {f"clinical.{name}" for name in ("blood_pressure", "glucose", "lab_result", "vital_sign")}
    assert report.left_out.total() == 1, "whether it had parts is not known"
    whole = panel({"2093-3": 180}, 1)
    assert shown(read(whole)[0], read(whole | {"status": ENTERED_IN_ERROR})[0]) == {}


def test_a_diagnosis_and_a_medication_are_withdrawn_without_their_codes() -> None:
    for kind, name in (("Condition", "verificationStatus"), ("MedicationRequest", "status")):
        said: Any = {"coding": [{"code": ENTERED_IN_ERROR}]} if kind == "Condition" else ENTERED_IN_ERROR
        events, report = read({"resourceType": kind, "id": "1", "subject": {"reference": "Patient/p-1"}, name: said})
        assert not report.problems
        ((record,),) = events.values()
        assert ENTERED_IN_ERROR in (record.get("status"), record.get("verification_status"))


DELETE = {
    "request": {"method": "DELETE", "url": "Observation/panel"},
    "response": {"lastModified": "2024-08-01T00:00:00Z"},
}


def history(*entries: Resource) -> Resource:
    return {"resourceType": "Bundle", "type": "history", "entry": [*entries]}


def test_a_deletion_withdraws_what_was_sent_before_in_this_file_or_in_another(memory: Memory) -> None:
    resource = panel({"2093-3": 180, "2339-0": 90}, 1)
    assert shown(read(history(DELETE, {"resource": resource}))[0]) == {}
    first = read(resource, memory)[0]
    events, report = read(history(DELETE), memory)
    assert not report.problems
    assert shown(first, events) == {}


def test_a_deletion_of_what_nobody_knows_is_a_problem_and_one_of_no_event_is_none() -> None:
    events, report = read(history(DELETE))
    assert not events
    assert "neither this file nor what was sent before" in problems(report)[0]
    patient = {"request": {"method": "DELETE", "url": "Patient/p-1"}}
    assert "person.withdrawal" in problems(read(history(patient))[1])[0]
    visit = {"fullUrl": "https://h.example/fhir/Encounter/1", "request": {"method": "DELETE", "url": "Encounter/1"}}
    assert read(history(visit))[1].left_out == {"deletion of Encounter": 1}


@pytest.mark.parametrize("delete", [DELETE, {"request": DELETE["request"]}])
def test_what_was_written_again_after_its_deletion_stays(delete: Resource) -> None:
    again = panel({"2093-3": 200}, 1) | {"meta": {"lastUpdated": "2024-09-01T00:00:00Z"}}
    events = read(history({"resource": again}, delete, {"resource": panel({"2093-3": 180}, 1)}))[0]
    assert shown(events) == {"2093-3": 200.0}


def test_a_pressure_of_two_observations_is_withdrawn_by_either(memory: Memory) -> None:
    one = observation("s", "8480-6", "vital-signs", valueQuantity=amount(122, "mm[Hg]"))
    other = observation("d", "8462-4", "vital-signs", valueQuantity=amount(81, "mm[Hg]"))
    (pressure,) = read(bundle(one, other), memory)[0]["clinical.blood_pressure"]
    read(bundle(one, other), memory)
    for wrong in (one, other):
        events, _ = read(wrong | {"status": ENTERED_IN_ERROR}, memory)
        assert [each["event_id"] for each in events["clinical.blood_pressure"]] == [pressure["event_id"]]


def test_the_cases_of_corrections_and_deletions_end_as_they_should(memory: Memory, shared_cases: Path) -> None:
    def case(name: str) -> Any:
        return json.loads((shared_cases / "files" / f"{name}.json").read_text())

    files = [read(case(f"corrected_panel_{number}"), memory)[0] for number in (1, 2)]
    assert shown(*({"labs": each["clinical.lab_result"]} for each in files)) == {"2571-8": 90.0, "2085-9": 55.0}
    ninth = observation("9", valueQuantity=amount(13, "g/dL"))
    first = read(history({"fullUrl": "https://h/Observation/9", "resource": ninth}), memory)[0]
    events, report = read(case("7_delete"), memory)
    assert not report.problems
    assert shown(first, events) == {}


def test_files_that_are_published_one_after_the_other_remember_one_another(tmp_path: Path) -> None:
    sent: list[Record] = []

    class Kept(DryRun):
        def publish(self, event: Any, rows: Any, withheld: Any = None) -> int:
            sent.extend(rows)
            return super().publish(event, rows, withheld)

    for day, values in ((1, {"2093-3": 180.0, "2571-8": 90.0}), (3, {"2571-8": 95.0})):
        path = tmp_path / f"{day}.json"
        path.write_text(json.dumps(panel(values, day)))
        with memory_at(tmp_path / "records.sqlite") as memory:
            publish_files([path], Source("h", b"k", memory=memory), Kept(CATALOGUE, 100_000))
    assert shown({"all": sent}) == {"2571-8": 95.0}


# -- the memory itself


TRACES = st.frozensets(
    st.builds(Trace, st.sampled_from(["clinical.glucose"]), st.text("0af", max_size=2), st.integers(0, 9))
)


@given(st.integers(-(2**40), 2**40), TRACES, TRACES)
def test_what_is_kept_outlives_the_process(tmp_path_factory: Any, version: int, now: Any, gone: Any) -> None:
    path = tmp_path_factory.mktemp("memory") / "records.sqlite"
    past = Past(version, now, now | gone, "hospital/one", "P-1")
    with memory_at(path) as memory:
        memory.note(b"1", past)
        memory.keep()
        memory.note(b"2", past)
    with memory_at(path) as memory:
        assert memory.recall(b"1") == past
        assert memory.recall(b"2") is None


def test_a_dry_run_sees_what_was_kept_and_keeps_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state" / "records.sqlite"
    past = Past(1, frozenset(), frozenset(), "hospital/one", "P-1")
    with memory_at(path, keeps=False) as memory:
        memory.note(b"1", past)
    assert not path.parent.exists()
    with memory_at(path) as memory:
        memory.note(b"1", past)
        memory.keep()
    assert path.stat().st_mode & 0o777 == 0o600
    with memory_at(path, keeps=False) as memory:
        assert isinstance(memory, OnDisk)
        assert memory.recall(b"1") == past
        memory.note(b"2", past)
        memory.keep()
    with memory_at(path) as memory:
        assert memory.recall(b"2") is None


def test_a_memory_that_is_none_is_said_by_name(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    path.write_bytes(b"no database" * 400)
    with pytest.raises(SourceError, match=r"Cannot use .*records\.sqlite"), memory_at(path):
        pass


def test_what_two_processes_note_of_one_record_at_once_is_kept_of_the_first_only(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    one, other = (Past(at, frozenset(), frozenset(), "hospital/one", "P-1") for at in (1, 2))
    with memory_at(path) as first, memory_at(path) as second:
        second.ahead([b"1", b"2"])
        first.note(b"1", one)
        first.keep()
        second.note(b"2", other)
        second.keep()  # of another record
        assert second.recall(b"1") == one
        second.ahead([b"3"])
        first.note(b"3", one)
        first.keep()
        second.note(b"3", other)
        with pytest.raises(SourceError, match="Publish these files again"):
            second.keep()
        assert first.recall(b"3") == one


def test_a_note_made_from_a_stale_look_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    past = Past(1, frozenset(), frozenset(), "hospital/one", "P-1")
    with memory_at(path) as first, memory_at(path) as second:
        second.ahead([b"1"])
        first.note(b"1", past)
        first.keep()
        second.note(b"1", past)
        with pytest.raises(SourceError):
            second.keep()


@given(st.lists(st.tuples(st.sampled_from(["ahead", "note", "recall", "keep"]), st.integers(0, 5)), max_size=30))
def test_a_memory_on_disk_says_what_one_that_knows_all_says(tmp_path_factory: Any, steps: Any) -> None:
    known = OfOneFile()
    with memory_at(tmp_path_factory.mktemp("memory") / "records.sqlite") as memory:
        for version, (step, number) in enumerate(steps):
            key = bytes([number])
            if step == "ahead":
                memory.ahead([key, bytes([number + 1])])
            elif step == "keep":
                memory.keep()
            elif step == "note":
                past = Past(version, frozenset(), frozenset(), "hospital/one", "P-1")
                memory.note(key, past)
                known.note(key, past)
            assert memory.recall(key) == known.recall(key)
