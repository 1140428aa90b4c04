import polars as pl

from biokeel.books.balance import Books
from biokeel.books.bookkeeper import LANDED_COLUMNS, Bookkeeper, no_rows
from biokeel.console import draw
from biokeel.console.waiting import wait_until_landed
from biokeel.console.watch import View
from biokeel.contracts.topics import event_type
from biokeel.observe.stats import Snapshot
from tests.event_types import EVENTS

SLEEP = event_type("lifestyle.sleep")


class Stream:
    """Events that land a few at each look, while sources go on publishing."""

    def __init__(self, published, lands):
        self.published = published
        self.landed = 0
        self.lands = lands

    def keeper(self):
        return Bookkeeper(self.watermarks, self.rows, self.vault, dict)

    def watermarks(self):
        self.published += 10
        return {event: {0: (0, self.published)} if event == SLEEP else {} for event in EVENTS}

    def rows(self, event):
        self.landed += next(self.lands, 0)
        offsets = pl.DataFrame(
            {"first_partition": 0, "first_offset": range(self.landed), "stream": "raw"},
            schema_overrides=LANDED_COLUMNS,
        )
        return no_rows()._replace(curated=offsets)

    def vault(self, event, partition):
        return pl.DataFrame(schema={"offset": pl.Int64, "place": pl.String})


def test_waiting_ends_when_what_was_published_at_its_beginning_has_landed():
    looks: list[Books] = []
    stream = Stream(90, iter([40, 40, 20, 0, 0, 0]))
    books = wait_until_landed(stream.keeper(), 30, looks.append)
    assert books.balanced
    assert [look.total("missing") for look in looks] == [60, 20, 0]
    assert {look.total("raw") for look in looks} == {100}


def test_waiting_gives_up_when_nothing_moves():
    looks: list[Books] = []
    stream = Stream(90, iter([40]))
    books = wait_until_landed(stream.keeper(), 0.6, looks.append)
    assert books.total("missing") == 60
    assert not books.balanced
    assert len(looks) >= 2


def test_without_a_worker_the_page_does_not_say_that_nothing_waits():
    tiles = draw.tiles(View(Snapshot(0.0)))
    assert "no worker runs" in tiles
    assert "s behind" not in tiles
