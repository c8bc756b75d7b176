"""Reads container-storage-setup's file (``/etc/sysconfig/docker-storage-setup``).

Pure.

Keys and defaults are those of container-storage-setup 0.11 (container-storage-setup.conf, .sh). The tool
has a shell read the file; here it is assignments alone, so that reading one runs nothing.
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
"""The file of containerd's documentation (docs/snapshotters/devmapper.md)."""

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
    "WIPE_SIGNATURES": "the device is made anew",
    "DEVICE_WAIT_TIMEOUT": "the device is made before it is asked for",
    "EXTRA_STORAGE_OPTIONS": "these are for a daemon's command line",
    "EXTRA_DOCKER_STORAGE_OPTIONS": "these are for a daemon's command line",
    "GROWPART": "the root file system is left alone",
    "ROOT_SIZE": "the root file system is left alone",
}
"""Keys that change nothing here, and why."""

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
    """What to set up: names for LVM, sizes as LVM reads them (``512K``, ``40%FREE``)."""

    device: str
    volume_group: str
    pool: str
    data_size: str = _DEFAULTS["DATA_SIZE"]
    least_data_size: str = _DEFAULTS["MIN_DATA_SIZE"]
    metadata_size: str = ""
    """Empty: a thousandth of the volume group."""
    chunk_size: str = _DEFAULTS["CHUNK_SIZE"]
    notes: tuple[str, ...] = ()
    """What the file asks for that is not carried out."""

    @classmethod
    def load(cls, path: Path | None) -> Self:
        """Read a file, by default that of the documentation; InvalidValueError names every problem in it."""
        if path is None:
            return cls.parse(DOCUMENTED, "containerd's documentation")
        try:
            return cls.parse(path.read_text(), str(path))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise InvalidValueError(f"{path}: {reason}") from None

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """Read the text of a file; InvalidValueError names every problem in it."""
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
        """The pool's name in device-mapper, in which a hyphen of a name is two (lvm2, build_dm_name)."""
        return "-".join(name.replace("-", "--") for name in (self.volume_group, self.pool))

    @property
    def devices_below(self) -> tuple[str, str]:
        """Its data and metadata devices in device-mapper."""
        return f"{self.pool_device}_tdata", f"{self.pool_device}_tmeta"

    def data_size_words(self, free: int, whole: int) -> list[str]:
        """Return lvcreate's words for the data size in a group of *whole* bytes, *free* of them free.

        It is at least the least size asked for; InvalidValueError where there is not that much.
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
    """Return a size in bytes: a number of MiB, or with a unit of either case (``512K``, ``2GiB``)."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise InvalidValueError(f"{text!r} is no size (a whole number with a unit of bskmgtpe, such as 512K)")
    return Bytes(int(found["number"]) * _UNITS[(found["unit"] or "m").lower()])


def _size_in(text: str, free: int, whole: int) -> int:
    percent = _PERCENT.fullmatch(text)
    if percent is None:
        return parse_lvm_size(text)
    return int(percent[1]) * (free if percent[2] == "FREE" else whole) // 100


def _assignments(line: str) -> dict[str, str]:
    """Return what a line assigns."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        raise InvalidValueError(f"{str(error).lower()}: {line.strip()}") from None
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not _KEY.fullmatch(key):
            raise InvalidValueError(f"{word!r} is no assignment (KEY=VALUE, no blank around =)")
        if key not in _KNOWN:
            raise InvalidValueError(f"unknown key {key}{did_you_mean(key, _KNOWN)}")
        if "$" in value or "`" in value:
            raise InvalidValueError(f"{key}={value}: a shell would expand that; write the value itself")
        found[key] = value
    return found


def _problems(values: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with all values together."""
    if values["STORAGE_DRIVER"] != "devicemapper":
        yield f"STORAGE_DRIVER={values['STORAGE_DRIVER']}: only devicemapper makes a thin pool"
    yield from _device_problems(values.get("DEVS", "").split())
    for key, what in (("VG", "volume group"), ("CONTAINER_THINPOOL", "thin pool")):
        value = values.get(key, "")
        if not value:
            yield f"{key} is required: the name of the {what}"
        elif not _VOLUME.fullmatch(value) or value in (".", ".."):
            yield f"{key}={value}: no name for a {what} (letters, digits and +_.-, no hyphen first)"
    if not _PERCENT.fullmatch(values["DATA_SIZE"]):
        yield from _size_problems("DATA_SIZE", values["DATA_SIZE"], " or a share: 40%FREE, 40%VG")
    for key in ("MIN_DATA_SIZE", "POOL_META_SIZE"):
        if values[key]:
            yield from _size_problems(key, values[key])
    yield from _chunk_problems(values["CHUNK_SIZE"])
    for key in _REFUSED:
        if values.get(key) not in (None, "", "no"):
            yield f"{key}: a volume beside the pool is not set up here; leave it out"


def _device_problems(devices: Sequence[str]) -> Iterator[str]:
    if not devices:
        yield "DEVS is required: the block device for the volume group"
    elif len(devices) > 1:
        yield f"DEVS names {len(devices)} devices ({', '.join(devices)}); one is set up here"


def _size_problems(key: str, text: str, alternative: str = "") -> Iterator[str]:
    try:
        size = parse_lvm_size(text)
    except InvalidValueError as error:
        yield f"{key}: {error}{alternative}"
    else:
        if size == 0:
            yield f"{key}={text}: nothing"


def _chunk_problems(text: str) -> Iterator[str]:
    try:
        size = parse_lvm_size(text)
    except InvalidValueError as error:
        yield f"CHUNK_SIZE: {error}"
        return
    if size % _CHUNK or not _CHUNK <= size <= _LARGEST_CHUNK:
        yield f"CHUNK_SIZE={text}: a multiple of 64K from 64K to 1G"
