"""For every test: the machine is left as it was found; what a machine lacks skips with the reason."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from fuse_backing.mounts import mounts
from thinsim.dm.nodes import MAPPER
from thinsim.loop import attached_devices
from thinsim.rig.probes import probe_machine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    findings = probe_machine(Path(tempfile.gettempdir()))
    for marker, rig in (("rig", "emulated"), ("kernel", "kernel")):
        lacks = [finding for finding in findings if not finding.present and rig in finding.needed_by]
        reason = "; ".join(f"{lack.name}: {lack.detail} (fix: {lack.fix})" for lack in lacks)
        for item in items if lacks else ():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
    for item in () if os.environ.get("THINSIM_LONG_TESTS") else items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="long: make test-long"))


@dataclass(frozen=True)
class MachineState:
    """What a test could leave behind, as sets that can be compared."""

    mounts: frozenset[str]
    loops: frozenset[str]
    nodes: frozenset[str]
    servers: frozenset[str]

    @classmethod
    def now(cls) -> "MachineState":
        return cls(
            frozenset(f"{mount.fstype} {mount.source} on {mount.mountpoint}" for mount in mounts()),
            frozenset(f"{device} -> {file}" for device, file in attached_devices().items()),
            frozenset(os.listdir(MAPPER)) if MAPPER.is_dir() else frozenset(),  # noqa: PTH208
            frozenset(_servers()),
        )

    def left_since(self, before: "MachineState") -> list[str]:
        left = (
            self.mounts - before.mounts,
            self.loops - before.loops,
            self.nodes - before.nodes,
            self.servers - before.servers,
        )
        return sorted(name for names in left for name in names)

    def below(self, directory: Path) -> "MachineState":
        """Only what names *directory*; nodes name none."""
        name = str(directory)
        return MachineState(
            frozenset(mount for mount in self.mounts if name in mount),
            frozenset(device for device in self.loops if name in device),
            frozenset(),
            frozenset(server for server in self.servers if name in server),
        )


def _servers() -> Iterator[str]:
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        words = process.info["cmdline"] or []
        is_server = any(
            word in ("fuse_backing", "thinsim.dm.daemon") or "serial=thinsim-scratch" in word
            for word in words
        )
        if is_server or any("fuse-backing" in word for word in words[:2]):
            yield f"{process.info['pid']}: {' '.join(words)}"


@pytest.fixture(scope="session", autouse=True)
def _machine_is_left_as_found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = MachineState.now()
    # Journals of the tests' runs must not meet those of somebody's real runs.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THINSIM_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        yield
    after = MachineState.now()
    if os.environ.get("THINSIM_SHARED_MACHINE"):
        # Somebody else tests here at the same time: look at what names this session's own directory.
        after = after.below(tmp_path_factory.getbasetemp())
    left = after.left_since(before)
    assert not left, "left on the machine: " + "; ".join(left)
