"""What makes ext4 put the same files on the same blocks every time, so that two rigs can be compared.

Left to itself it does not: mkfs draws a hash seed, which spreads directories (Linux fs/ext4/ialloc.c,
find_group_orlov); with delayed allocation blocks are chosen at writeback, in the order that timers,
memory and processors happen to give; small files come out of one preallocation per processor
(fs/ext4/mballoc.c, locality groups); and the journal goes on by some blocks with every commit, of which
there is one every five seconds (fs/jbd2), so that the slower machine writes more of it. A few blocks
of a layer differ then from run to run, and from machine to machine.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

_FS_BLOCK = 4096
_SEED = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
_CONFIG = f"""[defaults]
	base_features = sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr
	default_mntopts = acl,user_xattr,nodelalloc
	enable_periodic_fsck = 0
	blocksize = {_FS_BLOCK}
	inode_size = 256
	inode_ratio = 16384

[fs_types]
	ext4 = {{
		features = extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize
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
    """Until the end: whatever this process starts runs on one processor, and mkfs has one configuration.

    That configuration (mke2fs.conf(5), kept in *directory*) has ext4 mounted without delayed
    allocation, so that blocks are chosen when a program writes, and without a journal.
    """
    config = directory / "mke2fs.conf"
    config.write_text(_CONFIG)
    processors = os.sched_getaffinity(0)
    before = os.environ.get("MKE2FS_CONFIG")
    with ExitStack() as undo:
        undo.callback(_run_on, processors)
        _run_on({min(processors)})
        undo.callback(_restore, before)
        os.environ["MKE2FS_CONFIG"] = str(config)
        yield


def _run_on(processors: set[int]) -> None:
    """Keep every thread there is, worker threads that wait for work, too; new ones inherit it."""
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):  # it has just ended
            os.sched_setaffinity(int(thread.name), processors)


def _restore(config: str | None) -> None:
    if config is None:
        os.environ.pop("MKE2FS_CONFIG", None)
    else:
        os.environ["MKE2FS_CONFIG"] = config
