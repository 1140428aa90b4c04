"""The whole way on the real parts: raw events in, tables out, and every coordinate in exactly one place."""

import polars as pl
import pytest

from biokeel.books.bookkeeper import Bookkeeper
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.topics import Zone
from biokeel.demo import ENROLMENT, demo_corpus
from biokeel.demo.defects import Verdict
from biokeel.demo.programme import Publishers, institutions, write_register
from biokeel.land.lake import Lake
from biokeel.rules.beside_seen import Seen
from biokeel.stack.stack import Stack
from biokeel.vault.event_ids import EventIdCipher
from biokeel.vault.keys import load_key_file
from tests.event_types import LANDED_EVENTS
from tests.stack.stack_helpers import balanced, until

pytestmark = pytest.mark.integration

PEOPLE = 60


@pytest.fixture(scope="module")
def landed(tmp_path_factory):
    """A corpus with known defects after its whole way: the corpus, the books before and after the late enrolments."""
    corpus = demo_corpus(PEOPLE, seed=20, defects=0.1)
    with pytest.MonkeyPatch.context() as patch:
        register = tmp_path_factory.mktemp("register")
        write_register(register)
        patch.setenv("BIOKEEL_SOURCES_DIR", str(register))
        patch.setenv("BIOKEEL_FLUSH_SECONDS", "1")
        patch.setenv("BIOKEEL_WINDOWS_WORKER", "true")
        with Stack.start(tmp_path_factory.mktemp("end-to-end"), workers=1) as stack:
            catalogue = DirectoryCatalogue(stack.settings(Zone.VAULT).schemas_dir)
            bookkeeper = Bookkeeper.of(stack.state_dir)
            with Publishers({source.id: stack.source(source.id) for source in institutions()}, catalogue) as publishers:
                for event, frame in ((ENROLMENT, corpus.enrolments), *corpus.events.items()):
                    publishers.publish(event, frame)
                for broken in corpus.raw_defects(publishers.codec):
                    publishers.publish_raw(corpus.sender(broken.event), broken.event, [broken.value])
                publishers.flush()
                before = balanced(bookkeeper, lambda books: books.total("raw") > 0)
                late = publishers.publish(ENROLMENT, corpus.late_enrolments)
                publishers.flush()
            expected = corpus.labels.filter(verdict=str(Verdict.PARKED)).height
            after = balanced(
                bookkeeper,
                lambda books: books.total("raw") == before.total("raw") + late and books.total("parked") == expected,
            )
            keys = load_key_file(stack.state_dir / "vault" / "vault.keys")
            labels = corpus.labels.filter(pl.col("verdict").is_in([Verdict.CURATED, Verdict.QUARANTINED]))
            rows = labels.with_columns(EventIdCipher(keys.event_ids).hide(labels["event_id"]))
            yield corpus, before, after, Lake.of(stack.settings(Zone.RESEARCH)), rows


def total(corpus, verdict):
    return corpus.labels.filter(verdict=str(verdict)).height


def test_the_books_balance_while_people_are_still_unknown_and_after_they_enrolled(landed):
    _, before, after, *_ = landed
    assert before.balanced, before.as_json()
    assert after.balanced, after.as_json()


def test_events_of_unknown_people_wait_and_are_released_when_the_people_enrol(landed):
    corpus, before, after, *_ = landed
    waiting = corpus.labels.filter("waits").height
    assert waiting > 0
    assert before.total("parked") == waiting + total(corpus, Verdict.PARKED)
    assert after.total("parked") == total(corpus, Verdict.PARKED)


def test_every_event_ends_where_its_defect_says(landed):
    corpus, _, after, *_ = landed
    found = {verdict: after.total(str(verdict)) for verdict in Verdict}
    expected = {verdict: total(corpus, verdict) for verdict in Verdict}
    expected[Verdict.SEALED] += corpus.broken
    assert found == expected


def test_the_tables_hold_the_very_events_that_the_corpus_says(landed):
    *_, lake, labels = landed
    for event in LANDED_EVENTS:
        for verdict, uri in ((Verdict.CURATED, lake.curated(event)), (Verdict.QUARANTINED, lake.quarantine(event))):
            rows = pl.read_delta(uri, storage_options=lake.options)
            wanted = labels.filter(event=str(event), verdict=str(verdict))["event_id"]
            assert rows["event_id"].sort().to_list() == wanted.sort().to_list(), (event, verdict)


def test_the_worker_beside_the_stream_says_what_it_has_seen(landed):
    *_, lake, _ = landed
    until(lambda: Seen.read(lake.objects) is not None, 60, "the worker beside the stream has looked")
