"""`wanted_transport` reads the environment for the way of FUSE's requests: FUSE over io_uring or not."""

import os

from fuse_backing.fuse_uring import FuseUring
from thinsim.errors import InvalidValueError

VARIABLE = "THINSIM_FUSE_URING"


def wanted_transport() -> FuseUring:
    """Return the value of ``THINSIM_FUSE_URING``, by default off. Raises InvalidValueError."""
    value = os.environ.get(VARIABLE, FuseUring.OFF)
    try:
        return FuseUring(value)
    except ValueError:
        raise InvalidValueError(f"{VARIABLE} must be {', '.join(FuseUring)}, not {value!r}") from None


def store_words() -> list[str]:
    """Return the options of ``fuse-backing mount`` for the wanted transport. Raises InvalidValueError."""
    wanted = wanted_transport()
    return [] if wanted is FuseUring.OFF else ["--fuse-uring", wanted]
