"""Reading the book of rules, and adding a page to it: what of it holds is decided here and nowhere else.

A version holds if every page from the first to it is there, is in its place, follows the very bytes of the page before,
and is signed by two stewards (the first one, which an installation begins with, by nobody). What is above the first
page that does not hold, does not hold either. Nothing is ever written over: who adds a page creates its number, so of
two who do so at once one is refused by the store.

A process that dies while it adds a version has written it or not. If it dies before `rules/newest` says so, workers
find the version later, when they look at its event type in its turn (`biokeel.rulebook.follow`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from biokeel.errors import BookBroken
from biokeel.rulebook.pages import (
    INSTALLATION,
    NEWEST,
    STEWARDS,
    Kind,
    Steward,
    Submission,
    Unreadable,
    Version,
    digest_of,
    folder_of,
    page_key,
    stamp_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from biokeel.contracts.topics import EventType
    from biokeel.land.objects import Objects

_PAGE: Final = re.compile(r"(\d{6})\.json")
_REMEDY: Final = "Nobody may change the book: put the page back from a copy of the bucket (docs/operations.md)."


@dataclass(frozen=True, slots=True)
class Page:
    """A version that holds, and the SHA-256 of its bytes."""

    version: Version
    digest: str

    @property
    def number(self) -> int:
        """Of the version."""
        return self.version.number

    @property
    def is_alone(self) -> bool:
        """Whether its author approved it."""
        return self.version.submitted.kind is not Kind.FIRST and self.version.submitted.author == self.version.approver

    @property
    def stamp(self) -> str:
        """What rows that it judges are stamped with."""
        return stamp_of(self.number, self.digest)


@dataclass(frozen=True, slots=True)
class Chain:
    """The versions of an event type that hold, from the first; `fault` says why there are no more, where it is odd."""

    pages: tuple[Page, ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Stewards:
    """Who may write and approve: public keys by name. `fault` says why there are no more, where it is odd.

    `number` and `digest` are those of the last page that holds, 0 and empty where there is none.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    number: int = 0
    digest: str = ""
    fault: str = ""


class Book:
    """The book in `objects`. Not for several threads at once."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._stewards: Stewards | None = None

    def stewards(self) -> Stewards:
        """All stewards, read anew."""
        stewards = Stewards()
        numbers = self._numbers(STEWARDS)
        try:
            for number in range(1, max(numbers, default=0) + 1):
                key = page_key(STEWARDS, number)
                stewards = _with_steward(stewards, key, self._page(key))
        except BookBroken as error:
            stewards = Stewards(stewards.keys, stewards.number, stewards.digest, str(error))
        self._stewards = stewards
        return stewards

    def chain(self, event: EventType) -> Chain:
        """All versions of `event` that hold, read and checked anew."""
        pages: list[Page] = []
        folder = folder_of(event)
        try:
            for number in range(1, max(self._numbers(folder), default=0) + 1):
                page = self._read(event, number)
                if pages and page.version.previous != pages[-1].digest:
                    # It is signed, so it is right about the page before it, which is not what was signed then.
                    fault = f"{page_key(folder, number - 1)} was changed after it was written. {_REMEDY}"
                    return Chain(tuple(pages[:-1]), fault)
                pages.append(page)
        except BookBroken as error:
            return Chain(tuple(pages), str(error))
        return Chain(tuple(pages))

    def after(self, event: EventType, page: Page) -> Page | None:
        """The version after `page`; None where there is none yet. Costs one GET. Raises `BookBroken`."""
        key = page_key(folder_of(event), page.number + 1)
        data = self._objects.find(key)
        if data is None:
            return None
        following = self._checked(event, page.number + 1, data)
        if following.version.previous != page.digest:
            raise BookBroken(f"{key} follows another version {page.number} than the one that was read.", _REMEDY)
        return following

    def add(self, event: EventType, version: Version) -> bool:
        """Write `version` under its number; whether the number was free. `point_at` it then.

        Free is also what an earlier try took with these very bytes, where its answer was lost.
        """
        key, data = page_key(folder_of(event), version.number), version.to_bytes()
        return self._objects.put_new(key, data) or self._objects.find(key) == data

    def point_at(self, event: EventType, number: int) -> None:
        """Say in `rules/newest` that this version is there."""
        self._objects.put(NEWEST, page_key(folder_of(event), number).encode())

    def newest(self) -> bytes | None:
        """What `rules/newest` says: it changes soon after a version was added. Costs one GET."""
        return self._objects.find(NEWEST)

    def _numbers(self, folder: str) -> list[int]:
        names = (key.removeprefix(folder) for key in self._objects.keys(folder))
        return [int(found[1]) for name in names if (found := _PAGE.fullmatch(name))]

    def _page(self, key: str) -> bytes:
        data = self._objects.find(key)
        if data is None:
            raise BookBroken(f"{key} is missing, and later pages are there.", _REMEDY)
        return data

    def _read(self, event: EventType, number: int) -> Page:
        return self._checked(event, number, self._page(page_key(folder_of(event), number)))

    def _checked(self, event: EventType, number: int, data: bytes) -> Page:
        """The page in `data`, if it is in its place and signed; what it follows is the caller's question."""
        key = page_key(folder_of(event), number)
        try:
            version = Version.from_bytes(data)
        except Unreadable as error:
            raise BookBroken(f"{key} is no version of a suite ({error}).", _REMEDY) from None
        if version.number != number or version.submitted.event != str(event):
            raise BookBroken(f"{key} holds version {version.number} of {version.submitted.event}.", _REMEDY)
        if number == 1 and version.submitted.kind is Kind.FIRST:
            return Page(version, digest_of(data))
        if why := self._unsigned(version):
            raise BookBroken(f"{key} {why}.", _REMEDY)
        return Page(version, digest_of(data))

    def _unsigned(self, version: Version) -> str:
        """Why `version` is not signed as it must be; empty where it is."""
        submitted = version.submitted
        if submitted.kind is Kind.FIRST or not 1 <= submitted.parent < version.number:
            return "says that it is the first version, or has no parent before it"
        if version.four_eyes and submitted.author == version.approver:
            return f"was approved by its author, {version.approver}"
        for name, document in ((submitted.author, submitted), (version.approver, version)):
            public = self.key_of(name)
            if public is None:
                return f"names {name}, whom the book does not know as a steward"
            if not document.is_signed_by(public):
                return f"is not signed by {name}, whom it names"
        return ""

    def key_of(self, name: str) -> str | None:
        """The public key of a steward, None for nobody whom the book knows."""
        stewards = self._stewards
        if stewards is None or name not in stewards.keys:
            stewards = self.stewards()
        return stewards.keys.get(name)


def first_version(event: EventType, suite: str, at: str) -> Version:
    """What the book of `event` begins with: `suite`, as the installation brought it along. Nobody signs it."""
    submitted = Submission(
        event=str(event),
        kind=Kind.FIRST,
        parent=0,
        suite=suite,
        author=INSTALLATION,
        reason="What the installation began with.",
        at=at,
    )
    return Version(number=1, previous="", submitted=submitted, approver=INSTALLATION, four_eyes=False, at=at)


def _with_steward(stewards: Stewards, key: str, data: bytes) -> Stewards:
    """`stewards` and the next one, whose page is `data`. Raises `BookBroken`."""
    try:
        page = Steward.from_bytes(data)
    except Unreadable as error:
        raise BookBroken(f"{key} is no steward's page ({error}).", _REMEDY) from None
    known = stewards.keys
    introducer = page.key if page.number == 1 and page.introduced_by == page.name else known.get(page.introduced_by)
    if page.number != stewards.number + 1 or page.previous != stewards.digest:
        raise BookBroken(f"{key} does not follow the page before it.", _REMEDY)
    if page.name in known or page.key in known.values() or page.name == INSTALLATION:
        raise BookBroken(f"{key} gives a name or a key a second time.", _REMEDY)
    if introducer is None or not page.is_signed_by(introducer):
        raise BookBroken(f"{key} is not signed by {page.introduced_by}, who introduces {page.name}.", _REMEDY)
    return Stewards({**known, page.name: page.key}, page.number, digest_of(data))
