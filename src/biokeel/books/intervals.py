"""Sets of offsets as intervals, and bags that know what was added twice. Pure, on numpy arrays; nothing loops by event.

A partition of which everything landed is one interval, whatever its length; of scattered offsets each costs 16 bytes.
With k intervals, adding n offsets costs O(n log n + k), and any operation on two sets O(k) of both.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    Offsets = npt.NDArray[np.int64]

_WIDTHS: Final = tuple(np.dtype(f"<u{size}") for size in (1, 2, 4, 8))
_GREATEST: Final = tuple(int(np.iinfo(kind).max) for kind in _WIDTHS)


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """A set of offsets (0 to 2**62): the half-open intervals from `starts` to `ends` (int64), sorted, none touching."""

    starts: Offsets
    ends: Offsets

    @classmethod
    def of(cls, offsets: Offsets) -> Intervals:
        """The set of `offsets`, in any order; one that is there twice is in it once."""
        return _of_sorted(np.unique(offsets))

    @classmethod
    def span(cls, first: int, end: int) -> Intervals:
        """All from `first` up to, but not with, `end`."""
        if end <= first:
            return NOTHING
        return cls(np.array([first], dtype=np.int64), np.array([end], dtype=np.int64))

    @classmethod
    def of_runs(cls, first: Offsets, last: Offsets) -> Intervals:
        """The runs from each of `first` to that of `last`, both included; in any order, and they may overlap."""
        return _merged(first, last + 1)

    @classmethod
    def from_bytes(cls, data: bytes) -> Intervals:
        """What `to_bytes` gave."""
        if not data:
            return NOTHING
        steps = np.frombuffer(data, dtype=_WIDTHS[data[0]], offset=9).astype(np.int64)
        edges = np.cumsum(steps) + int.from_bytes(data[1:9], "little")
        return cls(np.concatenate((edges[:1] - steps[0], edges[1::2])), edges[::2].copy())

    def to_bytes(self) -> bytes:
        """The lengths of the intervals and of the gaps between them in as few bytes each as the longest needs."""
        if not self:
            return b""
        steps = np.empty(2 * len(self.starts) - 1, dtype=np.int64)
        steps[::2] = self.ends - self.starts
        steps[1::2] = self.starts[1:] - self.ends[:-1]
        width = bisect_left(_GREATEST, int(steps.max()))
        return bytes([width]) + int(self.starts[0]).to_bytes(8, "little") + steps.astype(_WIDTHS[width]).tobytes()

    def __len__(self) -> int:
        return int((self.ends - self.starts).sum())

    def __bool__(self) -> bool:
        return bool(len(self.starts))

    def __contains__(self, offset: int) -> bool:
        at = int(np.searchsorted(self.starts, offset, "right")) - 1
        return at >= 0 and offset < int(self.ends[at])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Intervals):
            return NotImplemented
        return np.array_equal(self.starts, other.starts) and np.array_equal(self.ends, other.ends)

    __hash__ = None  # type: ignore[assignment]  # arrays are compared, not hashed

    def __or__(self, other: Intervals) -> Intervals:
        if not self or not other:
            return self or other
        return _merged(np.concatenate((self.starts, other.starts)), np.concatenate((self.ends, other.ends)))

    def __and__(self, other: Intervals) -> Intervals:
        if not self or not other:
            return NOTHING
        mine = self.within(int(other.starts[0]), int(other.ends[-1]))
        theirs = other.within(int(self.starts[0]), int(self.ends[-1]))
        return coverage((mine, theirs))[1]

    def __sub__(self, other: Intervals) -> Intervals:
        if not self or not other:
            return self
        low, high = int(self.starts[0]), int(self.ends[-1])
        theirs = other.within(low, high)
        gaps = Intervals(np.concatenate(([low], theirs.ends)), np.append(theirs.starts, high))
        return self & gaps.without_empty()

    def without_empty(self) -> Intervals:
        """The same where some of the intervals may be empty."""
        full = self.ends > self.starts
        return self if full.all() else Intervals(self.starts[full], self.ends[full])

    def within(self, low: int, high: int) -> Intervals:
        """Those from `low` up to, but not with, `high`; costs by what is in between."""
        if high <= low:
            return NOTHING
        first, end = int(np.searchsorted(self.ends, low, "right")), int(np.searchsorted(self.starts, high, "left"))
        if first >= end:
            return NOTHING
        starts, ends = self.starts[first:end], self.ends[first:end]
        if starts[0] < low:
            starts = np.concatenate(([low], starts[1:]))
        if ends[-1] > high:
            ends = np.append(ends[:-1], high)
        return Intervals(starts, ends)

    def first(self, most: int) -> Offsets:
        """The lowest offsets, at most so many."""
        found: list[int] = []
        for start, end in zip(self.starts[:most].tolist(), self.ends[:most].tolist(), strict=True):
            found += range(start, min(end, start + most - len(found)))
        return np.array(found[:most], dtype=np.int64)

    def runs(self) -> list[tuple[int, int]]:
        """The intervals as runs, both ends included."""
        return list(zip(self.starts.tolist(), (self.ends - 1).tolist(), strict=True))

    def __repr__(self) -> str:
        return f"Intervals({len(self)} offsets in {len(self.starts)})"


NOTHING: Final = Intervals(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


def coverage(sets: Iterable[Intervals]) -> tuple[Intervals, Intervals]:
    """What is in any of `sets`, and what is in two or more of them.

    With all starts and all ends sorted, each for itself, the i-th start comes when i intervals have begun. Where it
    lies past the end before it, as many have ended, and nothing covers what is in between; where it lies before that
    end, one is still open, and two cover it up to there.
    """
    some = [each for each in sets if each]
    if len(some) < 2:
        return (some[0] if some else NOTHING), NOTHING
    starts = np.sort(np.concatenate([each.starts for each in some]), kind="stable")
    ends = np.sort(np.concatenate([each.ends for each in some]), kind="stable")
    twice = np.flatnonzero(starts[1:] < ends[:-1])
    return _joined(starts, ends), _merged(starts[twice + 1], ends[twice])


def union(sets: Iterable[Intervals]) -> Intervals:
    """What is in any of `sets`."""
    return coverage(sets)[0]


def _of_sorted(offsets: Offsets) -> Intervals:
    """The set of `offsets`, which increase."""
    if not len(offsets):
        return NOTHING
    breaks = np.flatnonzero(np.diff(offsets) != 1)
    return Intervals(offsets[np.concatenate(([0], breaks + 1))], offsets[np.append(breaks, len(offsets) - 1)] + 1)


def _merged(starts: Offsets, ends: Offsets) -> Intervals:
    """The set of intervals in any order, which may touch and overlap."""
    return _joined(np.sort(starts, kind="stable"), np.sort(ends, kind="stable"))


def _joined(starts: Offsets, ends: Offsets) -> Intervals:
    """The same of starts and ends that are sorted, each for itself."""
    breaks = starts[1:] > ends[:-1]
    if breaks.all():
        return Intervals(starts, ends)
    return Intervals(starts[np.append(True, breaks)], ends[np.append(breaks, True)])


@dataclass(frozen=True, slots=True)
class Bag:
    """Offsets, each as often as it was added: the n-th layer holds those that are there more than n times.

    Where nothing is doubled there is one layer.
    """

    layers: tuple[Intervals, ...] = ()

    @classmethod
    def of(cls, offsets: Offsets) -> Bag:
        """The bag of `offsets`, in any order."""
        if (offsets[1:] > offsets[:-1]).all():  # as they mostly come: nothing is to be sorted, and nothing twice
            return cls.once(_of_sorted(offsets))
        values, counts = np.unique(offsets, return_counts=True)
        most = int(counts.max(initial=0))
        return cls(tuple(_of_sorted(values[counts > n]) for n in range(most)))

    @classmethod
    def once(cls, offsets: Intervals) -> Bag:
        """Each of `offsets` once."""
        return cls((offsets,) if offsets else ())

    def __bool__(self) -> bool:
        return bool(self.layers)

    def __len__(self) -> int:
        return sum(map(len, self.layers))

    @property
    def all(self) -> Intervals:
        """Which offsets are there."""
        return self.layers[0] if self.layers else NOTHING

    @property
    def doubled(self) -> Intervals:
        """Which are there more than once."""
        return self.layers[1] if len(self.layers) > 1 else NOTHING

    def __add__(self, more: Bag) -> Bag:
        layers = list(self.layers)
        for each in more.layers:
            carried = each
            for n, layer in enumerate(layers):
                if not carried:
                    break
                both = layer & carried
                layers[n] = layer | carried
                carried = both
            if carried:
                layers.append(carried)
        return Bag(tuple(layers))

    def __sub__(self, less: Bag) -> Bag:
        """Raises `LookupError` where something is taken out more often than it is there."""
        layers = list(self.layers)
        for each in less.layers:
            left = each
            for n in reversed(range(len(layers))):
                out = layers[n] & left
                layers[n] -= out
                left -= out
            if left:
                raise LookupError(f"{len(left)} offsets are not there")
        return Bag(tuple(layer for layer in layers if layer))

    def __and__(self, some: Intervals) -> Bag:
        """What of it is in `some`, as often."""
        return Bag(tuple(part for layer in self.layers if (part := layer & some)))

    def within(self, low: int, high: int) -> Bag:
        """What of it lies from `low` up to, but not with, `high`, as often."""
        return Bag(tuple(part for layer in self.layers if (part := layer.within(low, high))))

    def without(self, some: Intervals) -> Bag:
        """What of it is not in `some`, as often."""
        return Bag(tuple(part for layer in self.layers if (part := layer - some))) if some else self
