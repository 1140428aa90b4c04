"""One event's file, from the landing bucket to the bucket of checked files, and what is to be said of it.

In steps, and what dying before each means:

| step | died before it |
| --- | --- |
| 1 who the event and the file's samples are of | nothing has happened |
| 2 fetch the object, count and hash its bytes | nothing has happened: the copy has no name on the disk |
| 3 check and rewrite it (`biokeel.files.rewrite`) | the same |
| 4 write the new file, named by participant and content, if there is none | parts may lie there: the next goes on |
| 5 the verdict, and the event's release number (`Vault.file_checked`) | the new file lies there; the next finds it |

The new file's name is of the participant and of its own bytes, so whoever does step 4 again writes nothing. Where the
event's person has changed meanwhile (a merge, a withdrawal), the check begins anew before anything is written; where
that happens during step 4, the file stays, as what has landed does, and no event says that it is there.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import numpy as np
import polars as pl

from biokeel.batch import RawBatch
from biokeel.contracts.ids import encode_ids
from biokeel.contracts.topics import Domain
from biokeel.errors import LandingError, StoreRefused, StoreUnavailable
from biokeel.files import child
from biokeel.reasons import Reason
from biokeel.s3 import Content, content_of
from biokeel.testing.crash import reached
from biokeel.vault.consent import CONSENT
from biokeel.vault.files import FileVerdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from biokeel.batch import At
    from biokeel.contracts.codec import Codec
    from biokeel.contracts.sources import Register
    from biokeel.contracts.topics import EventType
    from biokeel.s3 import Bucket
    from biokeel.vault.store import Vault

_SAMPLES: Final = "sample/"


@dataclass(frozen=True, slots=True)
class Claim:
    """What an event says of its file, and whom it names. Never printed."""

    source: str
    scheme: str
    subject: str
    uri: str
    content: Content
    file: child.Claimed

    def __repr__(self) -> str:
        return f"Claim({self.source})"


@dataclass(frozen=True, slots=True)
class _Asked:
    """A claim as it stands, and whose it is in one generation of people. `theirs`: so are the samples of its file."""

    claim: Claim
    generation: int
    participant: int
    theirs: bool

    def is_as(self, other: _Asked) -> bool:
        """Whether a verdict about `other` is one about this."""
        return (self.participant, self.theirs) == (other.participant, other.theirs)


@dataclass(frozen=True, slots=True)
class Checker:
    """Checks files with the rights of the vault zone.

    `folder` is where a file lies, without a name, while it is looked at.
    """

    vault: Vault
    codec: Codec
    register: Callable[[], Register]
    landing: Bucket
    checked: Bucket
    folder: Path

    def check(self, event: EventType, at: At) -> FileVerdict | None:
        """Check the file of a parked event and let the event on; the verdict, null where there is none to be given.

        That is so where somebody else was first, and where the event cannot go on for another reason than its file: the
        wall says for which. Raises `VaultUnavailable`, `VaultError`, `StoreUnavailable`, `StoreRefused`, `EngineError`:
        then the event waits as before.
        """
        while (asked := self._asked(event, at)) is not None:
            reached("files.begun")

            def still(asked: _Asked = asked) -> bool:
                now = self._asked(event, at)
                return now is not None and now.is_as(asked)

            verdict = self._verdict(asked, still)
            reached("files.written")
            # People change while a file is looked at; as long as these do not, the verdict holds.
            while verdict is not None and (now := self._asked(event, at)) is not None and now.is_as(asked):
                if self.vault.file_checked(event, at, now.generation, verdict):
                    reached("files.decided")
                    return verdict
        return None

    def _asked(self, event: EventType, at: At) -> _Asked | None:
        """The claim of an event that waits, and whose it is now; null where it does not wait (any more).

        One that cannot go on for another reason than its file is let on, to be judged by the wall.
        """
        found = self.vault.of_file(event, at)
        if found is None:
            return None
        generation, payload = found
        claim = self._claim(event, at, payload)
        participant = None if claim is None else self._whose(claim, generation)
        if claim is None or participant is None:
            self.vault.file_checked(event, at, generation, None)
            return None
        return _Asked(claim, generation, participant, self._are_theirs(claim, participant, generation))

    def _claim(self, event: EventType, at: At, payload: bytes) -> Claim | None:
        """The event; null where it cannot be read any more."""
        batch = RawBatch.of(event, [(at.origin, np.array([at.offset], dtype=np.int64), [payload])])
        frame = self.codec.decode(batch).accepted.frame
        if frame.is_empty():
            return None
        row = frame.row(0, named=True)
        claimed = child.Claimed(row["file_format"], row["reference_build"], tuple(row["sample_names"]))
        content = Content(row["size_bytes"], row["sha256"])
        return Claim(at.source, row["subject_scheme"], row["subject_id"], row["uri"], content, claimed)

    def _whose(self, claim: Claim, generation: int) -> int | None:
        """The participant whose event it is; null where there is none, or none who has consented."""
        people = self._look_up([claim.scheme], [claim.subject], generation)
        if people["withdrawn"].item() or not (people["consent"].item() or 0) & CONSENT[Domain.GENOME]:
            return None
        found = people["participant"].item()
        return None if found is None else int(found)

    def _look_up(self, schemes: Sequence[str], ids: Sequence[str], generation: int) -> pl.DataFrame:
        return self.vault.look_up(pl.Series(schemes, dtype=pl.String), pl.Series(ids, dtype=pl.String), generation)

    def _are_theirs(self, claim: Claim, participant: int, generation: int) -> bool:
        """Whether each sample is bound to `participant`, under the event's scheme or one of samples of its source.

        A sample that is bound to somebody else under any of them is not.
        """
        source = self.register().get(claim.source)
        granted = () if source is None else source.schemes
        schemes = list(dict.fromkeys((claim.scheme, *(each for each in granted if each.startswith(_SAMPLES)))))
        for sample in claim.file.samples:
            people = self._look_up(schemes, [sample] * len(schemes), generation)
            if set(people["participant"].drop_nulls()) != {participant}:
                return False
        return True

    def _verdict(self, asked: _Asked, still: Callable[[], bool]) -> FileVerdict | None:
        """What is found of the file; null where people have changed before a good one was written (`still`)."""
        claim, participant = asked.claim, asked.participant

        def refused(reason: Reason, what: str) -> FileVerdict:
            return FileVerdict(participant, reason, what)

        if not asked.theirs:
            return refused(Reason.FILE_NOT_THE_SUBJECTS, "sample_names")
        key = claim.uri.removeprefix(f"s3://{self.landing.name}/")
        if not key.startswith(f"{claim.source}/"):
            return refused(Reason.FILE_URI, "uri")
        size = self.landing.size_of(key)
        if size is None:
            return refused(Reason.FILE_MISSING, "uri")
        if size != claim.content.size:
            return refused(Reason.FILE_HASH, "size_bytes")
        with self._nameless() as source, self._nameless() as target:
            try:
                self.landing.fetch(key, source)
            except (StoreUnavailable, StoreRefused):
                raise
            except LandingError:  # it went away since it was looked for
                return refused(Reason.FILE_MISSING, "uri")
            source.seek(0)
            if content_of(source) != claim.content:
                return refused(Reason.FILE_HASH, "sha256")
            reached("files.fetched")
            name = encode_ids(pl.Series([participant], dtype=pl.Int64)).item()
            several = len(claim.file.samples) > 1
            names = [f"{name}-{n}" if several else name for n in range(1, len(claim.file.samples) + 1)]
            answer = child.run(source, target, size, claim.file, names)
            if answer.reason is not None:
                return refused(answer.reason, answer.what)
            reached("files.rewritten")
            target.seek(0)
            made = content_of(target)
            target.seek(0)
            kind = "gvcf.gz" if claim.file.file_format.startswith("gvcf") else "vcf.gz"
            if not still():
                return None
            verdict = FileVerdict(participant, size=made.size, sha256=made.sha256, file_format=kind)
            verdict = replace(verdict, deletions=self.vault.file_deletions(verdict.key))
            self.checked.put_file_new(verdict.key, target, made)
        return verdict

    def _nameless(self) -> BinaryIO:
        """A file that is gone with the process, however that ends: nobody's genome is left behind."""
        return cast("BinaryIO", tempfile.TemporaryFile(dir=self.folder))
