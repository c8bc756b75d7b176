"""Documents of an image are read like containerd's: Go's JSON, digests before sizes, no ambiguity."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.workload.image.test_image_archive import (
    Files,
    docker,
    layer_tar,
    oci,
    put,
    put_index,
    put_manifest,
    read_layers,
    sha,
    written,
)
from thinsim.workload.image import InvalidImageError, open_image

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"

Document = dict[str, Any]


def image(
    change_manifest: Callable[[Document], object] = lambda _: None,
    change_config: Callable[[Document], object] = lambda _: None,
    layers: tuple[bytes, ...] = (layer_tar(),),
    **more: Any,
) -> Files:
    """Return the files of an image whose documents were changed before their digests were taken."""
    files: Files = {}
    config: Document = {
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha(layer)}" for layer in layers]}
    }
    change_config(config)
    manifest: Document = {
        "schemaVersion": 2,
        "config": put(files, config, mediaType=CONFIG),
        "layers": [put(files, layer, mediaType=LAYER) for layer in layers],
    }
    change_manifest(manifest)
    named = {
        "annotations": {"io.containerd.image.name": "localhost/image:1"}
    }  # ctr unpacks only named images
    return put_index(files, put(files, manifest, mediaType=MANIFEST, **named, **more))


def renamed(old: str, new: str) -> Callable[[Document], object]:
    return lambda document: document.update({new: document.pop(old)})


def index_text(change: Callable[[bytes], bytes]) -> Files:
    files = image()
    return {**files, "index.json": change(files["index.json"])}


def docker_text(old: bytes, new: bytes) -> Files:
    files = docker([layer_tar()], RepoTags=None)
    assert old in files["manifest.json"]
    return {**files, "manifest.json": files["manifest.json"].replace(old, new)}


READ: dict[str, Files] = {
    "names of fields in another case": image(renamed("layers", "Layers"), renamed("rootfs", "RootFS")),
    "names of docker's fields in lower case": docker_text(b'"Layers"', b'"layers"'),
    "two fields of one name": index_text(lambda text: b'{"manifests": [],' + text[1:]),
    "two fields of names that differ in case": index_text(lambda text: b'{"Manifests": [],' + text[1:]),
    "null for a platform": image(platform=None),
    "bytes that are no UTF-8": index_text(lambda text: b'{"annotations": {"a": "\xe9"},' + text[1:]),
    "no media type in the manifest": image(),
    "a size that is too large": image(lambda manifest: manifest["layers"][0].update(size=1 << 40)),
    "a size of 0": image(lambda manifest: manifest["layers"][0].update(size=0)),
    "no size": image(lambda manifest: manifest["layers"][0].pop("size")),
    "the size of a configuration is wrong": image(lambda manifest: manifest["config"].update(size=1)),
    "an image with a subject": image(
        lambda manifest: manifest.update(subject={"mediaType": MANIFEST, "digest": "sha256:0", "size": 1})
    ),
    "an image with a type of artifact": image(lambda manifest: manifest.update(artifactType="application/x")),
    "listed as an artifact": image(artifactType="application/x"),
    "listed as an artifact of an image's configuration": image(artifactType=CONFIG),
}


@pytest.mark.parametrize("name", READ)
def test_documents_that_containerd_reads_are_read(tmp_path: Path, name: str) -> None:
    assert read_layers(written(tmp_path, READ[name])) == [layer_tar()]


EMPTY: dict[str, Files] = {
    "empty lists": image(layers=()),
    "layers null": image(lambda manifest: manifest.update(layers=None), layers=()),
    "no layers": image(lambda manifest: manifest.pop("layers"), layers=()),
    "diff_ids null": image(change_config=lambda config: config["rootfs"].update(diff_ids=None), layers=()),
    "no diff_ids": image(change_config=lambda config: config["rootfs"].pop("diff_ids"), layers=()),
    "no rootfs": image(change_config=lambda config: config.pop("rootfs"), layers=()),
    "layers of docker null": docker([], Layers=None),
}


@pytest.mark.parametrize("name", EMPTY)
def test_an_image_of_no_layers_may_have_null_for_its_lists(tmp_path: Path, name: str) -> None:
    assert read_layers(written(tmp_path, EMPTY[name])) == []


REFUSED: dict[str, tuple[Files, str]] = {
    "a manifest that has manifests": (
        image(lambda manifest: manifest.update(manifests=[])),
        r"is listed as a manifest, but has 'manifests' like an index",
    ),
    "a manifest that says it is an index": (
        image(lambda manifest: manifest.update(mediaType=INDEX)),
        "is listed as a manifest, but its media type is that of an index",
    ),
    "a byte order mark": (index_text(lambda text: b"\xef\xbb\xbf" + text), r"index\.json: is not JSON"),
    "UTF-16": (index_text(lambda text: text.decode().encode("utf-16")), r"index\.json: is not JSON"),
    "NaN": (index_text(lambda text: b'{"x": NaN,' + text[1:]), "is not JSON: NaN is not a number in JSON"),
    "something after the document": (index_text(lambda text: text + b"{}"), r"index\.json: is not JSON"),
    "layers without a rootfs": (image(change_config=lambda config: config.pop("rootfs")), "no 'rootfs'"),
    "layers without diff_ids": (
        image(change_config=lambda config: config["rootfs"].update(diff_ids=None)),
        "no 'diff_ids'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_documents_that_containerd_refuses_are_refused(tmp_path: Path, name: str) -> None:
    files, text = REFUSED[name]
    with pytest.raises(InvalidImageError, match=text):
        read_layers(written(tmp_path, files))


@pytest.mark.parametrize("field", ["config", "layers"])
def test_an_index_that_could_be_a_manifest_is_refused(tmp_path: Path, field: str) -> None:
    files: Files = {}
    index = {"schemaVersion": 2, "manifests": [put_manifest(files, [layer_tar()])], field: []}
    with pytest.raises(InvalidImageError, match=rf"is listed as an index, but has '{field}' like a manifest"):
        read_layers(written(tmp_path, put_index(files, put(files, index, mediaType=INDEX))))


def test_an_image_of_its_own_goes_before_one_that_belongs_to_another(tmp_path: Path) -> None:
    bound = image(
        lambda manifest: manifest.update(artifactType="application/x"), layers=(layer_tar(b"bound"),)
    )
    own = image(layers=(layer_tar(b"own"),))
    listed = [json.loads(files["index.json"])["manifests"][0] for files in (bound, own)]
    assert read_layers(written(tmp_path, put_index({**bound, **own}, *listed))) == [layer_tar(b"own")]


def test_indexes_that_list_each_other_many_times_are_read_once(tmp_path: Path) -> None:
    files: Files = {}
    listed = put_manifest(files, [layer_tar()])
    for level in range(300):
        # reading every path through the indexes would take 50 ** 300 reads
        listed = put(files, {"schemaVersion": 2, "manifests": [listed] * 50, "level": level}, mediaType=INDEX)
    with open_image(written(tmp_path, put_index(files, listed))) as opened:
        assert opened.note == ""
        assert [layer.diff_id for layer in opened.layers] == [f"sha256:{sha(layer_tar())}"]


def test_text_of_an_image_is_escaped_for_the_terminal(tmp_path: Path) -> None:
    named = {
        "annotations": {"io.containerd.image.name": "a\x1b[2J\ud800\n" + "x" * 300},
        "platform": {"os": "\x1b[31m", "architecture": "x"},
    }
    with open_image(written(tmp_path, oci([layer_tar()], descriptor=named))) as opened:
        assert "the one for \\x1b[31m/x is used" in opened.note
        assert opened.name.startswith("a\\x1b[2J\\ud800\\n")
        assert len(opened.name) < 250
    bad = oci([layer_tar()], layer_type=f"{LAYER}+\x1b[31m+encrypted")
    with pytest.raises(InvalidImageError, match="is encrypted") as caught:
        read_layers(written(tmp_path, bad))
    assert str(caught.value).isprintable()


def test_the_error_for_a_missing_configuration_calls_it_config(tmp_path: Path) -> None:
    files = image()
    name = next(name for name, data in files.items() if data.startswith(b'{"rootfs"'))
    with pytest.raises(InvalidImageError, match=rf"{name} \(config\) is missing"):
        read_layers(written(tmp_path, {key: data for key, data in files.items() if key != name}))
