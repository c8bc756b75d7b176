"""Tells images from artifacts among the manifests of an index.

OCI 1.1 lets an index list anything beside images: signatures, lists of software, charts, modules. They are
told by ``artifactType``, by a configuration that is none of an image, or by layers of which none is a file
system's (cosign's signatures have an image's configuration). Only what is left is an image (image-spec,
manifest.md). An image may have a ``subject``, too, or an ``artifactType``: it is one where there is no other.
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
    """A manifest that an index lists, by the name that it was given."""

    descriptor: Object
    name: str

    @property
    def digest(self) -> str:
        """The digest of the manifest."""
        return str(self.descriptor["digest"])


@dataclass(frozen=True, slots=True)
class FoundImage:
    """A manifest of an image that is there, and the platform that it is for, None if nothing says so."""

    candidate: Candidate
    manifest: Object
    platform: Platform | None


def listed(blobs: Blobs, index: Object, where: str) -> Iterator[Candidate]:
    """Yield the manifests that *index* leads to, also through indexes within it; each is read once."""
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
    """Refuse what could be read as an index and as a manifest, as containerd does (CVE-2021-41190)."""
    others, types = (
        (("config", "layers"), mediatypes.MANIFESTS) if is_index else (("manifests",), mediatypes.INDEXES)
    )
    kind, other = ("an index", "a manifest") if is_index else ("a manifest", "an index")
    for key in others:
        if key in document:
            raise InvalidImageError(f"{where}: is listed as {kind} and has {key!r}, as {other} has")
    if document.get("mediaType") in types:
        raise InvalidImageError(
            f"{where}: is listed as {kind} and says that it is {other} ({document['mediaType']})"
        )


def images_among(blobs: Blobs, candidates: list[Candidate], where: str) -> list[FoundImage]:
    """Return the images among *candidates* that are there, each once.

    Raises InvalidImageError, which says what they are, if none is one.
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
        # as in containerd, who says a platform in the index goes before who says it in the configuration
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
    """Return the platform that *descriptor* says, else the image's configuration, as containerd has it."""
    described = descriptor.get("platform")
    if isinstance(described, dict):
        return normal(described)
    config = manifest.get("config")
    digest = str(config.get("digest")) if isinstance(config, dict) else ""
    if digest not in known:
        try:
            known[digest] = normal(read_blob(blobs, digest, "config"))
        except InvalidImageError:
            known[digest] = None  # it is refused for this if it is the one that is used
    return known[digest]


def _artifact_by_descriptor(descriptor: Object) -> str:
    """Return what *descriptor* stands for, "" if that may be an image."""
    media_type = _text(descriptor, "mediaType")
    if annotation(descriptor, "vnd.docker.reference.type"):
        return "an attestation"
    if annotation(descriptor, "io.containerd.manifest.subject"):
        return mediatypes.described([_text(descriptor, "artifactType"), media_type])
    if media_type and media_type not in mediatypes.MANIFESTS:
        return mediatypes.described([_artifact_type(descriptor) or media_type])
    return ""


def _artifact_type(*documents: Object) -> str:
    """Return the type of artifact that *documents* say; an image's configuration is none (OCI 1.1)."""
    types = (_text(document, "artifactType") for document in documents)
    return next((each for each in types if each and each not in mediatypes.CONFIGS), "")


def _artifact_by_manifest(manifest: Object, listed_type: str) -> str:
    """Return what *manifest* is, "" if it is an image's or too malformed to tell.

    *listed_type* is the type of artifact as the index has it. What has an image's configuration and layers
    of files is an image, whatever else it says.
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
