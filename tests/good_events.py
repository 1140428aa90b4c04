"""A good event of any event type, whoever added it: its suite's samples begin with one."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

from biokeel.contracts.schema import EventSchema
from biokeel.settings import PROJECT_ROOT
from biokeel.validate.samples import samples_path


def sample_event(schema: EventSchema, expectations: Path = PROJECT_ROOT / "expectations") -> dict[str, Any]:
    """The defaults of the samples of `schema`'s suite, as a row of a raw frame; what they do not name is null."""
    document = json.loads(samples_path(expectations, schema.event).read_text(encoding="utf-8"))
    said = {**document["defaults"], "event_id": "0" * 32, "subject_scheme": "hospital/demo", "subject_id": "P-000001"}
    row = {field.name: said.get(field.name) for field in schema.fields}
    return {
        name: dt.datetime.fromisoformat(row[name]) if name.endswith("_at") and row[name] else row[name] for name in row
    }
