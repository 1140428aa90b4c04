"""Crash points: off unless the environment names one, and then a death that nothing can catch."""

import os
import subprocess
import sys

import pytest

from biokeel.testing.crash import POINTS, VARIABLE, reached

PROGRAM = """
from biokeel.testing.crash import reached
try:
    for passing in range(5):
        print(passing, flush=True)
        reached("curate.land.decided")
finally:
    print("finally", flush=True)
"""


def run(point):
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    if point is not None:
        environment[VARIABLE] = point
    return subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("point", [None, "curate.land.landed"])
def test_nothing_happens_where_this_point_is_not_asked_for(point):
    done = run(point)
    assert done.returncode == 0
    assert done.stdout.split() == ["0", "1", "2", "3", "4", "finally"]


@pytest.mark.parametrize(("point", "printed"), [("curate.land.decided", ["0"]), ("curate.land.decided:3", list("012"))])
def test_the_process_dies_by_sigkill_at_the_passing_that_is_asked_for(point, printed):
    done = run(point)
    assert done.returncode == -9
    assert done.stdout.split() == printed


def test_a_point_that_is_not_listed_is_a_defect():
    with pytest.raises(LookupError):
        reached("curate.typo")


def test_no_point_is_listed_twice():
    assert len(set(POINTS)) == len(POINTS)
