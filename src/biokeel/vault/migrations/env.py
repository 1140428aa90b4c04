"""What Alembic runs: the migrations, in the transaction that the caller has begun and will end."""

from __future__ import annotations

from alembic import context

from biokeel.vault.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
