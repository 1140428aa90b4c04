from biokeel.batch import RawPartition
from biokeel.books.balance import Books
from biokeel.books.bookkeeper import Bookkeeper
from biokeel.books.places import Teller
from biokeel.books.tables import Tables
from biokeel.books.waiting import wait_until_landed
from biokeel.console import draw
from biokeel.console.watch import View
from biokeel.observe.stats import Snapshot
from tests.books.lake import GLUCOSE, LocalLake
from tests.event_types import EVENTS


class Stream:
    """Events that land a few at each look, while sources go on publishing."""

    def __init__(self, folder, published, lands):
        self.lake = LocalLake(folder)
        self.published = published
        self.landed = 0
        self.lands = lands

    def keeper(self):
        return Bookkeeper(self.watermarks, Tables(self.lake.lake), self.lake.vault, self.replays)

    def watermarks(self):
        self.published += 10
        return {
            event: {RawPartition("hospital-a", 0): (0, self.published)} if event == GLUCOSE else {} for event in EVENTS
        }

    def replays(self):
        """Asked after each look: what the next one finds lands now."""
        self.land()
        return {}

    def land(self):
        if more := next(self.lands, 0):
            self.lake.land(Teller.CURATED, range(self.landed, self.landed + more))
            self.landed += more


def test_waiting_ends_when_what_was_published_at_its_beginning_has_landed(tmp_path):
    looks: list[Books] = []
    stream = Stream(tmp_path, 90, iter([40, 40, 20, 0, 0, 0]))
    stream.land()
    books = wait_until_landed(stream.keeper(), 30, looks.append)
    assert books.balanced
    assert [look.total("missing") for look in looks] == [60, 20, 0]
    assert {look.total("raw") for look in looks} == {100}


def test_waiting_gives_up_when_nothing_moves(tmp_path):
    looks: list[Books] = []
    stream = Stream(tmp_path, 90, iter([40]))
    stream.land()
    books = wait_until_landed(stream.keeper(), 0.6, looks.append)
    assert books.total("missing") == 60
    assert not books.balanced
    assert len(looks) >= 2


def test_without_a_worker_the_page_does_not_say_that_nothing_waits():
    tiles = draw.tiles(View(Snapshot(0.0)))
    assert "no worker runs" in tiles
    assert "s behind" not in tiles
