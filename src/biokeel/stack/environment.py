"""The settings of the local stack as files: `vault.env` and `research.env`, one for each side of the privacy wall."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from biokeel.contracts.topics import Zone
from biokeel.stack import kafka, objectstore
from biokeel.stack.state import State, write_private

PREFIX = "BIOKEEL_"
ZONED = ("KAFKA_", "S3_", "VAULT_")
"""Settings that say where a zone's parts are and how to get in: a process has its own zone's or none."""


def zone_settings(zone: Zone, state: State, vault_folder: Path) -> dict[str, str]:
    """The settings of one zone, by the names of their environment variables."""
    settings = {
        "KAFKA_BOOTSTRAP": kafka.bootstrap(state),
        "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
        "S3_ENDPOINT": objectstore.endpoint(state),
        "S3_REGION": objectstore.REGION,
        "S3_ACCESS_KEY": state.access_key,
        "S3_SECRET_KEY": state.secret_key,
    }
    if zone is Zone.VAULT:
        settings |= {
            "VAULT_URL": f"sqlite:///{vault_folder / 'vault.sqlite'}",
            "VAULT_KEY_FILE": str(vault_folder / "vault.keys"),
        }
    return {PREFIX + name: value for name, value in settings.items()}


def write(file: Path, settings: Mapping[str, str]) -> None:
    """Write a dotenv file that only its owner may read."""
    lines = "".join(f"{name}='{value}'\n" for name, value in settings.items())
    write_private(file, "# Written by biokeel stack up; each start writes it anew.\n" + lines)


def of_process(settings: Mapping[str, str], state_dir: Path) -> dict[str, str]:
    """The whole environment of a process: ours without any zone's settings, then its own zone's."""
    zoned = tuple(PREFIX + name for name in ZONED)
    own = {name: value for name, value in os.environ.items() if not name.startswith(zoned)}
    return own | {"BIOKEEL_STATE_DIR": str(state_dir), "PYTHONUNBUFFERED": "1"} | dict(settings)
