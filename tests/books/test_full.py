import pytest

from biokeel.batch import RawPartition
from biokeel.books.balance import Books
from biokeel.books.bookkeeper import Bookkeeper
from biokeel.books.full import read_all
from biokeel.books.intervals import Bag
from biokeel.books.places import Teller
from biokeel.books.saved import Saved, SavedBooks
from biokeel.books.tables import Tables
from tests.books.lake import GLUCOSE, LocalLake
from tests.books.telling import GLUCOSE as PART
from tests.books.telling import curated, some
from tests.event_types import EVENTS

CURATED, QUARANTINE, HISTORY = Teller.CURATED, Teller.QUARANTINE, Teller.HISTORY
A, B = RawPartition("hospital-a", 0), RawPartition("app-a", 3)


@pytest.fixture
def lake(tmp_path):
    """33 events of A, of which 7 is missing and 9 doubled, and 5 of B."""
    made = LocalLake(tmp_path / "lake")
    made.land(CURATED, [*range(7), 8, 9])
    made.land(QUARANTINE, range(9, 15), reason="rule.failed")
    made.land(CURATED, range(15, 20))
    made.land(HISTORY, [4, 20], why="superseded")
    made.land(CURATED, range(4), source=B.source, partition=B.partition)
    made.vault.decide(("hospital-a", 0, 21, 32, "parked", ""), ("hospital-a", 0, 30, 31, "sealed", "wire.empty"))
    made.vault.decide(("app-a", 3, 4, 4, "sealed", "privacy.leak"))
    return made


def marks():
    return {event: {A: (0, 33), B: (0, 5)} if event == GLUCOSE else {} for event in EVENTS}


def keeper(lake):
    return Bookkeeper(marks, Tables(lake.lake), lake.vault, lambda: {GLUCOSE: 4}, lambda: ("a block",))


def test_books_name_what_is_missing_and_doubled_and_count_the_rest(lake):
    books = keeper(lake).look()
    assert books.missing == ("raw.hospital-a.clinical.glucose/0@7",)
    assert books.doubled == ("raw.hospital-a.clinical.glucose/0@9",)
    figures = next(event for event in books.events if event.event == GLUCOSE).figures()
    places = {"curated": 18, "quarantined": 6, "superseded": 1, "parked": 10, "sealed": 3}
    assert {name: count for name, count in figures.items() if count} == places | {
        "raw": 38,
        "missing": 1,
        "doubled": 1,
        "replays": 4,
    }
    assert {source: sums.raw for source, sums in books.sources.items()} == {"app-a": 5, "hospital-a": 33}
    assert not books.balanced
    assert Books.from_json(books.as_json()).as_json() == books.as_json()


@pytest.mark.parametrize("window", [1, 3, 7, 33, 38, 1_000])
def test_reading_all_in_windows_of_any_size_comes_to_the_same(lake, window):
    bookkeeper = keeper(lake)
    quick = bookkeeper.look()
    read = []
    found = read_all(bookkeeper._follower, marks(), read.append, window)
    assert found.differences == []
    assert Books.of(found.partitions, bookkeeper._seen(0.0)).as_json()["events"] == quick.as_json()["events"]
    assert [(each.part.source, each.raw) for each in found.partitions] == [("app-a", 5), ("hospital-a", 33)]
    assert len(read) == -(-38 // window)


def test_saved_books_are_gone_on_from_and_what_they_say_wrongly_is_found(lake):
    bookkeeper = keeper(lake)
    bookkeeper.look()
    state = bookkeeper._follower.state
    saved = SavedBooks(lake.lake.objects)
    saved.save(0, Saved(state, at=12.0))
    lake.land(CURATED, [7])
    again = keeper(lake)
    assert again.look().missing == ()
    assert again.look().saved_at == 12.0
    assert again.full(lambda _: None)[1] == []

    labels = state.parts[PART].labels
    labels[curated()] = labels[curated()].without(some(3, 5)) + Bag.once(some(7))
    state.parts[PART].changes += 1
    saved.save(1, Saved(state, at=13.0))
    wrong = keeper(lake)
    assert wrong.look().missing == ("raw.hospital-a.clinical.glucose/0@3", "raw.hospital-a.clinical.glucose/0@5")
    books, told = wrong.full(lambda _: None)
    assert books.missing == ()
    (only,) = told
    assert only.startswith("raw.hospital-a.clinical.glucose/0: as curated (curated) the books have 0 offsets that are ")
    assert only.endswith("not, and lack 2 that are; the first @3.")


def test_rows_of_a_partition_that_nobody_knows_are_found(lake):
    bookkeeper = keeper(lake)
    bookkeeper.look()
    lake.land(CURATED, range(100, 103), source="nobody", partition=9)
    bookkeeper.look()
    del bookkeeper._follower.state.parts[PART._replace(source="nobody", partition=9)]
    (told,) = bookkeeper.full(lambda _: None)[1]
    assert told.startswith("raw.nobody.clinical.glucose/9: as curated")
