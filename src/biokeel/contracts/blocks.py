"""What travels between the two workers: a block, many pseudonymised rows in one Kafka message.

A block's value is an Arrow IPC stream (lz4) with the columns of `PseudonymisedBatch`; its headers say what it holds:

| header | value |
| --- | --- |
| `biokeel-format` | version of this format, now `1` |
| `biokeel-schema` | fingerprint of the reader schema that the rows were read into |
| `biokeel-stream` | `raw`, `parking` or `quarantine` |
| `biokeel-raw-partition` | the raw partition of all rows |
| `biokeel-first-offset`, `biokeel-last-offset` | the first and the last raw offset (or release number) in the block |

Nothing in a header says anything about a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from biokeel.batch import PseudonymisedBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from biokeel.contracts.topics import EventType

FORMAT = "1"


@dataclass(frozen=True, slots=True)
class Block:
    """One message of a pseudo topic: the partition it belongs to, its bytes and its headers."""

    partition: int
    value: bytes
    headers: list[tuple[str, bytes]]


def split_blocks(batch: PseudonymisedBatch, partitions: int, fingerprint: str) -> list[Block]:
    """One block (more, if it would outgrow a message) for each pseudo partition that has rows.

    A row goes to partition `participant % partitions`; within a partition rows keep their order, and blocks of one
    partition stand in the order in which they must be produced. All rows must be of one stream and raw partition.
    `fingerprint` is the reader schema's.
    """
    raise NotImplementedError


def read_block(event: EventType, value: bytes, headers: Sequence[tuple[str, bytes]]) -> PseudonymisedBatch:
    """The rows of a block, without `POSITION`. Raises `ContractError` if it is malformed."""
    raise NotImplementedError
