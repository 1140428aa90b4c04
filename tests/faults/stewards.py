"""The stewards of a world: they put suites of blood pressures in force, and see which version judged which rows."""

import json

import polars as pl

from biokeel.demo.stewards import MadeUpStewards
from biokeel.land.reading import scan
from biokeel.rulebook.follow import FollowedBook
from biokeel.rules.reverdict import Filter, Reverdict
from biokeel.settings import Settings
from tests.faults.traffic import PRESSURE

SAMPLES = json.dumps({"samples": [{"why": "a good one", "row": {"systolic": 100, "diastolic": 60}}]})


class Stewards:
    def __init__(self, lake, schema):
        self.lake = lake
        self.schemas = {PRESSURE: schema}
        self.pair = MadeUpStewards(lake.objects, self.schemas)

    def publish(self, highest):
        """Put a suite in force that takes no systolic value above `highest`, besides the rules of the beginning."""
        begin = Settings().expectations_dir  # a worker that was ended at once may not have begun the book
        FollowedBook(self.lake.objects, self.schemas, begin=begin).current(PRESSURE)
        standing = self.pair.review.standing(PRESSURE)
        suite = json.loads(standing.chain.pages[0].version.submitted.suite)
        suite["expectations"].append(
            {
                "type": "expect_column_values_to_be_between",
                "kwargs": {"column": "systolic", "max_value": highest},
                "severity": "critical",
                "meta": {
                    "rule": f"bp.systolic.at_most_{highest}",
                    "notes": "A rule of an experiment: it changes the verdict.",
                },
            }
        )
        suite["meta"] = {"version": str(standing.page.number)}  # the same limit twice is another draft
        return self.pair.put_in_force(PRESSURE, json.dumps(suite), SAMPLES, "An experiment.")

    def roll_back(self):
        self.pair.roll_back(PRESSURE, 1, "The experiment is over.")

    def release(self):
        """Order that what a limit has quarantined, and passes now, lands."""
        self._order(self._desk().preview_release(PRESSURE, Filter()))

    def undo(self):
        """Order that what the last operation moved goes back."""
        self._order(self._desk().preview_undo(PRESSURE, len(self._desk().states(PRESSURE))))

    def all_done(self):
        return not any(each.open_in for each in self._desk().states(PRESSURE))

    def _desk(self):
        return Reverdict(self.lake, self.schemas, self.pair.review, four_eyes=True)

    def _order(self, preview):
        made = self._desk().order(preview, self.pair.author, "An experiment.")
        if isinstance(made, str):
            self._desk().approve(PRESSURE, made, self.pair.approver)

    def check(self):
        """Every row was judged by a version of the book, and what landed passes that version, or says that it fails.

        The latter where an older version had decided before a worker died.
        """
        limits = {page.stamp: limit_of(page) for page in self.pair.review.standing(PRESSURE).chain.pages}
        for table in (self.lake.curated(PRESSURE), self.lake.quarantine(PRESSURE)):
            judged = scan(table, self.lake).filter(pl.col("suite_version").is_not_null()).collect()
            assert set(judged["suite_version"]) <= set(limits), "rows of a version that the book does not have"
        landed = scan(self.lake.curated(PRESSURE), self.lake).collect()
        for stamp, limit in limits.items():
            above = landed.filter((pl.col("suite_version") == stamp) & (pl.col("systolic") > limit))
            assert above["warnings"].list.contains(f"bp.systolic.at_most_{limit}").all()


def limit_of(page):
    """The highest systolic value that a version takes, by the rule of the experiment; without it as good as none."""
    rules = [each["meta"]["rule"] for each in json.loads(page.version.submitted.suite)["expectations"]]
    found = [int(rule.rpartition("_")[2]) for rule in rules if rule.startswith("bp.systolic.at_most_")]
    return found[0] if found else 10**6
