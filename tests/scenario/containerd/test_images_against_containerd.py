"""The machine's containerd agrees with the answers that other tests pin for thinsim's reading of images."""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenario.containerd.containerd_answers import answering, removed
from tests.workload.image.test_image_archive import Files, put, put_index, written
from tests.workload.image.test_image_documents import EMPTY, INDEX, READ, REFUSED
from tests.workload.image.test_image_platforms import CHOICES, manifest

MISSING = [name for name in ("containerd", "ctr", "runc") if shutil.which(name) is None]

pytestmark = [
    pytest.mark.rig,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: containerd unpacks images as root"),
    pytest.mark.skipif(
        bool(MISSING), reason=f"missing: {', '.join(MISSING)} (apt-get install containerd runc)"
    ),
]


@pytest.fixture
def directory() -> Iterator[Path]:
    with removed(Path(tempfile.mkdtemp(prefix="thinsim-images-"))) as directory:  # sockets need a short path
        yield directory


async def test_containerd_reads_and_refuses_the_same_images(directory: Path) -> None:
    wrong: dict[str, object] = {}
    async with answering(directory, directory) as containerd:
        for name, files in {**READ, **EMPTY}.items():
            refusal = await containerd.of_archive(written(directory, files))
            if refusal is not None:
                wrong[name] = refusal
        for name, (files, _) in REFUSED.items():
            if await containerd.of_archive(written(directory, files)) is None:
                wrong[name] = "imported"
    assert wrong == {}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the choices are those of an amd64")
async def test_containerd_chooses_the_same_image_or_none(directory: Path) -> None:
    wrong: dict[str, object] = {}
    async with answering(directory, directory) as containerd:
        for number, (platforms, used, note) in enumerate(CHOICES):
            files: Files = {}
            contents = [b"%d of %d" % (each, number) for each in range(len(platforms))]
            listed = [manifest(files, *each) for each in zip(contents, platforms, strict=True)]
            index = put(files, {"schemaVersion": 2, "manifests": listed}, mediaType=INDEX)
            index["annotations"] = {"io.containerd.image.name": f"localhost/choice:{number}"}
            answer = await containerd.of_image(written(directory, put_index(files, index)))
            if isinstance(answer, dict):
                right = repr(contents[used]) in answer["file"]
            else:  # here thinsim takes an image for another machine, with a note
                right = answer is not None and "no match for platform" in answer and "the one for" in note
            if not right:
                wrong[" ".join(platforms)] = answer
    assert wrong == {}
