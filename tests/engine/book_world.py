"""Two stewards of a lake in a folder, who put limits in force and order operations."""

import json
import re

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from biokeel.rulebook.pages import Kind
from biokeel.rules.keys import StewardKey
from biokeel.rules.reverdict import Filter, Reverdict
from biokeel.rules.review import Asked, Review
from tests.engine.curate_world import PRESSURE, SCHEMA

AUTHOR, OTHER = (StewardKey(name, Ed25519PrivateKey.generate()) for name in ("author", "other"))
TEN = [119 + each for each in range(10)]
"""Systolic values of a block: with a limit of 125 the last three do not pass."""


class Stewards:
    """Two stewards of a lake, who put limits of the systolic value in force."""

    def __init__(self, lake):
        self.review = Review(lake.objects, {PRESSURE: SCHEMA})
        self.desk = Reverdict(lake, {PRESSURE: SCHEMA}, self.review, four_eyes=True)
        self.review.introduce("author", AUTHOR.public, AUTHOR)
        self.review.introduce("other", OTHER.public, AUTHOR)

    def publish(self, limit, *waivers):
        """The stamp of a version that quarantines what is above `limit`, and differs otherwise from the first one."""
        standing = self.review.standing(PRESSURE)
        suite = json.loads(standing.chain.pages[0].version.submitted.suite)
        suite["meta"] = {"version": f"{standing.page.number}"}
        suite["expectations"].append(
            {
                "type": "expect_column_values_to_be_between",
                "kwargs": {"column": "systolic", "max_value": limit},
                "severity": "critical",
                "meta": {"rule": "bp.systolic.limit", "notes": f"at most {limit}", "waivers": list(waivers)},
            }
        )
        asked = Asked(Kind.DRAFT, json.dumps(suite), AUTHOR, "because", "")
        waiting = self.review._submit(standing, asked)
        return self.review.approve(PRESSURE, waiting.digest, OTHER).stamp

    def release(self, **wanted):
        """Order the release of what passes now; the operation."""
        return self.desk.order(self.desk.preview_release(PRESSURE, Filter(**wanted)), AUTHOR, "the limit was wrong")

    def withdraw(self, **wanted):
        """Order that landed rows which fail now go to quarantine; the operation."""
        return self.desk.order(self.desk.preview_withdrawal(PRESSURE, Filter(**wanted)), AUTHOR, "it is too high")

    def undo(self, number):
        """Order that what an operation moved goes back; the operation."""
        return self.desk.order(self.desk.preview_undo(PRESSURE, number), AUTHOR, "it was right")

    def limits(self):
        """By stamp, the limit of each version."""
        pages = self.review.standing(PRESSURE).chain.pages
        texts = {page.stamp: page.version.submitted.suite for page in pages}
        return {stamp: float((re.findall(r"at most (\d+)", text) or ["inf"])[0]) for stamp, text in texts.items()}
