"""Where suites come from: a folder of files here; the book of rules (`biokeel.rulebook`) where there is a lake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from biokeel.errors import SuiteError
from biokeel.validate.lint import read_suite
from biokeel.validate.rules import CompiledSuite, Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.topics import EventType

__all__ = ["CompiledSuite", "Rule", "Severity", "SuiteStore", "Suites", "read_text", "suite_path"]


class Suites(Protocol):
    """What judges: a suite of each event type."""

    def current(self, event: EventType) -> CompiledSuite:
        """The suite in force; call it once for each batch. Raises `SuiteError` where there is none."""
        ...


def suite_path(root: Path, event: EventType) -> Path:
    """Where the suite of `event` lies below the directory `root`."""
    return root / event.domain / f"{event.name}.json"


def read_text(root: Path, event: EventType) -> str:
    """The text of the suite of `event` below `root`. Raises `SuiteError` where it cannot be read."""
    path = suite_path(root, event)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(
            f"Suite {path}: cannot be read ({type(error).__name__}).", "Set BIOKEEL_EXPECTATIONS_DIR."
        ) from None


class SuiteStore(Suites):
    """The suites below `root`, as each stands when it is first asked for: drafts, or what a source was given."""

    def __init__(self, root: Path, schemas: Mapping[EventType, EventSchema]) -> None:
        self._root = root
        self._schemas = schemas
        self._read: dict[EventType, CompiledSuite] = {}

    def current(self, event: EventType) -> CompiledSuite:
        """See `Suites`."""
        if event not in self._read:
            reading = read_suite(read_text(self._root, event), self._schemas[event])
            if reading.suite is None:
                raise SuiteError(
                    f"Suite {suite_path(self._root, event)}: {' | '.join(map(str, reading.findings))}",
                    "`biokeel suite check` says more.",
                )
            self._read[event] = reading.suite
        return self._read[event]
