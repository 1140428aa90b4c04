"""The sheet that says of reports what they do not say themselves."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from biokeel.errors import SourceError
from biokeel.source.adapters.stated import Stated
from biokeel.source.files import Source
from biokeel.source.qc_sheet import load_sheet
from biokeel.source.times import moment

SEOUL = ZoneInfo("Asia/Seoul")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "S1").mkdir()
    for name in ("a.txt", "S1/b.txt"):
        (tmp_path / name).write_text("x")
    return tmp_path


def test_each_line_says_its_file_and_an_empty_cell_says_nothing(folder: Path) -> None:
    sheet = folder / "sheet.csv"
    sheet.write_text("file,sample,run,occurred_at\nS1/b.txt,KB1,r1,2026-03-01T10:00\na.txt,KB2,,\n")
    other = moment("2026-02-02", SEOUL)
    stated = load_sheet(sheet, SEOUL, other)
    assert stated == {
        folder / "S1" / "b.txt": Stated("KB1", run="r1", at=moment("2026-03-01T10:00+09:00", None)),
        folder / "a.txt": Stated("KB2", at=other),
    }
    source = Source("centre", b"", reports=stated, stated=Stated(at=other))
    assert source.context(folder / "S1" / ".." / "a.txt", None).stated.sample == "KB2"
    assert source.context(sheet, None).stated == Stated(at=other)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("sample\nKB1\n", "no sheet of reports"),
        ("file,samples\na.txt,KB1\n", "no sheet of reports"),
        ("file,sample\na.txt\n", "line 2: more or fewer"),
        ("file,sample\na.txt,KB1,x\n", "line 2: more or fewer"),
        ("file,sample\na.txt,KB1\nS1/../a.txt,KB2\n", "line 3: the file is named before"),
        ("file,sample\nz.txt,KB1\n", "line 2: there is no such file"),
        ("file,occurred_at\na.txt,yesterday\n", "line 2: occurred_at"),
    ],
)
def test_a_sheet_that_cannot_be_meant_is_refused_with_its_line(folder: Path, text: str, what: str) -> None:
    (folder / "sheet.csv").write_text(text)
    with pytest.raises(SourceError, match=what) as refusal:
        load_sheet(folder / "sheet.csv", None)
    assert "KB1" not in str(refusal.value)


def test_what_is_stated_is_never_printed() -> None:
    assert "KB1" not in repr(Stated("KB1"))
