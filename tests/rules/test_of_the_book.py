"""A draft is held against the rows of the last week by what the book says, before it may be submitted."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from biokeel.errors import NotApproved
from biokeel.land.lake import Lake
from biokeel.rulebook.follow import FollowedBook
from biokeel.rules import review
from biokeel.rules.drafts import Draft
from biokeel.rules.keys import StewardKey
from biokeel.rules.of_the_book import last_week, versions_of
from biokeel.rules.review import Review
from biokeel.validate.suites import suite_path
from tests.rules.lake import PRESSURE, SCHEMA, PressureLake, between, events, suite_text

SCHEMAS = {PRESSURE: SCHEMA}
SAMPLES = json.dumps({"samples": [{"why": "a good one", "row": {"systolic": 120}}]})
ANNA = StewardKey("anna", Ed25519PrivateKey.generate())


def limit(highest: float) -> str:
    return suite_text(between("bp.systolic.range", "critical", max_value=highest))


def test_a_draft_that_would_quarantine_too_much_of_last_week_needs_force_and_one_that_does_not_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(review, "native_findings", lambda _text: [])  # it takes seconds; others ask the real one
    lake = Lake.local(tmp_path / "lake")
    begin = suite_path(tmp_path / "begin", PRESSURE)
    begin.parent.mkdir(parents=True)
    begin.write_text(limit(300))
    FollowedBook(lake.objects, SCHEMAS, begin=tmp_path / "begin").events()
    desk = Review(lake.objects, SCHEMAS, share_of_last_week=last_week(lake, SCHEMAS))
    desk.introduce("anna", ANNA.public, ANNA)
    standing = desk.standing(PRESSURE)
    in_force = versions_of(standing, SCHEMA)[standing.page.stamp]
    assert in_force.suite.version == standing.page.stamp
    today = dt.datetime.now(dt.UTC)
    long_ago = today - dt.timedelta(days=60)
    PressureLake(lake).land(
        events(
            [{"systolic": 120.0, "recorded_at": today}] * 95
            + [{"systolic": 250.0, "recorded_at": today}] * 5
            + [{"systolic": 200.0, "recorded_at": long_ago}] * 50
        ),
        in_force,
    )
    with pytest.raises(NotApproved, match=r"newly quarantine 5\.0% of the last week's rows"):
        desk.submit(PRESSURE, Draft(limit(240), standing.page.stamp, SAMPLES), ANNA, "because")
    assert desk.waiting(PRESSURE) == []
    desk.submit(PRESSURE, Draft(limit(260), standing.page.stamp, SAMPLES), ANNA, "because")
    forced = desk.submit(PRESSURE, Draft(limit(240), standing.page.stamp, SAMPLES), ANNA, "because", "A wrong cuff.")
    assert forced.submission.forced == "A wrong cuff."
