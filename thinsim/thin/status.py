"""`PoolStatus` and `ThinStatus` parse and print status lines (dm-thin.c, pool_status, thin_status)."""

from dataclasses import dataclass

from thinsim.errors import InvalidValueError
from thinsim.thin.table import POOL_TARGET, THIN_TARGET

_MODES = ("rw", "ro", "out_of_data_space")
_DISCARD_WORDS = ("ignore_discard", "no_discard_passdown", "discard_passdown")
_NO_SPACE_WORDS = ("error_if_no_space", "queue_if_no_space")
_FAILED_WORDS = ("Fail", "Error")


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """A `PoolStatus` has the fields of a pool's ``dmsetup status`` line.

    *mode* is ``rw``, ``ro`` (read-only or out of metadata space), ``out_of_data_space``, ``Fail`` or
    ``Error``. A ``Fail`` or ``Error`` line has no numbers, so ignore the numbers here then.
    *used_metadata* and *total_metadata* count 4 KiB blocks; *used_data* and *total_data* count data blocks.
    """

    transaction_id: int
    """The transaction id."""
    used_metadata: int
    """Metadata blocks in use, of 4 KiB."""
    total_metadata: int
    """Metadata blocks in all, of 4 KiB."""
    used_data: int
    """Data blocks in use."""
    total_data: int
    """Data blocks in all."""
    held_root: int | None
    """The block of the held root; None without one."""
    mode: str
    """`rw`, `ro`, `out_of_data_space`, `Fail` or `Error`."""
    discard: str
    """`ignore_discard`, `no_discard_passdown` or `discard_passdown`."""
    no_space: str
    """`error_if_no_space` or `queue_if_no_space`."""
    needs_check: bool
    """True if the flag needs_check is set."""
    metadata_low_watermark: int
    """The metadata low watermark, in metadata blocks."""

    def text(self, start: int, length: int) -> str:
        """Return the status line of a target at *start* with *length* sectors, with its trailing blank."""
        if self.mode in _FAILED_WORDS:
            return f"{start} {length} {POOL_TARGET} {self.mode}"
        held_root = "-" if self.held_root is None else self.held_root
        metadata = f"{self.used_metadata}/{self.total_metadata}"
        data = f"{self.used_data}/{self.total_data}"
        words = f"{self.mode} {self.discard} {self.no_space} {'needs_check' if self.needs_check else '-'}"
        return (
            f"{start} {length} {POOL_TARGET} {self.transaction_id} {metadata} {data} {held_root} {words} "
            f"{self.metadata_low_watermark} "
        )


@dataclass(frozen=True, slots=True)
class ThinStatus:
    """A `ThinStatus` has the fields of a thin device's ``dmsetup status`` line.

    *failed* is ``Fail`` or ``Error`` if the line has that word instead of numbers, else empty.
    """

    mapped_sectors: int
    highest_mapped_sector: int | None
    failed: str = ""

    def text(self, start: int, length: int) -> str:
        """Return the status line of a target at *start* with *length* sectors; it has no trailing blank."""
        if self.failed:
            return f"{start} {length} {THIN_TARGET} {self.failed}"
        highest = "-" if self.highest_mapped_sector is None else self.highest_mapped_sector
        return f"{start} {length} {THIN_TARGET} {self.mapped_sectors} {highest}"


def parse_pool_status(line: str) -> PoolStatus:
    """Parse a pool's status line; raise InvalidValueError that names the field and the value."""
    words = _words(line, POOL_TARGET)
    if len(words) == 1 and words[0] in _FAILED_WORDS:
        return PoolStatus(0, 0, 0, 0, 0, None, words[0], "", "", False, 0)
    if len(words) != 9:
        raise InvalidValueError(f"pool status has {len(words)} fields after the target type, not 9: {line!r}")
    used_metadata, total_metadata = _ratio("metadata", words[1])
    used_data, total_data = _ratio("data", words[2])
    return PoolStatus(
        transaction_id=_number("transaction id", words[0]),
        used_metadata=used_metadata,
        total_metadata=total_metadata,
        used_data=used_data,
        total_data=total_data,
        held_root=None if words[3] == "-" else _number("held root", words[3]),
        mode=_word("mode", words[4], _MODES),
        discard=_word("discard", words[5], _DISCARD_WORDS),
        no_space=_word("no space", words[6], _NO_SPACE_WORDS),
        needs_check=_word("needs_check", words[7], ("needs_check", "-")) == "needs_check",
        metadata_low_watermark=_number("metadata low watermark", words[8]),
    )


def parse_thin_status(line: str) -> ThinStatus:
    """Parse a thin device's status line; raise InvalidValueError that names the field and the value."""
    words = _words(line, THIN_TARGET)
    if len(words) == 1 and words[0] in _FAILED_WORDS:
        return ThinStatus(0, None, words[0])
    if len(words) != 2:
        raise InvalidValueError(f"thin status has {len(words)} fields after the target type, not 2: {line!r}")
    highest = None if words[1] == "-" else _number("highest mapped sector", words[1])
    return ThinStatus(_number("mapped sectors", words[0]), highest)


def _words(line: str, target: str) -> list[str]:
    words = line.split()
    if len(words) < 3 or words[2] != target:
        raise InvalidValueError(f"not the status line of a {target} target: {line!r}")
    _number("start", words[0])
    _number("length", words[1])
    return words[3:]


def _ratio(field: str, text: str) -> tuple[int, int]:
    used, slash, total = text.partition("/")
    if not slash:
        raise InvalidValueError(f"invalid {field} blocks: {text!r}; the form is used/total")
    return _number(f"used {field} blocks", used), _number(f"total {field} blocks", total)


def _number(field: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise InvalidValueError(f"invalid {field}: {text!r}")
    return int(text)


def _word(field: str, text: str, known: tuple[str, ...]) -> str:
    if text not in known:
        raise InvalidValueError(f"invalid {field}: {text!r}")
    return text
