"""gRPC calls are tested: statuses, responses of List, concurrent calls, cancelled calls, the server's end."""

import errno
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc
import pytest
import trio
import trio.testing
from google.protobuf.empty_pb2 import Empty

from tests.snapshotter.proxy.snapshots_client import SnapshotsClient, short_directory
from tests.snapshotter.tapped_snapshotters import BLOCK, TappedSnapshotters
from thinsim.snapshotter.interface import Info, Kind
from thinsim.snapshotter.mounting import FS_TYPE_LABEL
from thinsim.snapshotter.proxy import snapshots_pb2 as wire
from thinsim.snapshotter.proxy.server import serving

pytestmark = pytest.mark.rigs("process")

Code = grpc.StatusCode


@dataclass
class ServedSnapshotter:
    """A `ServedSnapshotter` has a served snapshotter and a client of it."""

    tapped: TappedSnapshotters
    client: SnapshotsClient
    mkfs_may_go_on: trio.Event = field(default_factory=trio.Event)
    mkfs_begun: trio.Event = field(default_factory=trio.Event)

    def hold_mkfs(self) -> None:
        """Make each mkfs, and with it each Prepare, wait for ``mkfs_may_go_on``."""
        make = self.tapped.host.make_filesystem

        async def held(device: Path, fs_type: str, fs_options: str) -> None:
            self.mkfs_begun.set()
            await self.mkfs_may_go_on.wait()
            await make(device, fs_type, fs_options)

        self.tapped.host.make_filesystem = held  # type: ignore[method-assign]

    def preparing(self, key: str) -> grpc.Future:
        request = wire.PrepareSnapshotRequest(key=key)
        return self.client.method("Prepare", request, wire.PrepareSnapshotResponse).future(request)

    async def names(self) -> list[str]:
        return [info.name for info in await trio.to_thread.run_sync(self.client.walk)]


@pytest.fixture
async def served(tapped: TappedSnapshotters) -> AsyncIterator[ServedSnapshotter]:
    with short_directory() as directory:
        async with serving(await tapped.open(), directory / "socket"):
            with SnapshotsClient(directory / "socket") as client:
                yield ServedSnapshotter(tapped, client)


async def refused(act: object, *arguments: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refusal:
        await trio.to_thread.run_sync(act, *arguments)
    return refusal.value.code(), refusal.value.details()


async def result(call: grpc.Future) -> object:
    return await trio.to_thread.run_sync(call.result, 30)


async def test_each_class_of_error_has_the_code_that_containerd_gives_it(served: ServedSnapshotter) -> None:
    client = served.client
    await trio.to_thread.run_sync(client.prepare, "a")
    assert await refused(client.prepare, "a") == (Code.ALREADY_EXISTS, "snapshot 'a' exists already")
    assert (await refused(client.stat, "b"))[0] is Code.NOT_FOUND
    assert (await refused(client.prepare, "c", "a"))[0] is Code.INVALID_ARGUMENT
    assert (await refused(client.prepare, ""))[0] is Code.INVALID_ARGUMENT
    await trio.to_thread.run_sync(client.commit, "base", "a")
    assert (await refused(client.mounts, "base"))[0] is Code.FAILED_PRECONDITION
    assert (await refused(client.walk, "name==a,"))[0] is Code.INVALID_ARGUMENT
    served.tapped.dm.refuse("message", errno.EIO)
    code, text = await refused(client.prepare, "d")
    assert (code, "Input/output error" in text) == (Code.UNKNOWN, True)
    served.tapped.dm.refuse("message", errno.EIO)
    assert (await refused(client.remove, "base"))[0] is Code.FAILED_PRECONDITION
    assert await served.names() == ["base"]


async def test_a_bug_ends_one_call_and_not_the_server(
    served: ServedSnapshotter, caplog: pytest.LogCaptureFixture
) -> None:
    served.tapped.host.mkfs_error = RuntimeError("unforeseen")
    assert await refused(served.client.prepare, "a") == (Code.UNKNOWN, "RuntimeError: unforeseen")
    assert "Traceback" in caplog.text
    served.tapped.host.mkfs_error = None
    await trio.to_thread.run_sync(served.client.prepare, "a")
    assert await served.names() == ["a"]


async def test_the_text_of_an_error_is_cut_to_what_a_header_holds(served: ServedSnapshotter) -> None:
    code, text = await refused(served.client.stat, "x" * 100_000)
    assert (code, len(text)) == (Code.NOT_FOUND, 4096)


async def test_an_unknown_verb_is_unimplemented(served: ServedSnapshotter) -> None:
    code, _ = await refused(served.client.call, "Explode", wire.CleanupRequest(), Empty)
    assert code is Code.UNIMPLEMENTED


async def test_a_list_comes_in_blocks_and_filters_choose_from_it(
    served: ServedSnapshotter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thinsim.snapshotter.proxy.service.LIST_BLOCK", 4)
    (core,) = served.tapped.opened
    await core.prepare("base-key")
    await core.commit("base", "base-key")
    for number in range(9):
        await core.view(f"view-{number}", "base", {"odd": "yes"} if number % 2 else None)
    blocks = await trio.to_thread.run_sync(served.client.blocks)
    assert [len(block) for block in blocks] == [4, 4, 2]
    (odd,) = await trio.to_thread.run_sync(
        served.client.blocks, "labels.odd==yes,kind==view", "name==nothing"
    )
    assert [info.name for info in odd] == ["view-1", "view-3", "view-5", "view-7"]
    assert await trio.to_thread.run_sync(served.client.blocks, "name==nothing") == []
    assert {info.kind for info in blocks[0]} == {Kind.COMMITTED, Kind.VIEW}


async def test_a_mask_of_fields_selects_the_labels_to_change(served: ServedSnapshotter) -> None:
    client = served.client

    def change() -> tuple[Info, Info, Info]:
        client.prepare("a", labels={"one": "1", "two": "2"})
        wanted = replace(client.stat("a"), labels={"one": "changed", "two": "changed", "three": "3"})
        return client.update(wanted, "labels.one"), client.update(wanted), client.stat("a")

    masked, unmasked, after = await trio.to_thread.run_sync(change)
    assert masked.labels == {"one": "changed", "two": "2", FS_TYPE_LABEL: "ext4"}
    assert unmasked.labels == {"one": "changed", "two": "changed", "three": "3"}
    assert after == unmasked
    assert (await refused(client.update, after, "parent"))[0] is Code.INVALID_ARGUMENT


async def test_labels_of_megabytes_pass_as_containerd_lets_them(served: ServedSnapshotter) -> None:
    labels = {f"label-{number}": "v" * 4000 for number in range(1500)}
    await trio.to_thread.run_sync(served.client.prepare, "a", "", labels)
    info = await trio.to_thread.run_sync(served.client.stat, "a")
    assert info.labels == {**labels, FS_TYPE_LABEL: "ext4"}


async def test_a_commit_on_another_parent_is_refused(served: ServedSnapshotter) -> None:
    (core,) = served.tapped.opened
    await core.prepare("base-key")
    await core.commit("base", "base-key")
    await core.prepare("a", "base")
    code, text = await refused(served.client.commit, "b", "a", None, "other")
    assert (code, "cannot be committed on 'other'" in text) == (Code.INVALID_ARGUMENT, True)
    await trio.to_thread.run_sync(served.client.commit, "b", "a", None, "base")
    assert await served.names() == ["b", "base"]


async def test_usage_and_cleanup_are_those_of_the_core(tapped: TappedSnapshotters) -> None:
    with short_directory() as directory:
        core = await tapped.open(async_remove=True)
        async with serving(core, directory / "socket"):
            with SnapshotsClient(directory / "socket") as client:
                await trio.to_thread.run_sync(client.prepare, "a")
                assert (await trio.to_thread.run_sync(client.usage, "a")).size == BLOCK
                thin = core.device_of("a").name
                await trio.to_thread.run_sync(client.remove, "a")
                assert thin in await tapped.dm.list()
                await trio.to_thread.run_sync(client.cleanup)
                assert await tapped.dm.list() == [tapped.pool]


async def test_many_clients_prepare_and_remove_at_once_and_lose_nothing(served: ServedSnapshotter) -> None:
    clients, rounds = 16, 3
    (core,) = served.tapped.opened
    await core.prepare("base-key")
    await core.commit("base", "base-key")

    def work(number: int) -> None:
        for turn in range(rounds):
            key = f"{number}-{turn}"
            (mount,) = served.client.prepare(key, "base" if turn % 2 else "")
            assert served.client.mounts(key) == [mount]
            assert key in {info.name for info in served.client.walk(f'name=="{key}"')}
            if turn == 0:
                served.client.commit(f"done-{key}", key)
                served.client.remove(f"done-{key}")
            elif turn < rounds - 1:
                served.client.remove(key)

    def all_of_them() -> None:
        with ThreadPoolExecutor(clients) as threads:
            list(threads.map(work, range(clients)))

    await trio.to_thread.run_sync(all_of_them)
    left = {f"{number}-{rounds - 1}" for number in range(clients)}
    assert set(await served.names()) == {*left, "base"}
    devices = {core.device_of(name).name for name in (*left, "base")}
    assert len(devices) == clients + 1
    active = devices - {core.device_of("base").name}
    assert set(await served.tapped.dm.list()) == {served.tapped.pool, *active}
    assert len({core.device_of(name).thin_id for name in (*left, "base")}) == clients + 1


async def test_a_call_that_is_cancelled_while_it_waits_for_its_turn_does_nothing(
    served: ServedSnapshotter,
) -> None:
    served.hold_mkfs()
    working = served.preparing("working")
    await served.mkfs_begun.wait()
    waiting = served.preparing("waiting")
    # A reader need not wait: it sees the committed snapshots.
    assert await served.names() == []
    waiting.cancel()
    # The connection keeps the order: once this call is answered, the server has received the cancellation.
    assert await served.names() == []
    await trio.testing.wait_all_tasks_blocked()
    served.mkfs_may_go_on.set()
    await result(working)
    assert await served.names() == ["working"]
    assert [device for device, _, _ in served.tapped.host.mkfs] == [f"{served.tapped.pool}-snap-1"]


async def test_a_call_that_is_cancelled_during_mkfs_leaves_a_whole_snapshot(
    served: ServedSnapshotter,
) -> None:
    served.hold_mkfs()
    working = served.preparing("working")
    await served.mkfs_begun.wait()
    working.cancel()
    served.mkfs_may_go_on.set()
    with trio.fail_after(60):
        while await served.names() != ["working"]:
            await trio.sleep(0.01)
    (core,) = served.tapped.opened
    assert core.device_of("working").state == "Activated"
    assert await refused(served.client.prepare, "working") == (
        Code.ALREADY_EXISTS,
        "snapshot 'working' exists already",
    )


async def test_a_deadline_ends_the_call_and_the_verb_ends_by_itself(served: ServedSnapshotter) -> None:
    served.hold_mkfs()
    request = wire.PrepareSnapshotRequest(key="slow")
    method = served.client.method("Prepare", request, wire.PrepareSnapshotResponse)
    with pytest.raises(grpc.RpcError) as late:
        await trio.to_thread.run_sync(lambda: method(request, timeout=0.3))
    assert late.value.code() is Code.DEADLINE_EXCEEDED
    served.mkfs_may_go_on.set()
    with trio.fail_after(60):
        while await served.names() != ["slow"]:
            await trio.sleep(0.01)


async def test_the_end_of_the_server_waits_for_the_running_verb(tapped: TappedSnapshotters) -> None:
    core = await tapped.open()
    with short_directory() as directory, SnapshotsClient(directory / "socket") as client:
        async with trio.open_nursery() as nursery:
            async with serving(core, directory / "socket"):
                served = ServedSnapshotter(tapped, client)
                served.hold_mkfs()
                working = served.preparing("working")
                await served.mkfs_begun.wait()
                nursery.start_soon(_when_all_wait, served.mkfs_may_go_on.set)
            assert served.mkfs_may_go_on.is_set()
            await result(working)
            assert (await core.stat("working")).kind is Kind.ACTIVE
        assert list(directory.iterdir()) == []
        assert (await refused(client.walk))[0] is Code.UNAVAILABLE


async def _when_all_wait(act: Callable[[], None]) -> None:
    await trio.testing.wait_all_tasks_blocked(0.2)
    act()
