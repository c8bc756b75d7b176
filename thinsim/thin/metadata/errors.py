"""Errors of metadata are split by what the pool does about them."""

import errno

from thinsim.errors import KernelError


class MetadataDamagedError(KernelError):
    """What stands on the metadata device is not what was written there.

    EILSEQ (a wrong checksum or magic, an impossible content) unless *number* says otherwise: ENOTBLK
    for a block that names another place than its own (dm-btree-spine.c, node_check).
    """

    def __init__(self, text: str, number: int = errno.EILSEQ) -> None:
        super().__init__(number, text)


class NoMetadataSpaceError(KernelError):
    """ENOSPC: the metadata device has no free block."""

    def __init__(self) -> None:
        super().__init__(errno.ENOSPC, "unable to allocate new metadata block")


class MetadataReadOnlyError(KernelError):
    """EPERM: the metadata may not be written in this mode (dm-block-manager.c, dm_bm_write_lock)."""

    def __init__(self) -> None:
        super().__init__(errno.EPERM, "the metadata is read-only")


def reason(error: KernelError | OSError) -> str:
    """Return what is wrong; of a KernelError without the words that the C library has for the errno."""
    if isinstance(error, KernelError):
        return str(error.args[0])
    return error.strerror or str(error)
