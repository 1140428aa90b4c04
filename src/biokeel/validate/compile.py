"""Great Expectations' expectations as polars expressions (interface)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


class Severity(StrEnum):
    """What becomes of a row that fails: quarantined, landed with a flag, or only counted."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class How(StrEnum):
    """How an expectation runs: on every row, or on a window beside the stream."""

    ROW = "row"
    WINDOW = "window"


@dataclass(frozen=True, slots=True)
class Rule:
    """One expectation of a suite. `unexpected` is a Boolean expression, never null; None for a window rule."""

    id: str
    severity: Severity
    expectation: str
    how: How
    why: str
    unexpected: pl.Expr | None
