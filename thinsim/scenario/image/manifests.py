"""Tells images from artifacts among the manifests of an index, and chooses the image.

OCI 1.1 lets an index list anything beside images: signatures, lists of software, charts, modules. They are
told by ``artifactType``, by a configuration that is none of an image, or by layers of which none is a file
system's (cosign's signatures have an image's configuration). Only what is left is an image (image-spec,
manifest.md).
"""

import platform
from collections.abc import Iterator
from dataclasses import dataclass

from thinsim.scenario.image import mediatypes
from thinsim.scenario.image.blobs import Blobs
from thinsim.scenario.image.digests import checked_digest
from thinsim.scenario.image.documents import Object, annotation, blob_name, objects, read_blob
from thinsim.scenario.image.errors import InvalidImageError

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm"}
_RUN_BY = {"linux/amd64": "linux/386", "linux/arm64": "linux/arm"}
_PLAIN_VARIANTS = ("", "v1", "v8")
_DEEPEST_INDEX = 4


@dataclass(frozen=True, slots=True)
class Candidate:
    """A manifest that an index lists, by the name that it was given."""

    descriptor: Object
    name: str

    @property
    def digest(self) -> str:
        """The digest of the manifest."""
        return str(self.descriptor["digest"])

    @property
    def platform(self) -> str:
        """The platform in Go's words (``linux/amd64``), "" if it is not said."""
        described = self.descriptor.get("platform")
        if not isinstance(described, dict):
            return ""
        return f"{described.get('os', '')}/{described.get('architecture', '')}"

    @property
    def variant(self) -> str:
        """The processor's variant, "" if it is not said."""
        described = self.descriptor.get("platform")
        return str(described.get("variant", "")) if isinstance(described, dict) else ""


def this_platform() -> str:
    """Return this machine's platform in Go's words: ``linux/amd64``."""
    machine = platform.machine()
    return f"linux/{_ARCHITECTURES.get(machine, machine)}"


def listed(
    blobs: Blobs, index: Object, where: str, name: str = "", depth: int = _DEEPEST_INDEX
) -> Iterator[Candidate]:
    """Yield the manifests that *index* leads to, also through indexes within it."""
    for descriptor in objects(index, "manifests", where):
        digest = checked_digest(descriptor.get("digest"), where)
        own_name = (
            annotation(descriptor, "io.containerd.image.name")
            or annotation(descriptor, "org.opencontainers.image.ref.name")
            or name
        )
        if descriptor.get("mediaType") not in mediatypes.INDEXES:
            yield Candidate(descriptor, own_name)
        elif depth == 0:
            raise InvalidImageError(f"{where}: indexes are nested too deep")
        elif blobs.size(blob_name(digest)) is not None:
            nested = read_blob(blobs, digest, "index")
            yield from listed(blobs, nested, f"{blobs.path}: index {digest}", own_name, depth - 1)


def images_among(blobs: Blobs, candidates: list[Candidate], where: str) -> list[tuple[Candidate, Object]]:
    """Return the images among *candidates* that are there, each with its manifest.

    Raises InvalidImageError, which says what they are, if none is one.
    """
    images: list[tuple[Candidate, Object]] = []
    others: list[str] = []
    absent: list[Candidate] = []
    for candidate in candidates:
        if what := _artifact_by_descriptor(candidate.descriptor):
            others.append(f"{what} ({candidate.digest})")
        elif blobs.size(blob_name(candidate.digest)) is None:
            absent.append(candidate)
        else:
            manifest = read_blob(blobs, candidate.digest, "manifest")
            if what := _artifact_by_manifest(manifest):
                others.append(f"{what} ({candidate.digest})")
            else:
                images.append((candidate, manifest))
    if images:
        return images
    if absent:
        name = blob_name(absent[0].digest)
        raise InvalidImageError(f"{where}: {name} (a manifest) {blobs.absence(name)}")
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        raise InvalidImageError(f"{where}: index.json lists no image, only {', '.join(others[:3])}{more}")
    raise InvalidImageError(f"{where}: index.json lists no manifest of an image")


def _artifact_by_descriptor(descriptor: Object) -> str:
    """Return what *descriptor* stands for, "" if that may be an image."""
    media_type, artifact_type = (_text(descriptor, key) for key in ("mediaType", "artifactType"))
    if annotation(descriptor, "vnd.docker.reference.type"):
        return "an attestation"
    if annotation(descriptor, "io.containerd.manifest.subject"):
        return mediatypes.described([artifact_type, media_type])
    if artifact_type or (media_type and media_type not in mediatypes.MANIFESTS):
        return mediatypes.described([artifact_type or media_type])
    return ""


def _artifact_by_manifest(manifest: Object) -> str:
    """Return what *manifest* is, "" if it is an image's or too malformed to tell."""
    config = manifest.get("config")
    config_type = _text(config, "mediaType") if isinstance(config, dict) else ""
    artifact_type = _text(manifest, "artifactType")
    layers = manifest.get("layers")
    layer_types = [_text(layer, "mediaType") for layer in layers] if isinstance(layers, list) else []
    if manifest.get("schemaVersion") == 1 and "fsLayers" in manifest:
        return "an image of Docker's old schema 1"
    if artifact_type or manifest.get("subject") is not None or "blobs" in manifest:
        return mediatypes.described([artifact_type, *layer_types, config_type])
    filesystem = any(mediatypes.is_layer(each) for each in layer_types)
    if (config_type and config_type not in mediatypes.CONFIGS and not filesystem) or (
        any(layer_types) and not filesystem
    ):
        return mediatypes.described([*layer_types, config_type])
    return ""


def _text(document: object, key: str) -> str:
    value = document.get(key) if isinstance(document, dict) else None
    return value if isinstance(value, str) else ""


def chosen(images: list[tuple[Candidate, Object]]) -> tuple[Candidate, Object, str]:
    """Prefer this platform, then one that names none, then one that this runs, then the first.

    The third is a note, "" if the choice is plain.
    """
    wanted = this_platform()
    for acceptable in (wanted, ""):
        fitting = [image for image in images if image[0].platform == acceptable]
        if fitting:
            plain = [image for image in fitting if image[0].variant in _PLAIN_VARIANTS] or fitting
            note = f"the archive has {len(fitting)} images for {wanted}; the first is used"
            return *plain[0], note if len(fitting) > 1 else ""
    candidate, manifest = next(
        (image for image in images if image[0].platform == _RUN_BY.get(wanted)), images[0]
    )
    return (
        candidate,
        manifest,
        f"the archive has no image for {wanted}; the one for {candidate.platform} is used",
    )
