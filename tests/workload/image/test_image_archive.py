"""Image archives of every format are opened, and every fault in one is named."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from thinsim.workload.image import InvalidImageError, open_image
from thinsim.workload.image.platforms import this_platform

Files = dict[str, bytes]
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
}


def layer_tar(content: bytes = b"content") -> bytes:
    return tar_bytes({"file": content})


def tar_bytes(files: Files, links: dict[str, str] | None = None) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return stream.getvalue()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(files: Files, data: bytes | Any, **more: Any) -> dict[str, Any]:
    """Add a blob (bytes, or a document) and return its descriptor."""
    if not isinstance(data, bytes):
        data = json.dumps(data).encode()
    files[f"blobs/sha256/{sha(data)}"] = data
    return {"digest": f"sha256:{sha(data)}", "size": len(data), **more}


def put_manifest(
    files: Files, layers: list[bytes], compress: Callable[[bytes], bytes] = bytes, **more: Any
) -> dict[str, Any]:
    ids = [f"sha256:{sha(layer)}" for layer in layers]
    config = put(files, {"rootfs": {"type": "layers", "diff_ids": ids}})
    blobs = [put(files, compress(layer), mediaType=more.get("layer_type", LAYER_TYPE)) for layer in layers]
    media_type = "application/vnd.oci.image.manifest.v1+json"
    manifest = put(files, {"schemaVersion": 2, "config": config, "layers": blobs}, mediaType=media_type)
    return {**manifest, **more.get("descriptor", {})}


def put_index(files: Files, *manifests: dict[str, Any]) -> Files:
    files["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()
    return files


def oci(layers: list[bytes], compress: Callable[[bytes], bytes] = bytes, **more: Any) -> Files:
    files: Files = {}
    return put_index(files, put_manifest(files, layers, compress, **more))


def written(tmp_path: Path, files: Files, links: dict[str, str] | None = None) -> Path:
    path = tmp_path / "image.tar"
    path.write_bytes(tar_bytes(files, links))
    return path


def read_layers(path: Path) -> list[bytes]:
    contents = []
    with open_image(path) as image:
        for layer in image.layers:
            with layer.open() as stream:
                contents.append(stream.read())
    return contents


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_layers_of_an_oci_archive_are_read_in_every_compression(tmp_path: Path, compression: str) -> None:
    layers = [layer_tar(b"one"), layer_tar(bytes(3 << 20))]
    path = written(tmp_path, oci(layers, COMPRESSIONS[compression]))
    assert read_layers(path) == layers


def test_an_image_has_the_name_digest_and_sizes_of_its_manifest(tmp_path: Path) -> None:
    named = {"annotations": {"org.opencontainers.image.ref.name": "v1"}}
    path = written(tmp_path, oci([layer_tar()], descriptor=named))
    with open_image(path) as image:
        index = json.loads(oci([layer_tar()])["index.json"])
        assert (image.name, image.digest, image.note) == ("v1", index["manifests"][0]["digest"], "")
        assert [(layer.digest, layer.media_type, layer.size) for layer in image.layers] == [
            (f"sha256:{sha(layer_tar())}", LAYER_TYPE, len(layer_tar()))
        ]


def test_an_unpacked_layout_is_read_as_an_archive_is(tmp_path: Path) -> None:
    for name, data in oci([layer_tar()], gzip.compress).items():
        path = tmp_path / "layout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert read_layers(tmp_path / "layout") == [layer_tar()]


def platform(text: str) -> dict[str, Any]:
    system, _, architecture = text.partition("/")
    return {"platform": {"os": system, "architecture": architecture}}


def test_the_manifest_for_this_platform_is_found_in_a_nested_index(tmp_path: Path) -> None:
    files: Files = {}
    other = put_manifest(files, [layer_tar(b"other")], descriptor=platform("linux/other"))
    mine = put_manifest(files, [layer_tar(b"mine")], descriptor=platform(this_platform()))
    absent = {"digest": f"sha256:{sha(b'absent')}", "size": 1, **platform(this_platform())}
    index = put(
        files,
        {"schemaVersion": 2, "manifests": [other, absent, mine]},
        mediaType="application/vnd.oci.image.index.v1+json",
    )
    path = written(tmp_path, put_index(files, index))
    assert read_layers(path) == [layer_tar(b"mine")]


def test_another_platform_is_used_with_a_note_when_there_is_no_other(tmp_path: Path) -> None:
    path = written(tmp_path, oci([layer_tar()], descriptor=platform("plan9/vax")))
    with open_image(path) as image:
        assert image.note == f"the archive has no image for {this_platform()}; the one for plan9/vax is used"


def docker(layers: list[bytes], about: dict[str, str] | None = None, **more: Any) -> Files:
    files = {f"{number}/layer.tar": layer for number, layer in enumerate(layers)}
    ids = [f"sha256:{sha(layer)}" for layer in layers]
    about = platform(this_platform())["platform"] if about is None else about
    config = json.dumps({**about, "rootfs": {"type": "layers", "diff_ids": ids}}).encode()
    manifest = {"Config": f"{sha(config)}.json", "RepoTags": ["app:1"], "Layers": list(files), **more}
    return {**files, f"{sha(config)}.json": config, "manifest.json": json.dumps([manifest]).encode()}


def test_a_docker_archive_is_read(tmp_path: Path) -> None:
    layers = [layer_tar(b"one"), layer_tar(b"two")]
    path = written(tmp_path, docker(layers))
    assert read_layers(path) == layers
    with open_image(path) as image:
        assert image.name == "app:1"
        assert [layer.digest for layer in image.layers] == [f"sha256:{sha(layer)}" for layer in layers]


def test_a_layer_that_old_docker_save_linked_to_another_is_found(tmp_path: Path) -> None:
    files = docker([layer_tar(), layer_tar()])
    del files["1/layer.tar"]
    path = written(tmp_path, files, links={"1/layer.tar": "../0/layer.tar"})
    assert read_layers(path) == [layer_tar(), layer_tar()]


def test_todays_docker_save_is_read_as_oci(tmp_path: Path) -> None:
    path = written(tmp_path, oci([layer_tar(b"oci")]) | {"manifest.json": b"[]"})
    assert read_layers(path) == [layer_tar(b"oci")]


def changed(files: Files, name: str, data: bytes | None) -> Files:
    files = dict(files)
    if data is None:
        del files[name]
    else:
        files[name] = data
    return files


def blob(data: bytes) -> str:
    return f"blobs/sha256/{sha(data)}"


def manifest_of(files: Files) -> str:
    digest = str(json.loads(files["index.json"])["manifests"][0]["digest"])
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


GOOD = oci([layer_tar()])
FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
FAULTS: dict[str, tuple[Files, str]] = {
    "no manifest": ({"other": b""}, "neither index.json"),
    "bad index": (changed(GOOD, "index.json", b"{"), "index.json: is not JSON"),
    "index not UTF-8": (changed(GOOD, "index.json", b"\xff\xfe\xfd"), "index.json: is not JSON"),
    "index nested beyond reason": (changed(GOOD, "index.json", b"[" * 200_000), "index.json: is not JSON"),
    "index a list": (changed(GOOD, "index.json", b"[]"), "is not an object"),
    "no manifests": (changed(GOOD, "index.json", b"{}"), "has no 'manifests'"),
    "empty index": (changed(GOOD, "index.json", b'{"manifests": []}'), "lists no manifest"),
    "path for a digest": (
        changed(GOOD, "index.json", b'{"manifests": [{"digest": "sha256:../../../etc/passwd"}]}'),
        "is not a sha256 digest",
    ),
    "manifest missing": (changed(GOOD, manifest_of(GOOD), None), "a manifest. is missing"),
    "manifest changed": (changed(GOOD, manifest_of(GOOD), b"{}"), "wrong content"),
    "layer missing": (changed(GOOD, blob(layer_tar()), None), "layer sha256:.* is missing"),
    "layer of another size": (
        changed(GOOD, blob(layer_tar()), b"short"),
        "5 bytes; the manifest states 10240",
    ),
    "layer changed": (changed(GOOD, blob(layer_tar()), bytes(len(layer_tar()))), "wrong content: digest"),
    "encrypted": (oci([layer_tar()], layer_type=f"{LAYER_TYPE}+gzip+encrypted"), "is encrypted"),
    "nondistributable and not there": (
        changed(oci([layer_tar()], layer_type=FOREIGN), blob(layer_tar()), None),
        "is missing: it is nondistributable",
    ),
    "not a layer": (
        oci([layer_tar()], layer_type="application/x-unknown"),
        "lists no image, only an artifact of media type 'application/x-unknown'",
    ),
    "damaged gzip": (oci([layer_tar()], lambda data: gzip.compress(data)[:-9]), "damaged gzip"),
    "damaged zstd": (
        oci([layer_tar()], lambda data: zstandard.ZstdCompressor().compress(data)[:6] + bytes(50)),
        "damaged zstd|wrong content",
    ),
    "zstd cut short": (
        oci([layer_tar()], lambda data: zstandard.ZstdCompressor().compress(data)[:-5]),
        "damaged zstd|wrong content",
    ),
    "another tar than the config says": (
        oci([layer_tar()], lambda _: gzip.compress(b"other")),
        "wrong content",
    ),
    "docker: bad manifest": (changed(docker([]), "manifest.json", b"[1]"), "is not an object"),
    "docker: no images": (changed(docker([]), "manifest.json", b"[]"), "lists no image"),
    "docker: path of the host": (
        docker([layer_tar()], Layers=["/etc/passwd"]),
        "layer '/etc/passwd' is missing",
    ),
    "docker: config of the host": (docker([], Config="../../../etc/passwd"), "passwd is missing"),
    "docker: fewer layers": (docker([layer_tar()], Layers=[]), "1 diff_ids for 0 layers"),
    "docker: layer changed": (changed(docker([layer_tar()]), "0/layer.tar", b"x"), "wrong content"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_malformed_image_is_refused_with_its_file_and_fault(tmp_path: Path, name: str) -> None:
    files, text = FAULTS[name]
    path = written(tmp_path, files)
    with pytest.raises(InvalidImageError, match=text) as caught:
        read_layers(path)
    assert str(caught.value).startswith(str(path))


def test_a_file_that_is_not_a_tar_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    for data, text in [
        (b"", "not a tar"),
        (b"#!/bin/sh\n", "is a script"),
        (b"x" * 4096, "not a tar"),
        (gzip.compress(tar_bytes(GOOD)), "decompress it first"),
    ]:
        path.write_bytes(data)
        with pytest.raises(InvalidImageError, match=text):
            read_layers(path)
    with pytest.raises(InvalidImageError, match="No such file"):
        read_layers(tmp_path / "absent")


@pytest.mark.parametrize("cut", [1, 3, 7])
def test_a_truncated_archive_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "image.tar"
    data = tar_bytes(oci([layer_tar(bytes(3 << 20))]))
    path.write_bytes(data[: len(data) * cut // 8])
    with pytest.raises(InvalidImageError):
        read_layers(path)


def test_a_layout_cannot_make_a_symlink_of_a_blob(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(GOOD["index.json"])
    (tmp_path / "layout").mkdir()
    (tmp_path / "layout/index.json").symlink_to(secret)
    with pytest.raises(
        InvalidImageError, match=r"index\.json is a symlink, which thinsim does not follow.*cp -rL"
    ):
        read_layers(tmp_path / "layout")


def test_two_layers_can_be_read_at_once(tmp_path: Path) -> None:
    layers = [layer_tar(b"one"), layer_tar(b"two")]
    path = written(tmp_path, oci(layers, gzip.compress))
    with open_image(path) as image, image.layers[0].open() as first, image.layers[1].open() as second:
        start = first.read(100)
        assert second.read() == layers[1]
        assert start + first.read() == layers[0]
