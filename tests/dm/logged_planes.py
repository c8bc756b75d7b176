"""A `LoggedPlanes` makes planes that note what the pool asks of them."""

from tests.dm.small_pool import BLOCK
from thinsim.block.interface import BlockDevice
from thinsim.dm.emulator.pool.plane import NoPlane, NoPoolPlane
from thinsim.dm.write_trace import WriteTrace
from thinsim.thin.device import ThinDevice
from thinsim.thin.pool import Pool


class LoggedPlane(NoPoolPlane):
    """A `LoggedPlane` serves nothing, and writes down what it is asked to do."""

    def __init__(self, engine: Pool) -> None:
        super().__init__()
        self.log: list[str] = []
        self._engine = engine
        self._epoch = engine.transaction.epoch

    def hold(self) -> None:
        self.log.append("hold")

    async def idle(self) -> None:
        self.log.append("idle")

    def release(self) -> None:
        self._epoch = self._engine.transaction.epoch
        self.log.append("release")

    def changing(self, device: ThinDevice, offset: int, length: int) -> None:
        self.log.append(f"changing {offset // BLOCK} {length // BLOCK}")

    def take_over(self) -> bool:
        self.log.append("take over")
        return self._epoch == self._engine.transaction.epoch


class LoggedPlanes(NoPlane):
    """A `LoggedPlanes` makes one `LoggedPlane`."""

    made: LoggedPlane

    def of_pool(self, engine: Pool, data: BlockDevice, trace: WriteTrace) -> LoggedPlane:
        self.made = LoggedPlane(engine)
        return self.made
