"""Artifacts in an index are skipped in favour of an image; if there is no image, the error names them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.workload.image.test_image_archive import (
    Files,
    layer_tar,
    platform,
    put,
    put_index,
    put_manifest,
    read_layers,
    sha,
    written,
)
from thinsim.workload.image import InvalidImageError, open_image
from thinsim.workload.image.platforms import this_platform

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"

Artifact = tuple[dict[str, Any], str]


def artifact(files: Files, config: str, layer: str, about: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Put a manifest of one blob of the media type *layer* and a configuration of the media type *config*."""
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": put(files, b"{}", mediaType=config),
        "layers": [put(files, f"data of {layer}".encode(), mediaType=layer)],
        **about,
    }
    return put(files, document, **{"mediaType": MANIFEST, **more})


def signature(files: Files) -> dict[str, Any]:
    """Put a signature as cosign does: a manifest with an image's configuration and a signature as layer."""
    return artifact(files, CONFIG, "application/vnd.dev.cosign.simplesigning.v1+json", {})


def schema_1(files: Files) -> dict[str, Any]:
    media_type = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    return put(files, {"schemaVersion": 1, "fsLayers": [], "name": "old"}, mediaType=media_type)


def of_subject(files: Files) -> dict[str, Any]:
    subject = {"mediaType": MANIFEST, "digest": f"sha256:{sha(b'x')}", "size": 1}
    return artifact(files, EMPTY, "text/spdx+json", {"artifactType": "text/spdx+json", "subject": subject})


ARTIFACTS: dict[str, tuple[Any, str]] = {
    "signature": (signature, "a cosign signature"),
    "artifact type in the descriptor": (
        lambda files: artifact(files, EMPTY, "application/x-data", {}, artifactType="application/x-thing"),
        "an artifact of media type 'application/x-thing'",
    ),
    "artifact type in the manifest": (
        lambda files: artifact(files, EMPTY, "application/x-data", {"artifactType": "application/x-thing"}),
        "an artifact of media type 'application/x-thing'",
    ),
    "empty configuration": (
        lambda files: artifact(files, EMPTY, EMPTY, {}),
        "an artifact of media type 'application/vnd.oci.empty.v1+json'",
    ),
    "list of software": (of_subject, "a list of software (SPDX)"),
    "helm chart": (
        lambda files: artifact(
            files,
            "application/vnd.cncf.helm.config.v1+json",
            "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
            {},
        ),
        "a Helm chart",
    ),
    "module": (
        lambda files: artifact(files, "application/vnd.wasm.config.v0+json", "application/wasm", {}),
        "a WebAssembly module",
    ),
    "old schema": (schema_1, "an image of Docker's old schema 1"),
    "manifest nobody knows": (
        lambda files: put(files, {"schemaVersion": 9}, mediaType="application/x-manifest+json"),
        "an artifact of media type 'application/x-manifest+json'",
    ),
    "artifact manifest": (
        lambda files: put(files, {"blobs": []}, mediaType="application/vnd.oci.artifact.manifest.v1+json"),
        "an artifact",
    ),
    "attestation of BuildKit": (
        lambda files: artifact(
            files,
            CONFIG,
            "application/vnd.in-toto+json",
            {},
            annotations={"vnd.docker.reference.type": "attestation-manifest"},
        ),
        "an attestation",
    ),
    "attestation without an annotation": (
        lambda files: artifact(
            files,
            CONFIG,
            "application/vnd.in-toto+json",
            {},
            platform={"os": "unknown", "architecture": "unknown"},
        ),
        "an attestation",
    ),
}


@pytest.mark.parametrize("name", ARTIFACTS)
@pytest.mark.parametrize("nested", [False, True], ids=["in the index", "in an index within it"])
def test_an_artifact_before_the_image_is_skipped(tmp_path: Path, name: str, nested: bool) -> None:
    files: Files = {}
    listed = [ARTIFACTS[name][0](files), put_manifest(files, [layer_tar(b"the image")])]
    if nested:
        index = {"schemaVersion": 2, "manifests": listed}
        listed = [put(files, index, mediaType="application/vnd.oci.image.index.v1+json")]
    path = written(tmp_path, put_index(files, *listed))
    assert read_layers(path) == [layer_tar(b"the image")]
    with open_image(path) as image:
        assert image.note == ""


@pytest.mark.parametrize("name", ARTIFACTS)
def test_an_index_of_only_an_artifact_is_refused_with_the_artifacts_kind(tmp_path: Path, name: str) -> None:
    files: Files = {}
    make, text = ARTIFACTS[name]
    path = written(tmp_path, put_index(files, make(files)))
    with pytest.raises(InvalidImageError) as caught:
        read_layers(path)
    assert f"index.json lists no image, only {text}" in str(caught.value)


def test_the_error_names_a_missing_image_rather_than_its_signature(tmp_path: Path) -> None:
    files: Files = {}
    absent = {"mediaType": MANIFEST, "digest": f"sha256:{sha(b'absent')}", "size": 6}
    path = written(tmp_path, put_index(files, signature(files), absent))
    with pytest.raises(InvalidImageError, match=rf"{sha(b'absent')} \(a manifest\) is missing"):
        read_layers(path)


def test_a_configuration_of_no_known_type_with_layers_of_files_is_an_image(tmp_path: Path) -> None:
    # Docker of 2016 called an image's configuration application/octet-stream
    files: Files = {}
    config = {"rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha(layer_tar())}"]}}
    layer = put(files, layer_tar(), mediaType="application/vnd.docker.image.rootfs.diff.tar.gzip")
    described = put(files, config, mediaType="application/octet-stream")
    manifest = put(files, {"schemaVersion": 2, "config": described, "layers": [layer]}, mediaType=MANIFEST)
    assert read_layers(written(tmp_path, put_index(files, manifest))) == [layer_tar()]


def test_an_image_without_layers_is_one(tmp_path: Path) -> None:
    files: Files = {}
    assert read_layers(written(tmp_path, put_index(files, put_manifest(files, [])))) == []


def test_an_image_for_every_variant_is_preferred_to_one_for_another_variant(tmp_path: Path) -> None:
    files: Files = {}
    special = platform(this_platform())
    special["platform"]["variant"] = "v3"
    first = put_manifest(files, [layer_tar(b"special")], descriptor=special)
    second = put_manifest(files, [layer_tar(b"plain")], descriptor=platform(this_platform()))
    assert read_layers(written(tmp_path, put_index(files, first, second))) == [layer_tar(b"plain")]


def test_a_nondistributable_layer_that_is_there_is_read(tmp_path: Path) -> None:
    for media_type in (
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ):
        files: Files = {}
        manifest = put_manifest(files, [layer_tar()], layer_type=media_type)
        assert read_layers(written(tmp_path, put_index(files, manifest))) == [layer_tar()]


def test_the_error_for_a_missing_nondistributable_layer_explains_where_it_is(tmp_path: Path) -> None:
    files: Files = {}
    media_type = "application/vnd.oci.image.layer.nondistributable.v1.tar"
    layer = {
        "mediaType": media_type,
        "digest": f"sha256:{sha(b'x')}",
        "size": 1,
        "urls": ["https://example.com/x"],
    }
    config = put(files, {"rootfs": {"diff_ids": [f"sha256:{sha(b'x')}"]}}, mediaType=CONFIG)
    manifest = put(files, {"schemaVersion": 2, "config": config, "layers": [layer]}, mediaType=MANIFEST)
    with pytest.raises(InvalidImageError, match=r"nondistributable.*fetch it from https://example\.com/x"):
        read_layers(written(tmp_path, put_index(files, manifest)))


def test_a_layout_of_another_version_is_refused(tmp_path: Path) -> None:
    files: Files = {}
    put_index(files, put_manifest(files, [layer_tar()]))
    files["oci-layout"] = json.dumps({"imageLayoutVersion": "2.0.0"}).encode()
    with pytest.raises(InvalidImageError, match=r"oci-layout: has version '2\.0\.0'"):
        read_layers(written(tmp_path, files))
