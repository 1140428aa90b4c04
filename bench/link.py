"""What the linking stage costs an event, by block and by how many participants one pseudo partition knows.

Run it with `python bench/link.py` in an environment that has biokeel; it takes less than half a minute. It counts CPU
seconds of all threads, and takes turns between the states, so that a busy machine is unfair to all alike; even so, a
processor whose caches others use makes the large state slower than the small one.
"""

from __future__ import annotations

from statistics import median
from time import process_time

import numpy as np
import polars as pl

from biokeel.batch import ValidatedBatch
from biokeel.contracts.topics import event_type
from biokeel.link.stage import link
from biokeel.link.state import PersonState, Run, Snapshot, to_bytes

EVENT = event_type("clinical.glucose")
PARTICIPANTS = (1_000, 100_000, 1_000_000)
BLOCKS = (5_000, 20_000)
ROUNDS, BATCHES = 9, 12
RANDOM = np.random.default_rng(1)


def known(participants: int) -> PersonState:
    """A state in which everybody has had events."""
    numbers = np.unique(RANDOM.integers(0, 1 << 60, participants))
    times = np.sort(RANDOM.integers(1_500_000_000_000, 1_750_000_000_000, (len(numbers), 2)))
    counts = RANDOM.integers(1, 100, len(numbers))
    return PersonState(Run(numbers, np.stack((counts, times[:, 1], times[:, 0], times[:, 1]), axis=1)))


def batch(numbers: np.ndarray, rows: int) -> ValidatedBatch:
    """Events of participants drawn at random, in the columns that linking reads."""
    columns = {
        "pseudo_partition": np.zeros(rows, np.int32),
        "participant": numbers[RANDOM.integers(0, len(numbers), rows)],
        "occurred_at": pl.Series(RANDOM.integers(1_500_000_000_000, 1_750_000_000_000, rows)).cast(
            pl.Datetime("ms", "UTC")
        ),
        "occurred_offset_minutes": np.full(rows, 540, np.int32),
        "birth_year": RANDOM.integers(1930, 2010, rows).astype(np.int32),
        "enrolled_on": pl.Series(RANDOM.integers(17_000, 20_000, rows).astype(np.int32)).cast(pl.Date),
    }
    return ValidatedBatch(EVENT, pl.DataFrame(columns))


def seconds_per_event(states: dict[int, PersonState], rows: int) -> dict[int, float]:
    """CPU seconds an event, of warm states: the median of rounds of `BATCHES`, so that what is seldom paid counts."""
    batches = {
        size: [batch(numbers, rows) for _ in range(BATCHES)]
        for size, numbers in ((size, state.whole().participants) for size, state in states.items())
    }
    took: dict[int, list[float]] = {size: [] for size in states}
    for _ in range(ROUNDS):
        for size, some in batches.items():
            state = states[size]
            begin = process_time()
            for each in some:
                _, states = link(each, {0: state})
                state = states[0]
            took[size].append((process_time() - begin) / rows / BATCHES)
            states[size] = state
    return {size: median(of[1:]) for size, of in took.items()}


def seconds_per_snapshot(state: PersonState) -> float:
    """The median of CPU seconds to write the bytes of a snapshot."""
    took = []
    for _ in range(3):
        begin = process_time()
        to_bytes(Snapshot(0, state, {}))
        took.append(process_time() - begin)
    return median(took)


def main() -> None:
    states = {size: known(size) for size in PARTICIPANTS}
    print("rows a block | participants | M events per CPU second | cost against the smallest")
    for rows in BLOCKS:
        costs = seconds_per_event(states, rows)
        for size, cost in costs.items():
            print(f"{rows:>12,} | {size:>12,} | {1e-6 / cost:>23.2f} | {cost / costs[PARTICIPANTS[0]]:.2f}")
    for size, state in states.items():
        print(f"A snapshot of {size:,} participants: {seconds_per_snapshot(state):.3f} CPU seconds")


if __name__ == "__main__":
    main()
