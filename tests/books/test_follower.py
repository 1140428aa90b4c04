import logging
import shutil
from contextlib import suppress

import polars as pl
import pytest
from deltalake.exceptions import DeltaError
from hypothesis import given, settings
from hypothesis import strategies as st

from biokeel.books.follower import LIVELY, in_order
from biokeel.books.intervals import Intervals
from biokeel.books.places import Place, Teller
from biokeel.books.saved import Saved, from_bytes, to_bytes
from biokeel.books.state import State, differences
from biokeel.vault.decisions import DECIDED
from tests.books.lake import GLUCOSE, LocalLake
from tests.books.telling import GLUCOSE as PART
from tests.books.telling import listed

CURATED, QUARANTINE, HISTORY = Teller.CURATED, Teller.QUARANTINE, Teller.HISTORY


@pytest.fixture
def lake(tmp_path):
    return LocalLake(tmp_path / "lake")


@pytest.fixture
def whole_readings(caplog):
    """How often a table was read whole."""
    caplog.set_level(logging.WARNING)
    return lambda: sum("read whole" in record.message for record in caplog.records)


def lies(state, part=PART):
    found = state.parts[part].within(0, 1_000).lies
    return {label.place.value: listed(those) for label, those in found.items()}


def test_what_lands_is_read_once_with_what_a_receipt_tells_of_it(lake):
    follower = lake.follower()
    assert follower.begin() == follower.look() == []
    lake.land(QUARANTINE, [2, 3], reason="rule.failed", failed_rules=["z", "a"], suite_version="7")
    lake.land(QUARANTINE, [4], reason="event.repeated")
    lake.land(CURATED, range(2))
    lake.land(CURATED, [0, 1], source="app-a", partition=3, withheld="status,unit")
    told = [(str(each.part), each.label[1:-1], listed(each.offsets)) for each in follower.look()]
    part = "raw.hospital-a.clinical.glucose/0"
    assert sorted(told) == [
        ("raw.app-a.clinical.glucose/3", ("curated", "raw", "", "", "", "status,unit"), [0, 1]),
        (part, ("curated", "raw", "", "", "", ""), [0, 1]),
        (part, ("quarantined", "raw", "rule.failed", "a,z", "7", ""), [2, 3]),
        (part, ("repeated", "raw", "event.repeated", "", "", ""), [4]),
    ]
    assert follower.look() == []
    assert differences(follower.state, lake.anew()) == []


def test_compaction_and_vacuum_say_nothing_and_a_delete_is_told(lake, whole_readings):
    follower = lake.follower()
    for start in (0, 10, 20):
        lake.land(CURATED, range(start, start + 10))
    follower.look()
    lake.table(CURATED).optimize.compact()
    lake.land(CURATED, [30])
    lake.land(HISTORY, [3, 4], why="superseded")
    lake.delete(CURATED, "first_offset IN (3, 4)")
    lake.table(CURATED).optimize.z_order(["first_offset"])
    told = follower.look()
    assert [(each.label.place.value, listed(each.offsets), each.amends) for each in told] == [
        ("curated", [30], False),
        ("superseded", [3, 4], True),
    ]
    lake.table(CURATED).vacuum(0, dry_run=False, enforce_retention_duration=False)
    lake.table(CURATED).create_checkpoint()
    assert follower.look() == []
    assert differences(follower.state, lake.anew()) == []
    assert whole_readings() == 0


def test_a_table_that_was_restored_is_followed_back(lake, whole_readings):
    follower = lake.follower()
    for start in (0, 10, 20):
        lake.land(CURATED, range(start, start + 10))
    lake.table(CURATED).optimize.compact()
    follower.look()
    lake.table(CURATED).restore(1)
    assert follower.look() == []
    assert lies(follower.state) == {"curated": list(range(20))}
    lake.land(CURATED, range(20, 25))
    lake.land(QUARANTINE, range(25, 30), reason="rule.failed")
    assert {(each.label.place.value, each.amends) for each in follower.look()} == {
        ("curated", True),
        ("quarantined", True),
    }
    assert whole_readings() == 0


def test_where_a_removed_file_was_vacuumed_before_it_was_read_the_table_is_read_whole(lake, whole_readings):
    follower = lake.follower()
    lake.land(CURATED, range(10))
    follower.look()
    lake.delete(CURATED, "first_offset = 3")
    lake.table(CURATED).vacuum(0, dry_run=False, enforce_retention_duration=False)
    lake.land(CURATED, [11])
    assert [listed(each.offsets) for each in follower.look()] == [[11]]
    assert whole_readings() == 1
    assert lies(follower.state) == {"curated": [0, 1, 2, *range(4, 10), 11]}


@pytest.mark.parametrize("again", [True, False])
def test_a_table_that_was_made_anew_is_not_taken_for_the_old_one(lake, again):
    lake.land(CURATED, range(10))
    follower = lake.follower()
    follower.look()
    shutil.rmtree(lake.uri(CURATED))
    if again:
        lake.land(CURATED, range(5))
        lake.land(CURATED, [7])
    later = lake.follower(follower.state)
    later.begin()
    later.look()
    assert differences(later.state, lake.anew()) == []
    assert lies(later.state) == ({"curated": [*range(5), 7]} if again else {})


def test_a_log_that_was_cleared_since_means_reading_whole(lake):
    follower = lake.follower()
    lake.land(CURATED, range(10))
    follower.look()
    for start in (10, 20, 30):
        lake.land(CURATED, range(start, start + 10))
    lake.table(CURATED).create_checkpoint()
    for version in range(3):
        (lake.lake.objects._folder / f"curated/clinical/glucose/_delta_log/{version:020d}.json").unlink()
    for state in (follower.state, State()):
        later = lake.follower(state)
        later.begin()
        later.look()
        assert lies(later.state) == {"curated": list(range(40))}


def test_the_vault_is_followed_and_read_whole_after_a_restore(lake):
    follower = lake.follower()
    lake.vault.decide(("hospital-a", 0, 0, 9, "parked", ""), ("hospital-a", 0, 10, 11, "sealed", "wire.empty"))
    follower.look()
    lake.vault.decide(("hospital-a", 0, 3, 4, "released", ""), ("hospital-a", 0, 5, 5, "sealed", "privacy.leak"))
    follower.look()
    found = lies(follower.state)
    assert found["parked"] == [0, 1, 2, 6, 7, 8, 9]
    assert {label.reason for label in follower.state.parts[PART].labels} == {"", "wire.empty", "privacy.leak"}
    lake.vault.restore(2)
    lake.vault.decide(*[("hospital-a", 0, 20 + n, 20 + n, "parked", "") for n in range(9)])
    follower.look()
    assert lies(follower.state)["parked"] == [*range(10), *range(20, 29)]
    assert differences(follower.state, lake.anew()) == []


def test_while_nothing_lands_only_quarantine_tables_are_asked_and_all_of_them_now_and_then(lake, monkeypatch):
    lake.land(CURATED, [0])
    follower = lake.follower()
    follower.look(thorough=False)
    asked = []
    find = lake.lake.objects.find
    monkeypatch.setattr(type(lake.lake.objects), "find", lambda _self, key: asked.append(key) or find(key))
    for _ in range(LIVELY):
        follower.look(thorough=False)
    asked.clear()
    for _ in range(LIVELY):
        follower.look(thorough=False)
    assert len(asked) == LIVELY + 2
    lake.land(QUARANTINE, [1], reason="rule.failed")
    follower.look(thorough=False)
    lake.land(CURATED, [2])
    follower.look(thorough=False)
    assert lies(follower.state) == {"curated": [0, 2], "quarantined": [1]}


offsets = st.lists(st.integers(0, 30), min_size=1, max_size=8, unique=True)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("land"), st.sampled_from([CURATED, QUARANTINE, HISTORY]), offsets),
        st.tuples(st.just("delete"), st.just(CURATED), offsets),
        st.tuples(st.just("compact"), st.sampled_from([CURATED, QUARANTINE]), st.just([])),
        st.tuples(st.just("restore"), st.sampled_from([CURATED, QUARANTINE]), offsets),
        st.tuples(st.just("vacuum"), st.just(CURATED), st.just([])),
        st.tuples(st.just("decide"), st.sampled_from(["parked", "sealed", "released"]), offsets),
        st.tuples(st.just("look"), st.just(CURATED), st.just([])),
        st.tuples(st.just("die"), st.just(CURATED), st.just([])),
    ),
    max_size=12,
)
TOLD = {QUARANTINE: {"reason": "rule.failed"}, HISTORY: {"why": "superseded"}, CURATED: {}}


def do(lake, what, teller, values):
    there = teller in TOLD and lake.lake.objects.sizes(f"{teller}/")
    if what == "land":
        lake.land(teller, values, **TOLD[teller])
    elif what == "decide":
        lake.vault.decide(*[("hospital-a", 0, value, value, teller, "") for value in values])
    elif what == "delete" and there:
        lake.delete(teller, f"first_offset IN ({','.join(map(str, values))})")
    elif what == "compact" and there:
        lake.table(teller).optimize.compact()
    elif what == "vacuum" and there:
        lake.table(teller).vacuum(0, dry_run=False, enforce_retention_duration=False)
    elif what == "restore" and there:
        table = lake.table(teller)
        with suppress(DeltaError):  # files of that version were vacuumed
            table.restore(min(values[0], table.version()))


@settings(max_examples=40, deadline=None)
@given(steps)
def test_whatever_happens_to_tables_and_vault_the_books_are_those_that_reading_all_gives(tmp_path_factory, life):
    lake = LocalLake(tmp_path_factory.mktemp("lake"))
    follower = lake.follower()
    saved = to_bytes(Saved())
    for what, teller, values in life:
        if what == "look":
            follower.look()
            saved = to_bytes(Saved(follower.state))
        elif what == "die":
            follower = lake.follower(from_bytes(saved).state)
            follower.begin()
        else:
            do(lake, what, teller, values)
    follower.look()
    assert differences(follower.state, lake.anew()) == []


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 4), st.sampled_from(["parked", "sealed", "released", "applied"]))
    )
)
def test_decisions_taken_together_come_to_what_they_come_to_one_by_one(decisions):
    rows = [(str(GLUCOSE), "hospital-a", 0, first, first + more, place, "") for first, more, place in decisions]
    frame = pl.DataFrame(rows, schema=DECIDED, orient="row")
    together, one_by_one = State(), State()
    together.decided(in_order(frame))
    for row in frame.iter_slices(1):
        one_by_one.decided(in_order(row))
    assert differences(together, one_by_one) == []
    want = {}
    for first, more, place in decisions:
        want |= dict.fromkeys(range(first, first + more + 1), place)
    for place in (Place.PARKED, Place.SEALED, Place.APPLIED):
        found = [bag.all for label, bag in together.parts[PART].labels.items() if label.place is place] if want else []
        assert [o for each in found for o in listed(each)] == sorted(o for o, lies in want.items() if lies == place)
    assert Intervals.span(0, 0) == Intervals.span(5, 5)
