"""`send_message` checks and carries out a pool message in the kernel's order (dm-thin.c, pool_message)."""

import errno
from collections.abc import Callable
from contextlib import suppress

from thinsim.errors import DeviceMapperError
from thinsim.thin.ids import ThinId, parse_thin_id
from thinsim.thin.modes import PoolMode
from thinsim.thin.pool import Pool
from thinsim.thin.words import parse_number, split_words


def send_message(pool: Pool, text: str) -> None:
    """Carry out message *text*, then commit; a commit that fails shows only in the pool's mode.

    Raises EINVAL when the message is empty, unknown or malformed, EOPNOTSUPP when the pool's metadata is
    read-only, and EEXIST, ENODATA or EBUSY as the pool's operations do.
    """
    with pool.transaction.changing(f"message {text!r}", ends_bio=False):
        _carry_out(pool, text)
    if pool.mode <= PoolMode.OUT_OF_DATA_SPACE:
        with suppress(DeviceMapperError):
            pool.commit()


def _carry_out(pool: Pool, text: str) -> None:
    words = split_words(text)
    if not words:
        raise _invalid("Empty message received.")
    if words[0].startswith("@"):
        raise _invalid(f"Unsupported message sent to DM core: {words[0]}")
    if pool.mode > PoolMode.OUT_OF_DATA_SPACE:
        raise DeviceMapperError(
            errno.EOPNOTSUPP, "unable to service pool target messages in READ_ONLY or FAIL mode"
        )
    entry = _MESSAGES.get(words[0].lower())
    if entry is None:
        raise _invalid(f"Unrecognised thin pool target message received: {words[0]}")
    count, operation = entry
    if len(words) != count:
        raise _invalid(f"Message received with {len(words)} arguments instead of {count}: {text}")
    operation(pool, words[1:])


def _create_thin(pool: Pool, words: list[str]) -> None:
    pool.create_thin(_thin_id(words[0]))


def _create_snap(pool: Pool, words: list[str]) -> None:
    pool.create_snap(_thin_id(words[0]), _thin_id(words[1]))


def _delete(pool: Pool, words: list[str]) -> None:
    pool.delete(_thin_id(words[0]))


def _set_transaction_id(pool: Pool, words: list[str]) -> None:
    pool.set_transaction_id(_transaction_id(words[0]), _transaction_id(words[1]))


def _reserve_metadata_snap(pool: Pool, words: list[str]) -> None:
    pool.reserve_metadata_snap()


def _release_metadata_snap(pool: Pool, words: list[str]) -> None:
    pool.release_metadata_snap()


_MESSAGES: dict[str, tuple[int, Callable[[Pool, list[str]], None]]] = {
    "create_thin": (2, _create_thin),
    "create_snap": (3, _create_snap),
    "delete": (2, _delete),
    "set_transaction_id": (3, _set_transaction_id),
    "reserve_metadata_snap": (1, _reserve_metadata_snap),
    "release_metadata_snap": (1, _release_metadata_snap),
}


def _thin_id(text: str) -> ThinId:
    return parse_thin_id(text, "Message received with invalid device id")


def _transaction_id(text: str) -> int:
    number = parse_number(text)
    if number is None:
        raise _invalid(f"set_transaction_id message: Unrecognised id {text}.")
    return number


def _invalid(text: str) -> DeviceMapperError:
    return DeviceMapperError(errno.EINVAL, text)
