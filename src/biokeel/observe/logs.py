"""Logging: one line a record, plain or JSON, with a mask over everything that looks like an identifier.

Our own code never logs an identifier or a field's value. The mask is the last defence, for what a library puts into
its messages: it works on the finished text of every record of every logger, traceback included, so nothing that is
formatted late can slip past it. It prefers to mask too much: a number that merely looks like a resident registration
number goes too.
"""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import orjson

if TYPE_CHECKING:
    from typing import TextIO

_HALF_WIDTH: Final = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)}
"""Full-width digits, letters and signs, as Korean input methods write them, to ASCII; one character to one."""

_ALONE: Final = r"(?<!\d)(?<!\d\.)"
"""Not inside a longer number, and not the decimals of one."""

_DASH: Final = r"[\s.\-‐‑‒–—―−·]"

_SHAPES: Final = re.compile(
    rf"""
      (?P<digest>  (?<![0-9A-Za-z]) [0-9a-f]{{32}} (?:[0-9a-f]{{32}})? (?![0-9A-Za-z]) )
    | (?P<rrn>    {_ALONE} \d\d (?:0[1-9]|1[0-2]) (?:[0-2]\d|3[01]) {_DASH}{{0,3}} \d{{7}} (?!\d) )
    | (?P<phone>  {_ALONE} (?: (?:\+82 {_DASH}? (?:\(?0\)?)? {_DASH}? | 0) 1[016-9] {_DASH}? \d{{3,4}} {_DASH}? \d{{4}}
                             | (?:\+82 {_DASH}? | \(?0) \d{{1,2}} \)? {_DASH} \d{{3,4}} {_DASH} \d{{4}} ) (?!\d) )
    | (?P<email>  [\w.%+\-]+ @ [\w\-]+ (?:\.[\w\-]+)+ )
    """,
    re.VERBOSE,
)
"""RRN and FRN: YYMMDD and seven digits. Phone: mobile in every writing, fixed lines with separators.

A digest (an event_id, a fingerprint, a sha256) is matched first and left as it is: random hex now and then holds
digits that look like a telephone number.
"""


def masked(text: str) -> str:
    """`text` with everything that is shaped like an RRN or FRN, a telephone number or an e-mail address masked."""
    parts, end = [], 0
    for found in _SHAPES.finditer(text.translate(_HALF_WIDTH)):
        if found.lastgroup != "digest":
            parts += [text[end : found.start()], f"[{found.lastgroup} masked]"]
            end = found.end()
    return "".join([*parts, text[end:]])


class PlainFormatter(logging.Formatter):
    """One record as text, masked; for people and terminals."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The whole text, traceback included."""
        return masked(super().format(record))


class JsonFormatter(logging.Formatter):
    """One record as one line of JSON, masked; for log collectors."""

    def format(self, record: logging.LogRecord) -> str:
        """`time` (UTC), `level`, `logger`, `message`, and `error` with the traceback where there is one."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "pid": record.process,
            "message": masked(record.getMessage()),
        }
        if record.exc_info:
            line["error"] = masked(self.formatException(record.exc_info))
        return orjson.dumps(line).decode()


def configure_logs(level: str, *, json: bool = False, stream: TextIO | None = None) -> None:
    """Send every logger's records to `stream` (default: standard error), masked; replaces what was set up before.

    `level` is a name as in `Settings.log_level`. Foreign libraries that are chatty at INFO start at WARNING.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if json else PlainFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    for chatty in ("aiokafka", "faust", "mode", "httpx", "botocore", "great_expectations"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))
