"""A book in memory, two stewards, and drafts of one small suite."""

from __future__ import annotations

import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from biokeel.contracts.schema import load_schemas
from biokeel.contracts.topics import event_type
from biokeel.errors import StoreUnavailable
from biokeel.land.objects import Objects
from biokeel.rulebook.book import Chain, Page, first_version
from biokeel.rulebook.follow import FollowedBook
from biokeel.rulebook.pages import Kind
from biokeel.rulebook.standing import Standing
from biokeel.rules.drafts import Draft
from biokeel.rules.keys import StewardKey
from biokeel.rules.review import Asked, Review, ShareOfLastWeek
from biokeel.settings import PROJECT_ROOT
from biokeel.validate.columns import Columns
from biokeel.validate.rules import CompiledSuite
from biokeel.validate.suites import suite_path

SLEEP, DIET = event_type("lifestyle.sleep"), event_type("lifestyle.diet")
SCHEMAS = {event: load_schemas(PROJECT_ROOT / "schemas")[event] for event in (SLEEP, DIET)}
SAMPLES = json.dumps({"samples": [{"why": "long", "row": {"minutes_asleep": 2000}, "failed": ["sleep.minutes.range"]}]})


class MemoryObjects(Objects):
    """Objects in a dictionary. `away`: the store does not answer. `calls` counts what it was asked."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.away = False
        self.calls: list[str] = []

    def put(self, key: str, data: bytes) -> None:
        self._asked("put", key)
        self.held[key] = data

    def put_new(self, key: str, data: bytes) -> bool:
        self._asked("put_new", key)
        return self.held.setdefault(key, data) is data

    def get(self, key: str) -> bytes:
        self._asked("get", key)
        return self.held[key]

    def find(self, key: str) -> bytes | None:
        self._asked("find", key)
        return self.held.get(key)

    def sizes(self, prefix: str) -> dict[str, int]:
        self._asked("sizes", prefix)
        return {key: len(self.held[key]) for key in sorted(self.held) if key.startswith(prefix)}

    def delete(self, key: str) -> None:
        self._asked("delete", key)
        self.held.pop(key, None)

    def _asked(self, what: str, key: str) -> None:
        self.calls.append(f"{what} {key}")
        if self.away:
            raise StoreUnavailable("The object store does not answer.")


def suite(limit: float, event: Any = SLEEP, **more: Any) -> str:
    """A suite of one rule: nobody sleeps longer than `limit` minutes."""
    column = {SLEEP: "minutes_asleep", DIET: "energy"}[event]
    rule = {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": column, "max_value": limit},
        "severity": "critical",
        "meta": {"rule": f"{event.name}.minutes.range", "notes": "A day has 1,440 minutes."},
    }
    return json.dumps({"name": str(event), "expectations": [rule], **more})


def steward(name: str) -> StewardKey:
    return StewardKey(name, Ed25519PrivateKey.generate())


ANNA, BORA = steward("anna"), steward("bora")


class Desk:
    """A book that begins with a limit of 1,440 minutes, known to ANNA and BORA; `folder` holds what it begins with."""

    def __init__(self, folder: Any, objects: MemoryObjects | None = None) -> None:
        self.folder = folder
        self.objects = objects or MemoryObjects()
        for event in SCHEMAS:
            path = suite_path(folder, event)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(suite(1440, event))
        self.worker().events()
        review = self.review()
        review.introduce("anna", ANNA.public, ANNA)
        review.introduce("bora", BORA.public, ANNA)

    def worker(self, **more: Any) -> FollowedBook:
        """What a worker that starts now has."""
        return FollowedBook(self.objects, SCHEMAS, begin=self.folder, **more)

    def review(self, *, four_eyes: bool = True, share: ShareOfLastWeek | None = None) -> Review:
        return Review(self.objects, SCHEMAS, four_eyes=four_eyes, share_of_last_week=share)

    def draft(self, limit: float, parent: int | None = None) -> Draft:
        """A draft of another limit, made from the version in force, or from `parent`."""
        pages = self.review().standing(SLEEP).chain.pages
        return Draft(suite(limit), pages[-1 if parent is None else parent - 1].stamp, SAMPLES)

    def submit(self, limit: float, author: StewardKey = ANNA) -> str:
        """The digest of what `author` submitted."""
        return self.submit_text(suite(limit), author)

    def submit_text(self, text: str, author: StewardKey = ANNA) -> str:
        """The same for any text, without asking Great Expectations, which takes seconds."""
        review = self.review()
        standing = review.standing(SLEEP)
        return review._submit(standing, Asked(Kind.DRAFT, text, author, "because", "")).digest

    def publish(self, limit: float, author: StewardKey = ANNA, approver: StewardKey = BORA) -> str:
        """Put another limit in force; the version's stamp."""
        return self.review(four_eyes=author != approver).approve(SLEEP, self.submit(limit, author), approver).stamp

    def publish_text(self, text: str) -> str:
        """Put any suite in force; the version's stamp."""
        return self.review().approve(SLEEP, self.submit_text(text), BORA).stamp

    def page(self, number: int) -> str:
        return f"rules/{SLEEP}/{number:06}.json"


def standing_of(texts: list[str]) -> Standing:
    """What is in force of a book whose versions say `texts`; only what they say means anything."""
    pages = []
    for number, text in enumerate(texts, start=1):
        first = first_version(SLEEP, text, "2026-01-01T00:00:00+00:00")
        pages.append(Page(first.model_copy(update={"number": number}), ""))
    none = CompiledSuite(SLEEP, "", (), Columns.of(SCHEMAS[SLEEP]))
    return Standing(Chain(tuple(pages)), pages[-1], none, "")
