"""`FileCommands` answers the control commands about the files of a store, by their paths."""

import errno
import os
from collections.abc import AsyncGenerator
from dataclasses import asdict
from itertools import islice

import trio

from fuse_backing.allocation import first_extents
from fuse_backing.control import Arguments
from fuse_backing.errors import ControlError
from fuse_backing.filesystem import BackingFileSystem
from fuse_backing.ledger import Ledger
from fuse_backing.unknown_files import unknown_file

_EXTENTS = 1024
_MOST_SUGGESTED = 1000
"""Largest number of files among which a message finds the nearest path."""


class FileCommands:
    """A `FileCommands` finds the files of the store on *mountpoint*, and those that only *ledger* has."""

    def __init__(self, files: BackingFileSystem, ledger: Ledger, mountpoint: str) -> None:
        self._files = files
        self._ledger = ledger
        self._mountpoint = mountpoint

    async def by_offset(self, arguments: Arguments) -> object:
        """Return the histogram of a file by offset, empty for an unknown file."""
        return asdict(self._ledger.by_offset(_file_path(arguments)))

    async def names(self, arguments: Arguments) -> object:
        """Return the paths of the regular files that the store has now."""
        return await trio.to_thread.run_sync(list, self._files.served_files())

    async def find_file(self, arguments: Arguments) -> object:
        """Return whether the store has the file, and the number of its events.

        Raises ControlError (ENOENT) for a file that neither the store nor the ledger has.
        """
        path = _file_path(arguments)
        served, events = self._files.has_file(path), self._events(path)
        if not events and not served:
            raise await self._unknown(path)
        return {"served": served, "events": events}

    async def extents(self, arguments: Arguments) -> AsyncGenerator[object, None]:
        """Yield the size of a file, and then lists of its extents. Raises ControlError (ENOENT)."""
        path = _file_path(arguments)
        try:
            fd = self._files.open_host_file(path)
        except (FileNotFoundError, NotADirectoryError):
            raise await self._unknown(path) from None
        try:
            yield {"size": os.fstat(fd).st_size}
            position = 0
            while True:
                found = await trio.to_thread.run_sync(first_extents, fd, position, _EXTENTS)
                yield found
                if len(found) < _EXTENTS:
                    return
                position = found[-1].end
        finally:
            os.close(fd)

    def _events(self, path: str) -> int:
        totals = self._ledger.totals_by_file.get(path)
        return 0 if totals is None else totals.events

    async def _unknown(self, path: str) -> ControlError:
        served = await trio.to_thread.run_sync(list, islice(self._files.served_files(), _MOST_SUGGESTED))
        paths = {*served, *self._ledger.totals_by_file}
        return unknown_file(self._mountpoint, path, paths, self._events(path))


def _file_path(arguments: Arguments) -> str:
    """Return the argument ``file``, a path in the store. Raises ControlError (EINVAL) for an invalid one."""
    path = arguments.get("file")
    try:
        if isinstance(path, str) and os.fsencode(path):
            if "\0" in path or any(name in ("", ".", "..") for name in path.split("/")):
                raise ControlError(
                    f"{path!r} cannot be a file of a store: name its path in the store, such as images/a.img",
                    errno.EINVAL,
                )
            return path
    except UnicodeEncodeError:
        pass
    raise ControlError(f"'file' must be the path of a file in the store, not {path!r}", errno.EINVAL)
