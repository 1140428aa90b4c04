"""The suites in force: one file for each landed event type, followed while the stream runs.

A steward's edit takes effect with the next batch. Every row is judged by exactly one version, as a batch takes its
suite once, and a row that was already committed keeps its verdict (`decided`, see `biokeel.validate.stage`).
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from biokeel.errors import SuiteError
from biokeel.validate.lint import read_suite
from biokeel.validate.rules import CompiledSuite, Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.topics import EventType

__all__ = ["CompiledSuite", "Rule", "Severity", "SuiteStore", "suite_path"]

_LOG = logging.getLogger(__name__)
_SETTLED_NS: Final = 2_000_000_000
"""A file that changed less than this long ago is read again: two edits may share one time stamp."""


def suite_path(root: Path, event: EventType) -> Path:
    """Where the suite of `event` lies below the directory `root`."""
    return root / event.domain / f"{event.name}.json"


@dataclass(frozen=True, slots=True)
class _Held:
    """What is known of one file: the text last read, the time stamp and size it had, and what came of it."""

    stamp: tuple[int, int] | None
    text: str | None
    suite: CompiledSuite
    fault: str | None


class SuiteStore:
    """The suites below `root`, one for each landed event type; follows edits without a restart.

    Safe to call from several threads: what is held of an event type is replaced as a whole.
    """

    def __init__(self, root: Path, schemas: Mapping[EventType, EventSchema]) -> None:
        self._root = root
        self._schemas = schemas
        self._held: dict[EventType, _Held] = {}
        self._missing: dict[EventType, str] = {}

    def events(self) -> tuple[EventType, ...]:
        """The event types that have a suite by now which can judge them; what is wrong with another is logged once."""
        return tuple(event for event in self._schemas if self._can_judge(event))

    def current(self, event: EventType) -> CompiledSuite:
        """The suite of `event` as its file stands now; call it once for each batch (one `stat` where it is settled).

        A broken edit keeps the last good version in force, logs what is wrong once, and shows in `fault`. Raises
        `SuiteError` only where there is no good version to keep: a worker without a suite must not start.
        """
        held = self._held.get(event)
        stamp = self._stamp(event)
        if held is None or stamp is None or stamp != held.stamp:
            held = self._held[event] = self._read(event, stamp, held)
        return held.suite

    def _can_judge(self, event: EventType) -> bool:
        try:
            self.current(event)
        except SuiteError as error:
            if self._missing.get(event) != str(error):
                _LOG.error("%s is not taken up: %s", event, error)
                self._missing[event] = str(error)
            return False
        return True

    def fault(self, event: EventType) -> str | None:
        """What is wrong with the file of `event` while its last good version is kept; None where all is well."""
        self.current(event)
        return self._held[event].fault

    def _stamp(self, event: EventType) -> tuple[int, int] | None:
        """What tells one state of the file from the next; None where it is missing or too fresh to tell."""
        try:
            status = suite_path(self._root, event).stat()
        except OSError:
            return None
        settled = time.time_ns() - status.st_mtime_ns > _SETTLED_NS
        return (status.st_mtime_ns, status.st_size) if settled else None

    def _read(self, event: EventType, stamp: tuple[int, int] | None, held: _Held | None) -> _Held:
        path = suite_path(self._root, event)
        try:
            text: str | None = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            text, faults = None, [f"cannot be read ({type(error).__name__})."]
        else:
            if held is not None and text == held.text:
                return replace(held, stamp=stamp)
            reading = read_suite(text or "", self._schemas[event])
            if reading.suite is not None:
                _LOG.info("suite %s: version %s is in force", event, reading.suite.version)
                return _Held(stamp, text, reading.suite, None)
            faults = [str(finding) for finding in reading.findings]
        what = f"Suite {path}: {' | '.join(faults)}"
        if held is None:
            raise SuiteError(what, "`biokeel suite check` says more.")
        if what != held.fault:
            _LOG.warning("%s Version %s stays in force.", what, held.suite.version)
        return _Held(stamp, text, held.suite, what)
