"""Values that kept fields hold in truth, made by the rules of their systems from a fixed seed; none is a person's."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable

_DIHEDRAL = [[(a + b) % 5 if a < 5 else 5 + (a - 5 - b) % 5 for b in range(5)]
             + [5 + (a + b) % 5 if a < 5 else (a - 5 - b) % 5 for b in range(5)] for a in range(10)]  # fmt: skip
_TURN = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]

WORDS = """
mm[Hg] kPa mg/dL mmol/L % 10*3/uL 10*6/uL 10*9/L [IU]/L U/L mL/min/{1.73_m2} g/dL fL pg {ratio} 1 mol/mol
ug/mL{FEU} mm/h /[HPF] [pH] ng/mL meq/L umol/L [degF] Cel kg/m2 {beats}/min mosm/kg m[IU]/mL 1/{tot} Gb
bp ms kcal final amended entered-in-error semi-recumbent before_meal interstitial_fluid daily_activity
4-meal N LL HH A GRCh37 GRCh38 T2T-CHM13v2.0 hg38 ILLUMINA ONT PACBIO DNBSEQ vcf.gz gvcf.gz bcf KCD-8
ICD-10-CM SNOMED-CT RxNorm ATC NA12878 HG00096 HG03742 NA21144 KR-11 KR-50 http://loinc.org
http://unitsofmeasure.org http://snomed.info/sct
biokeel/qc@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
2024-03-01T09:00:00.000+09:00 20240301090000 20101201103000 2024-12-01 1551000119108 10811121000119102
P102-302030100-0345 D101-004160000-0001 국민건강보험공단
"""
LITERALS = [
    *WORDS.split(),
    "DRAGEN 05.021.408.3.4.12",
    "GATK 4.2.6.1",
    "sarek 3.4.0 (nf-core)",
    "혈당 검사",
    "식후 2시간",
    "경로 1",
]


def _verhoeff(digits: str) -> str:
    check = 0
    for place, digit in enumerate(reversed(digits), 1):
        turned = int(digit)
        for _ in range(place % 8):
            turned = _TURN[turned]
        check = _DIHEDRAL[check][turned]
    return digits + str(_DIHEDRAL[check].index(0) if check < 5 else check)


def _digits(draw: random.Random, least: int, most: int | None = None) -> str:
    count = draw.randint(least, most or least)
    return str(draw.randint(10 ** (count - 1), 10**count - 1))


def _padded(draw: random.Random, count: int) -> str:
    return f"{draw.randrange(10**count):0{count}d}"


def _loinc(draw: random.Random) -> str:
    return f"{_digits(draw, 3, 5)}-{draw.randrange(10)}"


def _snomed(draw: random.Random) -> str:
    return _verhoeff(_digits(draw, 3, 7) + draw.choice(["00", "01"]))


def _snomed_extension(draw: random.Random) -> str:
    namespace = draw.choice(["1000119", "1000124", "1000004", "1000000", "1000087", "1000220", "1000252", "1000271"])
    return _verhoeff(_digits(draw, 1, 7) + namespace + draw.choice(["10", "11"]))


def _icd(draw: random.Random) -> str:
    return (
        draw.choice("ABCDEFGHIJKLMNOPQRSTUVZ")
        + _padded(draw, 2)
        + draw.choice(["", f".{_padded(draw, 1)}", f".{_padded(draw, 2)}", f".{_padded(draw, 3)}A"])
    )


def _atc(draw: random.Random) -> str:
    letters = "".join(draw.choices("ABCDEFGHJKLMNPRSTVX", k=3))
    return f"{letters[0]}{_padded(draw, 2)}{letters[1:]}{_padded(draw, 2)}"


def _procedure(draw: random.Random) -> str:
    return (
        draw.choice(["D", "HA", "C", "N", "M", "S", "R"])
        + _padded(draw, draw.choice([3, 4]))
        + draw.choice(["", "006", "A"])
    )


def _medicine(draw: random.Random) -> str:
    return draw.choice(["05", "06", "64", "65", "66", "67", "68"]) + _padded(draw, 7)


def _food(draw: random.Random) -> str:
    return f"{draw.choice('DPR')}{_digits(draw, 3)}-{_padded(draw, 9)}-{_padded(draw, 4)}"


def _version(draw: random.Random) -> str:
    parts = [_padded(draw, 2), _padded(draw, 3), _digits(draw, 3), draw.randint(3, 4), *draw.choices(range(13), k=2)]
    dragen = ".".join(map(str, parts))
    return draw.choice(
        [
            f"DRAGEN {dragen}",
            dragen,
            f"v{draw.randint(0, 40)}.{draw.randint(0, 99)}.{draw.randint(0, 99)}",
            f"pipe-{_padded(draw, 2)}.{draw.randint(1, 12)}.{draw.randint(1, 30)}-g{draw.getrandbits(28):07x}",
        ]
    )


def _accession(draw: random.Random) -> str:
    name, count = draw.choice(
        [
            ("SAMN", 8),
            ("SAMEA", 7),
            ("SRR", 8),
            ("ERS", 7),
            ("PRJNA", 6),
            ("EGAD0000100", 4),
            ("GCA_", 9),
            ("NC_", 6),
            ("CP", 6),
            ("SAMD", 8),
        ]
    )
    return name + _padded(draw, count) + draw.choice(["", ".1"] if name in ("GCA_", "NC_", "CP") else [""])


def _time(draw: random.Random) -> str:
    day = f"{draw.randint(2000, 2040)}-{draw.randint(1, 12):02d}-{draw.randint(1, 28):02d}"
    clock = f"{draw.randrange(24):02d}:{draw.randrange(60):02d}:{draw.randrange(60):02d}"
    return draw.choice(
        [
            day,
            f"{day}T{clock}.{_padded(draw, 3)}Z",
            f"{day} {clock}",
            f"{day}T{clock}+09:00",
            f"{day}{clock}".replace("-", "").replace(":", ""),
        ]
    )


def _decimal(draw: random.Random) -> str:
    return draw.choice([f"{draw.uniform(0, 300):.2f}", f"{draw.uniform(0, 1e6):.6f}", str(draw.randrange(10**8))])


MAKERS: dict[str, Callable[[random.Random], str]] = {
    "LOINC": _loinc,
    "SNOMED CT": _snomed,
    "SNOMED CT extension": _snomed_extension,
    "ICD-10, KCD": _icd,
    "ATC": _atc,
    "RxNorm": lambda draw: _digits(draw, 3, 7),
    "HIRA procedure": _procedure,
    "HIRA medicine": _medicine,
    "MFDS food": _food,
    "SHA-256": lambda draw: f"{draw.getrandbits(256):064x}",
    "UUID": lambda draw: str(uuid.UUID(int=draw.getrandbits(128), version=4)),
    "MD5": lambda draw: f"{draw.getrandbits(128):032x}",
    "version": _version,
    "accession": _accession,
    "1000 Genomes": lambda draw: draw.choice(["HG", "NA"]) + _padded(draw, 5),
    "time": _time,
    "decimal": _decimal,
}


def true_values(name: str, count: int) -> list[str]:
    """`count` values of one system."""
    draw = random.Random(name)
    return [MAKERS[name](draw) for _ in range(count)]
