"""`HostAccounting` is the protocol of a host file system's accounting. Sizes and offsets are bytes."""

from typing import Protocol

from fuse_backing.allocation import Range

EVERYTHING = (1 << 63) - 1
"""The largest offset of a file: lseek(2)."""


class Measurement(Protocol):
    """A `Measurement` is the state of a range of one file just before the range is changed."""

    @property
    def allocated(self) -> int:
        """Return the bytes of the range that the file had allocated."""

    def freed(self) -> int:
        """Return the bytes that the host held for the range and no longer holds. Raises OSError."""


class HostAccounting(Protocol):
    """A `HostAccounting` measures the space of a directory's files on one host. All methods block."""

    @property
    def kind(self) -> str:
        """Return the file system's name and relevant features, such as ``ext4`` or ``ext4 with bigalloc``."""

    @property
    def unit(self) -> int:
        """Return the number of bytes that the host allocates for a write of one byte."""

    @property
    def freed_unit(self) -> int:
        """Return the smallest number of bytes that the host frees."""

    @property
    def maps_what_it_holds(self) -> bool:
        """Return whether the host holds exactly the bytes that the file maps; most file systems do."""

    @property
    def exact(self) -> bool:
        """Return whether freed bytes are measured; if not, they are estimated from the file's map."""

    @property
    def native(self) -> bool:
        """Return whether the C code measures the same.

        The C code sees only the file's map, and only bytes that are freed at once.
        """

    @property
    def sees_preallocation(self) -> bool:
        """Return whether the accounting sees allocated space that was never written.

        If not, a store must not preallocate.
        """

    @property
    def overwrites_free(self) -> bool:
        """Return whether an overwrite can free bytes, since the host writes data to a new place.

        The ledger has no event for that.
        """

    @property
    def writes_back(self) -> bool:
        """Return whether a measurement first writes the file back, which can take long."""

    @property
    def remark(self) -> str:
        """Return one sentence that users of this host must know, or an empty string."""

    def measure(self, fd: int, offset: int, length: int) -> Measurement:
        """Read the state of a range of an open file that is about to be changed. Raises OSError."""

    def held(self, fd: int) -> list[Range]:
        """Return the ranges that the host holds for the file, sorted and disjoint, in the host's addresses.

        An address names the same bytes of the host as long as the file holds them. Raises OSError.
        """

    def keep_in_place(self, directory_fd: int) -> None:
        """Set the directory so that the host overwrites data of new files in place.

        A host that writes elsewhere frees the old place: it frees bytes without a punch. Raises OSError.
        """
