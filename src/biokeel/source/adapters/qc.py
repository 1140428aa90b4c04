"""What all quality-control reports of a genome share: parts of a report, how they become events, and their key.

**What an event is.** One report of one sample is one event of `genome.qc_metrics`. A report of one tool (samtools,
Picard ...) is an event with that tool's metrics only, and `report_type` says so. Reports are not joined: which of them
belong together is nothing that they say. The participant, and the times, join them in the tables.

**What its key is made of**: the sample, the kind of report, the tool and its version, tumour or normal, and as they are
declared the pipeline with its version, the run, the reference build and the alignment. Declared is what the report says
or whoever publishes it states (`biokeel.source.adapters.stated`); never a name of a file or folder, never a file's age.
What is absent is part of the key as absent. Where no run is declared, what the report measured is part of the key too:
a report sent twice is one event, and another report is another event, since nobody can tell a correction from a second
run. So whoever wants to correct or withdraw a report names its run.

**When it occurred** is what the report says, else what is stated, else nobody knows: then `recorded_at` stands there
and `occurred_basis` is `recorded`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final, TypeAlias

from biokeel.contracts.topics import event_type
from biokeel.errors import AdapterError
from biokeel.observe.visible import visible
from biokeel.source.adapters.base import (
    Batch,
    Context,
    Held,
    Record,
    Report,
    Subject,
    Unusable,
    content_key,
    stated_times,
    subject_of,
)
from biokeel.source.adapters.numbers import number, number_of_text, whole
from biokeel.source.times import Moment

QC_METRICS: Final = event_type("genome.qc_metrics")

WHOLE: Final = frozenset(
    {
        "yield_bp_q30",
        "count_snvs",
        "count_insertions",
        "count_deletions",
        "count_indels",
        "territory_bp",
        "fastq_bp_q30",
    }
)
"""Metrics that are counts; the others are real numbers."""
NOT_AVAILABLE: Final = frozenset({"", "NA", "N/A", "?", "."})
"""How tools write that they have no value: NA (VerifyBamID, DRAGEN, npm-sample-qc), ? (Picard), . (bcftools)."""
BUILDS: Final = {
    "grch38": "GRCh38",
    "hg38": "GRCh38",
    "grch38dh": "GRCh38",
    "hs38dh": "GRCh38",
    "grch37": "GRCh37",
    "hg19": "GRCh37",
    "b37": "GRCh37",
    "hs37d5": "GRCh37",
    "t2t-chm13v2.0": "T2T-CHM13v2.0",
    "chm13v2.0": "T2T-CHM13v2.0",
    "hs1": "T2T-CHM13v2.0",
}
"""Names of reference genomes, in lower case: those of GRC, of UCSC, and of the sets of files that are handed around."""
FEMALE: Final = frozenset({"female", "f", "2", "xx", "여", "여성"})
MALE: Final = frozenset({"male", "m", "1", "xy", "남", "남성"})
"""In words, as PLINK's and ISO 5218's numbers, and as a karyotype; in lower case."""
SEX_UNKNOWN: Final = frozenset({"unknown", "u", "0", "-9", "na", "n/a", "not known", ""})
"""0 is unknown for PLINK and for ISO 5218, -9 for PLINK."""

NO_TIME: Final = "time (nobody states it; recorded_at stands there)"
_NAME: Final = re.compile(r"[A-Za-z%(][\w %/.,:;&()\[\]<>=+*\-]{0,59}")
_DIGITS: Final = re.compile(r"\d{4}")

Metric: TypeAlias = int | float | str


@dataclass(slots=True)
class Part:
    """What a report says of one sample, as its parser finds it.

    `sample` is null where the report names none; `sample_name` says where it would stand. `faults` are metrics that
    cannot be read: then no event is made, since a metric that is missing looks like one that was not measured.
    `missing` are metrics that such a report always has, and this one has not: a problem beside the event.
    """

    place: str
    report_type: str
    tool: str | None = None
    sample: object | None = None
    sample_name: str = "the sample"
    role: str | None = None
    pipeline: str | None = None
    run: str | None = None
    reference_build: str | None = None
    alignment: str | None = None
    at: Moment | None = None
    metrics: dict[str, Metric] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    not_available: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def measure(self, name: str, value: object, called: str, scale: int = 1) -> None:
        """Take `value`, which the report calls `called`, as the metric `name`, times `scale`; note if it cannot be."""
        if value is None or (isinstance(value, str) and value.strip() in NOT_AVAILABLE):
            self.not_available.append(called)
            return
        try:
            self.put(name, _read(name, value, called, scale), called)
        except Unusable as fault:
            self.faults.append(str(fault))

    def measure_json(self, name: str, value: object, called: str) -> None:
        """Like `measure`, of a JSON document: a number in quotation marks is a text, and none of its numbers."""
        if isinstance(value, str) and value.strip() not in NOT_AVAILABLE:
            self.faults.append(f"{called} is no number")
        else:
            self.measure(name, value, called)

    def put(self, name: str, value: Metric, called: str) -> None:
        """Set the metric `name`. Raises `Unusable` where the report has said another value."""
        if self.metrics.setdefault(name, value) != value:
            raise Unusable(f"{called} is stated twice, with two values")

    def ratio(self, name: str, above: float, below: float, called: str) -> None:
        """Set the metric `name` to `above` / `below`; where that is no number it is not available."""
        if below == 0:
            self.not_available.append(called)
        else:
            self.metrics[name] = above / below


def events(path: Path, parts: Iterable[Part], context: Context, report: Report) -> Iterator[Batch]:
    """Yield an event for each of `parts` that can be one. Raises `AdapterError` where nobody says whose a report is."""
    held, seen = Held(), dict[str, str]()
    for part in parts:
        for called in part.not_available:
            report.leave_out(part.place, f"{shown_name(called)}: not available")
        if part.missing:
            report.problem(part.place, f"{part.report_type} lacks {', '.join(part.missing)}")
        if part.faults:
            report.problem(part.place, "; ".join(part.faults))
            continue
        if not part.metrics and part.missing:
            continue
        if not part.metrics:
            report.problem(part.place, f"{part.report_type}: none of the metrics that it is read for")
            continue
        try:
            record = _record(path, part, context)
        except Unusable as fault:
            report.problem(part.place, str(fault))
            continue
        said = content_key(record)
        if seen.setdefault(record["event_id"], said) != said:
            report.problem(part.place, "the same report stands in this file before, with other values")
            continue
        if record["occurred_basis"] == "recorded":
            report.leave_out(part.place, NO_TIME)
        held.add(QC_METRICS, record, part.place)
        if held.full:
            yield from held.hand_on()
    yield from held.hand_on()


def shown_name(name: str) -> str:
    """A metric's or column's `name` in words for a report; not what has not the look of a name, or holds a number."""
    if not _NAME.fullmatch(name) or _DIGITS.search(name):
        return "(a name that is not shown)"
    return visible(name)


def sex_of(text: object, name: str) -> str:
    """`female`, `male` or `unknown`, as `text` says by the declared lists. Raises `Unusable` for all else."""
    word = text.strip().lower() if isinstance(text, str) else None
    if word in FEMALE:
        return "female"
    if word in MALE:
        return "male"
    if word in SEX_UNKNOWN:
        return "unknown"
    raise Unusable(f"{name} is no known word for a sex")


def build_of(text: object, name: str) -> str | None:
    """The reference genome that `text` declares, null for nothing. Raises `Unusable` where it is none of ours."""
    if text is None or text == "":
        return None
    found = BUILDS.get(text.strip().lower()) if isinstance(text, str) else None
    if found is None:
        raise Unusable(f"{name} is none of the programme's reference genomes")
    return found


def whole_number(value: object, name: str) -> int:
    """`value` as a count: 3 and 3.0 are, 1.5 is not. Raises `Unusable`."""
    return whole(_number(value, name), name)


def sample_of(path: Path, part: Part, context: Context) -> Subject:
    """Whose report it is: the sample that it names, else the one that is stated. Raises `Unusable`, `AdapterError`."""
    scheme, stated = f"sample/{context.site}", context.stated.sample
    if part.sample is not None:
        named = subject_of(scheme, part.sample, part.sample_name)
        if stated is not None and stated != named.value:
            raise Unusable(f"{part.sample_name} is another sample than the one that was stated for this file")
        return named
    if stated is not None:
        return subject_of(scheme, stated, "the sample that was stated for this file")
    if context.subject is not None:
        return context.subject
    raise AdapterError(
        f"{path.name} is a report ({part.report_type}) that names no sample.",
        "State it: --subject sample/<centre>=<sample> for this file, or a line of the sheet that --reports names.",
    )


def when(own: Moment | None, context: Context) -> Record:
    """The times of an envelope: `own` of the report, else as stated, else recorded. Raises `Unusable`."""
    stated = own or context.stated.at
    if stated is not None:
        return stated_times(stated, None, context) | {"occurred_basis": "stated"}
    return stated_times(Moment(context.recorded_at, None), None, context) | {"occurred_basis": "recorded"}


def _record(path: Path, part: Part, context: Context) -> Record:
    subject = sample_of(path, part, context)
    stated = context.stated
    pipeline = _agreed("pipeline", part.pipeline, stated.pipeline)
    run = _agreed("run", part.run, stated.run)
    build = _agreed(
        "reference_build",
        build_of(part.reference_build, "reference_build"),
        build_of(stated.reference_build, "the stated reference_build"),
    )
    alignment = _agreed("alignment", part.alignment, stated.alignment)
    declared = [part.report_type, part.tool, part.role, pipeline, run, build, alignment]
    said = [sorted(part.metrics.items()), part.at and part.at.at] if run is None else None
    key = content_key([subject.scheme, subject.value, declared, said])
    return {
        "event_id": context.ids.of(QC_METRICS, key),
        "source_id": context.source_id,
        "subject_scheme": subject.scheme,
        "subject_id": subject.value,
        **when(part.at, context),
        "pipeline": pipeline,
        "report_type": part.report_type,
        "qc_tool": part.tool,
        "reference_build": build,
        "specimen_role": part.role,
        **part.metrics,
    }


def _agreed(name: str, own: str | None, stated: str | None) -> str | None:
    if own is not None and stated is not None and own != stated:
        raise Unusable(f"{name}: the report says another than was stated for this file")
    return own if own is not None else stated


def _read(name: str, value: object, called: str, scale: int) -> int | float:
    if name in WHOLE:
        return whole_number(value, called)
    # Scaled as it is written: 0.947422 is 94.7422 %, and a float would say 94.74219999999999.
    return float(Decimal(repr(_number(value, called))) * scale)


def _number(value: object, name: str) -> float:
    return number_of_text(value, name) if isinstance(value, str) else number(value, name)
