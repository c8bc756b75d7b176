"""Each error of the metadata has its own class, because the pool handles each differently."""

import errno

from thinsim.errors import KernelError


class MetadataDamagedError(KernelError):
    """The content of the metadata device differs from what was written there.

    The errno *number* is EILSEQ for a wrong checksum, a wrong magic number or impossible content. It is
    ENOTBLK for a block that stores another block number than its own (dm-btree-spine.c, node_check).
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
    """Return the text of *error*, without the C library's text for the errno of a KernelError."""
    if isinstance(error, KernelError):
        return str(error.args[0])
    return error.strerror or str(error)
