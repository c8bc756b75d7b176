"""Remembers each standing pool in a JSON file, written before anything is taken."""

import json
import os
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from thinsim.block.loop import LoopDevice
from thinsim.did_you_mean import unknown_name
from thinsim.errors import ConflictError, InvalidValueError
from thinsim.machine.state import state_directory
from thinsim.rig.emulated import EMULATED
from thinsim.rig.shape import PoolShape
from thinsim.units import Bytes, Sectors

FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class PoolRecord:
    """A pool and what it stands on; a loop device is None until it is attached."""

    shape: PoolShape
    directory: Path
    rig: str
    """``emulated`` or ``kernel``: whose device-mapper it is on."""
    data: LoopDevice | None = None
    metadata: LoopDevice | None = None

    @property
    def files(self) -> Path:
        """Where the sparse files are on the host."""
        return self.directory / "files"

    @property
    def store(self) -> Path:
        """Where the backing store is mounted."""
        return self.directory / "store"


class PoolRecords:
    """The records of this machine's pools."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory or state_directory() / "pools"

    def names(self) -> list[str]:
        """Return the names of all pools, sorted."""
        if not self._directory.is_dir():
            return []
        return sorted(path.stem for path in self._directory.glob("*.json"))

    def add(self, record: PoolRecord) -> None:
        """Remember a new pool. InvalidValueError for its name, ConflictError when that name is taken."""
        name = record.shape.name
        if not _NAME.fullmatch(name):
            raise InvalidValueError(
                f"pool name {name!r}: letters, digits, '_', '.' and '-', at most 64, not '.' or '-' first"
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
        """Write a record anew, as a whole."""
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
        """Return a pool's record; ConflictError when there is none, or when it is damaged."""
        try:
            document: dict[str, Any] = json.loads(self._path(name).read_text())
            if document.pop("format") != FORMAT:
                raise ConflictError(f"{self._path(name)}: another version of thinsim wrote this record")
            return PoolRecord(
                shape=_shape(document["shape"]),
                directory=Path(document["directory"]),
                rig=str(document.get("rig", EMULATED.name)),  # once there was no other
                data=_loop(document["data"]),
                metadata=_loop(document["metadata"]),
            )
        except FileNotFoundError:
            names = self.names()
            fix = "" if names else f". To create it, run: thinsim pool create {name} --dir DIRECTORY"
            raise ConflictError(unknown_name("pool", name, names) + fix) from None
        except (ValueError, KeyError, TypeError) as error:
            raise ConflictError(f"{self._path(name)} is damaged: {error}") from None

    def drop(self, name: str) -> None:
        """Forget a pool; no error when it is unknown."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ConflictError(unknown_name("pool", name, self.names()))
        return self._directory / f"{name}.json"


def grown(shape: PoolShape, data_size: int, metadata_size: int) -> PoolShape:
    """Return *shape* with other sizes, in bytes; InvalidValueError when one of them is smaller."""
    for what, now, wanted in (
        ("data", shape.data_size, data_size),
        ("metadata", shape.metadata_size, metadata_size),
    ):
        if wanted < now:
            raise InvalidValueError(f"the {what} device has {now} bytes: a pool can't shrink to {wanted}")
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
