"""Serves the console for the browser test: real workers' metrics servers, and made-up books.

Arguments: a folder, and the token that opens it. Two workers with growing figures run inside this process, the way
real ones do in theirs.
"""

import random
import sys
import threading
import time
from pathlib import Path

from biokeel.batch import RawPartition
from biokeel.books.alarms import Alarm
from biokeel.books.balance import Balancer, Books, Seen
from biokeel.books.intervals import Bag, Intervals
from biokeel.books.places import Label, Place, Teller
from biokeel.books.published import Published
from biokeel.books.state import Part, PartState, State
from biokeel.console.page import serve
from biokeel.contracts.topics import PERSON_EVENTS, event_type
from biokeel.observe.metrics import Edge, WorkerMetrics
from biokeel.reasons import Reason
from biokeel.rulebook.shown import ShownVersion
from biokeel.rules.beside_seen import Seen as Beside
from tests.event_types import EVENTS

FOLDER, TOKEN = Path(sys.argv[1]), sys.argv[2]
GLUCOSE = event_type("clinical.glucose")
RAW = {event: (60_000 if event in PERSON_EVENTS else 1_250_000 // (1 + n)) for n, event in enumerate(EVENTS)}
PARKED, SEALED, QUARANTINED = 0.01, 0.002, 0.03


def shares(event):
    """Offsets [0, a) curated, [a, b) quarantined, [b, c) parked, [c, raw) sealed; person events applied or sealed."""
    raw = RAW[event]
    sealed = raw - round(raw * SEALED)
    if event.is_person:
        return 0, 0, 0, sealed
    parked = sealed - round(raw * PARKED)
    return parked - round(raw * QUARANTINED), parked, sealed, raw


def span(first, end):
    return Bag.once(Intervals.span(first, end))


def seen():
    state = State()
    for event in EVENTS:
        curated, quarantined, parked, raw = shares(event)
        labels = {
            Label(Teller.CURATED, Place.CURATED, "raw"): span(0, curated),
            Label(Teller.QUARANTINE, Place.QUARANTINED, "raw"): span(curated, quarantined),
            Label(Teller.VAULT, Place.PARKED): span(quarantined, parked),
            Label(Teller.VAULT, Place.SEALED): span(parked, raw),
        }
        if event.is_person:
            labels = {
                Label(Teller.VAULT, Place.APPLIED): span(0, raw),
                Label(Teller.VAULT, Place.SEALED): span(raw, RAW[event]),
            }
        state.parts[Part("demo", str(event), 0)] = PartState(labels)
    marks = {event: {RawPartition("demo", 0): (0, RAW[event])} for event in EVENTS}
    books = Books.of(Balancer().balance(state, marks), Seen(time.time()))
    return Published(books, (Alarm("demo", "silent", "demo has sent nothing for 2 hours: ask its contact."),))


def work(wall, curate):
    dice = random.Random(11)
    for event in EVENTS:
        wall.rejected(event, Reason.MALFORMED, round(RAW[event] * SEALED))
        wall.rejected(event, Reason.NOT_ENROLLED, 0 if event.is_person else round(RAW[event] * PARKED))
        if not event.is_person:
            curate.rejected(event, Reason.RULE, round(RAW[event] * QUARANTINED))
            curate.table_version(event, "curated", 41)
            curate.table_version(event, "quarantine", 17)
    wall.rejected(GLUCOSE, Reason.LEAK, 3)
    wall.withheld(GLUCOSE, "hospital-a", "status", 12)
    turn = 0
    while True:
        turn += 1
        for n, event in enumerate(EVENTS):
            batch = round(dice.gauss(9_000, 1_500) / (1 + n) * (1.5 if turn % 40 < 20 else 1))
            wall.passed(event, Edge.READ_RAW, batch)
            if event.is_person:
                wall.passed(event, Edge.APPLIED, batch)
                continue
            wall.passed(event, Edge.PSEUDONYMISED, round(batch * 0.985))
            wall.passed(event, Edge.PARKED, round(batch * PARKED))
            wall.passed(event, Edge.RELEASED, round(batch * 0.005))
            wall.passed(event, Edge.SEALED, round(batch * SEALED))
            curate.passed(event, Edge.READ_PSEUDO, round(batch * 0.985))
            curate.passed(event, Edge.CURATED, round(batch * 0.95))
            curate.passed(event, Edge.QUARANTINED, round(batch * QUARANTINED))
            for partition in range(4 if n % 3 else 0):
                waiting = max(round(dice.gauss(4_000, 3_000)), 0)
                wall.lag(event, (event.raw_topic("demo"), partition), waiting, 0.4)
                curate.lag(event, (event.pseudo_topic, partition), dice.randrange(6), 1.2)
        time.sleep(0.1)


class Rules:
    """Two suites: one was edited and has a later version that does not hold, of the other nothing is in force."""

    def look(self):
        edited = ShownVersion(
            "3+0f12ab34cd56", "anna", "bora", "2026-11-30T12:00:00+00:00", "rules/x/000004.json <b>is junk"
        )
        return {GLUCOSE: edited, event_type("lifestyle.diet"): ShownVersion(fault="nothing holds")}


def counted():
    """What rules about many rows find: one that a window does not meet."""
    return Beside(time.time(), ("bp.mean of clinical.glucose is not met <b>by 7 rows",))


if __name__ == "__main__":
    wall, curate = WorkerMetrics("pseudonymise"), WorkerMetrics("curate")
    with wall.serve(FOLDER), curate.serve(FOLDER):
        threading.Thread(target=work, args=(wall, curate), daemon=True).start()
        serve(FOLDER, seen, Rules(), counted, port=0, announce=lambda url: print(url, flush=True), token=TOKEN)
