"""A lasting pool is created, grown and removed here: files on a store, loop devices, a thin-pool device.

containerd's documentation does the same with truncate, losetup and dmsetup
(docs/snapshotters/devmapper.md there). Here a backing store is below, so that discards are recorded.
"""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import trio

from fuse_backing.errors import FuseBackingError
from fuse_backing.mounts import mount_on
from thinsim.block import loop
from thinsim.dm.standing.places import Places
from thinsim.dm.standing.start import answers
from thinsim.dm.standing.stop import stop_running
from thinsim.errors import (
    ConflictError,
    DeviceMapperError,
    InvalidValueError,
    ProgramFailedError,
    ThinsimError,
)
from thinsim.machine.dmsetup import kernel_has_device_mapper
from thinsim.machine.fuse_transport import store_words
from thinsim.pools.in_use import require_unused
from thinsim.pools.records import PoolRecord, PoolRecords, grown
from thinsim.pools.rigs import choose_lasting_rig, device_mapper
from thinsim.rig.host_file import prepare_host_directory
from thinsim.rig.registry import AUTO, find_rig
from thinsim.rig.shape import PoolShape
from thinsim.thin.metadata.space_map_metadata import least_metadata
from thinsim.units import DataBlocks, format_size

DATA, METADATA = "data", "metadata"


def create(shape: PoolShape, directory: Path, *, rig: str = AUTO, beside_kernel: bool = False) -> PoolRecord:
    """Make a pool with its files in *directory*, which must be empty or missing.

    A pool that can't be made whole is removed again. *rig* and *beside_kernel* are those of
    :func:`thinsim.pools.rigs.choose_lasting_rig`. InvalidValueError, before anything is made, if the metadata
    device has no room for an empty pool of this size.
    """
    _require_room_for_metadata(shape)
    chosen = choose_lasting_rig(rig, directory, beside_kernel=beside_kernel)
    record = PoolRecord(shape, directory.resolve(), chosen.name)
    if directory.exists() and any(directory.iterdir()):
        raise InvalidValueError(f"{directory} is not empty: a pool needs an empty directory")
    records = PoolRecords()
    records.add(record)
    ran = chosen.in_kernel or answers(Places.of_this_user())
    try:
        with ExitStack() as undo:
            if not ran:
                undo.callback(_stop_unused)
            undo.callback(records.drop, shape.name)
            _make(record, records, undo)
            undo.pop_all()
    except BaseException:
        _remove_files(record)
        raise
    return records.find(shape.name)


def remove(name: str, *, keep_files: bool = False) -> None:
    """Remove a pool, its loop devices, its store and its files. Parts that are missing are no error.

    ConflictError, with each user and the fix, while a device on the pool is active or a part is in use;
    nothing is changed then.
    """
    records = PoolRecords()
    record = records.find(name)
    trio.run(_remove_device, record)
    for device in (record.data, record.metadata):
        if device is not None and loop.is_attached(device):
            loop.detach(device)
    if mount_on(record.store) is not None:
        _fuse_backing("unmount", record.store)
    if not keep_files:
        _remove_files(record)
    records.drop(name)


def grow(name: str, data_size: int, metadata_size: int) -> PoolRecord:
    """Give a pool larger devices, in bytes, while it is in use (dm-thin.c, maybe_resize_data_dev).

    InvalidValueError, before anything is changed, if the metadata device has no room for so much data.
    """
    records = PoolRecords()
    record = records.find(name)
    wanted = replace(record, shape=grown(record.shape, data_size, metadata_size))
    _require_room_for_metadata(wanted.shape)
    for file, size, device in (
        (record.store / DATA, data_size, record.data),
        (record.store / METADATA, metadata_size, record.metadata),
    ):
        if device is None:
            raise ConflictError(f"pool {name} was never finished (fix: thinsim pool remove {name})")
        if file.stat().st_size < size:
            with file.open("r+b") as grown_file:
                _give_size(grown_file.fileno(), file, size)
        loop.refresh(device, file, read_only=False)
    trio.run(_reload, wanted)
    records.save(wanted)
    return wanted


def _make(record: PoolRecord, records: PoolRecords, undo: ExitStack) -> None:
    for directory in (record.directory, record.files, record.store):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    prepare_host_directory(record.files)
    _fuse_backing("mount", *store_words(), record.files, record.store)
    undo.callback(_fuse_backing, "unmount", record.store)
    for role, size in ((DATA, record.shape.data_size), (METADATA, record.shape.metadata_size)):
        file = record.store / role
        with file.open("xb") as made:
            _give_size(made.fileno(), file, size)
        device = loop.attach(file)
        undo.callback(loop.detach, device)
        record = replace(record, data=device) if role == DATA else replace(record, metadata=device)
        records.save(record)
    try:
        trio.run(device_mapper(record.rig).create, record.shape.name, _table(record))
    except DeviceMapperError as error:
        # The kernel reports too small a metadata device where it notices it: at an allocation that fails,
        # or at a block beyond the device's end.
        if error.errno in (errno.ENOSPC, errno.EILSEQ):
            raise InvalidValueError(f"{_metadata_too_small(record.shape)} ({error})") from error
        raise


def _require_room_for_metadata(shape: PoolShape) -> None:
    """Refuse a pool whose bitmaps alone need more than its metadata device.

    A device-mapper writes them one by one until the device is full, which can take minutes.
    """
    if shape.metadata_size < least_metadata(_data_blocks(shape)):
        raise InvalidValueError(_metadata_too_small(shape))


def _metadata_too_small(shape: PoolShape) -> str:
    blocks = _data_blocks(shape)
    guide = max(-(-48 * blocks >> 20) << 20, 2 << 20)
    return (
        f"a metadata device of {format_size(shape.metadata_size)} is too small: an empty pool of {blocks} "
        f"data blocks takes {_least_words(shape)}; the kernel's guide, 48 bytes per data "
        f"block and at least 2 MiB, is {format_size(guide)}"
    )


def _least_words(shape: PoolShape) -> str:
    least = least_metadata(_data_blocks(shape))
    return f"more than {format_size(least)}" if shape.metadata_size >= least else format_size(least)


def _data_blocks(shape: PoolShape) -> DataBlocks:
    return DataBlocks(shape.data_size // shape.block_bytes)


def _give_size(handle: int, file: Path, size: int) -> None:
    try:
        os.truncate(handle, size)
    except OSError as error:
        if error.errno in (errno.EFBIG, errno.EINVAL):
            what = f"the file system of {file.parent} has no files as large as {format_size(size)}"
            raise InvalidValueError(f"{file.name} of the pool: {what}: {error.strerror}") from error
        raise


def _stop_unused() -> None:
    """End the emulated device-mapper that was started for a pool that could not be made."""
    places = Places.of_this_user()
    # Another user may have made a device meanwhile. The pool's own error matters more.
    with suppress(ThinsimError, FuseBackingError, OSError):
        if answers(places):
            trio.run(partial(stop_running, places, force=False))


def _table(record: PoolRecord) -> str:
    assert record.data is not None, "a pool's loop devices are attached before its table is written"
    assert record.metadata is not None, "both loop devices are attached before the table is written"
    return record.shape.table(str(record.metadata.path), str(record.data.path))


async def _remove_device(record: PoolRecord) -> None:
    name = record.shape.name
    if find_rig(record.rig).in_kernel and not kernel_has_device_mapper():
        await require_unused(record, None)
        return  # the machine was booted since, and without the module it has no devices
    dm = device_mapper(record.rig)
    await require_unused(record, dm)
    if name in await dm.list():
        # Programs that udev starts hold a new device open for a moment.
        await dm.remove(name, retry=True)


async def _reload(record: PoolRecord) -> None:
    dm = device_mapper(record.rig)
    await dm.load(record.shape.name, _table(record))
    await dm.suspend(record.shape.name)
    await dm.resume(record.shape.name)


def _fuse_backing(verb: str, *words: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "fuse_backing", verb, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ProgramFailedError(
            done.stderr.strip() or f"fuse-backing {verb} ended with status {done.returncode}"
        )


def _remove_files(record: PoolRecord) -> None:
    for path, remover in (
        (record.store, Path.rmdir),
        (record.files, shutil.rmtree),
        (record.directory, Path.rmdir),
    ):
        _quietly(remover, path)


def _quietly(remover: Callable[[Path], object], path: Path) -> None:
    try:
        remover(path)
    except OSError:
        return  # the path is missing, or the user has put something else into it
