"""These are the media types of OCI and Docker for layers, configurations, manifests, indexes and artifacts.

The layer types are those for which containerd has a processor (``core/images/mediatypes.go``).
"""

from collections.abc import Sequence

_OCI_LAYERS = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
)
_DOCKER_LAYERS = (
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
)
LAYERS = frozenset(
    {*_OCI_LAYERS, *(f"{base}{suffix}" for base in _DOCKER_LAYERS for suffix in ("", ".gzip", ".zstd"))}
)
INDEXES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)
MANIFESTS = frozenset(
    {
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    }
)
CONFIGS = frozenset(
    {
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
    }
)

_KNOWN = (
    ("application/vnd.dev.cosign.simplesigning", "a cosign signature"),
    ("application/vnd.dev.sigstore", "a sigstore signature"),
    ("application/vnd.cncf.notary.signature", "a Notary signature"),
    ("application/vnd.in-toto", "an attestation"),
    ("application/vnd.dsse.envelope", "an attestation"),
    ("application/spdx", "a list of software (SPDX)"),
    ("text/spdx", "a list of software (SPDX)"),
    ("application/vnd.cyclonedx", "a list of software (CycloneDX)"),
    ("application/vnd.syft", "a list of software (Syft)"),
    ("application/vnd.cncf.helm", "a Helm chart"),
    ("application/vnd.wasm", "a WebAssembly module"),
    ("application/wasm", "a WebAssembly module"),
    ("application/vnd.docker.distribution.manifest.v1", "an image of Docker's old schema 1"),
    ("application/vnd.docker.ai", "a model"),
    ("application/vnd.cncf.model", "a model"),
    ("application/vnd.ollama", "a model"),
    ("application/vnd.docker.compose", "a Compose project"),
    ("application/vnd.docker.plugin", "a Docker plugin"),
    ("application/vnd.buildkit.cacheconfig", "a build cache of BuildKit"),
    ("application/vnd.containerd.container.criu", "a container's checkpoint"),
)


def base_of(media_type: str) -> str:
    """Return *media_type* without its suffix after a plus, which names a layer's compression."""
    return media_type.partition("+")[0]


def is_layer(media_type: str) -> bool:
    """Return whether containerd unpacks blobs of this type, encrypted or not."""
    return base_of(media_type) in LAYERS


def is_nondistributable(media_type: str) -> bool:
    """Return whether registries and archives may leave out blobs of this type."""
    return "nondistributable" in media_type or ".foreign." in media_type


def described(media_types: Sequence[str]) -> str:
    """Return a name for an artifact of these types: ``a Helm chart``, or ``an artifact`` and the first."""
    for start, name in _KNOWN:
        if any(media_type.startswith(start) for media_type in media_types):
            return name
    named = [media_type for media_type in media_types if media_type]
    return f"an artifact of media type {named[0]!r}" if named else "an artifact"
