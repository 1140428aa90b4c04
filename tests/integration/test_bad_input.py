"""Bad input of every kind on the real parts: a reason each, neighbours unharmed, nothing lost, nothing told.

Every identifier sent here is made up. Where one is searched for, an assertion names the place, never the identifier.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path

import confluent_kafka
import httpx
import polars as pl
import pytest

from biokeel.admin.users import User
from biokeel.batch import RawPartition
from biokeel.books.bookkeeper import Bookkeeper
from biokeel.contracts.blocks import read_block
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.framing import frame
from biokeel.contracts.schema import load_schemas
from biokeel.contracts.signatures import PublicKeys
from biokeel.contracts.topics import event_type
from biokeel.engine.kafka.newest import newest
from biokeel.land.lake import Lake
from biokeel.land.reading import scan
from biokeel.observe.runfiles import running
from biokeel.reasons import Reason
from biokeel.settings import PROJECT_ROOT
from biokeel.source.client import Publisher
from biokeel.source.columns import conform
from biokeel.stack.stack import Stack
from biokeel.vault.store import Vault
from tests import commands
from tests.event_types import EVENTS
from tests.stack.stack_helpers import balanced

pytestmark = pytest.mark.integration

PRESSURE, GLUCOSE = event_type("clinical.blood_pressure"), event_type("clinical.glucose")
ENROLMENT = event_type("person.enrolment")
SCHEMAS = load_schemas(PROJECT_ROOT / "schemas")
PATIENCE = 120.0
SENT = 21
NOON = dt.datetime(2024, 5, 2, 3, tzinfo=dt.UTC)
SUBJECT, NAME, PHONE = "MRN-77310042", "Gildong Hongbird", "010-7731-0042"
NATIONAL, EMAIL = "8503152773104", "gildong.hongbird@mail.example"
SECRETS = (SUBJECT, NAME, "Hongbird", PHONE, "01077310042", NATIONAL, "850315-2773104", EMAIL)


def enrolment(**more) -> dict:
    return {
        "event_id": f"{1:032x}",
        "source_id": "hospital-one",
        "subject_scheme": "hospital/one",
        "subject_id": SUBJECT,
        "occurred_at": NOON,
        "occurred_offset_minutes": 540,
        "recorded_at": NOON,
        "identifiers": [{"scheme": "KR_RRN", "value": NATIONAL}],
        "name": NAME,
        "phone": PHONE,
        "email": EMAIL,
        "sex": "female",
        "birth_date": dt.date(1985, 3, 15),
        "consent_scope": ["genome", "clinical", "lifestyle"],
        **more,
    }


def glucose(number: int, **more) -> dict:
    return {
        "event_id": f"{number:032x}",
        "source_id": "hospital-one",
        "subject_scheme": "hospital/one",
        "subject_id": SUBJECT,
        "occurred_at": NOON + dt.timedelta(minutes=number),
        "occurred_offset_minutes": 540,
        "recorded_at": NOON + dt.timedelta(days=1),
        "code": "2339-0",
        "value": 98.0,
        "value_unit": "mg/dL",
        "status": "final",
        **more,
    }


def pressure(number: int, systolic: float) -> dict:
    measured = {"panel_code": "85354-9", "systolic": systolic, "diastolic": 80.0}
    kept = {name: value for name, value in glucose(number).items() if not name.startswith(("code", "value"))}
    return kept | measured


def encoded(publisher: Publisher, event, rows: list[dict]) -> list[bytes]:
    schema = SCHEMAS[event]
    return publisher.codec.encode(event, conform(schema, pl.DataFrame(rows))).to_pylist()


def foreign(settings, value: bytes) -> None:
    """What a client that is not ours may send: a key and headers that name the person."""
    producer = confluent_kafka.Producer({**settings.kafka_client(), "client.id": "foreign"})
    headers = [("patient", NAME.encode()), (NATIONAL, PHONE.encode())]
    producer.produce(GLUCOSE.raw_topic("hospital-one"), value, key=NATIONAL.encode(), partition=0, headers=headers)
    assert producer.flush(30) == 0


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIOKEEL_FLUSH_SECONDS", "1")
        with Stack.start(tmp_path_factory.mktemp("bad-input"), workers=1, console=True) as stack:
            yield stack


@pytest.fixture(scope="module")
def sent(stack):
    """Every kind of bad message between good ones, and where each lies: what was sent, the books."""
    settings = stack.source("hospital-one")
    catalogue = DirectoryCatalogue(settings.schemas_dir)
    with Publisher(settings, catalogue) as publisher:
        publisher.publish_raw(ENROLMENT, encoded(publisher, ENROLMENT, [enrolment()]))
        rows = [glucose(number) for number in range(10, 22)]
        rows[8]["occurred_at"] = dt.datetime(1800, 6, 1, tzinfo=dt.UTC)
        rows[9]["occurred_at"] = dt.datetime(2190, 6, 1, tzinfo=dt.UTC)
        rows[10]["code"] = f"see {NATIONAL}"
        rows[11]["event_id"] = NATIONAL
        rows[7]["status"] = SUBJECT
        good = encoded(publisher, GLUCOSE, rows)
        of_another_event = encoded(publisher, PRESSURE, [pressure(30, 120.0)])[0]
        messages: list[tuple[bytes | None, Reason | None]] = [
            (good[0], None),
            (good[1][:-7], Reason.MALFORMED),
            (good[2], None),
            (frame(99_999_999) + good[3][5:], Reason.UNKNOWN_SCHEMA),
            (good[4] + NATIONAL.encode(), Reason.TRAILING_BYTES),
            (b"", Reason.EMPTY),
            (None, Reason.EMPTY),
            (NATIONAL.encode() * ((10 << 20) // len(NATIONAL)), Reason.TOO_LARGE),
            (f"{NAME},{PHONE}".encode(), Reason.NOT_FRAMED),
            (of_another_event, Reason.WRONG_SUBJECT),
            (good[8], Reason.TIME_RANGE),
            (good[9], Reason.TIME_RANGE),
            (good[10], Reason.LEAK),
            (good[11], Reason.ENVELOPE),
            (good[7], Reason.LEAK),
            (good[5], None),
        ]
        offsets = publisher.publish_raw(GLUCOSE, [value for value, _ in messages])
        pressures = encoded(publisher, PRESSURE, [pressure(40, 120.0), pressure(41, 900.0), pressure(42, 118.0)])
        publisher.publish_raw(PRESSURE, pressures)
    foreign(settings, good[6])
    expected = dict(zip(offsets, (reason for _, reason in messages), strict=True))
    books = balanced(Bookkeeper.of(stack.state_dir), lambda books: books.total("raw") == SENT, PATIENCE)
    return expected, books


def table(stack: Stack, event, quarantined: bool = False) -> pl.DataFrame:
    lake = Lake.of(stack.settings(User.RESEARCH))
    return scan(lake.quarantine(event) if quarantined else lake.curated(event), lake).collect()


def test_nothing_is_lost_and_nothing_doubled(sent):
    _, books = sent
    assert books.balanced, books.as_json()
    assert books.total("raw") == SENT


def test_every_bad_message_is_sealed_for_its_own_reason(stack, sent):
    expected, _ = sent
    vault = Vault.open(stack.settings(User.VAULT))
    sealed = vault.books(GLUCOSE, RawPartition("hospital-one", 0))
    vault.close()
    found = dict(sealed.filter(place="sealed").select("offset", "reason").iter_rows())
    assert found == {offset: str(reason) for offset, reason in expected.items() if reason is not None}


def test_the_neighbours_of_bad_messages_land(stack, sent):
    expected, _ = sent
    good = [offset for offset, reason in expected.items() if reason is None]
    assert table(stack, GLUCOSE)["first_offset"].sort().to_list() == [*good, max(expected) + 1]


def test_an_impossible_blood_pressure_is_quarantined_with_its_rule_and_its_neighbours_land(stack, sent):
    assert table(stack, PRESSURE)["first_offset"].sort().to_list() == [0, 2]
    row = table(stack, PRESSURE, quarantined=True).row(0, named=True)
    assert (row["first_offset"], row["reason"]) == (1, str(Reason.RULE))
    assert "systolic" in str(row["failed_rules"])


def test_a_message_of_a_foreign_client_lands_without_its_key_and_headers(stack, sent):
    expected, _ = sent
    assert table(stack, GLUCOSE).filter(first_offset=max(expected) + 1).height == 1
    messages = list(passed_on(stack))
    assert messages
    assert {message.key() for message in messages} == {None}
    assert all(name.startswith("biokeel") for message in messages for name, _ in message.headers())


def passed_on(stack: Stack):
    """Every message of the pseudo topic, as Kafka has it."""
    client = stack.settings(User.OPERATOR).kafka_client()
    consumer = confluent_kafka.Consumer({**client, "group.id": "none", "enable.auto.commit": False})
    for partition in consumer.list_topics(GLUCOSE.pseudo_topic, timeout=30).topics[GLUCOSE.pseudo_topic].partitions:
        at = confluent_kafka.TopicPartition(GLUCOSE.pseudo_topic, partition, 0)
        _, end = consumer.get_watermark_offsets(at, timeout=30)
        consumer.assign([at])
        yield from consumer.consume(end, timeout=30) if end else ()
    consumer.close()


def places_outside_the_vault(stack: Stack):
    """(where, bytes) of all that can be read without the vault's settings, and of the vault's own files."""
    lake = Lake.of(stack.settings(User.RESEARCH))
    keys = PublicKeys.of_setting(stack.settings(User.OPERATOR).block_public_keys)
    for event in (PRESSURE, GLUCOSE):
        for message in newest(stack.settings(User.OPERATOR), event.pseudo_topic, 1_000):
            frame_ = read_block(event, message.partition, message.value, message.headers, keys).frame
            yield event.pseudo_topic, frame_.write_ndjson().encode() + repr(message.headers).encode()
    for uri in (lake.curated(GLUCOSE), lake.curated(PRESSURE), lake.quarantine(PRESSURE)):
        yield uri, scan(uri, lake).collect().write_ndjson().encode()
    for folder in ("objects/data", "logs", "run", "stack", "vault"):
        for path in (stack.state_dir / folder).rglob("*"):
            yield "a name", str(path).encode()
            if path.is_file():
                yield str(path.relative_to(stack.state_dir)), path.read_bytes()
    for run in running(stack.state_dir):
        yield f"metrics of {run.worker}", httpx.get(f"{run.url}/metrics").content
    yield "console", httpx.get(stack.state.console_address, follow_redirects=True).raise_for_status().content


def biokeel(stack: Stack, *arguments: str) -> tuple[int, bytes, bytes]:
    """Exit status, output and errors of a command, as an operator of this stack would run it."""
    register = os.environ["BIOKEEL_SOURCES_DIR"]
    own = {"BIOKEEL_STATE_DIR": str(stack.state_dir), "BIOKEEL_SOURCES_DIR": register, "COLUMNS": "200"}
    done = commands.biokeel(*arguments, given=commands.environment(**own))
    return done.returncode, done.stdout.encode(), done.stderr.encode()


COMMANDS = (
    ("status", "--json"),
    ("verify", "--json"),
    ("vault", "status"),
    ("topic", "cat", "pseudo.clinical.glucose"),
    ("topic", "cat", "raw.hospital-one.clinical.glucose", "--limit", "100"),
    ("topic", "cat", "raw.hospital-one.person.enrolment"),
)


@pytest.fixture(scope="module")
def shown(stack, sent):
    """What an operator's commands end with and print."""
    return {command: biokeel(stack, *command) for command in COMMANDS}


def held(content: bytes) -> bool:
    return any(secret.encode() in content for secret in SECRETS)


def test_no_identifier_is_found_in_any_place_outside_the_vault_nor_in_its_files(stack, sent):
    read, found = 0, set()
    for where, content in places_outside_the_vault(stack):
        read += len(content)
        found |= {where} if held(content) else set()
    assert read > 100_000
    assert not found, sorted(found)


def test_the_same_search_finds_them_in_the_raw_topics(stack, sent):
    for event in (ENROLMENT, GLUCOSE):
        messages = newest(stack.settings(User.VAULT), event.raw_topic("hospital-one"), 100)
        assert held(b"".join(message.value or b"" for message in messages)), event


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_that_looks_at_the_damage_ends_well_and_shows_no_identifier(shown, command):
    code, out, errors = shown[command]
    assert (code, errors) == (0, b"")
    assert not held(out)


def test_an_operator_sees_why_events_were_sealed(shown):
    assert b"wire.too_large" in shown["topic", "cat", "raw.hospital-one.clinical.glucose", "--limit", "100"][1]
    assert b"privacy.leak" in shown["vault", "status"][1]
    assert json.loads(shown["verify", "--json"][1])["balanced"]


def environment_of(stack: Stack, name: str) -> dict[str, str]:
    text = Path(f"/proc/{stack.pid(name)}/environ").read_bytes().decode()
    return dict(line.split("=", 1) for line in text.split("\0") if "=" in line)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="/proc is Linux's")
@pytest.mark.parametrize("name", ["curate-1", "console", "kafka", "objectstore"])
def test_no_process_outside_the_vault_zone_is_given_the_vaults_settings(stack, sent, name):
    vault = environment_of(stack, "pseudonymise-1")
    assert vault["BIOKEEL_KAFKA_USERNAME"] == "vault"
    theirs = environment_of(stack, name)
    assert not any(variable.startswith("BIOKEEL_VAULT_") for variable in theirs)
    secret = (vault["BIOKEEL_KAFKA_PASSWORD"], vault["BIOKEEL_VAULT_URL"], vault["BIOKEEL_VAULT_KEY_FILE"])
    assert not any(value in secret for value in theirs.values())


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="/proc is Linux's")
def test_no_command_line_which_everybody_on_the_machine_may_see_holds_a_credential(stack, sent):
    credentials = [*(pair.secret for pair in stack.state.key_pairs.values()), *stack.state.passwords.values()]
    credentials.append(stack.state.console_token)
    for name in ("pseudonymise-1", "curate-1", "console", "kafka", "objectstore"):
        command = Path(f"/proc/{stack.pid(name)}/cmdline").read_bytes().decode()
        assert [place for place, value in enumerate(credentials) if value in command] == [], name


def test_only_their_owner_may_read_settings_keys_and_the_vaults_database(stack, sent):
    private = [*stack.state_dir.glob("*.env"), stack.state_dir / "stack" / "state.json"]
    private += (stack.state_dir / "vault").iterdir()
    assert len(private) >= 7
    assert {path.name for path in private if path.stat().st_mode & 0o077} == set()
    folders = ("vault", "kafka", "logs", "stack", "objects", "run")
    assert {name for name in folders if (stack.state_dir / name).stat().st_mode & 0o077} == set()


BAD_FILES = {
    "no.json": (b"{ " + NAME.encode(), "is not JSON: line 1, column 3"),
    "untyped.json": (
        json.dumps({"resourceType": "Bundle", "entry": [{"resource": {"id": SUBJECT}}]}).encode(),
        "is a FHIR bundle without a type",
    ),
    "nothing.json": (b"", "is empty"),
    "picture.png": (b"\x89PNG\r\n\x1a\n\x00\x00" + PHONE.encode(), "looks like a picture (PNG)"),
    "table.csv": (f"name,phone\n{NAME},{PHONE}\n".encode(), "is text of no known format"),
}


@pytest.fixture
def bundle(tmp_path) -> Path:
    """A good file for beside the bad ones."""
    patient = {
        "resourceType": "Patient",
        "id": SUBJECT,
        "name": [{"family": "Hongbird", "given": ["Gildong"]}],
        "gender": "female",
        "birthDate": "1985-03-15",
    }
    path = tmp_path / "good.json"
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient}]}))
    return path


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_used_is_refused_with_its_reason_beside_a_good_one(stack, sent, tmp_path, bundle, name):
    content, reason = BAD_FILES[name]
    (tmp_path / name).write_bytes(content)
    code, out, errors = biokeel(stack, "publish", str(tmp_path), "--source-id", "hospital-one", "--dry-run")
    said = " ".join((out + errors).decode().split())
    assert code == 1
    assert reason in said
    assert "person.enrolment 1" in said.replace("│", "").replace("  ", " ")
    assert [where for where, secret in enumerate(SECRETS) if secret in said] == []


def test_a_folder_without_anything_gives_no_events_and_says_so(stack, sent, tmp_path):
    code, out, errors = biokeel(stack, "publish", str(tmp_path), "--source-id", "hospital-one", "--dry-run")
    assert code == 1
    assert b"There is no file in what was named." in out + errors


def test_a_path_that_is_not_there_is_refused_in_one_sentence(stack, sent, tmp_path):
    code, _, errors = biokeel(stack, "publish", str(tmp_path / "gone"), "--source-id", "hospital-one", "--dry-run")
    assert code == 1
    assert errors.startswith(b"biokeel: There is no file or folder")
    assert b"Traceback" not in errors


def test_all_raw_topics_are_closed_to_the_research_user(stack, sent):
    from biokeel.errors import TransportError

    for event in EVENTS:
        with pytest.raises(TransportError):
            newest(stack.settings(User.RESEARCH), event.raw_topic("hospital-one"), 1)
