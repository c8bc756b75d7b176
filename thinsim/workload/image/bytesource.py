"""Reads a stream of compressed bytes, of which what was read too far can be put back."""

import io

_PIECE = 1 << 16


class DamagedError(ValueError):
    """Compressed data is damaged; the text says how."""


class ByteSource:
    """What *stream* has left. A member of a format ends where its decoder says, within a piece."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._buffer = b""
        self._at = 0

    def some(self, most: int = _PIECE) -> bytes:
        """Return up to *most* bytes, as many as are there at once; raises DamagedError at the end."""
        if self._at == len(self._buffer):
            self._buffer, self._at = self._stream.read1(_PIECE), 0
        data = self._buffer[self._at : self._at + most]
        if not data:
            raise DamagedError("it is cut short")
        self._at += len(data)
        return data

    def exactly(self, size: int) -> bytes:
        """Return the next *size* bytes; raises DamagedError if there are less."""
        data = self.ahead(size)
        if len(data) < size:
            raise DamagedError("it is cut short")
        self._at += size
        return data

    def ahead(self, size: int) -> bytes:
        """Return the next *size* bytes, less only at the end, without taking them."""
        while len(self._buffer) - self._at < size and (more := self._stream.read1(_PIECE)):
            self._buffer, self._at = self._buffer[self._at :] + more, 0
        return self._buffer[self._at : self._at + size]

    def put_back(self, data: bytes) -> None:
        """Have *data*, of which the stream was read last, read again."""
        self._at -= len(data)
