"""Opens a container image: an OCI image-layout archive or directory, or a docker-archive.

Nothing is unpacked to get at the image and nothing is read ahead: the tar's members are indexed once and
blobs are read where they lie.
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
    """An image: its *name* (the file's, if it was given none), *digest* of its manifest (in a
    docker-archive of its config), *layers* from the lowest up, and a *note* for the user if choosing it
    from the archive was not plain ("" otherwise).
    """

    name: str
    digest: str
    layers: tuple[Layer, ...]
    note: str
    path: Path
    """The archive or layout."""


NO_IMAGE = Image("none", "", (), "", Path())
"""For a rig on which nothing is imported from an archive."""


@contextmanager
def open_image(path: Path) -> Iterator[Image]:
    """Open the image at *path*, whose layers can be opened until the context ends.

    An archive that is both OCI and docker, as today's ``docker save`` writes, is read as OCI. Raises
    InvalidImageError, which names *path* and the fault.
    """
    with closing(opened_blobs(path)) as blobs:
        docker = blobs.size("manifest.json") is not None
        # containerd goes by oci-layout; there are archives of an index without it
        if blobs.size("index.json") is not None and (blobs.size("oci-layout") is not None or not docker):
            name, digest, layers, note = read_oci(blobs)
        elif docker:
            name, digest, layers, note = read_docker(blobs)
        elif isinstance(blobs, DirectoryBlobs) and blobs.is_file("manifest.json"):
            raise manifest_in_directory(blobs)
        else:
            raise not_an_image(blobs)
        yield Image(printable(name or path.name), digest, layers, printable(note), path)
