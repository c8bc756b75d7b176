"""A `KernelDeviceMapper` sends the DeviceMapper verbs to the kernel through the machine's dmsetup.

dmsetup prints an errno only as text (``... ioctl on NAME failed: File exists``); this module recovers
the number from it. Only the kernel's log has the reason why a table or a message was refused. The log
is read during the call, if it is readable.
"""

import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path

import trio

from thinsim.dm.clients.kernel_log import following
from thinsim.dm.interface import DeviceInfo
from thinsim.dm.names import MAPPER, check_name
from thinsim.dm.text import parse_lines
from thinsim.errors import DeviceMapperError, EnvironmentLacksError
from thinsim.machine.dmsetup import kernel_has_device_mapper, real_dmsetup

INSTALL = "run modprobe dm-thin-pool if the kernel has it; else use --rig vm or --rig emulated"

_ERRNOS = {os.strerror(number): number for number in errno.errorcode}
_FAILED = re.compile(
    r"device-mapper: (?P<act>\S+) ioctl on .*?(?:\((?P<number>\d+:\d+)\) )? *failed: (?P<word>.+)"
)
_MISSING = ("Device does not exist.", "not found")
_INFO_LINE = re.compile(r"([^:]+): *(.*)")
_EVENT = re.compile(r"^Event number: +(\d+)$", re.MULTILINE)


class KernelDeviceMapper:
    """A `KernelDeviceMapper` runs one dmsetup process per verb.

    Its constructor raises EnvironmentLacksError without device-mapper or without dmsetup.
    """

    def __init__(self) -> None:
        if not kernel_has_device_mapper():
            raise EnvironmentLacksError(f"this kernel has no device-mapper ({INSTALL})")
        self._dmsetup = str(real_dmsetup())

    async def create(self, name: str, table: str, *, uuid: str = "", readonly: bool = False) -> None:
        check_name(name)
        _check_lines(table)
        words = ["create", name, *(["--uuid", uuid] if uuid else []), *(["--readonly"] if readonly else [])]
        await self._run(words, name, table)

    async def load(self, name: str, table: str, *, readonly: bool = False) -> None:
        _check_lines(table)
        await self._run(["load", name, *(["--readonly"] if readonly else [])], name, table)

    async def suspend(self, name: str, *, noflush: bool = False, nolockfs: bool = False) -> None:
        await self._run(["suspend", *_options(noflush=noflush, nolockfs=nolockfs), name], name)

    async def resume(self, name: str) -> None:
        await self._run(["resume", name], name)

    async def remove(
        self, name: str, *, deferred: bool = False, force: bool = False, retry: bool = False
    ) -> None:
        await self._run(["remove", *_options(deferred=deferred, force=force, retry=retry), name], name)

    async def message(self, name: str, sector: int, text: str) -> None:
        await self._run(["message", "--", name, str(sector), text], name)

    async def status(self, name: str, *, noflush: bool = False) -> str:
        printed = await self._run(["status", *_options(noflush=noflush), name], name)
        return printed.removesuffix("\n")

    async def table(self, name: str) -> str:
        return (await self._run(["table", name], name)).removesuffix("\n")

    async def info(self, name: str) -> DeviceInfo:
        return parse_info(await self._run(["info", name], name))

    async def list(self) -> list[str]:
        printed = await self._run(["info", "--columns", "--noheadings", "-o", "name"], "")
        # dmsetup prints this line, and exits with 0, if no device exists.
        return sorted(line for line in printed.splitlines() if line != "No devices found")

    async def tables(self, target: str) -> dict[str, str]:
        """Return the table line of each device whose one target has the type *target*, by name."""
        printed = await self._run(["table", "--target", target], "")
        lines = (line.partition(": ") for line in printed.splitlines())
        return {name: line for name, colon, line in lines if colon}

    async def wait(self, name: str, event_nr: int) -> int:
        # The long form of -v would take the name as its argument (lvm2, tools/dmsetup.c).
        printed = await self._run(["wait", "-v", name, str(event_nr)], name)
        found = _EVENT.search(printed)
        if found is None:
            raise DeviceMapperError(errno.EPROTO, f"dmsetup wait {name} printed no event number: {printed!r}")
        return int(found[1])

    def path(self, name: str) -> Path:
        return MAPPER / name

    async def make_nodes(self, name: str) -> None:
        """Create the node of a device in ``/dev/mapper`` if it is missing."""
        await self._run(["mknodes", name], name)

    async def _run(self, words: Sequence[str], name: str, table: str = "") -> str:
        if "\0" in name:
            raise DeviceMapperError(errno.ENXIO, f"{name!r} is not the name of a device")
        with following() as logged:
            done = await trio.run_process(
                # Otherwise dmsetup writes characters that udev does not allow in a name as \xNN.
                [self._dmsetup, "--manglename", "none", *words],
                stdin=table.encode(),
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                env={**os.environ, "LC_ALL": "C"},
            )
            out, err = (each.decode(errors="surrogateescape") for each in (done.stdout, done.stderr))
            if done.returncode:
                raise refusal(words, name, out + err, logged())
        return out


def refusal(words: Sequence[str], name: str, printed: str, logged: Sequence[str] = ()) -> DeviceMapperError:
    """Return the error of a dmsetup call with *words* that failed; *printed* is all of its output.

    *logged* are the kernel's log lines of that time; lines about other devices are left out.
    """
    failed = _FAILED.search(printed)
    if failed is None:
        if any(line.endswith(_MISSING) for line in printed.splitlines()):
            return DeviceMapperError(errno.ENXIO, f"no such device: {name}")
        return DeviceMapperError(errno.EINVAL, f"dmsetup {' '.join(words)}: {' '.join(printed.split())}")
    number = _ERRNOS.get(failed["word"].strip(), errno.EIO)
    if failed["act"] == "create" and number == errno.EBUSY:
        return DeviceMapperError(number, f"device {name} exists")
    why = [line for line in logged if _concerns(line, failed["number"])]
    return DeviceMapperError(number, "; ".join([f"dmsetup {' '.join(words)}", *why]))


def parse_info(text: str) -> DeviceInfo:
    """Parse the long form of ``dmsetup info`` (lvm2, tools/dmsetup.c, _display_info_long)."""
    fields = {match[1]: match[2] for line in text.splitlines() if (match := _INFO_LINE.match(line))}
    major, minor = (int(part) for part in fields["Major, minor"].split(", "))
    state = fields["State"]
    return DeviceInfo(
        name=fields["Name"],
        major=major,
        minor=minor,
        open_count=int(fields.get("Open count", 0)),
        suspended=state.startswith("SUSPENDED"),
        live_table=fields["Tables present"].startswith("LIVE"),
        inactive_table="INACTIVE" in fields["Tables present"],
        event_nr=int(fields["Event number"]),
        deferred_remove="(DEFERRED REMOVE)" in state,
        read_only="(READ-ONLY)" in state,
        target_count=int(fields.get("Number of targets", 0)),
        uuid=fields.get("UUID", ""),
    )


def _check_lines(table: str) -> None:
    """Raise EINVAL for a table without targets: without a table, dmsetup waits for udev forever."""
    if not parse_lines(table):
        raise DeviceMapperError(errno.EINVAL, "populate_table: no targets specified")


def _concerns(line: str, number: str | None) -> bool:
    named = re.search(r"\b\d+:\d+\b", line)
    return named is None or number is None or named[0] == number


def _options(**wanted: bool) -> list[str]:
    return [f"--{name}" for name, is_wanted in wanted.items() if is_wanted]
