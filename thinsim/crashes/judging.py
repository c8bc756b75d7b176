"""`judge_crash` lists the violated conditions after a crash, a restart and a repair."""

from collections.abc import Mapping, Sequence

from thinsim.crashes.operations import NEW, CrashOperation
from thinsim.crashes.stage import CrashStage
from thinsim.crashes.state import CrashState, look
from thinsim.errors import DeviceMapperError, ThinsimError
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.device_store import ThinIdState
from thinsim.snapshotter.interface import Kind
from thinsim.snapshotter.repair import RepairReport
from thinsim.snapshotter.snapshotter import DevmapperSnapshotter
from thinsim.units import sectors


async def snapshot_contents(stage: CrashStage, state: CrashState) -> dict[str, str]:
    """Return a digest of every snapshot's content, read from the pool, or why it cannot be read."""
    return {name: await _content(stage, state, name) for name in state.snapshots}


async def _content(stage: CrashStage, state: CrashState, name: str) -> str:
    device = state.devices.get(state.snapshots[name].device)
    if device is None or device.thin_id not in state.in_pool:
        return "lost"
    try:
        if device.name in state.nodes:
            return await stage.content(device.name)
        pool = stage.rig.shape.name
        node = f"{pool}-look"
        table = f"0 {sectors(device.size)} thin {stage.rig.dm.path(pool)} {device.thin_id}"
        await stage.rig.dm.create(node, table)
        try:
            return await stage.content(node)
        finally:
            await stage.rig.dm.remove(node, retry=True)
    except (ThinsimError, OSError) as error:
        return f"unreadable: {error}"


async def judge_crash(
    stage: CrashStage,
    config: Config,
    operation: CrashOperation,
    report: RepairReport,
    *,
    allowed: Sequence[CrashState],
    known: Mapping[str, str],
) -> list[str]:
    """Return the problems after the repair that returned *report*.

    *allowed* has the states that occur without a crash, *known* the contents before the crash.
    """
    state = await look(stage, config)
    problems = list(await stage.rig.check())
    if not operation.forgets:
        problems += state.disagreements()
        problems += [f"left by repair: {each.subject}: {each.found}: {each.remedy}" for each in report.left]
        if state.shown not in [each.shown for each in allowed]:
            problems.append(f"the snapshots are in no state of a run without a crash: {dict(state.shown)}")
    leaked = max(each.leaked for each in allowed)
    if state.leaked > leaked:
        problems.append(f"{state.leaked - leaked} more bytes leaked on the host than without a crash")
    for name, content in (await snapshot_contents(stage, state)).items():
        device = state.devices.get(state.snapshots[name].device)
        if operation.forgets and device is not None and device.discarded:
            continue
        origin = (operation.like or name) if name == NEW else name
        if content != known.get(origin, content) and not (operation.forgets and content == "lost"):
            problems.append(f"the content of {name} is not that of {origin}: {content}")
        if content.startswith("unreadable") or (content == "lost" and not operation.forgets):
            problems.append(f"{name} is {content}")
    return problems


async def use_again(
    stage: CrashStage, config: Config, snapshotter: DevmapperSnapshotter, operation: CrashOperation
) -> list[str]:
    """Use every key again, then remove all snapshots; return the failures and the leftovers."""
    try:
        if operation.forgets:
            await snapshotter.reset_pool()
            await snapshotter.repair()
        else:
            await _create_missing(snapshotter)
        await _remove_all(snapshotter)
    except (ThinsimError, DeviceMapperError) as error:
        return [f"cannot be used again: {error}"]
    state = await look(stage, config)
    problems = [f"after removing all snapshots: {text}" for text in state.disagreements()]
    if state.in_pool or state.mapped or state.nodes:
        problems.append(
            f"after removing all snapshots {len(state.in_pool)} thin ids, {state.mapped} mapped bytes and "
            f"{len(state.nodes)} devices are left"
        )
    problems += [
        f"after removing all snapshots thin id {thin_id} is {thin_state.name.lower()}"
        for thin_id, thin_state in state.thin_ids.items()
        if thin_state is not ThinIdState.FREE
    ]
    if config.discard_committed and state.leaked:
        problems.append(f"after removing all snapshots {state.leaked} bytes are leaked on the host")
    return problems


async def _create_missing(snapshotter: DevmapperSnapshotter) -> None:
    there = {info.name: info.kind async for info in snapshotter.walk()}
    if NEW in there and there[NEW] is not Kind.COMMITTED:
        await snapshotter.remove(NEW)
        await snapshotter.prepare(NEW, "layer")
    if NEW not in there:
        await snapshotter.commit(NEW, "running")
        there.pop("running", None)
    for key in ("running", "leaving", "top"):
        if key not in there:
            await snapshotter.prepare(key, "layer")


async def _remove_all(snapshotter: DevmapperSnapshotter) -> None:
    parents = {info.name: info.parent async for info in snapshotter.walk()}
    while parents:
        for key in [key for key in parents if key not in parents.values()]:
            await snapshotter.remove(key)
            del parents[key]
    await snapshotter.cleanup()
