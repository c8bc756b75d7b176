"""A `ByteSource` reads compressed bytes and takes back those that a decoder did not use."""

import io

_PIECE = 1 << 16


class DamagedError(ValueError):
    """Compressed data is damaged; the message names the damage."""


class ByteSource:
    """A `ByteSource` reads the rest of *stream*.

    Only a decoder knows where a member ends, often in the middle of a piece; it puts the rest back.
    """

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._buffer = b""
        self._at = 0

    def some(self, most: int = _PIECE) -> bytes:
        """Return from 1 to *most* bytes, as many as one read gives. Raises DamagedError at the end."""
        if self._at == len(self._buffer):
            self._buffer, self._at = self._stream.read1(_PIECE), 0
        data = self._buffer[self._at : self._at + most]
        if not data:
            raise DamagedError("it is cut short")
        self._at += len(data)
        return data

    def exactly(self, size: int) -> bytes:
        """Return the next *size* bytes. Raises DamagedError if there are fewer."""
        data = self.ahead(size)
        if len(data) < size:
            raise DamagedError("it is cut short")
        self._at += size
        return data

    def ahead(self, size: int) -> bytes:
        """Return the next *size* bytes, fewer only at the end, without consuming them."""
        while len(self._buffer) - self._at < size and (more := self._stream.read1(_PIECE)):
            self._buffer, self._at = self._buffer[self._at :] + more, 0
        return self._buffer[self._at : self._at + size]

    def put_back(self, data: bytes) -> None:
        """Return *data*, the last bytes that were read, to the source, to be read again."""
        self._at -= len(data)
