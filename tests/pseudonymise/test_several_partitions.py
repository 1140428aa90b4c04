"""Any fetches of any partitions, with deaths, replays, enrolments, merges and withdrawals between them."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biokeel.batch import RawBatch
from tests.examples import examples
from tests.pseudonymise.conftest import GLUCOSE, World, drain, numbers, origin
from tests.pseudonymise.test_crashes import Died, die_at

pytestmark = pytest.mark.usefixtures("each_database")

PARTITIONS = range(3)
LEAK = "leak"
SUBJECTS = ("P-1", "P-2", "P-3", "P-9", LEAK)


def event(subject):
    return {"subject_id": "P-1", "code": "a@b.example"} if subject == LEAK else {"subject_id": subject}


class Run:
    """Workers that come one after the other on one vault; `seen` is what went on, and as whom."""

    def __init__(self, folder, subjects):
        self.world = World(folder)
        self.raw = {each: self.world.batch(GLUCOSE, [*map(event, some)], each) for each, some in subjects.items()}
        self.position = dict.fromkeys(PARTITIONS, 0)
        self.seen: dict[tuple[int, int], set[int]] = {}
        self.wall = self.world.wall()
        self.world.enrol(self.wall, "P-1", "P-2", "P-3")

    def left(self):
        return {each: len(self.raw[each]) - at for each, at in self.position.items() if at < len(self.raw[each])}

    def fetch(self, counts, forgotten=(), step=None):
        """Take as many rows of each partition as `counts` says; the offsets of those in `forgotten` are not committed.

        With `step` the worker dies before that statement of the vault's, and a new one comes.
        """
        parts = []
        for partition, count in counts.items():
            rows = self.raw[partition].rows(self.position[partition], self.position[partition] + count)
            parts.append((rows.origins[0], rows.offsets, rows.values))
        if step is not None:
            self.wall = self.world.wall()
            die_at(self.wall._vault, step)
        try:
            result = self.wall.process(RawBatch.of(GLUCOSE, parts))
        except Died:
            return
        finally:
            if step is not None:
                self.wall = self.world.wall()
        if result.batch is not None:
            frame = result.batch.frame
            for *place, participant in zip(numbers(frame), frame["raw_offset"], frame["participant"], strict=True):
                self.seen.setdefault(tuple(place), set()).add(participant)
        for partition, count in counts.items():
            if partition not in forgotten:
                self.position[partition] += count

    def happens(self, what):
        if what == "enrol":
            self.world.enrol(self.wall, "P-9")
        elif what == "merge":
            self.world.person(self.wall, "merge", {"subject_id": "P-1", "merged_id": "P-2"})
        else:
            self.world.person(self.wall, "withdrawal", {"subject_id": "P-3"})


@given(data=st.data())
@settings(max_examples=examples(10), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_fetched_together_and_whenever_it_dies_every_event_is_in_one_place_as_one_person(
    tmp_path_factory, data
):
    subjects = {
        each: data.draw(st.lists(st.sampled_from(SUBJECTS), min_size=1, max_size=5), label=f"partition {each}")
        for each in PARTITIONS
    }
    run = Run(tmp_path_factory.mktemp("run"), subjects)
    disturbances = data.draw(st.lists(st.sampled_from(["die", "forget", "enrol", "merge", "withdraw"]), max_size=8))
    while left := run.left():
        partitions = data.draw(st.lists(st.sampled_from(sorted(left)), min_size=1, unique=True))
        counts = {each: data.draw(st.integers(1, left[each])) for each in partitions}
        match disturbances.pop() if disturbances else None:
            case "die":
                run.fetch(counts, step=data.draw(st.integers(1, 14)))
            case "forget":
                run.fetch(counts, forgotten=data.draw(st.sets(st.sampled_from(partitions), min_size=1)))
            case None:
                run.fetch(counts)
            case what:
                run.happens(what)
    run.happens("enrol")
    assert all(len(people) == 1 for people in run.seen.values()), "a replay went on as somebody else"
    for partition, some in subjects.items():
        drain(run.wall, partition)
        books = run.wall._vault.books(GLUCOSE, origin(partition))
        assert books["offset"].is_unique().all()
        places = {offset: reason or place for offset, place, reason in books.rows()}
        passed = {offset for at, offset in run.seen if at == partition}
        assert passed.isdisjoint(places), "an event went on and was stopped"
        assert passed | places.keys() == set(range(len(some)))
        for offset, subject in enumerate(some):
            place = places.get(offset, "passed")
            allowed = {LEAK: {"privacy.leak"}, "P-9": {"released", "passed"}, "P-3": {"passed", "privacy.withdrawn"}}
            assert place in allowed.get(subject, {"passed"})
    run.world.close()
