"""Sends the DeviceMapper verbs to the kernel by way of the machine's dmsetup.

dmsetup tells an errno only as a word (``... ioctl on NAME failed: File exists``), from which it is
recovered here; what was wrong with a table or a message only the kernel's log says, which is read
for the time of the call where it may be read.
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

INSTALL = "modprobe dm-thin-pool if the kernel has it; else take --rig vm or --rig emulated"

_ERRNOS = {os.strerror(number): number for number in errno.errorcode}
_FAILED = re.compile(
    r"device-mapper: (?P<act>\S+) ioctl on .*?(?:\((?P<number>\d+:\d+)\) )? *failed: (?P<word>.+)"
)
_MISSING = ("Device does not exist.", "not found")
_INFO_LINE = re.compile(r"([^:]+): *(.*)")
_EVENT = re.compile(r"^Event number: +(\d+)$", re.MULTILINE)


class KernelDeviceMapper:
    """Runs dmsetup, a process per verb. EnvironmentLacksError without device-mapper or without dmsetup."""

    def __init__(self) -> None:
        if not kernel_has_device_mapper():
            raise EnvironmentLacksError(f"this kernel has no device-mapper ({INSTALL})")
        self._dmsetup = str(real_dmsetup())

    async def create(self, name: str, table: str, *, uuid: str = "", readonly: bool = False) -> None:
        """See DeviceMapper."""
        check_name(name)
        _check_lines(table)
        words = ["create", name, *(["--uuid", uuid] if uuid else []), *(["--readonly"] if readonly else [])]
        await self._run(words, name, table)

    async def load(self, name: str, table: str, *, readonly: bool = False) -> None:
        """See DeviceMapper."""
        _check_lines(table)
        await self._run(["load", name, *(["--readonly"] if readonly else [])], name, table)

    async def suspend(self, name: str, *, noflush: bool = False, nolockfs: bool = False) -> None:
        """See DeviceMapper."""
        await self._run(["suspend", *_options(noflush=noflush, nolockfs=nolockfs), name], name)

    async def resume(self, name: str) -> None:
        """See DeviceMapper."""
        await self._run(["resume", name], name)

    async def remove(
        self, name: str, *, deferred: bool = False, force: bool = False, retry: bool = False
    ) -> None:
        """See DeviceMapper."""
        await self._run(["remove", *_options(deferred=deferred, force=force, retry=retry), name], name)

    async def message(self, name: str, sector: int, text: str) -> None:
        """See DeviceMapper."""
        await self._run(["message", "--", name, str(sector), text], name)

    async def status(self, name: str, *, noflush: bool = False) -> str:
        """See DeviceMapper."""
        said = await self._run(["status", *_options(noflush=noflush), name], name)
        return said.removesuffix("\n")

    async def table(self, name: str) -> str:
        """See DeviceMapper."""
        return (await self._run(["table", name], name)).removesuffix("\n")

    async def info(self, name: str) -> DeviceInfo:
        """See DeviceMapper."""
        return parse_info(await self._run(["info", name], name))

    async def list(self) -> list[str]:
        """See DeviceMapper."""
        said = await self._run(["info", "--columns", "--noheadings", "-o", "name"], "")
        # Said of no device at all, with a status of 0.
        return sorted(line for line in said.splitlines() if line != "No devices found")

    async def wait(self, name: str, event_nr: int) -> int:
        """See DeviceMapper."""
        # The long form of -v would take the name for its argument (lvm2, tools/dmsetup.c).
        said = await self._run(["wait", "-v", name, str(event_nr)], name)
        found = _EVENT.search(said)
        if found is None:
            raise DeviceMapperError(errno.EPROTO, f"dmsetup wait {name} told no event number: {said!r}")
        return int(found[1])

    def path(self, name: str) -> Path:
        """See DeviceMapper."""
        return MAPPER / name

    async def make_nodes(self, name: str) -> None:
        """Make the node of a device in ``/dev/mapper`` where it is missing."""
        await self._run(["mknodes", name], name)

    async def _run(self, words: Sequence[str], name: str, table: str = "") -> str:
        if "\0" in name:
            raise DeviceMapperError(errno.ENXIO, f"{name!r} names no device")
        with following() as logged:
            done = await trio.run_process(
                # dmsetup would write characters of names that udev does not like as \xNN.
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


def refusal(words: Sequence[str], name: str, said: str, logged: Sequence[str] = ()) -> DeviceMapperError:
    """Return the error of a dmsetup that was called with *words* and failed; *said* is all its output.

    *logged* are the kernel's lines of that time; those of other devices are left out.
    """
    failed = _FAILED.search(said)
    if failed is None:
        if any(line.endswith(_MISSING) for line in said.splitlines()):
            return DeviceMapperError(errno.ENXIO, f"no such device: {name}")
        return DeviceMapperError(errno.EINVAL, f"dmsetup {' '.join(words)}: {' '.join(said.split())}")
    number = _ERRNOS.get(failed["word"].strip(), errno.EIO)
    if failed["act"] == "create" and number == errno.EBUSY:
        return DeviceMapperError(number, f"device {name} exists")
    why = [line for line in logged if _concerns(line, failed["number"])]
    return DeviceMapperError(number, "; ".join([f"dmsetup {' '.join(words)}", *why]))


def parse_info(text: str) -> DeviceInfo:
    """Read the long form of ``dmsetup info`` (lvm2, tools/dmsetup.c, _display_info_long)."""
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
    """Refuse what dmsetup reads no target from: given no table at all, it waits for udev for ever."""
    if not parse_lines(table):
        raise DeviceMapperError(errno.EINVAL, "populate_table: no targets specified")


def _concerns(line: str, number: str | None) -> bool:
    named = re.search(r"\b\d+:\d+\b", line)
    return named is None or number is None or named[0] == number


def _options(**wanted: bool) -> list[str]:
    return [f"--{name}" for name, is_wanted in wanted.items() if is_wanted]
