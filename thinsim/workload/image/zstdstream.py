"""A `ZstdDecoder` reads zstd as containerd does: frames, skippable frames and nothing else (RFC 8878).

The stream reader of the zstandard package mistakes the middle of a frame for the end of the stream, so the
frames are separated here.
"""

import io

import zstandard

from thinsim.workload.image.bytesource import ByteSource, DamagedError
from thinsim.workload.image.errors import LimitError

LARGEST_WINDOW = 1 << 29
"""Largest window of a frame in bytes; containerd has the same limit."""

_MAGIC = b"\x28\xb5\x2f\xfd"
_LONGEST_HEADER = 18
_FED = 2048
"""Bytes passed to the decoder at once; 4 bytes can decode to 128 KiB, and the decoder returns all of it."""


def is_skippable(start: bytes) -> bool:
    """Return whether a frame that starts with *start* is a skippable frame."""
    return start[1:4] == b"\x2a\x4d\x18" and start[0] >> 4 == 5


class ZstdDecoder:
    """A `ZstdDecoder` returns the content of *compressed*, which must start with a frame."""

    def __init__(self, compressed: io.BufferedReader) -> None:
        self._source = ByteSource(compressed)
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._ready = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        """Return up to *size* bytes, b"" only at the end. Raises DamagedError, LimitError and ZstdError."""
        while not self._ready:
            if self._frame is None and not self._begin():
                return b""
            if self._frame is not None:
                self._ready = memoryview(self._frame.decompress(self._source.some(_FED)))
                if self._frame.eof:
                    self._source.put_back(self._frame.unused_data)
                    self._frame = None
        data, self._ready = self._ready[:size], self._ready[size:]
        return bytes(data)

    def _begin(self) -> bool:
        """Begin the next frame, or skip it if it is skippable; return False if there is none."""
        start = self._source.ahead(_LONGEST_HEADER)
        if not start:
            return False
        if is_skippable(start):
            left = int.from_bytes(self._source.exactly(8)[4:], "little")
            while left:
                left -= len(self._source.some(min(left, 1 << 16)))
            return True
        if not start.startswith(_MAGIC):
            raise DamagedError("other data follows it" if len(start) >= len(_MAGIC) else "it is cut short")
        parameters = zstandard.get_frame_parameters(start)
        if parameters.window_size > LARGEST_WINDOW:
            raise LimitError(
                f"zstd: needs a window of {parameters.window_size} bytes; "
                f"thinsim and containerd allow up to {LARGEST_WINDOW} (zstd --long=29)"
            )
        if parameters.dict_id:
            raise LimitError(
                f"zstd: needs the dictionary {parameters.dict_id}, "
                "which a layer can't contain; compress it without a dictionary"
            )
        decompressor = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
        self._frame = decompressor.decompressobj()
        return True
