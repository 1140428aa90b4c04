"""The words of INFO and FORMAT that VCF reserves, with the Number and Type that it gives them. Pure.

A reserved word has one meaning whether a file's header defines it or not ("reserved, albeit optional"); of any other
word the header alone says what it is. From the tables "Reserved INFO keys" and "Reserved genotype keys" and the
sections on structural variants of VCF 4.1 to 4.5 (https://samtools.github.io/hts-specs/): 4.3 is the first to state
numbers and types of the plain ones, and these stand for 4.0 to 4.2 too; 4.4 has changed those of structural variants.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_INFO: Final = """
    AA:1:String AC:A:Integer AD:R:Integer ADF:R:Integer ADR:R:Integer AF:A:Float AN:1:Integer BQ:1:Float
    CIGAR:A:String DB:0:Flag DP:1:Integer END:1:Integer H2:0:Flag H3:0:Flag MQ:1:Float MQ0:1:Integer NS:1:Integer
    SB:4:Integer SOMATIC:0:Flag VALIDATED:0:Flag 1000G:0:Flag IMPRECISE:0:Flag NOVEL:0:Flag SVTYPE:1:String
"""
_INFO_TO_4_3: Final = """
    SVLEN:.:Integer CIPOS:2:Integer CIEND:2:Integer HOMLEN:.:Integer HOMSEQ:.:String BKPTID:.:String MEINFO:4:String
    METRANS:4:String DGVID:1:String DBVARID:1:String DBRIPID:1:String MATEID:.:String PARID:1:String EVENT:1:String
    CILEN:2:Integer DPADJ:.:Integer CN:1:Integer CNADJ:.:Integer CICN:2:Integer CICNADJ:.:Integer
"""
_INFO_SINCE_4_4: Final = """
    SVLEN:A:Integer CIPOS:.:Integer CIEND:.:Integer HOMLEN:A:Integer HOMSEQ:A:String BKPTID:A:String MEINFO:.:String
    METRANS:.:String DGVID:A:String DBVARID:A:String DBRIPID:A:String MATEID:A:String PARID:A:String EVENT:A:String
    EVENTTYPE:A:String CILEN:.:Integer CN:A:Float CICN:.:Float SVCLAIM:A:String RN:A:Integer RUS:.:String
    RUL:.:Integer RUC:.:Float RB:.:Integer CIRUC:.:Float CIRB:.:Integer RUB:.:Integer
"""
_FORMAT: Final = """
    AD:R:Integer ADF:R:Integer ADR:R:Integer DP:1:Integer EC:A:Integer FT:1:String GL:G:Float GP:G:Float GQ:1:Integer
    GT:1:String HQ:2:Integer MQ:1:Integer PL:G:Integer PP:G:Integer PQ:1:Integer PS:1:Integer CNQ:1:Float
    NQ:1:Integer HAP:1:Integer AHAP:1:Integer
"""
_FORMAT_TO_4_2: Final = "GLE:.:String CN:1:Integer CNL:.:Float"
_FORMAT_OF_4_3: Final = "CN:1:Integer CNL:G:Float CNP:G:Float"
_FORMAT_SINCE_4_4: Final = """
    CN:1:Float CICN:2:Float CNL:G:Float CNP:G:Float PSL:P:String PSO:P:Integer PSQ:P:Integer
"""
_FORMAT_SINCE_4_5: Final = """
    LEN:1:Integer LAA:.:Integer LAD:LR:Integer LADF:LR:Integer LADR:LR:Integer LEC:LA:Integer LGL:LG:Integer
    LGP:LG:Integer LPL:LG:Integer LPP:LG:Integer
"""
_MODIFIED_BASE: Final = re.compile(r"(M|DPM|ADM)(?:[0-9]+[ACGTUN]|5mC|5hmC|5fC|5caC|5hmU|5fU|5caU|6mA|8oxoG|XaoN)")
"""Of 4.5: how much of a base is modified in the way that a number of ChEBI, or its alias, names."""


def _words(*tables: str) -> dict[str, tuple[str, str]]:
    parted = (each.split(":") for table in tables for each in table.split())
    return {name: (number, kind) for name, number, kind in parted}


_BY_MINOR: Final[Mapping[int, Mapping[str, Mapping[str, tuple[str, str]]]]] = {
    2: {"INFO": _words(_INFO, _INFO_TO_4_3), "FORMAT": _words(_FORMAT, _FORMAT_TO_4_2)},
    3: {"INFO": _words(_INFO, _INFO_TO_4_3), "FORMAT": _words(_FORMAT, _FORMAT_OF_4_3)},
    4: {"INFO": _words(_INFO, _INFO_SINCE_4_4), "FORMAT": _words(_FORMAT, _FORMAT_SINCE_4_4)},
    5: {"INFO": _words(_INFO, _INFO_SINCE_4_4), "FORMAT": _words(_FORMAT, _FORMAT_SINCE_4_4, _FORMAT_SINCE_4_5)},
}


def reserved(file_format: str, kind: str, word: str) -> tuple[str, str] | None:
    """Number and Type of `word` of a `kind` (INFO, FORMAT) as `file_format` ("VCFv4.2") has it; null: not reserved."""
    minor = max(2, int(file_format.rpartition(".")[2]))
    if found := _BY_MINOR[minor].get(kind, {}).get(word):
        return found
    if minor >= 5 and kind == "FORMAT" and (modified := _MODIFIED_BASE.fullmatch(word)):
        return "M", "Float" if modified[1] == "M" else "Integer"
    return None
