"""Named places where a process may be made to die, so that tests can prove what a death there costs: nothing.

Off unless the environment variable `BIOKEEL_CRASH_AT` names a point: `curate.land.decided`, or with
`:3` behind it the third time the process passes it. Dying means SIGKILL: no `finally`, no flush, no goodbye.
"""

from __future__ import annotations

import os
import signal
from typing import Final

VARIABLE: Final = "BIOKEEL_CRASH_AT"

POINTS: Final = (
    "pseudonymise.before_wall",
    "pseudonymise.after_wall",
    "pseudonymise.after_produce",
    "pseudonymise.after_delivery",
    "pseudonymise.after_release_produce",
    "pseudonymise.after_release_delivery",
    "pseudonymise.after_release_mark",
    "files.begun",
    "files.fetched",
    "files.rewritten",
    "files.written",
    "files.decided",
    "curate.before_land",
    "curate.land.compared",
    "curate.land.decided",
    "curate.land.decision_known",
    "curate.land.landed",
    "curate.land.landing_known",
    "curate.after_snapshot",
    "curate.operation.linked",
    "curate.land.operated",
    "curate.land.operation_known",
    "curate.land.moved",
    "curate.land.moved_away",
    "books.looked",
    "books.saved",
    "books.sent",
    "review.version_written",
    "shadow.counted",
    "shadow.saved",
    "windows.saved",
    "windows.judged",
    "windows.written",
    "tidy.appended",
    "tidy.deleted",
    "apply.credentials_written",
    "apply.users_made",
    "apply.steps_done",
)
"""Every point, in the order in which a micro-batch, and later the maintenance and an administrator, passes them."""

_passed = 0


def reached(point: str) -> None:
    """Die here (SIGKILL to this process) if the environment asks for it; otherwise do nothing.

    Raises `LookupError` for a point that `POINTS` does not list, so that a test cannot wait for a typo.
    """
    global _passed  # noqa: PLW0603 - counting passages is the whole state of this module
    if point not in POINTS:
        raise LookupError(point)
    wanted, _, nth = os.environ.get(VARIABLE, "").partition(":")
    if point != wanted:
        return
    _passed += 1
    if _passed >= int(nth or 1):
        os.kill(os.getpid(), signal.SIGKILL)
