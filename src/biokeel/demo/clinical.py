"""Made-up clinical events: pressure by age as in national health surveys, glucose and HbA1c by diabetes."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from biokeel.demo.draw import Payload, Reals, Rng, normal, pick, status, time_of
from biokeel.demo.people import DAY_MS


def blood_pressure(rng: Rng, who: pl.DataFrame, _at: Any, hour: Reals) -> Payload:
    """Pressure rises with age, and a little towards the evening."""
    count = who.height
    mean = 96 + 0.42 * who["age"].to_numpy() + who["pressure"].to_numpy() + 14 * who["hypertensive"].to_numpy()
    systolic = normal(rng, mean + 4 * np.sin((hour - 6) / 12 * np.pi), 7, (80, 215, 0), count)
    return {
        "panel_code": pick(rng, count, {"85354-9": 0.9, "55284-4": 0.1}),
        "systolic": systolic,
        "diastolic": np.clip(systolic * 0.45 + 22 + rng.normal(0, 5, count), 42, systolic - 15).round(),
        "heart_rate": normal(rng, 72, 9, (45, 130, 0), count),
        "body_position": pick(rng, count, {"sitting": 0.8, "supine": 0.15, "standing": 0.05}),
        "status": status(rng, count),
    }


def glucose(rng: Rng, who: pl.DataFrame, _at: Any, hour: Reals) -> Payload:
    """Fasting in the morning, after a meal later; one in ten in mmol/L."""
    count = who.height
    diabetic = who["diabetic"].to_numpy()
    fasting = hour < 9
    mean = np.where(diabetic, np.where(fasting, 138, 190), np.where(fasting, 92, 117))
    value = normal(rng, mean, np.where(diabetic, 28, 11), (55, 420, 0), count)
    molar = rng.random(count) < 0.1
    capillary = rng.random(count) < 0.6
    mass = np.where(capillary, "41653-7", np.where(fasting, "1558-6", "2345-7"))
    return {
        "code": np.where(molar, np.where(capillary, "15074-8", "14749-6"), mass),
        "value": np.where(molar, (value / 18.0156).round(1), value),
        "value_unit": np.where(molar, "mmol/L", "mg/dL"),
        "relation_to_meal": np.where(fasting, "fasting", "after_meal"),
        "specimen": np.where(capillary, np.where(molar, "blood", "capillary_blood"), "serum"),
        "status": status(rng, count),
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


def lab_result(rng: Rng, who: pl.DataFrame, _at: Any, _hour: Any) -> Payload:
    """One of seven usual tests, with its reference range."""
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
        "status": status(rng, count),
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


def diagnosis(rng: Rng, who: pl.DataFrame, at: npt.NDArray[np.int64], _hour: Any) -> Payload:
    """A KCD-8 code that goes with the person, or a common one."""
    count = who.height
    common = pick(rng, count, list(_DIAGNOSES))
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
        "verification_status": pick(rng, count, {"confirmed": 0.93, "provisional": 0.07}),
        "onset_at": time_of(at),
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


def medication(rng: Rng, who: pl.DataFrame, at: npt.NDArray[np.int64], _hour: Any) -> Payload:
    """One of six usual drugs by ATC code."""
    count = who.height
    drugs = _DRUGS[rng.integers(0, _DRUGS.height, count)]
    request = rng.random(count) < 0.85
    return {
        "code_system": "ATC",
        "code": drugs["code"],
        "display": drugs["display"],
        "kind": np.where(request, "request", "statement"),
        "status": pick(rng, count, {"completed": 0.6, "active": 0.35, "stopped": 0.05}),
        "dose_value": drugs["dose"],
        "dose_unit": drugs["unit"],
        "doses_per_day": drugs["daily"],
        "ended_at": time_of(at + rng.integers(3, 90, count) * DAY_MS),
    }
