"""What rows and decisions say, in few words: for the tests of the books."""

from collections import Counter

import numpy as np

from biokeel.books.intervals import Bag, Intervals
from biokeel.books.places import TABLES, Label, Place, Teller
from biokeel.books.state import Part, State
from biokeel.books.tables import Tables

GLUCOSE = Part("hospital-a", "clinical.glucose", 0)


def curated(stream="raw", withheld="", operation=""):
    return Label(Teller.CURATED, Place.CURATED, stream, withheld=withheld, operation=operation)


def quarantined(stream="raw", rules="", suite="", operation=""):
    return Label(Teller.QUARANTINE, Place.QUARANTINED, stream, "rule.failed", rules, suite, operation=operation)


def aside(place, stream="raw"):
    """What the quarantine table says of repeats and withdrawals."""
    return Label(Teller.QUARANTINE, place, stream)


def history(place, stream="raw", operation=""):
    return Label(Teller.HISTORY, place, stream, operation=operation)


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


def lies(lake, event):
    """Of every event that the tables of `event` speak of: (who says it, where it lies) and its offset, counted."""
    state = State()
    for teller in TABLES:
        state.replace(str(event), teller, Tables(lake).whole(event, teller)[1])
    return Counter(
        (label.teller.value, label.place.value, offset)
        for part in state.parts.values()
        for label, those in part.within(0, 1 << 40).lies.items()
        for offset in listed(those)
    )
