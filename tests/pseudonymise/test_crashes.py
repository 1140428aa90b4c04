"""Death at every step: the wall is stopped at each statement in turn, then the batch comes again on the same vault."""

import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from biokeel.contracts.topics import event_type
from biokeel.contracts.variants import READY
from biokeel.settings import PROJECT_ROOT
from tests.pseudonymise.conftest import GLUCOSE, World, drain, origin, together

pytestmark = pytest.mark.usefixtures("each_database")


class Died(BaseException):
    """No code may catch it, as none can catch SIGKILL."""


def die_at(vault, step):
    """Die before the `step`th statement or commit that writes; whether that many come is told by `reached`."""
    state = {"step": 0, "reached": False}

    def count(*_):
        state["step"] += 1
        if state["step"] == step:
            state["reached"] = True
            raise Died

    engine = vault._database.engine
    sa.event.listen(engine, "before_cursor_execute", lambda *_: count())
    sa.event.listen(engine, "commit", lambda *_: count())
    return state


PARTITIONS = range(3)


def books(world: World):
    vault = world.vault()
    status = vault.status()
    assert vault.verify_audit().faults == ()
    found = {}
    for event in (GLUCOSE, READY, event_type("person.enrolment"), event_type("person.identifier_link")):
        for partition in PARTITIONS:
            rows = vault.books(event, origin(partition))
            assert rows["offset"].is_unique().all(), "an event stands in two places"
            found[str(event), partition] = rows.to_dicts()
    return found, status


def every_step(tmp_path: Path, stride, prepare, act, again=None):
    """`every_death` in a world that `prepare` makes; `act`, and `again`, have what it returned for their batches.

    `act(wall, batches, emit)` calls `emit` with what reached Kafka: at least once each, whenever the process died.
    """
    start = World(tmp_path / "start")
    batches = prepare(start, start.wall())
    start.close()

    def on(what):
        return lambda _world, wall, emit: what(wall, batches, emit)

    return every_death(tmp_path, stride, World, on(act), on(again or act), books, set)[0]


def every_death(tmp_path: Path, stride, opened, act, again, state, sent):
    """Run `act` once undisturbed; then, each time on a fresh copy, die at a step and run `again`.

    A world stands in `start`; `opened` opens a copy of it. The steps begin with the first and are `stride` apart;
    returned is the last one, or one up to `stride` behind it, and what was emitted undisturbed. What `state` says of a
    world, and `sent` of what was emitted, must be as undisturbed. `act(world, wall, emit)`, so `again`.
    """

    def copy(name):
        shutil.copytree(tmp_path / "start", tmp_path / name)
        return opened(tmp_path / name)

    calm, want_emitted = copy("calm"), []
    act(calm, calm.wall(), want_emitted.append)
    want = state(calm)
    calm.close()
    step = 1
    while True:
        world, emitted = copy(str(step)), []
        victim = world.wall()
        died = die_at(victim._vault, step)
        try:
            act(world, victim, emitted.append)
        except Died:
            again(world, world.wall(), emitted.append)
        assert sent(emitted) == sent(want_emitted), f"step {step}"
        assert state(world) == want, f"step {step}"
        world.close()
        shutil.rmtree(tmp_path / str(step))
        if not died["reached"]:
            return step - 1, want_emitted
        step += stride


def process(wall, batch, emit):
    result = wall.process(batch)
    frame = pl.DataFrame() if result.batch is None else result.batch.frame
    for place in frame.select("source_id", "raw_partition", "raw_offset").iter_rows() if frame.height else ():
        emit(("raw", *place))


def release(wall, emit):
    while (batch := wall.releases(GLUCOSE, origin(0), 2).batch) is not None:
        for number, first in batch.frame.select("raw_offset", "first_offset").iter_rows():
            emit(("parking", number, first))
        wall.released(GLUCOSE, origin(0), batch.frame["raw_offset"].max())


def test_dying_at_any_statement_of_a_batch_loses_and_doubles_nothing(tmp_path, stride):
    def prepare(world, wall):
        world.enrol(wall, "P-1")
        return [
            world.batch(
                GLUCOSE, [{"subject_id": s} for s in ("P-1", "P-2")] + [{"subject_id": "P-1", "code": "a@b.example"}]
            )
        ]

    assert every_step(tmp_path, stride, prepare, lambda wall, batches, emit: process(wall, batches[0], emit)) > 8


def as_one(wall, batches, emit):
    process(wall, together(*batches), emit)


def one_by_one(wall, batches, emit):
    for batch in reversed(batches):
        process(wall, batch, emit)


@pytest.mark.parametrize("again", [as_one, one_by_one])
def test_dying_at_any_statement_of_a_batch_of_several_partitions_loses_and_doubles_nothing(tmp_path, stride, again):
    def prepare(world, wall):
        world.enrol(wall, "P-1")
        wall.process(world.glucose("P-1", "P-2", partition=2))
        leak = world.batch(GLUCOSE, [{"subject_id": "P-1", "code": "a@b.example"}, {"subject_id": "P-1"}], 1)
        return [world.glucose("P-1", "P-2"), leak, world.glucose("P-2", "P-1", partition=2)]

    # One transaction for all of them, so as few steps as for one.
    assert 8 < every_step(tmp_path, stride, prepare, as_one, again) < 22 + stride - 1


@pytest.mark.parametrize("again", [as_one, one_by_one])
def test_dying_at_any_statement_of_enrolments_of_several_partitions_applies_each_once(tmp_path, stride, again):
    def prepare(world, wall):
        wall.process(together(*(world.glucose("P-1", "P-2", partition=each) for each in PARTITIONS)))
        enrolment = event_type("person.enrolment")
        rows = [{"subject_id": "P-1"}], [{"subject_id": "P-2"}, {"subject_id": "P-3", "sex": "?"}]
        return [world.batch(enrolment, some, partition) for partition, some in enumerate(rows)]

    assert every_step(tmp_path, stride, prepare, as_one, again) > 15


def test_dying_at_any_statement_of_an_enrolment_applies_it_once_and_releases_what_waited(tmp_path, stride):
    def prepare(world, wall):
        wall.process(world.glucose("P-1", "P-2"))
        link = {"subject_id": "P-1", "identifiers": [{"scheme": "app/band", "value": "u-1"}]}
        world.person(wall, "identifier_link", link)
        return [world.batch(event_type("person.enrolment"), [{"subject_id": "P-1"}, {"subject_id": "P-1", "sex": "?"}])]

    def act(wall, batches, emit):
        wall.process(batches[0])
        release(wall, emit)

    assert every_step(tmp_path, stride, prepare, act) > 15


def test_dying_at_any_statement_of_a_release_emits_it_again_with_the_same_number(tmp_path, stride):
    def prepare(world, wall):
        wall.process(world.glucose("P-1", "P-2", "P-1"))
        world.enrol(wall, "P-1", "P-2")
        return []

    assert every_step(tmp_path, stride, prepare, lambda wall, _, emit: release(wall, emit)) > 8


def merge(world, wall, person, other):
    world.person(wall, "merge", {"subject_id": person, "merged_id": other})


def run_through(wall, batches, emit):
    """What a worker does with a partition: the batches, then the releases; `emit(number, participant)`."""
    for batch in batches:
        through = wall.process(batch).batch
        rows = [] if through is None else through.frame.select("raw_offset", "participant").iter_rows()
        for offset, participant in rows:
            emit(("raw", offset), participant)
    while (released := wall.releases(GLUCOSE, origin(0), 2).batch) is not None:
        for number, participant in released.frame.select("raw_offset", "participant").iter_rows():
            emit(("parking", number), participant)
        wall.released(GLUCOSE, origin(0), released.frame["raw_offset"].max())


def test_a_replay_after_merges_gives_every_event_the_participant_of_the_first_time(tmp_path, stride):
    start = World(tmp_path / "start")
    wall = start.wall()
    wall.process(start.glucose("P-4", "P-3"))
    start.enrol(wall, "P-1", "P-2", "P-3", "P-4")
    batches = [start.glucose("P-1", "P-2"), start.glucose("P-2", "P-1")]
    later = start.glucose("P-1", "P-2", "P-3", "P-4")
    start.close()
    step, reached, repeated, times = 1, True, 0, 0
    while reached:
        shutil.copytree(tmp_path / "start", tmp_path / str(step))
        world, seen = World(tmp_path / str(step)), {}
        world.offsets = dict(start.offsets)
        victim = world.wall()
        state = die_at(victim._vault, step)

        def emit(coordinate, participant, seen=seen):
            seen.setdefault(coordinate, []).append(participant)

        with suppress(Died):
            run_through(victim, batches, emit)
        # Another worker merges, one after the other: P-4 into P-3, that into P-2, that into P-1.
        other = world.wall()
        for person, merged in (("P-3", "P-4"), ("P-2", "P-3"), ("P-1", "P-2")):
            merge(world, other, person, merged)
        run_through(world.wall(), batches, emit)
        assert all(len(set(participants)) == 1 for participants in seen.values()), f"step {step}"
        repeated += sum(len(participants) > 1 for participants in seen.values())
        assert len(seen) == 6, f"step {step}"
        assert other.process(later).batch.frame["participant"].n_unique() == 1, "undecided events are the survivor's"
        world.close()
        shutil.rmtree(world.folder)
        reached, step, times = state["reached"], step + stride, times + 1
    assert step > 10
    assert repeated > times, "the test must see replays"


def test_a_replay_between_two_merges_stops_at_the_one_that_came_later(world):
    wall = world.wall()
    world.enrol(wall, "P-1", "P-2", "P-3")
    first = world.glucose("P-3", "P-2", "P-1")
    people = wall.process(first).batch.frame["participant"].to_list()
    merge(world, wall, "P-2", "P-3")
    second = world.glucose("P-3", "P-2", "P-1")
    wall.process(second)
    merge(world, wall, "P-1", "P-2")
    again = world.wall()
    assert again.process(first).batch.frame["participant"].to_list() == people
    assert again.process(second).batch.frame["participant"].to_list() == [people[1], people[1], people[2]]
    assert set(again.process(world.glucose("P-3", "P-2")).batch.frame["participant"]) == {people[2]}


def test_two_threads_that_park_and_enrol_at_once_strand_no_event(tmp_path):
    world = World(tmp_path)
    names = [f"P-{n:04d}" for n in range(120)]
    raw = [world.glucose(*names[start : start + 6]) for start in range(0, 120, 6)]
    people = [world.batch(event_type("person.enrolment"), [{"subject_id": each}]) for each in reversed(names)]
    through: list[int] = []
    walls = [world.wall(), World(tmp_path).wall()]
    both = threading.Barrier(2)
    errors: list[BaseException] = []

    def run(work):
        try:
            both.wait()
            work()
        except BaseException as error:  # noqa: BLE001 - a thread must hand over whatever it met
            errors.append(error)

    def park():
        for batch in raw:
            result = walls[0].process(batch)
            through.extend([] if result.batch is None else result.batch.frame["raw_offset"].to_list())

    def enrol():
        for batch in people:
            walls[1].process(batch)

    threads = [threading.Thread(target=run, args=(work,)) for work in (park, enrol)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    released = drain(walls[0])
    assert sorted(through + released) == list(range(120))
    assert walls[0]._vault.status().parked["waiting"] == 0
    world.close()


CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tests.pseudonymise.conftest import World
from biokeel.contracts.topics import event_type
from biokeel.contracts.variants import READY
world = World(Path(sys.argv[2]))
first = int(sys.argv[3])
world.offsets[event_type("person.enrolment"), 0] = first
wall = world.wall()
sys.stdout.write("ready\\n"); sys.stdout.flush(); sys.stdin.readline()
for number in range(40):
    world.enrol(wall, f"P-{number:03d}")
world.close()
"""


def test_two_processes_that_enrol_the_same_people_at_once_make_one_participant_each(tmp_path):
    world = World(tmp_path)
    wall = world.wall()
    wall.process(world.glucose(*(f"P-{number:03d}" for number in range(40))))
    here = str(Path(__file__).parent)
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, here, str(tmp_path), first],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT_ROOT,
            env={"PYTHONPATH": str(PROJECT_ROOT / "src")},
        )
        for first in ("0", "1000")
    ]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    assert [child.wait(120) for child in children] == [0, 0]
    for child in children:
        child.stdin.close()
        child.stdout.close()
    status = wall._vault.status()
    assert (status.participants, status.identifiers, status.audit_entries) == (40, 40, 80)
    assert sorted(drain(wall)) == list(range(40))
    assert wall._vault.verify_audit().faults == ()
    world.close()


@pytest.mark.parametrize("statement", ["INSERT INTO audit", "INSERT INTO parked"])
def test_a_refusing_database_is_one_of_our_errors_and_quotes_nothing(world, statement):
    from biokeel.errors import VaultUnavailable

    wall = world.wall()

    def refuse(conn, cursor, text, *_):
        if text.startswith(statement):
            cursor.execute("SELECT * FROM no_such_table")

    sa.event.listen(wall._vault._database.engine, "before_cursor_execute", refuse)

    def act():
        world.enrol(wall, "P-secret-1")
        wall.process(world.glucose("P-secret-2"))

    with pytest.raises(VaultUnavailable) as caught:
        act()
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
