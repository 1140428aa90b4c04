"""The object store loses answers, refuses, fails, is slow, and dies."""

import time

from biokeel.contracts.topics import Zone
from biokeel.land.lake import Lake
from tests.faults.plan import experiment
from tests.faults.traffic import PRESSURE

COMMIT = r"^PUT /.*/(curated|quarantine)/.*/_delta_log/\d+\.json"


def await_hits(world, fault, hits, rows=300, patience=60.0):
    """Send until `fault` has hit so often."""
    deadline = time.monotonic() + patience
    following = 0.0
    while fault.hits < hits:
        assert time.monotonic() < deadline, f"only {fault.hits} requests matched {fault.matching}"
        if time.monotonic() >= following:
            world.send(rows)
            following = time.monotonic() + 2
        world.watch(supervised=False)
        time.sleep(0.05)


@experiment("lost answer of the Delta commit", full=100, seconds=6)
def lost_answer(run):
    """The commit is in the table, its answer is not; up to three times in a row."""
    lost = run.world.s3.fault(COMMIT, lose=True, share=run.rng.choice([0.5, 1.0]), times=run.rng.randint(1, 3))
    await_hits(run.world, lost, 1)
    run.harmed()


@experiment("conditional PUT refused", full=100, seconds=6)
def refused_put(run):
    """The version is taken by another commit; in every third run the store says so (412, 409) though it is free."""
    world, rivals = run.world, []
    if run.number % 3 == 2:
        status = run.rng.choice([412, 409])
        refused = world.s3.fault(COMMIT, status=status, times=run.rng.randint(1, 2))
    else:
        commit = COMMIT.replace("(curated|quarantine)", rival_table(run))
        refused = world.s3.fault(commit, times=1, first=lambda: rivals.append(rival(world, rival_table(run))))
    await_hits(world, refused, 1)
    run.harmed()
    if run.number % 3 != 2:
        world.settled()
        assert len(rivals) == 1, "the rival committed nothing"


def rival_table(run):
    return ("curated", "quarantine")[run.number % 2]


def rival(world, table):
    """A commit of somebody else's, straight to the store, into the version that a worker is about to take."""
    from deltalake import DeltaTable

    lake = Lake.of(world.stack.settings(Zone.RESEARCH))
    uri = lake.curated(PRESSURE) if table == "curated" else lake.quarantine(PRESSURE)
    handle = DeltaTable(uri, storage_options=lake.options)
    handle.alter.set_table_properties({"delta.checkpointInterval": str(50 + handle.version() % 50)})
    return handle.version()


@experiment("30 % of S3 requests fail or are slow", full=1, seconds=150, limit=420, supervised=True)
def bad_store(run):
    """For two minutes, while events flow: 15 % answer 500 or 503, 15 % take up to 5 s more."""
    for status in (500, 503):
        run.world.s3.fault("", share=0.075, status=status)
    for delay in (0.5, 2.0, 5.0):
        run.world.s3.fault("", share=0.06, delay=delay)
    run.world.live(120, rows=400, every=3)
    hits = [fault.hits for fault in run.world.s3.faults]
    assert all(hits), "a fault has hit nothing"
    run.record.notes.append(f"{sum(hits)} requests failed or slowed")
    run.world.s3.heal()
    run.harmed()


@experiment("SIGKILL of the object store, some seconds away", full=20, seconds=16, supervised=True)
def store_killed(run):
    run.without("objectstore", 1, 6)
