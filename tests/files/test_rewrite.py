"""A genome file is written anew without what identifies anybody, or refused by name; the process may take so much."""

from __future__ import annotations

import gzip
import random
import re
import subprocess
import sys
from pathlib import Path

import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biokeel.files import child
from biokeel.files.child import Answer, Claimed, run
from biokeel.reasons import Reason
from tests.variant_files import DEFINED, TOOLS, contigs, record, vcf, write

ID = "7Z0Q3K9M2PXAB4"
KB1 = Claimed("vcf.gz", "GRCh38", ("KB-12345",))
NAMES = ("KB-12345",)


def rewritten(path: Path, claimed: Claimed = KB1, names: tuple[str, ...] = (ID,)) -> tuple[Answer, bytes]:
    target = path.with_name("target")
    with path.open("rb") as source, target.open("w+b") as into:
        answer = run(source, into, path.stat().st_size, claimed, names)
        into.seek(0)
        return answer, into.read()


def refused(path: Path, claimed: Claimed = KB1) -> Reason | None:
    return rewritten(path, claimed)[0].reason


def test_a_good_file_has_the_participant_in_place_of_the_sample_and_its_records_byte_for_byte(tmp_path: Path) -> None:
    text = vcf(NAMES)
    answer, made = rewritten(write(tmp_path / "a.vcf.gz", text))
    assert answer == Answer(None, records=3)
    read = gzip.decompress(made).decode()
    assert read.split("\n#CHROM")[1].split("\n")[1:] == text.split("\n#CHROM")[1].split("\n")[1:]
    assert read.split("\n#CHROM")[1].split("\n")[0].endswith(f"\tFORMAT\t{ID}")
    assert not re.search("KB-|kim|HONG|Hong|lab-7|Seoul|2024", read)
    assert made[:4] == b"\x1f\x8b\x08\x04", "BGZF, which can be indexed"
    target = tmp_path / "made.vcf.gz"
    target.write_bytes(made)
    with pysam.VariantFile(str(target)) as file:
        assert [each.samples[ID]["GT"] for each in file] == [(0, 1)] * 3
    pysam.tabix_index(str(target), preset="vcf")


def test_the_same_file_gives_the_same_bytes_however_it_was_packed(tmp_path: Path) -> None:
    text = vcf(NAMES)
    _, first = rewritten(write(tmp_path / "a.vcf.gz", text))
    for name, kind in (("a.vcf.gz", "vcf.gz"), ("b.vcf", "vcf"), ("c.vcf.gzip", "vcf.gz")):
        answer, again = rewritten(write(tmp_path / name, text), Claimed(kind, "GRCh38", NAMES))
        assert (answer.reason, again) == (None, first)


def test_a_bcf_becomes_a_vcf(tmp_path: Path) -> None:
    path, bcf = str(write(tmp_path / "a.vcf", vcf(NAMES))), tmp_path / "a.bcf"
    with pysam.VariantFile(path) as read, pysam.VariantFile(str(bcf), "wb", header=read.header) as written:
        for each in read:
            written.write(each)
    answer, made = rewritten(bcf, Claimed("bcf", "GRCh38", NAMES))
    assert answer == Answer(None, records=3)
    assert record(position=10_000) + "\n" in gzip.decompress(made).decode()
    assert refused(bcf, KB1) is Reason.FILE_FORMAT


def test_several_samples_of_one_person_are_told_apart(tmp_path: Path) -> None:
    claimed = Claimed("vcf.gz", "GRCh38", ("KB-12346", "KB-12345"))
    path = write(tmp_path / "a.vcf.gz", vcf(("KB-12345", "KB-12346")))
    answer, made = rewritten(path, claimed, (f"{ID}-1", f"{ID}-2"))
    assert answer.reason is None
    assert f"\tFORMAT\t{ID}-1\t{ID}-2\n".encode() in gzip.decompress(made)


def test_a_file_without_a_record_is_a_file(tmp_path: Path) -> None:
    assert rewritten(write(tmp_path / "a.vcf.gz", vcf(NAMES, records=())))[0] == Answer(None, records=0)


R = record(position=10_000)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (vcf(("KB-99999",)), Reason.FILE_SAMPLES),
        (vcf(("KB-12345", "KB-99999")), Reason.FILE_SAMPLES),
        (vcf(()), Reason.FILE_SAMPLES),
        (vcf(NAMES, build="GRCh37"), Reason.FILE_BUILD),
        (vcf(NAMES).replace("\n".join(contigs()), "##contig=<ID=chr1>"), Reason.FILE_BUILD),
        (vcf(NAMES, records=[R.replace("10000", "248956424")]), Reason.FILE_BUILD),
        (vcf(NAMES, header=(*DEFINED, '##ALT=<ID=NON_REF,Description="">')), Reason.FILE_FORMAT),
        (vcf(NAMES, records=[R.replace("chr1", "chrQ")]), Reason.FILE_NOT_A_VCF),
        (vcf(NAMES, records=[R.replace("DP=", "XX=")]), Reason.FILE_NOT_A_VCF),
        (vcf(NAMES, records=[R.replace("PASS", "Odd")]), Reason.FILE_NOT_A_VCF),
        (vcf(NAMES, records=[R.replace("GT:AD", "GT:XY")]), Reason.FILE_NOT_A_VCF),
        (vcf(NAMES, records=[R.replace("\tA\t", "\tA1\t")]), Reason.FILE_NOT_A_VCF),
        (vcf(NAMES, records=[R.replace("rs1", "김민수")]), Reason.FILE_NOT_A_VCF),
        (vcf(NAMES, records=[R.replace("rs1", "two words")]), Reason.FILE_NOT_A_VCF),
        (vcf(NAMES, records=[R + "\t0/0:1,2"]), Reason.FILE_NOT_A_VCF),
        (vcf(NAMES, records=[R.rpartition("\t")[0]]), Reason.FILE_NOT_A_VCF),
        (vcf(NAMES, records=[R.replace("\t50\t", "\tgood\t")]), Reason.FILE_NOT_A_VCF),
        (vcf(NAMES, records=["nothing"]), Reason.FILE_NOT_A_VCF),
        (vcf(NAMES, records=[R, "", R]), Reason.FILE_NOT_A_VCF),
        (vcf(NAMES, records=[R, "##source=late"]), Reason.FILE_NOT_A_VCF),
        (vcf(NAMES, records=[R.replace("10000", "20000"), R]), Reason.FILE_NOT_A_VCF),
        (vcf(NAMES, records=[R, R.replace("chr1", "chr2"), R]), Reason.FILE_NOT_A_VCF),
        (vcf(NAMES, records=[R.replace("rs1", "KB-12345")]), Reason.LEAK),
        (vcf(NAMES, records=[R.replace("DP=21", "DP=21;AC_KB-12345=1")]), Reason.FILE_NOT_A_VCF),
        (vcf(NAMES, header=(*DEFINED, '##ALT=<ID=X,Description="as KB-12345 has it">')), Reason.LEAK),
        (
            vcf(NAMES, header=(*DEFINED, DEFINED[1].replace("Integer", "Int").replace("DP", "XX"))),
            Reason.FILE_NOT_A_VCF,
        ),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused_by_name(tmp_path: Path, text: str, reason: Reason) -> None:
    answer, _ = rewritten(write(tmp_path / "a.vcf.gz", text))
    assert answer.reason is reason
    assert not re.search("KB-|chrQ|김|two words", answer.what)


def test_a_name_within_a_longer_word_is_no_name(tmp_path: Path) -> None:
    assert refused(write(tmp_path / "a.vcf.gz", vcf(NAMES, records=[R.replace("rs1", "xKB-123456")]))) is None


@pytest.mark.parametrize("kind", ["vcf.gz", "vcf"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\x1f\x8b",
        b"\x1f\x8b\x08\x04" + b"\0" * 60,
        bytes(range(256)) * 400,
        random.Random(5).randbytes(200_000),
        b"##fileformat=VCFv4.2\n",
        b"BCF\x02\x02" + b"\xff" * 4,
        b"BCF\x02\x02\x05\0\0\0##fi\0" + b"\xff" * 500,
        b"\x89PNG\r\n\x1a\n",
        gzip.compress(b"%PDF-1.7"),
        gzip.compress(random.Random(6).randbytes(100_000)),
    ],
)
def test_garbage_is_refused(tmp_path: Path, data: bytes, kind: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(data)
    assert refused(path, Claimed(kind, "GRCh38", NAMES)) in {Reason.FILE_NOT_A_VCF, Reason.FILE_FORMAT}


def long(count: int = 40_000) -> str:
    draw = random.Random(3)
    places = (f"chr1\t{10_000 + n}\trs{draw.randrange(1 << 30)}" for n in range(count))
    return vcf(NAMES, records=[f"{place}\tA\tAC,G\t50\tPASS\tDP=21;AC=1,0\tGT:AD\t0/1:12,9,0" for place in places])


@pytest.mark.parametrize("name", ["a.vcf.gz", "a.vcf.gzip"])
@pytest.mark.parametrize("part", [0.01, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, name: str, part: float) -> None:
    path = write(tmp_path / name, long())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    assert refused(path) is Reason.FILE_NOT_A_VCF


def test_a_file_that_is_cut_off_at_the_end_of_a_block_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.vcf.gz", long())
    path.write_bytes(path.read_bytes()[:-28])
    assert refused(path) is Reason.FILE_NOT_A_VCF


@pytest.mark.parametrize("seed", range(12))
def test_a_file_with_changed_bytes_is_refused_or_as_good_as_it_says(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    path = write(tmp_path / ("a.vcf.gz" if seed % 2 else "a.vcf"), long(2_000))
    data = bytearray(path.read_bytes())
    for _ in range(draw.randrange(1, 20)):
        data[draw.randrange(len(data))] = draw.randrange(256)
    path.write_bytes(data)
    answer, made = rewritten(path, Claimed("vcf.gz" if seed % 2 else "vcf", "GRCh38", NAMES))
    if answer.reason is None:
        assert b"KB-12345" not in gzip.decompress(made)


@given(st.binary(max_size=2_000), st.sampled_from([b"", b"##fileformat=VCFv4.2\n", vcf(NAMES).encode()]))
@settings(max_examples=10)
def test_whatever_follows_the_process_answers(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, start: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "a"
    path.write_bytes(start + data)
    answer, _ = rewritten(path, Claimed("vcf", "GRCh38", NAMES))
    assert answer.reason is not None or not data


def test_a_bomb_is_refused_for_what_it_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.vcf.gz"
    line = (R + "\n").encode() * 50_000
    with pysam.BGZFile(str(path), "w") as file:
        file.write(vcf(NAMES, records=()).encode())
        for _ in range(120):
            file.write(line)
    assert path.stat().st_size < 8 << 20
    monkeypatch.setattr(child, "LEAST_SECONDS", 1)
    monkeypatch.setattr(child, "SECONDS_A_MEBIBYTE", 0)
    assert refused(path) is Reason.FILE_COSTLY


def test_a_record_or_a_header_that_fills_the_memory_is_refused(tmp_path: Path) -> None:
    for name, start in (
        ("line", vcf(NAMES, records=()).encode() + b"chr1\t5\t"),
        ("header", b"##fileformat=VCFv4.2\n##x="),
    ):
        path = tmp_path / f"{name}.vcf.gz"
        with pysam.BGZFile(str(path), "w") as file:
            file.write(start)
            for _ in range(700):
                file.write(b"A" * (1 << 20))
        assert refused(path) in {Reason.FILE_NOT_A_VCF, Reason.FILE_COSTLY}


def test_what_writes_more_than_it_may_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.vcf.gz", long())
    real = child.Task

    def small(**given: object) -> child.Task:
        return real(**given | {"target_bytes": 1 << 16})  # type: ignore[arg-type]

    monkeypatch.setattr(child, "Task", small)
    assert refused(path) is Reason.FILE_COSTLY


MEASURED = """
import resource, sys
from biokeel.files.child import Claimed, run
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "w+b") as target:
    answer = run(source, target, 1 << 20, Claimed("vcf.gz", "GRCh38", ("KB-12345",)), ("P",))
print(answer.records, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
"""


def test_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "a.vcf.gz", long(400_000))
    command = [sys.executable, "-c", MEASURED, str(path), str(tmp_path / "target")]
    records, mebibytes = map(int, subprocess.run(command, capture_output=True, check=True).stdout.split())
    assert records == 400_000
    assert mebibytes < 120


NOT_LOOKED_AT = {f"failed_body_{each}.vcf" for each in ("samples_ploidy_000", "samples_ploidy_003", "sample_009")}
"""How many values PL has for a ploidy; a Character of several signs."""


@pytest.mark.parametrize("verdict", ["passed", "failed"])
def test_files_that_break_one_rule_each_are_answered_and_none_of_the_bad_goes_on(
    tmp_path: Path, shared_data: Path, verdict: str
) -> None:
    """With contigs of the programme put in, without which all would be refused: few rules of VCF are not looked at."""
    taken = []
    for path in sorted((shared_data / "genome/vcf-validator").rglob(f"{verdict}/*.vcf"))[::6]:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        first, _, rest = text.partition("\n")
        lines = [line for line in rest.split("\n") if not line.startswith("##contig")]
        samples = next((line.split("\t")[9:] for line in lines if line.startswith("#CHROM")), [])
        mended = "\n".join([first, *contigs(prefix=""), *lines])
        made = tmp_path / "a.vcf"
        made.write_text(mended, encoding="utf-8", errors="surrogateescape")
        answer, _ = rewritten(
            made, Claimed("vcf", "GRCh38", tuple(samples)), tuple(f"P{n}" for n in range(len(samples)))
        )
        if answer.reason is None:
            taken.append(path.name)
    if verdict == "passed":
        assert taken
    else:
        assert set(taken) <= NOT_LOOKED_AT


def test_the_tools_lines_are_in_the_test_file() -> None:
    assert all(line in vcf(NAMES) for line in TOOLS)


def words(text: str, info: str, form: str = "GT:AD", values: str = "0/1:12,9") -> str:
    return text.replace("DP=21;AC=1,0\tGT:AD\t0/1:12,9", f"{info}\t{form}\t{values}")


@pytest.mark.parametrize(
    ("version", "info", "line"),
    [
        ("4.2", "NS=1", "##INFO=<ID=NS,Number=1,Type=Integer"),
        ("4.0", "DB;1000G", "##INFO=<ID=1000G,Number=0,Type=Flag"),
        ("4.2", "SVTYPE=DEL;SVLEN=-3,4", "##INFO=<ID=SVLEN,Number=.,Type=Integer"),
        ("4.4", "SVTYPE=DEL;SVLEN=3,4", "##INFO=<ID=SVLEN,Number=A,Type=Integer"),
    ],
)
def test_a_reserved_word_without_a_line_gets_the_one_of_its_version(
    tmp_path: Path, version: str, info: str, line: str
) -> None:
    text = words(vcf(NAMES, records=[R]), info, "GT:AD:GQ", "0/1:12,9:30").replace("VCFv4.2", f"VCFv{version}")
    answer, made = rewritten(write(tmp_path / "a.vcf.gz", text))
    assert answer == Answer(None, records=1)
    read = gzip.decompress(made).decode()
    assert f'{line},Description="As VCFv{version} reserves it">\n' in read
    assert "##FORMAT=<ID=GQ,Number=1,Type=Integer," in read
    assert read.split("\n#CHROM")[1].split("\n")[1:] == text.split("\n#CHROM")[1].split("\n")[1:]


def test_what_a_reserved_word_cannot_be_is_refused_with_and_without_its_line(tmp_path: Path) -> None:
    text = words(vcf(NAMES, records=[R]), "DP=21", "GT:GQ", "0/1:high")
    line = '##FORMAT=<ID=GQ,Number=1,Type=Integer,Description="">'
    for each in (text, text.replace("#CHROM", f"{line}\n#CHROM")):
        assert refused(write(tmp_path / "a.vcf.gz", each)) is Reason.FILE_NOT_A_VCF


def test_words_that_nobody_defines_are_named_but_not_what_may_be_a_name_or_a_number(tmp_path: Path) -> None:
    text = words(vcf(NAMES, records=[R]), "NS=1;OXO=1;XYZ_1.2=4;KB-12345=1;P01012345678", "GT:QQ", "0/1:1")
    answer, _ = rewritten(write(tmp_path / "a.vcf.gz", text))
    assert answer.reason is Reason.FILE_NOT_A_VCF
    told = "No line of the header defines what records use: INFO OXO, XYZ_1.2, 2 more; FORMAT QQ."
    assert answer.what == told
