"""`FileCommands` answers the control commands about one file of a store."""

import errno
import os
from collections.abc import AsyncGenerator
from dataclasses import asdict

import trio

from fuse_backing.allocation import first_extents
from fuse_backing.control import Arguments
from fuse_backing.errors import ControlError
from fuse_backing.filesystem import BackingFileSystem
from fuse_backing.ledger import Ledger
from fuse_backing.unknown_files import unknown_file

_EXTENTS = 1024


class FileCommands:
    """A `FileCommands` finds the files of the store on *mountpoint*, and those that only *ledger* has."""

    def __init__(self, files: BackingFileSystem, ledger: Ledger, mountpoint: str) -> None:
        self._files = files
        self._ledger = ledger
        self._mountpoint = mountpoint

    async def by_offset(self, arguments: Arguments) -> object:
        """Return the histogram of a file by offset, empty for an unknown file."""
        return asdict(self._ledger.by_offset(_file_name(arguments)))

    async def names(self, arguments: Arguments) -> object:
        """Return the names of the files that the store has now."""
        return self._files.served_names()

    async def find_file(self, arguments: Arguments) -> object:
        """Return whether the store has the file, and the number of its events.

        Raises ControlError (ENOENT) for a file that neither the store nor the ledger has.
        """
        name, served = _file_name(arguments), self._files.served_names()
        events = self._events(name)
        if not events and name not in served:
            raise self._unknown(name)
        return {"served": name in served, "events": events}

    async def extents(self, arguments: Arguments) -> AsyncGenerator[object, None]:
        """Yield the size of a file, and then lists of its extents. Raises ControlError (ENOENT)."""
        name = _file_name(arguments)
        try:
            fd = self._files.open_host_file(name)
        except FileNotFoundError:
            raise self._unknown(name) from None
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

    def _events(self, name: str) -> int:
        totals = self._ledger.totals_by_file.get(name)
        return 0 if totals is None else totals.events

    def _unknown(self, name: str) -> ControlError:
        names = {*self._files.served_names(), *self._ledger.totals_by_file}
        return unknown_file(self._mountpoint, name, names, self._events(name))


def _file_name(arguments: Arguments) -> str:
    """Return the argument ``file``. Raises ControlError (EINVAL) if no file can have that name."""
    name = arguments.get("file")
    try:
        if isinstance(name, str) and os.fsencode(name):
            if "/" in name or "\0" in name or name in (".", ".."):
                raise ControlError(
                    f"{name!r} cannot be a file of a store: name the file without a directory", errno.EINVAL
                )
            return name
    except UnicodeEncodeError:
        pass
    raise ControlError(f"'file' must be a file's name, not {name!r}", errno.EINVAL)
