"""From a draft to a version in force: submitted by its author, approved or rejected by another steward.

Each step writes one object that decides, under a name that nobody else can take. If the process dies:

| step | before it | after it |
| --- | --- | --- |
| `introduce` | nothing happened | the steward is known; the same call again finds so |
| `submit`, `roll_back` | nothing happened | the draft waits; the same call again finds it |
| `approve`: the version | it waits as before | it is in force; workers find it when its event type has its turn |
| `approve`: `rules/newest` | the same | workers find it at their next look |
| `reject` | it waits as before | it is rejected |

What somebody else was quicker with is found and said; no step is ever undone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from biokeel.errors import BookBroken, NotApproved
from biokeel.rulebook.book import Book, Page, Stewards
from biokeel.rulebook.pages import (
    STEWARDS,
    Kind,
    Rejection,
    Steward,
    Submission,
    Unreadable,
    Version,
    digest_of,
    page_key,
    rejection_key,
    submission_key,
)
from biokeel.rulebook.standing import Reader, Standing, compiled, now
from biokeel.testing.crash import reached
from biokeel.validate.native import native_findings
from biokeel.validate.samples import run_samples

if TYPE_CHECKING:
    from collections.abc import Mapping

    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.topics import EventType
    from biokeel.land.objects import Objects
    from biokeel.rules.drafts import Draft
    from biokeel.rules.keys import StewardKey

Document = TypeVar("Document", Submission, Rejection)
ShareOfLastWeek = Callable[["Standing", str], float]
"""What share (0 to 1) of the rows of the last week a draft's text would newly quarantine, held against what stands."""
MOST_QUARANTINED: Final = 0.01
"""A draft that would newly quarantine a larger share of the last week needs a reason of its own (`--force`)."""
SHORTEST: Final = 12
"""Digits of a digest that a submission may be named by."""


class Asked(NamedTuple):
    """What an author asks for: a text in force, and why; see `Submission`."""

    kind: Kind
    text: str
    author: StewardKey
    reason: str
    forced: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A submission that may still be approved."""

    submission: Submission
    digest: str
    outdated: bool
    """Another version came in force since it was drafted: it must be rebased."""


class Review:
    """The desk where drafts are submitted and decided upon, in the book in `objects`.

    `four_eyes` false lets authors approve their own. `share_of_last_week` counts what a draft would quarantine; where
    nobody can count, nothing is refused for it.
    """

    def __init__(
        self,
        objects: Objects,
        schemas: Mapping[EventType, EventSchema],
        *,
        four_eyes: bool = True,
        share_of_last_week: ShareOfLastWeek | None = None,
    ) -> None:
        self._objects = objects
        self._schemas = schemas
        self._four_eyes = four_eyes
        self._share = share_of_last_week
        self.book = Book(objects)

    def standing(self, event: EventType) -> Standing:
        """What is in force of `event`, read anew. Raises `SuiteError` where nothing is."""
        return Reader(self.book, self._schemas, four_eyes=self._four_eyes).first(event)

    def stewards(self) -> Stewards:
        """Who may submit and approve, read anew."""
        return self.book.stewards()

    def introduce(self, name: str, public: str, by: StewardKey) -> bool:
        """Make a steward known, on the word of `by`; whether that was new. The first one introduces itself.

        Raises `NotApproved` for a name or key that is taken, or an introducer whom the book does not know.
        """
        stewards = self.book.stewards()
        if stewards.fault:
            raise BookBroken(stewards.fault)
        if stewards.keys.get(name) == public:
            return False
        if name in stewards.keys:
            raise NotApproved(f"{name} is a steward with another key.", "Choose another name.")
        if taken := [known for known, key in stewards.keys.items() if key == public]:
            raise NotApproved(f"This key is {taken[0]}'s: a person is one steward.", "Make a key of its own.")
        if stewards.number:
            self.require_known(by)
        elif by.name != name:
            raise NotApproved("There is no steward yet: the first one introduces itself.", "Leave out --by.")
        page = Steward(
            number=stewards.number + 1,
            previous=stewards.digest,
            name=name,
            key=public,
            introduced_by=by.name,
            at=now(),
        ).signed(by.key)
        if not self._objects.put_new(page_key(STEWARDS, page.number), page.to_bytes()):
            raise NotApproved("Another steward was introduced at this moment.", "Try again.")
        return True

    def submit(self, event: EventType, draft: Draft, author: StewardKey, reason: str, forced: str = "") -> Waiting:
        """Submit a draft for approval. The same draft again, of the same author, is found rather than written twice.

        Raises `NotApproved` naming all that is wrong with it.
        """
        standing = self.standing(event)
        if draft.parent != standing.page.stamp:
            raise NotApproved(
                f"The draft of {event} was made from version {draft.parent or '(none noted)'},"
                f" and {standing.page.stamp} is in force.",
                f"Run: biokeel suite rebase {event}",
            )
        suite = compiled(draft.text, self._schemas[event])
        if isinstance(suite, str):
            raise NotApproved(f"The draft of {event}: {suite}", f"biokeel suite check {event} says more.")
        faults = [str(finding) for finding in native_findings(draft.text)]
        if draft.samples is None:
            faults.append("there are no sample rows beside it")
        else:
            faults += [f"sample {each.why} has another verdict" for each in run_samples(suite, draft.samples).surprises]
        if faults:
            raise NotApproved(
                f"The draft of {event}: {'; '.join(faults)}.", f"See biokeel suite check and test {event}."
            )
        return self._submit(standing, Asked(Kind.DRAFT, draft.text, author, reason, forced))

    def roll_back(self, event: EventType, to: int, author: StewardKey, reason: str, forced: str = "") -> Waiting:
        """Submit the text of version `to` once more. Raises `NotApproved` where that version does not hold."""
        standing = self.standing(event)
        text = next((page.version.submitted.suite for page in standing.chain.pages if page.number == to), None)
        if text is None:
            raise NotApproved(f"The book holds no version {to} of {event}.", f"See biokeel suite history {event}.")
        if isinstance(why := compiled(text, self._schemas[event]), str):
            raise NotApproved(f"Version {to} of {event}: {why}", "Draft what it said for this release.")
        return self._submit(standing, Asked(Kind.ROLLBACK, text, author, reason, forced))

    def waiting(self, event: EventType) -> list[Waiting]:
        """The submissions of `event` that are neither in force nor rejected, oldest first."""
        folder = _submitted(event)
        digests = [key.removeprefix(folder).removesuffix(".json") for key in self._objects.keys(folder)]
        if not digests:
            return []
        standing = self.standing(event)
        done = {digest_of(page.version.submitted.to_bytes()) for page in standing.chain.pages}
        found = []
        for digest in digests:
            if digest not in done and self._objects.find(rejection_key(event, digest)) is None:
                with suppress(BookBroken):  # whoever may write the bucket can put something there; nobody signed it
                    found.append(self._waiting(standing, digest))
        return sorted(found, key=lambda each: each.submission.at)

    def approve(self, event: EventType, digest: str, approver: StewardKey) -> Page:
        """Put a submission in force, named by its digest or at least 12 digits of it; the version that it became.

        Raises `NotApproved` for its author, for a draft whose parent is not in force any more, for one that was
        rejected, and for one that this release cannot run.
        """
        self.require_known(approver)
        standing = self.standing(event)
        digest, submission = self._submission(event, digest)
        if (page := _as_page(standing, submission)) is not None:
            self.book.point_at(event, page.number)
            return page
        self._require_open(event, digest)
        if self._four_eyes and submission.author == approver.name:
            raise NotApproved(f"{approver.name} is the author: another steward approves.", "There is no exemption.")
        if submission.parent != standing.page.number:
            raise NotApproved(
                f"The draft was made from version {submission.parent}, and {standing.page.number} is in force.",
                f"Its author runs: biokeel suite rebase {event}",
            )
        if isinstance(why := compiled(submission.suite, self._schemas[event]), str):
            raise NotApproved(f"The draft of {event}: {why}", "Its author submits one that this release can run.")
        if standing.chain.fault:
            raise BookBroken(standing.chain.fault)
        tip = standing.chain.pages[-1]
        version = Version(
            number=tip.number + 1,
            previous=tip.digest,
            submitted=submission,
            approver=approver.name,
            four_eyes=self._four_eyes,
            at=now(),
        ).signed(approver.key)
        if not self.book.add(event, version):
            if (page := _as_page(self.standing(event), submission)) is not None:
                return page  # somebody else approved it at this moment
            raise NotApproved("Another version came in force at this moment.", f"Run: biokeel suite rebase {event}")
        reached("review.version_written")
        self.book.point_at(event, version.number)
        return Page(version, digest_of(version.to_bytes()))

    def reject(self, event: EventType, digest: str, by: StewardKey, reason: str) -> None:
        """Say that a submission is not to be in force; its author may do so, too. Raises `NotApproved`."""
        self.require_known(by)
        _require_reason(reason)
        digest, submission = self._submission(event, digest)
        if _as_page(self.standing(event), submission) is not None:
            raise NotApproved("It is in force, or was.", f"Run: biokeel suite rollback {event} --to NUMBER")
        rejection = Rejection(event=str(event), submission=digest, by=by.name, reason=reason, at=now()).signed(by.key)
        if not self._objects.put_new(rejection_key(event, digest), rejection.to_bytes()):
            self._require_open(event, digest)

    def _submit(self, standing: Standing, asked: Asked) -> Waiting:
        self.require_known(asked.author)
        _require_reason(asked.reason)
        event, text, author = standing.suite.event, asked.text, asked.author
        if text == standing.page.version.submitted.suite:
            raise NotApproved(f"It changes nothing: version {standing.page.stamp} of {event} says the same.")
        self._require_share(standing, asked)
        for each in self.waiting(event):
            made = each.submission
            if (made.suite, made.author, each.outdated) == (text, author.name, False):
                return each
        more = {"forced": asked.forced} if asked.forced else {}
        submission = Submission(
            event=str(event),
            kind=asked.kind,
            parent=standing.page.number,
            suite=text,
            author=author.name,
            reason=asked.reason,
            at=now(),
            **more,
        ).signed(author.key)
        data = submission.to_bytes()
        self._objects.put_new(submission_key(event, digest_of(data)), data)
        return Waiting(submission, digest_of(data), outdated=False)

    def _require_share(self, standing: Standing, asked: Asked) -> None:
        if self._share is None or asked.forced.strip():
            return
        share = self._share(standing, asked.text)
        if share > MOST_QUARANTINED:
            raise NotApproved(
                f"It would newly quarantine {share:.1%} of the last week's rows of {standing.suite.event}.",
                f'If that is meant, say why: --force "REASON" (above {MOST_QUARANTINED:.0%}).',
            )

    def require_known(self, steward: StewardKey) -> None:
        """Raises `NotApproved` for who is no steward, or has another key than the book has."""
        known = self.book.stewards().keys
        if steward.name not in known:
            raise NotApproved(f"The book knows no steward {steward.name}.", "Run: biokeel suite steward add NAME")
        if known[steward.name] != steward.public:
            raise NotApproved(f"The book knows {steward.name} by another key.", "Take the key file of then.")

    def _require_open(self, event: EventType, digest: str) -> None:
        data = self._objects.find(rejection_key(event, digest))
        if data is not None:
            rejection = _read(Rejection, data, rejection_key(event, digest))
            raise NotApproved(f"{rejection.by} rejected it: {rejection.reason}", "Submit a better one.")

    def _submission(self, event: EventType, digest: str) -> tuple[str, Submission]:
        """The digest in full, and the submission, checked."""
        folder = _submitted(event)
        found = self._objects.keys(f"{folder}{digest}") if len(digest) >= SHORTEST else []
        if len(found) != 1:
            raise NotApproved(f"There is no submission {digest} of {event}.", f"See biokeel suite review {event}.")
        whole = found[0].removeprefix(folder).removesuffix(".json")
        return whole, self._checked(event, whole)

    def _waiting(self, standing: Standing, digest: str) -> Waiting:
        submission = self._checked(standing.suite.event, digest)
        return Waiting(submission, digest, submission.parent != standing.page.number)

    def _checked(self, event: EventType, digest: str) -> Submission:
        """The submission with `digest`. Raises `BookBroken` where its bytes are others, or its author did not sign."""
        key = submission_key(event, digest)
        data = self._objects.find(key) or b""
        submission = _read(Submission, data, key)
        public = self.book.stewards().keys.get(submission.author)
        if digest_of(data) != digest or submission.event != str(event) or submission.kind is Kind.FIRST:
            raise BookBroken(f"{key} is not what was submitted under this name.", "Delete it.")
        if public is None or not submission.is_signed_by(public):
            raise BookBroken(f"{key} is not signed by {submission.author}, whom it names.", "Delete it.")
        return submission


def _as_page(standing: Standing, submission: Submission) -> Page | None:
    """The version that `submission` became, if it did."""
    return next((page for page in standing.chain.pages if page.version.submitted == submission), None)


def _submitted(event: EventType) -> str:
    """The prefix of all submissions of `event`."""
    return submission_key(event, "").removesuffix(".json")


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise NotApproved("There is no reason.", 'Say why, for those who read it in years: --reason "…"')


def _read(kind: type[Document], data: bytes, key: str) -> Document:
    try:
        return kind.from_bytes(data)
    except Unreadable as error:
        raise BookBroken(f"{key} cannot be read ({error}).", "Delete it.") from None
