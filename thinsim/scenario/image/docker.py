"""Reads a docker-archive: the tar ``docker save`` wrote before it wrote OCI layouts, and podman still does.

``manifest.json`` lists images, each with the member that is its config and those that are its layers
(Docker image spec v1.2). Layers have no digest there; the config's diff_ids vouch for their content.
"""

from thinsim.scenario.image.blobs import Blobs
from thinsim.scenario.image.digests import digest_of
from thinsim.scenario.image.documents import checked, diff_ids, field, read_document
from thinsim.scenario.image.errors import InvalidImageError
from thinsim.scenario.image.layer import Layer

_MEDIA_TYPE = "application/vnd.docker.image.rootfs.diff.tar"


def read_docker(blobs: Blobs) -> tuple[str, str, tuple[Layer, ...], str]:
    """Return name, config digest, layers and note of the first image in *blobs*; raises InvalidImageError."""
    where = f"{blobs.path}: manifest.json"
    images = checked(read_document(blobs, "manifest.json")[1], list, where)
    if not images:
        raise InvalidImageError(f"{where}: lists no image")
    image = checked(images[0], dict, where)
    config_name = field(image, "Config", str, where)
    data, config = read_document(blobs, config_name)
    names = [checked(name, str, f"{where}: 'Layers'") for name in field(image, "Layers", list, where)]
    where = f"{blobs.path}: {config_name}"
    layers = []
    for name, diff_id in zip(names, diff_ids(checked(config, dict, where), len(names), where), strict=True):
        size = blobs.size(name)
        if size is None:
            raise InvalidImageError(f"{blobs.path}: layer {name} {blobs.absence(name)}")
        layers.append(Layer(diff_id, _MEDIA_TYPE, size, diff_id, blobs, name))
    tags = image.get("RepoTags")
    tag = tags[0] if isinstance(tags, list) and tags and isinstance(tags[0], str) else ""
    note = f"the archive has {len(images)} images; the first is used" if len(images) > 1 else ""
    return tag, digest_of(data), tuple(layers), note
