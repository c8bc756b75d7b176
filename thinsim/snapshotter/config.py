"""The snapshotter's configuration: containerd's keys, containerd's defaults, every problem at once.

Behaviour of containerd ``plugins/snapshots/devmapper/config.go``. The keys that containerd does not
have are off unless they are asked for: without them the snapshotter does what containerd does, its
leaks included. ``profile = "fixed"`` turns all of them on (docs/snapshotter.md).
"""

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from thinsim.did_you_mean import did_you_mean
from thinsim.errors import InvalidValueError
from thinsim.snapshotter.errors import InvalidConfigError
from thinsim.units import SECTOR_SIZE, Bytes, parse_size

PLUGIN = "io.containerd.snapshotter.v1.devmapper"
FILESYSTEM_TYPES = ("ext4", "xfs", "ext2")
# Without these, ext4 discards the device at mkfs and writes its tables later, behind a mount.
DEFAULT_EXT4_OPTIONS = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"

FIXED: Mapping[str, Any] = {
    "discard_blocks": True,
    "discard_committed": True,
    "discard_inactive": True,
    "discard_later": True,
    "discard_step": "16MiB",
    "remove_unforced": True,
    "require_passdown": True,
    "exact_usage": True,
    "concurrent": True,
}
"""What ``profile = "fixed"`` sets where the file itself says nothing."""

PROFILES: Mapping[str, Mapping[str, Any]] = {"containerd": {}, "fixed": FIXED}


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of one devmapper snapshotter. Constructing checks nothing: ``validate`` does.

    containerd's: *pool_name* is without ``/dev/mapper/``; *base_image_size* is the virtual size of every
    device, as text (``10GiB``); *async_remove* leaves devices to ``cleanup``; *discard_blocks* discards
    a still-active device at removal.

    Ours, each against one fault of containerd's (docs/snapshotter.md has the table):

    - *discard_committed*: a committed snapshot is discarded at removal, too, its device activated for
      that (A, B).
    - *discard_inactive*: so is any other device that is not active any more, after a reboot (C).
    - *discard_later*: what is busy, or fails, when it is due is done by a later ``cleanup`` (C, D).
    - *remove_unforced*: a removal never puts an error table in place, and replaces one that it finds
      there before it discards (E).
    - *require_passdown*: no snapshotter on a pool whose discards do not reach the data device (F).
    - *exact_usage*: usage is what a snapshot does not share with its parent (G).
    - *concurrent*: verbs on different snapshots do not wait for one another.
    - *discard_step*: discards go in steps of this size, smaller ones while they take long; empty: each is
      one call for the whole device.
    - *busy_timeout*: seconds that one removal or hold is retried for in all; 0: as often as containerd.
    """

    root_path: Path
    pool_name: str
    base_image_size: str
    async_remove: bool = False
    discard_blocks: bool = False
    fs_type: str = "ext4"
    fs_options: str = ""
    discard_committed: bool = False
    discard_inactive: bool = False
    discard_later: bool = False
    remove_unforced: bool = False
    require_passdown: bool = False
    exact_usage: bool = False
    concurrent: bool = False
    discard_step: str = ""
    busy_timeout: float = 0.0

    @property
    def base_image_bytes(self) -> Bytes:
        """The virtual size of every device, in bytes. InvalidValueError if the text is no size."""
        return parse_size(self.base_image_size)

    @property
    def discard_step_bytes(self) -> Bytes | None:
        """The size of a discard's steps, in bytes; None for one call. InvalidValueError for no size."""
        return parse_size(self.discard_step) if self.discard_step else None

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
        problems = [
            f"unknown key {key!r}{did_you_mean(key, [*known, 'profile'])}"
            for key in table
            if key not in known and key != "profile"
        ]
        values: dict[str, Any] = {"root_path": Path(), "pool_name": "", "base_image_size": ""}
        profile = table.get("profile", "containerd")
        if isinstance(profile, str) and profile in PROFILES:
            values |= PROFILES[profile]
        else:
            problems.append(f"profile must be one of {', '.join(PROFILES)}, not {profile!r}")
        mistyped = set()
        for key, kind in known.items():
            if key not in table:
                continue
            value = table[key]
            if not _is_of(value, kind):
                problems.append(f"{key} must be {_WORDS.get(kind, 'a string')}, not {value!r}")
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
        for key in ("base_image_size", "discard_step"):
            problems += [(key, text) for text in _size_problems(key, getattr(self, key))]
        if self.fs_type not in FILESYSTEM_TYPES:
            text = f"fs_type must be one of {', '.join(FILESYSTEM_TYPES)}, not {self.fs_type!r}"
            problems.append(("fs_type", text))
        if not (math.isfinite(self.busy_timeout) and self.busy_timeout >= 0):
            text = f"busy_timeout must be a number of seconds, 0 or more, not {self.busy_timeout!r}"
            problems.append(("busy_timeout", text))
        return problems


_WORDS: Mapping[Any, str] = {bool: "true or false", float: "a number"}


def _is_of(value: object, kind: Any) -> bool:
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, bool if kind is bool else str)


def _size_problems(key: str, text: str) -> list[str]:
    """Return what is wrong with a size that was given: all but nothing wants whole sectors."""
    if not text:
        return []
    try:
        size = parse_size(text)
    except InvalidValueError as error:
        return [f"{key}: {error}"]
    if size <= 0 or size % SECTOR_SIZE:
        return [f"{key} must be a multiple of {SECTOR_SIZE} above 0, not {text!r}"]
    return []


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
