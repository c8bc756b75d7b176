"""Writes an OCI image-layout archive in one pass, its layers straight into their place in it.

A blob is named by its digest and precedes nothing that knows its size, so each is written behind an empty
tar header that is filled in once its end is known. Headers are the same for the same content: no times,
no owners, no names of users, pax records only where ustar has no room.
"""

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from thinsim.workload.image.digests import digest_of
from thinsim.workload.image.documents import Object, blob_name
from thinsim.workload.image.tarstream import BLOCK_SIZE

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
_END = bytes(2 * BLOCK_SIZE)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What OCI's descriptor.md calls so: how one blob refers to another."""

    media_type: str
    digest: str
    size: int

    def document(self) -> Object:
        """Return the JSON object."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


class LayerWriter:
    """A layer in the making; directories that lead to an entry are written before it, once."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._directories: set[str] = set()

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Add a regular file."""
        self._entry(path, tarfile.REGTYPE, mode, size=len(content))
        self._write(content)
        self._write(bytes(-len(content) % BLOCK_SIZE))

    def symlink(self, path: str, target: str) -> None:
        """Add a symlink to *target*."""
        self._entry(path, tarfile.SYMTYPE, 0o777, link=target)

    def hard_link(self, path: str, target: str) -> None:
        """Add another name for the file *target* of this layer."""
        self._entry(path, tarfile.LNKTYPE, 0o644, link=target)

    def white_out(self, path: str) -> None:
        """Remove *path* of lower layers (image-spec, layer.md)."""
        parent, _, name = path.rpartition("/")
        self.file(f"{parent}/.wh.{name}" if parent else f".wh.{name}", b"")

    def make_opaque(self, directory: str) -> None:
        """Hide what lower layers have in *directory*."""
        self.file(f"{directory}/.wh..wh..opq", b"")

    def _entry(self, path: str, kind: bytes, mode: int, *, size: int = 0, link: str = "") -> None:
        parent = path.rpartition("/")[0]
        if parent and parent not in self._directories:
            self._directories.add(parent)
            self._entry(parent, tarfile.DIRTYPE, 0o755)
        info = tarfile.TarInfo(path)
        info.type, info.mode, info.size, info.linkname = kind, mode, size, link
        self._write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict"))


class ArchiveWriter:
    """An OCI archive in the making, in the seekable *file*."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._member("oci-layout", _json({"imageLayoutVersion": "1.0.0"}))

    @contextmanager
    def layer(self, descriptors: list[Descriptor]) -> Iterator[LayerWriter]:
        """Write a layer where the archive ends; afterwards its descriptor is added to *descriptors*."""
        start = self._file.tell()
        self._file.write(bytes(BLOCK_SIZE))
        digest = hashlib.sha256()

        def write(data: bytes) -> None:
            digest.update(data)
            self._file.write(data)

        yield LayerWriter(write)
        write(_END)
        size = self._file.tell() - start - BLOCK_SIZE
        descriptor = Descriptor(LAYER_TYPE, f"sha256:{digest.hexdigest()}", size)
        self._file.seek(start)
        self._header(blob_name(descriptor.digest), size)
        self._file.seek(size, 1)
        self._file.write(bytes(-size % BLOCK_SIZE))
        descriptors.append(descriptor)

    def document(self, media_type: str, document: Object) -> Descriptor:
        """Write a JSON blob and return its descriptor."""
        data = _json(document)
        descriptor = Descriptor(media_type, digest_of(data), len(data))
        self._member(blob_name(descriptor.digest), data)
        return descriptor

    def finish(self, index: Object) -> None:
        """Write index.json and the end of the archive."""
        self._member("index.json", _json(index))
        self._file.write(_END)

    def _member(self, name: str, data: bytes) -> None:
        self._header(name, len(data))
        self._file.write(data + bytes(-len(data) % BLOCK_SIZE))

    def _header(self, name: str, size: int) -> None:
        info = tarfile.TarInfo(name)
        info.size = size
        # GNU's headers take one block whatever the size, so that it can be filled in later
        self._file.write(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict"))


def _json(document: Object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
