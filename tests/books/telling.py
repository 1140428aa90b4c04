"""What rows and decisions say, in few words: for the tests of the books."""

import numpy as np

from biokeel.books.intervals import Bag, Intervals
from biokeel.books.places import Label, Place, Teller
from biokeel.books.state import Part

GLUCOSE = Part("hospital-a", "clinical.glucose", 0)


def curated(stream="raw", withheld=""):
    return Label(Teller.CURATED, Place.CURATED, stream, withheld=withheld)


def quarantined(stream="raw", rules="", suite=""):
    return Label(Teller.QUARANTINE, Place.QUARANTINED, stream, "rule.failed", rules, suite)


def aside(place, stream="raw"):
    """What the quarantine table says of repeats and withdrawals."""
    return Label(Teller.QUARANTINE, place, stream)


def history(place, stream="raw"):
    return Label(Teller.HISTORY, place, stream)


def vault(place, reason=""):
    return Label(Teller.VAULT, place, reason=reason)


def offsets(*values):
    return np.array(values, dtype=np.int64)


def some(*values):
    return Intervals.of(offsets(*values))


def bag(*values):
    return Bag.of(offsets(*values))


def said(labels, part=GLUCOSE):
    """Of one partition: label → offsets."""
    return {(part, label): bag(*values) for label, values in labels.items() if values}


def listed(intervals):
    return [offset for first, last in intervals.runs() for offset in range(first, last + 1)]
