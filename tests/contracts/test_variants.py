"""What a variant file's header says, and what of it goes on."""

from __future__ import annotations

import io
import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.contracts.variants import BUILDS, HEADER_BYTES, read_header, read_start
from biokeel.errors import NotAVariantFile
from tests.variant_files import DEFINED, TOOLS, contigs, vcf


def header(*lines: str, samples: tuple[str, ...] = ("KB-1",)):
    return read_header(vcf(samples, header=lines).split("\n"))


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("prefix", ["", "chr"])
def test_the_build_is_what_the_lengths_of_chromosomes_show(build: str, prefix: str) -> None:
    assert read_header(vcf(build=build, prefix=prefix).splitlines()).build() == build


def test_a_file_of_one_chromosome_shows_its_build() -> None:
    text = vcf(header=(), records=()).splitlines()
    assert read_header([*text[:1], contigs("GRCh37")[21], text[-1]]).build() == "GRCh37"


def test_lengths_of_two_builds_or_none_show_none() -> None:
    text = vcf(header=(), records=()).splitlines()
    assert read_header([*text[:1], contigs("GRCh37")[0], contigs("GRCh38")[1], text[-1]]).build() is None
    assert read_header([*text[:1], "##contig=<ID=chr1>", text[-1]]).build() is None
    assert read_header([*text[:1], "##contig=<ID=chr1,length=5>", text[-1]]).build() is None


def test_lines_that_name_people_paths_and_machines_are_left_out_and_definitions_stay() -> None:
    found = read_header(vcf().splitlines())
    written = found.rewritten("GRCh38", ("7Z0Q3K9M2PXAB4",))
    assert not re.search("kim|HONG|KB-|Hong|2024|lab-7|/opt", written, re.IGNORECASE)
    assert [line for line in written.splitlines() if line.startswith("##INFO")] == [
        '##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">',
        '##INFO=<ID=AC,Number=A,Type=Integer,Description="Count in genotypes">',
    ]
    assert "##reference=GRCh38" in written
    assert written.endswith("\tFORMAT\t7Z0Q3K9M2PXAB4\n")


def test_what_was_rewritten_is_rewritten_the_same_again() -> None:
    once = read_header(vcf().splitlines()).rewritten("GRCh38", ("A",))
    assert read_header(once.splitlines()).rewritten("GRCh38", ("A",)) == once


@pytest.mark.parametrize(
    "told",
    [
        "from /data/kim/x.vcf.gz",
        "column 8 of ~/x.vcf",
        "../kim/x",
        r"C:\kim\x",
        r"\\server\share",
        "see https://lab.example",
        "kim@lab",
        "call 010-1234-5678",
        "9001011234567",
        "김민수의 표본",
        'a \\"quoted\\" word',
        "(/data/kim)",
    ],
)
def test_a_description_that_tells_of_people_or_machines_is_left_empty(told: str) -> None:
    found = header(f'##INFO=<ID=X,Number=1,Type=String,Description="{told}">')
    assert '##INFO=<ID=X,Number=1,Type=String,Description="">' in found.rewritten("GRCh38", ())


@pytest.mark.parametrize(
    "told",
    [
        "Consequence annotations from Ensembl VEP. Format: Allele|Consequence|SIFT|PolyPhen",
        "Phred-scaled p-value (Fisher's exact test); 1000G",
        "SIFT/PolyPhen prediction, 0.5",
        "",
    ],
)
def test_any_other_description_stays_as_it_is(told: str) -> None:
    assert f'Description="{told}">' in header(f'##ALT=<ID=DEL,Description="{told}">').rewritten("GRCh38", ())


@pytest.mark.parametrize(
    "line",
    [
        '##INFO=<ID=X,Number=1,Type=Int,Description="">',
        '##INFO=<ID=X,Number=one,Type=Integer,Description="">',
        '##INFO=<ID=9x*,Number=1,Type=Integer,Description="">',
        '##INFO=<Number=1,Type=Integer,Description="">',
        "##INFO=<ID=X,Number=1,Type=Integer>",
        '##INFO=<ID=X,Number=1,Type=Integer,Description="open>',
        "##INFO=ID",
        "##FORMAT=<>",
        "##contig=<ID=chr 1>",
        "##contig=<ID=c,length=-1>",
        '##FILTER=<ID=a;\tb,Description="">',
        DEFINED[0].replace("Low quality", "Bad"),
    ],
)
def test_a_definition_without_its_form_or_given_in_two_ways_is_refused_without_its_value(line: str) -> None:
    with pytest.raises(NotAVariantFile) as error:
        header(DEFINED[0], line)
    assert not re.search("open|9x|chr 1|LowQual|Bad", str(error.value))


def test_a_definition_that_stands_twice_counts_once() -> None:
    assert header(*DEFINED, DEFINED[0]) == header(*DEFINED)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["MSH|^~\\&|LAB"],
        ["##fileformat=VCFv3.3"],
        ["##fileformat=VCFv4.2"],
        ["##fileformat=VCFv4.2", "#CHROM POS ID REF ALT QUAL FILTER INFO"],
        ["##fileformat=VCFv4.2", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tA\tA"],
        ["##fileformat=VCFv4.2", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t "],
        ["##fileformat=VCFv4.2", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tA\tB"],
    ],
)
def test_what_is_no_header_is_refused(lines: list[str]) -> None:
    with pytest.raises(NotAVariantFile):
        read_header(lines)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_header_or_refused(data: bytes) -> None:
    for start in (b"", b"##fileformat=VCFv4.2\n", b"BCF\x02\x02\xff\x00\x00\x00##fileformat=VCFv4.2\n"):
        with suppress(NotAVariantFile):
            read_start(io.BytesIO(start + data))


@given(st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=60))
def test_no_line_of_another_kind_and_no_part_of_another_name_goes_on(told: str) -> None:
    marked = f"<{told}>secret-7781"
    lines = (f"##{marked}", f"##source={marked}", f'##SAMPLE=<ID=A,D="{marked}">')
    found = header(*lines, "##contig=<ID=chrU,length=5,URL=secret-7781,assembly=secret-7781>")
    assert "secret-7781" not in found.rewritten("GRCh38", ("P",))


def test_a_header_takes_no_more_memory_than_it_may_have() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1) -> bytes:
            return self.readline(size)

        def readline(self, size: int | None = -1) -> bytes:
            assert size is not None
            assert size >= 0
            assert size <= HEADER_BYTES
            given = b"##fileformat=VCFv4.2\n"[self.given : self.given + size] or b"#" * min(size, 1 << 20)
            self.given += len(given)
            return given

    with pytest.raises(NotAVariantFile, match="longer than 16 MiB"):
        read_start(Endless())  # type: ignore[arg-type]
    with pytest.raises(NotAVariantFile, match="longer than 16 MiB"):
        read_start(io.BytesIO(b"BCF\x02\x02\xff\xff\xff\xff"))


def test_tools_of_the_test_file_are_really_left_out() -> None:
    """Else the tests above could not fail."""
    assert all(line in vcf() for line in TOOLS)
