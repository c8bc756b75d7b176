"""Says what is asked of a host file system's accounting. Sizes and offsets are bytes."""

from typing import Protocol

from fuse_backing.allocation import Range

EVERYTHING = (1 << 63) - 1
"""The largest offset of a file: lseek(2)."""


class Measurement(Protocol):
    """The state of a range of one file just before it is changed."""

    @property
    def allocated(self) -> int:
        """Bytes of the range that the file had allocated."""

    def freed(self) -> int:
        """Return what the host holds no longer of what it held for the range. Raises OSError."""


class HostAccounting(Protocol):
    """How one host file system accounts for the files of a directory. All methods block."""

    @property
    def kind(self) -> str:
        """The file system's name and what matters of it, as ``ext4`` or ``btrfs``."""

    @property
    def unit(self) -> int:
        """The least that a write of one byte makes the host allocate."""

    @property
    def freed_unit(self) -> int:
        """The least that it frees."""

    @property
    def maps_what_it_holds(self) -> bool:
        """Whether the host holds just the bytes that the file maps: true of most file systems."""

    @property
    def exact(self) -> bool:
        """Whether what is freed is measured; if not, it is estimated from what the file maps."""

    @property
    def native(self) -> bool:
        """Whether the C code, which knows the file's map and what is freed at once, measures the same."""

    @property
    def sees_preallocation(self) -> bool:
        """Whether allocated space that was never written is seen. If not, a store must not allocate."""

    @property
    def writes_back(self) -> bool:
        """Whether measuring writes the file back first, which can take long."""

    @property
    def remark(self) -> str:
        """What users must know of this host, in a sentence; empty where there is nothing to know."""

    def measure(self, fd: int, offset: int, length: int) -> Measurement:
        """Look at a range of an open file that is about to be changed. Raises OSError."""

    def held(self, fd: int) -> list[Range]:
        """Return all that the host holds for the file, sorted and disjoint, in addresses of its own choice.

        An address names the same bytes of the host as long as the file holds them. Raises OSError.
        """

    def keep_in_place(self, directory_fd: int) -> None:
        """Have overwrites of files that are created in the directory from now on keep to their place.

        A host that writes elsewhere frees the old place: bytes come back without a punch. Raises OSError.
        """
