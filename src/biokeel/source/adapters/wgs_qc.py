"""GA4GH WGS quality control (JSON): one sample in a file, or one a line; nested as the standard has it, or flat.

```
{"biosample": {"id": …}, "wgs_qc_metrics": {"aln_metrics": {…}, "variant_metrics": {…}}}     npm-sample-qc
{"biosample": {"id": …}, "wgs_qc_metrics": {…}}                                              argo-dnaalnqc
{"biosample": {"id": …}, "vcf_qc_metrics": {…}}                                              argo-vcfqc
{"biosample": {"id": …}, "wgs_qc_metrics": {"tumor": {…}, "normal": {…}}}                    two events
```

Beside them a report may declare `pipeline`, `run`, `reference_build`, `alignment` and `date`, under these names or one
of their synonyms (`DECLARED`). The standard's metrics are at https://ga4gh.github.io/quality-control-wgs/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from biokeel.errors import AdapterError
from biokeel.source.adapters.base import Batch, Context, Report, Unusable
from biokeel.source.adapters.envelope import Shape, documents, peek
from biokeel.source.adapters.qc import Part, events, shown_name
from biokeel.source.times import moment

Json: TypeAlias = Mapping[str, Any]
"""An object of a JSON document; Any because it is what somebody wrote."""

METRICS: Final = {
    name: name
    for name in (
        "yield_bp_q30",
        "mean_autosome_coverage",
        "mad_autosome_coverage",
        "pct_autosomes_15x",
        "pct_reads_mapped",
        "pct_reads_properly_paired",
        "mean_insert_size",
        "insert_size_std_deviation",
        "cross_contamination_rate",
        "count_snvs",
        "count_insertions",
        "count_deletions",
        "ratio_transitions_transversions_snv",
        "ratio_heterozygous_homozygous_snv",
        "ratio_heterozygous_homozygous_indel",
        "ratio_insertion_deletion",
    )
} | {
    "ratio_heterozygous_homzygous_snv": "ratio_heterozygous_homozygous_snv",
    "ratio_heterozygous_homzygous_indel": "ratio_heterozygous_homozygous_indel",
    "ratio_transitions_transversions": "ratio_transitions_transversions_snv",
}
"""Names of metrics to our fields: the standard's v1.0, which has a spelling mistake, and npm-sample-qc v0.13.5's."""
REPORTS: Final = {"wgs_qc_metrics": "ga4gh-wgs-qc", "vcf_qc_metrics": "ga4gh-vcf-qc"}
"""Keys that hold metrics, and which report each is."""
GROUPS: Final = frozenset({"aln_metrics", "variant_metrics"})
"""Groups that hold metrics of the sample itself."""
ROLES: Final = {"tumor": "tumor", "tumour": "tumor", "normal": "normal"}
"""Groups that hold the metrics of one of two specimens."""
DECLARED: Final = {
    "pipeline": ("pipeline", "pipeline_name", "workflow"),
    "version": ("pipeline_version",),
    "run": ("run", "run_id"),
    "reference_build": ("reference_build", "reference_genome", "genome_build", "assembly"),
    "alignment": ("alignment", "alignment_uri", "alignment_id"),
    "date": ("date", "occurred_at", "created", "generated_at"),
}
"""What a report may say of itself beside its metrics, under one of these names."""
_KNOWN: Final = frozenset({"biosample", *REPORTS, *(name for names in DECLARED.values() for name in names)})


def read_metrics(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the quality metrics of one sample, or of one a line. Raises `AdapterError` where it is a list of them."""
    if peek(path).shape is Shape.ARRAY:
        raise AdapterError(
            f"{path.name} is a list of samples, and a report of GA4GH WGS-QC is of one.",
            "Write a file, or a line (NDJSON), for each sample.",
        )
    yield from events(path, _parts(path, context, report), context, report)


def is_metrics(document: Json) -> bool:
    """Whether a JSON document is of this family."""
    return any(name in document for name in REPORTS)


def _parts(path: Path, context: Context, report: Report) -> Iterator[Part]:
    for place, sample in documents(path, report):
        yield from _of_sample(sample, place, context, report)


def _of_sample(sample: Json, where: str, context: Context, report: Report) -> Iterator[Part]:
    biosample, found = sample.get("biosample"), [name for name in REPORTS if isinstance(sample.get(name), dict)]
    if not found or not isinstance(biosample, dict) or biosample.get("id") is None:
        report.problem(where, f"no sample of GA4GH WGS-QC: it wants biosample.id and {' or '.join(REPORTS)}")
        return
    place = f"{where}, {found[0]}"
    for name in (*(name for name in sample if name not in _KNOWN), *(name for name in biosample if name != "id")):
        report.leave_out(place, f"{shown_name(name)}: no field of the event")
    try:
        declared = {ours: _declared(sample, names) for ours, names in DECLARED.items()}
    except Unusable as fault:
        report.problem(place, str(fault))
        return
    words = [word for word in (declared["pipeline"], declared["version"]) if word is not None]
    at = moment(declared["date"], context.zone)
    if declared["date"] is not None and at is None:
        report.problem(place, "date is no ISO 8601 date or time")
        return
    parts: dict[str | None, Part] = {}

    def part_of(role: str | None) -> Part:
        made = Part(f"{place}.{role}" if role else place, REPORTS[found[0]], sample=biosample["id"], role=role, at=at)
        made.sample_name = "biosample.id"
        made.pipeline, made.run = " ".join(words) or None, declared["run"]
        made.reference_build, made.alignment = declared["reference_build"], declared["alignment"]
        return parts.setdefault(role, made)

    for name in found:
        _gather(sample[name], None, part_of, report)
    yield from parts.values() or [part_of(None)]


def _gather(metrics: Json, role: str | None, part_of: Any, report: Report) -> None:
    for name, value in metrics.items():
        if isinstance(value, dict) and name in GROUPS:
            _gather(value, role, part_of, report)
        elif isinstance(value, dict) and role is None and name in ROLES:
            part_of(ROLES[name])
            _gather(value, ROLES[name], part_of, report)
        elif isinstance(value, dict):
            report.problem(part_of(role).place, "a group of metrics that is none of " + ", ".join([*GROUPS, *ROLES]))
        elif name in METRICS:
            part_of(role).measure_json(METRICS[name], value, name)
        else:
            report.problem(part_of(role).place, f"a metric that is not known: {shown_name(name)}")


def _declared(sample: Json, names: tuple[str, ...]) -> str | None:
    """What `sample` says under one of `names`, with its version where that is apart. Raises `Unusable`."""
    said = {name: sample[name] for name in names if sample.get(name) is not None}
    if not said:
        return None
    if len(said) > 1:
        raise Unusable(f"{' and '.join(said)} say the same thing: one of them is wanted")
    ((name, value),) = said.items()
    said_words = [value.get("name"), value.get("version")] if isinstance(value, dict) else [value]
    words = [word for word in said_words if isinstance(word, str) and word]
    if len(words) < len(said_words):
        raise Unusable(f"{name} is neither a text nor a name with a version")
    return " ".join(words)
