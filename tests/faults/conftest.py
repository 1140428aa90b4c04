"""One stack for all experiments of a run, and the table of what they came to."""

import pytest

from biokeel.stack.stack import Stack
from tests.faults.world import EXPERIMENTS, World


@pytest.fixture(scope="package")
def world(tmp_path_factory):
    with Stack.start(tmp_path_factory.mktemp("faults")) as stack:
        made = World(stack, tmp_path_factory.mktemp("logs"))
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture(scope="package")
def long_run(request):
    return request.config.getoption("--run-long")


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter):
    if EXPERIMENTS:
        terminalreporter.section("fault experiments")
        terminalreporter.write_line(f"{'experiment':50} {'runs':>4} {'events':>7} {'lost':>4} {'doubled':>7}  recovery")
        for each in EXPERIMENTS:
            figures = f"{each.deaths:4} {each.events:7,} {each.lost:4} {each.doubled:7}  {each.recovery:6.1f} s"
            terminalreporter.write_line(f"{each.name:50} {figures}")
