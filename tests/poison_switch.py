"""Stages that raise on poison, in tests of both sides of the wall."""

import contextlib

from biokeel import poison


class PoisonSwitch:
    """`raises`: whether stages raise on poison, as in the release that has the defect, or not, as in the one before."""

    def __init__(self, monkeypatch):
        monkeypatch.setattr(poison, "PAUSES", (0.0,))
        self.raises = True

    @contextlib.contextmanager
    def turned_on(self, now):
        """With `False` stages do not raise."""
        self.raises = now
        yield
        self.raises = not now
