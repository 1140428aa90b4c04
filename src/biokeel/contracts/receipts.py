"""Receipts: what became of a source's events, by coordinates, written to `receipts.<source>` by the books' follower.

A record is compact JSON, never with a value of an event. It says of some offsets of one raw partition what has become
of them; the newest record about an offset holds.

| name | type | what |
| --- | --- | --- |
| `number` | integer | of this source's receipts; each has the next one (see below) |
| `event` | string | event type, `clinical.glucose` |
| `partition` | integer | of the raw topic `raw.<source>.<event>` |
| `offsets` | list of `[first, last]` | which events: runs of offsets, both ends included, in order |
| `outcome` | string | one of `Outcome` |
| `at` | string | when the books saw it, UTC: `2026-01-31T12:00:00.000Z` |
| `amends` | true, or absent | something was said about all of these offsets before |
| `table_version` | integer, or absent | of landed and moved rows: a version of the curated table by which it is so |
| `rules` | list of strings, or absent | of quarantined events: the critical rules that they failed |
| `suite` | string, or absent | of quarantined events: the version of the suite that judged them |
| `reason` | string, or absent | of sealed and quarantined events: a `Reason` |
| `fields` | list of strings, or absent | fields of these events that were withheld: they had not their form |

**Numbers.** Records come at least once and in order: a record whose number is not above the highest that a reader has
seen is a repeat, and says what it said. Numbers grow by one; where they leap, the books were made anew from nothing,
and everything is told once more. What is neither told nor on its way is still in Kafka: nothing is assumed.

**Final** is what has `landed` or was `quarantined`, `repeated`, `sealed` or `applied`, until an amendment says
otherwise; what is `parked` waits for its person's enrolment.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import orjson

from biokeel.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_RUNS: Final = 4_096
"""Runs of offsets in one record: some 100 KB, a tenth of what Kafka takes as one message."""

Runs = tuple[tuple[int, int], ...]
"""Offsets as runs (first, last), both ends included; in order, and no two of them touch."""


class Outcome(StrEnum):
    """What can become of an event."""

    LANDED = "landed"
    """It stands in the curated table."""
    QUARANTINED = "quarantined"
    """It failed critical rules, and waits in quarantine."""
    PARKED = "parked"
    """Its person is not enrolled yet: it waits, sealed."""
    SEALED = "sealed"
    """It did not come through the privacy wall; `reason` says why."""
    REPEATED = "repeated"
    """It says what the table had already, and counts once."""
    SUPERSEDED = "superseded"
    """A newer version of it stands in the curated table."""
    WITHDRAWN = "withdrawn"
    """Its source said that it was entered in error; or it is the event that says so."""
    APPLIED = "applied"
    """A person event that was taken in."""
    ERASED = "erased"
    """It was erased at its person's wish."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """One record; see the table above. Strings and tuples are empty, and numbers None, where there is nothing."""

    number: int
    event: str
    partition: int
    offsets: Runs
    outcome: Outcome
    at: dt.datetime
    amends: bool = False
    table_version: int | None = None
    rules: tuple[str, ...] = ()
    suite: str = ""
    reason: str = ""
    fields: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many events it is about."""
        return sum(last - first + 1 for first, last in self.offsets)


def encode(receipt: Receipt) -> bytes:
    """The record's bytes."""
    at = receipt.at.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    required = {
        "number": receipt.number,
        "event": receipt.event,
        "partition": receipt.partition,
        "offsets": receipt.offsets,
        "outcome": receipt.outcome,
        "at": at,
    }
    optional = {name: value for name in _OPTIONAL if (value := getattr(receipt, name))}
    if receipt.table_version is not None:
        optional["table_version"] = receipt.table_version
    return orjson.dumps(required | optional)


def decode(data: bytes) -> Receipt:
    """The receipt in a record's bytes; names that a newer release has added are passed over.

    Raises `ContractError` for what is no receipt.
    """
    try:
        read: dict[str, Any] = orjson.loads(data)
        return Receipt(
            int(read["number"]),
            str(read["event"]),
            int(read["partition"]),
            tuple((int(first), int(last)) for first, last in read["offsets"]),
            Outcome(read["outcome"]),
            dt.datetime.fromisoformat(read["at"]),
            bool(read.get("amends", False)),
            read.get("table_version"),
            tuple(read.get("rules", ())),
            read.get("suite", ""),
            read.get("reason", ""),
            tuple(read.get("fields", ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ContractError(
            f"A record of {len(data)} bytes is no receipt that this release can read ({type(error).__name__}).",
            "Take a newer release; if it is the newest, please report it.",
        ) from None


def in_parts(runs: Iterable[tuple[int, int]], most: int = MOST_RUNS) -> Iterator[Runs]:
    """`runs` in pieces that one record takes each."""
    each = tuple(runs)
    for start in range(0, len(each), most):
        yield each[start : start + most]


_OPTIONAL: Final = ("amends", "rules", "suite", "reason", "fields")
