"""`images_among` separates the images from the artifacts among the manifests of an index.

OCI 1.1 lets an index list other things beside images: signatures, lists of software, charts, modules. A
manifest with an image's configuration and a file system as a layer is an image. Another manifest is an
artifact if it has an ``artifactType``, a configuration that is not an image's, or no layer that is a file
system (cosign's signatures have an image's configuration). The rest are images (image-spec, manifest.md). An
image with a ``subject`` or an ``artifactType`` is used only if the index has no other image.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from thinsim.workload.image import mediatypes
from thinsim.workload.image.blobs import Blobs
from thinsim.workload.image.digests import checked_digest
from thinsim.workload.image.documents import Object, annotation, blob_name, objects, read_blob
from thinsim.workload.image.errors import InvalidImageError
from thinsim.workload.image.platforms import Platform, normal


@dataclass(frozen=True, slots=True)
class Candidate:
    """A `Candidate` is a manifest that an index lists, with its name in the index."""

    descriptor: Object
    name: str

    @property
    def digest(self) -> str:
        """Return the digest of the manifest."""
        return str(self.descriptor["digest"])


@dataclass(frozen=True, slots=True)
class FoundImage:
    """A `FoundImage` is an image whose manifest is present, with its platform (None if unknown)."""

    candidate: Candidate
    manifest: Object
    platform: Platform | None


def listed(blobs: Blobs, index: Object, where: str) -> Iterator[Candidate]:
    """Yield the manifests that *index* and the indexes within it list; each index is read once."""
    seen: set[str] = set()
    levels = [_entries(index, where, "")]
    while levels:
        candidate = next(levels[-1], None)
        if candidate is None:
            levels.pop()
        elif candidate.descriptor.get("mediaType") not in mediatypes.INDEXES:
            yield candidate
        elif candidate.digest not in seen and blobs.size(blob_name(candidate.digest)) is not None:
            seen.add(candidate.digest)
            nested = read_blob(blobs, candidate.digest, "index")
            below = f"{blobs.path}: index {candidate.digest}"
            _check_kind(nested, below, is_index=True)
            levels.append(_entries(nested, below, candidate.name))


def _entries(index: Object, where: str, name: str) -> Iterator[Candidate]:
    for descriptor in objects(index, "manifests", where):
        checked_digest(descriptor.get("digest"), where)
        own_name = (
            annotation(descriptor, "io.containerd.image.name")
            or annotation(descriptor, "org.opencontainers.image.ref.name")
            or name
        )
        yield Candidate(descriptor, own_name)


def _check_kind(document: Object, where: str, *, is_index: bool) -> None:
    """Refuse a document that is both an index and a manifest, as containerd does (CVE-2021-41190)."""
    others, types = (
        (("config", "layers"), mediatypes.MANIFESTS) if is_index else (("manifests",), mediatypes.INDEXES)
    )
    kind, other = ("an index", "a manifest") if is_index else ("a manifest", "an index")
    for key in others:
        if key in document:
            raise InvalidImageError(f"{where}: is listed as {kind}, but has {key!r} like {other}")
    if document.get("mediaType") in types:
        raise InvalidImageError(
            f"{where}: is listed as {kind}, but its media type is that of {other} ({document['mediaType']})"
        )


def images_among(blobs: Blobs, candidates: list[Candidate], where: str) -> list[FoundImage]:
    """Return the images among *candidates* whose manifests are present, each once.

    Raises InvalidImageError, which describes the candidates, if none is an image.
    """
    images: list[FoundImage] = []
    bound: list[FoundImage] = []
    others: list[str] = []
    absent: list[Candidate] = []
    seen: set[str] = set()
    platforms: dict[str, Platform | None] = {}
    for candidate in candidates:
        descriptor, digest = candidate.descriptor, candidate.digest
        if digest in seen:
            continue
        manifest: Object = {}
        what = _artifact_by_descriptor(descriptor)
        if not what and blobs.size(blob_name(digest)) is None:
            if artifact_type := _artifact_type(descriptor):
                what = mediatypes.described([artifact_type])
            else:
                absent.append(candidate)
                continue
        elif not what:
            manifest = read_blob(blobs, digest, "manifest")
            what = _artifact_by_manifest(manifest, _artifact_type(descriptor))
        seen.add(digest)
        if what:
            others.append(f"{what} ({digest})")
            continue
        _check_kind(manifest, f"{blobs.path}: manifest {digest}", is_index=False)
        found = FoundImage(candidate, manifest, _platform(blobs, descriptor, manifest, platforms))
        bound_to_another = manifest.get("subject") is not None or _artifact_type(descriptor, manifest)
        (bound if bound_to_another else images).append(found)
    if images or bound:
        # like containerd, prefer images with a platform in the index to those with one in the configuration
        return sorted(images or bound, key=lambda image: "platform" not in image.candidate.descriptor)
    if absent:
        name = blob_name(absent[0].digest)
        raise InvalidImageError(f"{where}: {name} (a manifest) {blobs.absence(name)}")
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        raise InvalidImageError(f"{where}: index.json lists no image, only {', '.join(others[:3])}{more}")
    raise InvalidImageError(f"{where}: index.json lists no manifest of an image")


def _platform(
    blobs: Blobs, descriptor: Object, manifest: Object, known: dict[str, Platform | None]
) -> Platform | None:
    """Return the platform in *descriptor*, else the one in the image's configuration, like containerd."""
    described = descriptor.get("platform")
    if isinstance(described, dict):
        return normal(described)
    config = manifest.get("config")
    digest = str(config.get("digest")) if isinstance(config, dict) else ""
    if digest not in known:
        try:
            known[digest] = normal(read_blob(blobs, digest, "config"))
        except InvalidImageError:
            known[digest] = None  # the error is raised later if this image is chosen
    return known[digest]


def _artifact_by_descriptor(descriptor: Object) -> str:
    """Return the kind of artifact that *descriptor* describes, "" if it may be an image."""
    media_type = _text(descriptor, "mediaType")
    if annotation(descriptor, "vnd.docker.reference.type"):
        return "an attestation"
    if annotation(descriptor, "io.containerd.manifest.subject"):
        return mediatypes.described([_text(descriptor, "artifactType"), media_type])
    if media_type and media_type not in mediatypes.MANIFESTS:
        return mediatypes.described([_artifact_type(descriptor) or media_type])
    return ""


def _artifact_type(*documents: Object) -> str:
    """Return the first artifact type in *documents*; an image's configuration does not count (OCI 1.1)."""
    types = (_text(document, "artifactType") for document in documents)
    return next((each for each in types if each and each not in mediatypes.CONFIGS), "")


def _artifact_by_manifest(manifest: Object, listed_type: str) -> str:
    """Return the kind of artifact that *manifest* describes, "" for an image or a malformed manifest.

    *listed_type* is the artifact type in the index. A manifest with an image's configuration and a layer of
    files is always an image.
    """
    config = manifest.get("config")
    config_type = _text(config, "mediaType") if isinstance(config, dict) else ""
    artifact_type = listed_type or _artifact_type(manifest)
    layers = manifest.get("layers")
    layer_types = [_text(layer, "mediaType") for layer in layers] if isinstance(layers, list) else []
    if manifest.get("schemaVersion") == 1 and "fsLayers" in manifest:
        return "an image of Docker's old schema 1"
    filesystem = any(mediatypes.is_layer(each) for each in layer_types)
    if config_type in mediatypes.CONFIGS and filesystem:
        return ""
    if artifact_type or manifest.get("subject") is not None or "blobs" in manifest:
        return mediatypes.described([artifact_type, *layer_types, config_type])
    if (config_type and config_type not in mediatypes.CONFIGS and not filesystem) or (
        any(layer_types) and not filesystem
    ):
        return mediatypes.described([*layer_types, config_type])
    return ""


def _text(document: object, key: str) -> str:
    value = document.get(key) if isinstance(document, dict) else None
    return value if isinstance(value, str) else ""
