"""A variant file checked and written anew, in a process of its own that may take so much and no more.

Run as `python -I -m biokeel.files.rewrite`: a `Task` on standard input, the file as one descriptor and the new file as
another; what was found goes to standard output. htslib is C and the file may be hostile, so this process has no
credentials, no network to speak to, and limits of memory, CPU time and output: whatever happens to it is an answer
about the file (`biokeel.files.child`).

In steps, each of which may refuse the file:

1. The container is what was claimed, and whole (BGZF ends with its empty block).
2. The header can be read (`biokeel.contracts.variants`); build and samples are what was claimed.
3. htslib reads every record, and meets nothing that neither the header nor the standard defines: VCF reserves words of
   INFO and FORMAT "albeit optional", so a file may use them without a line for them. It gets one, and is read with it
   once more, as the reserved type. Of any other word nobody can tell what stands there.
4. Every record is printable, has its columns, and lies in order within a contig of the header. Records of a VCF go on
   byte for byte; those of a BCF as htslib writes them. None holds a sample's own name.

The same file, build and names give the same bytes, as long as htslib is the same.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import resource
import signal
import sys
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from biokeel.contracts.variants import VariantHeader, read_start
from biokeel.errors import NotAVariantFile
from biokeel.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHUNK: Final = 4 << 20
"""Bytes of records that are looked at together."""
LINE_BYTES: Final = 16 << 20
"""Most bytes of one record: 100,000 samples with their genotypes take some megabytes."""
SEARCHED: Final = 5
"""Characters of the shortest name that is searched in the records: a shorter one stands in any of them by chance."""

_BGZF_END: Final = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
"""The empty block that BGZF ends with (SAM specification, 4.1.2)."""
_GZIP: Final = b"\x1f\x8b"
_BGZF: Final = b"\x1f\x8b\x08\x04"
_PR_SET_PDEATHSIG: Final = 1
"""Of prctl(2) on Linux."""
_NAMED: Final = 5
"""Undefined words that a refusal names."""
_SHOWN: Final = re.compile(r"(?:1000G|[A-Za-z_](?:[A-Za-z_.]|[0-9]{1,3}(?![0-9])){0,23})")
"""Words that a refusal may name."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be made of the file on descriptor `source`, on descriptor `target`.

    `file_format`, `build` and `samples` are what was claimed of it; `names` stand in place of `samples`.
    `address_bytes` and `cpu_seconds` are all that it may take, `target_bytes` the most that it may write.
    """

    source: int
    target: int
    file_format: str
    build: str
    samples: list[str]
    names: list[str]
    address_bytes: int
    cpu_seconds: int
    target_bytes: int


class Refused(Exception):  # noqa: N818 - never leaves this process: it is told as an answer
    """The file is not what it should be. `what` names the place or the kind of line, never a value."""

    def __init__(self, reason: Reason, what: str) -> None:
        super().__init__(what)
        self.reason = reason
        self.what = what


def rewrite(task: Task) -> int:
    """Do `task`, and return how many records the file has. Raises `Refused`."""
    source, target = f"/dev/fd/{task.source}", f"/dev/fd/{task.target}"
    is_bcf, header = _start(source, task)
    _judge(header, task)
    search = _search(task.samples)
    _search_lines(header, task, search)
    import pysam

    pysam.set_verbosity(0)
    if not is_bcf:
        header = _with_what_is_used(source, header, search)
    records = _Records(header, len(task.samples), search)
    with pysam.BGZFile(target, "wb", None) as file:
        file.write(header.rewritten(task.build, task.names).encode())
        for chunk in _copied(source, header) if is_bcf else _body(source):
            file.write(records.checked(chunk))
    return records.count


def _copied(source: str, header: VariantHeader) -> Iterator[bytes]:
    """The records of a BCF, whose header defines all: they name words by the numbers of its lines."""
    try:
        yield from _chunks(str(each).encode() for each in _of_htslib(source, header))
    except _Undefined:
        raise Refused(Reason.FILE_NOT_A_VCF, "htslib finds a word in a record that no line defines.") from None


def _search_lines(header: VariantHeader, task: Task, search: re.Pattern[bytes] | None) -> None:
    lines = header.rewritten(task.build, task.names).rpartition("\n#CHROM")[0]
    if search is not None and search.search(lines.encode()):
        raise Refused(Reason.LEAK, "A definition of the header holds the name of a sample.")


def _with_what_is_used(source: str, header: VariantHeader, search: re.Pattern[bytes] | None) -> VariantHeader:
    """Let htslib read every record; `header` with a line for each reserved word that has none. Raises `Refused`."""
    try:
        _read_all(source, header)
    except _Undefined as used:
        found = header
        for kind, words in used.words.items():
            found = found.with_reserved(kind, words)
        left = {kind: words - found.names(kind) for kind, words in used.words.items()}
        if told := [f"{kind} {_shown(words, search)}" for kind, words in left.items() if words]:
            what = f"No line of the header defines what records use: {'; '.join(told)}."
            raise Refused(Reason.FILE_NOT_A_VCF, what) from None
        _read_all(source, found)
        return found
    return header


def _read_all(source: str, header: VariantHeader) -> None:
    for _ in _of_htslib(source, header):
        pass


def _shown(words: Iterable[str], search: re.Pattern[bytes] | None) -> str:
    """The first of `words`, in order, as far as they are words of a tool: others might be a name or a number."""
    plain = [each for each in words if _SHOWN.fullmatch(each) and not (search and search.search(each.encode()))]
    named = sorted(plain)[:_NAMED]
    others = len(set(words)) - len(named)
    return ", ".join([*named, *([f"{others} more"] if others else [])])


def _start(source: str, task: Task) -> tuple[bool, VariantHeader]:
    """Whether the file is BCF, and its header; the container is what `task` claims, and ends as it should."""
    with Path(source).open("rb") as file:
        magic = file.read(4)
        packed = magic.startswith(_GZIP)
        if magic == _BGZF:
            file.seek(-min(len(_BGZF_END), file.seek(0, 2)), 2)
            if file.read() != _BGZF_END:
                raise Refused(Reason.FILE_NOT_A_VCF, "The file is cut off: its last block is missing.")
    try:
        with _unpacked(source) as unpacked:
            is_bcf, header = read_start(cast("BinaryIO", unpacked))
    except NotAVariantFile as error:
        raise Refused(Reason.FILE_NOT_A_VCF, error.what) from None
    except (OSError, zlib.error):
        raise Refused(Reason.FILE_NOT_A_VCF, "The file cannot be unpacked.") from None
    claimed = task.file_format
    if is_bcf != (claimed == "bcf") or (not is_bcf and packed != claimed.endswith(".gz")):
        raise Refused(Reason.FILE_FORMAT, "The file is packed in another way than file_format says.")
    if not is_bcf and header.is_gvcf != claimed.startswith("gvcf"):
        raise Refused(Reason.FILE_FORMAT, "Of VCF and gVCF the file is the other one.")
    return is_bcf, header


def _judge(header: VariantHeader, task: Task) -> None:
    if header.build() != task.build:
        raise Refused(Reason.FILE_BUILD, "The lengths of the contigs are not those of the reference genome.")
    if not header.samples or sorted(header.samples) != sorted(task.samples):
        raise Refused(Reason.FILE_SAMPLES, "The header's samples are not those of sample_names.")


class _Undefined(Exception):  # noqa: N818 - never leaves this module
    """Records use words that the header does not define: `words`, by the kind of line that should."""

    def __init__(self, words: dict[str, set[str]]) -> None:
        super().__init__()
        self.words = words


def _of_htslib(source: str, header: VariantHeader) -> Iterator[object]:
    """Each record, as htslib reads it by `header`. Raises `Refused`, and `_Undefined` at the end."""
    import pysam

    # As standard input: of what has a name, pysam asks for the position, which plain gzip has none of.
    with Path(source).open("rb") as named:
        os.dup2(named.fileno(), 0)
    try:
        with pysam.VariantFile("-") as file:
            known = {"INFO": file.header.info, "FORMAT": file.header.formats, "FILTER": file.header.filters}
            for each in header.definitions:
                if each.kind in known and each.name not in known[each.kind]:
                    file.header.add_line(each.text())
            yield from file
            # What the header does not define htslib adds to it, as text.
            undefined = {kind: set(words) - header.names(kind) - {"PASS"} for kind, words in known.items()}
    except (OSError, ValueError, NotImplementedError, UnicodeError):
        raise Refused(Reason.FILE_NOT_A_VCF, "htslib cannot read the file's header, or one of its records.") from None
    if any(undefined.values()):
        raise _Undefined(undefined)


def _body(source: str) -> Iterator[bytes]:
    """The records of a VCF as they stand there, whole lines. Raises `Refused`."""
    pieces = _pieces(source)
    held = b""
    for piece in pieces:
        held += piece
        if (at := _end_of_header(held)) >= 0:
            break
    yield from _chunks([held[at:]] if at < len(held) else [], pieces)


def _end_of_header(text: bytes) -> int:
    """Where the records begin, -1 where the line of columns is not whole yet."""
    columns = 0 if text.startswith(b"#CHROM") else text.find(b"\n#CHROM") + 1
    end = text.find(b"\n", columns)
    return end + 1 if text.startswith(b"#CHROM", columns) and end >= 0 else -1


def _pieces(source: str) -> Iterator[bytes]:
    with _unpacked(source) as file:
        try:
            while piece := file.read(CHUNK):
                yield piece
        except (OSError, zlib.error):
            raise Refused(Reason.FILE_NOT_A_VCF, "The file cannot be unpacked to its end.") from None


def _unpacked(source: str) -> Any:  # pysam has no types
    import pysam

    return pysam.BGZFile(source, "rb", None)


def _chunks(*of: Iterable[bytes]) -> Iterator[bytes]:
    """`of`, one after the other, as pieces of some size that end with a line; the last line ends, too."""
    held: list[bytes] = []
    size = 0
    for piece in (each for some in of for each in some):
        end = piece.rfind(b"\n") + 1
        if size + end >= CHUNK and end:
            yield b"".join((*held, piece[:end]))
            held, size = [], 0
            piece = piece[end:]  # noqa: PLW2901 - what is left of it
        held.append(piece)
        size += len(piece)
        if size > LINE_BYTES + CHUNK:
            raise Refused(Reason.FILE_COSTLY, f"A record is longer than {LINE_BYTES >> 20} MiB.")
    if last := b"".join(held):
        yield last if last.endswith(b"\n") else last + b"\n"


class _Records:
    """Looks at records as they pass, and counts them."""

    def __init__(self, header: VariantHeader, samples: int, search: re.Pattern[bytes] | None) -> None:
        self.count = 0
        self._lengths = {name.encode(): length for name, length in header.contigs.items()}
        self._search = search
        self._done: set[bytes] = set()
        self._contig, self._position = b"", 0
        # Possessive, so that what does not fit is known in linear time.
        genotypes = rb"(?:\t[!-~]++){%d}+" % (samples + 1)
        base = rb"[ACGTUMRWSYKVHDBNacgtumrwsykvhdbn]++"
        quality = rb"(?:\.|[-+0-9.eE]++|[+-]?(?i:inf|nan)[a-z]*+)"
        line = rb"[!-~]++\t[0-9]{1,10}+\t[!-~]++\t%s\t[!-~]++\t%s\t[!-~]++\t[!-~]++%s\n" % (base, quality, genotypes)
        self._lines = re.compile(rb"(?:%s)*+" % line)

    def checked(self, chunk: bytes) -> bytes:
        """`chunk`, whole lines, if nothing is wrong with them. Raises `Refused`."""
        if not self._lines.fullmatch(chunk):
            raise Refused(Reason.FILE_NOT_A_VCF, "A record has not its columns, or a sign that is not printable ASCII.")
        if self._search is not None and self._search.search(chunk):
            raise Refused(Reason.LEAK, "A record holds the name of a sample.")
        for contig, position in _PLACES.findall(chunk):
            self._placed(contig, int(position))
        return chunk

    def _placed(self, contig: bytes, position: int) -> None:
        if contig != self._contig:
            if contig not in self._lengths:
                raise Refused(Reason.FILE_NOT_A_VCF, "A record lies on a contig that the header does not define.")
            if contig in self._done:
                raise Refused(Reason.FILE_NOT_A_VCF, "The records of a contig do not stand together.")
            self._done.add(contig)
            self._contig, self._position = contig, 0
        if position < self._position:
            raise Refused(Reason.FILE_NOT_A_VCF, "The records are not in the order of their positions.")
        length = self._lengths[contig]
        if length is not None and position > length + 1:  # a telomere's breakend may stand behind the last base
            raise Refused(Reason.FILE_BUILD, "A record lies behind the end of its contig.")
        self._position = position
        self.count += 1


_PLACES: Final = re.compile(rb"^([!-~]++)\t([0-9]++)", re.MULTILINE)


def _search(samples: Iterable[str]) -> re.Pattern[bytes] | None:
    """What finds one of the names as a word of its own; null where all are too short to be searched."""
    names = [re.escape(name.encode()) for name in samples if len(name) >= SEARCHED]
    return re.compile(rb"(?<![0-9A-Za-z])(?:%s)(?![0-9A-Za-z])" % b"|".join(names)) if names else None


def main() -> None:
    """Read the task, do it within its limits, and tell what was found."""
    task = Task(**json.load(sys.stdin))
    import pysam  # noqa: F401 - before memory is bounded, so that the bound is for the file

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # of use to nobody once its parent is gone
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (task.address_bytes, task.address_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (task.cpu_seconds, task.cpu_seconds + 5))
    resource.setrlimit(resource.RLIMIT_FSIZE, (task.target_bytes, task.target_bytes))
    try:
        answer: dict[str, Any] = {"records": rewrite(task)}
    except Refused as error:
        answer = {"reason": error.reason.value, "what": error.what}
    except MemoryError:
        answer = {"reason": Reason.FILE_COSTLY.value, "what": "The file takes more memory than it may."}
    except OSError:
        # Of writing: what reading raises is refused above. Else the disk is full, or away.
        if os.fstat(task.target).st_size < task.target_bytes:
            raise
        answer = {"reason": Reason.FILE_COSTLY.value, "what": "The file unpacks to more than it may."}
    print(json.dumps(answer), flush=True)


def encode(task: Task) -> bytes:
    """What the process is given on standard input."""
    return json.dumps(asdict(task)).encode()


if __name__ == "__main__":
    main()
