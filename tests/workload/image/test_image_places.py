"""The error for a path that is not an image names its kind and a command that makes an image."""

import gzip
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tests.workload.image.tar_building import GNU, archive, file, header, octal, padded, pax
from tests.workload.image.test_image_archive import (
    Files,
    docker,
    layer_tar,
    oci,
    put_index,
    put_manifest,
    read_layers,
    tar_bytes,
    written,
)
from thinsim.workload.image import InvalidImageError

NO_IMAGE = "has neither index.json .* nor manifest.json"


def laid_out(place: Path, files: Files) -> Path:
    for name, data in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return place


def linked(tmp_path: Path, which: Callable[[str], bool]) -> Path:
    """Make a layout some of whose files are symlinks to the files of another."""
    laid_out(tmp_path / "store", oci([layer_tar()]))
    for path in sorted((tmp_path / "store").rglob("*")):
        name = str(path.relative_to(tmp_path / "store"))
        if path.is_file():
            target = tmp_path / "layout" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if which(name):
                target.symlink_to(path)
            else:
                shutil.copy(path, target)
    return tmp_path / "layout"


def fault(path: Path) -> str:
    with pytest.raises(InvalidImageError) as caught:
        read_layers(path)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


@pytest.mark.parametrize(
    "which",
    [lambda name: True, lambda name: name.startswith("blobs"), lambda name: name == "index.json"],
    ids=["all", "blobs", "index"],
)
def test_a_layout_of_symlinks_is_called_so_and_its_command_makes_one_that_is_read(
    tmp_path: Path, which: Callable[[str], bool]
) -> None:
    layout = linked(tmp_path, which)
    text = fault(layout)
    assert "is a symlink, which thinsim does not follow" in text
    assert "is missing" not in text
    commands = text[text.index("cp -rL") :].split(", or ")
    for command, result in zip(commands, ("layout", "image.tar"), strict=True):
        where = tmp_path / f"made-{result}"
        where.mkdir()
        subprocess.run(shlex.split(command), cwd=where, check=True)
        assert read_layers(where / result) == [layer_tar()]


def test_an_archive_of_symlinks_that_lead_to_its_members_is_read(tmp_path: Path) -> None:
    files = oci([layer_tar()])
    moved = {name.replace("blobs/sha256", "store"): data for name, data in files.items()}
    links = {
        name: f"../../{name.replace('blobs/sha256', 'store')}" for name in files if name.startswith("blobs")
    }
    assert read_layers(written(tmp_path, moved, links)) == [layer_tar()]


def test_a_symlink_in_an_archive_that_leads_nowhere_is_called_so(tmp_path: Path) -> None:
    files = oci([layer_tar()])
    name = next(name for name in files if files[name] == layer_tar())
    path = written(tmp_path, {key: data for key, data in files.items() if key != name}, {name: "../../gone"})
    assert "is a link to blobs/sha256/../../gone, which is not in the archive" in fault(path)


def test_a_directory_of_skopeo_is_called_so(tmp_path: Path) -> None:
    files = {Path(name).name: data for name, data in oci([layer_tar()]).items() if name.startswith("blobs")}
    manifest = next(data for data in files.values() if b'"layers"' in data and b'"config"' in data)
    place = laid_out(
        tmp_path / "a dir",
        {**files, "manifest.json": manifest, "version": b"Directory Transport Version: 1.1\n"},
    )
    assert f"skopeo copy dir:'{place}' oci-archive:image.tar" in fault(place)


def test_an_unpacked_docker_archive_is_called_so_and_its_command_packs_it(tmp_path: Path) -> None:
    place = laid_out(tmp_path / "saved", docker([layer_tar()]))
    text = fault(place)
    assert "is an unpacked docker-archive" in text
    subprocess.run(shlex.split(text[text.index("tar -cf") :]), cwd=tmp_path, check=True)
    assert read_layers(tmp_path / "image.tar") == [layer_tar()]


def test_a_root_file_system_is_called_so(tmp_path: Path) -> None:
    files = {"etc/passwd": b"root", "usr/bin/sh": b"", "var/log/x": b"", "bin/sh": b""}
    place = laid_out(tmp_path / "rootfs", files)
    assert f"is a root file system, not an image: make one with tar -c -C {place} . | podman import" in fault(
        place
    )
    path = written(tmp_path, {f"./{name}": data for name, data in files.items()})
    assert "is a root file system, not an image: make one with cat " in fault(path)


def test_a_layout_in_a_directory_below_is_named(tmp_path: Path) -> None:
    laid_out(tmp_path / "out/image", oci([layer_tar()]))
    assert f"an OCI image layout is in {tmp_path}/out/image" in fault(tmp_path / "out")
    path = written(tmp_path, {f"image/{name}": data for name, data in oci([layer_tar()]).items()})
    text = fault(path)
    subprocess.run(text[text.index("mkdir") :].partition(", then")[0], shell=True, cwd=tmp_path, check=True)
    assert "then give layout/image" in text
    assert read_layers(tmp_path / "layout/image") == [layer_tar()]


def test_the_error_for_a_file_of_a_layout_names_its_directory(tmp_path: Path) -> None:
    place = laid_out(tmp_path / "layout", oci([layer_tar()]))
    assert f"give its directory instead: {place}" in fault(place / "oci-layout")


def test_an_empty_directory_holds_no_image(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "has neither index.json" in fault(tmp_path / "empty")


def test_docker_save_of_old_is_called_so(tmp_path: Path) -> None:
    path = written(tmp_path, {"repositories": b"{}", "abc/layer.tar": layer_tar(), "abc/json": b"{}"})
    assert "it is from docker save before 1.10" in fault(path)


@pytest.mark.parametrize(
    ("name", "compress"), [("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress)]
)
def test_an_archive_that_is_compressed_as_a_whole_is_called_so_and_its_command_undoes_it(
    tmp_path: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"missing: {name} (apt-get install {name})")
    path = tmp_path / "an image"
    path.write_bytes(compress(tar_bytes(oci([layer_tar()]))))
    text = fault(path)
    assert f"is compressed with {name} as a whole" in text
    subprocess.run(text[text.index(f"{name} -dc") :], shell=True, cwd=tmp_path, check=True)
    assert read_layers(tmp_path / "image.tar") == [layer_tar()]


def of_blobs(files: Files, make: Callable[[bytes, bytes], bytes]) -> bytes:
    """Return an archive whose layer is made by *make* from its name and content."""
    return archive(
        make(name.encode(), data) if data == layer_tar() else file(name.encode(), data)
        for name, data in files.items()
    )


def test_a_sparse_member_of_an_archive_is_read_with_its_holes(tmp_path: Path) -> None:
    layer = layer_tar()
    content = layer.rstrip(b"\0")

    def sparse(name: bytes, data: bytes) -> bytes:
        stored = padded(b"2\n0\n512\n512\n%d\n" % (len(content) - 512)) + content
        records = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.name": name}
        return pax({**records, b"GNU.sparse.realsize": b"%d" % len(data)}) + file(
            b"GNUSparseFile.0/x", stored
        )

    path = tmp_path / "image.tar"
    path.write_bytes(of_blobs(oci([layer]), sparse))
    assert read_layers(path) == [layer]


def test_a_sparse_member_of_gnu_tars_own_type_is_called_so(tmp_path: Path) -> None:
    def sparse(name: bytes, data: bytes) -> bytes:
        content = data.rstrip(b"\0")
        patches = {386: octal(0, 12), 398: octal(len(content), 12), 483: octal(len(data), 12)}
        return header(name[-99:], type=b"S", size=len(content), magic=GNU, patches=patches) + padded(content)

    path = tmp_path / "image.tar"
    path.write_bytes(of_blobs(oci([layer_tar()]), sparse))
    assert "is a sparse file in GNU tar's own format" in fault(path)


def test_an_entry_of_another_type_beside_an_image_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    others = b"".join(header(b"other", type=flag) for flag in (b"V", b"7", b"Z")) + pax(
        (b"a", b"b"), type=b"g"
    )
    path.write_bytes(others + tar_bytes(oci([layer_tar()])))
    assert read_layers(path) == [layer_tar()]


def test_the_configuration_of_docker_counts_where_an_index_has_no_layout_file(tmp_path: Path) -> None:
    files: Files = {}
    index = put_index(files, put_manifest(files, [layer_tar(b"index")]))
    del index["oci-layout"]
    assert read_layers(written(tmp_path, index)) == [layer_tar(b"index")]
    assert read_layers(written(tmp_path, {**index, **docker([layer_tar(b"docker")])})) == [
        layer_tar(b"docker")
    ]


@pytest.mark.parametrize("reached", ["by its name", "as what a program writes"])
def test_a_pipe_is_refused_rather_than_waited_for(tmp_path: Path, reached: str) -> None:
    if reached == "by its name":
        os.mkfifo(tmp_path / "pipe")
        assert "is not a regular file" in fault(tmp_path / "pipe")
    else:
        reading, writing = os.pipe()
        try:
            assert "write the image to a file first" in fault(Path(f"/proc/self/fd/{reading}"))
        finally:
            os.close(reading)
            os.close(writing)


def test_a_device_of_characters_is_refused() -> None:
    assert "is not a regular file" in fault(Path("/dev/null"))


def test_an_archive_with_the_separators_of_windows_is_read(tmp_path: Path) -> None:
    files = {name.replace("/", "\\"): data for name, data in oci([layer_tar()]).items()}
    assert read_layers(written(tmp_path, files)) == [layer_tar()]


@pytest.mark.parametrize("part", ["blobs", "blobs/sha256"])
def test_a_part_of_a_layout_is_called_so(tmp_path: Path, part: str) -> None:
    place = laid_out(tmp_path / "layout", oci([layer_tar()]))
    assert fault(place / part).endswith(f"is part of an OCI image layout; give {place}")


def test_a_directory_of_skopeo_without_its_version_is_called_so(tmp_path: Path) -> None:
    place = laid_out(tmp_path / "dir", {"manifest.json": b'{"schemaVersion": 2}', "0" * 64: b""})
    assert f"skopeo copy dir:{place} oci-archive:image.tar" in fault(place)


def test_a_bundle_is_called_so(tmp_path: Path) -> None:
    place = laid_out(tmp_path / "bundle", {"config.json": b"{}", "rootfs/bin/sh": b""})
    assert "it is an OCI runtime bundle, not an image" in fault(place)


def test_a_script_that_writes_an_image_is_called_so_and_its_command_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "an image"
    shutil.copy(written(tmp_path, oci([layer_tar()])), tmp_path / "source")
    path.write_text(f"#!/bin/sh\nexec cat {shlex.quote(str(tmp_path))}/source\n")
    path.chmod(0o755)
    text = fault(path)
    subprocess.run(text[text.index("do, run: ") + 9 :], shell=True, cwd=tmp_path, check=True)
    assert read_layers(tmp_path / "image.tar") == [layer_tar()]
