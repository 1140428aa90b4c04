"""How many examples a property test tries: few in `make test`, ten times as many in `make laws`."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

QUICK, LONG = 50, 500
"""Of a test that names no number."""


def load_profile(*, long: bool) -> None:
    """Let the tests that are collected from here on try so many."""
    # A shared machine is slow at times; that is no defect of the laws that are tested.
    unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("unhurried", unhurried, max_examples=LONG if long else QUICK)
    settings.load_profile("unhurried")


def examples(count: int) -> int:
    """`count` in `make test`."""
    return count * settings().max_examples // QUICK
