"""Made-up meals, bouts of exercise and nights."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from biokeel.demo.draw import Payload, Reals, Rng, normal, pick, time_of


def diet(rng: Rng, who: pl.DataFrame, _at: Any, hour: Reals) -> Payload:
    """Meals by the hour of the day, energy by the nutrients."""
    count = who.height
    meal = np.select([hour < 10, hour < 14.5, (hour > 17) & (hour < 21)], ["breakfast", "lunch", "dinner"], "snack")
    main = meal != "snack"
    carbohydrate = normal(rng, np.where(main, 78, 28), np.where(main, 22, 12), (3, 200, 1), count)
    protein = normal(rng, np.where(main, 24, 4), np.where(main, 9, 2), (0.2, 80, 1), count)
    fat = normal(rng, np.where(main, 16, 5), np.where(main, 7, 3), (0.1, 70, 1), count)
    drawn = normal(rng, np.where(main, 380, 140), np.where(main, 90, 50), (20, 900, 0), count)
    return {
        "meal": meal,
        "food_code": np.char.add("F", rng.integers(10_000, 10_400, count).astype(str)),
        "food_name": pick(rng, count, ["비빔밥", "김치찌개", "불고기", "잡곡밥", "된장국", "사과", "우유"]),
        "amount": np.maximum(drawn, ((carbohydrate + protein + fat) * 1.3).round()),
        "energy": (4 * carbohydrate + 4 * protein + 9 * fat).round(),
        "carbohydrate": carbohydrate,
        "protein": protein,
        "fat": fat,
        "sodium": normal(rng, np.where(main, 1150, 120), np.where(main, 380, 60), (1, 4000, 0), count),
        "status": "final",
    }


_ACTIVITIES: Final = pl.DataFrame(
    [
        ("walking", 1.35, 1.35, 4.2),
        ("running", 2.7, 2.2, 10.5),
        ("cycling", 5.0, 0.0, 7.5),
        ("hiking", 0.9, 1.2, 6.5),
        ("swimming", 0.7, 0.0, 8.0),
    ],
    schema=["activity", "metres", "steps", "kcal"],  # metres a second, steps a second, kcal a minute
    orient="row",
)


def exercise(rng: Rng, who: pl.DataFrame, _at: Any, _hour: Any) -> Payload:
    """A bout whose steps, distance and energy follow from its length and pace."""
    count = who.height
    what = _ACTIVITIES[rng.choice(_ACTIVITIES.height, count, p=[0.6, 0.12, 0.12, 0.1, 0.06])]
    seconds = np.clip(rng.gamma(4, 500, count), 300, 14_400).round()
    pace = rng.normal(1, 0.1, count).clip(0.6, 1.5)
    return {
        "activity": what["activity"],
        "duration": seconds,
        "steps": (seconds * what["steps"].to_numpy() * pace).astype(np.int64),
        "distance": (seconds * what["metres"].to_numpy() * pace).round(),
        "intensity": np.select([pace < 0.93, pace < 1.12], ["light", "moderate"], "vigorous"),
        "energy": (seconds / 60 * what["kcal"].to_numpy() * pace).round(),
        "heart_rate": normal(rng, 128 * pace - who["age"].to_numpy() * 0.3, 9, (70, 190, 0), count),
        "status": "final",
    }


def sleep(rng: Rng, who: pl.DataFrame, at: npt.NDArray[np.int64], hour: Reals) -> Payload:
    """A night, or a nap in the afternoon; stages add up to the time asleep."""
    count = who.height
    main = (hour > 19) | (hour < 6)
    bed = np.where(main, normal(rng, 432, 62, (150, 720, 0), count), normal(rng, 55, 20, (15, 150, 0), count))
    asleep = np.floor(bed * rng.normal(0.91, 0.035, count).clip(0.7, 0.99))
    deep = np.floor(asleep * rng.normal(0.16, 0.03, count).clip(0.05, 0.3))
    rem = np.floor(asleep * rng.normal(0.21, 0.04, count).clip(0.05, 0.35))
    return {
        "ended_at": time_of(at + (bed * 60_000).astype(np.int64)),
        "minutes_asleep": asleep,
        "minutes_in_bed": bed,
        "minutes_light": asleep - deep - rem,
        "minutes_deep": deep,
        "minutes_rem": rem,
        "minutes_awake": bed - asleep,
        "is_main_sleep": main,
        "status": "final",
    }
