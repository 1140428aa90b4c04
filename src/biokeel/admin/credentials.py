"""The credentials' files of sources: what an institution's engineer takes along, `<state_dir>/sources/<id>.env`.

A password stands in its file before Kafka knows it, under a name that says so (`<id>.env.new`), and the file gets its
own name when Kafka has taken the password. A process that dies in between leaves either no file, or one with a password
that the next `apply` gives to Kafka: no user is ever left with a password that nobody knows.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from biokeel.admin.private import read_settings, write_settings
from biokeel.errors import AdminError
from biokeel.settings import Settings, side_of

LANDING: Final = "landing.env"
"""In the state directory: settings that every source is given beside its way into Kafka, if there are any."""
MECHANISM: Final = "SCRAM-SHA-512"
_NEW: Final = ".env.new"
_SAYS: Final = "How {source} reaches the programme. Keep it from everybody else: who has it is {source}."


class Credentials:
    """The credentials' files below the state directory of `settings`, which say where Kafka is."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def file(self, source_id: str) -> Path:
        """Where the file of a source lies when it is whole."""
        return self._settings.state_dir / f"{side_of(source_id)}.env"

    def unfinished(self) -> frozenset[str]:
        """Sources whose new password is not yet known to be in Kafka."""
        return frozenset(
            path.name.removesuffix(_NEW) for path in self._settings.state_dir.glob(f"{side_of('*')}{_NEW}")
        )

    def password(self, source_id: str, *, new: bool) -> str:
        """The password that Kafka shall be given, after it was written; `new`: another than the file holds.

        A file that waits for Kafka counts first: it is what an earlier run began. Raises `AdminError` where the folder
        cannot be written or a file holds no password.
        """
        waiting = self._waiting(source_id)
        if waiting.exists():
            return _read(waiting)
        if self.file(source_id).exists() and not new:
            return _read(self.file(source_id))
        password = secrets.token_hex(24)
        self._write(waiting, source_id, password)
        return password

    def known(self, source_id: str) -> None:
        """Kafka has taken the password: the file gets its name."""
        waiting = self._waiting(source_id)
        if waiting.exists():
            waiting.replace(self.file(source_id))

    def rewrite(self, source_id: str) -> None:
        """Write the file of a source anew with the password that it holds: Kafka may have another address by now."""
        self._write(self.file(source_id), source_id, _read(self.file(source_id)))

    def _waiting(self, source_id: str) -> Path:
        return self._settings.state_dir / f"{side_of(source_id)}{_NEW}"

    def _write(self, file: Path, source_id: str, password: str) -> None:
        settings = {
            "source_id": source_id,
            "kafka_bootstrap": self._settings.kafka_bootstrap,
            "kafka_security_protocol": self._settings.kafka_security_protocol,
            "kafka_sasl_mechanism": MECHANISM,
            "kafka_username": source_id,
            "kafka_password": password,
            **read_settings(self._settings.state_dir / LANDING),
        }
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_settings(file, settings, _SAYS.format(source=source_id))
        except OSError as error:
            raise AdminError(
                f"The credentials' file of {source_id} cannot be written into {file.parent} ({error.strerror}).",
                "Make the folder writable, or set BIOKEEL_STATE_DIR.",
            ) from None


def _read(file: Path) -> str:
    if password := read_settings(file).get("kafka_password"):
        return password
    raise AdminError(f"{file} holds no password.", "Delete it and run biokeel source add with --new-password.")
