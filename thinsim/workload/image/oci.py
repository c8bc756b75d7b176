"""`read_oci` reads an OCI image layout: indexes, the manifest for this machine, its config.

The formats are in the OCI image-spec: image-layout.md, image-index.md, manifest.md. An index may list
manifests that are not in the archive (``docker save`` of one platform of several writes such archives), so
only those that are present count.
"""

from thinsim.workload.image import manifests, mediatypes
from thinsim.workload.image.blobs import Blobs
from thinsim.workload.image.digests import checked_digest
from thinsim.workload.image.documents import (
    Object,
    blob_name,
    checked,
    diff_ids,
    field,
    objects,
    read_blob,
    read_document,
)
from thinsim.workload.image.errors import InvalidImageError
from thinsim.workload.image.layer import Layer
from thinsim.workload.image.platforms import best

_VERSION = "1.0.0"


def read_oci(blobs: Blobs) -> tuple[str, str, tuple[Layer, ...], str]:
    """Return name, manifest digest, layers and note of an image in *blobs*. Raises InvalidImageError.

    The image is the best one for this machine's platform, or else the first.
    """
    where = str(blobs.path)
    _check_version(blobs)
    index = checked(read_document(blobs, "index.json")[1], dict, f"{where}: index.json")
    candidates = list(manifests.listed(blobs, index, f"{where}: index.json"))
    images = manifests.images_among(blobs, candidates, where)
    which, note = best([image.platform for image in images])
    candidate = images[which].candidate
    layers = _layers(blobs, images[which].manifest, f"{where}: manifest {candidate.digest}")
    return candidate.name, candidate.digest, layers, note


def _check_version(blobs: Blobs) -> None:
    """Refuse a layout of another version, as containerd does; a layout without a version is accepted."""
    if blobs.size("oci-layout") is None:
        return
    where = f"{blobs.path}: oci-layout"
    version = checked(read_document(blobs, "oci-layout")[1], dict, where).get("imageLayoutVersion", _VERSION)
    if version != _VERSION:
        raise InvalidImageError(f"{where}: has version {version!r}; thinsim reads {_VERSION}")


def _layers(blobs: Blobs, manifest: Object, where: str) -> tuple[Layer, ...]:
    descriptors = objects(manifest, "layers", where, absent=[])
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
    if not mediatypes.is_layer(media_type):
        raise InvalidImageError(
            f"{where}: layer {digest} has media type {media_type!r}, which thinsim does not read"
        )
    size = blobs.size(blob_name(digest))
    if size is None:
        raise InvalidImageError(f"{where}: layer {digest} {_absence(blobs, descriptor, digest, media_type)}")
    # like containerd, trust the digest; a wrong size only appears in messages about other errors
    listed = descriptor.get("size")
    about = "" if size == listed else f"{size} bytes; the manifest states {str(listed)[:30]}"
    return Layer(digest, media_type, size, diff_id, blobs, blob_name(digest), about)


def _absence(blobs: Blobs, descriptor: Object, digest: str, media_type: str) -> str:
    absence = blobs.absence(blob_name(digest))
    if absence != "is missing" or not mediatypes.is_nondistributable(media_type):
        return absence
    urls = descriptor.get("urls")
    where = f"from {urls[0]}" if isinstance(urls, list) and urls else "from the image's registry"
    return (
        f"is missing: it is nondistributable ({media_type}), and by default programs leave such layers out "
        f"of archives; fetch it {where}"
    )
