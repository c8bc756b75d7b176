"""The fixture gives each test a pool of the kernel or of an emulated device-mapper."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.reclaim.live_pool import EMULATED, KERNEL, LivePool, live_pool


@pytest.fixture(
    params=[
        pytest.param(EMULATED, marks=pytest.mark.rig),
        pytest.param(KERNEL, marks=pytest.mark.kernel),
    ]
)
def pool(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LivePool]:
    with live_pool(request.param, tmp_path, monkeypatch) as made:
        yield made
