"""Logging: one line a record, plain or JSON, with a mask over everything that looks like an identifier.

Our own code never logs an identifier or a field's value. The mask is the last defence, for what a library puts into
its messages: it works on the finished text of every record of every logger, traceback included, so nothing that is
formatted late can slip past it. It prefers to mask too much: a number that merely looks like a resident registration
number goes too.

A mask knows shapes, and a name or a hospital number has none. So of exceptions that are not ours only the type and the
places are written, in tracebacks and in messages alike: a library's message may quote the value that it stumbled over.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import orjson

from biokeel.errors import said

if TYPE_CHECKING:
    from types import TracebackType
    from typing import TextIO

    _ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

log = logging.getLogger(__name__)

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


def told_traceback(error: BaseException | None) -> str:
    """The traceback of `error` and of what led to it, without the messages of exceptions that are not ours."""
    lines: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        lines.append(f"{type(error).__module__}.{type(error).__qualname__}: {said(error)}")
        lines += [line.rstrip() for line in traceback.format_tb(error.__traceback__)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        lines += ["caused by"] if error is not None else []
    return "\n".join(lines)


def _without_foreign_messages(record: logging.LogRecord) -> logging.LogRecord:
    """A copy of `record` that says the type of an exception that is its message or stands among its arguments."""
    copied = logging.makeLogRecord(record.__dict__)
    copied.exc_text = None  # a traceback that another handler has written into the record
    copied.msg = _told(record.msg)
    if isinstance(record.args, tuple):
        copied.args = tuple(_told(part) for part in record.args)
    return copied


def _told(part: object) -> object:
    return f"{type(part).__name__}: {said(part)}" if isinstance(part, BaseException) else part


class PlainFormatter(logging.Formatter):
    """One record as text, masked; for people and terminals."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The whole text, traceback included."""
        return masked(super().format(_without_foreign_messages(record)))

    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802 - the base class's name
        """The traceback, without what foreign exceptions say."""
        return told_traceback(ei[1])


class JsonFormatter(logging.Formatter):
    """One record as one line of JSON, masked; for log collectors."""

    def format(self, record: logging.LogRecord) -> str:
        """`time` (UTC), `level`, `logger`, `message`, and `error` with the traceback where there is one."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "pid": record.process,
            "message": masked(_without_foreign_messages(record).getMessage()),
        }
        if record.exc_info and record.exc_info[1]:
            line["error"] = masked(told_traceback(record.exc_info[1]))
        return orjson.dumps(line).decode()


def configure_logs(level: str, *, json: bool = False, stream: TextIO | None = None) -> None:
    """Send every logger's records to `stream` (default: standard error), masked; replaces what was set up before.

    `level` is a name as in `Settings.log_level`. Foreign libraries that are chatty at INFO start at WARNING.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if json else PlainFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = lambda kind, error, trace: log.critical("Uncaught", exc_info=(kind, error, trace))
    threading.excepthook = lambda args: log.critical("A thread ended", exc_info=args.exc_value)
    for chatty in ("aiokafka", "faust", "mode", "httpx", "botocore", "great_expectations"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))


def leave(status: int) -> None:
    """End the process now: a thread that hangs in a foreign library must not keep a failed worker alive."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
