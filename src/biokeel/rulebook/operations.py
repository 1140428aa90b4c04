"""Operations of stewards: rows that were judged by another version than they would be judged by now, moved once.

```
rules/<event>/operations/<number>.json            an operation that is carried out: 000001, 000002, … without a gap
rules/<event>/operations/requested/<digest>.json  a request that waits for a second person, or waited
rules/<event>/operations/without/<digest>.txt     participants that a request leaves out, a line each
```

Pages hang together and are signed as those of the book are (`biokeel.rulebook.pages`): a request by its author, the
operation by who approved it. Which rows it is about is fixed when it is asked for: those that its filter matches, up to
the position `up_to` of each pseudo partition that the tables had then, and that no later operation brought there. So
it is the same whoever carries it out, and whenever. `rows` is what the preview counted in each partition; no more are
moved, whatever matches.

A process that dies while it writes one has written it or not. Workers find it at their next look, or, where it died
before `rules/newest` says so, when its event type has its turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from biokeel.errors import BookBroken
from biokeel.rulebook.pages import NEWEST, Hex, Name, Signed, Unreadable, digest_of, folder_of, page_key

if TYPE_CHECKING:
    from biokeel.contracts.topics import EventType
    from biokeel.land.objects import Objects
    from biokeel.rulebook.book import Book

MOST_ALONE: Final = 1_000
"""Rows that their author may move alone. So many a person can look through one by one, before and after; beyond that
nobody would see that a filter took in more than was meant, so a second person reads it."""
_REMEDY: Final = "Nobody may change an operation: put the page back from a copy of the bucket (docs/operations.md)."


class Purpose(StrEnum):
    """What an operation does."""

    RELEASE = "release"
    """Quarantined rows that pass the version land."""
    WITHDRAW = "withdraw"
    """Landed rows that fail a critical rule of the version go to quarantine."""
    UNDO = "undo"
    """What another operation moved goes back."""


class Request(Signed):
    """What a steward asks for.

    `version` is the stamp of the version that judges, empty for an undo; `undoes` the number of the operation that is
    undone, 0 for none. `rules` (failed by the rows), `source`, `since` and `until` (`recorded_at`, ISO 8601) choose
    rows; empty for no such limit. `up_to` and `rows` are by pseudo partition. `without` is the SHA-256 of the list of
    participants whose rows are left out (`left_out_key`), as the vault zone gave it; empty where nobody is.
    """

    is_about = b"operation requested"

    event: str
    purpose: Purpose
    version: str
    undoes: Annotated[int, Field(ge=0)] = 0
    rules: tuple[str, ...] = ()
    source: str = ""
    since: str = ""
    until: str = ""
    up_to: dict[str, int]
    rows: dict[str, int]
    without: Hex
    author: Name
    reason: str
    at: str

    @property
    def count(self) -> int:
        """Rows that the preview counted."""
        return sum(self.rows.values())

    def positions(self) -> dict[int, int]:
        """`up_to` by number of the partition."""
        return {int(partition): offset for partition, offset in self.up_to.items()}


class Operation(Signed):
    """A request that is carried out: `approver` is its author where that needs no second person.

    `previous` is the SHA-256 of the operation before, empty for the first.
    """

    is_about = b"operation"

    number: Annotated[int, Field(ge=1, lt=1 << 19)]
    previous: Hex
    requested: Request
    approver: Name
    at: str

    @property
    def is_alone(self) -> bool:
        """Whether its author approved it."""
        return self.approver == self.requested.author


@dataclass(frozen=True, slots=True)
class Operations:
    """The operations of an event type that hold, in order; `fault` says why there are no more, where it is odd."""

    found: tuple[Operation, ...] = ()
    digest: str = ""
    """Of the last one."""
    fault: str = ""


class OperationBook:
    """Reads and adds operations in `objects`. `four_eyes`: no more than `MOST_ALONE` rows without a second person."""

    def __init__(self, objects: Objects, book: Book, *, four_eyes: bool) -> None:
        self._objects = objects
        self._book = book
        self._four_eyes = four_eyes

    def grown(self, event: EventType, known: Operations) -> Operations:
        """`known` and what came since; costs one GET where nothing did. Raises `StoreUnavailable`."""
        found, digest = list(known.found), known.digest
        while True:
            key = operation_key(event, len(found) + 1)
            data = self._objects.find(key)
            if data is None:
                return Operations(tuple(found), digest)
            try:
                found.append(self._checked(event, key, data, digest))
            except BookBroken as error:
                return Operations(tuple(found), digest, str(error))
            digest = digest_of(data)

    def add(self, event: EventType, operation: Operation) -> bool:
        """Write `operation` under its number, and say so to the workers; whether the number was free.

        Free is also what an earlier try took with these very bytes, where its answer was lost.
        """
        key, data = operation_key(event, operation.number), operation.to_bytes()
        if not self._objects.put_new(key, data) and self._objects.find(key) != data:
            return False
        self._objects.put(NEWEST, key.encode())
        return True

    def ask(self, event: EventType, request: Request) -> str:
        """Write `request` down for a second person; its digest."""
        data = request.to_bytes()
        self._objects.put_new(request_key(event, digest_of(data)), data)
        return digest_of(data)

    def requests(self, event: EventType, digest: str = "") -> dict[str, Request]:
        """The requests of `event` whose digests begin with `digest`, by the whole one; what nobody signed is none."""
        prefix = request_key(event, "").removesuffix(".json")
        found = {}
        for key in self._objects.keys(f"{prefix}{digest}"):
            data = self._objects.find(key) or b""
            try:
                request = Request.from_bytes(data)
            except Unreadable:
                continue
            if digest_of(data) == key.removeprefix(prefix).removesuffix(".json") and not self._unsigned(event, request):
                found[digest_of(data)] = request
        return found

    def _checked(self, event: EventType, key: str, data: bytes, previous: str) -> Operation:
        try:
            operation = Operation.from_bytes(data)
        except Unreadable as error:
            raise BookBroken(f"{key} is no operation ({error}).", _REMEDY) from None
        if key != operation_key(event, operation.number) or operation.previous != previous:
            raise BookBroken(f"{key} is not in its place.", _REMEDY)
        request = operation.requested
        if why := self._unsigned(event, request):
            raise BookBroken(f"{key} {why}.", _REMEDY)
        public = self._book.key_of(operation.approver)
        if public is None or not operation.is_signed_by(public):
            raise BookBroken(f"{key} is not signed by {operation.approver}, whom it names.", _REMEDY)
        if self._four_eyes and operation.is_alone and request.count > MOST_ALONE:
            raise BookBroken(
                f"{key} moves {request.count:,} rows on the word of one person, and BIOKEEL_FOUR_EYES is on.", _REMEDY
            )
        return operation

    def _unsigned(self, event: EventType, request: Request) -> str:
        """Why `request` is none of `event` that its author signed; empty where it is."""
        public = self._book.key_of(request.author)
        if request.event != str(event):
            return f"is about {request.event}"
        if public is None or not request.is_signed_by(public):
            return f"is not signed by {request.author}, whom it names"
        return ""


def operation_key(event: EventType, number: int) -> str:
    """The key of an operation."""
    return page_key(f"{folder_of(event)}operations/", number)


def left_out_key(event: EventType, digest: str) -> str:
    """The key of a list of participants whose rows a request leaves out."""
    return f"{folder_of(event)}operations/without/{digest}.txt"


def left_out(objects: Objects, event: EventType, digest: str) -> list[str]:
    """The participants (as texts) that a request leaves out. Raises `BookBroken` where the list is not that one."""
    if not digest:
        return []
    key = left_out_key(event, digest)
    data = objects.find(key) or b""
    if digest_of(data) != digest:
        raise BookBroken(f"{key} is not the list of participants that the request names.", _REMEDY)
    return data.decode("ascii").split()


def request_key(event: EventType, digest: str) -> str:
    """The key of a request."""
    return f"{folder_of(event)}operations/requested/{digest}.json"
