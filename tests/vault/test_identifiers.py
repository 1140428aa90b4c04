import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.vault.identifiers import digests, messages, normalise
from biokeel.vault.keys import Key

FULL_WIDTH = str.maketrans("0123456789-", "０１２３４５６７８９－")
DIGITS = st.text("0123456789", min_size=13, max_size=13)


@given(DIGITS, st.sampled_from(["", "-", " ", ".", "·", "–", " - ", "－"]), st.booleans())
def test_a_registration_number_is_the_same_person_in_every_writing(digits, separator, wide):
    text = digits[:6] + separator + digits[6:]
    written = normalise("KR_RRN", text.translate(FULL_WIDTH) if wide else text)
    assert written is not None
    assert written.value == digits


@given(DIGITS)
def test_the_scheme_of_a_registration_number_does_not_part_a_person(digits):
    key = Key.new()
    assert normalise("KR_RRN", digits).digest(key) == normalise("KR_FRN", digits).digest(key)
    assert normalise("hospital/one", digits).digest(key) != normalise("KR_RRN", digits).digest(key)


def test_published_numbers_are_read_whether_or_not_their_check_digit_fits(shared_data):
    texts = []
    for name in ("kr_rrn", "kr_frn"):
        lines = (shared_data / "pii" / "presidio-kr-vectors" / f"{name}.jsonl").read_text().splitlines()
        texts += [json.loads(line) for line in lines]
    bare = [vector["text"] for vector in texts if vector["expected"] and " " not in vector["text"]]
    # Only counts reach an assertion: a failure must not print a number.
    count, unread = len(bare), sum(normalise("KR_RRN", text) is None for text in bare)
    assert count > 10
    assert unread == 0


@pytest.mark.parametrize(
    ("scheme", "text"),
    [
        ("KR_RRN", "12345"),
        ("KR_RRN", "12345678901234"),
        ("KR_RRN", "abcdef-1234567"),
        ("SSN", "123-45-6789"),
        ("hospital/", "1"),
        ("hospital/Big", "1"),
        ("hospital/one", "  "),
        ("hospital/one", "x" * 129),
        ("hospital/one", "a\x00b"),
        ("hospital/one\n", "a"),
    ],
)
def test_what_has_not_its_schemes_form_is_no_identifier(scheme, text):
    assert normalise(scheme, text) is None


def test_an_identifier_prints_as_its_scheme_only():
    assert "secret" not in repr(normalise("app/x", "secret")) + str(normalise("app/x", "secret"))


SCHEMES = st.sampled_from(["KR_RRN", "KR_FRN", "hospital/one", "app/a.b-c", "SSN", "hospital/", "hospital/one\n"])
TEXTS = st.one_of(
    st.text(max_size=140),
    st.from_regex(r"[0-9]{6}[-. ]?[0-9]{7}\n?", fullmatch=True),
    st.text("aB9-~ \t\n", max_size=4),
)


@given(st.lists(st.tuples(SCHEMES, TEXTS), max_size=20))
def test_many_identifiers_at_once_get_the_digests_that_each_would_get(pairs):
    key = Key.new()
    forms = [normalise(*pair) for pair in pairs]
    schemes, texts = (pl.Series([pair[place] for pair in pairs], dtype=pl.String) for place in (0, 1))
    said = messages(schemes, texts)
    assert said.is_null().to_list() == [form is None for form in forms]
    assert digests(said.drop_nulls(), key) == b"".join(form.digest(key) for form in forms if form is not None)
