"""The image for this machine's platform is used; platforms are compared as containerd compares them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.workload.image.test_image_archive import (
    Files,
    docker,
    layer_tar,
    put,
    put_index,
    read_layers,
    sha,
    written,
)
from thinsim.workload.image import open_image
from thinsim.workload.image.platforms import Platform, best, normal, platforms_run

INDEX = "application/vnd.oci.image.index.v1+json"


CHOICES: list[tuple[tuple[str, ...], int, str]] = [
    (("linux/arm64", "linux/amd64"), 1, ""),
    (("linux/amd64/v3", "linux/386"), 1, "no image for linux/amd64; the one for linux/386 is used"),
    (("linux/amd64/v3", "linux/amd64"), 1, ""),
    (("linux/amd64/v3", "linux/amd64/v1"), 1, ""),
    (
        ("linux/amd64/v3", "linux/amd64/v2"),
        0,
        "no image for linux/amd64; the one for linux/amd64/v3 is used",
    ),
    (("linux/arm64", "linux/x86_64"), 1, ""),
    (("linux/arm64", "Linux/AMD64"), 1, ""),
    (("linux/arm64", "/amd64"), 1, ""),
    (("linux/arm64", "linux/i386"), 1, "no image for linux/amd64; the one for linux/386 is used"),
    (("windows/amd64", "linux/amd64"), 1, ""),
    (("windows/amd64",), 0, "no image for linux/amd64; the one for windows/amd64 is used"),
    (("linux/amd64", "linux/amd64"), 0, "the archive has 2 images for linux/amd64; the first is used"),
]
"""Platforms of the images of an index, the number of the image that amd64 uses, and the end of the note."""


@pytest.fixture(autouse=True)
def amd64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


def described(text: str) -> dict[str, str]:
    return dict(zip(("os", "architecture", "variant"), text.split("/"), strict=False))


def manifest(files: Files, content: bytes, listed: str | None, configured: str = "") -> dict[str, Any]:
    """Put an image of one layer; the index, the configuration or both name its platform."""
    layer = layer_tar(content)
    config = {**described(configured), "rootfs": {"diff_ids": [f"sha256:{sha(layer)}"]}}
    document = {
        "schemaVersion": 2,
        "config": put(files, config, mediaType="application/vnd.oci.image.config.v1+json"),
        "layers": [put(files, layer, mediaType="application/vnd.oci.image.layer.v1.tar")],
    }
    more = {} if listed is None else {"platform": described(listed)}
    return put(files, document, mediaType="application/vnd.oci.image.manifest.v1+json", **more)


@pytest.mark.parametrize(("platforms", "used", "note"), CHOICES)
@pytest.mark.parametrize("where", ["in the index", "in the configuration"])
def test_the_image_for_this_machine_is_used(
    tmp_path: Path, platforms: tuple[str, ...], used: int, note: str, where: str
) -> None:
    files: Files = {}
    said = [(None, each) if where == "in the configuration" else (each, "") for each in platforms]
    images = [manifest(files, b"%d" % number, *each) for number, each in enumerate(said)]
    nested = put(files, {"schemaVersion": 2, "manifests": images}, mediaType=INDEX)
    path = written(tmp_path, put_index(files, nested))
    assert read_layers(path) == [layer_tar(b"%d" % used)]
    with open_image(path) as image:
        assert image.note == "" if not note else image.note.endswith(note)


def test_a_platform_in_the_index_is_preferred_to_one_in_the_configuration(tmp_path: Path) -> None:
    files: Files = {}
    images = [manifest(files, b"0", None, "linux/amd64"), manifest(files, b"1", "linux/amd64")]
    assert read_layers(written(tmp_path, put_index(files, *images))) == [layer_tar(b"1")]


def test_an_image_under_two_names_is_one(tmp_path: Path) -> None:
    files: Files = {}
    listed = manifest(files, b"0", None, "linux/amd64")
    first, second = ({**listed, "annotations": {"io.containerd.image.name": name}} for name in ("one", "two"))
    with open_image(written(tmp_path, put_index(files, first, second))) as image:
        assert (image.name, image.note) == ("one", "")


def test_the_image_for_this_machine_is_used_from_several_of_docker_save(tmp_path: Path) -> None:
    files: Files = {}
    listed = []
    for number, architecture in enumerate(("arm64", "amd64", "s390x")):
        layer = layer_tar(architecture.encode())
        config = json.dumps(
            {"os": "linux", "architecture": architecture, "rootfs": {"diff_ids": [f"sha256:{sha(layer)}"]}}
        ).encode()
        files |= {f"{number}.json": config, f"{number}/layer.tar": layer}
        listed.append({"Config": f"{number}.json", "RepoTags": None, "Layers": [f"{number}/layer.tar"]})
    for images, used, note in [
        (listed, b"amd64", ""),
        (
            [listed[2], listed[0]],
            b"s390x",
            "the archive has no image for linux/amd64; the one for linux/s390x is used",
        ),
    ]:
        path = written(tmp_path, {**files, "manifest.json": json.dumps(images).encode()})
        assert read_layers(path) == [layer_tar(used)]
        with open_image(path) as image:
            assert image.note == note


def test_an_image_of_docker_save_without_a_platform_is_used(tmp_path: Path) -> None:
    with open_image(written(tmp_path, docker([layer_tar()], {}))) as image:
        assert image.note == ""


def test_the_note_counts_images_that_name_no_platform() -> None:
    assert best([None, None]) == (0, "the archive has 2 images that name no platform; the first is used")


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/aarch64", Platform("linux", "arm64")),
        ("linux/arm64/v8", Platform("linux", "arm64")),
        ("linux/arm", Platform("linux", "arm", "v7")),
        ("linux/arm/6", Platform("linux", "arm", "v6")),
        ("linux/armhf", Platform("linux", "arm", "v7")),
        ("linux/armel/v5", Platform("linux", "arm", "v6")),
        ("linux/i386/x", Platform("linux", "386")),
        ("macOS/amd64/v1", Platform("darwin", "amd64")),
        ("linux/x86-64/v4", Platform("linux", "amd64", "v4")),
        ("linux/", None),
    ],
)
def test_platforms_are_named_as_containerd_names_them(text: str, platform: Platform | None) -> None:
    assert normal(described(text)) == platform


@pytest.mark.parametrize(
    ("machine", "run"),
    [
        ("x86_64", "linux/amd64 linux/386"),
        ("i686", "linux/386"),
        ("aarch64", "linux/arm64 linux/arm/v8 linux/arm/v7 linux/arm/v6 linux/arm/v5"),
        ("armv7l", "linux/arm/v7 linux/arm/v6 linux/arm/v5"),
        ("armv6l", "linux/arm/v6 linux/arm/v5"),
        ("riscv64", "linux/riscv64"),
    ],
)
def test_a_machine_runs_its_own_platform_first(
    monkeypatch: pytest.MonkeyPatch, machine: str, run: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert " ".join(map(str, platforms_run())) == run
