"""`containerd_config` writes the configuration that a version of containerd wants."""

import json
import platform
from collections.abc import Mapping
from pathlib import Path

from thinsim.scenario.containerd.builds import ContainerdBuild

_TRANSFER = (1, 7)
"""The first series with the transfer service, which ctr uses for imports and pulls since 2.0."""
_VERSION_3 = (2, 0)
_DISABLED: Mapping[int, tuple[str, ...]] = {
    2: ("io.containerd.grpc.v1.cri",),
    3: ("io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"),
}
"""Plugins of Kubernetes, by the version of the file; the others are those of other file systems."""
_OTHER_SNAPSHOTTERS = ("aufs", "btrfs", "zfs")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""The names of platforms in OCI, by machine (github.com/opencontainers/image-spec, config.md)."""


def containerd_config(
    build: ContainerdBuild, directory: Path, sockets: Path, snapshotter: str, stanza: str
) -> str:
    """Return config.toml for *build* with its files in *directory*, and with the tables *stanza*.

    The transfer service unpacks images only for the snapshotters of its own configuration
    (plugins/transfer/plugin.go of containerd).
    """
    version = 3 if build.series >= _VERSION_3 else 2
    disabled = [
        *_DISABLED[version],
        *(f"io.containerd.snapshotter.v1.{name}" for name in _OTHER_SNAPSHOTTERS),
    ]
    lines = [
        f"version = {version}",
        f"root = {quoted(directory / 'root')}",
        f"state = {quoted(directory / 'state')}",
        f"disabled_plugins = {json.dumps(disabled)}",
        "[grpc]",
        f"address = {quoted(sockets / 'containerd.sock')}",
        "[ttrpc]",
        f"address = {quoted(sockets / 'containerd.ttrpc')}",
    ]
    if build.series >= _TRANSFER:
        lines += [
            '[[plugins."io.containerd.transfer.v1.local".unpack_config]]',
            f"platform = {quoted(f'linux/{_architecture()}')}",
            f"snapshotter = {quoted(snapshotter)}",
        ]
    return "\n".join(lines) + "\n" + stanza


def quoted(value: object) -> str:
    """Return *value* as a TOML basic string, which has the escapes of JSON."""
    return json.dumps(str(value))


def _architecture() -> str:
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)
