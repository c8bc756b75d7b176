"""An `ArchiveWriter` writes an OCI image-layout archive in one pass, with its layers directly in place.

The name of a blob is its digest, which is known only at the blob's end. So the writer leaves an empty tar
header before each blob and fills it in afterwards. The same content gives the same headers: they have no
times, owners or user names, and pax records only where ustar has no room.
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
    """A `Descriptor` is a reference from one blob to another (OCI's descriptor.md)."""

    media_type: str
    digest: str
    size: int

    def document(self) -> Object:
        """Return the descriptor as a JSON object."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


class LayerWriter:
    """A `LayerWriter` writes the entries of one layer, and writes missing parent directories before them."""

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
        """Write a whiteout that removes *path* of lower layers (image-spec, layer.md)."""
        parent, _, name = path.rpartition("/")
        self.file(f"{parent}/.wh.{name}" if parent else f".wh.{name}", b"")

    def make_opaque(self, directory: str) -> None:
        """Write an opaque whiteout that hides the lower layers' content of *directory*."""
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
    """An `ArchiveWriter` writes an OCI archive to the seekable *file*."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._member("oci-layout", _json({"imageLayoutVersion": "1.0.0"}))

    @contextmanager
    def layer(self, descriptors: list[Descriptor]) -> Iterator[LayerWriter]:
        """Append a layer to the archive; at the end of the block, append its descriptor to *descriptors*."""
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
        # a GNU header has one block for any size, so it can be filled in later
        self._file.write(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict"))


def _json(document: Object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
