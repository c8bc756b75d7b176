"""A pool that fills its 64 metadata blocks fails the same write as Linux 6.1, with the same error.

One thin device is written at random, forty blocks between two statuses, until the metadata is full. The
recorded facts are the failing write, its error, the pool's mode and the pool's counts afterwards.
"""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.thin.ram_store import RamStore
from thinsim.errors import DeviceMapperError
from thinsim.thin.device import ThinDevice
from thinsim.thin.messages import send_message
from thinsim.thin.pool import Pool
from thinsim.thin.table import PoolFeatures
from thinsim.units import Sectors

BLOCK = 65536
POOL_SECTORS, THIN_SECTORS = 16777216, Sectors(8388608)
ANSWERS = Path(__file__).parent / "data" / "linux-6.1-full-metadata.jsonl"

HISTORIES = {
    "a": (1, PoolFeatures(skip_block_zeroing=True), 4096, 8320),
    "b": (2, PoolFeatures(), BLOCK, 7710),
}
"""The seed, the features, the bytes of a write, and the data block that is leaked at the end."""


def recorded(name: str) -> dict[int, dict[str, Any]]:
    answers = [json.loads(line) for line in ANSWERS.read_text().splitlines()]
    return {answer["number"]: answer for answer in answers if answer["history"] == name}


def errno_of_write(device: ThinDevice, vblock: int, length: int) -> int:
    try:
        device.complete(device.plan_write(vblock * BLOCK, length))
    except DeviceMapperError as error:
        return error.errno
    return 0


@pytest.mark.parametrize("name", HISTORIES)
def test_full_metadata_fails_the_kernel_s_write_with_the_kernel_s_error(name: str) -> None:
    seed, features, length, leaked = HISTORIES[name]
    expected, choose = recorded(name), random.Random(seed)
    pool = Pool(features, Sectors(128), POOL_SECTORS // 128, RamStore(64))
    pool.commit()
    send_message(pool, "create_thin 0")
    device = pool.open_thin(0, THIN_SECTORS)
    # The first two records are the device's creation and activation.
    for number in range(2, max(expected) + 1):
        choose.randrange(1)
        vblocks = [choose.randrange(60000) for _ in range(40)]
        errnos = [errno_of_write(device, vblock, length) for vblock in vblocks]
        if pool.changed and not pool.status().needs_check:
            pool.commit()
        if number in expected:
            assert errnos == expected[number]["errnos"]
            assert pool.status().text(0, POOL_SECTORS).strip() == expected[number]["pool"]
            assert device.status().text(0, THIN_SECTORS) == expected[number]["thin"]
    assert pool.status().needs_check
    # This block was allocated when the reserve was reached; the kernel's metadata has the same leak.
    assert pool.check() == [f"data block {leaked}: 1 references, but 0 uses: leaked"]
