"""`ChannelOptions` choose what a mount's channel serves without Python."""

from dataclasses import dataclass

from fuse_backing.extension import native
from fuse_backing.fuse_uring import FuseUring


@dataclass(frozen=True, slots=True)
class ChannelOptions:
    """`ChannelOptions` choose what the channel serves; by default Python and libfuse serve everything."""

    threads: int = 1
    """Threads that read ``/dev/fuse``, 1 to 16."""
    account: native.Account | None = None
    """The account of the punches that the channel serves on announced files."""
    names: native.Names | None = None
    """The files whose names the channel serves; it needs an *account*."""
    passthrough: bool = False
    """The kernel may serve data from backing files."""
    table_bytes: int = 0
    """Bytes that the plane's tables of thin devices take at most; 0: there is no plane."""
    uring: FuseUring = FuseUring.OFF
    """The wanted way of the requests."""
