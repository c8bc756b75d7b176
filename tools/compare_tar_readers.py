"""The script compares tar readers with containerd, and writes the table in docs/reference/image-rules.md.

Run it from the project's directory: ``.venv/bin/python tools/compare_tar_readers.py``. It needs root, tar and
bsdtar (``apt-get install tar libarchive-tools libarchive13``), and libarchive-c (``pip install
libarchive-c``). Each reader unpacks every archive of the layer rules that has one layer and no whiteouts.
containerd's answers are the recorded ones.
"""

import ctypes
import io
import os
import re
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import libarchive
from libarchive import ffi

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.scenario.containerd.containerd_answers import removed, tree_below
from tests.workload.image import tar_rules_extended, tar_rules_headers, tar_rules_sparse, tar_rules_trees
from tests.workload.image.layer_rules import condensed, recorded
from thinsim.workload.image import InvalidImageError, unpack, unpack_layer
from thinsim.workload.image.tarstream import EntryKind, TarEntry

PAGE = Path(__file__).parent.parent / "docs/reference/image-rules.md"
GROUPS = {
    "formats and prefixes": tar_rules_headers.FORMATS,
    "numbers": tar_rules_headers.NUMBERS,
    "owners": tar_rules_headers.OWNERS,
    "checksums": tar_rules_headers.CHECKSUMS,
    "types": tar_rules_headers.TYPES,
    "ends": tar_rules_headers.ENDS,
    "pax records": tar_rules_extended.RECORDS,
    "lengths of pax records": tar_rules_extended.LENGTHS,
    "extended headers and long names": tar_rules_extended.ORDERS,
    "sparse files": tar_rules_sparse.RULES,
    "names and depth": tar_rules_trees.NAMES,
    "links": tar_rules_trees.LINKS,
}
LEFT_OUT = ("path of 5000 bytes", "path of 70000 bytes")
"""The programs create these paths step by step, deeper than any path can name."""


class RefusedError(Exception):
    """A `RefusedError` means that a reader refuses an archive."""


class LibarchiveReader:
    """A `LibarchiveReader` replaces TarReader: libarchive reads the entries, thinsim's code unpacks them."""

    def __init__(self, stream: io.BytesIO, label: str) -> None:
        self._data = stream.read()
        self._blocks: Iterator[bytes] = iter(())

    def __iter__(self) -> Iterator[TarEntry]:
        try:
            with libarchive.memory_reader(self._data, format_name="tar") as archive:
                for entry in archive:
                    self._blocks = entry.get_blocks()
                    yield _converted(entry)
        except libarchive.ArchiveError as error:
            raise RefusedError(str(error)) from None

    def read(self) -> bytes:
        """Return the next piece of data."""
        try:
            return next(self._blocks, b"")
        except libarchive.ArchiveError as error:
            raise RefusedError(str(error)) from None


def _converted(entry: "libarchive.ArchiveEntry") -> TarEntry:
    pointer = entry._entry_p
    pathname, link = ffi.entry_pathname(pointer) or b"", ffi.entry_hardlink(pointer)
    target = link or ffi.entry_symlink(pointer) or b""
    kinds = {
        stat.S_IFREG: EntryKind.FILE,
        stat.S_IFLNK: EntryKind.SYMLINK,
        stat.S_IFCHR: EntryKind.CHARACTER_DEVICE,
        stat.S_IFBLK: EntryKind.BLOCK_DEVICE,
        stat.S_IFDIR: EntryKind.DIRECTORY,
        stat.S_IFIFO: EntryKind.FIFO,
    }
    xattrs = {}
    library = ffi.libarchive
    library.archive_entry_xattr_reset(ctypes.c_void_p(pointer))
    name, value, size = ctypes.c_char_p(), ctypes.c_void_p(), ctypes.c_size_t()
    while (
        library.archive_entry_xattr_next(
            ctypes.c_void_p(pointer), ctypes.byref(name), ctypes.byref(value), ctypes.byref(size)
        )
        == 0
    ):
        xattrs[os.fsdecode(name.value or b"")] = (
            ctypes.string_at(value.value, size.value) if value.value else b""
        )
    accessed = None
    if library.archive_entry_atime_is_set(ctypes.c_void_p(pointer)):
        accessed = ffi.entry_atime(pointer) * 10**9 + ffi.entry_atime_nsec(pointer)
    return TarEntry(
        name=os.fsdecode(pathname),
        kind=EntryKind.HARD_LINK if link else kinds.get(entry.filetype, EntryKind.OTHER),
        flag="?",
        mode=entry.mode & 0o7777,
        uid=entry.uid,
        gid=entry.gid,
        size=entry.size or 0,
        modified=ffi.entry_mtime(pointer) * 10**9 + ffi.entry_mtime_nsec(pointer),
        accessed=accessed,
        link_target=os.fsdecode(target),
        device=(entry.rdevmajor, entry.rdevminor),
        xattrs=xattrs,
    )


def by_thinsim(tar: bytes, root: Path) -> None:
    """Unpack with thinsim's own reader."""
    try:
        unpack_layer(io.BytesIO(tar), root)
    except InvalidImageError as error:
        raise RefusedError(str(error)) from None


def by_libarchive(tar: bytes, root: Path) -> None:
    """Unpack with libarchive's reader in place of TarReader."""
    with mock.patch.object(unpack, "TarReader", LibarchiveReader):
        try:
            by_thinsim(tar, root)
        except (OSError, ValueError, TypeError, UnicodeError) as error:
            raise RefusedError(str(error)) from None


def by_tarfile(tar: bytes, root: Path) -> None:
    """Unpack with Python's tarfile."""
    try:
        with tarfile.open(fileobj=io.BytesIO(tar), mode="r:", errorlevel=2) as archive:
            archive.extractall(root, numeric_owner=True, filter="fully_trusted")
    except Exception as error:
        raise RefusedError(repr(error)) from None


def by_program(*words: str) -> Callable[[bytes, Path], None]:
    """Return a function that unpacks with the program *words*."""

    def unpack_with(tar: bytes, root: Path) -> None:
        done = subprocess.run(
            [*words, "-f", "-", "-C", str(root)], input=tar, capture_output=True, check=False
        )
        if done.returncode:
            raise RefusedError(done.stderr.decode(errors="replace"))

    return unpack_with


READERS = {
    "thinsim": by_thinsim,
    "libarchive-c": by_libarchive,
    "bsdtar": by_program("bsdtar", "-xp", "--numeric-owner", "--xattrs"),
    "GNU tar": by_program("tar", "-xp", "--numeric-owner", "--xattrs", "--xattrs-include=*"),
    "Python's tarfile": by_tarfile,
}


def answer(read: Callable[[bytes, Path], None], tar: bytes) -> object:
    """Return the tree that *read* makes of *tar*, in the recorded form without times of access.

    If *read* refuses *tar*, return ``refused``.
    """
    with removed(Path(tempfile.mkdtemp(prefix="thinsim-readers-"))) as root:
        try:
            read(tar, root)
        except RefusedError:
            return "refused"
        return without_access(condensed(tree_below(root)))


def without_access(answer: object) -> object:
    """Return *answer* without times of access, which the programs do not set."""
    if isinstance(answer, dict):
        return {name: re.sub(r" read [0-9a-z.]+", "", text) for name, text in answer.items()}
    return answer


def table() -> str:
    """Return the table: the answers per group that equal containerd's, and the outcome of the others."""
    answers = recorded()
    right = {(reader, group): 0 for reader in READERS for group in GROUPS}
    refused, silent = dict.fromkeys(READERS, 0), dict.fromkeys(READERS, 0)
    for group, rules in GROUPS.items():
        for name, tars in rules.items():
            if len(tars) > 1 or name in LEFT_OUT:
                continue
            expected = without_access(answers[name])
            for reader, read in READERS.items():
                found = answer(read, tars[0])
                if found == expected:
                    right[reader, group] += 1
                elif found == "refused":
                    refused[reader] += 1
                else:
                    silent[reader] += 1
    lines = [f"| rules | archives | {' | '.join(READERS)} |", f"|---|{'---:|' * (len(READERS) + 1)}"]

    def row(text: str, count: int | str, values: list[int]) -> None:
        lines.append(f"| {text} | {count} | {' | '.join(map(str, values))} |")

    sizes = {
        group: sum(len(tars) == 1 and name not in LEFT_OUT for name, tars in rules.items())
        for group, rules in GROUPS.items()
    }
    for group, size in sizes.items():
        row(group, size, [right[reader, group] for reader in READERS])
    total = sum(sizes.values())
    row("all", total, [sum(right[reader, group] for group in GROUPS) for reader in READERS])
    row("refused though containerd unpacks it", "", [refused[reader] for reader in READERS])
    row(
        "unpacked, without an error, otherwise than by containerd", "", [silent[reader] for reader in READERS]
    )
    return "\n".join(lines)


if __name__ == "__main__":
    text = PAGE.read_text()
    before, _, rest = text.partition("<!-- readers -->\n")
    _, _, after = rest.partition("<!-- end of readers -->\n")
    PAGE.write_text(f"{before}<!-- readers -->\n{table()}\n<!-- end of readers -->\n{after}")
