"""The plan of a run of experiments, the world they share, and the table of what they came to."""

import time

import pytest

from biokeel.settings import PROJECT_ROOT
from tests.faults.plan import Length, Plan, as_text, write
from tests.faults.world import Harness

PLAN = pytest.StashKey[Plan]()


@pytest.fixture(scope="package")
def plan(request):
    option = request.config.getoption
    length = Length.QUICK
    if option("--run-long"):
        length = Length.FULL if option("--runs") == "full" else Length.SCALED
    made = Plan(length, option("--fault-seed"), option("--fault-minutes") * 60, {"soak": option("--soak-events")})
    request.config.stash[PLAN] = made
    return made


@pytest.fixture
def kept(plan):
    """After each experiment of a long run the table so far is written: who breaks off keeps what was done."""
    yield
    if plan.length is not Length.QUICK:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        write(plan.records, PROJECT_ROOT, length=plan.length.value, seed=plan.seed, written=now)


@pytest.fixture(scope="package")
def chosen(request):
    """The experiments that this session runs, in order."""
    items = [item for item in request.session.items if "experiment" in getattr(item, "fixturenames", ())]
    return [item.callspec.params["experiment"] for item in items if not list(item.iter_markers("skip"))]


@pytest.fixture(scope="package")
def harness(tmp_path_factory):
    made = Harness(lambda: tmp_path_factory.mktemp("world"))
    try:
        yield made
    finally:
        made.stop()


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config):
    plan = config.stash.get(PLAN, None)
    if plan is None or not plan.records:
        return
    terminalreporter.section("fault experiments")
    for line in as_text(plan.records):
        terminalreporter.write_line(line)
    if plan.length is not Length.QUICK:
        about = {
            "length": plan.length.value,
            "seed": plan.seed,
            "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        write(plan.records, PROJECT_ROOT, **about)
        terminalreporter.write_line("The same as .biokeel-faults.md and .biokeel-faults.json")
