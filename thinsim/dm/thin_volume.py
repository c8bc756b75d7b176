"""An active thin device: I/O on it, and its suspension."""

import errno

from thinsim.dm.active_pool import ActivePool
from thinsim.dm.gate import Gate
from thinsim.dm.write_trace import TracedWrite, WriteTrace
from thinsim.errors import DeviceMapperError
from thinsim.thin.device import ThinDevice


class ThinVolume:
    """Reads, writes, discards and flushes one thin device; offsets and lengths in bytes.

    Errors are DeviceMapperError with the errno that the kernel's bio would end with: EIO, ENOSPC.
    """

    def __init__(self, name: str, size: int, pool: ActivePool, device: ThinDevice, trace: WriteTrace) -> None:
        self.name = name
        self.size = size
        self.pool = pool
        self.device = device
        self.gate = Gate()
        self._trace = trace
        self._dead = False

    async def read(self, offset: int, length: int) -> bytes:
        """Return up to *length* bytes at *offset*; short at the end of the device."""
        length = max(0, min(length, self.size - offset))
        if not length:
            return b""
        async with self.gate.passing():
            self._check_alive()
            return await self.pool.read(self.device, offset, length)

    async def write(self, offset: int, data: bytes) -> None:
        """Write all of *data*; ENOSPC past the end of the device."""
        if offset + len(data) > self.size:
            raise DeviceMapperError(errno.ENOSPC, f"write past the end of {self.name}")
        async with self.gate.passing():
            self._check_alive()
            await self.pool.write(self.device, offset, data)
        self._trace.note(TracedWrite(self.name, "write", offset, len(data)))

    async def discard(self, offset: int, length: int) -> None:
        """Unmap the whole data blocks inside the range (dm-thin.c, process_discard_bio)."""
        length = max(0, min(length, self.size - offset))
        async with self.gate.passing():
            self._check_alive()
            await self.pool.discard(self.device, offset, length)
        self._trace.note(TracedWrite(self.name, "discard", offset, length))

    async def flush(self) -> None:
        """Return once what was written is durable, its mappings included."""
        async with self.gate.passing():
            self._check_alive()
            await self.pool.flush(self.device)

    def kill(self) -> None:
        """End all I/O with EIO from now on and let who waits through: the device is gone."""
        self._dead = True
        self.gate.open()

    def _check_alive(self) -> None:
        if self._dead:
            raise DeviceMapperError(errno.EIO, f"{self.name} was removed")
