"""A `VerifiedStream` compares a stream with its digest, and raises an error at the end if they differ."""

import hashlib
import io
import re
from typing import BinaryIO

from thinsim.workload.image.errors import InvalidImageError

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def checked_digest(text: object, where: str) -> str:
    """Return *text* if it is a sha256 digest (OCI's descriptor.md), else raise InvalidImageError."""
    if not isinstance(text, str) or _DIGEST.fullmatch(text) is None:
        raise InvalidImageError(f"{where}: {text!r} is not a sha256 digest")
    return text


def digest_of(data: bytes) -> str:
    """Return the digest of *data*: ``sha256:`` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class VerifiedStream(io.RawIOBase):
    """A `VerifiedStream` reads *inner*, which it owns, and verifies *digest* at the end.

    The last read raises InvalidImageError if the content has another digest.
    """

    def __init__(self, inner: BinaryIO, digest: str, name: str) -> None:
        self.name = name
        self._inner = inner
        self._digest = digest
        self._hash = hashlib.sha256()

    def readable(self) -> bool:
        """Return True: the stream is readable."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read into *buffer* and update the hash; compare it at the end of the stream."""
        data = self._inner.read(len(buffer))
        if data:
            self._hash.update(data)
            buffer[: len(data)] = data
        elif len(buffer) and (actual := f"sha256:{self._hash.hexdigest()}") != self._digest:
            raise InvalidImageError(f"{self.name}: wrong content: digest {actual}, not {self._digest}")
        return len(data)

    def close(self) -> None:
        """Close this stream and *inner*."""
        if not self.closed:
            self._inner.close()
        super().close()
