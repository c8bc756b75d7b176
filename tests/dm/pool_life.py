"""An `EmulatedLife` takes an emulated pool through the steps that were recorded on Linux.

``tools/record_pool_life.py`` recorded them.
"""

import errno
import hashlib
import json
import re
import struct
from pathlib import Path
from typing import Any

import trio

from tests.dm.memory_device import MemoryDevice
from thinsim.dm.emulator.local import LocalDeviceMapper
from thinsim.dm.emulator.mapped_device import MappedDevice
from thinsim.dm.emulator.nodes import NoNodes
from thinsim.dm.emulator.runner import in_place
from thinsim.errors import DeviceMapperError

MIB = {"data": 4, "metadata": 4, "disk": 2}
FAILING = {
    "nothing": set[str](),
    "writes": {"write", "flush", "discard"},
    "all": {"read", "write", "discard"},  # the error target has no part in a flush (num_flush_bios)
}
_SETTLING = 0.3  # for tasks that were woken
_PACE = 1.0  # an emulated guest needs more than a commit's period to look at the pool
RECORDING = Path(__file__).parent / "data" / "linux-6.1-pool-life.jsonl"

LifeStep = dict[str, Any]


def recorded() -> dict[str, list[LifeStep]]:
    """Return the recorded steps by section."""
    sections: dict[str, list[LifeStep]] = {}
    for line in RECORDING.read_text().splitlines():
        step = json.loads(line)
        sections.setdefault(step["section"], []).append(step)
    return sections


class EmulatedLife:
    """An `EmulatedLife` has a device-mapper on devices in memory; ``answer`` carries out one step.

    Each device has a file in *directory*: a table may name one in place of a pool, and that must exist.
    """

    def __init__(self, nursery: trio.Nursery, directory: Path) -> None:
        self.devices = {name: MemoryDevice(mib << 20) for name, mib in MIB.items()}
        self._paths = {name: directory / name for name in MIB}
        for path in self._paths.values():
            path.touch()
        self.dm = LocalDeviceMapper(NoNodes(), self._open, in_place)
        self._nursery = nursery
        self._tasks: dict[str, tuple[trio.Event, LifeStep]] = {}

    async def answer(self, step: LifeStep) -> LifeStep:
        answer: LifeStep = {}
        if "task" in step and step["act"] != "end":
            done = trio.Event()
            self._tasks[step["task"]] = done, answer
            self._nursery.start_soon(self._carry_out, step, answer, done)
            await trio.sleep(0.5)
            return await self._look()
        await self._carry_out(step, answer, trio.Event())
        await trio.sleep(_SETTLING)
        if step.get("look") is False:
            return answer
        seen = await self._look()
        await trio.sleep(_PACE)
        return {**answer, **seen}

    async def _look(self) -> LifeStep:
        if "pool" not in self.dm.devices or self.dm.devices["pool"].live is None:
            return {}
        events = (await self.dm.info("pool")).event_nr
        return {"pool": await self.dm.status("pool", noflush=True), "events": events}

    async def _carry_out(self, step: LifeStep, answer: LifeStep, done: trio.Event) -> None:
        try:
            text = await getattr(self, f"_{step['act']}")(step)
        except DeviceMapperError as error:
            answer["error"] = errno.errorcode[error.errno]
        else:
            answer["error"] = None
            if text is not None:
                answer.update(text if isinstance(text, dict) else {"text": text})
        done.set()

    async def _create(self, step: LifeStep) -> None:
        await self.dm.create(step["name"], self._real(step["table"]))

    async def _load(self, step: LifeStep) -> None:
        await self.dm.load(step["name"], self._real(step["table"]))

    async def _suspend(self, step: LifeStep) -> None:
        await self.dm.suspend(step["name"], noflush=step.get("noflush", False))

    async def _resume(self, step: LifeStep) -> None:
        await self.dm.resume(step["name"])

    async def _remove(self, step: LifeStep) -> None:
        await self.dm.remove(step["name"])

    async def _rename(self, step: LifeStep) -> None:
        await self.dm.rename(self.dm.devices.find(step["name"]), step["to"])

    async def _message(self, step: LifeStep) -> None:
        await self.dm.message(step["name"], 0, step["text"])

    async def _status(self, step: LifeStep) -> str:
        return await self.dm.status(step["name"])

    async def _table(self, step: LifeStep) -> str:
        return re.sub(r"\b\d+:\d+\b", "DEV", await self.dm.table(step["name"]))

    async def _info(self, step: LifeStep) -> str:
        return "Suspended" if (await self.dm.info(step["name"])).suspended else "Active"

    async def _write(self, step: LifeStep) -> None:
        await self._volume(step).write(step["offset"], bytes([step["byte"]]) * step["length"])

    async def _discard(self, step: LifeStep) -> None:
        await self._volume(step).discard(step["offset"], step["length"])

    async def _flush(self, step: LifeStep) -> None:
        await self._volume(step).flush()

    async def _content(self, step: LifeStep) -> str:
        volume = self._volume(step)
        return hashlib.sha256(await volume.read(0, volume.size)).hexdigest()[:16]

    async def _fill(self, step: LifeStep) -> None:
        content = self.devices[step["device"]].content
        content[:] = b"".join(struct.pack("<Q", at + 1) * 512 for at in range(len(content) // 4096))

    async def _grow(self, step: LifeStep) -> None:
        content, size = self.devices[step["device"]].content, int(step["mib"] * (1 << 20))
        content.extend(bytes(max(0, size - len(content))))
        del content[size:]

    _shrink = _grow

    async def _fails(self, step: LifeStep) -> None:
        self.devices[step["device"]].fails = FAILING[step["what"]]

    async def _timeout(self, step: LifeStep) -> None:
        self.dm.no_space_timeout = step["seconds"]

    async def _sleep(self, step: LifeStep) -> None:
        await trio.sleep(step["seconds"])

    async def _end(self, step: LifeStep) -> LifeStep:
        done, answer = self._tasks.pop(step["task"])
        with trio.move_on_after(step.get("within", 30)) as limit:
            await done.wait()
        return {"error": "hangs"} if limit.cancelled_caught else answer

    def _open(self, path: str) -> MemoryDevice:
        name = Path(path).name
        if path != str(self._paths.get(name)):
            raise FileNotFoundError(errno.ENOENT, "no such device", path)
        device = self.devices[name]
        device.closed = 0
        return device

    def _volume(self, step: LifeStep) -> MappedDevice:
        if step["name"] not in self.dm.devices:
            raise DeviceMapperError(errno.ENOENT, "a device that does not exist has no node")
        return self.dm.volume(step["name"])

    def _real(self, text: str) -> str:
        return text.format(**self._paths)
