"""Says where one layer of an opened image is and what its content must be."""

import io
from dataclasses import dataclass, field
from typing import BinaryIO

from thinsim.workload.image.blobs import Blobs
from thinsim.workload.image.compression import opened_layer
from thinsim.workload.image.digests import VerifiedStream


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer: *digest* of the blob as stored (in a docker-archive of its uncompressed tar), *media_type*
    as the manifest says, *size* in stored bytes, *diff_id* the digest of the uncompressed tar.
    """

    digest: str
    media_type: str
    size: int
    diff_id: str
    _blobs: Blobs = field(repr=False, compare=False)
    _name: str = field(repr=False, compare=False)
    _about: str = field(default="", repr=False, compare=False)
    """Said of it in errors."""

    def open(self) -> BinaryIO:
        """Return the uncompressed tar stream; the caller closes it.

        Reading it to the end verifies the blob's digest and the diff_id. Raises InvalidImageError, here
        and in reads, for a missing, damaged or wrong blob.
        """
        about = f" ({self._about})" if self._about else ""
        name = f"{self._blobs.path}: layer {self.digest}{about}"
        stored = self._blobs.open(self._name)
        if self.digest != self.diff_id:
            stored = io.BufferedReader(VerifiedStream(stored, self.digest, name), 1 << 20)
        return io.BufferedReader(VerifiedStream(opened_layer(stored, name), self.diff_id, name), 1 << 20)
