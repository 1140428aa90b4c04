"""A lake with a book of one event type, and whoever counts beside the stream; the clock can be put forward."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

from biokeel.land.lake import Lake
from biokeel.rulebook.follow import FollowedBook
from biokeel.rulebook.pages import Kind
from biokeel.rules.beside import BesideWorker
from biokeel.rules.beside_metrics import BesideMetrics
from biokeel.rules.of_the_book import versions_of
from biokeel.rules.review import Asked, Review
from biokeel.rules.shadow import Counted, Running, Shadows, Wanted
from biokeel.rules.window_state import WindowState, store_of
from biokeel.validate.suites import suite_path
from tests.rulebook.desk import ANNA, BORA
from tests.rules.lake import PRESSURE, SCHEMA, PressureLake, events

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import polars as pl

    from biokeel.rules.backtest_suites import Written

HOUR = 3600


class Killed(BaseException):
    """The process is gone."""


class AtOnce(Executor):
    """Does what it is given before it gives it back."""

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **more: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(call(*arguments, **more))
        except Exception as error:  # noqa: BLE001 - as an executor does
            done.set_exception(error)
        return done


class World:
    """See the module. `force` is the first version's text."""

    def __init__(self, folder: Path, force: str) -> None:
        self.lake = Lake.local(folder / "lake")
        path = suite_path(folder, PRESSURE)
        path.parent.mkdir(parents=True)
        path.write_text(force)
        self.book = FollowedBook(self.lake.objects, {PRESSURE: SCHEMA}, begin=folder)
        (self.first,) = versions_of(self.book.standing(PRESSURE), SCHEMA).values()
        review = Review(self.lake.objects, {PRESSURE: SCHEMA})
        review.introduce("anna", ANNA.public, ANNA)
        review.introduce("bora", BORA.public, ANNA)
        self.table = PressureLake(self.lake)
        self.ahead = 0.0

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.ahead)

    def start(self, text: str, seconds: int = HOUR) -> Running:
        """A shadow."""
        return Shadows(self.lake).start(PRESSURE, Wanted(text, "because", seconds), ANNA, self.now())

    def publish(self, text: str) -> Written:
        """Put `text` in force; as its rows are judged."""
        review = Review(self.lake.objects, {PRESSURE: SCHEMA})
        asked = Asked(Kind.DRAFT, text, ANNA, "because", "")
        page = review.approve(PRESSURE, review._submit(review.standing(PRESSURE), asked).digest, BORA)
        return versions_of(review.standing(PRESSURE), SCHEMA)[page.stamp]

    def land(self, *rows: dict[str, Any], by: Written | None = None) -> pl.DataFrame:
        frame = events(list(rows), self.table.rows)
        self.table.land(frame, by or self.first)
        return frame

    def worker(self, **more: Any) -> BesideWorker:
        book = FollowedBook(self.lake.objects, {PRESSURE: SCHEMA})
        arguments = {"pool": AtOnce(), **more}
        return BesideWorker(
            self.lake, {PRESSURE: SCHEMA}, book, BesideMetrics(), lambda: self.now().timestamp(), **arguments
        )

    def counted(self) -> Counted:
        """Of the newest shadow."""
        shadows = Shadows(self.lake)
        found = shadows.counted(shadows.all(PRESSURE)[0])
        assert found is not None
        return found

    def windows(self) -> WindowState:
        """As they were saved."""
        _, data = store_of(self.lake.objects, PRESSURE).newest()
        assert data is not None
        return WindowState.from_bytes(data)
