"""Files with credentials: only their owner may read them, and they are there as a whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

PREFIX = "BIOKEEL_"


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner may read, all of it or nothing, whenever the process or the machine dies."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)


def variables(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings by the names of their environment variables."""
    return {PREFIX + name.upper(): value for name, value in settings.items()}


def write_settings(file: Path, settings: Mapping[str, str], says: str) -> None:
    """Write a dotenv file of `settings`, by their names in `biokeel.settings.Settings`; its first line is `says`."""
    lines = "".join(f"{name}='{value}'\n" for name, value in variables(settings).items())
    write_private(file, f"# {says}\n{lines}")


def read_settings(file: Path) -> dict[str, str]:
    """The settings in a file that `write_settings` wrote; none where there is no file."""
    try:
        lines = file.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines if line.startswith(PREFIX))
    return {name.removeprefix(PREFIX).lower(): value.strip("'") for name, _, value in pairs}
