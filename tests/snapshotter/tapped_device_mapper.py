"""`TappedDeviceMapper` wraps a `DeviceMapper`: it records each verb and refuses those that a test chooses."""

import errno
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from thinsim.dm.interface import DeviceInfo, DeviceMapper
from thinsim.errors import DeviceMapperError


class BeforeVerb(Protocol):
    async def __call__(self, verb: str, /) -> object: ...


async def do_nothing(verb: str, /) -> None: ...


class TappedDeviceMapper:
    """A `TappedDeviceMapper` records in *verbs* each verb that may change something, in dmsetup's words."""

    def __init__(self, inner: DeviceMapper) -> None:
        self._inner = inner
        self._refusals: list[tuple[str, int, int]] = []
        self._open: dict[str, int] = {}
        self.verbs: list[str] = []
        self.before: BeforeVerb = do_nothing

    def refuse(self, beginning: str, error: int, times: int = 1) -> None:
        """Refuse the next *times* verbs that begin with *beginning*, with the errno *error*."""
        self._refusals.append((beginning, error, times))

    def hold_open(self, name: str, count: int = 1) -> None:
        """Add *count* to the open count that ``info`` shows."""
        self._open[name] = count

    async def create(self, name: str, table: str, *, uuid: str = "", readonly: bool = False) -> None:
        await self._note(f"create {name} {table}")
        await self._inner.create(name, table, uuid=uuid, readonly=readonly)

    async def load(self, name: str, table: str, *, readonly: bool = False) -> None:
        await self._note(f"load {name} {table}")
        await self._inner.load(name, table, readonly=readonly)

    async def suspend(self, name: str, *, noflush: bool = False, nolockfs: bool = False) -> None:
        await self._note(f"suspend {name}")
        await self._inner.suspend(name, noflush=noflush, nolockfs=nolockfs)

    async def resume(self, name: str) -> None:
        await self._note(f"resume {name}")
        await self._inner.resume(name)

    async def remove(
        self, name: str, *, deferred: bool = False, force: bool = False, retry: bool = False
    ) -> None:
        options = " --retry" * retry + " --deferred" * deferred + " --force" * force
        await self._note(f"remove{options} {name}")
        await self._inner.remove(name, deferred=deferred, force=force, retry=retry)

    async def message(self, name: str, sector: int, text: str) -> None:
        await self._note(f"message {name} {sector} {text}")
        await self._inner.message(name, sector, text)

    async def status(self, name: str, *, noflush: bool = False) -> str:
        return await self._inner.status(name, noflush=noflush)

    async def table(self, name: str) -> str:
        return await self._inner.table(name)

    async def info(self, name: str) -> DeviceInfo:
        info = await self._inner.info(name)
        return replace(info, open_count=info.open_count + self._open.get(name, 0))

    async def list(self) -> list[str]:
        return await self._inner.list()

    async def wait(self, name: str, event_nr: int) -> int:
        return await self._inner.wait(name, event_nr)

    def path(self, name: str) -> Path:
        return self._inner.path(name)

    async def _note(self, verb: str) -> None:
        self.verbs.append(verb)
        await self.before(verb)
        for position, (beginning, error, times) in enumerate(self._refusals):
            if verb.startswith(beginning):
                if times > 1:
                    self._refusals[position] = (beginning, error, times - 1)
                else:
                    del self._refusals[position]
                raise DeviceMapperError(error, verb)


EBUSY, EEXIST, EINVAL, ENODATA, EIO = errno.EBUSY, errno.EEXIST, errno.EINVAL, errno.ENODATA, errno.EIO
