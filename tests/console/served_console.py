"""Serves the console for the browser test: real workers' metrics servers, and books over real Delta tables.

Arguments: a folder, and the token that opens it. Two workers with growing figures run inside this process, the way
real ones do in theirs; the tables are Delta tables in the folder, which grow too. Only Kafka's watermarks and the vault
are made up.
"""

import random
import sys
import threading
import time
from pathlib import Path

import polars as pl

from biokeel.books.bookkeeper import LANDED_COLUMNS, Bookkeeper, LandedRows, no_rows
from biokeel.console.page import serve
from biokeel.contracts.topics import PERSON_EVENTS, event_type
from biokeel.observe.metrics import Edge, WorkerMetrics
from biokeel.reasons import Reason
from tests.event_types import EVENTS, LANDED_EVENTS

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


def rows(start, stop):
    return pl.DataFrame(
        {
            "first_partition": pl.repeat(0, stop - start, dtype=pl.Int32, eager=True),
            "first_offset": pl.arange(start, stop, eager=True),
            "stream": pl.repeat("raw", stop - start, eager=True),
        },
        schema=LANDED_COLUMNS,
    )


def write_tables():
    for event in LANDED_EVENTS:
        curated, quarantined, _, _ = shares(event)
        rows(0, curated).write_delta(FOLDER / "curated" / str(event))
        rows(curated, quarantined).write_delta(FOLDER / "quarantine" / str(event))


def landed(event):
    if event.is_person:
        return no_rows()
    return LandedRows(
        *(
            pl.read_delta(str(FOLDER / kind / str(event)), columns=list(LANDED_COLUMNS))
            for kind in ("curated", "quarantine")
        ),
        no_rows().beside,
    )


def vault(event, partition):
    _, quarantined, parked, applied = shares(event)
    raw = RAW[event]
    if event.is_person:
        places = [("applied", 0, applied), ("sealed", applied, raw)]
    else:
        places = [("parked", quarantined, parked), ("sealed", parked, raw)]
    return pl.concat(
        pl.DataFrame({"offset": pl.arange(start, stop, eager=True)}).with_columns(place=pl.lit(place))
        for place, start, stop in places
    )


def bookkeeper():
    return Bookkeeper(
        lambda: {event: {0: (0, RAW[event])} for event in EVENTS}, landed, vault, lambda: {GLUCOSE: 4_120}
    )


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
            for partition in range(4):
                wall.lag(event, partition, max(round(dice.gauss(4_000, 3_000)), 0) if n % 3 else 0, 0.4 if n % 3 else 0)
                curate.lag(event, partition, dice.randrange(6) if n % 3 else 0, 1.2 if n % 3 else 0)
        time.sleep(0.1)


if __name__ == "__main__":
    write_tables()
    wall, curate = WorkerMetrics("pseudonymise"), WorkerMetrics("curate")
    with wall.serve(FOLDER), curate.serve(FOLDER):
        threading.Thread(target=work, args=(wall, curate), daemon=True).start()
        serve(FOLDER, bookkeeper, 0, lambda url: print(url, flush=True), token=TOKEN)
