"""Years of made-up events with plausible distributions, a frame for each event type.

Numbers are round figures for a middle-aged Korean cohort (pressure by age as in national health surveys, WGS quality
as in the GA4GH reference results), good enough that rules and plots have something to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from biokeel.contracts.topics import EventType, event_type
from biokeel.source.demo.people import DAY_MS

Rng: TypeAlias = np.random.Generator
Reals: TypeAlias = npt.NDArray[np.float64]
Payload: TypeAlias = dict[str, Any]
"""Columns of an event type after the envelope; Any because polars takes arrays, lists and series alike."""

END: Final = int((np.datetime64("2026-06-30", "D") - np.datetime64("1970-01-01", "D")).astype(np.int64))
"""The last day of the corpus, days since 1970."""
OFFSET_MS: Final = 540 * 60_000


def make_events(rng: Rng, people: pl.DataFrame) -> dict[EventType, pl.DataFrame]:
    """The events of `people`, with the schema's columns and `person` (row in `people`), by time within a type."""
    return {event: _frame(rng, people, event, plan) for event, plan in _PLANS.items()}


def ids(rng: Rng, count: int) -> list[str]:
    """`count` event ids."""
    text = rng.bytes(16 * count).hex()
    return [text[at : at + 32] for at in range(0, len(text), 32)]


def _frame(rng: Rng, people: pl.DataFrame, event: EventType, plan: Plan) -> pl.DataFrame:
    rate, hours, make = plan
    kind = {"clinical": "hospital", "genome": "sample", "lifestyle": "app"}[event.domain]
    who = _who(rng, people, event, rate)
    them = people[who]
    enrolled = them["enrolled"].to_numpy()
    day = (enrolled + 1 + rng.random(len(who)) * (END - enrolled - 1)).astype(np.int64)
    hour = hours(rng, len(who))
    at = day * DAY_MS + (hour * 3_600_000).astype(np.int64) - OFFSET_MS
    order = np.argsort(at, kind="stable")
    them, at, hour, who = them[order], at[order], hour[order], who[order]
    lag = (rng.exponential(_LAG_MS[kind], len(who))).astype(np.int64) + 1_000
    place, value = {
        "hospital": ("site", "hospital_number"),
        "sample": ("centre", "barcode"),
        "app": ("vendor", "account"),
    }[kind]
    envelope = {
        "event_id": ids(rng, len(who)),
        "source_id": them[place] + {"hospital": "-emr", "sample": "-lims", "app": "-app"}[kind],
        "subject_scheme": f"{kind}/" + them[place],
        "subject_id": them[value],
        "occurred_at": _time(at),
        "occurred_offset_minutes": pl.Series([540], dtype=pl.Int32).new_from_index(0, len(who)),
        "recorded_at": _time(at + lag),
    }
    columns: dict[str, Any] = {**envelope, **make(rng, them, at, hour)}
    series = [pl.Series(name, values) for name, values in columns.items() if not isinstance(values, str)]
    same = [pl.lit(values).alias(name) for name, values in columns.items() if isinstance(values, str)]
    return pl.DataFrame(series).with_columns(*same, person=pl.Series(who)).select(*columns, "person")


_LAG_MS: Final = {"hospital": 4 * 3_600_000.0, "sample": 2.0 * DAY_MS, "app": 600_000.0}


def _who(rng: Rng, people: pl.DataFrame, event: EventType, rate: float) -> npt.NDArray[np.int64]:
    """The person of each event: `rate` a person, more for those whose condition asks for it; one for each genome."""
    if event.domain == "genome":
        return np.flatnonzero(people["has_sample"].to_numpy())
    share: Reals = np.full(people.height, rate)
    if event.name in {"glucose", "medication"}:
        share = share * np.where(people["diabetic"].to_numpy(), 3.0, 0.75)
    if event.name == "blood_pressure":
        share = share * np.where(people["hypertensive"].to_numpy(), 1.8, 0.7)
    if event.domain == "lifestyle":
        share = share * people["has_app"].to_numpy()
    who: npt.NDArray[np.int64] = np.repeat(np.arange(people.height), rng.poisson(share))
    return who


def _time(ms: npt.NDArray[np.int64]) -> pl.Series:
    return pl.Series(ms).cast(pl.Datetime("ms", "UTC"))


def _around(*peaks: tuple[float, float]) -> Callable[[Rng, int], Reals]:
    """Hours of the local day around `peaks` (hour, standard deviation); night hours may fall on the next day."""

    def draw(rng: Rng, count: int) -> Reals:
        which = rng.integers(0, len(peaks), count)
        means, deviations = np.array(peaks).T
        return np.clip(rng.normal(means[which], deviations[which]), 0.0, 29.0)

    return draw


def _pick(rng: Rng, count: int, choices: Mapping[str, float] | list[str]) -> npt.NDArray[np.str_]:
    names = np.array(list(choices))
    if isinstance(choices, Mapping):
        weights = np.array(list(choices.values()))
        return rng.choice(names, count, p=weights / weights.sum())
    return rng.choice(names, count)


def _normal(rng: Rng, mean: Any, deviation: Any, form: tuple[float, float, int], count: int) -> Reals:
    """Normal values; `form` is the least, the most and the number of decimal digits."""
    low, high, digits = form
    return np.clip(rng.normal(mean, deviation, count), low, high).round(digits)


def _status(rng: Rng, count: int) -> npt.NDArray[np.str_]:
    return _pick(rng, count, {"final": 0.96, "amended": 0.03, "corrected": 0.01})


def _blood_pressure(rng: Rng, who: pl.DataFrame, _at: Any, hour: Reals) -> Payload:
    count = who.height
    mean = 96 + 0.42 * who["age"].to_numpy() + who["pressure"].to_numpy() + 14 * who["hypertensive"].to_numpy()
    systolic = _normal(rng, mean + 4 * np.sin((hour - 6) / 12 * np.pi), 7, (80, 215, 0), count)
    return {
        "panel_code": _pick(rng, count, {"85354-9": 0.9, "55284-4": 0.1}),
        "systolic": systolic,
        "diastolic": np.clip(systolic * 0.45 + 22 + rng.normal(0, 5, count), 42, systolic - 15).round(),
        "heart_rate": _normal(rng, 72, 9, (45, 130, 0), count),
        "body_position": _pick(rng, count, {"sitting": 0.8, "supine": 0.15, "standing": 0.05}),
        "status": _status(rng, count),
    }


def _glucose(rng: Rng, who: pl.DataFrame, _at: Any, hour: Reals) -> Payload:
    count = who.height
    diabetic = who["diabetic"].to_numpy()
    fasting = hour < 9
    mean = np.where(diabetic, np.where(fasting, 138, 190), np.where(fasting, 92, 117))
    value = _normal(rng, mean, np.where(diabetic, 28, 11), (55, 420, 0), count)
    molar = rng.random(count) < 0.1
    capillary = rng.random(count) < 0.6
    mass = np.where(capillary, "41653-7", np.where(fasting, "1558-6", "2345-7"))
    return {
        "code": np.where(molar, np.where(capillary, "15074-8", "14749-6"), mass),
        "value": np.where(molar, (value / 18.0156).round(1), value),
        "value_unit": np.where(molar, "mmol/L", "mg/dL"),
        "relation_to_meal": np.where(fasting, "fasting", "after_meal"),
        "specimen": np.where(capillary, np.where(molar, "blood", "capillary_blood"), "serum"),
        "status": _status(rng, count),
    }


_LABS: Final = pl.DataFrame(
    [
        # LOINC, name, unit, mean, deviation, more in diabetics, digits, low, high
        ("4548-4", "Hemoglobin A1c", "%", 5.5, 0.3, 1.7, 1, 4.0, 5.7),
        ("2160-0", "Creatinine", "mg/dL", 0.85, 0.16, 0.1, 2, 0.5, 1.2),
        ("2093-3", "Cholesterol", "mg/dL", 188, 34, -8, 0, 0, 200),
        ("2085-9", "HDL cholesterol", "mg/dL", 52, 11, -5, 0, 40, 100),
        ("2571-8", "Triglyceride", "mg/dL", 125, 45, 40, 0, 0, 150),
        ("1742-6", "ALT", "U/L", 23, 8, 5, 0, 0, 40),
        ("718-7", "Hemoglobin", "g/dL", 14.1, 1.2, -0.3, 1, 12.0, 17.0),
    ],
    schema=["code", "display", "unit", "mean", "deviation", "diabetic", "digits", "low", "high"],
    orient="row",
    strict=False,
)


def _lab_result(rng: Rng, who: pl.DataFrame, _at: Any, _hour: Any) -> Payload:
    count = who.height
    labs = _LABS[rng.integers(0, _LABS.height, count)]
    mean, deviation = labs["mean"].to_numpy(), labs["deviation"].to_numpy()
    value = rng.normal(mean + labs["diabetic"].to_numpy() * who["diabetic"].to_numpy(), deviation)
    scale = 10.0 ** labs["digits"].to_numpy()
    value = np.round(np.maximum(value, mean * 0.3) * scale) / scale
    low, high = labs["low"].to_numpy(), labs["high"].to_numpy()
    return {
        "code": labs["code"],
        "display": labs["display"],
        "value": value,
        "value_unit": labs["unit"],
        "value_code": pl.Series([None], dtype=pl.String).new_from_index(0, count),
        "reference_low": low,
        "reference_high": high,
        "interpretation": np.where(value < low, "L", np.where(value > high, "H", "N")),
        "status": _status(rng, count),
    }


_DIAGNOSES: Final = {
    "J00": ("급성 비인두염", False),
    "J20.9": ("상세불명의 급성 기관지염", False),
    "K21.9": ("식도염을 동반하지 않은 위-식도역류병", True),
    "M54.5": ("아래허리통증", False),
    "E78.5": ("상세불명의 고지질혈증", True),
    "N20.1": ("요관의 결석", False),
    "H25.9": ("상세불명의 노년백내장", True),
    "F32.9": ("상세불명의 우울에피소드", True),
}
"""KCD-8 code: (its Korean title, whether it lasts)."""
_OF_DIABETES: Final = ("E11.9", "합병증을 동반하지 않은 2형 당뇨병")
_OF_PRESSURE: Final = ("I10", "본태성(원발성) 고혈압")


def _diagnosis(rng: Rng, who: pl.DataFrame, at: npt.NDArray[np.int64], _hour: Any) -> Payload:
    count = who.height
    common = _pick(rng, count, list(_DIAGNOSES))
    diabetic = who["diabetic"].to_numpy() & (rng.random(count) < 0.4)
    pressure = ~diabetic & who["hypertensive"].to_numpy() & (rng.random(count) < 0.4)
    code = np.where(diabetic, _OF_DIABETES[0], np.where(pressure, _OF_PRESSURE[0], common))
    titles = {name: title for name, (title, _) in _DIAGNOSES.items()} | dict([_OF_DIABETES, _OF_PRESSURE])
    lasting = {name for name, (_, lasts) in _DIAGNOSES.items() if lasts} | {_OF_DIABETES[0], _OF_PRESSURE[0]}
    codes = pl.Series(code)
    lasts = codes.is_in(list(lasting)).to_numpy()
    end = pl.Series(at + rng.integers(3, 30, count) * DAY_MS).cast(pl.Datetime("ms", "UTC"))
    return {
        "code_system": "KCD-8",
        "code": codes,
        "display": codes.replace_strict(titles),
        "clinical_status": np.where(lasts, "active", "resolved"),
        "verification_status": _pick(rng, count, {"confirmed": 0.93, "provisional": 0.07}),
        "onset_at": _time(at),
        "abated_at": end.set(pl.Series(lasts), None),
    }


_DRUGS: Final = pl.DataFrame(
    [
        ("C09CA01", "losartan", 50.0, "mg", 1.0),
        ("A10BA02", "metformin", 500.0, "mg", 2.0),
        ("C10AA05", "atorvastatin", 10.0, "mg", 1.0),
        ("N02BE01", "paracetamol", 650.0, "mg", 3.0),
        ("A02BC05", "esomeprazole", 20.0, "mg", 1.0),
        ("J01CA04", "amoxicillin", 500.0, "mg", 3.0),
    ],
    schema=["code", "display", "dose", "unit", "daily"],
    orient="row",
)


def _medication(rng: Rng, who: pl.DataFrame, at: npt.NDArray[np.int64], _hour: Any) -> Payload:
    count = who.height
    drugs = _DRUGS[rng.integers(0, _DRUGS.height, count)]
    request = rng.random(count) < 0.85
    return {
        "code_system": "ATC",
        "code": drugs["code"],
        "display": drugs["display"],
        "kind": np.where(request, "request", "statement"),
        "status": _pick(rng, count, {"completed": 0.6, "active": 0.35, "stopped": 0.05}),
        "dose_value": drugs["dose"],
        "dose_unit": drugs["unit"],
        "doses_per_day": drugs["daily"],
        "ended_at": _time(at + rng.integers(3, 90, count) * DAY_MS),
    }


def _sample_manifest(rng: Rng, who: pl.DataFrame, _at: Any, _hour: Any) -> Payload:
    folder = "s3://biokeel-landing/" + who["centre"] + "/" + who["barcode"] + "/" + who["barcode"]
    return {
        "biosample_id": "SAMKB" + who["barcode"].str.slice(2),
        "sex_reported": who["sex"],
        "population_code": "KOR",
        "reference_build": "GRCh38",
        "platform": _pick(rng, who.height, {"ILLUMINA": 0.8, "DNBSEQ": 0.2}),
        "alignment_uri": folder + ".cram",
        "variant_uri": folder + ".vcf.gz",
    }


def _qc_metrics(rng: Rng, who: pl.DataFrame, _at: Any, _hour: Any) -> Payload:
    count = who.height
    coverage = _normal(rng, 32, 2.5, (22, 60, 2), count)
    insertions = rng.normal(462_000, 16_000, count).astype(np.int64)
    deletions = rng.normal(486_000, 16_000, count).astype(np.int64)
    return {
        "pipeline": "npm-sample-qc 0.13.5",
        "yield_bp_q30": (coverage * 3.4e9).astype(np.int64),
        "mean_autosome_coverage": coverage,
        "mad_autosome_coverage": _normal(rng, 4.2, 0.6, (2, 9, 0), count),
        "pct_autosomes_15x": _normal(rng, 95.8, 0.4, (90, 99, 2), count),
        "pct_reads_mapped": _normal(rng, 99.7, 0.1, (98, 99.99, 2), count),
        "pct_reads_properly_paired": _normal(rng, 97.9, 0.4, (94, 99.5, 2), count),
        "mean_insert_size": _normal(rng, 448, 22, (330, 600, 1), count),
        "insert_size_std_deviation": _normal(rng, 103, 6, (70, 150, 1), count),
        "cross_contamination_rate": np.clip(rng.exponential(0.002, count), 0, 0.02).round(4),
        "count_snvs": rng.normal(3_780_000, 60_000, count).astype(np.int64),
        "count_insertions": insertions,
        "count_deletions": deletions,
        "ratio_transitions_transversions_snv": _normal(rng, 1.98, 0.01, (1.9, 2.1, 2), count),
        "ratio_heterozygous_homozygous_snv": _normal(rng, 1.45, 0.08, (1.15, 2.0, 2), count),
        "ratio_heterozygous_homozygous_indel": _normal(rng, 1.9, 0.12, (1.4, 2.6, 2), count),
        "ratio_insertion_deletion": (insertions / deletions).round(2),
    }


def _variant_file(rng: Rng, who: pl.DataFrame, _at: Any, _hour: Any) -> Payload:
    count = who.height
    text = rng.bytes(32 * count).hex()
    return {
        "uri": "s3://biokeel-landing/" + who["centre"] + "/" + who["barcode"] + ".vcf.gz",
        "size_bytes": rng.normal(1.1e9, 1.2e8, count).astype(np.int64),
        "sha256": [text[at : at + 64] for at in range(0, len(text), 64)],
        "file_format": "vcf.gz",
        "reference_build": "GRCh38",
        "sample_names": who["barcode"].reshape((count, 1)).arr.to_list()
        if count
        else pl.Series([], dtype=pl.List(pl.String)),
        "sample_count": np.ones(count, dtype=np.int32),
    }


def _diet(rng: Rng, who: pl.DataFrame, _at: Any, hour: Reals) -> Payload:
    count = who.height
    meal = np.select([hour < 10, hour < 14.5, (hour > 17) & (hour < 21)], ["breakfast", "lunch", "dinner"], "snack")
    main = meal != "snack"
    carbohydrate = _normal(rng, np.where(main, 78, 28), np.where(main, 22, 12), (3, 200, 1), count)
    protein = _normal(rng, np.where(main, 24, 4), np.where(main, 9, 2), (0.2, 80, 1), count)
    fat = _normal(rng, np.where(main, 16, 5), np.where(main, 7, 3), (0.1, 70, 1), count)
    drawn = _normal(rng, np.where(main, 380, 140), np.where(main, 90, 50), (20, 900, 0), count)
    return {
        "meal": meal,
        "food_code": np.char.add("F", rng.integers(10_000, 10_400, count).astype(str)),
        "food_name": _pick(rng, count, ["비빔밥", "김치찌개", "불고기", "잡곡밥", "된장국", "사과", "우유"]),
        "amount": np.maximum(drawn, ((carbohydrate + protein + fat) * 1.3).round()),
        "energy": (4 * carbohydrate + 4 * protein + 9 * fat).round(),
        "carbohydrate": carbohydrate,
        "protein": protein,
        "fat": fat,
        "sodium": _normal(rng, np.where(main, 1150, 120), np.where(main, 380, 60), (1, 4000, 0), count),
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


def _exercise(rng: Rng, who: pl.DataFrame, _at: Any, _hour: Any) -> Payload:
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
        "heart_rate": _normal(rng, 128 * pace - who["age"].to_numpy() * 0.3, 9, (70, 190, 0), count),
    }


def _sleep(rng: Rng, who: pl.DataFrame, at: npt.NDArray[np.int64], hour: Reals) -> Payload:
    count = who.height
    main = (hour > 19) | (hour < 6)
    bed = np.where(main, _normal(rng, 432, 62, (150, 720, 0), count), _normal(rng, 55, 20, (15, 150, 0), count))
    asleep = np.floor(bed * rng.normal(0.91, 0.035, count).clip(0.7, 0.99))
    deep = np.floor(asleep * rng.normal(0.16, 0.03, count).clip(0.05, 0.3))
    rem = np.floor(asleep * rng.normal(0.21, 0.04, count).clip(0.05, 0.35))
    return {
        "ended_at": _time(at + (bed * 60_000).astype(np.int64)),
        "minutes_asleep": asleep,
        "minutes_in_bed": bed,
        "minutes_light": asleep - deep - rem,
        "minutes_deep": deep,
        "minutes_rem": rem,
        "minutes_awake": bed - asleep,
        "is_main_sleep": main,
    }


Make: TypeAlias = Callable[[Rng, pl.DataFrame, npt.NDArray[np.int64], Reals], Payload]
"""The payload from the person, the time (ms since 1970) and the hour of the local day of each event."""

Plan: TypeAlias = tuple[float, Callable[[Rng, int], Reals], Make]
"""Events a person, hours of the day, payload."""

_VISITS: Final = _around((10.0, 1.3), (15.0, 1.5))
_PLANS: Final[dict[EventType, Plan]] = {
    event_type("genome.sample_manifest"): (1, _VISITS, _sample_manifest),
    event_type("genome.qc_metrics"): (1, _VISITS, _qc_metrics),
    event_type("genome.variant_file_ready"): (1, _VISITS, _variant_file),
    event_type("clinical.blood_pressure"): (11, _around((8.0, 1.0), (15.0, 2.0), (20.0, 1.0)), _blood_pressure),
    event_type("clinical.glucose"): (8, _around((7.5, 0.5), (13.5, 0.8), (19.5, 0.8)), _glucose),
    event_type("clinical.diagnosis"): (2.5, _VISITS, _diagnosis),
    event_type("clinical.lab_result"): (8, _VISITS, _lab_result),
    event_type("clinical.medication"): (3, _VISITS, _medication),
    event_type("lifestyle.diet"): (26, _around((7.8, 0.6), (12.4, 0.5), (15.5, 0.8), (18.9, 0.7)), _diet),
    event_type("lifestyle.exercise"): (20, _around((6.8, 0.6), (12.8, 0.7), (19.2, 1.0)), _exercise),
    event_type("lifestyle.sleep"): (
        27,
        _around((23.3, 1.1), (23.6, 1.1), (23.4, 1.3), (24.2, 1.2), (14.0, 0.8)),
        _sleep,
    ),
}
"""About 100 events a person in all."""
