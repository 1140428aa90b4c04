"""What a variant file's header says: samples, reference genome, and which of its lines may cross the wall. Pure.

A header is text of other people's tools, which write command lines, folders, user names and sample names into it. So
what goes on is written anew from what was read, and only these lines (VCF 4.1 to 4.5, section 1.4) are:

| line | what of it |
| --- | --- |
| `fileformat` | `VCFv4.0` to `VCFv4.5` |
| `contig` | `ID`, `length` |
| `INFO`, `FORMAT` | `ID`, `Number`, `Type`, `Description` |
| `FILTER`, `ALT` | `ID`, `Description` |
| `reference` | the name of the build, as it was declared and is shown by the contigs |

A description in which a folder, an address or a long number stands is left empty. What a record uses and no line
defines is defined anew where the standard reserves the word (`biokeel.contracts.variant_words`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import BinaryIO, Final, NamedTuple

from biokeel.contracts.topics import event_type
from biokeel.contracts.variant_words import reserved
from biokeel.errors import NotAVariantFile

READY: Final = event_type("genome.variant_file_ready")
"""The event that claims a variant file."""
HEADER_BYTES: Final = 16 << 20
"""Most bytes of a header: contigs of a reference with all its alternates take 400 kB, 100,000 samples 1 MB."""
FIXED: Final = ("CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")
"""The columns before a file's samples."""

_BCF: Final = b"BCF\x02"
_BCF_START: Final = 9
_CHROMOSOMES: Final = (*map(str, range(1, 23)), "X", "Y")
# Genome Reference Consortium (GRCh37, GRCh38: assembly reports of the primary assembly), T2T Consortium (CHM13v2.0).
_LENGTHS: Final = {
    "GRCh37": (
        *(249250621, 243199373, 198022430, 191154276, 180915260, 171115067, 159138663, 146364022, 141213431),
        *(135534747, 135006516, 133851895, 115169878, 107349540, 102531392, 90354753, 81195210, 78077248, 59128983),
        *(63025520, 48129895, 51304566, 155270560, 59373566),
    ),
    "GRCh38": (
        *(248956422, 242193529, 198295559, 190214555, 181538259, 170805979, 159345973, 145138636, 138394717),
        *(133797422, 135086622, 133275309, 114364328, 107043718, 101991189, 90338345, 83257441, 80373285, 58617616),
        *(64444167, 46709983, 50818468, 156040895, 57227415),
    ),
    "T2T-CHM13v2.0": (
        *(248387328, 242696752, 201105948, 193574945, 182045439, 172126628, 160567428, 146259331, 150617247),
        *(134758134, 135127769, 133324548, 113566686, 101161492, 99753195, 96330374, 84276897, 80542538, 61707364),
        *(66210255, 45090682, 51324926, 154259566, 62460029),
    ),
}
BUILDS: Final[Mapping[str, Mapping[str, int]]] = MappingProxyType(
    {build: dict(zip(_CHROMOSOMES, lengths, strict=True)) for build, lengths in _LENGTHS.items()}
)
"""The programme's reference genomes: the length of each chromosome in bases."""

_FILE_FORMAT: Final = re.compile(r"VCFv4\.[0-5]")
_FIELD_ID: Final = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.+-]{0,63}")
"""Wider than the standard's: annotators write `dbNSFP_GERP++_RS` and `1000Gp3_AF`."""
_WORD_ID: Final = re.compile(r"[!-:=-~]{1,64}")
_CONTIG_ID: Final = re.compile(r"[0-9A-Za-z!#$%&+./:;?@^_|~-][0-9A-Za-z!#$%&*+./:;=?@^_|~-]{0,63}")
_NUMBER: Final = re.compile(r"\d{1,4}|[ARGP.]|L[ARG]|M")
_TYPES: Final = frozenset({"Integer", "Float", "Flag", "Character", "String"})
_LENGTH: Final = re.compile(r"\d{1,10}")
_STRUCTURED: Final = re.compile(r"##(INFO|FORMAT|FILTER|ALT|contig)=<(.*)>")
_PART: Final = re.compile(r'([A-Za-z_][\w.]*)=("(?:[^"\\]|\\.)*"|[^,"]*)(?:,|$)')
_PLAIN: Final = re.compile(r"[ !#-\[\]-~]{1,10000}")
_TELLING: Final = re.compile(
    r"(?:^|[\s\"'(=:,;])(?:~|\.{1,2})?[/\\][^\s/\\]"  # /data/kim, ~/kim, \\server\share
    r"|[A-Za-z]:\\|://|@"
    r"|\d(?:[ .-]?\d){8}"  # as long as the shortest telephone number with its area code
)


class Definition(NamedTuple):
    """One structured line: `kind` (INFO, FORMAT, FILTER, ALT, contig) and what may be kept of it, in order."""

    kind: str
    parts: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """Its ID."""
        return self.parts[0][1]

    def text(self) -> str:
        """The line, without its end."""
        return f"##{self.kind}=<{','.join(f'{name}={value}' for name, value in self.parts)}>"


@dataclass(frozen=True, slots=True)
class VariantHeader:
    """What a header says, as far as it is kept. `samples` are as the file has them: never to be shown."""

    file_format: str
    definitions: tuple[Definition, ...]
    samples: tuple[str, ...]

    def __repr__(self) -> str:
        return f"VariantHeader({self.file_format}, {len(self.definitions)} lines, {len(self.samples)} samples)"

    def names(self, kind: str) -> frozenset[str]:
        """The IDs that lines of one kind define."""
        return frozenset(each.name for each in self.definitions if each.kind == kind)

    @property
    def contigs(self) -> dict[str, int | None]:
        """The length of each contig, null where the file does not say."""
        lengths = ((each.name, dict(each.parts).get("length")) for each in self.definitions if each.kind == "contig")
        return {name: int(length) if length else None for name, length in lengths}

    @property
    def is_gvcf(self) -> bool:
        """Whether the file has blocks without variants: gVCFs define the allele `<NON_REF>`."""
        return "NON_REF" in self.names("ALT")

    def build(self) -> str | None:
        """The reference genome that the lengths of chromosomes show; null where none or no single one fits."""
        chromosomes = {
            name.removeprefix("chr"): length
            for name, length in self.contigs.items()
            if length is not None and name.removeprefix("chr") in _CHROMOSOMES
        }
        fitting = [
            build for build, lengths in BUILDS.items() if all(lengths[name] == it for name, it in chromosomes.items())
        ]
        return fitting[0] if chromosomes and len(fitting) == 1 else None

    def with_reserved(self, kind: str, words: Iterable[str]) -> VariantHeader:
        """The header with a line for each of `words` of a `kind` that the standard reserves; others get none."""
        lines = [
            Definition(kind, _line(word, *found, self.file_format))
            for word in sorted(words)
            if (found := reserved(self.file_format, kind, word))
        ]
        return replace(self, definitions=(*self.definitions, *lines))

    def rewritten(self, build: str, samples: Sequence[str]) -> str:
        """The header that goes on: of reference `build`, with `samples` in place of the file's own."""
        lines = [f"##fileformat={self.file_format}", f"##reference={build}"]
        lines += [each.text() for each in self.definitions]
        columns = [*FIXED, "FORMAT", *samples] if samples else list(FIXED)
        return "\n".join([*lines, "#" + "\t".join(columns), ""])


def _line(word: str, number: str, kind: str, file_format: str) -> tuple[tuple[str, str], ...]:
    return (("ID", word), ("Number", number), ("Type", kind), ("Description", f'"As {file_format} reserves it"'))


def read_start(file: BinaryIO) -> tuple[bool, VariantHeader]:
    """Whether `file`, which gives unpacked bytes, is BCF (else VCF), and its header.

    Takes no more memory than a header may have. Raises `NotAVariantFile`; what `file` raises goes on.
    """
    start = file.read(_BCF_START)
    is_bcf = start.startswith(_BCF)
    lines = _of_bcf(start, file) if is_bcf else _lines(start, file)
    try:
        return is_bcf, read_header(line.rstrip(b"\r\n").decode("utf-8") for line in lines)
    except UnicodeDecodeError:
        raise NotAVariantFile("The header is not UTF-8.") from None


def _of_bcf(start: bytes, file: BinaryIO) -> list[bytes]:
    """A BCF's header: its length in four bytes after magic and version (VCF 4.5, section 6.2), then its text."""
    size = int.from_bytes(start[5:9], "little")
    if size > HEADER_BYTES:
        raise _too_long()
    return file.read(size).rstrip(b"\0").split(b"\n")


def _lines(start: bytes, file: BinaryIO) -> Iterator[bytes]:
    left = HEADER_BYTES
    while line := start + file.readline(left):
        start = b""
        left -= len(line)
        if left <= 0:
            raise _too_long()
        yield line


def _too_long() -> NotAVariantFile:
    return NotAVariantFile(f"The header is longer than {HEADER_BYTES >> 20} MiB.")


def read_header(lines: Iterable[str]) -> VariantHeader:
    """The header that `lines` (without their ends) begin with, up to the line of columns.

    Raises `NotAVariantFile`, which names the kind of line that is at fault.
    """
    rest = iter(lines)
    first = next(rest, "")
    kind, _, version = first.partition("=")
    if kind != "##fileformat":
        raise NotAVariantFile("The file does not begin with ##fileformat=VCFv4.")
    if not _FILE_FORMAT.fullmatch(version):
        raise NotAVariantFile("The file's version is not one of VCFv4.0 to VCFv4.5.")
    definitions: dict[tuple[str, str], Definition] = {}
    for line in rest:
        if not line.startswith("##"):
            return VariantHeader(version, tuple(definitions.values()), _samples(line))
        if (found := _definition(line)) and definitions.setdefault((found.kind, found.name), found) != found:
            raise NotAVariantFile(f"The header defines a {found.kind} in two ways.")
    raise NotAVariantFile("The header has no line of columns (#CHROM).")


def _samples(line: str) -> tuple[str, ...]:
    columns = line.split("\t")
    if columns[: len(FIXED)] != ["#CHROM", *FIXED[1:]]:
        raise NotAVariantFile("The line of columns is not #CHROM POS ID REF ALT QUAL FILTER INFO, divided by tabs.")
    if len(columns) == len(FIXED):
        return ()
    samples = tuple(columns[len(FIXED) + 1 :])
    if columns[len(FIXED)] != "FORMAT":
        raise NotAVariantFile("The column before the samples is not FORMAT.")
    if len(set(samples)) != len(samples) or not all(sample.strip() for sample in samples):
        raise NotAVariantFile("A sample's name is empty, or stands twice.")
    return samples


def _definition(line: str) -> Definition | None:
    """What is kept of a line, null for a line that is left out. Raises `NotAVariantFile`."""
    kind = line[2:].partition("=")[0]
    if kind not in _KEPT:
        return None
    found = _STRUCTURED.fullmatch(line)
    said = dict(_parts(kind, found[2])) if found else {}
    kept: list[tuple[str, str]] = []
    for name, form, needed in _KEPT[kind]:
        value = said.get(name)
        if value is None or (value == "" and not needed):
            if needed:
                raise NotAVariantFile(f"A line of {kind} has no {name}.")
        elif name == "Description":
            kept.append((name, _description(value)))
        elif form.fullmatch(value):
            kept.append((name, value))
        else:
            raise NotAVariantFile(f"A line of {kind} has a {name} that has not its form.")
    return Definition(kind, tuple(kept))


def _parts(kind: str, text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        found = _PART.match(text, at)
        if found is None:
            raise NotAVariantFile(f"A line of {kind} is not made of KEY=value, divided by commas.")
        yield found[1], found[2]
        at = found.end()


def _description(text: str) -> str:
    """The quoted text; empty where it may tell of people or machines."""
    plain = text.removeprefix('"').removesuffix('"')
    return f'"{plain}"' if _PLAIN.fullmatch(plain) and not _TELLING.search(plain) else '""'


_ANY: Final = re.compile(r".*", re.DOTALL)
_FIELD: Final = (
    ("ID", _FIELD_ID, True),
    ("Number", _NUMBER, True),
    ("Type", re.compile("|".join(sorted(_TYPES))), True),
    ("Description", _ANY, True),
)
_WORD: Final = (("ID", _WORD_ID, True), ("Description", _ANY, True))
_KEPT: Final = {
    "INFO": _FIELD,
    "FORMAT": _FIELD,
    "FILTER": _WORD,
    "ALT": _WORD,
    "contig": (("ID", _CONTIG_ID, True), ("length", _LENGTH, False)),
}
"""By kind of line: which parts are kept, the form of each, and whether it must be there."""
