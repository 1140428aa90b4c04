"""What whoever publishes a report says of it where the report itself does not: its sample, its pipeline, its time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from biokeel.source.times import Moment


@dataclass(frozen=True, slots=True, repr=False)
class Stated:
    """Statements about one file; null is not stated. Never printed: a sample is a person's identifier."""

    sample: str | None = None
    pipeline: str | None = None
    run: str | None = None
    reference_build: str | None = None
    alignment: str | None = None
    at: Moment | None = None

    def __repr__(self) -> str:
        return "Stated(...)"


NOTHING: Final = Stated()
