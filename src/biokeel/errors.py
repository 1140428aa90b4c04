"""Every exception that Biokeel raises on purpose.

```
BiokeelError
├── SettingsError            a setting is missing or makes no sense
├── ContractError
│   ├── SchemaError          a schema breaks the rules for schemas
│   ├── DamagedBlock         a block of ours that cannot be read
│   ├── UnsignedBlock        a message of a pseudo topic that the vault zone did not sign for its place
│   ├── IncompatibleSchema   a schema change that the evolution gate refuses
│   ├── UnknownSchema        a schema id or subject that the catalogue does not hold
│   ├── UnusableSchema       a schema of the registry that no event can be read with
│   ├── NotAVariantFile      a file whose header is not that of a VCF
│   └── RegistryUnavailable  the schema registry does not answer; trying again may help
├── SourceError
│   ├── AdapterError         a file (or a part of it) that no event can be made of
│   ├── DeliveryError        Kafka did not take an event
│   │   └── OversizedEvent    an event is larger than one may be; nothing was sent
│   └── SpoolError           the disk between a source and Kafka fails
│       ├── SpoolFull        there is no room for more events; nothing of them was taken
│       └── SpoolTaken       another process has the spool
├── VaultError
│   ├── VaultKeyError        a key is missing, malformed or not the one the vault was sealed with
│   ├── SealError            a sealed payload that does not open
│   ├── VaultRefused         the vault's database does not take what it was given
│   └── VaultUnavailable     the vault's database does not answer; trying again may help
├── SuiteError               a suite that cannot be read, compiled or run
│   ├── BookBroken           a page of the book of rules that is missing, was changed, or is not signed
│   └── NotApproved          a draft that may not be submitted, approved or put in force as it is
├── LandingError
│   ├── StoreRefused         the object store does not do what exactly-once landing needs
│   ├── StoreUnavailable     the object store does not answer; trying again may help
│   ├── NothingLanded        an event type that has no table yet
│   └── CommitConflict       another writer landed the same rows; positions must be read again
├── EngineError
│   ├── TransportError       Kafka cannot be reached or misbehaves
│   ├── OversizedBatch       a compressed batch of Kafka's that comes to more than is held
│   ├── PoisonBatch          a stage keeps raising, and its events cannot be set aside
│   └── Stuck                offsets have not moved for too long
├── AdminError               Kafka did not do what an administrator asked
├── StackError
│   ├── ArtifactError        a jar cannot be had, or its bytes are not the pinned ones
│   ├── PortTaken            a port is not free
│   └── ProcessDied          a process of the stack ended by itself
└── BooksDoNotBalance        `biokeel verify` found events lost or doubled
```

Messages say what happened, where, and what to do; they never hold an identifier or a field's value. Errors of other
libraries are mapped to these at the edge where they are called. Bad *data* is no exception: stages return it as
`biokeel.batch.Rejections`.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Final

WITHHELD: Final = "(message withheld: it may hold values)"
_FRAMES: Final = 6
"""Innermost places that `describe` names."""


class BiokeelError(Exception):
    """Base of every error of Biokeel.

    `what` says what happened and where; `todo` says what the reader can do about it. Neither may hold an identifier.
    """

    def __init__(self, what: str, todo: str = "") -> None:
        super().__init__(what if not todo else f"{what} {todo}")
        self.what = what
        self.todo = todo


class SettingsError(BiokeelError):
    """A setting is missing or makes no sense."""


class ContractError(BiokeelError):
    """Something is wrong with a schema or with the catalogue."""


class SchemaError(ContractError):
    """A schema breaks the rules for schemas: a field without doc, unit or tag, an envelope that differs."""


class DamagedBlock(ContractError):  # noqa: N818
    """A block that the vault zone has signed and that cannot be read, whichever release reads it."""


class UnsignedBlock(ContractError):  # noqa: N818
    """A message of a pseudo topic that the vault zone did not sign for its place: anybody may have written it."""


class IncompatibleSchema(ContractError):  # noqa: N818 - reads better at the place where it is raised
    """A schema change that the evolution gate refuses."""


class UnknownSchema(ContractError):  # noqa: N818
    """A schema id or subject that the catalogue does not hold."""


class UnusableSchema(ContractError):  # noqa: N818
    """A schema of the registry that no event can be read with; what it says names nothing of that schema."""


class NotAVariantFile(ContractError):  # noqa: N818
    """A file whose header is not that of a VCF; names the kind of line that is at fault, and none of its values."""


class RegistryUnavailable(ContractError):  # noqa: N818
    """The schema registry does not answer; trying again may help."""


class SourceError(BiokeelError):
    """Something went wrong on the way from a source to Kafka."""


class AdapterError(SourceError):
    """A file, or a part of it, that no event can be made of."""


class DeliveryError(SourceError):
    """Kafka did not take an event."""


class OversizedEvent(DeliveryError):  # noqa: N818
    """An event is larger than one may be: a fault of the event, seen before anything was sent."""


class NoTopic(DeliveryError):  # noqa: N818
    """Kafka has no topic for a source's events of a type, which it was not granted, perhaps: nothing was sent."""


class SpoolError(SourceError):
    """The disk between a source and Kafka fails."""


class SpoolFull(SpoolError):  # noqa: N818
    """There is no room in the spool for more events, so they were not taken."""


class SpoolTaken(SpoolError):  # noqa: N818
    """Another process has the spool."""


class VaultError(BiokeelError):
    """Something is wrong in the vault zone."""


class VaultKeyError(VaultError):
    """A key is missing, malformed, or not the one that the vault was sealed with."""


class SealError(VaultError):
    """A sealed payload that does not open: wrong key, or changed bytes."""


class VaultRefused(VaultError):  # noqa: N818
    """The vault's database does not take what it was given; trying again does not help."""


class VaultUnavailable(VaultError):  # noqa: N818
    """The vault's database does not answer; trying again may help."""


class SuiteError(BiokeelError):
    """A suite that cannot be read, compiled or run."""


class BookBroken(SuiteError):  # noqa: N818
    """A page of the book of rules that is missing, was changed, or is not signed by who may."""


class NotApproved(SuiteError):  # noqa: N818
    """A draft that may not be submitted, approved or put in force as it is."""


class LandingError(BiokeelError):
    """Something is wrong between a batch and its table."""


class StoreRefused(LandingError):  # noqa: N818
    """The object store does not do what exactly-once landing needs."""


class StoreUnavailable(LandingError):  # noqa: N818
    """The object store does not answer; trying again may help."""


class NothingLanded(LandingError):  # noqa: N818
    """An event type that has no table yet: no worker has begun with it."""


class CommitConflict(LandingError):  # noqa: N818
    """Another writer landed the same rows; positions must be read again from the table."""


class EngineError(BiokeelError):
    """Something is wrong in a worker."""


class TransportError(EngineError):
    """Kafka cannot be reached or misbehaves."""


class OversizedBatch(EngineError):  # noqa: N818
    """A compressed batch of Kafka's that comes to more than `most` bytes; `packed` is the batch as it was."""

    def __init__(self, most: int, packed: bytes) -> None:
        super().__init__(f"in a batch of {len(packed)} bytes that unpacks to more than {most}")
        self.packed = packed


class PoisonBatch(EngineError):  # noqa: N818
    """A stage keeps raising on events that cannot be set aside: too many, or decided before."""


class Stuck(EngineError):  # noqa: N818
    """Offsets have not moved for too long."""


class AdminError(BiokeelError):
    """Kafka did not do what an administrator asked: make a topic, a user, a right or a quota."""


class StackError(BiokeelError):
    """The local stack cannot do what it was asked."""


class ArtifactError(StackError):
    """A jar cannot be had, or its bytes are not the pinned ones."""


class PortTaken(StackError):  # noqa: N818
    """A port is not free."""


class ProcessDied(StackError):  # noqa: N818
    """A process of the stack ended by itself."""


class BooksDoNotBalance(BiokeelError):  # noqa: N818
    """`biokeel verify` found events lost or doubled."""


def said(error: BaseException) -> str:
    """The message of `error` if it is one of ours, which never holds a value; any other is withheld."""
    return str(error) if isinstance(error, BiokeelError) else WITHHELD


def where_raised(error: BaseException) -> str:
    """The type of `error` and the innermost place of ours that it came from: no word of its message."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "biokeel" in Path(frame.filename).parts] or list(frames)
    where = f" at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    return f"{type(error).__name__}{where}"


def describe(error: BaseException) -> str:
    """The type of `error`, what may be told of its message, and where it was raised, in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames[-_FRAMES:])
    )
    return f"{type(error).__name__}: {said(error)} at {where}"
