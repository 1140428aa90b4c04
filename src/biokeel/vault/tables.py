"""The vault's tables. No column holds an identifier or a payload in clear.

Coordinates (event, source, partition, offset) are the primary key of `parked`, `dead_letter` and `applied`, so that an
event that comes twice is one row, and stands in one of the three only.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Mapping

    from biokeel.batch import At, RawPartition
    from biokeel.contracts.topics import EventType

    Spans = Mapping[RawPartition, tuple[int, int]]
    """By raw partition, its first and its last offset."""
    Run = tuple[RawPartition, int, int]
    """Offsets of a raw partition that follow each other: the first and the last."""

COORDINATES: Final = ("event", "source", "partition", "offset")
METADATA: Final = sa.MetaData()


class Parked(StrEnum):
    """The life of a parked event; it only goes forward."""

    WAITING = "waiting"
    """Nobody is enrolled under its identifier, or its file is not checked yet."""
    NUMBERED = "numbered"
    """Its person has come: it has its release number (or, a person event, it can be applied)."""
    OFFERED = "offered"
    """It was judged and handed to the worker; whether it is in Kafka is not known yet. The verdict stands."""
    RELEASED = "released"
    """It is in Kafka; the sealed bytes are gone."""


def _partition() -> tuple[sa.Column[str], sa.Column[str], sa.Column[int]]:
    """A raw partition: `event` and `source` are its topic."""
    return (
        sa.Column("event", sa.String(64), primary_key=True),
        sa.Column("source", sa.String(40), primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
    )


def _coordinates() -> tuple[sa.Column[str], sa.Column[str], sa.Column[int], sa.Column[int]]:
    return (*_partition(), sa.Column("offset", sa.BigInteger, primary_key=True, autoincrement=False))


META = sa.Table(
    "meta",
    METADATA,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", sa.String(128), nullable=False),
)
"""`generation`: counts what makes cached people stale; `keys`: proof of the keys that the vault was made with."""

PARTICIPANT = sa.Table(
    "participant",
    METADATA,
    sa.Column("participant", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("enrolled_on", sa.Date),
    sa.Column("birth_year", sa.Integer),
    sa.Column("sex", sa.String(16)),
    sa.Column("province", sa.String(8)),
    sa.Column("consent", sa.Integer),
    sa.Column("consent_at", sa.BigInteger),
    sa.Column("withdrawal", sa.String(24)),
    sa.Column("merged_into", sa.BigInteger),
)
"""`consent` is a sum of `consent.CONSENT`, null where nothing was stated; `consent_at` (ms since 1970) is when the
newest consent_change was decided, null where there was none: see `biokeel.vault.consent`."""

IDENTIFIER = sa.Table(
    "identifier",
    METADATA,
    sa.Column("digest", sa.LargeBinary(32), primary_key=True),
    sa.Column("scheme", sa.String(64), nullable=False),
    sa.Column("key_id", sa.String(8), nullable=False),
    sa.Column("participant", sa.BigInteger, sa.ForeignKey("participant.participant"), nullable=False, index=True),
    sa.Column("first", sa.BigInteger, sa.ForeignKey("participant.participant"), nullable=False),
    sqlite_with_rowid=False,
)
"""`participant` is whose identifier it is, `first` whose it was when it was bound: before any merge."""

PARKED = sa.Table(
    "parked",
    METADATA,
    *_coordinates(),
    sa.Column("digest", sa.LargeBinary(32), nullable=False, index=True),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("release_number", sa.BigInteger),
    sa.Column("sealed", sa.LargeBinary),
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("event", "source", "partition", "release_number"),
    # Released rows stay for ever; those that are not must be found without reading past them.
    sa.Index("parked_state", "state", "event", "source", "partition"),
)

DEAD_LETTER = sa.Table(
    "dead_letter",
    METADATA,
    *_coordinates(),
    sa.Column("reason", sa.String(48), nullable=False),
    sa.Column("detail", sa.String(256), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("since", sa.BigInteger, nullable=False),
)

FILE_VERDICT = sa.Table(
    "file_verdict",
    METADATA,
    *_coordinates(),
    sa.Column("participant", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.String(48), nullable=False),
    sa.Column("detail", sa.String(256), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("file_format", sa.String(16), nullable=False),
)
"""What the check of an event's file found: see `biokeel.vault.files`. `reason` is empty for a good file, of which size,
hash and format are those of the file that was written anew."""

DELETED_FILE = sa.Table(
    "deleted_file",
    METADATA,
    sa.Column("key", sa.String(128), primary_key=True),
    sa.Column("condemned", sa.Boolean, nullable=False),
    sa.Column("times", sa.BigInteger, nullable=False),
)
"""Names of files in the genome bucket: how many `times` one was deleted, and whether it is `condemned`, to be deleted
again. As long as it is, no verdict may name it; afterwards only one whose file was written since."""

APPLIED = sa.Table("applied", METADATA, *_coordinates())
"""Coordinates of the person events that were applied."""

VOID = sa.Table(
    "void",
    METADATA,
    *_partition(),
    sa.Column("last", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("first", sa.BigInteger, primary_key=True, autoincrement=False),
)
"""Offsets `first` to `last` hold no event: markers of transactions, what they aborted, what was compacted away.

Rows may overlap, since a replay may be cut otherwise, and none is ever changed: another worker may have gone on. The
last offset stands before the first in the key, by which the highest is found at once."""

DECISION = sa.Table(
    "decision",
    METADATA,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("mark", sa.BigInteger, nullable=False),
    sa.Column("event", sa.String(64), nullable=False),
    sa.Column("source", sa.String(40), nullable=False),
    sa.Column("partition", sa.Integer, nullable=False),
    sa.Column("first", sa.BigInteger, nullable=False),
    sa.Column("last", sa.BigInteger, nullable=False),
    sa.Column("place", sa.String(8), nullable=False),
    sa.Column("reason", sa.String(48), nullable=False),
)
"""What was decided of which offsets, in the order of commits: see `biokeel.vault.decision_log`. `mark` is random: by it
a reader knows that a number is still the decision that it read, and not one of a vault that was restored since."""

CLIENT = sa.Table(
    "client",
    METADATA,
    sa.Column("source", sa.String(40), primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("version", sa.String(16), primary_key=True),
    sa.Column("seen", sa.BigInteger, nullable=False),
)
"""Which client software each source sends with, as it states, and when that was last noted (ms since 1970)."""

RELEASE_COUNTER = sa.Table(
    "release_counter",
    METADATA,
    *_partition(),
    sa.Column("last", sa.BigInteger, nullable=False),
)

PROGRESS = sa.Table(
    "progress",
    METADATA,
    *_partition(),
    sa.Column("decided", sa.BigInteger, nullable=False),
)
"""Last offset of each raw partition that was decided upon: a replay below it gives what the first time gave."""

FORGOTTEN = sa.Table(
    "forgotten",
    METADATA,
    *_partition(),
    sa.Column("first", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("last", sa.BigInteger, nullable=False),
)
"""Offsets `first` to `last` were decided by this vault's later self, whose decisions an older backup does not hold."""

SPREAD = sa.Table(
    "spread",
    METADATA,
    sa.Column("topic", sa.String(128), primary_key=True),
    sa.Column("partitions", sa.Integer, nullable=False),
)
"""Over how many partitions participants are spread in each pseudo topic, however many it has by now."""

MERGE_MARK = sa.Table(
    "merge_mark",
    METADATA,
    sa.Column("participant", sa.BigInteger, sa.ForeignKey("participant.participant"), primary_key=True),
    *_partition(),
    sa.Column("stream", sa.String(16), primary_key=True),
    sa.Column("last", sa.BigInteger, nullable=False),
)
"""How far each partition was decided when `participant` was merged into another: up to `last`, events keep it.

Stream `raw` counts offsets, `parking` counts release numbers. No row: nothing was decided."""

AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("participant", sa.BigInteger),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("mac", sa.LargeBinary(32), nullable=False),
)


def place(event: EventType, at: At) -> dict[str, Any]:
    """The columns that say where an event stands."""
    return dict(zip(COORDINATES, (str(event), *at), strict=True))


def within(table: sa.Table, event: EventType, origin: RawPartition) -> tuple[sa.ColumnElement[bool], ...]:
    """Conditions that find the rows of one raw partition."""
    return table.c.event == str(event), table.c.source == origin.source, table.c.partition == origin.partition
