"""What stands in the book of rules: objects of JSON in the lake bucket, each written once and signed.

```
rules/stewards/<number>.json               who may write and approve, in the order in which they came
rules/<event>/<number>.json                the versions of a suite: 000001, 000002, … without a gap
rules/<event>/submitted/<digest>.json      a draft that waits for its approval, or waited
rules/<event>/rejected/<digest>.json       that a submission of this digest was rejected, by whom and why
rules/newest                               the key of the version that was written last: a hint, replaced each time
rules/shadows/<event>/<digest>.json        a draft that runs beside the version in force, without effect, for a time
rules/shadows/<event>/<digest>.ended.json  that it was stopped before its time
```

Numbered pages hang together: each holds the SHA-256 of the bytes of the one before. A version holds its submission as
its author signed it; who approves signs the number, the page before and the whole submission. So a page cannot be
changed, moved to another number or event type, or put behind another page.

Signed is the document without its signature, as JSON with sorted keys: only what stands in the page, so that a field
that a later release adds does not break the signatures of old pages.
"""

from __future__ import annotations

import json
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from biokeel.contracts.topics import EventType

ROOT: Final = "rules/"
NEWEST: Final = ROOT + "newest"
STEWARDS: Final = ROOT + "stewards/"
SHADOWS: Final = ROOT + "shadows/"
ENDED: Final = ".ended.json"
INSTALLATION: Final = "installation"
"""Who wrote the first version of an event type: a worker, from what the installation began with."""
STAMP_DIGITS: Final = 12
_CONTEXT: Final = b"biokeel rules "
"""Begins whatever is signed, so that a signature of something else never passes for one of the book's."""
_NAME: Final = r"^[a-z][a-z0-9_.-]{0,59}$"

Name = Annotated[str, Field(pattern=_NAME)]
"""Of a steward: small letters, digits, dots, hyphens."""
Hex = Annotated[str, Field(pattern="^([0-9a-f]{2})*$")]


class Kind(StrEnum):
    """Where a version's text comes from."""

    FIRST = "first"
    """What a new installation began with; nobody approved it but who installed it."""
    DRAFT = "draft"
    ROLLBACK = "rollback"
    """The text of an older version."""


class Unreadable(ValueError):  # noqa: N818 - reads better at the place where it is raised
    """Bytes that are no page of the book; says why, in words for `BookBroken`."""


class Signed(BaseModel):
    """A document that somebody signed; `signature` is 128 hexadecimal digits (Ed25519), empty where nobody did."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    is_about: ClassVar[bytes]

    signature: Hex = ""

    def signed(self, key: Ed25519PrivateKey) -> Self:
        """The document with the signature of `key`."""
        return self.model_copy(update={"signature": key.sign(self._said()).hex()})

    def is_signed_by(self, public: str) -> bool:
        """Whether the signature is that of the key whose public half is `public`, 64 hexadecimal digits."""
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        try:
            key.verify(bytes.fromhex(self.signature), self._said())
        except InvalidSignature:
            return False
        return True

    def to_bytes(self) -> bytes:
        """What is stored."""
        document = self.model_dump(mode="json", exclude_unset=True)
        return (json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """What was stored. Raises `Unreadable`."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            found = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, found["loc"]))
            raise Unreadable(f"{where}: {found['msg']}" if where else found["msg"]) from None

    def _said(self) -> bytes:
        document: dict[str, Any] = self.model_dump(mode="json", exclude={"signature"}, exclude_unset=True)
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        return _CONTEXT + self.is_about + b" " + text.encode()


class Submission(Signed):
    """A draft as its author submitted it, or the older version that is to be in force again.

    `parent` is the number of the version in force that it was made from, `suite` the whole text, `at` when (ISO 8601).
    `forced` says why it may quarantine more than is usual, where it does.
    """

    is_about = b"submission"

    event: str
    kind: Kind
    parent: Annotated[int, Field(ge=0)]
    suite: str
    author: Name
    reason: str
    forced: str = ""
    at: str


class Version(Signed):
    """A page of an event type: the submission that was approved, by whom, and after which page.

    `previous` is the SHA-256 of the page before, empty for the first. `four_eyes` is false where the installation lets
    an author approve.
    """

    is_about = b"version"

    number: Annotated[int, Field(ge=1)]
    previous: Hex
    submitted: Submission
    approver: Name
    four_eyes: bool
    at: str


class Rejection(Signed):
    """That the submission with the digest `submission` is not to be in force."""

    is_about = b"rejection"

    event: str
    submission: Hex
    by: Name
    reason: str
    at: str


class Shadow(Signed):
    """That the draft `suite` is to be counted beside the version in force until `until`, by whom and why.

    `begins`: of the curated and the quarantine table the last commit before it, as (version, mark); see
    `biokeel.land.landings`.
    """

    is_about = b"shadow"

    event: str
    suite: str
    author: Name
    reason: str
    at: str
    until: AwareDatetime
    begins: dict[str, tuple[int, int]]


class ShadowEnd(Signed):
    """That the shadow with the digest `shadow` ends `at`, before its time."""

    is_about = b"end of a shadow"

    event: str
    shadow: Hex
    author: Name
    at: AwareDatetime


class Steward(Signed):
    """A page of the stewards: a name, the public half of its key, and who introduced it, whose signature this has.

    The first one introduces itself.
    """

    is_about = b"steward"

    number: Annotated[int, Field(ge=1)]
    previous: Hex
    name: Name
    key: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    introduced_by: Name
    at: str


def digest_of(data: bytes) -> str:
    """The SHA-256 of a page, 64 hexadecimal digits."""
    return sha256(data).hexdigest()


def stamp_of(number: int, digest: str) -> str:
    """What rows are stamped with: number and beginning of the digest of their version (`3+0f12ab34cd56`).

    The digest stands for the page and, as pages hang together, for every page before it: tables so are witnesses of a
    book that was written anew.
    """
    return f"{number}+{digest[:STAMP_DIGITS]}"


def folder_of(event: EventType) -> str:
    """The prefix of everything that is about `event`."""
    return f"{ROOT}{event}/"


def page_key(folder: str, number: int) -> str:
    """The key of a numbered page in `folder`."""
    return f"{folder}{number:06}.json"


def submission_key(event: EventType, digest: str) -> str:
    """The key of a submission."""
    return f"{folder_of(event)}submitted/{digest}.json"


def rejection_key(event: EventType, digest: str) -> str:
    """The key of the rejection of the submission with that digest."""
    return f"{folder_of(event)}rejected/{digest}.json"


def shadow_key(event: EventType, digest: str) -> str:
    """The key of a shadow; without a digest the prefix of those of `event`."""
    return f"{SHADOWS}{event}/{digest}.json" if digest else f"{SHADOWS}{event}/"


def ended_key(key: str) -> str:
    """The key of what ends the shadow with that key before its time."""
    return key.removesuffix(".json") + ENDED
