"""`CommandRecord` records the commands that a snapshotter in another process runs on thin devices.

The kernel does not record which process discarded or removed a device. containerd uses dmsetup and blkdiscard
for both. So two scripts with those names come first in its PATH: they run the real programs and log each
command that succeeded.
"""

import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from thinsim.dm.activity import Activity, ActivityKind
from thinsim.errors import EnvironmentLacksError
from thinsim.machine.dmsetup import real_dmsetup
from thinsim.machine.programs import find_program

_SEPARATOR = "\x1f"

# Each line is appended in one write, so that the lines of concurrent commands do not mix.
_SCRIPT = r"""#!/bin/sh
# Written by thinsim: run the real {name} and log each command that succeeds.
{program} "$@"
status=$?
if [ $status = 0 ]; then
    line=$(printf '%s\037' {name} "$@")
    printf '%s\n' "$line" >>{log}
fi
exit $status
"""


class CommandRecord:
    """A `CommandRecord` writes the scripts into *programs*, which exists, and reads their log."""

    def __init__(self, programs: Path) -> None:
        self._log = programs / "commands"
        self._taken = 0
        self._devices = RecordedDevices()
        self._programs = programs
        self._log.touch()

    def environment(self) -> dict[str, str]:
        """Write the scripts and return the environment that puts them first in PATH."""
        blkdiscard = find_program("blkdiscard")
        if blkdiscard is None:
            raise EnvironmentLacksError("blkdiscard is not installed (apt-get install util-linux)")
        for name, program in (("dmsetup", real_dmsetup()), ("blkdiscard", Path(blkdiscard))):
            script = self._programs / name
            script.write_text(
                _SCRIPT.format(name=name, program=shlex.quote(str(program)), log=shlex.quote(str(self._log)))
            )
            script.chmod(0o755)
        return {"PATH": f"{self._programs}:{os.environ.get('PATH', os.defpath)}"}

    def take(self, present: Iterable[str]) -> tuple[Activity, ...]:
        """Return the activity since the last call; *present* are the names of the devices that exist now."""
        with self._log.open("rb") as log:
            log.seek(self._taken)
            new = log.read()
        self._taken += len(new)
        commands = [line.split(_SEPARATOR)[:-1] for line in new.decode(errors="replace").splitlines()]
        return tuple(self._devices.step(commands, present))


class RecordedDevices:
    """`RecordedDevices` derives activity from commands; it knows the thin id of each device. Pure."""

    def __init__(self) -> None:
        self._thin_ids: dict[str, int] = {}

    def step(self, commands: Iterable[Sequence[str]], present: Iterable[str]) -> Iterator[Activity]:
        """Yield the activity of *commands*, in order.

        A command is a name and its arguments; all of them succeeded. A deferred removal has happened if the
        device is not among those *present* after the commands.
        """
        there = set(present)
        for program, *arguments in commands:
            if program == "blkdiscard":
                yield from self._discarded(arguments)
            elif arguments[:1] == ["create"]:
                yield from self._created(arguments[1:])
            elif arguments[:1] == ["message"]:
                pool, _, *text = [word for word in arguments[1:] if not word.startswith("-")]
                yield Activity(ActivityKind.MESSAGE, Path(pool).name, -1, text=" ".join(text))
            elif arguments[:1] == ["remove"]:
                for name in (Path(word).name for word in arguments[1:] if not word.startswith("-")):
                    if "--deferred" not in arguments or name not in there:
                        yield from self._gone(name)
        for name in sorted(self._thin_ids.keys() - there):
            yield from self._gone(name)

    def _created(self, arguments: Sequence[str]) -> Iterator[Activity]:
        words = iter(arguments)
        name, table = "", ""
        for word in words:
            if word == "--table":
                table = next(words, "")
            elif not word.startswith("-"):
                name = word
        fields = table.split()
        if len(fields) >= 5 and fields[2] == "thin":
            self._thin_ids[name] = int(fields[4])
            yield Activity(ActivityKind.ACTIVATED, name, self._thin_ids[name])

    def _discarded(self, arguments: Sequence[str]) -> Iterator[Activity]:
        for name in (Path(word).name for word in arguments if not word.startswith("-")):
            if name in self._thin_ids:
                yield Activity(ActivityKind.DISCARDED, name, self._thin_ids[name])

    def _gone(self, name: str) -> Iterator[Activity]:
        if name in self._thin_ids:
            yield Activity(ActivityKind.DEACTIVATED, name, self._thin_ids.pop(name))
