"""`mappings` and `check` read a live kernel pool's metadata with the thin-provisioning-tools.

Mappings come from a metadata snapshot, the kernel's way to read the metadata of a pool in use
(Documentation/admin-guide/device-mapper/thin-provisioning.rst, reserve_metadata_snap).
"""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import trio

from thinsim.dm.interface import DeviceMapper
from thinsim.errors import EnvironmentLacksError, ProgramFailedError
from thinsim.thin.mapping import Run
from thinsim.thin.metadata.dump_reading import read_dump


async def mappings(dm: DeviceMapper, pool: str, metadata_device: Path) -> Mapping[int, Sequence[Run]]:
    """Return the current mappings of each thin id. The pool commits first and stays in service.

    DeviceMapperError EBUSY if a metadata snapshot is held already.
    """
    await dm.message(pool, 0, "reserve_metadata_snap")
    try:
        _, dump = await _run("thin_dump", "--metadata-snap", str(metadata_device))
    finally:
        with trio.CancelScope(shield=True):
            await dm.message(pool, 0, "release_metadata_snap")
    return parse_dump(dump)


async def check(
    dm: DeviceMapper, pool: str, metadata_file: Path, *, before: Callable[[], None] | None = None
) -> list[str]:
    """Return the problems that thin_check finds; empty if the pool is sound.

    *metadata_file* is the file below the pool's metadata device, or the copy that *before* makes. The pool is
    suspended during the check.
    """
    was_suspended = (await dm.info(pool)).suspended
    await dm.suspend(pool)
    try:
        if before is not None:
            await trio.to_thread.run_sync(before)
        status, printed = await _run("thin_check", str(metadata_file), check=False)
    finally:
        if not was_suspended:
            with trio.CancelScope(shield=True):
                await dm.resume(pool)
    return printed.splitlines() or [f"thin_check exited with {status}"] if status else []


def parse_dump(text: str) -> dict[int, list[Run]]:
    """Parse the XML of any version of thin_dump; ProgramFailedError for anything else."""
    try:
        return {device.thin_id: list(device.runs) for device in read_dump(text).devices}
    except ValueError as error:
        raise ProgramFailedError(str(error)) from None


async def _run(tool: str, *words: str, check: bool = True) -> tuple[int, str]:
    try:
        done = await trio.run_process(
            [tool, *words],
            capture_stdout=True,
            **({"capture_stderr": True} if check else {"stderr": subprocess.STDOUT}),
            check=False,
        )
    except FileNotFoundError:
        raise EnvironmentLacksError(
            f"{tool} is not in PATH (apt-get install thin-provisioning-tools)"
        ) from None
    if check and done.returncode:
        printed = (done.stderr or b"").decode(errors="replace").strip()
        raise ProgramFailedError(f"{tool} {' '.join(words)}: {printed or f'exit status {done.returncode}'}")
    return done.returncode, done.stdout.decode(errors="replace")
