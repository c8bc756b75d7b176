"""What the host says of a file, asked past every layer of ours."""

import os
from pathlib import Path

from fuse_backing.allocation import allocated_ranges
from thinsim.rig.interface import HostAllocation


def host_allocation(file: Path) -> HostAllocation:
    """Return the extent map and ``st_blocks`` of *file*. Blocking; ``OSError``."""
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        return HostAllocation(allocated_ranges(fd, 0, status.st_size), status.st_blocks * 512)
    finally:
        os.close(fd)
