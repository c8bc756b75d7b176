"""The fixture gives each test a pool of the kernel or of an emulated device-mapper."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.reclaim.live_pool import EACH_KIND, LivePool, live_pool


@pytest.fixture(params=EACH_KIND)
def pool(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LivePool]:
    with live_pool(request.param, tmp_path, monkeypatch) as made:
        yield made
