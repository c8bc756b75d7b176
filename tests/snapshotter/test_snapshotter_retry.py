"""These tests cover retries: their number, duration and errnos, and the cancellation of a wait."""

import errno
import logging

import pytest
import trio
import trio.testing

from thinsim.errors import DeviceMapperError
from thinsim.snapshotter.retry import CONTAINERD_RETRY
from thinsim.snapshotter.undisturbed import undisturbed


class RefusedAct:
    """A callable that is refused with *error* the first *times* times; each call takes *seconds*."""

    def __init__(self, error: int, times: int, seconds: float = 0) -> None:
        self._error = error
        self._left = times
        self._seconds = seconds
        self.calls = 0

    async def __call__(self) -> None:
        self.calls += 1
        await trio.sleep(self._seconds)
        if self.calls <= self._left:
            raise DeviceMapperError(self._error, "remove")


async def test_busy_has_containerds_hundred_tries(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    act = RefusedAct(errno.EBUSY, times=100)
    with pytest.raises(DeviceMapperError, match="EBUSY"):
        await CONTAINERD_RETRY.busy.run("removing it", act)
    assert act.calls == 100
    assert trio.current_time() == pytest.approx(9.9)
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(lines) == 9  # every tenth refusal is logged, and the hundredth is raised
    assert lines[0] == "removing it: remove: Device or resource busy (EBUSY); trying again (10 of 100)"


async def test_it_ends_with_the_first_success(autojump_clock: trio.testing.MockClock) -> None:
    act = RefusedAct(errno.EBUSY, times=99)
    await CONTAINERD_RETRY.busy.run("it", act)
    assert act.calls == 100


@pytest.mark.parametrize("error", [errno.EIO, errno.EINVAL, errno.ENXIO])
async def test_another_refusal_is_final(error: int) -> None:
    act = RefusedAct(error, times=2)
    with pytest.raises(DeviceMapperError):
        await CONTAINERD_RETRY.busy.run("it", act)
    assert act.calls == 1


async def test_holding_has_three_tries_ever_further_apart(autojump_clock: trio.testing.MockClock) -> None:
    act = RefusedAct(errno.EINVAL, times=3)
    with pytest.raises(DeviceMapperError, match="EINVAL"):
        await CONTAINERD_RETRY.hold.run("suspending", act)
    assert act.calls == 3
    assert trio.current_time() == pytest.approx(0.1 + 0.2)


async def test_a_busy_device_is_not_held_again() -> None:
    """Test that EBUSY is final: containerd looks for "device busy", not for "device or resource busy"."""
    act = RefusedAct(errno.EBUSY, times=1)
    with pytest.raises(DeviceMapperError, match="EBUSY"):
        await CONTAINERD_RETRY.hold.run("suspending", act)
    assert act.calls == 1


async def test_the_total_time_is_limited(autojump_clock: trio.testing.MockClock) -> None:
    """Test the limit: dmsetup remove --retry itself takes 5 s, 100 tries 8.5 minutes (containerd #9562)."""
    act = RefusedAct(errno.EBUSY, times=100, seconds=5)
    with pytest.raises(DeviceMapperError, match="EBUSY") as caught:
        await CONTAINERD_RETRY.bounded(20).busy.run("it", act)
    assert act.calls == 4
    assert caught.value.__notes__ == ["given up after 20 seconds and 4 tries"]
    assert trio.current_time() <= 20 + 5


def test_no_limit_leaves_containerds_rules() -> None:
    assert CONTAINERD_RETRY.bounded(0) is CONTAINERD_RETRY


async def test_a_cancellation_takes_effect_between_two_tries(autojump_clock: trio.testing.MockClock) -> None:
    act = RefusedAct(errno.EBUSY, times=100, seconds=1)
    with trio.move_on_after(2.5) as scope, undisturbed():
        await CONTAINERD_RETRY.busy.run("it", act)
    assert scope.cancelled_caught
    # The third try was running: it was finished, and no fourth one began.
    assert act.calls == 3
    assert trio.current_time() == pytest.approx(3.2)
