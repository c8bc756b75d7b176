"""`open_image` opens an OCI image-layout archive or directory, or a docker-archive.

The archive is not unpacked and not read ahead: the members of the tar are indexed once and blobs are read in
place.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from thinsim.workload.image.blobs import DirectoryBlobs, opened_blobs
from thinsim.workload.image.docker import read_docker
from thinsim.workload.image.errors import printable
from thinsim.workload.image.layer import Layer
from thinsim.workload.image.oci import read_oci
from thinsim.workload.image.recognised import manifest_in_directory, not_an_image

__all__ = ["NO_IMAGE", "Image", "Layer", "open_image"]


@dataclass(frozen=True, slots=True)
class Image:
    """An `Image` is an image in an archive or layout.

    *name* is the image's own name, or the name of the file if it has none. *digest* is the digest of the
    manifest, in a docker-archive that of the config. *layers* come from the lowest up. *note* explains the
    choice to the user if the archive offered several images or none for this platform, and is "" otherwise.
    """

    name: str
    digest: str
    layers: tuple[Layer, ...]
    note: str
    path: Path
    """Path of the archive or layout."""


NO_IMAGE = Image("none", "", (), "", Path())
"""Image of a rig that imports nothing from an archive."""


@contextmanager
def open_image(path: Path) -> Iterator[Image]:
    """Open the image at *path*; its layers can be opened until the context ends.

    An archive in both formats, as ``docker save`` writes it today, is read as OCI. Raises InvalidImageError,
    which names *path* and the fault.
    """
    with closing(opened_blobs(path)) as blobs:
        docker = blobs.size("manifest.json") is not None
        # containerd decides by oci-layout, but some archives have an index and no oci-layout
        if blobs.size("index.json") is not None and (blobs.size("oci-layout") is not None or not docker):
            name, digest, layers, note = read_oci(blobs)
        elif docker:
            name, digest, layers, note = read_docker(blobs)
        elif isinstance(blobs, DirectoryBlobs) and blobs.is_file("manifest.json"):
            raise manifest_in_directory(blobs)
        else:
            raise not_an_image(blobs)
        yield Image(printable(name or path.name), digest, layers, printable(note), path)
