"""Canaries: what real files say about people must not be found anywhere outside the vault zone.

Every assertion counts canaries and names where one was found, never the canary itself.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
import polars as pl
import pytest

from biokeel.console.books import Bookkeeper
from biokeel.contracts.blocks import read_block
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.signatures import PublicKeys
from biokeel.contracts.topics import LANDED_EVENTS, Domain
from biokeel.engine.peek import newest
from biokeel.land.lake import Lake
from biokeel.land.maintenance import refresh_participants
from biokeel.land.reading import scan
from biokeel.link.participants import from_snapshots
from biokeel.source.client import Publisher
from biokeel.source.enrol import CONSENT_WORDS, Enroller
from biokeel.source.files import Source, find_files, publish_files
from biokeel.source.ids import source_key
from biokeel.stack.stack import Stack
from biokeel.stack.users import User
from tests.block_bytes import memory

pytestmark = pytest.mark.integration

FOLDERS = ("clinical/fhir-r4-synthea-bundles", "lifestyle/fitbit-33-users", "genome/ga4gh-wgs-qc")
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
def published(shared_data: Path, tmp_path_factory: pytest.TempPathFactory):
    """A stack in which the real files have landed, with the books."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIOKEEL_FLUSH_SECONDS", "1")
        with Stack.start(tmp_path_factory.mktemp("canary"), workers=1, console=True) as stack:
            settings = stack.settings(User.SOURCE)
            source = Source("canary", source_key(stack.state_dir / "source.key"))
            with Publisher(settings, DirectoryCatalogue(settings.schemas_dir)) as publisher:
                for folder in FOLDERS:
                    publish_files(find_files([shared_data / folder]), source, publisher, Enroller(CONSENT_WORDS))
            bookkeeper, deadline = Bookkeeper.of(stack.state_dir), time.monotonic() + PATIENCE
            books = bookkeeper.look()
            while not books.balanced and time.monotonic() < deadline:
                books = bookkeeper.look()
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
    yield "console", httpx.get(f"http://127.0.0.1:{stack.console_port}/").text


def test_real_files_of_all_three_domains_land_and_the_books_balance(published) -> None:
    _, books = published
    assert books.balanced, books.as_json()
    landed = {event.event.domain for event in books.events if event.places and event.places.get("curated")}
    assert landed >= {Domain.GENOME, Domain.CLINICAL, Domain.LIFESTYLE}


def test_nothing_that_real_files_say_about_who_people_are_is_found_outside_the_vault_zone(published, canaries) -> None:
    stack, _ = published
    read, found = 0, []
    for where, text in texts_outside_the_vault(stack):
        read += len(text)
        found += [where] * any(canary in text for canary in canaries)
    assert read > 1_000_000
    assert not found, sorted(set(found))


def test_the_same_search_finds_them_in_the_raw_topics_of_the_vault_zone(published, canaries) -> None:
    stack, _ = published
    messages = newest(stack.settings(User.VAULT), "raw.person.enrolment", 100_000)
    raw = b"\n".join(message.value for message in messages).decode("utf-8", errors="replace")
    assert sum(canary in raw for canary in canaries) > 100
