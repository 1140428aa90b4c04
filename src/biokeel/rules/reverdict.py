"""Operations as stewards order them: a preview, a request, a second person's approval, and how far they are.

An operation that needs no second person is in the book when this returns; another waits as a request until somebody
else approves it. Each is one write that nobody can take back; who wants the rows where they were orders an undo.
What carries them out is `biokeel.engine.curate.operating`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from biokeel.contracts.ids import decode_id
from biokeel.errors import BookBroken, ContractError, NotApproved
from biokeel.land.operated import done, tables_of
from biokeel.land.positions import positions_in
from biokeel.land.reading import collect
from biokeel.rulebook.operations import (
    MOST_ALONE,
    Operation,
    OperationBook,
    Operations,
    Purpose,
    Request,
    left_out_key,
)
from biokeel.rulebook.pages import Rejection, digest_of, rejection_key
from biokeel.rulebook.reverdict import (
    COUNTS,
    MOVED,
    BroughtBack,
    Judged,
    Releasable,
    Selection,
    TakenBack,
    Withdrawable,
    goes_in,
)
from biokeel.rulebook.standing import compiled, now
from biokeel.rules.review import SHORTEST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.topics import EventType
    from biokeel.land.lake import Lake
    from biokeel.rulebook.standing import Standing
    from biokeel.rules.keys import StewardKey
    from biokeel.rules.review import Review

SET_ASIDE: int = 1_000_000
"""A preview ends for no number of rows on which a stage fails: it counts them."""


class Filter(NamedTuple):
    """Which rows; see `Request`. Empty for no such limit."""

    rules: tuple[str, ...] = ()
    source: str = ""
    since: str = ""
    until: str = ""
    without: str = ""
    """The SHA-256 of the list of participants that are left out: `Reverdict.leave_out`."""
    undoes: int = 0
    """The number of the operation that is undone."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What an operation would do now. `counts` has `COUNTS`; `left` is by why."""

    event: EventType
    purpose: Purpose
    version: str
    wanted: Filter
    up_to: Mapping[int, int]
    counts: pl.DataFrame
    left: Mapping[str, int]
    lands: bool
    """Whether its rows go to the curated table, rather than to quarantine."""

    @property
    def rows(self) -> int:
        """How many rows it would move."""
        return int(self.counts["rows"].sum())

    def by(self, column: str) -> list[tuple[str, int]]:
        """Rows by `source_id` or `rules`, the most first."""
        counts = self.counts.group_by(column).agg(pl.col("rows").sum()).sort("rows", column, descending=[True, False])
        return [(str(name), int(rows)) for name, rows in counts.iter_rows()]

    def by_partition(self) -> dict[str, int]:
        """Rows by pseudo partition."""
        counts = self.counts.group_by("pseudo_partition").agg(pl.col("rows").sum()).sort("pseudo_partition")
        return {str(partition): int(rows) for partition, rows in counts.iter_rows()}


@dataclass(frozen=True, slots=True)
class State:
    """How far an operation is: `moved` rows, in which partitions it is not done, and by which others it was undone."""

    operation: Operation
    moved: int
    open_in: tuple[int, ...]
    undone_by: tuple[int, ...]


class Reverdict:
    """Orders operations on the tables of `lake`."""

    def __init__(
        self, lake: Lake, schemas: Mapping[EventType, EventSchema], review: Review, *, four_eyes: bool
    ) -> None:
        self._lake = lake
        self._schemas = schemas
        self._review = review
        self._four_eyes = four_eyes
        self._book = OperationBook(lake.objects, review.book, four_eyes=four_eyes)

    def leave_out(self, event: EventType, text: str) -> str:
        """Keep a list of participants, an ID a line, for operations that are to leave them out; its SHA-256.

        Raises `NotApproved` for a line that is no participant's ID.
        """
        people = sorted(set(text.split()))
        try:
            for each in people:
                decode_id(each)
        except ContractError:
            raise NotApproved(
                "The list has a line that is no participant's ID.", f"Take that of: biokeel vault stopped {event}"
            ) from None
        data = "".join(f"{each}\n" for each in people).encode()
        self._lake.objects.put_new(left_out_key(event, digest_of(data)), data)
        return digest_of(data)

    def preview_release(self, event: EventType, wanted: Filter) -> Preview:
        """What releasing would move of `event`, by the version in force. Raises `SuiteError`, `StoreUnavailable`."""
        standing = self._review.standing(event)
        self._require_rules(event, wanted)
        return self._judged(Releasable, Purpose.RELEASE, standing, wanted, self._lake.quarantine(event))

    def preview_withdrawal(self, event: EventType, wanted: Filter) -> Preview:
        """What moving landed rows of `event` that fail now to quarantine would move; see `preview_release`."""
        standing = self._review.standing(event)
        self._require_rules(event, wanted)
        return self._judged(Withdrawable, Purpose.WITHDRAW, standing, wanted, self._lake.curated(event))

    def preview_undo(self, event: EventType, number: int, without: str = "") -> Preview:
        """What undoing an operation would move back. Raises `NotApproved` where it is not there, or not done yet."""
        known, following = self._known(event)
        states = {each.operation.number: each for each in self.states(event)}
        if number not in states:
            raise NotApproved(f"There is no operation {number} of {event}.", f"See biokeel suite operations {event}.")
        if states[number].open_in:
            raise NotApproved(f"Operation {number} of {event} is under way.", "Undo it when it is done.")
        wanted = Filter(without=without, undoes=number)
        up_to = dict(states[number].operation.requested.positions())
        request = _request(event, Purpose.UNDO, "", wanted, up_to)
        kind = BroughtBack if goes_in(known.found, request) else TakenBack
        preview = self._preview(kind(self._lake, self._schemas[event], request, following), wanted, up_to)
        gone = states[number].moved - preview.rows - sum(preview.left.values())
        return replace(preview, left={**preview.left, MOVED: preview.left.get(MOVED, 0) + gone}) if gone else preview

    def _judged(self, kind: type[Judged], purpose: Purpose, standing: Standing, wanted: Filter, uri: str) -> Preview:
        event = standing.suite.event
        up_to = positions_in(self._lake, uri, event.pseudo_topic)
        request = _request(event, purpose, standing.page.stamp, wanted, up_to)
        number = self._known(event)[1]
        found = kind(self._lake, self._schemas[event], request, number, suite=standing.suite, limit=SET_ASIDE)
        return self._preview(found, wanted, up_to)

    def _preview(self, found: Selection, wanted: Filter, up_to: Mapping[int, int]) -> Preview:
        request = found.request
        left: Counter[str] = Counter()
        counts = [pl.DataFrame(schema=COUNTS)]
        for chunk in found.chunks():
            left += chunk.left
            counts.append(chunk.counts)
        event = found.schema.event
        return Preview(
            event, request.purpose, request.version, wanted, up_to, pl.concat(counts), left, found.table == "quarantine"
        )

    def order(self, preview: Preview, author: StewardKey, reason: str) -> Operation | str:
        """Order what `preview` shows: the operation, or the digest of the request that waits for a second person.

        Raises `NotApproved` for nothing to move, no reason, or an unknown steward.
        """
        self._review.require_known(author)
        if not reason.strip():
            raise NotApproved("There is no reason.", 'Say why, for those who read it in years: --reason "…"')
        if not preview.rows:
            raise NotApproved("There is nothing to move.", "The preview says what is left where it is, and why.")
        request = (
            _request(preview.event, preview.purpose, preview.version, preview.wanted, preview.up_to)
            .model_copy(update={"rows": preview.by_partition(), "author": author.name, "reason": reason, "at": now()})
            .signed(author.key)
        )
        if self._four_eyes and request.count > MOST_ALONE:
            return self._book.ask(preview.event, request)
        return self._added(preview.event, request, author)

    def waiting(self, event: EventType) -> dict[str, Request]:
        """The requests that no operation has come from, by digest."""
        known, _ = self._known(event)
        taken = [each.requested for each in known.found]
        return {
            digest: each
            for digest, each in self._book.requests(event).items()
            if each not in taken and self._lake.objects.find(rejection_key(event, digest)) is None
        }

    def reject(self, event: EventType, digest: str, by: StewardKey, reason: str) -> bool:
        """Say that a request is not to be carried out, and why; whether there is one of that digest that waits."""
        found = [whole for whole in self.waiting(event) if whole.startswith(digest)]
        if len(found) != 1 or len(digest) < SHORTEST:
            return False
        self._review.require_known(by)
        rejection = Rejection(event=str(event), submission=found[0], by=by.name, reason=reason, at=now())
        self._lake.objects.put_new(rejection_key(event, found[0]), rejection.signed(by.key).to_bytes())
        return True

    def approve(self, event: EventType, digest: str, approver: StewardKey) -> Operation | None:
        """Let the request be carried out; None where there is none of that digest.

        Raises `NotApproved` for its author, and where another version is in force than the one that would judge.
        """
        found = self._book.requests(event, digest) if len(digest) >= SHORTEST else {}
        if len(found) != 1:
            return None
        ((whole, request),) = found.items()
        self._review.require_known(approver)
        if self._four_eyes and approver.name == request.author:
            raise NotApproved(f"{approver.name} is the author: another steward approves.", "There is no exemption.")
        known, _ = self._known(event)
        if (already := next((each for each in known.found if each.requested == request), None)) is not None:
            return already
        if whole not in self.waiting(event):
            raise NotApproved("It was rejected.", "Its author asks for it once more.")
        if request.version and (stamp := self._review.standing(event).page.stamp) != request.version:
            raise NotApproved(
                f"It is to be judged by version {request.version}, and {stamp} is in force.",
                "Its author asks for it once more.",
            )
        return self._added(event, request, approver)

    def states(self, event: EventType) -> list[State]:
        """All operations of `event`, in order, and how far each is. Raises `BookBroken` where one does not hold."""
        known, _ = self._known(event)
        if not known.found:
            return []
        rows = [
            collect(table.filter(pl.col("operation").is_not_null()).group_by("operation").agg(pl.len().alias("rows")))
            for table in tables_of(self._lake, self._schemas[event]).values()
        ]
        lie: Counter[int] = Counter()
        for frame in rows:
            lie.update(dict(frame.iter_rows()))
        has = positions_in(self._lake, self._lake.curated(event), event.pseudo_topic, "/operated")
        found = []
        for each in known.found:
            undone_by = tuple(it.number for it in known.found if it.requested.undoes == each.number)
            moved = lie[each.number]
            if goes_in(known.found, each.requested):  # what was undone of it has left the curated table
                moved += sum(lie[number] for number in undone_by)
            open_in = tuple(p for p in each.requested.positions() if has.get(p, 0) < done(each.number))
            found.append(State(each, moved, open_in, undone_by))
        return found

    def _added(self, event: EventType, request: Request, approver: StewardKey) -> Operation:
        known, number = self._known(event)
        operation = Operation(
            number=number, previous=known.digest, requested=request, approver=approver.name, at=now()
        ).signed(approver.key)
        if not self._book.add(event, operation):
            raise NotApproved("Another operation was ordered at this moment.", "Ask for this one once more.")
        return operation

    def _known(self, event: EventType) -> tuple[Operations, int]:
        """The operations of `event`, and the next number."""
        known = self._book.grown(event, Operations())
        if known.fault:
            raise BookBroken(known.fault)
        return known, len(known.found) + 1

    def _require_rules(self, event: EventType, wanted: Filter) -> None:
        if unknown := set(wanted.rules) - self._rules_ever(event):
            raise NotApproved(
                f"No version of {event} has a rule {', '.join(sorted(unknown))}.", "biokeel suite check names them."
            )

    def _rules_ever(self, event: EventType) -> set[str]:
        """The ids of all rules that any version of `event` has."""
        found: set[str] = set()
        for page in self._review.standing(event).chain.pages:
            suite = compiled(page.version.submitted.suite, self._schemas[event])
            found |= set() if isinstance(suite, str) else {rule.id for rule in suite.rules}
        return found


def _request(event: EventType, purpose: Purpose, version: str, wanted: Filter, up_to: Mapping[int, int]) -> Request:
    """A request that nobody has signed yet, of no rows."""
    return Request(
        event=str(event),
        purpose=purpose,
        version=version,
        undoes=wanted.undoes,
        rules=wanted.rules,
        source=wanted.source,
        since=wanted.since,
        until=wanted.until,
        up_to={str(partition): offset for partition, offset in up_to.items() if offset >= 0},
        rows={},
        without=wanted.without,
        author="nobody",
        reason="",
        at="",
    )
