"""The process that asks Great Expectations about one window: it lives for that, with bounds of memory and CPU.

On standard input: one line of JSON (`Task`), then an Arrow stream with the columns that the expectations read, as rows
landed. On standard output: the verdicts as JSON (`Verdict`). It is given no credentials, and nobody reads what it says
beside that: Great Expectations quotes values. A verdict holds counts; an observed value only where the task says that
the columns' values may be shown, and then at most `MOST_TEXT` characters of it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypedDict

if TYPE_CHECKING:
    import pandas as pd

MOST_TEXT: Final = 300
OUT_OF_MEMORY: Final = 3
"""Its exit status where the memory that it may take was not enough."""
SOURCE: Final = "source_id of the row"
"""The column that says whose a row is, where rows are judged by source; no field is called that."""
_OBSERVED: Final = ("observed_value", "details")


class Asked(TypedDict):
    """An expectation as the suite has it; `may_show`: whether observed values may be told; `by_source`: of each."""

    expectation: dict[str, Any]
    may_show: bool
    by_source: bool


class Task(TypedDict):
    """What the process is to do, and what it may take."""

    asked: list[Asked]
    address_bytes: int
    cpu_seconds: int


class Verdict(TypedDict):
    """What Great Expectations says of one expectation, of one source's rows or (null) of all.

    `met` is null where it could not be evaluated. `looked_at`: values that it looked at, `unexpected` of them; null for
    expectations that answer for the whole. `observed`: what it found, as text; empty where that is not told.
    """

    rule: str
    source: str | None
    rows: int
    met: bool | None
    observed: str
    looked_at: int | None
    unexpected: int | None


def encode(task: Task) -> bytes:
    """The first line."""
    return json.dumps(task).encode() + b"\n"


def main() -> int:
    """Do what standard input says; the exit status."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    task: Task = json.loads(sys.stdin.buffer.readline())
    resource.setrlimit(resource.RLIMIT_AS, (task["address_bytes"], task["address_bytes"]))
    # The second is past what raises SIGXCPU, for who would ignore that.
    resource.setrlimit(resource.RLIMIT_CPU, (task["cpu_seconds"], task["cpu_seconds"] + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        import pyarrow as pa

        frame = pa.ipc.open_stream(sys.stdin.buffer.read()).read_all().to_pandas(date_as_object=False)
        verdicts = _verdicts(task["asked"], frame)
    except MemoryError:
        return OUT_OF_MEMORY
    answers.write(json.dumps(verdicts).encode())
    answers.close()
    return 0


def _verdicts(asked: Sequence[Asked], frame: pd.DataFrame) -> list[Verdict]:
    whole = [each for each in asked if not each["by_source"]]
    each_source = [each for each in asked if each["by_source"]]
    rows = frame.drop(columns=[SOURCE], errors="ignore")
    verdicts = _judged(whole, rows, None) if whole else []
    if each_source:
        for source, some in frame.groupby(SOURCE, sort=True):
            verdicts += _judged(each_source, some.drop(columns=[SOURCE]).reset_index(drop=True), str(source))
    return verdicts


def _judged(asked: Sequence[Asked], frame: pd.DataFrame, source: str | None) -> list[Verdict]:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx

    import biokeel.validate.registered  # noqa: F401 - ours are among its own from here on

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]  # what its own docs write
    asset = context.data_sources.add_pandas("windows").add_dataframe_asset("window")
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
    suite = gx.ExpectationSuite(name="window", expectations=[each["expectation"] for each in asked])
    # No unexpected value is asked for, so that none is in what it answers.
    answer = batch.validate(suite, result_format={"result_format": "BASIC", "partial_unexpected_count": 0})
    may_show = {_rule_of(each["expectation"]): each["may_show"] for each in asked}
    return [_verdict(each.to_json_dict(), may_show, source, len(frame)) for each in answer.results]


def _verdict(said: Mapping[str, Any], may_show: Mapping[str, bool], source: str | None, rows: int) -> Verdict:
    rule = _rule_of(said["expectation_config"])
    result: Mapping[str, Any] = said.get("result") or {}
    looked_at = None
    if "element_count" in result:
        looked_at = result["element_count"] - result.get("missing_count", 0)
    observed = {name: result[name] for name in _OBSERVED if result.get(name) is not None}
    return {
        "rule": rule,
        "source": source,
        "rows": rows,
        "met": None if _has_raised(said.get("exception_info") or {}) else bool(said["success"]),
        "observed": _text(observed) if may_show[rule] and observed else "",
        "looked_at": looked_at,
        "unexpected": result.get("unexpected_count"),
    }


def _rule_of(expectation: Mapping[str, Any]) -> str:
    return str(expectation["meta"]["rule"])


def _has_raised(info: Mapping[str, Any]) -> bool:
    """Whether it raised: its own answer, or that of any metric that it asked for."""
    each = [info, *(part for part in info.values() if isinstance(part, dict))]
    return any(part.get("raised_exception") for part in each)


def _text(observed: Mapping[str, Any]) -> str:
    value = observed.get("observed_value", observed)
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str | float):
        text = value if isinstance(value, str) else f"{value:.6g}"
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…"


if __name__ == "__main__":
    sys.exit(main())
