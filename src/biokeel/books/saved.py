"""The books as bytes, and as objects in the lake: `state/books/<number>.arrow`, the last two kept.

Of two followers that go on from one number only the first one's are saved (`biokeel.land.numbered`).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import orjson
import pyarrow as pa

from biokeel.books.intervals import Bag, Intervals
from biokeel.books.places import Label, Place, Teller
from biokeel.books.state import Part, PartState, Position, State
from biokeel.land.numbered import Numbered

if TYPE_CHECKING:
    from biokeel.land.objects import Objects

FORMAT: Final = 2
PREFIX: Final = "state/books/"
SUFFIX: Final = ".arrow"
_LABELS: Final = ("teller", "place", "stream", "reason", "rules", "suite", "withheld", "operation")
_WORDS: Final = ("source", "event", *_LABELS)
_NUMBERS: Final = ("partition", "layer")
_SCHEMA: Final = pa.schema(
    dict.fromkeys(_WORDS, pa.string()) | dict.fromkeys(_NUMBERS, pa.int32()) | {"offsets": pa.large_binary()}
)
_TOLD: Final = dict.fromkeys(_LABELS, "") | {"teller": "told"}


@dataclass(slots=True)
class Saved:
    """What one object holds: the state, and what else must be as old as it.

    `at` is when it was so (seconds since 1970). `sent` is the number of the last receipt of each source; `outbox` the
    receipts (source, record) that this state gave, and that may not be in Kafka yet: whoever goes on from here sends
    them first. `history` is the alarms' own.
    """

    state: State = field(default_factory=State)
    at: float = 0.0
    sent: dict[str, int] = field(default_factory=dict)
    outbox: list[tuple[str, bytes]] = field(default_factory=list)
    history: dict[str, Any] = field(default_factory=dict)


Rows = list[dict[str, object]]
Written = dict[Part, tuple[PartState, int, Rows]]
"""The rows of partitions as they were written last, of a state and as of so many of its changes."""


def to_bytes(saved: Saved, written: Written | None = None) -> bytes:
    """`saved` as one Arrow stream, its columns compressed; what is `written` and did not change is taken from there."""
    before = {} if written is None else written
    rows: Rows = []
    for part, books in saved.state.parts.items():
        known = before.get(part)
        if known is None or known[0] is not books or known[1] != books.changes:
            known = before[part] = books, books.changes, _rows(part, books)
        rows += known[2]
    rest = {
        "format": FORMAT,
        "tables": [[*key, *position] for key, position in saved.state.tables.items()],
        "at": saved.at,
        "vault": [*saved.state.vault],
        "sent": saved.sent,
        "outbox": [[source, record.decode()] for source, record in saved.outbox],
        "history": saved.history,
    }
    table = pa.Table.from_pylist(rows, _SCHEMA.with_metadata({"books": _packed(rest)}))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def _packed(rest: dict[str, Any]) -> bytes:
    """Receipts are text, and many of them where a follower comes late to much."""
    return zlib.compress(orjson.dumps(rest), level=1)


def _rows(part: Part, books: PartState) -> Rows:
    key = part._asdict()
    rows = [key | _TOLD | {"layer": 0, "offsets": books.told.to_bytes()}]
    for label, bag in books.labels.items():
        named = dict(zip(_LABELS, map(str, label), strict=True))
        rows += [key | named | {"layer": n, "offsets": each.to_bytes()} for n, each in enumerate(bag.layers)]
    return rows


def from_bytes(data: bytes) -> Saved | None:
    """What `to_bytes` gave; None for anything else, and for what another release wrote in another way."""
    try:
        table = pa.ipc.open_stream(data).read_all()
        rest = orjson.loads(zlib.decompress((table.schema.metadata or {})[b"books"]))
        if rest["format"] != FORMAT:
            return None
        state = State(
            tables={(event, Teller(teller)): Position(*at) for event, teller, *at in rest["tables"]},
            vault=Position(*rest["vault"]),
        )
        columns = [table[name].to_pylist() for name in (*Part._fields, *_LABELS, "offsets")]
        for source, event, partition, *words, data_of in zip(*columns, strict=True):
            books = state.parts.setdefault(Part(source, event, partition), PartState())
            offsets = Intervals.from_bytes(data_of)
            label = _label(*words)
            if label is None:
                books.told = offsets
            else:
                books.labels[label] = Bag((*books.labels.get(label, Bag()).layers, offsets))
        outbox = [(source, record.encode()) for source, record in rest["outbox"]]
        return Saved(state, rest["at"], rest["sent"], outbox, rest["history"])
    except (pa.ArrowException, KeyError, TypeError, ValueError, IndexError, OSError, zlib.error):
        return None


@lru_cache(maxsize=4096)
def _label(teller: str, place: str, *words: str) -> Label | None:
    """The label that these words stand for, None for what was told; there are few, and very many rows."""
    return None if teller == _TOLD["teller"] else Label(Teller(teller), Place(place), *words)


class SavedBooks:
    """The saved books of one lake."""

    def __init__(self, objects: Objects) -> None:
        self._numbered = Numbered(objects, PREFIX, SUFFIX, "Another follower keeps the books, too.")
        self._written: Written = {}

    def newest(self) -> tuple[int, Saved | None]:
        """Number and content of the newest; 0 where there is none. None for what cannot be read: begin from nothing."""
        number, data = self._numbered.newest()
        return number, None if data is None else from_bytes(data)

    def save(self, number: int, saved: Saved) -> int:
        """Put `saved` after the one of `number`; its size in bytes. See `Numbered.save`, also for what it raises."""
        data = to_bytes(saved, self._written)
        self._numbered.save(number, data)
        return len(data)
