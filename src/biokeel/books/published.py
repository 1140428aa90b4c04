"""What the follower last saw, as one small object in the lake, for those who only show it.

Console and `biokeel status` read it; they need neither Kafka nor the vault for that, and cost one GET at a look.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from biokeel.books.alarms import Alarm
from biokeel.books.balance import Books
from biokeel.errors import BiokeelError
from biokeel.land.lake import Lake
from biokeel.settings import OPERATOR, Settings

if TYPE_CHECKING:
    from biokeel.land.objects import Objects

KEY: Final = "state/books/seen.json"
EVERY_SECONDS: Final = 15.0
"""It is written when it has changed, and this often at least."""
STALE_SECONDS: Final = 60.0
"""When it is older, no follower runs, or it waits for something."""
NOBODY: Final = "Nobody keeps the books yet: start biokeel worker books."
OLD: Final = "These books are old: biokeel worker books does not run, or waits; biokeel verify asks anew."


def seen_last() -> Published | str:
    """What the follower saw last, with an operator's rights, or in words why that is not known."""
    try:
        return Published.read(Lake.of(Settings.load(OPERATOR)).objects) or NOBODY
    except BiokeelError as error:
        return str(error)


@dataclass(frozen=True, slots=True)
class Published:
    """The books, and what is strange about sources."""

    books: Books
    alarms: tuple[Alarm, ...] = ()

    def is_stale(self, now: float) -> bool:
        """Whether it is older than a follower that runs would let it be."""
        return now - self.books.taken_at > STALE_SECONDS

    def put(self, objects: Objects) -> None:
        """Write it; who reads sees the old one or this."""
        objects.put(KEY, orjson.dumps({"books": self.books.as_json(), "alarms": [[*alarm] for alarm in self.alarms]}))

    @classmethod
    def read(cls, objects: Objects) -> Published | None:
        """The last one that was written; None where there never was one."""
        data = objects.find(KEY)
        if data is None:
            return None
        read = orjson.loads(data)
        return cls(Books.from_json(read["books"]), tuple(Alarm(*alarm) for alarm in read["alarms"]))
