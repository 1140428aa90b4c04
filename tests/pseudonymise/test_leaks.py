import base64
import csv
import datetime as dt
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.errors import SchemaError
from biokeel.pseudonymise.leaks import find_leaks, scan
from tests.pseudonymise.test_registration import numbered
from tests.pseudonymise.true_values import LITERALS, MAKERS, true_values

HARMLESS = [
    "0123456789abcdef0123456789abcdef",
    "90010112345670123456789012345678",  # only digits, and yet a hash by its length
    "8480-6",
    "8462-4",
    "85354-9",
    "41653-7",
    "38341003",
    "1551000119108",
    "10811121000119102",
    "4291000119106",
    "44054006",
    "E11.9",
    "N20.1",
    "S72.001A",
    "M80.08XA",
    "mm[Hg]",
    "10*3/uL",
    "mL/min/{1.73_m2}",
    "http://unitsofmeasure.org",
    "GRCh38",
    "T2T-CHM13v2.0",
    "DRAGEN 05.021.408.3.4.12",
    "Illumina DRAGEN Germline Pipeline 07.021.624.3.10.8",
    "D101-004160000-0001",
    "D102-024060000-0001",
    "2024-03-01T09:00:00.000Z",
    "20240301090000",
    "entered-in-error",
    "혈당 검사",
]


def found(*texts):
    hits = scan(pl.Series(texts, dtype=pl.String))
    return [{name for name, rows in hits.items() if rows[place]} for place in range(len(texts))]


def test_codes_units_hashes_and_versions_are_no_leaks():
    frame = pl.DataFrame({"code": HARMLESS, "sha256": ["a9001011234567b" + "0" * 49] * len(HARMLESS)})
    assert find_leaks(frame, pl.Series(["P-77"] * len(HARMLESS))) == []


@pytest.mark.parametrize("name", ["conditions", "medications", "observations"])
def test_no_code_of_real_clinical_data_is_taken_for_a_leak(shared_data, name):
    paths = [path for path in (shared_data / "clinical" / "synthea-csv").rglob("*.csv") if name in path.name]
    codes = [row[key] for path in paths for row in csv.DictReader(path.open()) for key in row if "code" in key.lower()]
    assert codes
    assert not any(hits.any() for hits in scan(pl.Series(codes).unique()).values())


@pytest.mark.parametrize("name", ["kr_rrn", "kr_frn"])
def test_every_published_registration_number_is_stopped_also_inside_text_and_in_full_width(shared_data, name):
    lines = (shared_data / "pii" / "presidio-kr-vectors" / f"{name}.jsonl").read_text().splitlines()
    texts = [vector["text"] for vector in map(json.loads, lines) if vector["expected"]]
    wide = str.maketrans("0123456789-", "０１２３４５６７８９－")
    writings = [
        write(text)
        for text in texts
        for write in (
            str,
            lambda text: f"주민번호:{text}입니다",
            lambda text: f"x{text}y",
            lambda text: text.translate(wide),
            lambda text: text.replace("-", " "),
            lambda text: text.replace("-", "."),
            lambda text: text.replace("-", " - "),
        )
    ]
    # Only counts reach an assertion: a failure must not print a number.
    count, missed = len(writings), sum("registration" not in hits for hits in found(*writings))
    assert count >= 70
    assert missed == 0


@given(
    st.dates(),
    st.text("0123456789", min_size=7, max_size=7),
    st.sampled_from(["", "-", " ", ".", "–"]),
    st.sampled_from(["", "ID", "환자 ", "("]),
)
def test_any_number_with_a_date_and_seven_digits_is_stopped_whatever_its_check_digit(day, rest, separator, before):
    assert "registration" in found(f"{before}85{day:%m%d}{separator}{rest}")[0]


RECOGNISED = {
    "rrn": "registration",
    "frn": "registration",
    "ph": "phone",
    "email": "email",
    "passport": "passport",
    "passport2": "passport",
    "licence": "licence",
    "address": "address",
    "account": "account",
    "nhis": "insurance",
}
"""The pattern that finds each family of the writings that were tried; names and hospital numbers have none."""


def test_every_writing_that_was_tried_and_has_a_form_is_found(shared_cases):
    lines = (shared_cases / "wall" / "writings.jsonl").read_text("utf-8").splitlines()
    cases = [case for case in map(json.loads, lines) if case["kind"].split("_")[0] in RECOGNISED]
    hits = found(*(case["text"] for case in cases))
    passed = [case["kind"] for case, some in zip(cases, hits, strict=True) if not some]
    others = [
        case["kind"]
        for case, some in zip(cases, hits, strict=True)
        if RECOGNISED[case["kind"].split("_")[0]] not in some
    ]
    assert len(cases) >= 80
    assert (passed, others) == ([], [])


NUMBER = numbered(72, dt.date(2000, 11, 5), 1, 40312)
DATE, REST = NUMBER[:6], NUMBER[6:]
SIGNS = (
    " -.,:;/\\|_~*+=()[]{}<>#@!?'\"\t\n\r\x00\u00ad\u00b7\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u3000\uff0d\u200b"
)
WRITINGS = {
    "century": f"19{DATE}-{REST}",
    "dated": f"19{DATE[:2]}.{DATE[2:4]}.{DATE[4:]}-{REST}",
    "dated in Hangul": f"{DATE[:2]}년 {DATE[2:4]}월 {DATE[4:]}일 {REST}",
    "spaced": " ".join(NUMBER),
    "spaced by hyphens": "-".join(NUMBER),
    "in pairs": " ".join(NUMBER[start : start + 2] for start in range(0, 13, 2)),
    "in thousands": f"{int(NUMBER):,}",
    "cut late": f"{DATE}-{REST[:3]}-{REST[3:]}",
    "a letter between": f"{DATE}X{REST}",
    "several signs": f"{DATE} -- {REST}",
    "digits before": f"97{NUMBER}",
    "digits after": f"{NUMBER}01",
    "zeros before": f"0000{NUMBER}",
    "zeros to a hash": NUMBER.zfill(32),
    "zeros after to a hash": NUMBER.ljust(64, "0"),
    "backwards": NUMBER[::-1],
    "backwards with a sign": f"{DATE}-{REST}"[::-1],
    "a number": f"{NUMBER}.0",
    "a fraction": f"{NUMBER[:4]}.{NUMBER[4:]}",
    "scientific": f"{float(NUMBER):.12e}",
    "Arabic digits": NUMBER.translate({ord("0") + digit: 0x660 + digit for digit in range(10)}),
    "Devanagari digits": NUMBER.translate({ord("0") + digit: 0x966 + digit for digit in range(10)}),
    "bold digits": NUMBER.translate({ord("0") + digit: 0x1D7CE + digit for digit in range(10)}),
    "Hangul digits": f"{DATE}-{REST}".translate(str.maketrans("0123456789", "공일이삼사오육칠팔구")),
    "Chinese digits": NUMBER.translate(str.maketrans("0123456789", "〇一二三四五六七八九")),
    "letters for digits": f"{DATE}-{REST}".translate(str.maketrans("01", "Ol")),
    "Cyrillic letters for digits": NUMBER.translate({ord("0"): 0x41E}),
    "base64": base64.b64encode(f"{DATE}-{REST}".encode()).decode(),
    "base64 in a text": f"ref {base64.b64encode(f'no {NUMBER}'.encode()).decode().rstrip('=')}, new",
    "hexadecimal": NUMBER.encode().hex(),
    "hexadecimal to a hash": NUMBER.encode().hex().ljust(32, "0"),
    "hexadecimal with spaces": NUMBER.encode().hex(" "),
    "hexadecimal with signs": " ".join(f"0x{ord(digit):x}" for digit in NUMBER),
    "UTF-16 in hexadecimal": NUMBER.encode("utf-16-be").hex(),
    "percent": "".join(f"%{ord(digit):x}" for digit in NUMBER),
    "percent twice": "".join(f"%25{ord(digit):x}" for digit in NUMBER),
    "quoted-printable": "".join(f"={ord(digit):X}" for digit in NUMBER),
    "entities": "".join(f"&#{ord(digit)};" for digit in NUMBER),
    "named entity": f"{DATE}&ndash;{REST}",
    "escapes of JSON": f"{DATE}\\u002d{REST}",
    "escapes of each digit": "".join(f"\\x{ord(digit):x}" for digit in NUMBER),
    "escapes in base64": base64.b64encode("".join(f"%{ord(digit):x}" for digit in NUMBER).encode()).decode(),
}


@pytest.mark.parametrize("writing", WRITINGS)
def test_a_registration_number_is_found_in_each_of_its_writings_with_text_around_it_or_without(writing):
    text = WRITINGS[writing]
    assert all("registration" in some for some in found(text, f"번호: {text}"))


@given(st.text(SIGNS, max_size=3), st.sampled_from(["", "ID", "환자 ", "("]), st.sampled_from(["", "X", ")", " 본인"]))
def test_whatever_signs_stand_between_date_and_rest_a_registration_number_is_found(signs, before, after):
    assert "registration" in found(f"{before}{DATE}{signs}{REST}{after}")[0]


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("010-1234-5678", "phone"),
        ("01012345678", "phone"),
        ("tel:010.1234.5678", "phone"),
        ("+82 10-1234-5678", "phone"),
        ("+82(0)10-1234-5678", "phone"),
        ("02-123-4567", "phone"),
        ("(031) 123-4567", "phone"),
        ("０１０－１２３４－５６７８", "phone"),
        ("someone@example.org", "email"),
        ("메일 누구@예시.kr 로", "email"),
        ("M12345678", "passport"),
        ("m123a4567", "passport"),
        ("4111 1111 1111 1111", "card"),
        ("4111-1111-1111-1111", "card"),
        ("378282246310005", "card"),
        ("card 5555555555554444.", "card"),
        ("4111/1111/1111/1111", "card"),
        ("010,1234,5678", "phone"),
        ("010 - 2345 - 6789", "phone"),
        ("010_2345_6789", "phone"),
        ("0 1 0 2 3 4 5 6 7 8 9", "phone"),
        ("010 23 45 67 89", "phone"),
        ("O1O-2345-6789", "phone"),
        ("공일공-이삼사오-육칠팔구", "phone"),
        ("1023456789", "phone"),
        ("+82 (0)10-2345-6789", "phone"),
        ("821023456789", "phone"),
        ("tel.02-3456-7890", "phone"),
        ("010%2D2345%2D6789", "phone"),
        ("someone at example.org", "email"),
        ("someone(at)example", "email"),
        ("some.one [at] example [dot] org", "email"),
        ("some.one at example dot org", "email"),
        ("누구골뱅이예시.kr", "email"),
        ("someone@example", "email"),
        ("someone @ example.org", "email"),
        ("someone＠example.org", "email"),
        ("someone&#64;example.org", "email"),
        (base64.b64encode(b"someone@example.org").decode(), "email"),
        (b"someone@example.org".hex(), "email"),
        ("M 12345678", "passport"),
        ("m-12345678", "passport"),
        ("여권 M12345678번", "passport"),
        ("11-23-456789-01", "licence"),
        ("112345678901", "licence"),
        ("서울 23-456789-01", "licence"),
        ("경기23 456789 01", "licence"),
        ("123-45-678901", "account"),
        ("123456-01-234567", "account"),
        ("국민 123-456789-01-234", "account"),
        ("12345678901", "insurance"),
        ("1-2345678901", "insurance"),
        ("서울특별시 어느구 아무로12길 34-5", "address"),
        ("(01234) 경기도 어느시 어떤구 아무로 12", "address"),
        ("부산 어느구 아무동 123-4", "address"),
        ("어느시 어떤구 아무로 12", "address"),
        ("12-3, Amu-ro 4beon-gil, Eoneu-gu, Seoul", "address"),
    ],
)
def test_each_pattern_is_found_in_its_usual_writings(text, pattern):
    assert pattern in found(text)[0]


@pytest.mark.parametrize("system", MAKERS)
def test_no_true_value_of_any_system_is_taken_for_a_leak(system):
    values = pl.Series(true_values(system, 2_000))
    assert {name: values.filter(hits).to_list() for name, hits in scan(values).items() if hits.any()} == {}


def test_no_unit_status_build_platform_or_time_is_taken_for_a_leak():
    assert set().union(*found(*LITERALS)) == set()


def test_sixteen_digits_that_fail_luhn_are_no_card():
    assert found("4111 1111 1111 1112") == [set()]


def test_lists_records_and_lists_of_records_are_looked_into_and_the_row_is_named():
    frame = pl.DataFrame(
        {
            "tags": [["ok"], [], None, ["ok", "a@b.example"]],
            "deep": [[{"note": "ok"}], [{"note": "ok"}, {"note": "010-1234-5678"}], [], None],
        }
    )
    leaks = find_leaks(frame, pl.Series(["S"] * 4))
    assert {(leak.field, leak.pattern, tuple(np.flatnonzero(leak.rows))) for leak in leaks} == {
        ("tags", "email", (3,)),
        ("deep.note", "phone", (1,)),
    }


def test_a_type_that_cannot_be_scanned_fails_closed():
    with pytest.raises(SchemaError, match="cannot be scanned"):
        find_leaks(pl.DataFrame({"blob": [b"x"]}), pl.Series(["S"]))


def test_a_rows_own_subject_inside_another_string_is_found_and_another_rows_is_not():
    frame = pl.DataFrame({"pipeline": ["run of NA12878", "run of NA12878", "x"], "tags": [[], [], ["NA12879.bam"]]})
    leaks = find_leaks(frame, pl.Series(["NA12878", "NA12879", "NA12879"]))
    assert [(leak.field, leak.pattern, leak.rows.tolist()) for leak in leaks] == [
        ("pipeline", "subject", [True, False, False]),
        ("tags", "subject", [False, False, True]),
    ]


def test_codes_are_searched_for_the_rows_own_subject_only():
    frame = pl.DataFrame({"code": ["8801011234567"]})
    assert find_leaks(pl.DataFrame(), pl.Series(["P-123456"]), frame) == []
    assert [leak.pattern for leak in find_leaks(pl.DataFrame(), pl.Series([" 8801011234567"]), frame)] == ["subject"]


def test_only_rows_whose_own_subject_is_long_enough_are_searched_whatever_their_neighbours_have():
    frame = pl.DataFrame({"code": ["a P-12345", "a P-12345", "a ab", None]})
    leaks = find_leaks(frame, pl.Series(["P-12345", "P-99999999999999999999", "ab", "ab0.12345"]))
    assert [(leak.field, leak.rows.tolist()) for leak in leaks] == [("code", [True, False, False, False])]


def test_short_subjects_and_regular_expression_signs_do_not_misfire():
    frame = pl.DataFrame({"code": ["8480-6", "8480-6", None]})
    assert find_leaks(frame, pl.Series(["8480", ".*.*.*.*", "abcdefgh"])) == []
