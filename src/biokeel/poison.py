"""Finds the events on which a stage raises, so that they stop and the others go on.

Bad data never raise: a stage returns them with a reason. What raises is a defect, of ours or of a library, and some
event that brings it out. Without this a worker would end, come back, read that event again, and end again.

`guarded` runs a stage on a range of rows. Where the stage raises what an event can be to blame for (`may_be_poison`),
it is tried again, since it may have passed; then the range is cut in halves, and each half that raises again, down to
the single rows. The results come back in the order of the rows, so that a stage whose result goes into its next call
(the marks, the linking state) can be guarded too: it advances by what succeeded only.

While nothing raises this costs one call. Nothing in here is durable: a process that dies begins anew, and the caller
writes down what is set aside in the same step as the rest of the batch.
"""

from __future__ import annotations

import logging
import time
from asyncio import CancelledError
from typing import TYPE_CHECKING, Final, TypeVar

from biokeel.errors import BiokeelError, PoisonBatch, VaultRefused, describe

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

T = TypeVar("T")

PAUSES: Final = (0.1, 0.5)
"""Seconds before each further try of the whole range."""
TOLD: Final = 5
"""How many of the rows of one range are told one by one in the log; the rest is counted."""

_OF_THE_PROCESS: Final = (KeyboardInterrupt, SystemExit, GeneratorExit, CancelledError)
_OF_THE_OUTSIDE: Final = (BiokeelError, MemoryError, OSError)


def may_be_poison(error: BaseException) -> bool:
    """Whether an event can be to blame for `error`.

    Not for our own errors, which say that something outside is away, refused or set wrongly; nor for a lack of memory
    or of files, which the next event would meet as well. pyo3's `PanicException` is a `BaseException`, and can be.
    """
    if isinstance(error, VaultRefused):
        return True
    return not isinstance(error, (*_OF_THE_PROCESS, *_OF_THE_OUTSIDE))


def guarded(
    stage: Callable[[int, int], T],
    set_aside: Callable[[int, BaseException], T],
    rows: int,
    place: Callable[[int], str],
    limit: int,
) -> list[T]:
    """What `stage(first, end)` gives for the ranges that `rows` rows had to be cut into, in order; mostly `(0, rows)`.

    `set_aside(row, error)` stands in for the stage at each row on which it raises; called in order with the others.
    `place(row)` names the stage and a row for the log, without a value. Raises what no event is to blame for, what
    `set_aside` raises, and `PoisonBatch` where more than `limit` rows would have to be set aside.
    """
    try:
        return [stage(0, rows)]
    except BaseException as error:
        if not rows or not may_be_poison(error):
            raise
        log.warning("%s and %d more: %s. Trying again.", place(0), rows - 1, describe(error))
    for pause in PAUSES:
        time.sleep(pause)
        try:
            return [stage(0, rows)]
        except BaseException as error:
            if not may_be_poison(error):
                raise
            log.warning("%s: again: %s", place(0), describe(error))
    return _cut(stage, set_aside, rows, place, limit)


def _cut(
    stage: Callable[[int, int], T],
    set_aside: Callable[[int, BaseException], T],
    rows: int,
    place: Callable[[int], str],
    limit: int,
) -> list[T]:
    results: list[T] = []
    found = 0
    ranges = _halves(0, rows)
    while ranges:
        first, end = ranges.pop()
        try:
            results.append(stage(first, end))
            continue
        except BaseException as error:
            if not may_be_poison(error):
                raise
            why = error
        if end - first > 1:
            ranges += _halves(first, end)
            continue
        found += 1
        if found > limit:
            raise PoisonBatch(
                f"{place(first)}: more than {limit} of {rows} events fail, this one by {describe(why)}.",
                "So many are not set aside unasked. Mend what fails, or let more pass: BIOKEEL_SET_ASIDE_EVENTS.",
            ) from None
        if found <= TOLD:
            log.error("%s is set aside: %s", place(first), describe(why))
        results.append(set_aside(first, why))
    log.error("%s and %d more: %d set aside, the others go on.", place(0), rows - 1, found)
    return results


def _halves(first: int, end: int) -> list[tuple[int, int]]:
    """The range in two, the one that comes first at the end; a single row as it is."""
    middle = (first + end) // 2
    return [(middle, end), (first, middle)] if middle > first else [(first, end)]
