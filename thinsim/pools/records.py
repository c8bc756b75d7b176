"""`PoolRecords` keeps each lasting pool in a JSON file, written before the pool takes anything."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from thinsim.block.loop import LoopDevice
from thinsim.did_you_mean import unknown_name
from thinsim.errors import ConflictError, EnvironmentLacksError, InvalidValueError
from thinsim.machine.root import if_not_root
from thinsim.machine.state import STATE_VARIABLE, state_directory
from thinsim.rig.emulated import EMULATED
from thinsim.rig.shape import PoolShape
from thinsim.units import Bytes, Sectors, format_size

FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class PoolRecord:
    """A `PoolRecord` names a pool's parts. A loop device is None until it is attached."""

    shape: PoolShape
    directory: Path
    rig: str
    """``emulated`` or ``kernel``: the rig whose device-mapper has the pool."""
    data: LoopDevice | None = None
    metadata: LoopDevice | None = None

    @property
    def files(self) -> Path:
        """Return the host's directory of the sparse files."""
        return self.directory / "files"

    @property
    def store(self) -> Path:
        """Return the mount point of the backing store."""
        return self.directory / "store"


class PoolRecords:
    """`PoolRecords` reads and writes the records of this machine's pools."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory or state_directory() / "pools"

    def names(self) -> list[str]:
        """Return the names of all pools, sorted. EnvironmentLacksError if their directory is not readable."""
        with self._readable():
            if not self._directory.is_dir():
                return []
            return sorted(path.stem for path in self._directory.glob("*.json"))

    def add(self, record: PoolRecord) -> None:
        """Add the record of a new pool. InvalidValueError for a bad name, ConflictError for a taken one."""
        name = record.shape.name
        if not _NAME.fullmatch(name):
            raise InvalidValueError(
                f"pool name {name!r} is not valid: a name has at most 64 letters, digits, '_', '.' and '-', "
                "and begins with a letter or a digit"
            )
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._path(name).touch(mode=0o600, exist_ok=False)
        except FileExistsError:
            raise ConflictError(
                f"pool {name} already exists: choose another name, or run: thinsim pool remove {name}"
            ) from None
        self.save(record)

    def save(self, record: PoolRecord) -> None:
        """Replace a record as a whole."""
        document = {"format": FORMAT, **asdict(record), "directory": str(record.directory)}
        for role in ("data", "metadata"):
            if document[role] is not None:
                document[role]["path"] = str(document[role]["path"])
        path = self._path(record.shape.name)
        fresh = path.with_suffix(".new")
        with fresh.open("w") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)

    def find(self, name: str) -> PoolRecord:
        """Return a pool's record. ConflictError when the pool does not exist or its record is damaged."""
        try:
            with self._readable():
                document: dict[str, Any] = json.loads(self._path(name).read_text())
            if document.pop("format") != FORMAT:
                raise ConflictError(f"{self._path(name)}: another version of thinsim wrote this record")
            return PoolRecord(
                shape=_shape(document["shape"]),
                directory=Path(document["directory"]),
                rig=str(document.get("rig", EMULATED.name)),  # older records do not name the rig
                data=_loop(document["data"]),
                metadata=_loop(document["metadata"]),
            )
        except FileNotFoundError:
            names = self.names()
            fix = if_not_root("Pools") or (
                "" if names else f". To create it, run: thinsim pool create {name} --dir DIRECTORY"
            )
            raise ConflictError(unknown_name("pool", name, names) + fix) from None
        except (ValueError, KeyError, TypeError) as error:
            raise ConflictError(f"{self._path(name)} is damaged: {error}") from None

    def drop(self, name: str) -> None:
        """Delete a pool's record. A missing record is no error."""
        self._path(name).unlink(missing_ok=True)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            raise EnvironmentLacksError(
                f"cannot read {error.filename}: {error.strerror}; "
                f"set {STATE_VARIABLE} to a readable directory"
            ) from None

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ConflictError(unknown_name("pool", name, self.names()))
        return self._directory / f"{name}.json"


def grown(shape: PoolShape, data_size: int, metadata_size: int) -> PoolShape:
    """Return *shape* with larger sizes, in bytes. InvalidValueError when one of them is smaller."""
    for what, now, wanted in (
        ("data", shape.data_size, data_size),
        ("metadata", shape.metadata_size, metadata_size),
    ):
        if wanted < now:
            raise InvalidValueError(
                f"the {what} device has {format_size(now)}: a pool can't shrink to {format_size(wanted)}"
            )
    return replace(shape, data_size=Bytes(data_size), metadata_size=Bytes(metadata_size))


def _shape(document: dict[str, Any]) -> PoolShape:
    return PoolShape(
        name=str(document["name"]),
        data_size=Bytes(document["data_size"]),
        metadata_size=Bytes(document["metadata_size"]),
        block_size=Sectors(document["block_size"]),
        low_water_blocks=int(document["low_water_blocks"]),
        features=tuple(document["features"]),
    )


def _loop(document: dict[str, Any] | None) -> LoopDevice | None:
    return None if document is None else LoopDevice(**{**document, "path": Path(document["path"])})
