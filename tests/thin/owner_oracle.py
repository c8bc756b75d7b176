"""`OwnerOracle` knows which devices ever mapped a data block."""

from collections import defaultdict

from tests.thin.ram_pool import RamPool
from thinsim.thin.device import ThinDevice


class OwnerOracle:
    """An `OwnerOracle` plays a history that uses each thin id once, and knows the owners of each block."""

    def __init__(self, metadata_blocks: int) -> None:
        self.ram = RamPool(data_blocks=60, block_size=1, metadata_blocks=metadata_blocks)
        self.alive: list[int] = []
        self.ever: dict[int, set[int]] = defaultdict(set)
        self._created = 0

    def play(self, operation: str, which: int, vblock: int, count: int) -> None:
        if operation == "create" or not self.alive:
            self._create(f"create_thin {self._created + 1}")
        elif operation == "snap":
            self._create(f"create_snap {self._created + 1} {self._chosen(which)}")
        elif operation == "delete":
            thin_id = self._chosen(which)
            self.alive.remove(thin_id)
            self.ram.message(f"delete {thin_id}")
        elif operation == "commit":
            self.ram.commit()
        elif operation == "crash":
            self.ram.commit()
            self.ram.crash()
        else:
            self._change(operation, self._chosen(which), vblock, count)

    def _create(self, message: str) -> None:
        if len(self.alive) < 6:
            self._created += 1
            self.ram.message(message)
            self.alive.append(self._created)
            self._look(self._created)

    def _change(self, operation: str, thin_id: int, vblock: int, count: int) -> None:
        device: ThinDevice = self.ram.open(thin_id, 100)
        if operation == "write":
            if self.ram.available() >= count + 2:
                self.ram.write_blocks(device, vblock, count)
        else:
            self.ram.discard_blocks(device, vblock, count)
        self.ram.pool.close_thin(device)
        self._look(thin_id)

    def _look(self, thin_id: int) -> None:
        for block in self.ram.blocks_of(thin_id).values():
            self.ever[block].add(thin_id)

    def _chosen(self, which: int) -> int:
        return self.alive[which % len(self.alive)]
