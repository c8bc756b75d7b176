"""`StorageSetup` reads the file of container-storage-setup and reports each fault of a wrong one."""

from pathlib import Path

import pytest

from thinsim.errors import InvalidValueError
from thinsim.rig.setup import lvm_commands
from thinsim.rig.setup.sysconfig import DOCUMENTED, StorageSetup, parse_lvm_size

GIB = 1 << 30


def parsed(text: str) -> StorageSetup:
    return StorageSetup.parse(text, "the file")


def complaint(text: str) -> str:
    with pytest.raises(InvalidValueError) as caught:
        parsed(text)
    return str(caught.value)


def test_the_documented_file_and_the_tool_s_defaults() -> None:
    setup = StorageSetup.load(None)
    assert (setup.device, setup.volume_group, setup.pool) == ("/dev/sdf", "containerd", "devpool")
    assert (setup.chunk_size, setup.data_size, setup.least_data_size) == ("512K", "40%FREE", "2G")
    assert setup.pool_device == "containerd-devpool"
    assert setup.devices_below == ("containerd-devpool_tdata", "containerd-devpool_tmeta")


def test_comments_quotes_and_later_lines_are_read_as_a_shell_reads_them() -> None:
    setup = parsed(
        "# Ours\n\nDEVS='/dev/sdf'   # the disk\n"
        'VG=first\nVG="second"\nCONTAINER_THINPOOL=a-pool CHUNK_SIZE=64k\n'
    )
    assert (setup.device, setup.volume_group, setup.chunk_size) == ("/dev/sdf", "second", "64k")
    assert setup.pool_device == "second-a--pool"


def test_each_key_that_changes_nothing_is_named_with_the_reason() -> None:
    setup = parsed(f"{DOCUMENTED}AUTO_EXTEND_POOL=yes\nWIPE_SIGNATURES=true\n")
    assert setup.notes == (
        "AUTO_EXTEND_POOL: the pool does not grow by itself",
        "WIPE_SIGNATURES: the device is always new",
    )


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("VG = containerd", "line 4: 'VG' is not an assignment (write KEY=VALUE, no blanks around =)"),
        ("CONTAINER_TINPOOL=x", "line 4: unknown key CONTAINER_TINPOOL; did you mean CONTAINER_THINPOOL?"),
        ("ANYTHING=x", "line 4: unknown key ANYTHING"),
        ("VG=$NAME", "line 4: VG=$NAME: a shell would expand this; write the value itself"),
        ('VG="containerd', 'line 4: no closing quotation: VG="containerd'),
        ("STORAGE_DRIVER=overlay2", "STORAGE_DRIVER=overlay2: only devicemapper makes a thin pool"),
        ("DEVS=", "DEVS is required: the block device for the volume group"),
        ("DEVS='/dev/a /dev/b'", "DEVS names 2 devices (/dev/a, /dev/b); name only one"),
        ("VG=", "VG is required: the name of the volume group"),
        (
            "CONTAINER_THINPOOL=-x",
            "CONTAINER_THINPOOL=-x: not a name for a thin pool "
            "(use letters, digits, +_.-, but no hyphen first)",
        ),
        (
            "DATA_SIZE=half",
            "DATA_SIZE: 'half' is not a size (write a whole number with a unit of bskmgtpe, such as 512K) "
            "or a share: 40%FREE, 40%VG",
        ),
        ("MIN_DATA_SIZE=0", "MIN_DATA_SIZE=0: the size must be greater than 0"),
        ("CHUNK_SIZE=100K", "CHUNK_SIZE=100K: the size must be a multiple of 64K between 64K and 1G"),
        ("CHUNK_SIZE=2G", "CHUNK_SIZE=2G: the size must be a multiple of 64K between 64K and 1G"),
        (
            "CONTAINER_ROOT_LV_NAME=root",
            "CONTAINER_ROOT_LV_NAME: thinsim sets up no volume beside the pool; remove this key",
        ),
    ],
)
def test_each_fault_is_reported_precisely(line: str, text: str) -> None:
    assert complaint(f"{DOCUMENTED}{line}\n") == f"the file: {text}"


def test_every_problem_is_named_at_once() -> None:
    assert complaint("DEVS=/dev/sdf\nVGS=containerd\nCHUNK_SIZE=1s\n") == (
        "the file: line 2: unknown key VGS; did you mean VG?; VG is required: the name of the volume group; "
        "CONTAINER_THINPOOL is required: the name of the thin pool; "
        "CHUNK_SIZE=1s: the size must be a multiple of 64K between 64K and 1G"
    )


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match=r"none: No such file or directory"):
        StorageSetup.load(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16", 16 << 20),
        ("512K", 512 << 10),
        ("4096s", 2 << 20),
        ("2GiB", 2 << 30),
        ("2gb", 2 << 30),
        ("7b", 7),
    ],
)
def test_sizes_are_lvm_s(text: str, size: int) -> None:
    assert parse_lvm_size(text) == size


def test_the_pool_is_made_as_container_storage_setup_makes_it() -> None:
    words = lvm_commands.make_pool(StorageSetup.load(None), 10 * GIB, 10 * GIB)
    assert " ".join(words) == (
        "lvcreate -y --type thin-pool --zero n -c 512K "
        "--poolmetadatasize 20972s -l 40%FREE -n devpool containerd"
    )


def test_a_share_that_is_too_small_gives_way_to_the_least_size() -> None:
    setup = StorageSetup.load(None)
    assert setup.data_size_words(4 * GIB, 8 * GIB) == ["-L", "2G"]
    assert setup.data_size_words(5 * GIB, 8 * GIB) == ["-l", "40%FREE"]
    of_group = parsed(f"{DOCUMENTED}DATA_SIZE=40%VG\n")
    assert of_group.data_size_words(4 * GIB, 8 * GIB) == ["-l", "40%VG"]
    with pytest.raises(InvalidValueError, match=r"1073741824 bytes free, fewer than MIN_DATA_SIZE=2G"):
        setup.data_size_words(GIB, 8 * GIB)


def test_lvm_sees_one_device_and_keeps_everything_below_one_directory() -> None:
    text = lvm_commands.lvm_conf(Path("/dev/loop7"), Path("/some/where"))
    assert text.count('"a|^/dev/loop7$|", "r|.*|"') == 2
    places = [line.split('"')[1] for line in text.splitlines() if "dir = " in line]
    assert places == ["/some/where/profile", "/some/where/dev", "/some/where/lock"]
