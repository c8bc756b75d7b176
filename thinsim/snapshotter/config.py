"""`Config` reads the snapshotter's configuration: containerd's keys with containerd's defaults, and more.

It follows containerd ``plugins/snapshots/devmapper/config.go``. The keys that containerd does not have
are off by default: without them the snapshotter behaves like containerd, and leaks like it.
``profile = "fixed"`` turns all of them on (docs/explanation/snapshotter.md). An error lists every
problem at once.
"""

import json
import logging
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from thinsim.did_you_mean import did_you_mean
from thinsim.errors import InvalidValueError
from thinsim.snapshotter.daemon_config import devmapper_table, is_daemon_config, read_toml
from thinsim.snapshotter.errors import InvalidConfigError
from thinsim.snapshotter.image_size import parse_image_size
from thinsim.units import SECTOR_SIZE, Bytes, parse_size

FILESYSTEM_TYPES = ("ext4", "xfs", "ext2")
# Without these options, mkfs.ext4 discards the device and the kernel writes the inode tables after the mount.
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
"""Values of ``profile = "fixed"``; a key in the file takes precedence."""

PROFILES: Mapping[str, Mapping[str, Any]] = {"containerd": {}, "fixed": FIXED}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Config:
    """A `Config` holds the settings of one devmapper snapshotter. Only ``validate`` checks them.

    containerd has these keys: *pool_name* is without ``/dev/mapper/``; *base_image_size* is the virtual
    size of every device, as text (``10GiB``); *async_remove* leaves devices to ``cleanup``;
    *discard_blocks* discards a still-active device at removal.

    thinsim adds these keys. Most of them fix one fault of containerd; the letter names the row of the
    table in docs/explanation/snapshotter.md:

    - *discard_committed*: removing a committed snapshot activates its device and discards it (A, B).
    - *discard_inactive*: removing an active snapshot or a view does the same if its device is no longer
      active, as after a reboot (C).
    - *discard_later*: a later ``cleanup`` repeats a discard that failed or found the device busy (C, D).
    - *remove_unforced*: a removal never loads an error table; it replaces an error table that it finds
      before it discards (E).
    - *require_passdown*: the snapshotter refuses a pool whose discards do not reach the data device (F).
    - *exact_usage*: usage counts only the bytes that a snapshot does not share with its parent (G).
    - *concurrent*: verbs on different snapshots do not wait for one another.
    - *discard_step*: a discard is split into steps of at most this size, shorter while steps are slow;
      empty: one call discards the whole device.
    - *busy_timeout*: seconds for which one removal, suspend or resume is retried in all; 0: containerd's
      number of tries alone limits it.
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
        """Return the virtual size of every device, in bytes. Raise InvalidValueError if it is not a size."""
        return parse_image_size(self.base_image_size)

    @property
    def discard_step_bytes(self) -> Bytes | None:
        """Return the largest step of a discard, in bytes, or None to discard in one call.

        Raise InvalidValueError if the text is not a size.
        """
        return parse_size(self.discard_step) if self.discard_step else None

    @property
    def mkfs_options(self) -> str:
        """Return the options for mkfs: *fs_options*, or for ext4 containerd's default."""
        return DEFAULT_EXT4_OPTIONS if self.fs_type == "ext4" and not self.fs_options else self.fs_options

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a TOML file: containerd's ``config.toml``, or a file with these keys at its top level.

        containerd's file is read as containerd reads it (``daemon_config``): an unknown key is ignored with
        a warning, the size is rounded down to whole sectors, and *root_path* has a default. A file with
        these keys alone may not have unknown keys, and *root_path* is required.

        Raise InvalidConfigError, which names the file and every problem in it.
        """
        document = read_toml(path)
        if not is_daemon_config(document):
            return cls.from_table(document, str(path))
        table = devmapper_table(path, document)
        return cls.from_table(cls._as_containerd(table, str(path)), str(path))

    @classmethod
    def _as_containerd(cls, table: Mapping[str, object], source: str) -> dict[str, object]:
        """Return *table* without unknown keys, with keys in lower case and the size in whole sectors."""
        known = [*(each.name for each in fields(cls)), "profile"]
        found: dict[str, object] = {}
        for key, value in table.items():
            name = key.lower()
            if name not in known:
                log.warning("%s: ignoring unknown key %r%s", source, key, did_you_mean(key, known))
            elif key == name or name not in table:
                found[name] = value
        root = found.get("root_path")
        if isinstance(root, str) and root:
            # Go's filepath.Join makes "y" of "x/../y"; "." and "x/.." are the working directory.
            cleaned = os.path.normpath(root)
            found["root_path"] = str(Path.cwd()) if cleaned == "." else cleaned
        text = found.get("base_image_size")
        if isinstance(text, str) and text:
            try:
                size = parse_image_size(text)
            except InvalidValueError:
                return found
            if size >= SECTOR_SIZE and size % SECTOR_SIZE:
                found["base_image_size"] = str(size - size % SECTOR_SIZE)
        return found

    @classmethod
    def from_table(cls, table: Mapping[str, object], source: str = "devmapper configuration") -> Self:
        """Return the configuration in parsed TOML. Raise InvalidConfigError, which lists every problem."""
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
                fix = f': write {key} = "{value}"' if _is_size(key, value) else ""
                problems.append(f"{key} must be {_WORDS.get(kind, 'a string')}, not {value!r}{fix}")
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
        """Raise InvalidConfigError with every problem, if there is one."""
        problems = tuple(text for _, text in self._problems())
        if problems:
            raise InvalidConfigError(problems)

    def to_toml(self) -> str:
        """Return the TOML that ``load`` reads back to an equal configuration."""
        lines = (f"{key} = {_toml(value)}" for key, value in asdict(self).items())
        return "\n".join(lines) + "\n"

    def _problems(self) -> list[tuple[str, str]]:
        """Return each problem as a pair: the key at fault and the text."""
        problems = []
        if not self.pool_name:
            problems.append(("pool_name", "pool_name is required"))
        elif "/" in self.pool_name:
            text = f"pool_name must not contain a directory such as /dev/mapper/, not {self.pool_name!r}"
            problems.append(("pool_name", text))
        if self.root_path == Path():
            problems.append(("root_path", "root_path is required"))
        for key in ("pool_name", "root_path"):
            if "\0" in str(getattr(self, key)):
                problems.append((key, f"{key} must not contain a NUL: {str(getattr(self, key))!r}"))
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


def _is_size(key: str, value: object) -> bool:
    sizes = ("base_image_size", "discard_step")
    return key in sizes and isinstance(value, int) and not isinstance(value, bool)


def _size_problems(key: str, text: str) -> list[str]:
    """Return the problems of a size; an empty text has none."""
    if not text:
        return []
    try:
        size = parse_image_size(text) if key == "base_image_size" else parse_size(text)
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
    # A JSON string is a TOML basic string, except that TOML requires DEL to be escaped.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
