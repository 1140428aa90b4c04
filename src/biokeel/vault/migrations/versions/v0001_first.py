"""The tables of the first release, as they were then: a copy on purpose, for `biokeel.vault.tables` goes on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _partition() -> tuple[sa.Column[str], sa.Column[str], sa.Column[int]]:
    return (
        sa.Column("event", sa.String(64), primary_key=True),
        sa.Column("source", sa.String(40), primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
    )


def _coordinates() -> tuple[sa.Column[str], sa.Column[str], sa.Column[int], sa.Column[int]]:
    return (*_partition(), sa.Column("offset", sa.BigInteger, primary_key=True, autoincrement=False))


def upgrade() -> None:
    """Make every table."""
    _people()
    _events()
    _books()


def _people() -> None:
    op.create_table(
        "meta",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.String(128), nullable=False),
    )
    op.create_table(
        "participant",
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
    op.create_table(
        "identifier",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("scheme", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(8), nullable=False),
        sa.Column("participant", sa.BigInteger, sa.ForeignKey("participant.participant"), nullable=False, index=True),
        sa.Column("first", sa.BigInteger, sa.ForeignKey("participant.participant"), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "merge_mark",
        sa.Column("participant", sa.BigInteger, sa.ForeignKey("participant.participant"), primary_key=True),
        *_partition(),
        sa.Column("stream", sa.String(16), primary_key=True),
        sa.Column("last", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("participant", sa.BigInteger),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("mac", sa.LargeBinary(32), nullable=False),
    )


def _events() -> None:
    op.create_table(
        "parked",
        *_coordinates(),
        sa.Column("digest", sa.LargeBinary(32), nullable=False, index=True),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("release_number", sa.BigInteger),
        sa.Column("sealed", sa.LargeBinary),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("event", "source", "partition", "release_number"),
    )
    op.create_index("parked_state", "parked", ["state", "event", "source", "partition"])
    op.create_table(
        "dead_letter",
        *_coordinates(),
        sa.Column("reason", sa.String(48), nullable=False),
        sa.Column("detail", sa.String(256), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
    )
    op.create_table("applied", *_coordinates())
    op.create_table(
        "file_verdict",
        *_coordinates(),
        sa.Column("participant", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.String(48), nullable=False),
        sa.Column("detail", sa.String(256), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("file_format", sa.String(16), nullable=False),
    )
    op.create_table(
        "deleted_file",
        sa.Column("key", sa.String(128), primary_key=True),
        sa.Column("condemned", sa.Boolean, nullable=False),
        sa.Column("times", sa.BigInteger, nullable=False),
    )
    op.create_table("release_counter", *_partition(), sa.Column("last", sa.BigInteger, nullable=False))


def _books() -> None:
    op.create_table("progress", *_partition(), sa.Column("decided", sa.BigInteger, nullable=False))
    op.create_table(
        "forgotten",
        *_partition(),
        sa.Column("first", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("last", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "void",
        *_partition(),
        sa.Column("last", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("first", sa.BigInteger, primary_key=True, autoincrement=False),
    )
    op.create_table(
        "decision",
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
    op.create_table(
        "client",
        sa.Column("source", sa.String(40), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("version", sa.String(16), primary_key=True),
        sa.Column("seen", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "spread",
        sa.Column("topic", sa.String(128), primary_key=True),
        sa.Column("partitions", sa.Integer, nullable=False),
    )
