import io
import json
import logging
import sys
import threading
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.errors import LandingError
from biokeel.observe.logs import configure_logs, masked

# Made-up numbers of the right shape.
IDENTIFIERS = [
    "900101-1234567",
    "9001011234567",
    "900101 - 1234567",
    "900101.5234567",
    "９００１０１－１２３４５６７",
    "010-1234-5678",
    "01012345678",
    "+82 10-1234-5678",
    "+82-2-123-4567",
    "02-123-4567",
    "(031) 123-4567",
    "hong.gildong@example.co.kr",
    "ｈｏｎｇ＠example.com",
]


@pytest.fixture
def restored_logging():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook
    yield
    logging.captureWarnings(capture=False)
    sys.excepthook, threading.excepthook = hooks
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("identifier", IDENTIFIERS)
@pytest.mark.parametrize("around", ["{}", "value '{}' refused", "환자번호는{}입니다", "id={},x=1", "rrn_{}_x"])
def test_what_is_shaped_like_an_identifier_is_masked_wherever_it_stands(identifier, around):
    text = masked(around.format(identifier))
    assert identifier not in text
    assert "masked]" in text


@pytest.mark.parametrize(
    "text",
    [
        "raw.clinical.glucose/3: offsets 1200000 to 1219999 in 0.0123456789012 s",
        "127.0.0.1:9092 at 2026-11-23T16:30:39.123Z, version 1.24.0",
        "committed 262144 rows, took 1763915432 ns",
        "participant 7Q2M4K9ZT1XA3C, lag 12345678",
        "event 90d0181807290b553b68e16ee2c9089f, sha256 " + "0181807290ab9001011234567def0123" * 2,
    ],
)
def test_offsets_times_addresses_and_figures_are_left_as_they_are(text):
    assert masked(text) == text


@given(
    st.dates(),
    st.from_regex(r"[1-8][0-9]{6}", fullmatch=True),
    st.sampled_from(["", "-", " ", ".", "–", " - "]),
    st.text(st.characters(blacklist_categories=["Nd", "Cs"], blacklist_characters="."), max_size=20),
    st.booleans(),
)
def test_no_registration_number_in_any_writing_survives(birth, rest, dash, around, wide):
    digits = f"{birth:%y%m%d}{dash}{rest}"
    if wide:
        digits = digits.translate({ord("0") + n: 0xFF10 + n for n in range(10)})
    assert digits not in masked(around + digits + around)


@pytest.mark.parametrize("as_json", [False, True])
def test_messages_arguments_tracebacks_and_warnings_of_foreign_libraries_are_masked(restored_logging, as_json):
    stream = io.StringIO()
    configure_logs("INFO", json=as_json, stream=stream)
    foreign = logging.getLogger("some.library")
    foreign.info("bad row: %s", {"rrn": "900101-1234567"})
    foreign.info("call 010-1234-5678")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.simplefilter("always")  # Python tells a warning once a place, and another case may have been first
    warnings.warn("strange mail hong@example.com", stacklevel=1)
    text = stream.getvalue()
    assert text.count("masked]") >= 3
    for identifier in ("900101-1234567", "010-1234-5678", "hong@example.com"):
        assert identifier not in text


@pytest.mark.parametrize("as_json", [False, True])
def test_a_foreign_exception_is_told_by_type_and_place_and_never_by_what_it_quotes(
    restored_logging, monkeypatch, as_json
):
    stream = io.StringIO()
    configure_logs("INFO", json=as_json, stream=stream)
    foreign = logging.getLogger("some.library")
    monkeypatch.setattr(foreign, "handlers", [logging.StreamHandler(io.StringIO())])
    quoted = "Gildong Hong"

    def convert():
        try:
            int(quoted)
        except ValueError as error:
            raise KeyError(quoted) from error

    try:
        convert()
    except KeyError as error:
        foreign.exception("cannot convert")
        foreign.exception(error)
        foreign.warning("because of %s", error)
        sys.excepthook(*sys.exc_info())

    def land():
        raise LandingError("The table t took no commit.") from ValueError(quoted)

    try:
        land()
    except LandingError:
        foreign.exception("cannot land")
    thread = threading.Thread(target=convert)
    thread.start()
    thread.join()
    text = stream.getvalue()
    assert "Gildong" not in text
    assert text.count("ValueError") >= 5
    assert "in convert" in text
    assert "The table t took no commit." in text


def test_a_json_record_is_one_line_with_time_level_logger_message_and_error(restored_logging):
    stream = io.StringIO()
    configure_logs("INFO", json=True, stream=stream)
    try:
        json.loads("broken\nin two")
    except json.JSONDecodeError:
        logging.getLogger("biokeel.engine").exception("stopped")
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert (record["level"], record["logger"], record["message"]) == ("ERROR", "biokeel.engine", "stopped")
    assert record["time"].endswith("+00:00")
    assert "JSONDecodeError" in record["error"]


def test_the_level_is_kept_and_chatty_libraries_start_at_warning(restored_logging):
    stream = io.StringIO()
    configure_logs("INFO", stream=stream)
    logging.getLogger("biokeel").debug("quiet")
    logging.getLogger("biokeel").info("loud")
    logging.getLogger("aiokafka.consumer").info("chatter")
    assert "loud" in stream.getvalue()
    assert "quiet" not in stream.getvalue()
    assert "chatter" not in stream.getvalue()
