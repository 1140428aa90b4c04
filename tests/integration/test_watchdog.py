"""A worker that hangs is ended by its watchdog, which says why; it comes back, and nothing is lost."""

import os
import signal

import pytest

from biokeel.books.bookkeeper import Bookkeeper
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.topics import Zone
from biokeel.source.client import Publisher
from biokeel.stack.stack import Stack
from biokeel.testing.events import SOURCE
from tests.faults.traffic import ENROLMENT, LATE, PRESSURE, enrolments, pressures
from tests.stack.stack_helpers import until

pytestmark = [pytest.mark.integration, pytest.mark.long]

ROWS = 300


@pytest.fixture
def said():
    return []


@pytest.fixture
def stack(tmp_path, monkeypatch, said):
    """A stack with a worker of each kind, whose watchdog is impatient."""
    monkeypatch.setenv("BIOKEEL_STUCK_SECONDS", "4")
    monkeypatch.setenv("BIOKEEL_FLUSH_SECONDS", "1")
    with Stack.start(tmp_path, workers=1, say=said.append) as running:
        yield running


def test_a_worker_that_hangs_at_the_store_ends_for_that_and_comes_back_and_lands_everything(stack, said):
    settings = stack.settings(Zone.VAULT)
    catalogue = DirectoryCatalogue(settings.schemas_dir)
    bookkeeper = Bookkeeper.of(stack.state_dir)

    def sent(tag):
        rows = pressures(catalogue.reader(PRESSURE).schema, tag, ROWS, late=1.0)
        with Publisher(stack.source(SOURCE), catalogue) as publisher:
            return publisher.publish(ENROLMENT, enrolments(tag, range(LATE))) + publisher.publish(PRESSURE, rows)

    def all_in_place(total):
        def look():
            books = bookkeeper.look()
            return books.total("raw") == total and books.balanced and not books.total("parked")

        return look

    first = sent("before")
    until(all_in_place(first), 90, "a stack that is well lands everything")
    store = stack.pid("objectstore")
    os.kill(store, signal.SIGSTOP)
    try:
        second = sent("meanwhile")
        log = stack.state_dir / "logs" / "curate-1.log"
        until(lambda: "Worker ends: Stuck: Offsets have not moved for" in log.read_text("utf-8"), 60, "the watchdog")
        until(lambda: any("curate-1" in each for each in said), 30, "the supervisor says so")
    finally:
        os.kill(store, signal.SIGCONT)
    until(all_in_place(first + second), 120, "everything lands when the store answers again")
    assert not [each for each in said if "pseudonymise-1" in each], "it has nothing to do with the store"
