"""Made-up participants in Korean shape. Everything is drawn from a seeded generator; nobody is meant."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]

DAY_MS: Final = 86_400_000
SITES: Final = ("hanbit", "saebyeok", "mirae", "pureun")
CENTRES: Final = ("kbc1", "kbc2")
VENDORS: Final = ("healthlog", "stepwise", "dozer")
OFFICE: Final = "enrolment-office"
SYSTEMS: Final = {"hospital": "-emr", "sample": "-lims", "app": "-app"}
"""What publishes, behind the name of each kind of place."""
_SURNAMES: Final = np.array(list("김이박최정강조윤장임한오서신권황안송류홍"))
_SURNAME_WEIGHTS: Final = np.array([21, 15, 8, 5, 5, 2, 2, 2, 2, 2, 1.5, 1.5, 1.5, 1.5, 1.4, 1.4, 1.4, 1.4, 1.3, 1.1])
_GIVEN: Final = np.array(
    ["민준", "서연", "도윤", "하은", "지호", "수아", "예준", "지우", "현우", "영숙", "정호", "미경", "상철", "은주"]
)
_FOREIGN: Final = np.array(["NGUYEN THI LAN", "WANG FANG", "SMITH JOHN", "TRAN VAN MINH", "KIM ANNA", "SATO YUKI"])
_PLACES: Final = np.array(
    [
        "서울특별시 강남구 테헤란로",
        "부산광역시 해운대구 센텀로",
        "대구광역시 수성구 달구벌대로",
        "인천광역시 연수구 송도대로",
        "광주광역시 북구 첨단로",
        "대전광역시 유성구 대학로",
        "울산광역시 남구 삼산로",
        "세종특별자치시 한누리대로",
        "경기도 수원시 영통로",
        "강원특별자치도 춘천시 중앙로",
        "충청북도 청주시 상당로",
        "충청남도 천안시 만남로",
        "전북특별자치도 전주시 백제대로",
        "전라남도 순천시 장명로",
        "경상북도 포항시 중앙로",
        "경상남도 창원시 원이대로",
        "제주특별자치도 제주시 연삼로",
    ]
)
_CHECK_WEIGHTS: Final = np.array([2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5])
_DAY_ZERO: Final = np.datetime64("1970-01-01", "D")
FIRST_ENROLMENT: Final = int((np.datetime64("2019-03-01", "D") - _DAY_ZERO).astype(np.int64))
LAST_ENROLMENT: Final = int((np.datetime64("2023-12-31", "D") - _DAY_ZERO).astype(np.int64))
LATE_SHARE: Final = 0.1
"""Participants whose enrolment arrives after their events."""


def make_people(rng: np.random.Generator, count: int, never: int, without_lifestyle: int) -> pl.DataFrame:
    """`count` participants, a row each.

    The last `never` are never enrolled, `without_lifestyle` others do not consent to lifestyle data.
    Columns: what `enrolments` needs, and `born` and `enrolled` (days since 1970), `age` (years at enrolment),
    `diabetic`, `hypertensive` (Boolean), `pressure` (the person's own deviation, mm[Hg]), `late`, `never`, `limited`.
    """
    enrolled = rng.integers(FIRST_ENROLMENT, LAST_ENROLMENT, count)
    age = np.clip(rng.normal(52, 15, count), 19, 90)
    born = (enrolled - age * 365.25).astype(np.int64)
    female = rng.random(count) < 0.52
    foreign = rng.random(count) < 0.04
    index = np.arange(count)
    numbered = index < count - never
    limited = numbered & (index >= count - never - without_lifestyle)
    return pl.DataFrame(
        {
            "scheme": np.where(foreign, "KR_FRN", "KR_RRN"),
            "national": _national_numbers(rng, born, female, foreign),
            "site": _pick(rng, SITES, count),
            "hospital_number": _numbers(rng, count, 8),
            "centre": _pick(rng, CENTRES, count),
            "barcode": _barcodes(rng, count),
            "vendor": _pick(rng, VENDORS, count),
            "account": np.char.add("u", _hex(rng, count, 6)),
            "name": _names(rng, foreign),
            "phone": _phones(rng, count),
            "email": np.char.add(np.char.add("user", _numbers(rng, count, 7).astype(str)), "@example.com"),
            "address": np.char.add(
                np.char.add(rng.choice(_PLACES, count), " "), rng.integers(1, 400, count).astype(str)
            ),
            "sex": np.where(female, "female", "male"),
            "born": born,
            "enrolled": enrolled,
            "age": age,
            "diabetic": rng.random(count) < np.clip((age - 30) / 200, 0.02, 0.3),
            "hypertensive": rng.random(count) < np.clip((age - 25) / 110, 0.03, 0.6),
            "pressure": rng.normal(0, 7, count),
            "has_sample": rng.random(count) < 0.6,
            "has_app": rng.random(count) < 0.85,
            "late": numbered & ~limited & (rng.random(count) < LATE_SHARE),
            "never": ~numbered,
            "limited": limited,
        }
    ).with_columns(
        pl.col("hospital_number", "account").cast(pl.String),
        pl.col("has_sample") | (pl.col("never") & ~pl.col("has_app")),
    )


def enrolments(people: pl.DataFrame, event_ids: list[str]) -> pl.DataFrame:
    """The `person.enrolment` rows of `people`, by day of enrolment (columns as in the schema)."""
    at = pl.col("enrolled") * DAY_MS + 3 * 3_600_000
    time = pl.Datetime("ms", "UTC")
    return (
        people.with_columns(pl.Series("event_id", event_ids))
        .sort("enrolled", maintain_order=True)
        .select(
            "event_id",
            source_id=pl.lit(OFFICE),
            subject_scheme="scheme",
            subject_id="national",
            occurred_at=at.cast(time),
            occurred_offset_minutes=pl.lit(540, pl.Int32),
            recorded_at=(at + 3_600_000).cast(time),
            identifiers=pl.concat_list(
                _identifier("hospital", "site", "hospital_number", pl.lit(value=True)),
                _identifier("sample", "centre", "barcode", pl.col("has_sample")),
                _identifier("app", "vendor", "account", pl.col("has_app")),
            ).list.drop_nulls(),
            name="name",
            phone="phone",
            email="email",
            address="address",
            birth_date=pl.col("born").cast(pl.Int32).cast(pl.Date),
            sex="sex",
            consent_scope=pl.when("limited")
            .then(pl.lit(pl.Series([["genome", "clinical"]])))
            .otherwise(pl.lit(pl.Series([["genome", "clinical", "lifestyle"]]))),
            consent_stated=pl.lit(value=True),
        )
    )


def _identifier(kind: str, place: str, value: str, there: pl.Expr) -> pl.Expr:
    scheme = pl.concat_str(pl.lit(f"{kind}/"), pl.col(place))
    return pl.when(there).then(pl.struct(scheme=scheme, value=pl.col(value)))


def _national_numbers(
    rng: np.random.Generator, born: Ints, female: npt.NDArray[np.bool_], foreign: npt.NDArray[np.bool_]
) -> list[str]:
    """Registration numbers, all different: most with a check digit, one in eight issued since October 2020 without."""
    days = _DAY_ZERO + born.astype("timedelta64[D]")
    year = days.astype("datetime64[Y]").astype(np.int64) + 1970
    month = days.astype("datetime64[M]").astype(np.int64) % 12 + 1
    day = (days - days.astype("datetime64[M]")).astype(np.int64) + 1
    head = (year % 100 * 10_000 + month * 100 + day) * 10
    head += 1 + female.astype(np.int64) + 2 * (year >= 2000) + 4 * foreign
    numbers = _with_tails(rng, head, foreign)
    while len(again := np.setdiff1d(np.arange(len(head)), np.unique(numbers, return_index=True)[1])):
        numbers[again] = _with_tails(rng, head[again], foreign[again])
    plain = rng.random(len(head)) < 0.1
    digits = [f"{number:013d}" for number in numbers.tolist()]
    return [text if bare else f"{text[:6]}-{text[6:]}" for text, bare in zip(digits, plain.tolist(), strict=True)]


def _with_tails(rng: np.random.Generator, head: Ints, foreign: npt.NDArray[np.bool_]) -> Ints:
    body = head * 100_000 + rng.integers(0, 100_000, len(head))
    places = 10 ** np.arange(11, -1, -1, dtype=np.int64)
    total = ((body[:, None] // places % 10) * _CHECK_WEIGHTS).sum(axis=1)
    check = (np.where(foreign, 13, 11) - total % 11) % 10
    new = rng.random(len(head)) < 0.125
    return body * 10 + np.where(new, rng.integers(0, 10, len(head)), check)


def _pick(rng: np.random.Generator, choices: tuple[str, ...], count: int) -> npt.NDArray[np.str_]:
    return rng.choice(np.array(choices), count)


def _numbers(rng: np.random.Generator, count: int, digits: int) -> Ints:
    """Different numbers of `digits` digits in no order."""
    step = max(1, 8 * 10 ** (digits - 1) // max(count, 1))
    numbers: Ints = 10 ** (digits - 1) + rng.permutation(count) * step + rng.integers(0, step)
    return numbers


def _hex(rng: np.random.Generator, count: int, length: int) -> npt.NDArray[np.str_]:
    text = rng.bytes(length * count).hex()
    return np.array([text[at : at + 2 * length] for at in range(0, len(text), 2 * length)])


def _barcodes(rng: np.random.Generator, count: int) -> list[str]:
    return [f"KB{number:08d}" for number in _numbers(rng, count, 8).tolist()]


def _names(rng: np.random.Generator, foreign: npt.NDArray[np.bool_]) -> npt.NDArray[np.str_]:
    count = len(foreign)
    surnames = rng.choice(_SURNAMES, count, p=_SURNAME_WEIGHTS / _SURNAME_WEIGHTS.sum())
    return np.where(foreign, rng.choice(_FOREIGN, count), np.char.add(surnames, rng.choice(_GIVEN, count)))


def _phones(rng: np.random.Generator, count: int) -> list[str]:
    parts = rng.integers(1_000, 10_000, (count, 2)).tolist()
    return [f"010-{middle}-{last}" for middle, last in parts]
