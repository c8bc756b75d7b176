"""`run_program` runs a program that discards or zeroes on a device full of old data, and checks the data.

A program that asks for zeros and gets an error writes the zeros itself. A program that gets a success relies
on it. So the fault to find is old data that appears again where a program wrote nothing.
"""

import errno
import itertools
import mmap
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from thinsim.conformance.requests.node_io import hash_of, pattern

Tool = Callable[..., tuple[int, str, str]]
"""Runs a program with arguments; returns its exit status, standard output and standard error."""

_MIB = 1 << 20
_BLOCK = 4096
_OLD = b"A"
_OLD_BYTES = 16 * _MIB
_LOOKED_AT = 512 << 10
_LAZY_SECONDS = 60.0
_FAILED = 1
_NOT_SUPPORTED = 2
"""The status of blkdiscard from util-linux 2.41 on where a device refuses the kind of request; before, 1."""


def run_program(name: str, node: Path, tool: Tool) -> tuple[int, str]:
    """Fill the device at *node* with old data and run program *name*; return an errno and its findings."""
    try:
        _fill(node)
        return 0, PROGRAMS[name](node, tool)
    except OSError as error:
        return error.errno or errno.EIO, f"{error}"


def _command(*words: str) -> Callable[[Path, Tool], str]:
    """Return a program that runs one command with the device as the last argument and reads the data."""

    def program(node: Path, tool: Tool) -> str:
        status, _, _ = tool(*words, str(node))
        if words[0] == "blkdiscard" and status == _NOT_SUPPORTED:
            status = _FAILED
        return f"exit {status}; {_layout(node)}"

    return program


def _zero_out(node: Path, tool: Tool) -> str:
    """Write a little to an unwritten extent: ext4 zeroes the rest of it on the device."""
    _make(tool, "mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "nodiscard,lazy_itable_init=0", str(node), "64M")
    # Otherwise ext4 splits the extent instead (fs/ext4/extents.c, ext4_ext_convert_to_initialized).
    with _mounted(node, tool, "dioread_lock,nodelalloc") as place:
        for number in range(8):
            fd = os.open(place / f"{number}", os.O_CREAT | os.O_RDWR)
            try:
                os.posix_fallocate(fd, 0, 32 << 10)
                os.pwrite(fd, pattern(8192, _BLOCK, number), 8192)
                os.fsync(fd)
            finally:
                os.close(fd)
    with _mounted(node, tool) as place:
        wrong = 0
        for number in range(8):
            wanted = bytes(8192) + pattern(8192, _BLOCK, number) + bytes((32 << 10) - 8192 - _BLOCK)
            wrong += (place / f"{number}").read_bytes() != wanted
    return f"{wrong} of 8 files are wrong; e2fsck exit {tool('e2fsck', '-fn', str(node))[0]}"


def _lazy_initialisation(node: Path, tool: Tool) -> str:
    """Make an ext4 with lazy initialisation: the kernel zeroes its inode tables after the mount."""
    options = "nodiscard,lazy_itable_init=1,lazy_journal_init=1"
    _make(tool, "mkfs.ext4", "-q", "-F", "-b", "4096", "-g", "1024", "-E", options, str(node), "32M")
    with _mounted(node, tool, "init_itable=0"):
        end = time.monotonic() + _LAZY_SECONDS
        while "ITABLE_ZEROED" not in _last_group(node, tool) and time.monotonic() < end:
            time.sleep(0.2)
        done = "ITABLE_ZEROED" in _last_group(node, tool)
    old = sum(block == _OLD * _BLOCK for block in _inode_tables(node, tool))
    status, _, _ = tool("e2fsck", "-fn", str(node))
    return f"initialised: {done}; {old} blocks of old data in inode tables; e2fsck exit {status}"


def _last_group(node: Path, tool: Tool) -> str:
    _, printed, _ = tool("dumpe2fs", str(node))
    return printed.rpartition("\nGroup ")[2].partition("\n")[0]


def _inode_tables(node: Path, tool: Tool) -> Iterator[bytes]:
    _, printed, _ = tool("dumpe2fs", str(node))
    for first, last in re.findall(r"Inode table at (\d+)-(\d+)", printed):
        for block in range(int(first), int(last) + 1):
            yield _read(node, block * _BLOCK, _BLOCK)


def _file_system(mkfs: tuple[str, ...], check: tuple[str, ...], options: str = "rw") -> Callable[..., str]:
    """Return a program that makes a file system, writes, deletes, trims, and reads the other files."""

    def program(node: Path, tool: Tool) -> str:
        _make(tool, *mkfs, str(node))
        names = [f"{number}" for number in range(24)]
        with _mounted(node, tool, options) as place:
            for number, name in enumerate(names):
                (place / name).write_bytes(pattern(0, 100_000 + 4096 * number, number))
            tool("sync", "-f", str(place))
            for name in names[::2]:
                (place / name).unlink()
            tool("sync", "-f", str(place))
            trimmed, _, _ = tool("fstrim", str(place))
        with _mounted(node, tool, options) as place:
            wrong = sum(
                (place / name).read_bytes() != pattern(0, 100_000 + 4096 * int(name), int(name))
                for name in names[1::2]
            )
        return f"fstrim exit {trimmed}; {wrong} files are wrong; check exit {tool(*check, str(node))[0]}"

    return program


def _qemu_img(node: Path, tool: Tool) -> str:
    """Convert an image with holes and zeros onto the device, and compare the two."""
    size = _size(node)
    with tempfile.TemporaryDirectory(prefix="thinsim-image-") as place:
        image = Path(place, "image")
        with image.open("wb") as file:
            file.truncate(size)
            for offset in (0, 1 * _MIB + 4096, 3 * _MIB + 65536):
                file.seek(offset)
                file.write(pattern(offset, 20 << 10, offset))
            file.seek(5 * _MIB + 12288)
            file.write(bytes(300 << 10))
        converted, _, _ = tool("qemu-img", "convert", "-n", *_RAW, "-O", "host_device", str(image), str(node))
        words = ("qemu-img", "compare", *_RAW, "-F", "host_device", str(image), str(node))
        compared, printed, complaint = tool(*words)
    return f"convert exit {converted}; compare exit {compared}: {(printed or complaint).strip()}"


_RAW = ("-f", "raw")


def _fio(*words: str) -> Callable[[Path, Tool], str]:
    def program(node: Path, tool: Tool) -> str:
        where = (f"--filename={node}", "--size=4m", "--bs=4k", "--direct=1", "--verify=crc32c")
        common = ("--name=verify", "--minimal", "--verify_fatal=1", "--randseed=1", "--allow_file_create=0")
        with tempfile.TemporaryDirectory(prefix="thinsim-fio-") as place:
            status, _, _ = tool("fio", *where, *common, *words, f"--aux-path={place}")
        return f"exit {status}"

    return program


PROGRAMS: dict[str, Callable[[Path, Tool], str]] = {
    "fallocate -p": _command("fallocate", "-p", "-o", "4096", "-l", "4096"),
    "fallocate -p, whole data blocks": _command("fallocate", "-p", "-o", "65536", "-l", "131072"),
    "fallocate -z": _command("fallocate", "-z", "-o", "4096", "-l", "4096"),
    "fallocate -l": _command("fallocate", "-o", "4096", "-l", "4096"),
    "blkdiscard": _command("blkdiscard", "-f", "-o", "61440", "-l", "139264"),
    "blkdiscard --zeroout": _command("blkdiscard", "-f", "-z", "-o", "61440", "-l", "139264"),
    "blkdiscard --secure": _command("blkdiscard", "-f", "-s", "-o", "65536", "-l", "131072"),
    "mkfs.ext4, lazy initialisation": _lazy_initialisation,
    "ext4, extent zero-out": _zero_out,
    "mkfs.ext4 and fstrim": _file_system(("mkfs.ext4", "-q", "-F"), ("e2fsck", "-fn")),
    "mkfs.ext4, mount -o discard": _file_system(("mkfs.ext4", "-q", "-F"), ("e2fsck", "-fn"), "discard"),
    "mkfs.xfs and fstrim": _file_system(("mkfs.xfs", "-q", "-f"), ("xfs_repair", "-n")),
    "mkfs.btrfs and fstrim": _file_system(("mkfs.btrfs", "-q", "-f"), ("btrfs", "check")),
    "qemu-img convert": _qemu_img,
    "fio, io_uring, verified": _fio("--ioengine=io_uring", "--rw=randwrite", "--iodepth=16"),
    "fio, mmap, verified": _fio("--ioengine=mmap", "--direct=0", "--rw=randwrite"),
    "fio, trims and writes, verified": _fio("--ioengine=psync", "--rw=trimwrite"),
}
"""The programs by name, in the order of the fidelity table."""


def _make(tool: Tool, *words: str) -> None:
    status, _, complaint = tool(*words)
    if status:
        raise OSError(errno.EIO, f"{words[0]} exit {status}: {complaint.strip()}")


@contextmanager
def _mounted(node: Path, tool: Tool, options: str = "rw") -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="thinsim-mount-") as place:
        _make(tool, "mount", "-o", options, str(node), place)
        try:
            yield Path(place)
        finally:
            _make(tool, "umount", place)


def _size(node: Path) -> int:
    fd = os.open(node, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.lseek(fd, 0, os.SEEK_END)
    finally:
        os.close(fd)


def _fill(node: Path) -> None:
    """Write old data past the page cache."""
    fd = os.open(node, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
    try:
        with mmap.mmap(-1, _MIB) as buffer:
            buffer[:] = _OLD * _MIB
            for offset in range(0, min(_OLD_BYTES, _size(node)), _MIB):
                os.pwrite(fd, buffer, offset)
    finally:
        os.close(fd)


def _read(node: Path, offset: int, length: int) -> bytes:
    fd = os.open(node, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    try:
        with mmap.mmap(-1, length) as buffer:
            os.preadv(fd, [buffer], offset)
            return bytes(buffer)
    finally:
        os.close(fd)


def _layout(node: Path) -> str:
    """Return the content at the beginning of the device: runs of bytes with ``old``, ``zeros`` or a hash."""
    data = _read(node, 0, _LOOKED_AT)
    sectors = (data[at : at + 512] for at in range(0, len(data), 512))
    found, position = [], 0
    for content, group in itertools.groupby(sectors):
        length = 512 * sum(1 for _ in group)
        name = {_OLD * 512: "old", bytes(512): "zeros"}.get(content) or hash_of(content)
        found.append(f"{position}+{length} {name}")
        position += length
    return ", ".join(found)
