"""Formats that sources have and Biokeel does not read: each is told by its beginning and refused by its name."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from biokeel.source.adapters.envelope import Peek

_FHIR_JSON: Final = "Export FHIR R4 as JSON or NDJSON."
_TEXT: Final = "Export the data as text: FHIR R4 JSON, CSV, or JSON lines of ready records."
_TABLE: Final = "Describe it by a mapping: biokeel source map FILE proposes one."
_UNPACK: Final = "Unpack it, and name the folder."
_GENOME: Final = "Big files go into the landing bucket: biokeel publish genome (VCF, gVCF, BCF)."
_TOOLS: Final = "Publish the reports that docs/formats/genome-qc-reports.md names."
_SHEETS: Final = "Publish an Illumina sample sheet (v1 or v2), or a manifest: docs/formats/sample-sheets.md."
_ROOT: Final = re.compile(r"<(?:[\w.\-]+:)?([A-Za-z][\w.\-]*)[\s/>]")


class Unread(NamedTuple):
    """What a file looks like, and what its owner can do. `tells` sees the beginning of a text."""

    name: str
    todo: str
    tells: Callable[[Peek], bool]


def xml_root(peek: Peek) -> str | None:
    """The local name of the root element of an XML document; null for anything else."""
    text = peek.text
    if not text.startswith("<"):
        return None
    text = re.sub(r"<!--.*?-->|<\?.*?\?>|<!DOCTYPE[^\[>]*(?:\[.*?\])?\s*>", "", text, flags=re.DOTALL | re.IGNORECASE)
    found = _ROOT.match(text.lstrip())
    return found[1] if found else None


def _root(*names: str) -> Callable[[Peek], bool]:
    return lambda peek: (xml_root(peek) or "") in names


def _begins(*texts: str) -> Callable[[Peek], bool]:
    return lambda peek: peek.text.startswith(texts)


def _matches(pattern: str) -> Callable[[Peek], bool]:
    return lambda peek: re.match(pattern, peek.text) is not None


def _columns(*names: str) -> Callable[[Peek], bool]:
    return lambda peek: set(names) <= set(peek.columns)


def _keys(*names: str) -> Callable[[Peek], bool]:
    return lambda peek: any(set(names) <= set(sample) for sample in peek.samples)


MAGIC: Final[tuple[tuple[int, bytes, str, str], ...]] = (
    # offset, bytes, what it looks like, what to do
    (0, b"BAM\x01", "a BAM file", _GENOME),
    (0, b"CRAM", "a CRAM file", _GENOME),
    (0, b"BCF\x02", "a BCF file", _GENOME),
    (0, b"%PDF-", "a PDF document", _TEXT),
    (128, b"DICM", "a DICOM image", "Images are no event type of the programme."),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document (xls, doc)", _TEXT),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (0, b"Rar!", "a RAR archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"BZh", "a bzip2 file", "Unpack it, or compress it with gzip."),
    (0, b"\xfd7zXZ\x00", "an xz file", "Unpack it, or compress it with gzip."),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file", "Unpack it, or compress it with gzip."),
    (0, b"\x1f\x8b", "a gzip file within a gzip file", "Unpack it once."),
    (0, b"PAR1", "a Parquet file", _TEXT),
    (0, b"Obj\x01", "an Avro container file", _TEXT),
    (0, b"SQLite format 3\x00", "an SQLite database", _TEXT),
    (0, b"\x89HDF\r\n", "an HDF5 file", _TEXT),
    (0, b"$FL2", "an SPSS file", _TEXT),
    (0, b"\x89PNG", "a picture (PNG)", _TEXT),
    (0, b"\xff\xd8\xff", "a picture (JPEG)", _TEXT),
    (8, b".FIT", "a FIT file of a sports watch", "Export the vendor's CSV or JSON."),
)
_ZIP: Final = b"PK\x03\x04"
_OFFICE: Final = ((b"xl/", "an Excel workbook (xlsx)"), (b"word/", "a Word document (docx)"))

UNREAD: Final[tuple[Unread, ...]] = (
    Unread(
        "an HL7 v2 message",
        "Convert it to FHIR R4 (HL7's v2-to-FHIR), or map a CSV.",
        _matches(r"\x0b?(?:MSH|FHS|BHS)[^\w\s]"),
    ),
    Unread("a CDA document", _FHIR_JSON, _root("ClinicalDocument")),
    Unread(
        "FHIR XML",
        _FHIR_JSON,
        lambda peek: xml_root(peek) is not None and '"http://hl7.org/fhir"' in peek.text.replace("'", '"')[:4096],
    ),
    Unread("a CCR document", _FHIR_JSON, _root("ContinuityOfCareRecord")),
    Unread("an EDI interchange (X12, EDIFACT)", _FHIR_JSON, _matches(r"ISA\W|UN[AB]\W")),
    Unread("a CDISC ODM document", _TEXT, _root("ODM")),
    Unread("a GPX or TCX track", "Tracks are no event; export the activities.", _root("gpx", "TrainingCenterDatabase")),
    Unread("an HTML page", "Was it a page to log in? Download it again.", _root("html", "HTML")),
    Unread(
        "an XML document of no format that we know",
        _TEXT,
        lambda peek: xml_root(peek) not in {None, "HealthData"},  # Apple Health is read
    ),
    Unread("a VCF file", _GENOME, _begins("##fileformat=VCF")),
    Unread("a SAM file", _GENOME, _begins("@HD\t", "@SQ\t")),
    Unread("a FASTQ file", _GENOME, lambda peek: bool(re.match(r"@[^\n]+\n[ACGTNacgtn]+\r?\n\+", peek.text))),
    Unread(
        "samtools idxstats",
        "Publish samtools stats or flagstat of the same file.",
        lambda peek: bool(re.match(r"\S+\t\d+\t\d+\t\d+\r?\n", peek.text)),
    ),
    Unread(
        "peddy's ped file", "Publish its het_check and sex_check.", _columns("#family_id", "sample_id", "het_call_rate")
    ),
    Unread(
        "samtools flagstat in another form",
        "Publish its text.",
        lambda peek: (
            bool(re.match(r"\d+\t\d+\ttotal \(QC-passed", peek.text))
            or any("QC-passed reads" in sample for sample in peek.samples)
        ),
    ),
    Unread("samtools coverage", _TOOLS, _columns("#rname", "numreads", "meandepth")),
    Unread("MultiQC's collection of reports", _TOOLS, _keys("report_general_stats_data")),
    Unread("a CASAVA sample sheet", _SHEETS, _columns("FCID", "Lane", "SampleID")),
    Unread("Element's run manifest", _SHEETS, _begins("[RUNVALUES]", "[SAMPLES]", "[SETTINGS]")),
    Unread("Sentieon's metrics", _TOOLS, _begins("#SentieonCommandLine")),
    Unread("FastQC's data", _TOOLS, _begins("##FastQC")),
    Unread("GATK's table of contamination", _TOOLS, _columns("sample", "contamination", "error")),
    Unread("Garmin's CSV of activities", _TABLE, _columns("Activity Type", "Date", "Favorite")),
    Unread("Strava's CSV of activities", _TABLE, _columns("Activity ID", "Activity Date", "Activity Type")),
    Unread("WHOOP's CSV", _TABLE, _columns("Cycle start time", "Cycle timezone")),
    Unread("Google Fit's CSV of days", _TABLE, _columns("Date", "Move Minutes count")),
    Unread(
        "Oura's JSON of sleep",
        _TEXT,
        lambda peek: any(
            "bedtime_start" in part
            for sample in peek.samples
            for part in (sample, *(each for each in _list(sample.get("data")) if isinstance(each, dict)))
        ),
    ),
    Unread("an openEHR composition", _FHIR_JSON, _keys("archetype_node_id")),
    Unread("a GA4GH phenopacket", _FHIR_JSON, _keys("metaData", "phenotypicFeatures")),
)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def binary(head: bytes) -> tuple[str, str] | None:
    """What a file that begins with `head` is that is no text, and what to do; null for what may be text."""
    if head.startswith(_ZIP):
        return next((name for part, name in _OFFICE if part in head), "a zip archive"), _UNPACK
    return next((rest for at, magic, *rest in MAGIC if head[at : at + len(magic)] == magic), None)  # type: ignore[return-value]
