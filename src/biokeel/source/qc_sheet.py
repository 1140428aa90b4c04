"""The sheet that `--reports` names: what reports of a genome do not say themselves, a line a file.

```csv
file,sample,pipeline,run,reference_build,alignment,occurred_at
S1/picard.wgs.txt,KB0001,nf-core-sarek 3.4,2026-03-01-a,GRCh38,,2026-03-01T10:00:00+09:00
S1/S1.mosdepth.summary.txt,KB0001,nf-core-sarek 3.4,2026-03-01-a,GRCh38,,2026-03-01
```

Only `file` is wanted; its path is relative to the sheet's folder. An empty cell states nothing.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import tzinfo
from pathlib import Path
from typing import Final

from biokeel.errors import SourceError
from biokeel.source.adapters.envelope import open_text
from biokeel.source.adapters.stated import Stated
from biokeel.source.times import Moment, moment

COLUMNS: Final = ("file", "sample", "pipeline", "run", "reference_build", "alignment", "occurred_at")


def load_sheet(path: Path, zone: tzinfo | None, at: Moment | None = None) -> Mapping[Path, Stated]:
    """What the sheet at `path` states of each file, by its resolved path; `at` where a line states no time.

    A time without an offset is taken in `zone`. Raises `SourceError` with the line: an unknown column, a file that is
    named twice or is not there, a time that is none.
    """
    try:
        with open_text(path) as file:
            reader = csv.DictReader(file)
            names = reader.fieldnames or []
            if "file" not in names or not set(names) <= set(COLUMNS):
                raise SourceError(f"{path.name} is no sheet of reports.", f"Its columns are {', '.join(COLUMNS)}.")
            rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"Cannot read {path.name} as CSV: {type(error).__name__}.") from None
    sheet: dict[Path, Stated] = {}
    for line, row in rows:
        if None in row or None in row.values():
            raise SourceError(f"{path.name}, line {line}: more or fewer cells than columns.")
        cells = {name: cell.strip() or None for name, cell in row.items()}
        report = (path.parent / (cells["file"] or "")).resolve()
        if not report.is_file():
            raise SourceError(f"{path.name}, line {line}: there is no such file.")
        if report in sheet:
            raise SourceError(f"{path.name}, line {line}: the file is named before.")
        stated = moment(cells.get("occurred_at"), zone)
        if cells.get("occurred_at") and stated is None:
            raise SourceError(f"{path.name}, line {line}: occurred_at is no ISO 8601 date or time.")
        texts = {name: cells.get(name) for name in COLUMNS[1:-1]}
        sheet[report] = Stated(**texts, at=stated or at)
    return sheet
