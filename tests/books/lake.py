"""A lake in a folder, of one event type, and a vault that decides what it is told to."""

import polars as pl
from deltalake import DeltaTable

from biokeel.books.follower import Follower
from biokeel.books.places import Teller
from biokeel.books.state import State
from biokeel.books.tables import Tables
from biokeel.contracts.topics import event_type
from biokeel.land.lake import Lake
from biokeel.vault.decisions import DECIDED, Decided

GLUCOSE = event_type("clinical.glucose")
COLUMNS = {
    Teller.CURATED: {"withheld": pl.String},
    Teller.QUARANTINE: {
        "reason": pl.String,
        "failed_rules": pl.List(pl.String),
        "suite_version": pl.String,
        "withheld": pl.String,
    },
    Teller.HISTORY: {"why": pl.String},
}


class FakeVault:
    """Decisions as a list; each is (source, partition, first, last, place, reason)."""

    def __init__(self):
        self.decided = []
        self.generation = 1
        self.heard = []

    def decide(self, *decisions):
        self.decided += decisions

    def restore(self, length):
        """Go back to an older backup."""
        del self.decided[length:]
        self.generation += 1

    def _frame(self, some):
        return pl.DataFrame([(str(GLUCOSE), *each) for each in some], schema=DECIDED, orient="row")

    def since(self, number, mark, up_to=None):
        if number >= 0 and (number >= len(self.decided) or mark != self.generation):
            return None
        last = len(self.decided) - 1 if up_to is None else up_to
        if last == -1:
            return Decided(self._frame([]), -1, 0)
        return Decided(self._frame(self.decided[number + 1 : last + 1]), last, self.generation)

    def clients(self):
        return self.heard

    def whole(self):
        lies = {}
        for source, partition, first, last, place, reason in self.decided:
            lies |= {(source, partition, offset): (place, reason) for offset in range(first, last + 1)}
        rows = [
            (source, partition, offset, offset, *what)
            for (source, partition, offset), what in lies.items()
            if what[0] != "released"
        ]
        number = len(self.decided) - 1
        return Decided(self._frame(rows), number, self.generation if number >= 0 else 0)


class LocalLake:
    def __init__(self, folder):
        self.lake = Lake.local(folder)
        self.vault = FakeVault()

    def uri(self, teller):
        return getattr(self.lake, teller.value)(GLUCOSE)

    def table(self, teller):
        return DeltaTable(self.uri(teller))

    def land(self, teller, offsets, source="hospital-a", partition=0, stream="raw", raw=None, recorded_at=None, **told):
        offsets = list(offsets)
        rows = pl.DataFrame(
            {
                "source_id": source,
                "first_partition": partition,
                "first_offset": offsets,
                "stream": stream,
                "recorded_at": pl.repeat(recorded_at, len(offsets), dtype=pl.Datetime("ms", "UTC"), eager=True),
                "raw_partition": partition,
                "raw_offset": offsets if raw is None else raw,
                **{
                    name: pl.repeat(told.get(name), len(offsets), dtype=kind, eager=True)
                    for name, kind in COLUMNS[teller].items()
                },
            },
            schema_overrides={"first_partition": pl.Int32, "first_offset": pl.Int64, "raw_partition": pl.Int32},
        )
        rows.write_delta(self.uri(teller), mode="append")

    def delete(self, teller, predicate):
        self.table(teller).delete(predicate)

    def follower(self, state=None):
        return Follower(Tables(self.lake), self.vault, state or State(), (GLUCOSE,))

    def anew(self):
        """The state as it is when all is read."""
        follower = self.follower()
        for teller in COLUMNS:
            list(follower._whole(GLUCOSE, teller))
        follower.look()
        return follower.state
