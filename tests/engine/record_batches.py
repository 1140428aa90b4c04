"""Batches of records as they lie in a topic, sound ones and such as are made to hurt."""

from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

CODECS = {
    "none": DefaultRecordBatch.CODEC_NONE,
    "gzip": DefaultRecordBatch.CODEC_GZIP,
    "snappy": DefaultRecordBatch.CODEC_SNAPPY,
    "lz4": DefaultRecordBatch.CODEC_LZ4,
    "zstd": DefaultRecordBatch.CODEC_ZSTD,
}
COMPRESSED = sorted(CODECS.keys() - {"none"})
LENGTH, CRC, ATTRIBUTES, HEADER = 8, 17, 21, 61
CONTROL = 0x20
ABORT, COMMIT = bytes([0, 0, 0, 0]), bytes([0, 0, 0, 1])


def batch(base, records, codec="lz4", *, producer=-1, transactional=False, control=False):
    """The bytes of one record batch at offset `base`; `records` are (offset delta, value, headers)."""
    room = 1024 + sum(100 + 2 * len(value or b"") for _, value, _ in records)
    builder = DefaultRecordBatchBuilder(2, CODECS[codec], int(transactional), producer, 0, 0, room)
    for delta, value, headers in records:
        key = value if control else b"a key"
        assert builder.append(delta, 1_700_000_000_000 + delta, key, value, headers) is not None
    data = builder.build()
    data[0:8] = base.to_bytes(8, "big")
    if control:
        data[ATTRIBUTES + 1] |= CONTROL
    return sealed(data)


def sealed(data):
    """`data`, one batch, with the length and the checksum that it should have."""
    data = bytearray(data)
    data[LENGTH : LENGTH + 4] = (len(data) - LENGTH - 4).to_bytes(4, "big")
    data[CRC : CRC + 4] = calc_crc32c(bytes(data[ATTRIBUTES:])).to_bytes(4, "big")
    return bytes(data)


def plain(values):
    return [(number, value, []) for number, value in enumerate(values)]


UNREADABLE = {
    "bytes behind what was packed": sealed(batch(1, plain([b"a", b"b"]), "gzip") + b"more"),
    "a header's name is no text": sealed(
        batch(1, [(0, b"a", []), (1, b"b", [("né", b"")])], "none").replace(b"\xc3", b"n")
    ),
}
"""What a broker takes, since it looks at less, and aiokafka cannot read: batches of two records at offset 1."""
