"""The snapshotter's contract suite runs again over gRPC: the plugin must pass it like the core."""

from collections.abc import AsyncIterator

import pytest

from tests.snapshotter.proxy.grpc_snapshotter import GrpcSnapshotter
from tests.snapshotter.proxy.snapshots_client import SnapshotsClient, short_directory
from tests.snapshotter.tapped_snapshotters import TappedSnapshotters
from tests.snapshotter.test_snapshotter_contract import *  # noqa: F403 (its tests, with this file's fixtures)
from thinsim.snapshotter.interface import Snapshotter
from thinsim.snapshotter.proxy.server import serving

pytestmark = pytest.mark.rigs("process")

del test_128_layers  # noqa: F821 (it adds nothing over gRPC; the core runs it)


@pytest.fixture
async def snapshotter(tapped: TappedSnapshotters) -> AsyncIterator[Snapshotter]:
    with short_directory() as directory:
        async with serving(await tapped.open(), directory / "snapshotter.sock"):
            with SnapshotsClient(directory / "snapshotter.sock") as client:
                yield GrpcSnapshotter(client)
