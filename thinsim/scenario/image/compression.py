"""What a layer's blob is compressed with, told by its first bytes.

Media types lie (docker-archive has none, and builders have mislabelled layers); magic bytes do not.
containerd's ``archive/compression`` tells them apart in the same way.
"""

import gzip
import io
import zlib
from typing import BinaryIO, Protocol

import zstandard

from thinsim.scenario.image.errors import InvalidImageError

_GZIP = b"\x1f\x8b\x08"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
_LARGEST_WINDOW = 128 << 20
"""Bytes a zstd frame may make the reader keep, zstd's own default limit."""


class _Decoder(Protocol):
    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


def compression_of(start: bytes) -> str:
    """Return ``gzip``, ``zstd`` or ``""`` (none) for content that starts with *start* (4 bytes or more)."""
    if start.startswith(_GZIP):
        return "gzip"
    if start.startswith(_ZSTD) or (start[1:4] == _ZSTD_SKIPPABLE and start[0] >> 4 == 5):
        return "zstd"
    return ""


class DecompressedStream(io.RawIOBase):
    """The content of *compressed*, which it owns, in whatever way that is compressed, or not at all.

    Reads *compressed* to its very end, so that a digest there is verified. Damage raises InvalidImageError.
    """

    def __init__(self, compressed: io.BufferedReader, name: str) -> None:
        self.name = name
        self._compressed = compressed
        self.compression = compression_of(compressed.peek(4)[:4])
        self._decoder: _Decoder
        if self.compression == "gzip":
            self._decoder = gzip.GzipFile(fileobj=compressed, mode="rb")
        elif self.compression == "zstd":
            decompressor = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
            self._decoder = decompressor.stream_reader(compressed, read_across_frames=True, closefd=False)
        else:
            self._decoder = compressed

    def readable(self) -> bool:
        """Say that this can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read uncompressed bytes into *buffer*."""
        try:
            data = self._decoder.read(len(buffer))
        except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
            raise InvalidImageError(f"{self.name}: damaged {self.compression} data: {error}") from None
        if not data and len(buffer):
            while self._compressed.read(1 << 20):
                pass
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close *compressed* too."""
        if not self.closed:
            self._decoder.close()
            self._compressed.close()
        super().close()


def opened_layer(compressed: io.BufferedReader, name: str) -> BinaryIO:
    """Return the uncompressed content of *compressed*, buffered; closing it closes both."""
    try:
        return io.BufferedReader(DecompressedStream(compressed, name), 1 << 20)
    except BaseException:
        compressed.close()
        raise
