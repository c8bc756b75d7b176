"""Checks streams against their digest: one that does not match is an error at the end."""

import hashlib
import io
import re
from typing import BinaryIO

from thinsim.workload.image.errors import InvalidImageError

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def checked_digest(text: object, where: str) -> str:
    """Return *text* if it is a sha256 digest as OCI's descriptor.md writes it; raises InvalidImageError."""
    if not isinstance(text, str) or _DIGEST.fullmatch(text) is None:
        raise InvalidImageError(f"{where}: {text!r} is not a sha256 digest")
    return text


def digest_of(data: bytes) -> str:
    """Return the digest of *data*: ``sha256:`` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class VerifiedStream(io.RawIOBase):
    """Reads *inner*, which it owns; raises InvalidImageError at the end if the content is not *digest*'s."""

    def __init__(self, inner: BinaryIO, digest: str, name: str) -> None:
        self.name = name
        self._inner = inner
        self._digest = digest
        self._hash = hashlib.sha256()

    def readable(self) -> bool:
        """Say that this can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read into *buffer*, hashing; at the end compare."""
        data = self._inner.read(len(buffer))
        if data:
            self._hash.update(data)
            buffer[: len(data)] = data
        elif len(buffer) and (actual := f"sha256:{self._hash.hexdigest()}") != self._digest:
            raise InvalidImageError(f"{self.name}: wrong content: digest {actual}, not {self._digest}")
        return len(data)

    def close(self) -> None:
        """Close *inner* too."""
        if not self.closed:
            self._inner.close()
        super().close()
