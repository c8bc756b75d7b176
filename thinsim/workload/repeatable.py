"""Makes ext4 put the same files on the same blocks every time, so that rigs compare.

Left to itself it does not: mkfs draws a hash seed, which spreads directories (Linux fs/ext4/ialloc.c,
find_group_orlov); with delayed allocation blocks are chosen at writeback, in the order that timers,
memory and processors happen to give; small files come out of one preallocation per processor
(fs/ext4/mballoc.c, locality groups); and the journal goes on by some blocks with every commit, of which
there is one every five seconds (fs/jbd2), so that the slower machine writes more of it. A few blocks
of a layer differ then from run to run, and from machine to machine.

The journal stays: without one, a number of an inode is not given again for a minute or so
(fs/ext4/ialloc.c, recently_deleted), and its length is again a matter of time.
"""

import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from thinsim.errors import EnvironmentLacksError

_FS_BLOCK = 4096
_SEED = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
_COMMIT_SECONDS = 86400
"""A commit comes with a sync, with unmounting, and when the journal is full; never for the time alone."""

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
    """Return mkfs.ext4's extended options: containerd's own, a fixed seed, the geometry of a thin device.

    *block_bytes* is the pool's data block size, which the kernel's thin devices show as their optimal
    I/O size, so that mkfs takes it for the stripe; a loop device shows none.
    """
    stripe = block_bytes // _FS_BLOCK
    return (
        "nodiscard,lazy_itable_init=0,lazy_journal_init=0,"
        f"hash_seed={_SEED},stride={stripe},stripe_width={stripe}"
    )


@contextmanager
def repeatable_ext4(directory: Path) -> Iterator[None]:
    """Until the end: whatever this process starts runs on one processor, and finds a mkfs.ext4 of our own.

    With the configuration that it has (mke2fs.conf(5), kept in *directory* as it is itself) ext4 is
    mounted without delayed allocation, so that blocks are chosen when a program writes; what no
    configuration can say, that the journal is not committed for the time alone, it writes into the
    superblock (tune2fs(8), mount_opts). EnvironmentLacksError without e2fsprogs.
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
    path = shutil.which(program)
    if path is None:
        raise EnvironmentLacksError(f"{program} is not in PATH (apt-get install e2fsprogs)")
    return shlex.quote(path)


def _run_on(processors: set[int]) -> None:
    """Keep every thread there is, worker threads that wait for work, too; new ones inherit it."""
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):  # it has just ended
            os.sched_setaffinity(int(thread.name), processors)


def _restore(before: Mapping[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
