"""A `GzipDecoder` reads gzip as Go's package does for containerd: one or more members and nothing else.

Python's ``gzip`` ignores zeros after the last member and the checksum of a header, and accepts names of any
length. With it thinsim would read layers that containerd refuses. RFC 1952 describes the format.
"""

import io
import zlib

from thinsim.workload.image.bytesource import ByteSource, DamagedError

_HEADER_CHECKSUM, _EXTRA, _NAME, _COMMENT = 2, 4, 8, 16
_LONGEST_TEXT = 512
"""Largest size of a name or comment in a header, in bytes with its NUL; Go has the same limit."""


class GzipDecoder:
    """A `GzipDecoder` returns the content of *compressed*, which must start with a gzip member."""

    def __init__(self, compressed: io.BufferedReader) -> None:
        self._source = ByteSource(compressed)
        self._inflating = self._next_member()
        self._checksum = self._size = 0

    def read(self, size: int, /) -> bytes:
        """Return up to *size* bytes, b"" only at the end. Raises DamagedError and zlib.error."""
        while self._inflating is not None:
            data = self._inflating.decompress(self._inflating.unconsumed_tail or self._source.some(), size)
            self._checksum = zlib.crc32(data, self._checksum)
            self._size += len(data)
            if self._inflating.eof:
                self._source.put_back(self._inflating.unused_data)
                self._verify()
                self._inflating = self._next_member()
                self._checksum = self._size = 0
            if data:
                return data
        return b""

    def _verify(self) -> None:
        trailer = self._source.exactly(8)
        if int.from_bytes(trailer[:4], "little") != self._checksum:
            raise DamagedError("its checksum is wrong")
        if int.from_bytes(trailer[4:], "little") != self._size & 0xFFFFFFFF:
            raise DamagedError("its size is wrong")

    def _next_member(self) -> "zlib._Decompress | None":
        """Read the next member's header and return its decompressor; None at the end."""
        if not self._source.ahead(1):
            return None
        header = self._source.exactly(10)
        if header[:3] != b"\x1f\x8b\x08":
            raise DamagedError("other data follows it")
        flags = header[3]
        if flags & _EXTRA:
            length = self._source.exactly(2)
            header += length + self._source.exactly(int.from_bytes(length, "little"))
        for flag in (_NAME, _COMMENT):
            if flags & flag:
                header += self._text()
        if flags & _HEADER_CHECKSUM:
            stored = int.from_bytes(self._source.exactly(2), "little")
            if stored != zlib.crc32(header) & 0xFFFF:
                raise DamagedError("the checksum of a header is wrong")
        return zlib.decompressobj(-zlib.MAX_WBITS)

    def _text(self) -> bytes:
        length = self._source.ahead(_LONGEST_TEXT)[:_LONGEST_TEXT].find(b"\0") + 1
        if not length:
            raise DamagedError(f"a header has a name or comment of more than {_LONGEST_TEXT - 1} bytes")
        return self._source.exactly(length)
