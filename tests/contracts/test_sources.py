"""The register of sources: what a file may say, what it grants, and how running workers follow it."""

from __future__ import annotations

import logging
import os
import tomllib
from hashlib import sha256
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from biokeel.contracts.sources import (
    LOOK_SECONDS,
    FollowedRegister,
    Quota,
    Register,
    Source,
    file_of,
    read,
    shared_schemes,
    written,
)
from biokeel.contracts.topics import PERSON_EVENTS, event_type
from biokeel.errors import ContractError
from biokeel.settings import PROJECT_ROOT
from biokeel.source.schemes import Schemes
from tests.event_types import EVENTS, LANDED_EVENTS

GOOD = {
    "id": "hospital-a",
    "name": "Hospital A",
    "contact": "data-office@hospital-a.example",
    "events": ["clinical.*", "person.enrolment"],
    "schemes": ["KR_RRN", "hospital/seoul-1"],
    "time_zone": "Asia/Seoul",
    "cadence_seconds": 3600,
    "partitions": 4,
}

domains = sorted({event.domain for event in LANDED_EVENTS})
lines = st.from_regex(r"\A[^\s\x00-\x1f\x7f-\x9f]([ -~가-힣]{0,40}[!-~가-힣])?\Z").filter(
    lambda text: text.isprintable() and text == text.strip()
)
sources = st.builds(
    Source,
    id=st.from_regex(r"\A[a-z0-9][a-z0-9-]{0,39}\Z"),
    name=lines,
    contact=lines,
    events=st.lists(
        st.sampled_from([*map(str, EVENTS), *(f"{domain}.*" for domain in domains)]), min_size=1, max_size=9
    ).map(tuple),
    schemes=st.lists(
        st.from_regex(r"\A(KR_RRN|KR_FRN|(hospital|sample|app)/[a-z0-9][a-z0-9.-]{0,47})\Z"), min_size=1, max_size=5
    ).map(tuple),
    time_zone=st.sampled_from(["Asia/Seoul", "UTC", "Europe/Berlin"]),
    cadence_seconds=st.integers(1, 10**9),
    partitions=st.integers(1, 1024),
    software=st.lists(st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._+-]{0,63}\Z"), max_size=3).map(tuple),
    quota=st.builds(Quota, produce_bytes_per_second=st.integers(1, 10**12), request_percentage=st.integers(1, 10**4)),
)


def source(**changes: object) -> Source:
    return Source.model_validate(GOOD | changes)


def put(folder: Path, content: dict[str, object], name: str | None = None) -> Path:
    path = folder / (name or f"{content['id']}.toml")
    path.write_text(tomli_w.dumps(content), encoding="utf-8")
    return path


def faults(folder: Path, **changes: object) -> list[str]:
    put(folder, {key: value for key, value in (GOOD | changes).items() if value is not None}, "hospital-a.toml")
    return [str(fault) for fault in read(folder, EVENTS)[1]]


def test_the_shipped_register_is_good_and_no_two_of_its_sources_share_a_scheme() -> None:
    register = Register.load(PROJECT_ROOT / "sources")
    assert list(register) == ["app-a", "centre-a", "demo", "hospital-a"]
    assert not shared_schemes(register)


@given(sources)
def test_what_is_written_is_read_back_the_same(each: Source) -> None:
    assert Source.model_validate(tomllib.loads(written(each))) == each


def test_a_source_may_send_what_its_file_names_and_whole_domains_by_a_star() -> None:
    ours = source(events=["clinical.*", "person.enrolment", "genome.qc_metrics"])
    allowed = {str(event) for event in EVENTS if ours.may_send(event)}
    clinical = {str(event) for event in EVENTS if event.domain == "clinical"}
    assert allowed == clinical | {"person.enrolment", "genome.qc_metrics"}


@given(sources)
def test_a_person_event_is_granted_by_its_own_name_only(each: Source) -> None:
    assert {event for event in PERSON_EVENTS if each.may_send(event)} == {
        event for event in PERSON_EVENTS if str(event) in each.events
    }


def test_a_source_may_speak_of_its_schemes_and_of_its_own_servers_only() -> None:
    ours = source(schemes=["KR_RRN", "hospital/seoul-1", "app/seoul-9"])
    digest = sha256(b"https://emr.example").hexdigest()[:16]
    assert all(map(ours.may_speak_of, ["KR_RRN", "hospital/seoul-1", f"hospital/seoul-1.{digest}", "app/seoul-9"]))
    others = [
        "KR_FRN",
        "hospital/seoul-2",
        f"hospital/seoul-2.{digest}",
        "hospital/seoul-11",
        f"hospital/seoul-11.{digest}",
        "hospital/seoul-1.emr",
        f"hospital/seoul-1.{digest[:-1]}",
        f"hospital/seoul-1.{digest.upper()}",
        f"hospital/seoul-1.{digest}.{digest}",
        f"app/seoul-9.{digest}",
        f"KR_RRN.{digest}",
        "sample/seoul-1",
        "",
    ]
    assert not [scheme for scheme in others if ours.may_speak_of(scheme)]


@given(st.from_regex(r"\A[a-z0-9][a-z0-9.-]{0,47}\Z"), st.from_regex(r"\Ahttps://[a-z]{1,9}\.example\Z"))
def test_every_scheme_that_the_sdk_derives_for_a_site_is_covered_by_the_sites_grant(site: str, server: str) -> None:
    derived = Schemes().of_server(server, site)
    assert source(schemes=[f"hospital/{site}"]).may_speak_of(derived)


@pytest.mark.parametrize(
    ("changes", "field", "remedy"),
    [
        ({"id": "hospital/a"}, "id", "1 to 40"),
        ({"id": "hospital.a"}, "id", "1 to 40"),
        ({"id": "-a"}, "id", "1 to 40"),
        ({"name": ""}, "name", "one line"),
        ({"name": " a"}, "name", "one line"),
        ({"contact": "  "}, "contact", "one line"),
        ({"contact": "a\tb"}, "contact", "one line"),
        ({"contact": None}, "contact", "where the institution's data office"),
        ({"events": []}, "events", "at least one"),
        ({"events": ["person.*"]}, "events[0]", "person events each by name"),
        ({"events": ["clinical.*", "*"]}, "events[1]", "<domain>.<event>"),
        ({"events": ["clinical.nose"]}, "events[0]", "schema list"),
        ({"events": ["dental.*"]}, "events[0]", "schema list"),
        ({"events": "clinical.*"}, "events", "<domain>.<event>"),
        ({"schemes": []}, "schemes", "at least one"),
        ({"schemes": ["KR_RRN", "hospital/A"]}, "schemes[1]", "hospital/<site>"),
        ({"schemes": ["hospital/*"]}, "schemes[0]", "hospital/<site>"),
        ({"time_zone": "Asia/Soul"}, "time_zone", "IANA"),
        ({"time_zone": "Asia"}, "time_zone", "IANA"),
        ({"time_zone": "../zoneinfo/UTC"}, "time_zone", "IANA"),
        ({"time_zone": ""}, "time_zone", "IANA"),
        ({"cadence_seconds": 0}, "cadence_seconds", "above 0"),
        ({"cadence_seconds": "3600"}, "cadence_seconds", "above 0"),
        ({"partitions": -1}, "partitions", "1 to 1024"),
        ({"partitions": 4.5}, "partitions", "1 to 1024"),
        ({"partitions": True}, "partitions", "1 to 1024"),
        ({"software": ["bio/keel"]}, "software[0]", "client software"),
        ({"quota": {"produce_bytes_per_second": 0}}, "quota.produce_bytes_per_second", "above 0"),
        ({"quota": {"request_percentage": -1}}, "quota.request_percentage", "above 0"),
        ({"quota": {"bytes": 1}}, "quota.bytes", "there are produce_bytes_per_second, request_percentage"),
        ({"event": ["clinical.*"]}, "event", "there are id, name"),
    ],
)
def test_every_fault_is_named_with_file_and_field_and_what_to_do(
    tmp_path: Path, changes: dict[str, object], field: str, remedy: str
) -> None:
    assert [
        fault for fault in faults(tmp_path, **changes) if f"hospital-a.toml, {field}: " in fault and remedy in fault
    ]


def test_all_faults_of_all_files_are_named_at_once_and_the_good_sources_are_read(tmp_path: Path) -> None:
    put(tmp_path, GOOD)
    put(tmp_path, GOOD | {"id": "b", "events": ["clinical.nose"], "name": ""})
    put(tmp_path, GOOD | {"id": "c"}, "d.toml")
    (tmp_path / "e.toml").write_text("id = 'e\n")
    (tmp_path / "f.toml").write_bytes(b"id = '\xff'")
    found, wrong = read(tmp_path, EVENTS)
    assert [each.id for each in found] == ["hospital-a"]
    told = [fault.where.rpartition("/")[2] for fault in wrong]
    assert told == ["b.toml, name", "b.toml, events[0]", "d.toml, id", "e.toml", "f.toml"]
    with pytest.raises(ContractError) as caught:
        Register.load(tmp_path, EVENTS)
    assert all(str(fault) in str(caught.value) for fault in wrong)


def test_no_fault_repeats_what_a_field_holds(tmp_path: Path) -> None:
    number = "900101-1234567"
    fields = {key: number for key in GOOD if key not in ("id", "events", "schemes")}
    told = faults(tmp_path, **fields | {"events": [number], "schemes": [number], "quota": number})
    assert told
    assert number not in " ".join(told)
    (tmp_path / "hospital-a.toml").write_text(f"id = {number}x\n")
    assert number not in " ".join(map(str, read(tmp_path)[1]))


def test_a_missing_folder_says_which_setting_names_it(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="BIOKEEL_SOURCES_DIR"):
        Register.load(tmp_path / "nowhere")


def test_what_editors_and_people_leave_beside_the_files_is_not_read(tmp_path: Path) -> None:
    put(tmp_path, GOOD)
    for name in (".#hospital-a.toml", ".hospital-a.toml.swp", "README.md", "hospital-a.toml~"):
        (tmp_path / name).write_text("no TOML at all")
    assert list(Register.load(tmp_path)) == ["hospital-a"]


def test_event_types_that_are_not_known_yet_become_known_by_the_argument(tmp_path: Path) -> None:
    put(tmp_path, GOOD | {"events": ["clinical.glucose"]})
    assert Register.load(tmp_path, [event_type("clinical.glucose")])
    with pytest.raises(ContractError, match=r"no event type clinical\.glucose"):
        Register.load(tmp_path, [event_type("clinical.diagnosis")])


def test_a_scheme_of_one_place_in_two_sources_hands_is_told_and_a_registration_number_is_not() -> None:
    both = Register([source(), source(id="lab-a"), source(id="other", schemes=["KR_RRN"])])
    (sentence,) = shared_schemes(both)
    assert sentence.startswith("hospital/seoul-1 is granted to hospital-a and lab-a:")


def test_registers_of_the_same_sources_are_equal_and_in_the_order_of_ids() -> None:
    one, two = source(id="b"), source(id="a")
    assert Register([one, two]) == Register([two, one])
    assert list(Register([one, two])) == ["a", "b"]
    assert Register([one]) != Register([two])
    assert Register([one])["b"] is one


def test_every_id_fits_into_the_name_of_a_topic() -> None:
    longest_event = max(len(str(event)) for event in EVENTS)
    longest_id = "a" * 40
    assert source(id=longest_id)
    assert len(f"raw.{longest_id}.") + longest_event < 249  # Kafka's longest
    with pytest.raises(ValidationError):
        source(id=longest_id + "a")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def passes(self) -> None:
        self.now += LOOK_SECONDS


def test_a_running_worker_takes_up_a_new_source_a_changed_one_and_one_that_is_gone(tmp_path: Path) -> None:
    clock = Clock()
    path = put(tmp_path, GOOD)
    followed = FollowedRegister(tmp_path, clock=clock)
    first = followed.current()
    assert list(first) == ["hospital-a"]
    put(tmp_path, GOOD | {"id": "lab-a"})
    assert followed.current() is first  # it has looked a moment ago
    clock.passes()
    assert list(followed.current()) == ["hospital-a", "lab-a"]
    put(tmp_path, GOOD | {"id": "lab-a", "partitions": 9})
    clock.passes()
    assert followed.current()["lab-a"].partitions == 9
    path.unlink()
    clock.passes()
    assert list(followed.current()) == ["lab-a"]


def test_while_nothing_changes_no_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    put(tmp_path, GOOD)
    followed = FollowedRegister(tmp_path, clock=clock)
    first = followed.current()
    monkeypatch.setattr(Register, "load", lambda *_: pytest.fail("read anew"))
    for _ in range(5):
        clock.passes()
        assert followed.current() is first


def test_a_file_that_is_replaced_by_one_of_the_same_size_and_time_is_seen(tmp_path: Path) -> None:
    clock = Clock()
    path = put(tmp_path, GOOD)
    followed = FollowedRegister(tmp_path, clock=clock)
    before = path.stat()
    other = put(tmp_path, GOOD | {"partitions": 5}, ".new")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert other.stat().st_size == before.st_size
    other.replace(path)
    clock.passes()
    assert followed.current()["hospital-a"].partitions == 5


def test_a_broken_file_leaves_a_running_worker_its_last_good_register_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    path = put(tmp_path, GOOD)
    followed = FollowedRegister(tmp_path, clock=clock)
    path.write_text("broken")
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            clock.passes()
            assert list(followed.current()) == ["hospital-a"]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "hospital-a.toml" in record.getMessage()
    put(tmp_path, GOOD | {"partitions": 2})
    clock.passes()
    assert followed.current()["hospital-a"].partitions == 2


def test_a_folder_that_goes_away_leaves_the_last_good_register(tmp_path: Path) -> None:
    clock = Clock()
    folder = tmp_path / "sources"
    folder.mkdir()
    put(folder, GOOD)
    followed = FollowedRegister(folder, clock=clock)
    folder.rename(tmp_path / "away")
    clock.passes()
    assert list(followed.current()) == ["hospital-a"]
    (tmp_path / "away").rename(folder)
    clock.passes()
    assert list(followed.current()) == ["hospital-a"]


def test_at_a_start_a_broken_file_is_an_error(tmp_path: Path) -> None:
    put(tmp_path, GOOD | {"partitions": 0})
    with pytest.raises(ContractError, match=r"hospital-a\.toml, partitions"):
        FollowedRegister(tmp_path)


def test_a_file_lies_under_its_sources_id(tmp_path: Path) -> None:
    assert file_of(tmp_path, "hospital-a") == tmp_path / "hospital-a.toml"
