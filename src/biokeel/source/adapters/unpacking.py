"""The bytes of a file as UTF-8, whatever the file is wrapped in: gzip, a byte order mark, UTF-16, CP949.

Everything streams: what is held is some chunks. Progress is told in bytes of the file as it lies on the disk.
"""

from __future__ import annotations

import codecs
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from biokeel.errors import AdapterError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_MOST_TIMES: Final = 400
"""What a file may unpack to, in times of its size. Records come to 20 to 100; DEFLATE's most is 1,032."""
_BOMB_BYTES: Final = 64 << 20
"""Below this size nothing is called a bomb."""
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_KOREAN_SHARE: Final = 0.7
"""Share of the characters beyond ASCII that are Hangul of KS X 1001 in a Korean text, Hanja and symbols aside."""
_LEAST_HANGUL: Final = 2
ENCODINGS: Final = "UTF-8, UTF-16, UTF-32 and CP949 (EUC-KR)"


def open_utf8(path: Path, encoding: str | None = None, told: Callable[[int], None] | None = None) -> BinaryIO:
    """The content of `path` as UTF-8 without a byte order mark; gzip is unpacked, any encoding of ours turned into it.

    `encoding` is what the source declares; without it a byte order mark, zero bytes (UTF-16) or Hangul (CP949) tell.
    `told` is called with the number of bytes of the file that were read since the last call. Opening and reading raise
    `AdapterError`: the file cannot be read, is a damaged or cut archive, a bomb, or in an encoding that is not told.
    Bytes that are no UTF-8 in a file that began as such are handed on as they are.
    """
    return io.BufferedReader(_Utf8(_Chunks(path.name, _opened(path), told), encoding), CHUNK)


def first_bytes(path: Path, count: int) -> bytes:
    """The first `count` bytes of `path`, unpacked and otherwise as they are. Raises `AdapterError`."""
    found: list[bytes] = []
    chunks = _Chunks(path.name, _opened(path), None)
    try:
        for chunk in chunks:
            found.append(chunk)
            count -= len(chunk)
            if count <= 0:
                break
    finally:
        chunks.close()
    whole = b"".join(found)
    return whole[: len(whole) + count] if count < 0 else whole


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise AdapterError(f"Cannot read {path.name}: {error.strerror}.") from None


class _Chunks:
    """The bytes of a file in chunks, unpacked where it is gzip (of one member or many)."""

    def __init__(self, name: str, file: BinaryIO, told: Callable[[int], None] | None) -> None:
        self.name = name
        self._file = file
        self._told = told
        self._taken = 0
        self._made = 0

    def __iter__(self) -> Iterator[bytes]:
        """Chunks of at most `CHUNK` bytes, none of them empty. Raises `AdapterError`."""
        chunk = self._read()
        if not chunk.startswith(_GZIP):
            while chunk:
                yield chunk
                chunk = self._read()
            return
        try:
            yield from self._unpacked(chunk)
        except zlib.error:
            raise AdapterError(f"{self.name} is a damaged gzip file.", "Compress or transfer it anew.") from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _unpacked(self, chunk: bytes) -> Iterator[bytes]:
        member = zlib.decompressobj(wbits=31)
        while chunk:
            made = member.decompress(chunk, CHUNK)
            self._made += len(made)
            if self._made > max(_BOMB_BYTES, _MOST_TIMES * self._taken):
                raise AdapterError(
                    f"{self.name} unpacks to more than {_MOST_TIMES} times its size.", "Send it uncompressed."
                )
            if made:
                yield made
            chunk = member.unused_data if member.eof else member.unconsumed_tail
            if member.eof:
                chunk = (chunk or self._read()).lstrip(b"\x00")  # Tapes and old tools fill the last block with zeros.
                if not chunk:
                    return
                member = zlib.decompressobj(wbits=31)
            elif not chunk:
                chunk = self._read()
        if rest := member.flush():  # zlib may have taken all bytes and not given all of what they hold
            yield rest
        if not member.eof:
            raise AdapterError(f"{self.name} is a gzip file that is cut short.", "Transfer it anew.")

    def _read(self) -> bytes:
        try:
            chunk = self._file.read(CHUNK)
        except OSError as error:
            raise AdapterError(f"Cannot read {self.name}: {error.strerror}.") from None
        self._taken += len(chunk)
        if self._told is not None and chunk:
            self._told(len(chunk))
        return chunk


class _Utf8(io.RawIOBase):
    """Chunks of any encoding as a stream of UTF-8."""

    def __init__(self, chunks: _Chunks, encoding: str | None) -> None:
        self._source = chunks
        self._chunks = iter(chunks)
        self._left = memoryview(b"")
        self._decoder: codecs.IncrementalDecoder | None = None
        self._is_utf8 = False
        self._begin(encoding)

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill `buffer` and return how many bytes; 0 at the end."""
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return self._flush(buffer)
            self._left = memoryview(self._turned(chunk))
        view = memoryview(buffer).cast("B")
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        """Close the file too."""
        self._source.close()
        super().close()

    def _begin(self, encoding: str | None) -> None:
        """Look at the first bytes: what they are encoded in, where they tell."""
        first = next(self._chunks, b"")
        while len(first) < 4 and (more := next(self._chunks, b"")):
            first += more
        mark, found = next(((mark, name) for mark, name in _MARKS if first.startswith(mark)), (b"", encoding))
        if found is None and len(first) >= 2 and 0 in first[:2] and first[:2] != b"\x00\x00":
            found = "utf-16-le" if first[1] == 0 else "utf-16-be"  # JSON and CSV begin with two characters of ASCII.
        if found is not None:
            self._settle(found)
        self._left = memoryview(self._turned(first.removeprefix(mark)))

    def _settle(self, encoding: str) -> None:
        try:
            codec = codecs.lookup(encoding)
        except LookupError:
            raise AdapterError(f"{self._source.name}: the encoding that was declared is not known.") from None
        self._is_utf8 = codec.name == "utf-8"
        if not self._is_utf8:
            self._decoder = codec.incrementaldecoder()

    def _turned(self, chunk: bytes) -> bytes:
        if self._is_utf8 or (self._decoder is None and chunk.isascii()):
            return chunk
        if self._decoder is None:
            self._settle(self._told_by(chunk))
            return self._turned(chunk)
        return self._decoded(chunk, final=False)

    def _decoded(self, chunk: bytes, *, final: bool) -> bytes:
        assert self._decoder is not None, "the encoding is settled"
        try:
            return self._decoder.decode(chunk, final).encode()
        except UnicodeError:  # A lone half of a pair is an error of encoding again.
            raise AdapterError(
                f"{self._source.name} breaks the rules of its encoding.", f"Read are {ENCODINGS}."
            ) from None

    def _flush(self, buffer: WriteableBuffer) -> int:
        """Let the decoder say whether the file ends within a character."""
        del buffer
        if self._decoder is not None:
            self._decoded(b"", final=True)
        return 0

    def _told_by(self, chunk: bytes) -> str:
        """The encoding of a text whose first bytes beyond ASCII are in `chunk`. Raises `AdapterError`."""
        if _decodes(chunk, "utf-8"):
            return "utf-8"
        if b"\x00" not in chunk and _decodes(chunk, "cp949") and _is_korean(chunk.decode("cp949", "ignore")):
            return "cp949"
        return self._other(chunk)

    def _other(self, chunk: bytes) -> str:
        """`utf-8` where most of it is, and the reader of a record finds what is not."""
        broken = chunk.decode("utf-8", "replace")
        beyond = [char for char in broken if not char.isascii()]
        if beyond.count("\N{REPLACEMENT CHARACTER}") * 10 < len(beyond):
            return "utf-8"
        if b"\x00" in chunk:
            raise AdapterError(f"{self._source.name} is a binary file.")
        raise AdapterError(
            f"{self._source.name} is in an encoding that nothing tells.", f"Read are {ENCODINGS}; save it as UTF-8."
        )


def _decodes(chunk: bytes, encoding: str) -> bool:
    """Whether `chunk` is text in `encoding`, its last character perhaps cut."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(chunk)
    except UnicodeDecodeError:
        return False
    return True


def _is_korean(text: str) -> bool:
    """Whether what is beyond ASCII is Korean in the main.

    CP949 can read much that is no Korean: by its extension "Äp" is a syllable too. A text in Korean is written in the
    2,350 syllables of KS X 1001, in the main.
    """
    beyond = [char for char in text if not char.isascii()]
    hangul = sum("가" <= char <= "힣" and len(char.encode("euc-kr", "ignore")) == 2 for char in beyond)
    return hangul >= _LEAST_HANGUL and hangul >= _KOREAN_SHARE * len(beyond)
