"""A `Client`, one of many, creates, writes, snapshots, verifies and removes thin devices with dmsetup.

``python dmsetup_client.py POOL FIRST_ID SEED SECONDS``. Operations are chosen at random. The client has the
thin ids FIRST_ID to FIRST_ID + 99 for itself and leaves none. It prints the number of its operations; an
error ends it with a traceback.
"""

import mmap
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

BLOCK = 65536
BLOCKS = 8
SECTORS = BLOCKS * BLOCK // 512
MOST = 4


@dataclass
class HeldDevice:
    thin_id: int
    content: list[bytes]


class Client:
    def __init__(self, pool: str, first: int, seed: int) -> None:
        self._pool = pool
        self._free = list(range(first, first + 100))
        self._random = random.Random(seed)
        self._devices: dict[str, HeldDevice] = {}
        self._made = 0
        self.operations = 0

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            acts = [self._create] if not self._devices else [self._write, self._write, self._verify]
            if 0 < len(self._devices) < MOST:
                acts += [self._create, self._snapshot]
            if len(self._devices) > 1:
                acts.append(self._remove)
            self._random.choice(acts)()
            self.operations += 1
        while self._devices:
            self._verify()
            self._remove()

    def _create(self) -> None:
        thin_id = self._free.pop(0)
        self._message(f"create_thin {thin_id}")
        self._activate(HeldDevice(thin_id, [bytes(BLOCK)] * BLOCKS))

    def _snapshot(self) -> None:
        name = self._any()
        origin = self._devices[name]
        thin_id = self._free.pop(0)
        dmsetup("suspend", name)
        try:
            self._message(f"create_snap {thin_id} {origin.thin_id}")
        finally:
            dmsetup("resume", name)
        self._activate(HeldDevice(thin_id, list(origin.content)))

    def _activate(self, device: HeldDevice) -> None:
        self._made += 1
        name = f"{self._pool}-{device.thin_id}-{self._made}"
        dmsetup("create", name, "--table", f"0 {SECTORS} thin /dev/mapper/{self._pool} {device.thin_id}")
        self._devices[name] = device

    def _write(self) -> None:
        name = self._any()
        block = self._random.randrange(BLOCKS)
        content = self._random.randbytes(BLOCK)
        with mmap.mmap(-1, BLOCK) as buffer:
            buffer[:] = content
            fd = os.open(f"/dev/mapper/{name}", os.O_WRONLY | os.O_DIRECT)
            try:
                assert os.pwrite(fd, buffer, block * BLOCK) == BLOCK
            finally:
                os.close(fd)
        self._devices[name].content[block] = content

    def _verify(self) -> None:
        name = self._any()
        with mmap.mmap(-1, BLOCK) as buffer:
            fd = os.open(f"/dev/mapper/{name}", os.O_RDONLY | os.O_DIRECT)
            try:
                for block, expected in enumerate(self._devices[name].content):
                    assert os.preadv(fd, [buffer], block * BLOCK) == BLOCK
                    assert bytes(buffer) == expected, f"{name}: block {block} is not what was written"
            finally:
                os.close(fd)

    def _remove(self) -> None:
        name = self._any()
        device = self._devices.pop(name)
        dmsetup("remove", "--retry", f"/dev/mapper/{name}")
        assert not Path(f"/dev/mapper/{name}").exists()
        self._message(f"delete {device.thin_id}")
        self._free.append(device.thin_id)

    def _message(self, text: str) -> None:
        dmsetup("message", self._pool, "0", text)

    def _any(self) -> str:
        return self._random.choice(list(self._devices))


def dmsetup(*words: str) -> None:
    done = subprocess.run(["dmsetup", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"dmsetup {' '.join(words)}: {done.stdout}{done.stderr}"


if __name__ == "__main__":
    client = Client(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    client.run(float(sys.argv[4]))
    print(client.operations)
