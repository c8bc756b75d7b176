"""`read_settings` reads the places of the databases and `discard_blocks` from containerd's configuration."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from thinsim.node.containerd.databases import ROOT
from thinsim.snapshotter.daemon_config import devmapper_table, is_daemon_config, read_toml
from thinsim.snapshotter.daemon_keys import field_in_any_case
from thinsim.snapshotter.errors import InvalidConfigError

CONFIG: Final = Path("/etc/containerd/config.toml")
"""The file that containerd reads unless its command line names another."""


@dataclass(frozen=True, slots=True)
class ContainerdSettings:
    """A `ContainerdSettings` has what a configuration of containerd sets for its devmapper snapshotter."""

    config: Path
    """The file."""
    root: Path
    """containerd's root directory."""
    root_path: Path
    """The directory of the snapshotter's databases."""
    pool_name: str
    """The name of the pool."""
    discard_blocks: bool
    """True if containerd discards the blocks of a device before it removes it."""


def read_settings(config: Path = CONFIG) -> ContainerdSettings:
    """Return the settings in *config* and in the files that it imports.

    InvalidConfigError if it is no configuration of containerd, or has no table for the devmapper plugin.
    """
    document = read_toml(config)
    if not is_daemon_config(document):
        raise InvalidConfigError(("it is not a configuration of containerd itself",), str(config))
    table = devmapper_table(config, document)
    return ContainerdSettings(
        config,
        Path(str(field_in_any_case(document, "root") or ROOT)),
        Path(_text(table, "root_path")),
        _text(table, "pool_name"),
        field_in_any_case(table, "discard_blocks") is True,
    )


def _text(table: dict[str, Any], key: str) -> str:
    value = field_in_any_case(table, key)
    return value if isinstance(value, str) else ""
