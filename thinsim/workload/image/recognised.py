"""`not_an_image` explains why a file or directory is not an image, and how to make one of it."""

import json
from pathlib import Path
from shlex import quote

from thinsim.workload.image.blobs import Blobs, DirectoryBlobs
from thinsim.workload.image.errors import InvalidImageError

_NEITHER = "has neither index.json (OCI image layout) nor manifest.json (docker save)"
_ROOT = frozenset({"bin", "dev", "etc", "lib", "proc", "root", "sbin", "sys", "tmp", "usr", "var"})


def not_an_image(blobs: Blobs) -> InvalidImageError:
    """Return the error for *blobs*, which has neither index.json nor manifest.json."""
    for name in ("index.json", "manifest.json"):
        absence = blobs.absence(name)
        if absence != "is missing":
            return InvalidImageError(f"{blobs.path}: {name} {absence}")
    names = {name.strip("/").removeprefix("./") for name in blobs.names()}
    place = quote(str(blobs.path))
    for name in sorted(names):
        above, _, base = name.rpartition("/")
        if base == "index.json" and f"{above}/oci-layout" in names:
            if isinstance(blobs, DirectoryBlobs):
                return InvalidImageError(
                    f"{blobs.path}: {_NEITHER}; an OCI image layout is in {blobs.path / above}"
                )
            return InvalidImageError(
                f"{blobs.path}: {_NEITHER}; an OCI image layout is below {above}/ in it, "
                f"where containerd does not find it either; unpack it: "
                f"mkdir layout && tar -xf {place} -C layout, then give layout/{above}"
            )
    for above_it in (blobs.path.parent, blobs.path.parent.parent):
        if blobs.path.name in ("blobs", "sha256") and (above_it / "index.json").is_file():
            return InvalidImageError(f"{blobs.path} is part of an OCI image layout; give {above_it}")
    if {"config.json", "rootfs"} <= names:
        return InvalidImageError(
            f"{blobs.path}: {_NEITHER}; it is an OCI runtime bundle, not an image: "
            "give the image that it was unpacked from"
        )
    if "repositories" in names:
        return InvalidImageError(
            f"{blobs.path}: {_NEITHER}; it is from docker save before 1.10 (it has 'repositories'): "
            "load it into Docker and save it again"
        )
    if len({name.partition("/")[0] for name in names} & _ROOT) >= 3:
        pack = f"tar -c -C {place} ." if isinstance(blobs, DirectoryBlobs) else f"cat {place}"
        return InvalidImageError(
            f"{blobs.path}: {_NEITHER}; it is a root file system, not an image: make one with "
            f"{pack} | podman import - NAME && podman save --format oci-archive -o image.tar NAME"
        )
    return InvalidImageError(f"{blobs.path}: {_NEITHER}")


def manifest_in_directory(blobs: DirectoryBlobs) -> InvalidImageError:
    """Return the error for a directory with a manifest.json: skopeo's ``dir:``, or docker save's."""
    place = quote(str(blobs.path))
    if (blobs.path / "version").exists() or _is_manifest(blobs.path / "manifest.json"):
        return InvalidImageError(
            f"{blobs.path} is a directory in skopeo's dir: format, which thinsim does not read; "
            f"make an archive of it: skopeo copy dir:{place} oci-archive:image.tar"
        )
    return InvalidImageError(
        f"{blobs.path} is an unpacked docker-archive, which thinsim reads only as a tar; "
        f"pack it again: tar -cf image.tar -C {place} ."
    )


def _is_manifest(path: Path) -> bool:
    """Return whether the file *path* is a manifest, a JSON object; docker save's file is a list."""
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except (OSError, ValueError, RecursionError):
        return False
