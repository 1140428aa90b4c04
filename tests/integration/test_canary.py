"""Canaries: what real files say about people must not be found anywhere outside the vault zone.

Beside the files, names and numbers in all writings stand in every kept field of every event type, and as event ids.

Every assertion counts canaries and names where one was found, never the canary itself.
"""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import polars as pl
import pytest

from biokeel.admin.users import User
from biokeel.books.bookkeeper import Bookkeeper
from biokeel.contracts.blocks import read_block
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.columns import frame_schema
from biokeel.contracts.schema import EventSchema, load_schemas
from biokeel.contracts.signatures import PublicKeys
from biokeel.contracts.topics import Domain, event_type
from biokeel.demo import demo_corpus
from biokeel.engine.kafka.newest import newest
from biokeel.land.lake import Lake
from biokeel.land.maintenance import refresh_participants
from biokeel.land.reading import scan
from biokeel.link.participants import from_snapshots
from biokeel.source.client import Publisher
from biokeel.source.enrol import CONSENT_WORDS, Enroller
from biokeel.source.files import Source, find_files, publish_files
from biokeel.source.ids import source_key
from biokeel.stack.stack import Stack
from tests.block_bytes import memory
from tests.event_types import LANDED_EVENTS
from tests.stack.stack_helpers import balanced

pytestmark = pytest.mark.integration

FOLDERS = ("clinical/fhir-r4-synthea-bundles", "lifestyle/fitbit-33-users", "genome/ga4gh-wgs-qc")
SHORTEST_WRITING = 6
SHORTEST = 5
"""Canaries of fewer characters are found by chance in numbers and words."""
PATIENCE = 180.0


def patients(folder: Path) -> list[dict]:
    bundles = [json.loads(path.read_text(encoding="utf-8")) for path in folder.rglob("*.json")]
    resources = [entry["resource"] for bundle in bundles for entry in bundle.get("entry", ())]
    return [resource for resource in resources if resource["resourceType"] == "Patient"]


def canaries_of(patient: dict) -> set[str]:
    """Names, identifiers (SSN, licence, passport, record numbers), phone numbers, street addresses, the birth date."""
    names = [part for name in patient["name"] for part in (*name.get("given", ()), name["family"])]
    identifiers = [identifier["value"] for identifier in patient["identifier"]]
    contacts = [contact["value"] for contact in patient.get("telecom", ())]
    lines = [line for address in patient["address"] for line in address["line"]]
    return {patient["id"], patient["birthDate"], *names, *identifiers, *contacts, *lines}


@pytest.fixture(scope="module")
def canaries(shared_data: Path) -> set[str]:
    found = {text for patient in patients(shared_data / FOLDERS[0]) for text in canaries_of(patient)}
    for table in (shared_data / FOLDERS[1]).glob("*.csv"):
        found |= set(pl.read_csv(table, infer_schema=False)["Id"])
    found |= {path.name.split(".")[0] for path in (shared_data / FOLDERS[2]).rglob("*.metrics.json")}
    found = {text for text in found if len(text) >= SHORTEST}
    assert len(found) > 100
    return found


@pytest.fixture(scope="module")
def writings(shared_cases: Path) -> list[str | int]:
    """Texts and a number that stand for one made-up person."""
    lines = (shared_cases / "wall" / "writings.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def enrolment_of_nobody() -> dict:
    return {
        "event_id": "0" * 32,
        "source_id": "canary",
        "subject_scheme": "hospital/canary",
        "subject_id": "P-000001",
        "occurred_at": 1_700_000_000_000,
        "recorded_at": 1_700_000_000_000,
        "identifiers": [],
        "sex": "unknown",
        "consent_scope": list(CONSENT_WORDS),
        "consent_stated": True,
    }


def spoiled(schema: EventSchema, good: dict, writings: list[str | int]) -> pl.DataFrame:
    """Good events but for one thing each: a writing in a kept text field, a number in a kept number, an event id."""
    envelope = {"source_id": "canary", "subject_scheme": "hospital/canary", "subject_id": "P-000001"}
    texts = [{field.name: str(text)} for field in schema.kept() if field.is_text for text in writings]
    whole = [number for number in writings if isinstance(number, int)]
    longs = [{field.name: number} for field in schema.kept() if field.kind == "long" for number in whole]
    doubles = [
        {field.name: number / 10**places}
        for field in schema.kept()
        if field.kind == "double"
        for number in whole
        for places in (0, 3, 7, 11)
    ]
    ids = [{"event_id": text} for text in map(str, writings) if len(text) == 32]
    changes = [*texts, *longs, *doubles, *ids]
    rows = [good | envelope | {"event_id": f"{number:032x}"} | change for number, change in enumerate(changes)]
    return pl.DataFrame(rows, schema=frame_schema(schema.avro))


@pytest.fixture(scope="module")
def published(shared_data: Path, writings: list[str | int], tmp_path_factory: pytest.TempPathFactory):
    """A stack in which the real files have landed, and what was spoiled is wherever it went, with the books."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIOKEEL_FLUSH_SECONDS", "1")
        with Stack.start(tmp_path_factory.mktemp("canary"), workers=1, console=True) as stack:
            settings = stack.source("canary")
            source = Source("canary", source_key(stack.state_dir / "source.key"))
            with Publisher(settings, DirectoryCatalogue(settings.schemas_dir)) as publisher:
                for folder in FOLDERS:
                    publish_files(find_files([shared_data / folder]), source, publisher, Enroller(CONSENT_WORDS))
                publisher.publish(event_type("person.enrolment"), [enrolment_of_nobody()])
                for event, frame in demo_corpus(80, 3, 0.0).events.items():
                    schema, good = (
                        load_schemas(settings.schemas_dir)[event],
                        frame.drop("person", strict=False).row(0, named=True),
                    )
                    publisher.publish(event, spoiled(schema, good, writings))
            books = balanced(Bookkeeper.of(stack.state_dir), lambda _: True, PATIENCE)
            refresh_participants(Lake.of(stack.settings(User.RESEARCH)), from_snapshots)
            yield stack, books


def texts_outside_the_vault(stack: Stack):
    """(where, text) of everything that a person or a program outside the vault zone can read."""
    lake = Lake.of(stack.settings(User.RESEARCH))
    keys = PublicKeys.of_setting(stack.settings(User.OPERATOR).block_public_keys)
    for event in LANDED_EVENTS:
        for message in newest(stack.settings(User.OPERATOR), event.pseudo_topic, 100_000):
            frame = read_block(event, message.partition, message.value, message.headers, keys).frame
            yield event.pseudo_topic, frame.write_ndjson()
            yield f"bytes of {event.pseudo_topic}", memory(message.value).decode("utf-8", errors="replace")
            yield f"headers of {event.pseudo_topic}", repr(message.headers)
        for uri in (lake.curated(event), lake.quarantine(event)):
            yield uri, scan(uri, lake).collect().write_ndjson()
    yield lake.participants, scan(lake.participants, lake).collect().write_ndjson()
    for path in (stack.state_dir / "objects" / "data").rglob("*"):
        yield "names of objects", str(path)
        if path.is_file():
            # Delta logs and snapshots as they lie there; Parquet is compressed, its rows were read above.
            yield f"object {path.name}", path.read_bytes().decode("latin-1")
    for path in (stack.state_dir / "logs").iterdir():
        yield f"log {path.name}", path.read_text(encoding="utf-8", errors="replace")
    for path in (stack.state_dir / "run").glob("*.json"):
        run = path.read_text(encoding="utf-8")
        yield f"run file {path.name}", run
        yield "metrics", httpx.get(f"http://127.0.0.1:{json.loads(run)['port']}/metrics").text
    yield "console", httpx.get(stack.state.console_address, follow_redirects=True).raise_for_status().text


@pytest.fixture(scope="module")
def outside(published) -> list[tuple[str, str]]:
    """(where, text) of all that can be read outside of the vault zone once everything is in its place."""
    return list(texts_outside_the_vault(published[0]))


def test_real_files_of_all_three_domains_land_and_the_books_balance(published) -> None:
    _, books = published
    assert books.balanced, books.as_json()
    landed = {event.event.domain for event in books.events if event.figures()["curated"]}
    assert landed >= {Domain.GENOME, Domain.CLINICAL, Domain.LIFESTYLE}


def test_nothing_that_real_files_say_about_who_people_are_is_found_outside_the_vault_zone(outside, canaries) -> None:
    read, found = 0, []
    for where, text in outside:
        read += len(text)
        found += [where] * any(canary in text for canary in canaries)
    assert read > 1_000_000
    assert not found, sorted(set(found))


def test_the_same_search_finds_them_in_the_raw_topics_of_the_vault_zone(published, canaries) -> None:
    stack, _ = published
    messages = newest(stack.settings(User.VAULT), "raw.canary.person.enrolment", 100_000)
    raw = b"\n".join(message.value for message in messages).decode("utf-8", errors="replace")
    assert sum(canary in raw for canary in canaries) > 100


def test_no_writing_of_a_name_or_a_number_is_found_outside_the_vault_zone_whatever_field_it_stood_in(
    outside, writings
) -> None:
    wanted = [text for text in map(str, writings) if len(text) >= SHORTEST_WRITING]
    wanted += [json.dumps(text)[1:-1] for text in wanted]
    found = {where for where, text in outside if any(each in text for each in wanted)}
    assert not found, sorted(found)


def test_what_was_withheld_is_named_counted_and_judged(published, outside) -> None:
    stack, _ = published
    lake = Lake.of(stack.settings(User.RESEARCH))
    rows = scan(lake.quarantine(event_type("clinical.glucose")), lake).filter(source_id="canary").collect()
    withheld = rows.filter(pl.col("withheld") == "status")
    assert withheld.height > 10
    assert withheld["status"].null_count() == withheld.height
    assert withheld["failed_rules"].list.contains("glucose.status.withheld").all()
    metrics = "".join(text for where, text in outside if where == "metrics")
    assert 'biokeel_withheld_total{event="clinical.glucose",field="status",source="canary"' in metrics
