"""Two made-up stewards, for a demo, a benchmark or a test: one submits, the other approves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from biokeel.rules.drafts import Draft
from biokeel.rules.keys import StewardKey
from biokeel.rules.review import Review

if TYPE_CHECKING:
    from collections.abc import Mapping

    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.topics import EventType
    from biokeel.land.objects import Objects
    from biokeel.rulebook.book import Page
    from biokeel.rulebook.pages import Name


class MadeUpStewards:
    """An author and an approver, whose keys live as long as this object. One pair for each book."""

    def __init__(
        self,
        objects: Objects,
        schemas: Mapping[EventType, EventSchema],
        names: tuple[Name, Name] = ("author", "approver"),
    ) -> None:
        self.review = Review(objects, schemas)
        self.author, self.approver = (StewardKey(name, Ed25519PrivateKey.generate()) for name in names)

    def put_in_force(self, event: EventType, text: str, samples: str, reason: str) -> Page:
        """Submit `text` with its `samples`, and approve it. Raises `NotApproved` as for anybody."""
        self._introduce()
        draft = Draft(text, self.review.standing(event).page.stamp, samples)
        waiting = self.review.submit(event, draft, self.author, reason)
        return self.review.approve(event, waiting.digest, self.approver)

    def roll_back(self, event: EventType, to: int, reason: str) -> Page:
        """Put the text of version `to` in force again."""
        self._introduce()
        waiting = self.review.roll_back(event, to, self.author, reason)
        return self.review.approve(event, waiting.digest, self.approver)

    def _introduce(self) -> None:
        for each in (self.author, self.approver):
            self.review.introduce(each.name, each.public, self.author)
