"""Reads an OCI image layout: index.json, maybe an index within it, a manifest for this machine, a config.

OCI image-spec: image-layout.md, image-index.md, manifest.md. An index may list manifests that are not in
the archive (``docker save`` of one platform of several does), so only those that are there count.
"""

import platform
from collections.abc import Iterator

from thinsim.scenario.image.blobs import Blobs
from thinsim.scenario.image.digests import checked_digest
from thinsim.scenario.image.documents import (
    Object,
    annotation,
    blob_name,
    checked,
    diff_ids,
    field,
    objects,
    read_blob,
    read_document,
)
from thinsim.scenario.image.errors import InvalidImageError
from thinsim.scenario.image.layer import Layer

_LAYER_TYPES = frozenset(
    {
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
    }
)
_INDEX_TYPES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm"}
_DEEPEST_INDEX = 4


def this_platform() -> str:
    """Return this machine's platform in Go's words: ``linux/amd64``."""
    machine = platform.machine()
    return f"linux/{_ARCHITECTURES.get(machine, machine)}"


def read_oci(blobs: Blobs) -> tuple[str, str, tuple[Layer, ...], str]:
    """Return name, manifest digest, layers and note of the image in *blobs*; raises InvalidImageError."""
    where = str(blobs.path)
    index = checked(read_document(blobs, "index.json")[1], dict, f"{where}: index.json")
    candidates = list(_manifests(blobs, index, f"{where}: index.json", "", _DEEPEST_INDEX))
    if not candidates:
        raise InvalidImageError(f"{where}: index.json lists no manifest of an image")
    present = [each for each in candidates if blobs.size(blob_name(each[0]["digest"])) is not None]
    if not present:
        raise InvalidImageError(f"{where}: {blob_name(candidates[0][0]['digest'])} (a manifest) is missing")
    (descriptor, name), note = _choose(present)
    digest = descriptor["digest"]
    manifest = read_blob(blobs, digest, "manifest")
    return name, digest, _layers(blobs, manifest, f"{where}: manifest {digest}"), note


def _manifests(
    blobs: Blobs, index: Object, where: str, name: str, depth: int
) -> Iterator[tuple[Object, str]]:
    """Yield the descriptors of image manifests that *index* leads to, with the name each was given."""
    for descriptor in objects(index, "manifests", where):
        digest = checked_digest(descriptor.get("digest"), where)
        own_name = (
            annotation(descriptor, "io.containerd.image.name")
            or annotation(descriptor, "org.opencontainers.image.ref.name")
            or name
        )
        if annotation(descriptor, "vnd.docker.reference.type"):
            continue  # an attestation: provenance, not a file system
        if descriptor.get("mediaType") not in _INDEX_TYPES:
            yield descriptor, own_name
        elif depth == 0:
            raise InvalidImageError(f"{where}: indexes are nested too deep")
        elif blobs.size(blob_name(digest)) is not None:
            nested = read_blob(blobs, digest, "index")
            yield from _manifests(blobs, nested, f"{blobs.path}: index {digest}", own_name, depth - 1)


def _choose(candidates: list[tuple[Object, str]]) -> tuple[tuple[Object, str], str]:
    """Prefer this platform, then one that names none, then the first; say so unless the choice is plain."""
    wanted = this_platform()
    for acceptable in (wanted, ""):
        fitting = [each for each in candidates if _platform(each[0]) == acceptable]
        if fitting:
            more = f"the archive has {len(fitting)} images for {wanted}; the first is used"
            return fitting[0], more if len(fitting) > 1 else ""
    first = candidates[0]
    return first, f"the archive has no image for {wanted}; the one for {_platform(first[0])} is used"


def _platform(descriptor: Object) -> str:
    described = descriptor.get("platform")
    if not isinstance(described, dict):
        return ""
    return f"{described.get('os', '')}/{described.get('architecture', '')}"


def _layers(blobs: Blobs, manifest: Object, where: str) -> tuple[Layer, ...]:
    descriptors = objects(manifest, "layers", where)
    config = read_blob(blobs, field(manifest, "config", dict, where).get("digest"), "config")
    ids = diff_ids(config, len(descriptors), f"{where}: config")
    return tuple(
        _layer(blobs, descriptor, diff_id, where)
        for descriptor, diff_id in zip(descriptors, ids, strict=True)
    )


def _layer(blobs: Blobs, descriptor: Object, diff_id: str, where: str) -> Layer:
    digest = checked_digest(descriptor.get("digest"), f"{where}: layer")
    media_type = field(descriptor, "mediaType", str, f"{where}: layer {digest}")
    if "+encrypted" in media_type:
        raise InvalidImageError(
            f"{where}: layer {digest} is encrypted ({media_type}); decrypt the image first"
        )
    if "foreign" in media_type or "nondistributable" in media_type:
        raise InvalidImageError(
            f"{where}: layer {digest} is foreign ({media_type}): archives do not hold those"
        )
    if media_type not in _LAYER_TYPES:
        raise InvalidImageError(f"{where}: layer {digest} has media type {media_type!r}, which is not read")
    size = blobs.size(blob_name(digest))
    if size is None:
        raise InvalidImageError(f"{where}: layer {digest} is missing")
    if size != field(descriptor, "size", int, f"{where}: layer {digest}"):
        raise InvalidImageError(f"{where}: layer {digest} has {size} bytes, not {descriptor['size']}")
    return Layer(digest, media_type, size, diff_id, blobs, blob_name(digest))
