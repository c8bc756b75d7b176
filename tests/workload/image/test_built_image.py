"""An image built from this machine is deterministic, valid and as documented."""

import os
import tarfile
from pathlib import Path

import pytest

from thinsim.errors import EnvironmentLacksError
from thinsim.workload.image import BuiltImage, build_image, open_image, unpack_layer

SIZE = 3 << 20


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    for number in range(300):
        path = source / f"directory-{number % 7}" / f"file-{number:03}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number % 256]) * (20_000 + number))
        path.chmod(0o644)
    for directory in (source, *source.iterdir()):
        directory.chmod(0o755)
    (source / "directory-0" / "link").symlink_to("file-000")
    (source / "directory-0" / "absolute").symlink_to("/etc/passwd")
    (source / "directory-0" / "secret").write_bytes(b"secret" * 100)
    (source / "directory-0" / "secret").chmod(0o600)
    return source


def unpacked(image: BuiltImage, root: Path) -> dict[str, bytes]:
    root.mkdir()
    with open_image(image.path) as opened:
        assert opened.digest == image.digest
        assert tuple(layer.digest for layer in opened.layers) == image.layers
        for layer in opened.layers:
            with layer.open() as stream:
                assert unpack_layer(stream, root).skipped == 0
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def test_the_same_files_give_the_same_image(tmp_path: Path, source: Path) -> None:
    first = build_image(tmp_path / "first.tar", size=SIZE, sources=[source])
    for path in source.rglob("file-*"):
        os.utime(path, (5, 5))
    second = build_image(tmp_path / "second.tar", size=SIZE, sources=[source])
    assert (first.digest, first.layers) == (second.digest, second.layers)
    assert first.path.read_bytes() == second.path.read_bytes()


def test_other_content_gives_another_digest(tmp_path: Path, source: Path) -> None:
    first = build_image(tmp_path / "first.tar", size=SIZE, sources=[source])
    (source / "directory-0/file-000").write_bytes(b"other")
    second = build_image(tmp_path / "second.tar", size=SIZE, sources=[source])
    assert first.digest != second.digest


def test_the_unpacked_image_has_the_bytes_of_its_sources_as_the_layers_changed_them(
    tmp_path: Path, source: Path
) -> None:
    image = build_image(tmp_path / "image.tar", size=SIZE, sources=[source])
    files = unpacked(image, tmp_path / "root")
    assert image.size >= SIZE
    assert sum(map(len, files.values())) >= SIZE
    replaced = 0
    for name, content in files.items():
        if name.startswith(str(source).lstrip("/")):
            original = Path("/", name).read_bytes()
            replaced += content != original
            assert content == original or content.startswith(b"replaced: ")
    assert replaced == 8
    assert not any("secret" in name or "absolute" in name for name in files)
    assert {name for name in files if name.startswith("var/cache/thinsim")} == {"var/cache/thinsim/fresh"}
    application = tmp_path / "root/opt/application"
    assert (application / "bin/restart").samefile(application / "bin/start")
    assert (application / "current").readlink() == Path("bin")


def test_it_has_whiteouts_an_opaque_directory_and_links(tmp_path: Path, source: Path) -> None:
    image = build_image(tmp_path / "image.tar", size=SIZE, sources=[source])
    with (
        open_image(image.path) as opened,
        opened.layers[2].open() as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        members = tar.getmembers()
    names = [member.name.rpartition("/")[2] for member in members]
    assert names.count(".wh..wh..opq") == 1
    assert sum(name.startswith(".wh.") for name in names) == 9
    assert {member.type for member in members} >= {tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE}
    assert all((member.uid, member.gid, member.uname, member.mtime) == (0, 0, "", 0) for member in members)


def test_files_of_this_machine_make_an_image_twice_the_same(tmp_path: Path) -> None:
    seen: list[int] = []
    first = build_image(tmp_path / "first.tar", size=8 << 20, progress=seen.append)
    second = build_image(tmp_path / "second.tar", size=8 << 20)
    assert first.digest == second.digest
    assert seen == sorted(seen)
    assert seen[-1] == first.size
    assert sum(map(len, unpacked(first, tmp_path / "root").values())) >= 8 << 20


def test_too_few_files_are_reported_with_what_was_found(tmp_path: Path, source: Path) -> None:
    with pytest.raises(EnvironmentLacksError, match=r"image of 1 GiB: only 5\.\d MiB in .*/source"):
        build_image(tmp_path / "image.tar", size=1 << 30, sources=[source])
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_an_exception_from_the_progress_callback_leaves_no_file_behind(tmp_path: Path, source: Path) -> None:
    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_image(tmp_path / "image.tar", size=SIZE, sources=[source], progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
