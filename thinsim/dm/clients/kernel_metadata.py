"""Reads and checks a live kernel pool's metadata by way of the thin-provisioning-tools.

Mappings come from a metadata snapshot, which is how a pool in use is looked at
(Documentation/admin-guide/device-mapper/thin-provisioning.rst, reserve_metadata_snap).
"""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import trio

from thinsim.dm.interface import DeviceMapper
from thinsim.errors import EnvironmentLacksError, ProgramFailedError
from thinsim.thin.mapping import Run


async def mappings(dm: DeviceMapper, pool: str, metadata_device: Path) -> Mapping[int, Sequence[Run]]:
    """Return every thin id's mappings as of now; the pool commits first and goes on meanwhile.

    DeviceMapperError EBUSY when a metadata snapshot is held already.
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
    """Return what thin_check finds wrong; empty when the pool is sound.

    *metadata_file* is the file below the pool's metadata device, or what *before* makes of it; the pool is
    suspended meanwhile.
    """
    was_suspended = (await dm.info(pool)).suspended
    await dm.suspend(pool)
    try:
        if before is not None:
            await trio.to_thread.run_sync(before)
        status, said = await _run("thin_check", str(metadata_file), check=False)
    finally:
        if not was_suspended:
            with trio.CancelScope(shield=True):
                await dm.resume(pool)
    return said.splitlines() or [f"thin_check exited with {status}"] if status else []


def parse_dump(text: str) -> dict[int, list[Run]]:
    """Read thin_dump's XML; ProgramFailedError for anything else."""
    try:
        root = ElementTree.fromstring(text)
        return {
            int(device.attrib["dev_id"]): [_run_of(entry.tag, entry.attrib) for entry in device]
            for device in root.iter("device")
        }
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise ProgramFailedError(f"thin_dump printed what can't be read: {error!r}") from None


def _run_of(tag: str, fields: Mapping[str, str]) -> Run:
    if tag == "single_mapping":
        return Run(int(fields["origin_block"]), int(fields["data_block"]), 1, int(fields["time"]))
    return Run(
        int(fields["origin_begin"]), int(fields["data_begin"]), int(fields["length"]), int(fields["time"])
    )


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
        said = (done.stderr or b"").decode(errors="replace").strip()
        raise ProgramFailedError(f"{tool} {' '.join(words)}: {said or f'exit status {done.returncode}'}")
    return done.returncode, done.stdout.decode(errors="replace")
