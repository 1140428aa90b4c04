"""A submission: what receipts say of a file, line by line, and which lines are sent again."""

from __future__ import annotations

import datetime as dt
import json
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.contracts.receipts import Outcome, Receipt
from biokeel.contracts.topics import event_type
from biokeel.errors import SourceError
from biokeel.reasons import Reason
from biokeel.source.files import Source, publish_files
from biokeel.source.receipts import FINAL, Fates, gather
from biokeel.source.submission import AT_ONCE, Origin, as_json, submission_at
from tests.source.test_files import RECORD, Keeping
from tests.source.test_receipts import Told

EXERCISE = "lifestyle.exercise"
AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def receipt(number, offsets, outcome=Outcome.LANDED, **more):
    return Receipt(number, EXERCISE, 0, tuple(offsets), outcome, AT, **more)


class Placing(Keeping):
    """Kafka with one partition, which has what it was given once `answer` is called."""

    def __init__(self, catalogue, submission):
        super().__init__(catalogue)
        self._submission = submission
        self._waiting = deque()
        self.offset = 0

    def publish(self, event, rows, withheld=None):
        count = super().publish(event, rows, withheld)
        self._waiting += ((event, event_id) for event_id in self.sent[-1][1]["event_id"])
        return count

    def answer(self):
        while self._waiting:
            event, event_id = self._waiting.popleft()
            self._submission.placed(event, 0, self.offset, event_id)
            self.offset += 1


@pytest.fixture
def kept(tmp_path):
    with submission_at(tmp_path / "june.sqlite", "app-a", makes=True) as submission:
        yield submission


def source():
    return Source("app-a", b"k")


def written(path, *activities):
    lines = (RECORD | {"record_key": str(number), "activity": each} for number, each in enumerate(activities))
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def told(submission, *receipts):
    fates = gather(Told(receipts), submission.places(), on=False)
    return {each.origins[0].place: each for each in submission.told(fates)}


def test_receipts_are_told_by_file_and_line(kept, catalogue, tmp_path):
    path = written(tmp_path / "a.jsonl", "walking", "running", "cycling")
    sink = Placing(catalogue, kept)
    publish_files([path], source(), sink, submission=kept)
    assert {place: each.outcome for place, each in told(kept).items()} == dict.fromkeys(
        ("line 1", "line 2", "line 3"), "not known to have arrived"
    )
    sink.answer()
    kept.keep()
    assert {each.outcome for each in told(kept).values()} == {"on its way"}
    found = told(
        kept,
        receipt(0, [(0, 1)]),
        receipt(1, [(1, 1)], Outcome.QUARANTINED, reason=Reason.RULE, rules=("r",), suite="2", amends=True),
        receipt(2, [(2, 9)], Outcome.PARKED),
    )
    assert {place: (each.outcome, each.came_through) for place, each in found.items()} == {
        "line 1": ("landed", True),
        "line 2": ("quarantined", False),
        "line 3": ("parked", False),
    }
    assert json.loads(as_json(found["line 2"])) == {
        "event": EXERCISE,
        "event_id": found["line 2"].event_id,
        "stands": [{"file": str(path), "place": "line 2"}],
        "sent": [{"partition": 0, "offset": 1}],
        "outcome": "quarantined",
        "reason": "rule.failed",
        "rules": ["r"],
        "fields": [],
    }


def test_only_what_was_rejected_or_never_arrived_is_sent_again(kept, catalogue, tmp_path):
    path = written(tmp_path / "a.jsonl", "walking", "running", "cycling", "rowing", "5 km")
    sink = Placing(catalogue, kept)
    publish_files([path], source(), sink, submission=kept)
    sink._waiting.remove(sink._waiting[3])  # the process died before Kafka had it
    sink.answer()
    kept.keep()
    receipts = (
        receipt(0, [(0, 0)]),
        receipt(1, [(1, 1)], Outcome.SEALED, reason=Reason.MALFORMED),
        receipt(2, [(2, 2)], Outcome.SEALED, reason=Reason.NO_CONSENT),
        receipt(3, [(3, 3)], Outcome.QUARANTINED, reason=Reason.RULE, rules=("r",)),
    )
    only = kept.rejected(gather(Told(receipts), kept.places(), on=False))
    written(path, "walking", "jogging", "cycling", "rowing", "running")
    again = Placing(catalogue, kept)
    again.offset = 10
    (result,) = publish_files([path], source(), again, submission=kept, only=only)
    assert [activity for _, frame in again.sent for activity in frame["activity"]] == ["jogging", "rowing", "running"]
    assert (result.sent[EXERCISE], result.left_alone) == (3, 2)
    again.answer()
    kept.keep()
    found = told(kept, *receipts, receipt(4, [(10, 12)]))
    assert {place: (each.outcome, len(each.places)) for place, each in found.items()} == {
        "line 1": ("landed", 1),
        "line 2": ("landed", 2),
        "line 3": ("sealed", 1),
        "line 4": ("landed", 1),
        "line 5": ("landed", 2),
    }


def test_what_was_refused_before_kafka_saw_it_is_a_problem_of_the_run_and_not_of_the_submission(
    kept, catalogue, tmp_path
):
    path = written(tmp_path / "a.jsonl", "walking", "x" * (1 << 21))
    sink = Placing(catalogue, kept)
    (result,) = publish_files([path], source(), sink, submission=kept)
    sink.answer()
    kept.keep()
    assert result.unused == 1
    assert list(told(kept)) == ["line 1"]


def test_a_submission_outlives_the_process_and_goes_on(catalogue, tmp_path):
    for number in range(2):
        with submission_at(tmp_path / "june.sqlite", "app-a", makes=True) as submission:
            sink = Placing(catalogue, submission)
            sink.offset = 10 * number
            publish_files([written(tmp_path / f"{number}.jsonl", str(number))], source(), sink, submission=submission)
            sink.answer()
    assert (tmp_path / "june.sqlite").stat().st_mode & 0o777 == 0o600
    with submission_at(tmp_path / "june.sqlite", "app-a", makes=False) as submission:
        assert sorted(submission.places()) == [(EXERCISE, 0, 0), (EXERCISE, 0, 10)]


def test_the_same_line_of_two_files_is_one_event_that_stands_twice(kept, catalogue, tmp_path):
    sink = Placing(catalogue, kept)
    paths = [written(tmp_path / name, "walking") for name in ("a.jsonl", "b.jsonl")]
    publish_files(paths, source(), sink, submission=kept)
    sink.answer()
    kept.keep()
    (only,) = kept.told(
        gather(Told([receipt(0, [(0, 0)]), receipt(1, [(1, 1)], Outcome.REPEATED)]), kept.places(), on=False)
    )
    assert only.origins == tuple(Origin(str(path), "line 1") for path in paths)
    assert only.outcome == "landed"


def test_many_events_are_written_down_as_they_come(kept):
    event = event_type(EXERCISE)
    for offset in range(AT_ONCE):
        kept.placed(event, 0, offset, f"{offset:032x}")
    assert sum(1 for _ in kept.places()) == AT_ONCE


@pytest.mark.parametrize(
    ("name", "owner", "word"),
    [
        ("none.sqlite", "app-a", "no submission"),
        ("june.sqlite", "app-b", "of app-a, not of app-b"),
        ("a.txt", "app-a", "Cannot use"),
    ],
)
def test_a_file_that_is_no_submission_of_the_source_is_refused(tmp_path, name, owner, word):
    with submission_at(tmp_path / "june.sqlite", "app-a", makes=True):
        pass
    (tmp_path / "a.txt").write_text("no database" * 100)
    with pytest.raises(SourceError, match=word), submission_at(tmp_path / name, owner, makes=False):
        pass


RUNS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=4).map(
    lambda runs: [(first, first + more) for first, more in runs]
)


@given(
    wanted=st.sets(st.tuples(st.sampled_from([EXERCISE, "lifestyle.sleep"]), st.integers(0, 1), st.integers(0, 50))),
    receipts=st.lists(st.tuples(RUNS, st.sampled_from(Outcome)), max_size=8),
)
def test_the_newest_receipt_about_a_place_holds(wanted, receipts):
    fates, newest = Fates(wanted), {}
    for number, (runs, outcome) in enumerate(receipts):
        each = receipt(number, runs, outcome)
        fates.add(each)
        newest |= {(EXERCISE, 0, offset): each for first, last in runs for offset in range(first, last + 1)}
    assert {place: fates.of(place) for place in wanted} == {place: newest.get(place) for place in wanted}
    assert fates.all_final() == all(place in newest and newest[place].outcome in FINAL for place in wanted)
