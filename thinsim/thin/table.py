"""`PoolTable` and `ThinTable` parse and print table lines (dm-thin.c, pool_ctr, thin_ctr)."""

import errno
from dataclasses import dataclass
from typing import Literal, get_args

from thinsim.errors import DeviceMapperError
from thinsim.thin.ids import ThinId, parse_thin_id
from thinsim.thin.words import parse_number, split_words, target_words
from thinsim.units import Sectors

POOL_TARGET = "thin-pool"
THIN_TARGET = "thin"

MIN_BLOCK_SIZE = Sectors(128)
"""A pool's smallest block size; each block size is a multiple of it (DATA_DEV_BLOCK_SIZE_MIN_SECTORS)."""
MAX_BLOCK_SIZE = Sectors(2097152)
MAX_FEATURE_ARGUMENTS = 4
Feature = Literal[
    "skip_block_zeroing", "ignore_discard", "no_discard_passdown", "read_only", "error_if_no_space"
]
FEATURE_WORDS: tuple[Feature, ...] = get_args(Feature)


@dataclass(frozen=True, slots=True)
class PoolFeatures:
    """A `PoolFeatures` has a flag per feature word, off by default, in the order of ``dmsetup table``."""

    skip_block_zeroing: bool = False
    ignore_discard: bool = False
    no_discard_passdown: bool = False
    read_only: bool = False
    error_if_no_space: bool = False

    def words(self) -> list[str]:
        """Return the words of the flags that are on, in the kernel's order (dm-thin.c, emit_flags)."""
        return [word for word in FEATURE_WORDS if getattr(self, word)]


@dataclass(frozen=True, slots=True)
class PoolTable:
    """A `PoolTable` is the parsed table line of a pool.

    The line is ``0 <length> thin-pool <metadata dev> <data dev> <block size> <low water mark> [<features>]``.
    *length* and *block_size* are in sectors.
    """

    length: Sectors
    metadata_dev: str
    data_dev: str
    block_size: Sectors
    low_water_blocks: int
    features: PoolFeatures = PoolFeatures()

    def text(self, metadata_dev: str, data_dev: str) -> str:
        """Return the line of ``dmsetup table``, with its trailing blank; the devices are ``major:minor``."""
        words = self.features.words()
        numbers = f"{self.block_size} {self.low_water_blocks} {len(words)} "
        return f"0 {self.length} {POOL_TARGET} {metadata_dev} {data_dev} {numbers}" + "".join(
            f"{word} " for word in words
        )


@dataclass(frozen=True, slots=True)
class ThinTable:
    """A `ThinTable` is the parsed table line of a thin device; *length* is in sectors.

    The line is ``0 <length> thin <pool dev> <dev id> [<external origin dev>]``.
    """

    length: Sectors
    pool_dev: str
    thin_id: ThinId
    origin_dev: str | None = None

    def text(self, pool_dev: str, origin_dev: str | None = None) -> str:
        """Return the line of ``dmsetup table``; the devices are ``major:minor``."""
        line = f"0 {self.length} {THIN_TARGET} {pool_dev} {self.thin_id}"
        return line if origin_dev is None else f"{line} {origin_dev}"


def target_type(line: str) -> str:
    """Return the target type of a table *line*; EINVAL when it has none."""
    words = split_words(line)
    if len(words) < 3:
        raise _invalid(f"Incomplete table line: {line!r}")
    return words[2]


@dataclass(frozen=True, slots=True)
class PoolTableWords:
    """A `PoolTableWords` has the words of a pool's table line, before the devices are opened.

    The kernel parses the numbers after the devices only once it has opened them (pool_ctr).
    """

    length: Sectors
    metadata_dev: str
    data_dev: str
    block_size: str
    low_water: str
    features: PoolFeatures

    @classmethod
    def read(cls, line: str) -> "PoolTableWords":
        """Read *line*; EINVAL with the kernel's error text."""
        start, length, arguments = target_words(line, POOL_TARGET)
        if start:
            raise _invalid(f"Gap in table: {POOL_TARGET} starts at sector {start}, not at 0")
        if len(arguments) < 4:
            raise _invalid(f"Invalid argument count: {len(arguments)}, a {POOL_TARGET} takes at least 4")
        metadata_dev, data_dev, block_size, low_water = arguments[:4]
        if metadata_dev == data_dev:
            raise _invalid(f"Error setting metadata or data device: both are {data_dev!r}")
        features = _parse_features(arguments[4:])
        return cls(Sectors(length), metadata_dev, data_dev, block_size, low_water, features)

    def table(self) -> PoolTable:
        """Parse the words after the devices; EINVAL with the kernel's error text."""
        size, blocks = parse_number(self.block_size), parse_number(self.low_water)
        if size is None or not MIN_BLOCK_SIZE <= size <= MAX_BLOCK_SIZE or size % MIN_BLOCK_SIZE:
            raise _invalid(f"Invalid block size: {self.block_size!r}")
        if blocks is None:
            raise _invalid(f"Invalid low water mark: {self.low_water!r}")
        devices = self.metadata_dev, self.data_dev
        return PoolTable(self.length, *devices, Sectors(size), blocks, self.features)


@dataclass(frozen=True, slots=True)
class ThinTableWords:
    """A `ThinTableWords` has the words of a thin device's table line, before the devices are opened.

    The kernel parses the thin id only once it has opened the devices (thin_ctr).
    """

    length: Sectors
    pool_dev: str
    thin_id: str
    origin_dev: str | None

    @classmethod
    def read(cls, line: str) -> "ThinTableWords":
        """Read *line*; EINVAL with the kernel's error text."""
        start, length, arguments = target_words(line, THIN_TARGET)
        if start:
            raise _invalid(f"a {THIN_TARGET} target starts at sector 0, not at {start}")
        if len(arguments) not in (2, 3):
            raise _invalid(f"Invalid argument count: {len(arguments)}, a {THIN_TARGET} takes 2 or 3")
        origin = arguments[2] if len(arguments) == 3 else None
        if origin == arguments[0]:
            raise _invalid(f"Error setting origin device: {origin!r} is the pool")
        return cls(Sectors(length), arguments[0], arguments[1], origin)

    def table(self) -> ThinTable:
        """Parse the thin id, as the kernel does after it opened the devices; EINVAL if it is invalid."""
        thin_id = parse_thin_id(self.thin_id, "Invalid device id")
        return ThinTable(self.length, self.pool_dev, thin_id, self.origin_dev)


def parse_pool_table(line: str) -> PoolTable:
    """Parse a pool's table line; EINVAL with the kernel's error text, in the kernel's order of checks."""
    return PoolTableWords.read(line).table()


def parse_thin_table(line: str) -> ThinTable:
    """Parse a thin device's table line; EINVAL with the kernel's error text."""
    return ThinTableWords.read(line).table()


def _parse_features(arguments: list[str]) -> PoolFeatures:
    """Parse the feature group and ignore the words after it (dm-thin.c, parse_pool_features)."""
    if not arguments:
        return PoolFeatures()
    # The kernel reads the count with %u, which takes no sign (dm-table.c, validate_next_arg).
    count = parse_number(arguments[0]) if arguments[0].isdigit() else None
    if count is None or count > MAX_FEATURE_ARGUMENTS or count > len(arguments) - 1:
        raise _invalid(f"Invalid number of pool feature arguments: {arguments[0]!r}")
    words = arguments[1 : 1 + count]
    for word in words:
        if word.lower() not in FEATURE_WORDS:
            raise _invalid(f"Unrecognised pool feature requested: {word!r}")
    return PoolFeatures(**{word.lower(): True for word in words})


def _invalid(text: str) -> DeviceMapperError:
    return DeviceMapperError(errno.EINVAL, text)
