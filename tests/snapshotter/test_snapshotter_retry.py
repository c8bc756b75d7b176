"""Trying again while busy: how often, how long, and only then."""

import errno

import pytest
import trio
import trio.testing

from thinsim.errors import DeviceMapperError
from thinsim.snapshotter.retry import CONTAINERD_RETRY


class Act:
    """Refused with *error* the first *times* times."""

    def __init__(self, error: int, times: int) -> None:
        self._error = error
        self._left = times
        self.calls = 0

    async def __call__(self) -> None:
        self.calls += 1
        if self.calls <= self._left:
            raise DeviceMapperError(self._error, "remove")


async def test_containerds_hundred_tries(autojump_clock: trio.testing.MockClock) -> None:
    act = Act(errno.EBUSY, times=100)
    begun = trio.current_time()
    with pytest.raises(DeviceMapperError, match="EBUSY"):
        await CONTAINERD_RETRY.run(act)
    assert act.calls == 100
    assert trio.current_time() - begun == pytest.approx(9.9)


async def test_it_ends_with_the_first_success(autojump_clock: trio.testing.MockClock) -> None:
    act = Act(errno.EBUSY, times=99)
    await CONTAINERD_RETRY.run(act)
    assert act.calls == 100


async def test_another_refusal_is_final() -> None:
    act = Act(errno.EIO, times=2)
    with pytest.raises(DeviceMapperError, match="EIO"):
        await CONTAINERD_RETRY.run(act)
    assert act.calls == 1
