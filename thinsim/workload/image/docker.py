"""A docker-archive is a tar in the format of older ``docker save``, which podman still writes.

``manifest.json`` lists images, each with the members that are its config and its layers (Docker image spec
v1.2). Layers have no digest there, so their content is verified with the config's diff_ids.
"""

from collections.abc import Sequence

from thinsim.workload.image.blobs import Blobs
from thinsim.workload.image.digests import digest_of
from thinsim.workload.image.documents import Object, checked, diff_ids, field, read_document
from thinsim.workload.image.errors import InvalidImageError, shown
from thinsim.workload.image.layer import Layer
from thinsim.workload.image.platforms import Platform, best, normal

NAMES = ("Config", "Layers", "RepoTags")
_MEDIA_TYPE = "application/vnd.docker.image.rootfs.diff.tar"


def read_docker(blobs: Blobs) -> tuple[str, str, tuple[Layer, ...], str]:
    """Return name, config digest, layers and note of an image in *blobs*.

    The image is the best one for this machine's platform, or else the first. Raises InvalidImageError.
    """
    where = f"{blobs.path}: manifest.json"
    listed = checked(read_document(blobs, "manifest.json", NAMES)[1], list, where)
    images = [checked(image, dict, where) for image in listed]
    if not images:
        raise InvalidImageError(f"{where}: lists no image")
    which, note = best(_platforms(blobs, images, where))
    image = images[which]
    config_name = field(image, "Config", str, where)
    data, config = read_document(blobs, config_name)
    names = [checked(name, str, f"{where}: 'Layers'") for name in field(image, "Layers", list, where, [])]
    where = f"{blobs.path}: {config_name}"
    layers = []
    for name, diff_id in zip(names, diff_ids(checked(config, dict, where), len(names), where), strict=True):
        size = blobs.size(name)
        if size is None:
            raise InvalidImageError(f"{blobs.path}: layer {shown(name)} {blobs.absence(name)}")
        layers.append(Layer(diff_id, _MEDIA_TYPE, size, diff_id, blobs, name))
    tags = image.get("RepoTags")
    tag = tags[0] if isinstance(tags, list) and tags and isinstance(tags[0], str) else ""
    return tag, digest_of(data), tuple(layers), note


def _platforms(blobs: Blobs, images: Sequence[Object], where: str) -> list[Platform | None]:
    """Return the platform in each configuration of *images*, None for one that can't be read."""
    found: list[Platform | None] = []
    known: dict[str, Platform | None] = {}
    for image in images:
        name = field(image, "Config", str, where)
        if name not in known:
            try:
                config = read_document(blobs, name)[1]
            except InvalidImageError:
                config = None  # the error is raised later if this image is chosen
            known[name] = normal(config) if isinstance(config, dict) else None
        found.append(known[name])
    return found
