"""What is wrong with a suite: findings, and how they are gathered so that all are told at once."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from biokeel.errors import SuiteError
from biokeel.poison import may_be_poison

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST: Final = 400
"""Characters of a sentence; what a suite says of itself can be endless."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of a suite.

    `rule` is the rule id, or the expectation's place in the file, or empty for the suite; `what` happened, and `fix` is
    what to write instead. `path` is the place in the JSON (`expectations[3].kwargs.regex`) and `line` the line where it
    begins, from 1; empty and None where there is none.
    """

    rule: str
    what: str
    fix: str = ""
    path: str = ""
    line: int | None = None

    def __str__(self) -> str:
        line = f"line {self.line}" if self.line else ""
        place = ", ".join(part for part in (line, self.path) if part)
        where = " ".join(part for part in (self.rule, f"({place})" if place else "") if part)
        return " ".join(part[:_LONGEST] for part in (f"{where}:" if where else "", self.what, self.fix) if part)


@dataclass(slots=True)
class Faults:
    """The faults of one expectation, each with its place below it (`kwargs.regex`)."""

    found: list[tuple[str, SuiteError]] = field(default_factory=list)

    def add(self, place: str, what: str, fix: str = "") -> None:
        """Note one fault."""
        self.found.append((place, SuiteError(what, fix)))

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        """Note what is raised within as a fault of `place`, whatever it is; what ends a process goes on."""
        try:
            yield
        except SuiteError as error:
            self.found.append((place, error))
        except BaseException as error:  # a panic of polars is one
            if not may_be_poison(error):
                raise
            self.add(place, f"it cannot be compiled ({type(error).__name__}).", "Write it more plainly.")
