"""Names of activities as apps and people write them, in the programme's words."""

from __future__ import annotations

import re
import unicodedata
from typing import Final, get_args

from biokeel.source.models import ExerciseActivity

WORDS: Final = frozenset(get_args(ExerciseActivity))
"""The closed set of `lifestyle.exercise.activity`."""
OTHER: Final = "other"
UNKNOWN: Final = "unknown"
DAY: Final = "daily_activity"
_BREAKS: Final = re.compile(r"[^0-9a-z가-힣]+")
_SAME: Final = {
    "walk": "walking",
    "fitness_walking": "walking",
    "run": "running",
    "bike": "cycling",
    "bicycling": "cycling",
    "cycle": "cycling",
    "outdoor_bike": "cycling",
    "swim": "swimming",
    "hike": "hiking",
    "weights": "weight_training",
    "daily_activity_summary": "daily_activity",
    "hiit": "high_intensity_interval_training",
    "걷기": "walking",
    "산책": "walking",
    "달리기": "running",
    "조깅": "jogging",
    "자전거": "cycling",
    "자전거_타기": "cycling",
    "사이클": "cycling",
    "수영": "swimming",
    "등산": "hiking",
    "하이킹": "hiking",
    "요가": "yoga",
    "필라테스": "pilates",
    "줄넘기": "jump_rope",
    "스트레칭": "stretching",
    "근력_운동": "strength_training",
    "근력운동": "strength_training",
    "웨이트_트레이닝": "weight_training",
    "축구": "soccer",
    "농구": "basketball",
    "야구": "baseball",
    "배드민턴": "badminton",
    "탁구": "table_tennis",
    "테니스": "tennis",
    "골프": "golf",
    "배구": "volleyball",
    "태권도": "taekwondo",
    "유도": "judo",
    "댄스": "dance",
    "계단_오르기": "stair_climbing",
    "스키": "skiing",
}
"""What means the same as one of the words. 축구 is soccer: football is another game to some of its players."""


def activity_of(name: str) -> str | None:
    """The programme's word for the activity `name`, null where it has none; a person may have made the name up.

    Of "Swimming, breaststroke" it is that of what stands before the comma.
    """
    whole, first = _plain(name), _plain(name.partition(",")[0])
    return next((found for each in (whole, first) if (found := each if each in WORDS else _SAME.get(each))), None)


def _plain(name: str) -> str:
    return _BREAKS.sub("_", unicodedata.normalize("NFKC", name).casefold()).strip("_")
