"""A made-up programme: Korean-shaped participants, years of events, known defects, and what must become of each.

`demo_corpus(people, seed, defects)` makes the same corpus for the same arguments.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import orjson
import polars as pl

from biokeel.contracts.codec import Codec
from biokeel.contracts.topics import EventType, event_type
from biokeel.demo.defects import LABEL_COLUMNS, NOBODY, RawDefect, Verdict, broken, inject
from biokeel.demo.events import ids, make_events
from biokeel.demo.people import enrolments, make_people
from biokeel.demo.programme import DEMO
from biokeel.errors import SourceError
from biokeel.reasons import Reason

ENROLMENT: Final = event_type("person.enrolment")
NEVER_SHARE: Final = 0.2
LIMITED_SHARE: Final = 0.15
RAW_SHARE: Final = 0.1
"""How the share of defects is spent: people never enrolled, people without consent to lifestyle, broken messages; the
rest are defects in rows."""

__all__ = ["SOURCES", "DemoCorpus", "RawDefect", "Verdict", "demo_corpus"]


@dataclass(frozen=True, slots=True)
class DemoCorpus:
    """All of it: frames with the columns of the schemas, and a label for each event that can be decoded.

    `labels`: `event`, `event_id`, `verdict` (`Verdict`), `reason` (`Reason` or null), `defect` (its name or null),
    `waits` (Boolean: the event is parked first, until the late enrolment arrives).
    """

    enrolments: pl.DataFrame
    late_enrolments: pl.DataFrame
    events: Mapping[EventType, pl.DataFrame]
    labels: pl.DataFrame
    broken: int

    def raw_defects(self, codec: Codec) -> list[RawDefect]:
        """Messages that are broken in their bytes: truncated, with bytes left over, unknown schema id, empty ..."""
        return broken(codec, dict(self.events), self.broken)

    def __len__(self) -> int:
        """Messages in all, person events and broken ones included."""
        return self.labels.height + self.broken

    def sender(self, event: EventType) -> str:
        """A source that sends events of this type."""
        sources = self.events[event]["source_id"]
        return str(sources.filter(sources != NOBODY)[0])

    def write(self, folder: Path, codec: Codec) -> list[Path]:
        """Write `files/` for `biokeel publish` (in the order of their names) and `labels.jsonl`; returns all paths.

        One source, `DEMO`, publishes all of it. Raises `SourceError` where the folder cannot be written.
        """
        files = folder / "files"
        try:
            files.mkdir(parents=True, exist_ok=True)
            paths = [_write(files / "1-enrolments.jsonl", {ENROLMENT: self.enrolments})]
            sources = {name for frame in self.events.values() for name in frame["source_id"].unique()}
            for source in sorted(sources - {NOBODY}):
                of_source = {event: frame.filter(source_id=source) for event, frame in self.events.items()}
                paths.append(_write(files / f"2-{source}.jsonl", of_source))
            paths.append(_write_broken(files / "3-broken.jsonl", [*self.raw_defects(codec), *self._borrowed(codec)]))
            paths.append(_write(files / "4-late-enrolments.jsonl", {ENROLMENT: self.late_enrolments}))
            self.labels.write_ndjson(folder / "labels.jsonl")
        except OSError as error:
            raise SourceError(f"Cannot write to {folder}: {error.strerror or type(error).__name__}.") from None
        return [*paths, folder / "labels.jsonl"]

    def _borrowed(self, codec: Codec) -> Iterator[RawDefect]:
        """Events in another source's name, as messages: `biokeel publish` makes none of them."""
        for event, frame in self.events.items():
            for datum in codec.encode(event, frame.filter(source_id=NOBODY)).to_pylist():
                yield RawDefect(event, datum, "a_borrowed_name", Reason.NOT_ITS_OWN)


def demo_corpus(people: int, seed: int, defects: float = 0.02) -> DemoCorpus:
    """A corpus of `people` participants with about 100 events each, a share `defects` (0 to 0.5) of them defective."""
    rng = np.random.default_rng(seed)
    never = math.ceil(defects * NEVER_SHARE * people)
    limited = math.ceil(defects * LIMITED_SHARE * people)
    them = make_people(rng, people, never, limited)
    made = make_events(rng, them)
    total = sum(frame.height for frame in made.values())
    in_rows = math.ceil(total * defects * (1 - NEVER_SHARE - LIMITED_SHARE - RAW_SHARE))
    events, labels = inject(rng, made, them, in_rows)
    first = enrolments(on_time := them.filter(~pl.col("late") & ~pl.col("never")), ids(rng, on_time.height))
    late = enrolments(them.filter("late"), ids(rng, int(them["late"].sum())))
    return DemoCorpus(
        first,
        late,
        events,
        pl.concat([_applied(first), _applied(late), labels]),
        math.ceil(total * defects * RAW_SHARE),
    )


def _applied(frame: pl.DataFrame) -> pl.DataFrame:
    nothing = pl.lit(None, pl.String)
    return frame.select(
        pl.lit(str(ENROLMENT)).alias("event"),
        "event_id",
        pl.lit(str(Verdict.APPLIED)).alias("verdict"),
        nothing.alias("reason"),
        nothing.alias("defect"),
        pl.lit(value=False).alias("waits"),
    ).select(LABEL_COLUMNS)


def _write(path: Path, frames: Mapping[EventType, pl.DataFrame]) -> Path:
    """Ready records: times and dates as the integers of Avro."""
    with path.open("wb") as file:
        for event, frame in frames.items():
            numbers = [
                pl.col(name).to_physical()
                for name, kind in frame.schema.items()
                if isinstance(kind, pl.Datetime | pl.Date)
            ]
            frame.with_columns(*numbers, source_id=pl.lit(DEMO)).select(
                pl.lit(str(event)).alias("event"), pl.all()
            ).write_ndjson(file)
    return path


def _write_broken(path: Path, messages: list[RawDefect]) -> Path:
    lines = [
        {"event": str(message.event), "raw_hex": (message.value or b"").hex(), "expect": message.reason.value}
        for message in messages
    ]
    path.write_bytes(b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines))
    return path
