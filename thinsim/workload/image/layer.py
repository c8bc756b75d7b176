"""A `Layer` locates one layer of an opened image and verifies its content."""

import io
from dataclasses import dataclass, field
from typing import BinaryIO

from thinsim.workload.image.blobs import Blobs
from thinsim.workload.image.compression import opened_layer
from thinsim.workload.image.digests import VerifiedStream


@dataclass(frozen=True, slots=True)
class Layer:
    """A `Layer` is one layer of an opened image.

    *digest* is the digest of the stored blob, in a docker-archive that of the uncompressed tar. *media_type*
    is the manifest's. *size* is the size of the stored blob in bytes. *diff_id* is the digest of the
    uncompressed tar.
    """

    digest: str
    media_type: str
    size: int
    diff_id: str
    _blobs: Blobs = field(repr=False, compare=False)
    _name: str = field(repr=False, compare=False)
    _about: str = field(default="", repr=False, compare=False)
    """Remark that errors add in parentheses."""

    def open(self) -> BinaryIO:
        """Return the uncompressed tar stream; the caller closes it.

        Reading to the end verifies the blob's digest and the diff_id. A missing, damaged or wrong blob raises
        InvalidImageError, here or in a read.
        """
        about = f" ({self._about})" if self._about else ""
        name = f"{self._blobs.path}: layer {self.digest}{about}"
        stored = self._blobs.open(self._name)
        if self.digest != self.diff_id:
            stored = io.BufferedReader(VerifiedStream(stored, self.digest, name), 1 << 20)
        return io.BufferedReader(VerifiedStream(opened_layer(stored, name), self.diff_id, name), 1 << 20)
