"""``thinsim metadata`` names the files that it can't open or write, and reads all others."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.thin.damaged_images import sound
from tests.thin.metadata_command import MetadataCommand
from tests.thin.metadata_tools import needs_tools, run
from tests.thin.ram_pool import RamPool
from tests.thin.ram_store import BLOCK
from thinsim.cli.main import status_of
from thinsim.dm.metadata_device import open_metadata
from thinsim.errors import EnvironmentLacksError
from thinsim.thin.metadata.dump_reading import lines_of_0_9


@needs_tools
@pytest.mark.parametrize("size", [BLOCK, 50 * BLOCK, 200 * BLOCK + 100, 511 * BLOCK])
def test_a_file_that_is_cut_short_is_named(command: MetadataCommand, size: int, tmp_path: Path) -> None:
    file = sound().save(tmp_path / "image")
    os.truncate(file, size)
    status, out, _ = command("check", file)
    assert status == 1
    assert (
        f"it counts 512 metadata blocks, but the device or file is cut short: it has {size // BLOCK}" in out
    )
    status, out, err = command("dump", file)
    oracle = run("thin_dump", file)
    assert (status == 0) is (oracle.returncode == 0)
    if status == 0:
        assert out == lines_of_0_9(oracle.stdout)
    else:
        assert f"is beyond the device's {size // BLOCK} blocks" in err


def test_a_larger_file_is_sound(command: MetadataCommand, tmp_path: Path) -> None:
    file = sound().save(tmp_path / "image")
    os.truncate(file, 700 * BLOCK)
    assert command("check", file)[0] == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it has 0 bytes, a superblock alone has 4096"),
        (b"\1" * 100, "it has 100 bytes, a superblock alone has 4096"),
        (bytes(8192), "it starts with zeros"),
        (b'<superblock uuid="" time="1"', "it is the XML of a dump: make an image of it with thin_restore"),
        (b"\n<superblock".ljust(9000, b" "), "it is the XML of a dump"),
        (b"\x1f\x8b".ljust(9000, b"x"), "it is compressed by gzip: unpack it first"),
        (b"BZh91AY&SY", "it is compressed by bzip2: unpack it first"),
        (b"hello\n" * 2000, "metadata block 0 is not a superblock: magic "),
    ],
)
@pytest.mark.parametrize("verb", ["check", "dump", "usage"])
def test_other_content_is_named(
    command: MetadataCommand, verb: str, content: bytes, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "foreign"
    file.write_bytes(content)
    status, out, err = command(verb, file)
    assert (status, out) == (1, "")
    assert f"{file} holds no pool's metadata: " in err
    assert said in err


@pytest.mark.parametrize("verb", ["check", "dump", "usage"])
def test_a_path_that_is_not_a_file_is_named_and_never_waited_for(
    command: MetadataCommand, verb: str, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "a named pipe"), (Path("/dev/zero"), "a character device")):
        status, out, err = command(verb, path)
        assert (status, out) == (1, "")
        assert err == f"thinsim: {path} is {kind}: a pool's metadata is in a file or on a block device\n"
    assert status_of(["metadata", verb, str(tmp_path)]) == 2
    assert status_of(["metadata", verb, str(tmp_path / "none")]) == 2


def test_a_read_only_sparse_file_is_looked_at(command: MetadataCommand, tmp_path: Path) -> None:
    file = sound().save(tmp_path / "image")
    os.truncate(file, 64 << 20)
    file.chmod(0o400)
    assert file.stat().st_blocks * 512 < file.stat().st_size
    for verb in ("check", "dump", "usage"):
        assert command(verb, file)[0] == 0


@pytest.mark.root("becomes another user")
def test_a_user_without_permission_gets_the_remedy(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = sound().save(tmp_path / "image")
    file.chmod(0o000)
    tmp_path.chmod(0o755)
    child = os.fork()
    if not child:  # pragma: no cover (another process)
        os.seteuid(65534)
        os._exit(_status_for_nobody(file))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert f"no permission to read {file}: run it as root" in capfd.readouterr().err


def _status_for_nobody(file: Path) -> int:
    try:
        with open_metadata(file):
            return 0
    except EnvironmentLacksError as error:
        os.write(2, f"{error}\n".encode())
        return 1


@pytest.fixture
def loop_device(tmp_path: Path) -> Iterator[Path]:
    file = sound().save(tmp_path / "image")
    made = subprocess.run(["losetup", "-f", "--show", str(file)], capture_output=True, text=True, check=True)
    device = made.stdout.strip()
    yield Path(device)
    subprocess.run(["losetup", "-d", device], check=True)


@pytest.mark.rig
def test_a_device_in_use_is_refused_but_for_its_metadata_snapshot(
    command: MetadataCommand, loop_device: Path, tmp_path: Path
) -> None:
    file = tmp_path / "image"
    for verb in ("check", "dump", "usage"):
        assert command(verb, loop_device)[0] == 0
    assert command("dump", loop_device)[1] == command("dump", file)[1]
    holder = os.open(loop_device, os.O_RDONLY | os.O_EXCL)
    try:
        for verb in ("check", "dump", "usage"):
            status, out, err = command(verb, loop_device)
            assert (status, out) == (1, "")
            assert err.startswith(f"thinsim: {loop_device} is in use by a pool or a mount")
            assert "reserve_metadata_snap" in err
        assert command("dump", "--snapshot", loop_device)[1] == command("dump", "--snapshot", file)[1]
    finally:
        os.close(holder)


def test_a_dump_never_overwrites_its_input(command: MetadataCommand, tmp_path: Path) -> None:
    file = sound().save(tmp_path / "image")
    (tmp_path / "link").symlink_to(file)
    for output in (file, tmp_path / "link"):
        status, _, err = command("dump", "-o", output, file)
        assert status == 1
        assert err == f"thinsim: -o {output} is the file to dump: write to another file\n"


def test_an_output_that_takes_no_more_is_named(command: MetadataCommand, tmp_path: Path) -> None:
    status, _, err = command("dump", "-o", "/dev/full", sound().save(tmp_path / "image"))
    assert (status, err) == (1, "thinsim: /dev/full: No space left on device\n")


def test_a_dump_without_a_snapshot_names_the_fix(command: MetadataCommand, tmp_path: Path) -> None:
    file = RamPool().metadata.save(tmp_path / "image")
    status, out, err = command("dump", "--snapshot", file)
    assert (status, out) == (1, "")
    assert err == f"thinsim: no metadata snapshot is held in {file}: dump it without --snapshot\n"
