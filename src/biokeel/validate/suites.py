"""Suites: which rules each event type is judged by, read from `expectations/<domain>/<event>.json` (interface)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.topics import EventType
    from biokeel.validate.compile import Rule


@dataclass(frozen=True, slots=True)
class CompiledSuite:
    """The rules of one event type, ready to judge a batch.

    `version` is what rows are stamped with: the first 12 hexadecimal digits of the SHA-256 of the suite's content,
    behind the steward's own version where the suite's `meta.version` gives one (`3+0f12ab34cd56`).
    """

    event: EventType
    version: str
    rules: tuple[Rule, ...]


class SuiteStore:
    """The suites below `root`, one for each landed event type; follows edits without a restart."""

    def __init__(self, root: Path, schemas: Mapping[EventType, EventSchema]) -> None:
        self._root = root
        self._schemas = schemas

    def current(self, event: EventType) -> CompiledSuite:
        """The suite of `event` as its file stands now; call it once for each batch.

        A broken edit keeps the last good version in force, logs what is wrong once, and shows in `fault`. Raises
        `SuiteError` only where there is no good version to keep: a worker without a suite must not start.
        """
        raise NotImplementedError

    def fault(self, event: EventType) -> str | None:
        """What is wrong with the file of `event` where its last good version is kept instead; None where all is well."""
        raise NotImplementedError
