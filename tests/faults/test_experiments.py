"""Every fault experiment: whatever dies, hangs or lies in between, every raw event ends in exactly one place."""

import pytest

from tests.faults import broker, clocks, deaths, disks, members, outside, poison, soak, sources, store
from tests.faults.plan import EXPERIMENTS

GROUPS = (deaths, store, broker, members, sources, poison, clocks, outside, disks, soak)
"""They register their experiments when they are imported; this is the order in which those are run."""


def parameters():
    groups = [group.__name__ for group in GROUPS]
    for each in sorted(EXPERIMENTS, key=lambda each: groups.index(each.body.__module__)):
        yield pytest.param(each, id=each.id, marks=() if each.quick else (pytest.mark.long,))


@pytest.mark.faults
@pytest.mark.usefixtures("kept")
@pytest.mark.integration
@pytest.mark.timeout(0)  # each run has a limit of its own, and ends the world that it hung in
@pytest.mark.parametrize("experiment", list(parameters()))
def test_every_event_ends_in_exactly_one_place(experiment, plan, harness, chosen):
    record = plan.conduct(experiment, harness, chosen)
    if record.blocked:
        pytest.skip(f"{experiment.name}: {record.blocked}")
    assert not record.failures
