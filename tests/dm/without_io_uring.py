"""``python -m tests.dm.without_io_uring DIRECTORY`` has a plane while the kernel refuses io_uring."""

import ctypes
import errno
import os
import struct
import sys
from pathlib import Path

import trio

from tests.dm.mappers_under_test import BLOCK, POOL, make_pool, make_thin
from tests.dm.plane_backends import mapper_served_by
from thinsim.dm.daemon.native_plane import RING

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_IO_URING_SETUP = 425
"""The number of io_uring_setup(2), on every architecture."""
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _FAIL_WITH = 0x7FFF0000, 0x00050000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def refuse_io_uring() -> None:
    """Let io_uring_setup(2) fail with EPERM from now on, as the profile of a container does."""
    steps = (
        struct.pack("HBBI", _LOAD, 0, 0, 0),  # the number of the system call
        struct.pack("HBBI", _JUMP_IF_EQUAL, 0, 1, _IO_URING_SETUP),
        struct.pack("HBBI", _RETURN, 0, 0, _FAIL_WITH | errno.EPERM),
        struct.pack("HBBI", _RETURN, 0, 0, _ALLOW),
    )
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(steps), b"".join(steps))
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program)) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


async def use_a_plane(directory: Path) -> None:
    """Print the backend of a pool on a device without a file, and the writes that the plane has served."""
    async with mapper_served_by(RING, directory) as mapper:
        await make_pool(mapper)
        await make_thin(mapper, "thin", 0)
        await mapper.write("thin", 0, b"a" * 4 * BLOCK)
        await mapper.read("thin", 0, BLOCK)
        before = await mapper.dm.plane_traffic(POOL)
        for block in range(4):
            await mapper.write("thin", block * BLOCK + 4096, b"b" * 4096)
            assert await mapper.read("thin", block * BLOCK, 8192) == b"a" * 4096 + b"b" * 4096
        after = await mapper.dm.plane_traffic(POOL)
        await mapper.flush("thin")
        assert list(await mapper.check(POOL)) == []
        print(f"{after.backend}: {after.writes - before.writes} writes")


if __name__ == "__main__":
    refuse_io_uring()
    trio.run(use_a_plane, Path(sys.argv[1]))
