"""`unknown_file` returns the error about a file that a store does not have, with the fix."""

import errno
import shlex
from collections.abc import Collection

from fuse_backing.errors import ControlError
from fuse_backing.near_names import did_you_mean, or_list


def unknown_file(mountpoint: str, name: str, names: Collection[str], events: int = 0) -> ControlError:
    """Return the error (ENOENT) that the store on *mountpoint* has no file *name*.

    *names* are the files of the store and of its ledger; *events* is the number of events of a removed file.
    """
    if events:
        show = f"fuse-backing histogram {shlex.quote(mountpoint)} --file {shlex.quote(name)}"
        counted = "1 event" if events == 1 else f"{events} events"
        text = f"the store no longer has the file {name!r}; to see its {counted}, run: {show}"
    else:
        text = f"the store has no file {name!r}{did_you_mean(name, names) or or_list(names)}"
    return ControlError(f"{mountpoint}: {text}", errno.ENOENT)
