"""A stack as it runs outside of tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from biokeel.stack.stack import Stack


def start_stack(folder: Path, **parts: object) -> Stack:
    """`Stack.start` with quick landings.

    Its processes must not hear of pytest: a NiceGUI that believes to be tested looks for settings of its own tests.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIOKEEL_FLUSH_SECONDS", "1")
        patch.delenv("PYTEST_CURRENT_TEST", raising=False)
        return Stack.start(folder, **parts)
