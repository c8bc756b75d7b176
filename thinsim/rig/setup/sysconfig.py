"""`StorageSetup` reads the file of container-storage-setup (``/etc/sysconfig/docker-storage-setup``).

Pure.

Keys and defaults are those of container-storage-setup 0.11 (container-storage-setup.conf, .sh). There a shell
reads the file. Here the file may contain only assignments, so reading it runs nothing.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from thinsim.did_you_mean import did_you_mean
from thinsim.errors import InvalidValueError
from thinsim.units import Bytes

DOCUMENTED = "DEVS=/dev/sdf\nVG=containerd\nCONTAINER_THINPOOL=devpool\n"
"""The file in the containerd documentation (docs/snapshotters/devmapper.md)."""

_DEFAULTS = {
    "STORAGE_DRIVER": "devicemapper",
    "DATA_SIZE": "40%FREE",
    "MIN_DATA_SIZE": "2G",
    "POOL_META_SIZE": "",
    "CHUNK_SIZE": "512K",
}
_READ = ("DEVS", "VG", "CONTAINER_THINPOOL", *_DEFAULTS)
NOT_CARRIED_OUT: Mapping[str, str] = {
    "AUTO_EXTEND_POOL": "the pool does not grow by itself",
    "POOL_AUTOEXTEND_THRESHOLD": "the pool does not grow by itself",
    "POOL_AUTOEXTEND_PERCENT": "the pool does not grow by itself",
    "WIPE_SIGNATURES": "the device is always new",
    "DEVICE_WAIT_TIMEOUT": "the device exists before LVM starts",
    "EXTRA_STORAGE_OPTIONS": "the options are for a daemon's command line",
    "EXTRA_DOCKER_STORAGE_OPTIONS": "the options are for a daemon's command line",
    "GROWPART": "thinsim does not touch the root file system",
    "ROOT_SIZE": "thinsim does not touch the root file system",
}
"""The keys that change nothing here, each with the reason."""

_REFUSED = ("CONTAINER_ROOT_LV_NAME", "CONTAINER_ROOT_LV_MOUNT_PATH", "DOCKER_ROOT_VOLUME")
_KNOWN = (*_READ, *NOT_CARRIED_OUT, *_REFUSED, "CONTAINER_ROOT_LV_SIZE", "DOCKER_ROOT_VOLUME_SIZE")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIZE = re.compile(r"(?P<number>\d+)(?:(?P<unit>[bskmgtpe])(?:i?b)?)?", re.IGNORECASE | re.ASCII)
_PERCENT = re.compile(r"(\d+)%(FREE|VG)", re.ASCII)
_VOLUME = re.compile(r"[A-Za-z0-9+_.][A-Za-z0-9+_.-]*", re.ASCII)
_UNITS = {
    "b": 1,
    "s": 512,
    "k": 1 << 10,
    "m": 1 << 20,
    "g": 1 << 30,
    "t": 1 << 40,
    "p": 1 << 50,
    "e": 1 << 60,
}
_CHUNK = 64 << 10
_LARGEST_CHUNK = 1 << 30


@dataclass(frozen=True, slots=True)
class StorageSetup:
    """A `StorageSetup` has the names for LVM, and sizes in LVM's own notation (``512K``, ``40%FREE``)."""

    device: str
    volume_group: str
    pool: str
    data_size: str = _DEFAULTS["DATA_SIZE"]
    least_data_size: str = _DEFAULTS["MIN_DATA_SIZE"]
    metadata_size: str = ""
    """An empty string means a thousandth of the volume group."""
    chunk_size: str = _DEFAULTS["CHUNK_SIZE"]
    notes: tuple[str, ...] = ()
    """The keys in the file that thinsim does not carry out, each with the reason."""

    @classmethod
    def load(cls, path: Path | None) -> Self:
        """Read a file, None: the documented one; InvalidValueError lists every problem in it."""
        if path is None:
            return cls.parse(DOCUMENTED, "containerd's documentation")
        try:
            return cls.parse(path.read_text(), str(path))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise InvalidValueError(f"{path}: {reason}") from None

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """Parse the text of a file; InvalidValueError lists every problem in it."""
        values: dict[str, str] = {}
        problems: list[str] = []
        for number, line in enumerate(text.splitlines(), 1):
            try:
                values |= _assignments(line)
            except InvalidValueError as error:
                problems.append(f"line {number}: {error}")
        problems += _problems({**_DEFAULTS, **values})
        if problems:
            raise InvalidValueError(f"{source}: {'; '.join(problems)}")
        known = {**_DEFAULTS, **values}
        return cls(
            device=known["DEVS"],
            volume_group=known["VG"],
            pool=known["CONTAINER_THINPOOL"],
            data_size=known["DATA_SIZE"],
            least_data_size=known["MIN_DATA_SIZE"],
            metadata_size=known["POOL_META_SIZE"],
            chunk_size=known["CHUNK_SIZE"],
            notes=tuple(f"{key}: {why}" for key, why in NOT_CARRIED_OUT.items() if values.get(key)),
        )

    @property
    def pool_device(self) -> str:
        """Return the pool's name in device-mapper, which doubles hyphens (lvm2, build_dm_name)."""
        return "-".join(name.replace("-", "--") for name in (self.volume_group, self.pool))

    @property
    def devices_below(self) -> tuple[str, str]:
        """Return the names of the pool's data and metadata devices in device-mapper."""
        return f"{self.pool_device}_tdata", f"{self.pool_device}_tmeta"

    def data_size_words(self, free: int, whole: int) -> list[str]:
        """Return lvcreate's words for the data size in a group of *whole* bytes, *free* of them free.

        The size is at least MIN_DATA_SIZE; InvalidValueError if the group has fewer free bytes.
        """
        wanted = self.data_size
        if self.least_data_size:
            least = parse_lvm_size(self.least_data_size)
            if free < least:
                raise InvalidValueError(
                    f"volume group {self.volume_group} has {free} bytes free, fewer than "
                    f"MIN_DATA_SIZE={self.least_data_size}"
                )
            if _size_in(wanted, free, whole) < least:
                wanted = self.least_data_size
        return ["-l" if "%" in wanted else "-L", wanted]

    def metadata_size_word(self, whole: int) -> str:
        """Return lvcreate's word for the metadata size in a group of *whole* bytes."""
        return self.metadata_size or f"{whole // 512 // 1000 + 1}s"


def parse_lvm_size(text: str) -> Bytes:
    """Return a size in bytes from a number of MiB, or one with a unit of either case (``512K``, ``2GiB``)."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise InvalidValueError(
            f"{text!r} is not a size (write a whole number with a unit of bskmgtpe, such as 512K)"
        )
    return Bytes(int(found["number"]) * _UNITS[(found["unit"] or "m").lower()])


def _size_in(text: str, free: int, whole: int) -> int:
    percent = _PERCENT.fullmatch(text)
    if percent is None:
        return parse_lvm_size(text)
    return int(percent[1]) * (free if percent[2] == "FREE" else whole) // 100


def _assignments(line: str) -> dict[str, str]:
    """Return the keys and values that a line assigns."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        raise InvalidValueError(f"{str(error).lower()}: {line.strip()}") from None
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not _KEY.fullmatch(key):
            raise InvalidValueError(f"{word!r} is not an assignment (write KEY=VALUE, no blanks around =)")
        if key not in _KNOWN:
            raise InvalidValueError(f"unknown key {key}{did_you_mean(key, _KNOWN)}")
        if "$" in value or "`" in value:
            raise InvalidValueError(f"{key}={value}: a shell would expand this; write the value itself")
        found[key] = value
    return found


def _problems(values: Mapping[str, str]) -> Iterator[str]:
    """Yield the problems of all values together."""
    if values["STORAGE_DRIVER"] != "devicemapper":
        yield f"STORAGE_DRIVER={values['STORAGE_DRIVER']}: only devicemapper makes a thin pool"
    yield from _device_problems(values.get("DEVS", "").split())
    for key, what in (("VG", "volume group"), ("CONTAINER_THINPOOL", "thin pool")):
        value = values.get(key, "")
        if not value:
            yield f"{key} is required: the name of the {what}"
        elif not _VOLUME.fullmatch(value) or value in (".", ".."):
            yield f"{key}={value}: not a name for a {what} (use letters, digits, +_.-, but no hyphen first)"
    if not _PERCENT.fullmatch(values["DATA_SIZE"]):
        yield from _size_problems("DATA_SIZE", values["DATA_SIZE"], " or a share: 40%FREE, 40%VG")
    for key in ("MIN_DATA_SIZE", "POOL_META_SIZE"):
        if values[key]:
            yield from _size_problems(key, values[key])
    yield from _chunk_problems(values["CHUNK_SIZE"])
    for key in _REFUSED:
        if values.get(key) not in (None, "", "no"):
            yield f"{key}: thinsim sets up no volume beside the pool; remove this key"


def _device_problems(devices: Sequence[str]) -> Iterator[str]:
    if not devices:
        yield "DEVS is required: the block device for the volume group"
    elif len(devices) > 1:
        yield f"DEVS names {len(devices)} devices ({', '.join(devices)}); name only one"


def _size_problems(key: str, text: str, alternative: str = "") -> Iterator[str]:
    try:
        size = parse_lvm_size(text)
    except InvalidValueError as error:
        yield f"{key}: {error}{alternative}"
    else:
        if size == 0:
            yield f"{key}={text}: the size must be greater than 0"


def _chunk_problems(text: str) -> Iterator[str]:
    try:
        size = parse_lvm_size(text)
    except InvalidValueError as error:
        yield f"CHUNK_SIZE: {error}"
        return
    if size % _CHUNK or not _CHUNK <= size <= _LARGEST_CHUNK:
        yield f"CHUNK_SIZE={text}: the size must be a multiple of 64K between 64K and 1G"
