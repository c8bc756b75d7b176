"""These functions ask the host's file system about a file, without thinsim's own layers."""

import os
from functools import lru_cache
from pathlib import Path

from fuse_backing import directory as backing_directory
from fuse_backing.accounting.interface import HostAccounting
from fuse_backing.accounting.mapped import MappedAccounting
from fuse_backing.allocation import allocated_ranges
from fuse_backing.errors import UnfitDirectoryError
from thinsim.errors import EnvironmentLacksError
from thinsim.rig.interface import HostAllocation

MEASURED = "measured"
"""The word of a report for bytes that a hole punch freed, as measured on the host."""


def exact_host_accounting(directory: Path) -> HostAccounting:
    """Find by a trial how the host of *directory* accounts for files. Blocking.

    EnvironmentLacksError if the bytes that a hole punch frees cannot be measured: no ledger could balance.
    """
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise EnvironmentLacksError(f"{directory}: {error.strerror}") from error
    try:
        return backing_directory.host_accounting(fd, directory)
    except UnfitDirectoryError as error:
        text = str(error).replace("or --allow-estimate", "name it with --dir")
        raise EnvironmentLacksError(text) from error
    finally:
        os.close(fd)


def freed_bytes(directory: Path) -> str:
    """Return the words of a report for how the freed bytes on the host of *directory* are known. Blocking."""
    try:
        accounting = exact_host_accounting(directory)
    except EnvironmentLacksError as error:
        return f"not measured: {error}"
    return f"{MEASURED}; {accounting.remark}" if accounting.remark else MEASURED


def prepare_host_directory(directory: Path) -> HostAccounting:
    """Find the accounting of *directory*, and make the host overwrite new files there in place. Blocking.

    Otherwise an overwrite on btrfs frees the old extent without a punch, and the ledger misses these bytes.
    EnvironmentLacksError as from :func:`exact_host_accounting`.
    """
    accounting = exact_host_accounting(directory)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        accounting.keep_in_place(fd)
    except OSError as error:
        raise EnvironmentLacksError(
            f"{directory}: {accounting.kind} refuses to overwrite files in place ({error.strerror}); name "
            "another directory: --dir"
        ) from error
    finally:
        os.close(fd)
    return accounting


def host_allocation(file: Path) -> HostAllocation:
    """Return the host's ranges of *file* and its ``st_blocks``. Blocking. Raises ``OSError``."""
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status, system = os.fstat(fd), os.fstatvfs(fd)
        accounting = _accounting(file.parent, status.st_dev, system.f_fsid)
        ranges = allocated_ranges(fd, 0, status.st_size)
        plain = accounting.maps_what_it_holds
        return HostAllocation(
            ranges,
            status.st_blocks * 512,
            held=ranges if plain else accounting.held(fd),
            unit=accounting.unit,
            maps_what_it_holds=plain,
        )
    finally:
        os.close(fd)


@lru_cache(maxsize=64)
def _accounting(directory: Path, device: int, file_system: int) -> HostAccounting:
    """Return the accounting of a directory, or one by the map of each file if none is known."""
    try:
        return exact_host_accounting(directory)
    except EnvironmentLacksError:
        return MappedAccounting("unknown", os.statvfs(directory).f_frsize or 1, exact=False)
