"""`repeatable_ext4` makes ext4 put the same files on the same blocks in every run, to compare rigs.

Without it a few blocks of a layer differ from run to run and from machine to machine, for four reasons. mkfs
draws a random hash seed, which decides how directories are spread (Linux fs/ext4/ialloc.c,
find_group_orlov). With delayed allocation blocks are chosen at writeback, so timers, memory and processors
decide their order. Small files share one preallocation per processor (fs/ext4/mballoc.c, locality groups).
The journal advances by some blocks with every commit, and one comes every five seconds (fs/jbd2), so a
slower machine writes more of it.

The journal is kept. Without it ext4 does not reuse an inode number for a minute or so (fs/ext4/ialloc.c,
recently_deleted), so that the result would again depend on time.
"""

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from thinsim.errors import EnvironmentLacksError
from thinsim.machine.programs import find_program

_FS_BLOCK = 4096
_SEED = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
_COMMIT_SECONDS = 86400
"""Commit interval so long that only a sync, an unmount or a full journal causes a commit, never a timer."""

_MKFS = """#!/bin/sh
{mkfs} "$@" || exit
for device; do :; done
exec {tune2fs} -E mount_opts=commit={seconds} "$device" >/dev/null
"""
_CONFIG = f"""[defaults]
	base_features = sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr
	default_mntopts = acl,user_xattr,nodelalloc
	enable_periodic_fsck = 0
	blocksize = {_FS_BLOCK}
	inode_size = 256
	inode_ratio = 16384

[fs_types]
	ext4 = {{
		features = has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize
	}}
"""


def fs_options(block_bytes: int) -> str:
    """Return mkfs.ext4's extended options: those of containerd, a fixed seed, the geometry of a thin device.

    *block_bytes* is the pool's data block size. The kernel's thin devices report it as their optimal I/O
    size, which mkfs takes as the stripe width; loop devices report none.
    """
    stripe = block_bytes // _FS_BLOCK
    return (
        "nodiscard,lazy_itable_init=0,lazy_journal_init=0,"
        f"hash_seed={_SEED},stride={stripe},stripe_width={stripe}"
    )


@contextmanager
def repeatable_ext4(directory: Path) -> Iterator[None]:
    """Run this process and its children on one processor, with a mkfs.ext4 of ours in PATH, until the end.

    That mkfs.ext4 and its configuration (mke2fs.conf(5)) are in *directory*. The configuration makes ext4
    mount without delayed allocation, so that blocks are chosen when a program writes. The commit interval
    can't be configured, so mkfs.ext4 writes it into the superblock (tune2fs(8), mount_opts). Raises
    EnvironmentLacksError if e2fsprogs is not installed.
    """
    programs = directory / "repeatable"
    programs.mkdir(mode=0o700)
    config = programs / "mke2fs.conf"
    config.write_text(_CONFIG)
    real = {name: _found(name) for name in ("mkfs.ext4", "tune2fs")}
    mkfs = programs / "mkfs.ext4"
    mkfs.write_text(_MKFS.format(mkfs=real["mkfs.ext4"], tune2fs=real["tune2fs"], seconds=_COMMIT_SECONDS))
    mkfs.chmod(0o700)
    processors = os.sched_getaffinity(0)
    variables = {
        "MKE2FS_CONFIG": str(config),
        "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}",
    }
    before = {name: os.environ.get(name) for name in variables}
    with ExitStack() as undo:
        undo.callback(_run_on, processors)
        _run_on({min(processors)})
        undo.callback(_restore, before)
        os.environ |= variables
        yield


def _found(program: str) -> str:
    path = find_program(program)
    if path is None:
        raise EnvironmentLacksError(f"{program} is not installed (apt-get install e2fsprogs)")
    return shlex.quote(path)


def _run_on(processors: set[int]) -> None:
    """Place every existing thread on *processors*, idle worker threads included; new threads inherit that."""
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):  # the thread has just ended
            os.sched_setaffinity(int(thread.name), processors)


def _restore(before: Mapping[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
