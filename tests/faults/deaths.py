"""Workers die by SIGKILL: at every named point, at random, and where a verdict or a parking stands alone."""

import time

from biokeel.rulebook.follow import LOOK_SECONDS
from biokeel.testing.crash import POINTS
from tests.faults.plan import experiment
from tests.faults.traffic import LATE
from tests.faults.world import KINDS

OPERATION = [point for point in POINTS if "operat" in point or "moved" in point]
"""Those that are passed while a steward's operation is carried out."""
STREAM = [point for point in POINTS if point not in OPERATION]
PAIRS = list(zip(*([point for point in STREAM if point.startswith(kind)] for kind in KINDS), strict=True))
"""A point of each kind of worker; every such point is in one pair."""
PLACES = 3
"""A worker dies the first, second or third time that it passes its point."""


@experiment("SIGKILL at each of 14 points, both workers", full=20 * len(PAIRS), quick=1, least=len(PAIRS), seconds=16)
def kill_at_a_point(run):
    """Both die in one run, each at its point; pairs take turns, so that few runs see many points."""
    pair = PAIRS[(run.number * 3 + 1) % len(PAIRS)]
    for point in pair:
        name = f"{point.split('.')[0]}-1"
        run.world.end(name)
        run.world.start(name, f"{point}:{run.rng.randint(1, PLACES)}")
    run.world.send(rows=800)
    for name in (
        f"{kind}-1" for kind in KINDS
    ):  # the first one lives again before the second can have passed its point
        run.world.await_deaths(name, sending=400)
        run.harmed()
        run.world.start(name)


@experiment("SIGKILL at random, a second one into the recovery", full=100, seconds=13)
def kill_at_random(run):
    run.world.send(rows=2000)
    time.sleep(run.rng.uniform(0.1, 2.5))
    names = [f"{kind}-1" for kind in KINDS]
    first = run.rng.choice(names)
    run.world.kill(first)
    run.world.start(first)
    if run.rng.random() < 0.5:
        time.sleep(run.rng.uniform(0.5, 4))
        second = run.rng.choice(names)
        run.world.kill(second)
        run.world.start(second)
    run.harmed()


@experiment("changed suite between the two commits", full=20, least=2, seconds=38)
def changed_suite(run):
    """A stricter or, in every second run, a laxer suite comes after a decision, before what was decided has landed."""
    world = run.world
    highest = [200, run.rng.choice([110, 125, 140])]
    first, then = highest if run.number % 2 == 0 else reversed(highest)
    world.fixed_suite = False
    world.end("curate-1")
    world.stewards.publish(first)
    point = run.rng.choice(["curate.land.decided", "curate.land.decision_known"])
    world.start("curate-1", f"{point}:{run.rng.randint(1, PLACES)}")
    world.send(rows=900)
    world.await_deaths("curate-1", sending=400)
    run.harmed()
    world.stewards.publish(then)
    world.start("curate-1")
    run.recovered(world, timed=False)
    put_back(run)


@experiment("suites change while events flow and workers die", full=20, least=2, seconds=45)
def suites_change_in_the_stream(run):
    """Versions come in force while rows flow; in between a worker dies. No restart is needed for any of them."""
    world = run.world
    world.fixed_suite = False
    for highest in (200, run.rng.choice([110, 125, 140]), 190):
        world.stewards.publish(highest)
        world.live(LOOK_SECONDS + run.rng.uniform(0, 2), rows=300, every=1.0)
        if run.rng.random() < 0.5:
            world.kill("curate-1")
            world.start("curate-1")
            run.harmed()
    run.harmed()
    run.recovered(world, timed=False)
    world.stewards.check()
    put_back(run)


@experiment("SIGKILL at each step of a steward's operations", full=4 * len(OPERATION), seconds=60)
def operations_killed(run):
    """What a wrong limit quarantined is released, taken back and brought back; the worker dies at one of the steps."""
    world, stewards = run.world, run.world.stewards
    world.fixed_suite = False
    stewards.publish(110)
    world.live(LOOK_SECONDS + 1, rows=300)
    stewards.publish(190)
    world.live(LOOK_SECONDS + 1, rows=300)
    world.settled()
    point = OPERATION[run.number % len(OPERATION)]
    for order, goes_out in ((stewards.release, False), (stewards.undo, True), (stewards.undo, False)):
        world.end("curate-1")
        order()
        dies = goes_out or "moved" not in point
        world.start("curate-1", point if dies else "")
        if dies:
            world.await_deaths("curate-1", sending=200)
            run.harmed()
            world.start("curate-1")
        world.until(stewards.all_done)
        books = world.settled()
        assert books.balanced, f"missing {books.named('missing')} doubled {books.named('doubled')}"
    run.recovered(world, timed=False)
    put_back(run)


def put_back(run):
    """The rules that an installation begins with are in force again, also in the worker that runs."""
    world = run.world
    world.stewards.roll_back()
    world.end("curate-1")
    world.start("curate-1")
    world.fixed_suite = True


@experiment("crash after parking before the offset commit, enrolment, restart", full=20, seconds=9)
def enrolment_after_a_crash(run):
    """What was parked twice by its coordinates, once before and once after its person came, goes on once."""
    world = run.world
    world.end("pseudonymise-1")
    world.start("pseudonymise-1", "pseudonymise.after_wall")
    tag = world.publish(400, late=1.0)
    world.await_deaths("pseudonymise-1")
    world.enrol(tag, range(LATE))
    run.harmed()
    world.start("pseudonymise-1")
