"""The snapshotter's configuration: containerd's keys, containerd's defaults, every problem at once.

Behaviour of containerd ``plugins/snapshots/devmapper/config.go``; ``discard_committed`` is our own.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from thinsim.errors import InvalidValueError
from thinsim.snapshotter.errors import InvalidConfigError
from thinsim.units import SECTOR_SIZE, Bytes, parse_size

PLUGIN = "io.containerd.snapshotter.v1.devmapper"
FILESYSTEM_TYPES = ("ext4", "xfs", "ext2")
# Without these, ext4 discards the device at mkfs and writes its tables later, behind a mount.
DEFAULT_EXT4_OPTIONS = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of one devmapper snapshotter.

    *pool_name* is without ``/dev/mapper/``; *base_image_size* is the virtual size of every device, as
    text (``10GiB``). *async_remove* leaves devices to ``cleanup``; *discard_blocks* discards a
    still-active device at removal; *discard_committed* also discards a committed snapshot at removal,
    activating its device for that (containerd never does). Constructing checks nothing: ``validate``
    does.
    """

    root_path: Path
    pool_name: str
    base_image_size: str
    async_remove: bool = False
    discard_blocks: bool = False
    fs_type: str = "ext4"
    fs_options: str = ""
    discard_committed: bool = False

    @property
    def base_image_bytes(self) -> Bytes:
        """The virtual size of every device, in bytes. InvalidValueError if the text is no size."""
        return parse_size(self.base_image_size)

    @property
    def mkfs_options(self) -> str:
        """What mkfs gets: *fs_options*, or containerd's default, which only ext4 has."""
        return DEFAULT_EXT4_OPTIONS if self.fs_type == "ext4" and not self.fs_options else self.fs_options

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a TOML file: these keys at its top, or in containerd's devmapper plugin table.

        Raises InvalidConfigError, naming the file and every problem in it.
        """
        try:
            document = tomllib.loads(path.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise InvalidConfigError((reason,), str(path)) from error
        if "plugins" not in document:
            return cls.from_table(document, str(path))
        plugins = document["plugins"]
        table = plugins.get(PLUGIN) if isinstance(plugins, dict) else None
        if not isinstance(table, dict):
            raise InvalidConfigError((f'no table [plugins."{PLUGIN}"]',), str(path))
        return cls.from_table(table, str(path))

    @classmethod
    def from_table(cls, table: Mapping[str, object], source: str = "devmapper configuration") -> Self:
        """Make a valid configuration of parsed TOML. InvalidConfigError lists every problem."""
        known = {field.name: field.type for field in fields(cls)}
        problems = [f"unknown key {key!r}" for key in table if key not in known]
        values: dict[str, Any] = {"root_path": Path(), "pool_name": "", "base_image_size": ""}
        mistyped = set()
        for key, kind in known.items():
            if key not in table:
                continue
            value, wanted = table[key], bool if kind is bool else str
            if not isinstance(value, wanted):
                word = "true or false" if wanted is bool else "a string"
                problems.append(f"{key} must be {word}, not {value!r}")
                mistyped.add(key)
            else:
                values[key] = Path(str(value)) if kind is Path else value
        if values.get("fs_type") == "":
            del values["fs_type"]
        config = cls(**values)
        problems += [text for key, text in config._problems() if key not in mistyped]
        if problems:
            raise InvalidConfigError(tuple(problems), source)
        return config

    def validate(self) -> None:
        """Raise InvalidConfigError with every problem, or return."""
        problems = tuple(text for _, text in self._problems())
        if problems:
            raise InvalidConfigError(problems)

    def to_toml(self) -> str:
        """Return the TOML that ``load`` reads back to an equal configuration."""
        lines = (f"{key} = {_toml(value)}" for key, value in asdict(self).items())
        return "\n".join(lines) + "\n"

    def _problems(self) -> list[tuple[str, str]]:
        """Each problem with the key at fault."""
        problems = []
        if not self.pool_name:
            problems.append(("pool_name", "pool_name is required"))
        elif "/" in self.pool_name:
            text = f"pool_name must be without a directory such as /dev/mapper/, not {self.pool_name!r}"
            problems.append(("pool_name", text))
        if self.root_path == Path():
            problems.append(("root_path", "root_path is required"))
        if not self.base_image_size:
            problems.append(("base_image_size", "base_image_size is required"))
        else:
            problems += [("base_image_size", text) for text in self._size_problems()]
        if self.fs_type not in FILESYSTEM_TYPES:
            text = f"fs_type must be one of {', '.join(FILESYSTEM_TYPES)}, not {self.fs_type!r}"
            problems.append(("fs_type", text))
        return problems

    def _size_problems(self) -> list[str]:
        try:
            size = self.base_image_bytes
        except InvalidValueError as error:
            return [f"base_image_size: {error}"]
        if size <= 0 or size % SECTOR_SIZE:
            return [
                f"base_image_size must be a multiple of {SECTOR_SIZE} above 0, not {self.base_image_size!r}"
            ]
        return []


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
