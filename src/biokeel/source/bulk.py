"""Receipts in the form that hospital software is learning to read: the status manifest of HL7's Bulk Data.

The manifest is that of the Bulk Data Access IG (v2, "Response - Complete Status"): `transactionTime`, `request`,
`requiresAccessToken`, `output`, `error`; what came to which end is counted in `extension`, where the IG has room for
what it does not know. Each event that was rejected is one FHIR R4 OperationOutcome, a line of NDJSON, which says where
the event stands and why; never a value.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from biokeel.contracts.receipts import Outcome, Receipt
from biokeel.contracts.topics import event_type
from biokeel.errors import SourceError
from biokeel.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ERRORS: Final = "errors.ndjson"
MANIFEST: Final = "manifest.json"
REJECTED: Final = frozenset({Outcome.SEALED, Outcome.QUARANTINED})
_CODES: Final = {Outcome.SEALED: "invalid", Outcome.QUARANTINED: "business-rule"}
"""By outcome the code of the issue, of FHIR's IssueType."""


def write_manifest(folder: Path, source: str, receipts: Iterable[Receipt], now: dt.datetime) -> dict[str, int]:
    """Write `manifest.json` and `errors.ndjson` into `folder` and return how many events came to which end.

    Of each event the newest receipt counts. Raises `SourceError` where the folder cannot be written.
    """
    newest: dict[tuple[str, int, int], Receipt] = {}
    for receipt in receipts:
        for first, last in receipt.offsets:
            newest |= dict.fromkeys(((receipt.event, receipt.partition, at) for at in range(first, last + 1)), receipt)
    counts = Counter(str(receipt.outcome) for receipt in newest.values())
    errors = list(_outcomes(source, newest))
    manifest = {
        "transactionTime": now.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "request": f"biokeel receipts --source {source}",
        "requiresAccessToken": False,
        "output": [],
        "error": [{"type": "OperationOutcome", "url": ERRORS, "count": len(errors)}] if errors else [],
        "extension": {"outcomes": dict(sorted(counts.items()))},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ERRORS).write_bytes(b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in errors))
        (folder / MANIFEST).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
    except OSError as error:
        raise SourceError(f"Cannot write to {folder}: {error.strerror or type(error).__name__}.") from None
    return dict(counts)


def _outcomes(source: str, newest: dict[tuple[str, int, int], Receipt]) -> Iterator[dict[str, Any]]:
    for (event, partition, offset), receipt in sorted(newest.items(), key=lambda item: item[0]):
        if receipt.outcome not in REJECTED:
            continue
        known = receipt.reason in set(Reason)
        why = f"{receipt.reason} by {', '.join(receipt.rules)}" if receipt.rules else receipt.reason
        yield {
            "resourceType": "OperationOutcome",
            "issue": [
                {
                    "severity": "error",
                    "code": _CODES[receipt.outcome],
                    "details": {"text": Reason(receipt.reason).meaning if known else receipt.reason},
                    "diagnostics": f"{event_type(event).raw_topic(source)}/{partition}@{offset}: {why}",
                    **({"expression": list(receipt.fields)} if receipt.fields else {}),
                }
            ],
        }
