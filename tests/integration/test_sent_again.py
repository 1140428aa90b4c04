"""A source sends files again, corrects and takes back: on the real parts, one row each, and books that balance."""

import json
import os
import subprocess
import sys
import time

import pytest

from biokeel.books.balance import Place
from biokeel.books.bookkeeper import Bookkeeper
from biokeel.contracts.topics import Zone, event_type
from biokeel.land.lake import Lake
from biokeel.land.reading import scan
from biokeel.stack.stack import Stack
from biokeel.testing.crash import VARIABLE
from tests.source.fhir_made import amount, bundle, component, concept, observation

pytestmark = [pytest.mark.integration, pytest.mark.long]

GLUCOSE = event_type("clinical.glucose")
SLEEP = event_type("lifestyle.sleep")
LAB, DIAGNOSIS = event_type("clinical.lab_result"), event_type("clinical.diagnosis")
COUNT = 40
HOUR = 3_600_000
RECORDED = 1_700_000_000_000


def glucose(number, value=5.4, hours=0, status="final"):
    """One measurement, in the version that was recorded so many hours after the first."""
    return {
        "event": "clinical.glucose",
        "key": f"g-{number}",
        "subject_scheme": "hospital/a",
        "subject_id": f"number-{number % 7}",
        "occurred_at": RECORDED - HOUR,
        "recorded_at": RECORDED + hours * HOUR,
        "code": "14749-6",
        "value": value,
        "value_unit": "mmol/L",
        "status": status,
    }


def sleep(number, hours=0, status=None):
    return {
        "event": "lifestyle.sleep",
        "key": f"s-{number}",
        "subject_scheme": "hospital/a",
        "subject_id": f"number-{number % 7}",
        "occurred_at": RECORDED - 9 * HOUR,
        "recorded_at": RECORDED + hours * HOUR,
        "minutes_asleep": 400.0,
        "status": status,
    }


class Source:
    """A stack of its own, and what a source and an operator do with it."""

    def __init__(self, stack, folder):
        self.stack, self.folder = stack, folder
        self.books = Bookkeeper.of(stack.state_dir)
        self.lake = Lake.of(stack.settings(Zone.RESEARCH))

    def command(self, *arguments, **more):
        kept = "BIOKEEL_SOURCES_DIR"
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("BIOKEEL_") or name == kept
        }
        environment |= {"BIOKEEL_STATE_DIR": str(self.stack.state_dir), **more}
        environment["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, sys.path))
        command = [sys.executable, "-m", "biokeel", *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=120)

    def publish(self, records, name="file.jsonl"):
        """Publish a file and wait until it has landed; the books then."""
        path = self.folder / name
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        consented = ("--enrol", "--consent", "clinical,lifestyle")
        done = self.command("publish", str(path), "--source-id", "demo-one", *consented)
        assert done.returncode == 0, done.stderr
        return self.balanced()

    def publish_fhir(self, document, name):
        path = self.folder / name
        path.write_text(json.dumps(document))
        consented = ("--enrol", "--consent", "clinical,lifestyle")
        done = self.command("publish", str(path), "--source-id", "demo-one", "--site", "a", *consented)
        assert done.returncode == 0, done.stdout + done.stderr
        return self.balanced()

    def balanced(self):
        deadline = time.monotonic() + 120
        while not (books := self.books.look()).balanced and time.monotonic() < deadline:
            time.sleep(1)
        assert books.balanced, books.as_json()
        return books

    def curated(self, event=GLUCOSE):
        return scan(self.lake.curated(event), self.lake).collect()

    def history(self):
        return scan(self.lake.history(GLUCOSE), self.lake).collect()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIOKEEL_FLUSH_SECONDS", "1")
        with Stack.start(tmp_path_factory.mktemp("sent-again"), workers=1) as stack:
            yield Source(stack, tmp_path_factory.mktemp("files"))


def of(books, place, event=GLUCOSE):
    return next(each for each in books.events if each.event == event).sums.places[place]


def test_what_a_source_sends_again_corrects_and_takes_back(source):
    records = [*(glucose(number) for number in range(COUNT)), *(sleep(number) for number in range(4))]

    # Half a file, then the whole, then the whole once more.
    source.publish(records[: COUNT // 2])
    source.publish(records)
    books = source.publish(records)
    assert of(books, Place.CURATED) == COUNT
    assert of(books, Place.REPEATED) == COUNT + COUNT // 2
    assert of(books, Place.QUARANTINED) == 0
    assert source.curated()["event_id"].n_unique() == source.curated().height == COUNT

    # A correction is a row until it is tidied; a withdrawal never is one.
    books = source.publish([glucose(0, value=6.1, hours=1), glucose(1, hours=1, status="entered-in-error")])
    assert (of(books, Place.CURATED), of(books, Place.WITHDRAWN)) == (COUNT + 1, 1)
    books = source.publish([sleep(0, hours=1, status="entered-in-error")])
    assert of(books, Place.WITHDRAWN, SLEEP) == 1

    # The operator's tidy dies between the two tables: nothing is lost or doubled, and the next one ends it.
    died = source.command("lake", "tidy", **{VARIABLE: "tidy.appended"})
    assert died.returncode == -9, died.stderr
    assert source.history().height == 2
    assert source.balanced().balanced
    done = source.command("lake", "tidy")
    assert done.returncode == 0, done.stderr
    assert source.history().select("why", "value").sort("why").rows() == [("superseded", 5.4), ("withdrawn", 5.4)]
    books = source.balanced()
    places = (Place.CURATED, Place.REPEATED, Place.SUPERSEDED, Place.WITHDRAWN)
    assert [of(books, place) for place in places] == [COUNT - 1, COUNT + COUNT // 2, 1, 2]
    assert source.curated().filter(value=6.1).height == 1
    assert source.curated(SLEEP).height == 3

    # An old export once more brings back nothing for good.
    source.publish(records)
    assert source.command("lake", "tidy").returncode == 0
    assert source.balanced().balanced
    assert source.curated().height == COUNT - 1
    assert source.curated().filter(value=6.1).height == 1
    assert source.curated(SLEEP).height == 3


def panel(*components, issued="2024-05-01T10:00:00+09:00"):
    return observation("panel", "24331-1", component=list(components), issued=issued)


def test_what_a_fhir_server_corrects_and_deletes_is_gone_from_tables_and_from_the_person_s_view(source):
    condition = {
        "resourceType": "Condition",
        "id": "c-1",
        "subject": {"reference": "Patient/p-1"},
        "code": concept("E11.9", "http://hl7.org/fhir/sid/icd-10"),
        "recordedDate": "2024-05-01T10:00:00+09:00",
        "onsetDateTime": "2024-05-01",
        "verificationStatus": concept("confirmed", "http://terminology.hl7.org/CodeSystem/condition-ver-status"),
    }
    first = panel(component("2093-3", 180, "mg/dL"), component("2571-8", 90, "mg/dL"), component("2085-9", 50, "mg/dL"))
    single = observation("single", valueQuantity=amount(13.1, "g/dL"))
    books = source.publish_fhir(bundle(first, single, condition), "first.json")
    assert (of(books, Place.CURATED, LAB), of(books, Place.CURATED, DIAGNOSIS)) == (4, 1)

    # A panel with one component less and another value; an error; and a deletion that names nothing but a URL.
    later = "2024-06-01T10:00:00+09:00"
    corrected = panel(component("2093-3", 180, "mg/dL"), component("2085-9", 55, "mg/dL"), issued=later)
    error = concept("entered-in-error", "http://terminology.hl7.org/CodeSystem/condition-ver-status")
    source.publish_fhir(
        bundle(corrected, condition | {"verificationStatus": error, "recordedDate": later}), "corrected.json"
    )
    gone = {"request": {"method": "DELETE", "url": "Observation/single"}, "response": {"lastModified": later}}
    history = {"resourceType": "Bundle", "type": "history", "entry": [gone]}
    source.publish_fhir(history, "deleted.json")

    assert source.command("lake", "tidy").returncode == 0
    assert source.balanced().balanced
    rows = source.curated(LAB)
    assert sorted(rows.select("code", "value").rows()) == [("2085-9", 55.0), ("2093-3", 180.0)]
    assert source.curated(DIAGNOSIS).is_empty()
    (participant,) = rows["participant_id"].unique()
    shown = source.command("participant", "show", participant, "--json")
    events = json.loads(shown.stdout)["events"]
    assert sorted(each["fields"]["value"] for each in events if each["event"] == str(LAB)) == [55.0, 180.0]
    assert not [each for each in events if each["event"] == str(DIAGNOSIS)]
