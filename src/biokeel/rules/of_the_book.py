"""The versions of the book as a backtest compares them, and what a draft would quarantine of the last week."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from biokeel.errors import SuiteError
from biokeel.rules.backtest import share_of_last_week
from biokeel.rules.backtest_suites import Written, read_written

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.topics import EventType
    from biokeel.land.lake import Lake
    from biokeel.rulebook.standing import Standing


def versions_of(standing: Standing, schema: EventSchema) -> dict[str, Written]:
    """Every version that holds, by the stamp that its rows have; one that this release cannot read is left out."""
    found = {}
    for page in standing.chain.pages:
        try:
            written = read_written(page.version.submitted.suite, schema, f"Version {page.stamp}")
        except SuiteError:
            continue  # its rows are judged anew
        found[page.stamp] = replace(written, suite=replace(written.suite, version=page.stamp))
    return found


def last_week(lake: Lake, schemas: Mapping[EventType, EventSchema]) -> Callable[[Standing, str], float]:
    """What says which share of the last week's rows a draft's text would newly quarantine, for `Review`."""

    def share(standing: Standing, text: str) -> float:
        schema = schemas[standing.suite.event]
        versions = versions_of(standing, schema)
        draft = read_written(text, schema, "The draft")
        against = versions[standing.page.stamp]
        return share_of_last_week(lake, schema, draft, against, stamps=versions, now=datetime.now(UTC)).share

    return share
