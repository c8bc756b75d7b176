"""`PoolModel` is the oracle of the random histories: it keeps a pool's expected state in dictionaries.

A data block is a `Cell`. Mappings that share a block share the cell. The running and the committed view
share cells as well, because a write in place changes both.
"""

from dataclasses import dataclass, field


@dataclass(eq=False)
class Cell:
    """A `Cell` has the content of one data block."""

    content: bytearray


@dataclass
class ModelDevice:
    """A `ModelDevice` maps virtual blocks to (cell, time) pairs."""

    mappings: dict[int, tuple[Cell, int]] = field(default_factory=dict)
    snapshotted_time: int = 0

    def copy(self) -> "ModelDevice":
        return ModelDevice(dict(self.mappings), self.snapshotted_time)

    def needs_block(self, vblock: int) -> bool:
        mapped = self.mappings.get(vblock)
        return mapped is None or self.snapshotted_time > mapped[1]


@dataclass
class ModelTransaction:
    """A `ModelTransaction` has the devices of one transaction and its metadata snapshot."""

    devices: dict[int, ModelDevice] = field(default_factory=dict)
    held: dict[int, ModelDevice] | None = None
    time: int = 0

    def copy(self) -> "ModelTransaction":
        held = None if self.held is None else dict(self.held)
        return ModelTransaction(
            {thin_id: device.copy() for thin_id, device in self.devices.items()}, held, self.time
        )

    def cells(self) -> set[Cell]:
        devices = [*self.devices.values(), *(self.held or {}).values()]
        return {cell for device in devices for cell, _ in device.mappings.values()}

    def references(self, cell: Cell) -> int:
        devices = [*self.devices.values(), *(self.held or {}).values()]
        return sum(mapped is cell for device in devices for mapped, _ in device.mappings.values())


class PoolModel:
    """A `PoolModel` has a pool's running and committed view, and the rules of sharing, discard and crash."""

    def __init__(self, block: int, *, passes_down: bool) -> None:
        self.block = block
        self.passes_down = passes_down
        self.blocks_passed_down = 0
        self.running = ModelTransaction()
        self.committed = ModelTransaction()
        # The blocks that a request in flight held at the last commit.
        self.held_at_commit: set[Cell] = set()
        # The blocks that a crash left with one reference too many: only a repair removes it.
        self.leaked: set[Cell] = set()

    def commit(self) -> None:
        self.committed = self.running.copy()
        self.held_at_commit = set()

    def crash(self) -> None:
        self.running = self.committed.copy()
        self.leaked |= self.held_at_commit
        self.held_at_commit = set()

    def used(self) -> int:
        return len(self.running.cells() | self.leaked)

    def unavailable(self) -> int:
        return len(self.running.cells() | self.committed.cells() | self.held_at_commit | self.leaked)

    def create_snap(self, thin_id: int, origin: int) -> None:
        self.running.time += 1
        source = self.running.devices[origin]
        source.snapshotted_time = self.running.time
        self.running.devices[thin_id] = source.copy()

    def write(self, thin_id: int, offset: int, content: bytes) -> None:
        device = self.running.devices[thin_id]
        for position, byte in enumerate(content):
            vblock, within = divmod(offset + position, self.block)
            if device.needs_block(vblock):
                mapped = device.mappings.get(vblock)
                old = bytes(self.block) if mapped is None else mapped[0].content
                device.mappings[vblock] = Cell(bytearray(old)), self.running.time
            device.mappings[vblock][0].content[within] = byte

    def discard(self, thin_id: int, offset: int, length: int) -> list[Cell]:
        device = self.running.devices[thin_id]
        gone = []
        for vblock in sorted(device.mappings):
            if offset <= vblock * self.block and (vblock + 1) * self.block <= offset + length:
                shared = device.needs_block(vblock)
                cell, _ = device.mappings.pop(vblock)
                gone.append(cell)
                in_use = cell in self.leaked or self.running.references(cell)
                if self.passes_down and not (shared and in_use):
                    cell.content[:] = bytes(self.block)
                    self.blocks_passed_down += 1
        return gone

    def content(self, thin_id: int, blocks: int) -> bytes:
        mappings = self.running.devices[thin_id].mappings
        return b"".join(
            bytes(mappings[vblock][0].content) if vblock in mappings else bytes(self.block)
            for vblock in range(blocks)
        )
