"""A layer's compression is detected by its first bytes.

Media types are unreliable (a docker-archive has none, and builders have mislabelled layers); magic bytes are
not. containerd's ``archive/compression`` detects compression in the same way.
"""

import io
import zlib
from typing import BinaryIO, Protocol

import zstandard

from thinsim.workload.image.bytesource import DamagedError
from thinsim.workload.image.errors import InvalidImageError, LimitError
from thinsim.workload.image.gzipstream import GzipDecoder
from thinsim.workload.image.zstdstream import ZstdDecoder, is_skippable

_GZIP = b"\x1f\x8b\x08"
_ZSTD = b"\x28\xb5\x2f\xfd"
_UNREAD = {b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x04\x22\x4d\x18": "lz4", b"LZIP": "lzip"}


class _Decoder(Protocol):
    def read(self, size: int, /) -> bytes: ...


def compression_of(start: bytes) -> str:
    """Return ``gzip``, ``zstd`` or ``""`` for content that starts with *start* (10 bytes, or all of it)."""
    if start.startswith(_GZIP):
        return "gzip"
    if start.startswith(_ZSTD) or (len(start) >= 8 and is_skippable(start)):
        return "zstd"
    return ""


def unread_compression_of(start: bytes) -> str:
    """Return the name of a compression that neither thinsim nor containerd reads, ``""`` for others."""
    return next((name for magic, name in _UNREAD.items() if start.startswith(magic)), "")


class DecompressedStream(io.RawIOBase):
    """A `DecompressedStream` is the content of *compressed*, which it owns and which may be uncompressed.

    It reads *compressed* to its end, so that *compressed* can verify a digest. Damaged data raises
    InvalidImageError.
    """

    def __init__(self, compressed: io.BufferedReader, name: str) -> None:
        self.name = name
        self._compressed = compressed
        start = compressed.peek(10)[:10]
        self.compression = compression_of(start)
        if unread := unread_compression_of(start):
            raise InvalidImageError(
                f"{name} is compressed with {unread}, "
                "which neither thinsim nor containerd reads; use gzip or zstd"
            )
        self._decoder: _Decoder | None = None

    def readable(self) -> bool:
        """Return True: the stream is readable."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read uncompressed bytes into *buffer*."""
        try:
            if self._decoder is None:
                self._decoder = self._opened()
            data = self._decoder.read(len(buffer))
        except (DamagedError, zlib.error, zstandard.ZstdError) as error:
            raise InvalidImageError(f"{self.name}: damaged {self.compression} data: {error}") from None
        except LimitError as error:
            raise InvalidImageError(f"{self.name}: {error}") from None
        if not data and len(buffer):
            while self._compressed.read(1 << 20):
                pass
        buffer[: len(data)] = data
        return len(data)

    def _opened(self) -> _Decoder:
        match self.compression:
            case "gzip":
                return GzipDecoder(self._compressed)
            case "zstd":
                return ZstdDecoder(self._compressed)
            case _:
                return self._compressed

    def close(self) -> None:
        """Close this stream and *compressed*."""
        if not self.closed:
            self._compressed.close()
        super().close()


def opened_layer(compressed: io.BufferedReader, name: str) -> BinaryIO:
    """Return a buffered stream of the uncompressed content of *compressed*; closing it closes both."""
    try:
        return io.BufferedReader(DecompressedStream(compressed, name), 1 << 20)
    except BaseException:
        compressed.close()
        raise
