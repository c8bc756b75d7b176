"""Each mode of fallocate(2) on a store has the right errno, sizes, data and ledger, on four kinds of host."""

import errno
import itertools
import os

import pytest

from tests.fuse_backing.backing_store import Store, host_fallocate
from tests.host_file_systems import HostFileSystem

KEEP, PUNCH, COLLAPSE, ZERO, INSERT, UNSHARE, WRITE_ZEROES = 0x1, 0x2, 0x8, 0x10, 0x20, 0x40, 0x80
BLOCK = 4096
SIZE = 8 * BLOCK
DATA = bytes(range(1, 256)) * (SIZE // 255 + 1)
NOT_SUPPORTED = errno.EOPNOTSUPP

pytestmark = [
    pytest.mark.rig,
    pytest.mark.parametrize("host", ["ext4", "xfs with reflink", "btrfs", "tmpfs"], indirect=True),
]


@pytest.fixture
def store(fitting_store: Store) -> Store:
    return fitting_store


def expected(host: str, mode: int, offset: int, length: int) -> tuple[int, int, bytes]:
    """Return the result of a mode for a range: errno, the size, and the file's data."""
    data, end = DATA[:SIZE], offset + length
    if mode == PUNCH | KEEP or (mode in (ZERO, ZERO | KEEP) and host != "tmpfs"):
        data = data[:offset] + bytes(min(end, SIZE) - min(offset, SIZE)) + data[end:]
    elif mode not in (0, KEEP):
        return NOT_SUPPORTED, SIZE, data
    if mode in (0, ZERO):
        data += bytes(max(0, end - SIZE))
    return 0, len(data), data


RANGES = [
    (2 * BLOCK, 2 * BLOCK),  # inside
    (SIZE - BLOCK, 3 * BLOCK),  # across the end
    (2 * SIZE, 2 * BLOCK),  # beyond it
    (BLOCK + 7, 2 * BLOCK + 5),  # within blocks
]
MODES = [
    *(PUNCH, PUNCH | KEEP, ZERO, ZERO | KEEP, COLLAPSE, INSERT, UNSHARE, UNSHARE | KEEP),
    *(WRITE_ZEROES, WRITE_ZEROES | KEEP, COLLAPSE | KEEP, PUNCH | ZERO | KEEP, 0x4, 0, KEEP),
]


def test_each_mode_leaves_the_right_sizes_and_data_and_a_true_ledger(
    host: HostFileSystem, store: Store
) -> None:
    for mode, (offset, length) in itertools.product(MODES, RANGES):
        name = f"mode-{mode:x}-{offset}"
        store.file(name).write_bytes(DATA[:SIZE])
        with store.file(name).open("r+b", buffering=0) as file:
            os.fsync(file)
            assert file.read() == DATA[:SIZE]  # now the kernel has data and size in its caches
            weighed = mode in (PUNCH | KEEP, COLLAPSE)
            used, events = host.used() if weighed else 0, len(store.events())
            number = host_fallocate(file.fileno(), mode, offset, length)
            wanted, size, data = expected(host.kind, mode, offset, length)
            # The kernel refuses PUNCH without KEEP and unknown modes, before FUSE or in it; tmpfs can't zero.
            assert number in (wanted, errno.EINVAL if wanted else 0), hex(mode)
            by_all = (
                os.fstat(file.fileno()).st_size,
                store.file(name).stat().st_size,
                os.lseek(file.fileno(), 0, os.SEEK_END),
                store.host(name).stat().st_size,
            )
            assert by_all == (size,) * 4, hex(mode)
            assert os.pread(file.fileno(), 8 * SIZE, 0) == store.host(name).read_bytes() == data, hex(mode)
            found = store.events()[events:]
        recorded = mode in (PUNCH | KEEP, ZERO, ZERO | KEEP)
        assert [(event.mode, event.errno) for event in found] == [(mode, number)] * recorded, hex(mode)
        freed = sum(event.freed for event in found)
        if mode == PUNCH | KEEP and not (host.kind == "btrfs" and offset % BLOCK):
            assert freed == used - host.used()  # btrfs writes the cut blocks elsewhere
        elif number != 0:
            assert freed == 0
            assert not weighed or host.used() == used


def test_a_truncation_to_the_same_size_frees_the_allocation_beyond_the_end(
    host: HostFileSystem, store: Store
) -> None:
    store.file("file").write_bytes(DATA[:SIZE])
    with store.file("file").open("r+b", buffering=0) as file:
        assert host_fallocate(file.fileno(), KEEP, SIZE, SIZE) == 0
        os.fsync(file)
        used = host.used()
        os.ftruncate(file.fileno(), SIZE)
        assert os.fstat(file.fileno()).st_size == SIZE
        [event] = store.events()[-1:]
        assert (event.operation, event.offset, event.freed) == ("truncate", SIZE, SIZE)
        assert used - host.used() == SIZE
